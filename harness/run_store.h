// SPDX-License-Identifier: MIT
// The folder of a run: opened anew or again, appended to, finished.
//
// journal.jsonl is what a run is resumed from: one line for each visit and each judgement, as the worker reported it. samples.csv and
// counters.csv say the same to others, and are made anew from the journal when a run is resumed; cells.csv holds the finished rows.
#ifndef LLMSWEEP_RUN_STORE_H
#define LLMSWEEP_RUN_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "harness/plan.h"
#include "harness/records.h"

struct json_t;

struct run_store {
    char *directory;
    const struct workload *workload;
    struct table *cells, *samples, *counters, *journal;
    struct json_t *run;  // run.json
    size_t *sample_index; // (plan->count) samples of each cell in samples.csv
    bool dropped_torn;   // a torn line was cut off
    double synced;       // when journal, samples and counters were synced last, seconds
};

// Begins a run in a folder that is not there or is empty; run.json is written from `run` (the store takes a reference).
// -EEXIST: it holds a run already; -errno with a line.
int run_store_create(struct run_store *store, const struct plan *plan, const char *directory, struct json_t *run, char *error,
                     size_t error_size);
// Opens an interrupted run. plan_hash must be that of run.json (-EINVAL). visited() gets each whole line of the journal in order.
int run_store_resume(struct run_store *store, const struct plan *plan, const char *directory, const char *plan_hash,
                     void (*visited)(void *context, const struct json_t *line), void *context, char *error, size_t error_size);
// Names of the cells that have a row; done() is called with each and its status.
int run_store_rows(struct run_store *store, void (*done)(void *context, const char *name, enum cell_status status), void *context,
                   char *error, size_t error_size);

// Appends one finished row and syncs everything.
int run_store_row(struct run_store *store, const struct record *row, char *error, size_t error_size);
// Appends a journal line; a visit's samples and counters go to their files too. cell: its index in the plan.
int run_store_journal(struct run_store *store, const struct plan *plan, size_t cell, const struct json_t *line, char *error,
                      size_t error_size);
// Writes run.json anew.
int run_store_save(struct run_store *store, char *error, size_t error_size);
int run_store_sync(struct run_store *store, char *error, size_t error_size);
void run_store_close(struct run_store *store);

#endif
