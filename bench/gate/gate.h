// SPDX-License-Identifier: MIT
// Whether a change made anything slower or worse: both versions are built in folders of their own and measured on this machine in random ABBA
// blocks of fresh processes, beside a second run of the base that says what the machine does by itself.
#ifndef LLMSWEEP_GATE_H
#define LLMSWEEP_GATE_H

#include <signal.h>
#include <stdio.h>

#include "bench/gate/judge.h"
#include "bench/gate/witness.h"

struct gate_options {
    const char *base, *head; // a git revision, or a folder: of a build (DIR/build/llmsweep), or of sources. head NULL: the working tree
    const char *spec;
    const char *quality_spec; // whose cells quality is compared of; NULL: those of `spec`
    const char *folder;      // where builds, runs and the result go; made
    const char *const *overrides; // (override_count) "KEY=VALUE" for both
    size_t override_count;
    size_t blocks;           // of the first set; 0: as few as can be screened, or with no second look as many as the family of cells needs
    double seconds;          // for the pairs and the second look; blocks are cut to fit, but not below what can be judged
    double quality_threshold; // ln perplexity that is of no practical interest
    struct gate_rules rules;
    bool second_look;
    bool witness, witness_only; // count instructions beside the pairs; instead of them
    const char *witness_spec;
    double witness_limit;       // more instructions by less than this share are of no interest
    FILE *messages;          // progress; NULL: none
    const volatile sig_atomic_t *interrupted;
};
extern const struct gate_options gate_defaults;

#define GATE_BOTH_PHASES COMPARE_PHASES // of a mean over a kernel's prefill and decode

// A figure: a cell's speed in one phase; or, of all cells that run through one kernel, the geometric mean, in which their noise cancels.
struct gate_row {
    char label[400];
    const struct report_cell *base_cell, *head_cell; // of the survey, while the gate runs; NULL of a mean
    char kernel[96];
    enum compare_phase phase;
    size_t members; // of a mean: how many rows with its kernel and phase it is of; 0: a cell
    struct gate_judgement all, second; // over both sets of pairs, by the second alone; second.pairs 0: it was not looked at again
    double *base, *head, *again;         // (blocks)
    double *base2, *head2, *again2;      // (second_blocks)
};

const char *gate_phase_name(const struct gate_row *row); // "prefill", "decode", "both"

struct gate_quality {
    char label[400];
    struct figure dlnppl; // head against base
    bool worse, better;
};

struct gate_result {
    char base_name[200], head_name[200];
    struct gate_row *rows;
    size_t row_count, blocks, second_blocks;
    struct gate_quality *qualities; // cells with a perplexity in both
    size_t quality_count, worse;
    struct {
        char label[400], status[24], reason[200];
    } *broken; // cells that the base can run and the head cannot
    size_t broken_count, lone;
    double elapsed, block_seconds;
    size_t verdicts[VERDICTS];
    struct witness witness; // no rows: it was not asked
};

// 0 when it was measured, whatever the verdict; -EINTR; -EINVAL for what was given; -EIO and others for what failed while running, each with a
// line. Free with gate_free, after an error too.
int gate_run(const struct gate_options *options, struct gate_result *result, char *error, size_t error_size);
void gate_free(struct gate_result *result);
// 0 no regression; 1 slower, worse or broken; 4 nothing of that, but something ambiguous, or more instructions.
int gate_exit_code(const struct gate_result *result);

// Document (text or Markdown) and JSON of the result; every pair as CSV. 0, -ENOMEM, -EIO.
int gate_write(const struct gate_options *options, const struct gate_result *result, int form, FILE *out);
int gate_write_json(const struct gate_options *options, const struct gate_result *result, FILE *out);
int gate_write_pairs(const struct gate_result *result, FILE *out);

// Readies one version: *program is the path of its llmsweep (malloc'ed), *name what it is. Sources are put into `folder`/source and built there.
int gate_build(const struct gate_options *options, const char *what, const char *folder, char **program, char *name, size_t name_size, char *error,
               size_t error_size);
// Runs `words` (NULL-terminated) with its output in `log`, which is told with the last line of it when it fails.
int gate_command(const struct gate_options *options, char *const *words, const char *log, double seconds, char *error, size_t error_size);

// One fresh process of a version: `spec` with the gate's settings and `sets` into folder/name, which is read back.
int gate_process(const struct gate_options *options, const char *program, const char *spec, const char *name, const char *const *sets, size_t set_count,
                 struct report_run *run, char *error, size_t error_size);

#endif
