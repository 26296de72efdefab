// SPDX-License-Identifier: MIT
// A version against stored runs of the same machine, for where nothing can be run in pairs. Stored runs were made at
// other times, so a new one must lie outside what they differ by among themselves; that takes at least three of them,
// and sees far less than pairs do.
#ifndef LLMSWEEP_GATE_BASELINE_H
#define LLMSWEEP_GATE_BASELINE_H

#include <stdio.h>

#include "bench/gate/judge.h"

struct gate_options;

enum { BASELINE_RUNS_LEAST = 3 };

struct baseline_row {
    char name[512]; // "decode/model/…", as exports and histories have it
    double head;    // tokens/s
    double *runs;   // (count) of the baseline, tokens/s
    size_t count;
    struct figure ratio;  // head over the runs' geometric mean; lo and hi: where 95% of such ratios would lie around it
    double p, p_adjusted; // Student's t of a further draw, Holm over all rows
    double smallest_effect; // that would have been found four times in five; NAN with too few runs
    enum verdict verdict;
    char why[128];
    // Perplexity of the cell on the same text, in one row of each cell; the least and the most of the stored ones. NAN where the head has none or no
    // stored run does. It does not depend on what else the machine does, so being outside of them by the threshold is enough.
    double perplexity, perplexity_least, perplexity_most;
    bool worse, better;
};

struct baseline_result {
    char machine[64], head_name[200];
    struct baseline_row *rows;
    size_t row_count, unknown; // unknown: figures of the head that the baseline does not have
    size_t qualities, worse;   // cells whose perplexity could be compared; that became worse
    size_t runs_least, runs_most;
    size_t verdicts[VERDICTS];
    double elapsed;
};

// Judges rows that have head, runs and perplexities. -ENOMEM.
int baseline_judge(struct baseline_row *rows, size_t count, const struct gate_rules *rules, double quality_threshold);

// `path` is a history (llmsweep history add), the folder of a run, or a folder of such folders. Builds and runs the
// head once, with the settings of its spec. Errors as gate_run; -EINVAL when the baseline is of other machines. Free
// with baseline_free, after an error too.
int baseline_run(const struct gate_options *options, const char *path, struct baseline_result *result, char *error,
                 size_t error_size);
void baseline_free(struct baseline_result *result);
// 0 nothing slower or worse; 1 something; 4 nothing, but something ambiguous.
int baseline_exit_code(const struct baseline_result *result);

// As gate_write: text or Markdown; JSON.
int baseline_write(const struct gate_options *options, const struct baseline_result *result, int form, FILE *out);
int baseline_write_json(const struct gate_options *options, const struct baseline_result *result, FILE *out);

#endif
