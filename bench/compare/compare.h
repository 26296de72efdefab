// SPDX-License-Identifier: MIT
// Two stored runs side by side: their cells joined by everything that a cell is, the ratio of their speeds with its interval and a
// verdict, the difference of their quality with its interval, and what differs in the environments.
//
// The runs were made at different times, so an interval here knows only the noise inside each run. Whether a commit made something
// slower is the gate's question: it runs both in pairs.
#ifndef LLMSWEEP_COMPARE_H
#define LLMSWEEP_COMPARE_H

#include <stdint.h>

#include "bench/report/run.h"

enum verdict { VERDICT_SAME, VERDICT_FASTER, VERDICT_SLOWER, VERDICT_AMBIGUOUS, VERDICT_BROKEN, VERDICTS };
const char *verdict_name(enum verdict verdict); // "same", "faster", …

struct compare_options {
    double threshold; // a change below this share (0.05) is of no practical interest
    double level;     // p-values, adjusted for the number of cells (Holm), must be below (0.01)
    uint64_t seed;    // of the bootstrap
};
extern const struct compare_options compare_defaults;

enum compare_phase { COMPARE_PREFILL, COMPARE_DECODE, COMPARE_PHASES };
extern const char *const compare_phase_names[COMPARE_PHASES];

// Speed of one phase in both runs. `present` is false where one of them has none; then nothing else is set.
struct compared_speed {
    bool present;
    double a, b;            // medians, tokens/s
    size_t a_count, b_count; // samples; 0 where the run's samples.csv does not have them
    struct figure ratio;    // b over a, with its 95% interval
    double p, p_adjusted;   // Mann–Whitney, Holm; NAN without samples
    enum verdict verdict;
    char why[96];           // why it is ambiguous
};

// A cell that both runs have. Either may be without figures.
struct compared_cell {
    const struct report_cell *a, *b;
    struct compared_speed speed[COMPARE_PHASES];
    bool broken;         // timed in a, not in b
    struct figure dlnppl; // ln(ppl of b / ppl of a), with its 95% interval; NAN where it cannot be compared
    bool worse, better;  // quality: the interval excludes 0
};

// A cell that only one run has, or whose figures cannot be compared.
struct lone_cell {
    const struct report_cell *cell;
    bool in_a, in_b;
    char why[160];
};

struct environment_difference {
    char *what; // "CPU", "compiler", …
    char *a, *b;
};

struct comparison {
    const struct report_run *a, *b;
    struct compare_options options;
    struct compared_cell *cells; // in the order of b's cells
    size_t cell_count;
    struct lone_cell *lone;
    size_t lone_count;
    struct environment_difference *differences;
    size_t difference_count;
    char quality_note[256]; // why no quality was compared; "" when it was
    size_t verdicts[COMPARE_PHASES][VERDICTS];
    double geometric_mean[COMPARE_PHASES]; // of the ratios; NAN when there is none
    // What the machine itself moves cells by while nothing changes: the 95th percentile, over the cells of both runs, of the change between
    // the rounds of one run, widened to hold for all cells together (Bonferroni, normal). A change must exceed it. NAN when cells were visited once only.
    double floor[COMPARE_PHASES];
    size_t worse, better, broken;
};

// Joins b to a, which have passed compare_check_twins. Both outlive the comparison. -ENOMEM; -EINVAL with a line when they have no cell in common. Frees with compare_free.
int compare_runs(const struct report_run *a, const struct report_run *b, const struct compare_options *options,
                 struct comparison *comparison, char *error, size_t error_size);
void compare_free(struct comparison *comparison);

// Orders cells by everything that they are, but not by where they ran: 0 for the same cell in two runs. The instruction set does not count.
int compare_cell_identity(const struct report_cell *a, const struct report_cell *b);

// A run of a later version may have cells that differ only in what this program does not know; to join or to average them would be wrong. 0, or -EINVAL
// with a line that names two timed cells which nothing known tells apart; -ENOMEM.
int compare_check_twins(const struct report_run *run, char *error, size_t error_size);

// The samples of one phase of a cell, tokens/s, in the order in which they were taken: malloc'ed, *count 0 and NULL where there are none.
// `run` is searched once a call: callers with many cells use compare_samples_open.
struct compare_samples;
int compare_samples_open(const struct report_run *run, struct compare_samples **samples); // -ENOMEM
const double *compare_samples_find(const struct compare_samples *samples, const char *cell, const char *phase, size_t *count);
// How far the medians of a cell's rounds lie apart: ln(largest/smallest), NAN with fewer than two rounds.
int compare_samples_drift(const struct compare_samples *samples, const char *cell, const char *phase, double *drift);
void compare_samples_free(struct compare_samples *samples);

// Fills in differences.
int compare_environments(struct comparison *comparison);
// A name for the run that tells it from others: its machine's slug and its folder's last part.
void compare_run_name(const struct report_run *run, char *name, size_t size);

#endif
