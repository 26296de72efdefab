// SPDX-License-Identifier: MIT
// Runs a plan: starts a worker for each layout, visits the cells in interleaved rounds, and records what they report. The driver plans,
// waits and writes; only workers compute, and only one at a time.
#ifndef LLMSWEEP_RUNNER_H
#define LLMSWEEP_RUNNER_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

#include "harness/plan.h"

struct json_t;

struct runner_options {
    const char *directory;
    bool resume;
    const char *const *worker; // (worker_words) the command that starts a worker: "llmsweep", "worker"
    size_t worker_words;
    struct json_t *about; // what the caller knows for run.json: program, libraries, machine …
    FILE *messages;       // progress; NULL: silent
    // The folder is there: the caller puts its own files into it. 0, or -errno with a line, which ends the run. May be NULL.
    int (*ready)(void *context, const char *directory, char *error, size_t error_size);
    void *ready_context;
    volatile const sig_atomic_t *interrupted; // set by the caller's signal handler
};

// How the wall time went, in seconds.
struct runner_times {
    double wall, warmup, samples, quality, verify, prepare, counters, roof, launch;
};

struct runner_result {
    size_t by_status[CELL_STATUSES]; // all rows of the run, those before a resume too
    size_t rows, planned;
    struct runner_times times;
    double driver_peak_bytes;
    bool torn; // a torn last line was dropped on resuming
};

// 0; -EINTR when interrupted (the run is whole and can be resumed); -EEXIST, -EINVAL, -EACCES …: the folder or the run in it cannot be
// used; -ENOSPC and others while running: it stopped, and what was recorded is whole. One line in error.
int runner_run(const struct plan *plan, const struct runner_options *options, struct runner_result *result, char *error, size_t error_size);

// The hash that a run is resumed by: of all cells' names and all settings.
void runner_plan_hash(const struct plan *plan, char *hash, size_t size);

#endif
