// SPDX-License-Identifier: MIT
// Stored runs in the forms that other programs read.
#ifndef LLMSWEEP_EXPORT_H
#define LLMSWEEP_EXPORT_H

#include <stdio.h>

#include "bench/report/run.h"

struct export_form {
    const char *name, *help;
    bool several; // takes several runs, oldest first; others take one
    int (*write)(const struct report_run *runs, size_t count, FILE *out); // 0, -ENOMEM, -EIO
};
extern const struct export_form export_forms[];
extern const size_t export_form_count;

// What the writers share.
// "decode/llmsweep-gloss-6m/50%/q4g32+s50/batch:8/layout:t2", with kv, prompt, gen, act, provider, isa or device where the run's cells
// differ in it: one name for each cell and phase of a run.
void export_name(const struct report_run *run, const struct report_cell *cell, const char *phase, char *text, size_t size);
// A number of run.json, NAN where it has none.
double export_json_number(const struct report_run *run, const char *object, const char *key);

int export_llama_bench_csv(const struct report_run *runs, size_t count, FILE *out);
int export_llama_bench_jsonl(const struct report_run *runs, size_t count, FILE *out);
int export_google_benchmark(const struct report_run *runs, size_t count, FILE *out);
int export_action_bigger(const struct report_run *runs, size_t count, FILE *out);
int export_action_smaller(const struct report_run *runs, size_t count, FILE *out);
int export_bencher(const struct report_run *runs, size_t count, FILE *out);
int export_otava(const struct report_run *runs, size_t count, FILE *out);
int export_junit(const struct report_run *runs, size_t count, FILE *out);
int export_markdown(const struct report_run *runs, size_t count, FILE *out);

#endif
