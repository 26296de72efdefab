// SPDX-License-Identifier: MIT
// A spec multiplied out: every cell once, the impossible ones with their reason, and what all of it will take.
#ifndef LLMSWEEP_PLAN_H
#define LLMSWEEP_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "harness/spec.h"
#include "harness/workload.h"

struct plan_cell {
    struct cell cell;
    const struct sweep *sweep;
    enum cell_status status; // CELL_OK: to be run
    char *reason;            // NULL when to be run
    struct estimate estimate;
};

struct plan_layout {
    const char *word;
    int ranks, threads;
    char reason[320]; // why it cannot be started here; empty when it can
};

struct plan {
    const struct spec *spec;
    const struct workload *workload;
    struct machine_limits limits;
    void *state; // the workload's
    struct plan_cell *cells;
    size_t count, runnable;
    unsigned differing; // bits: the axes in which not all cells are alike
    double seconds; // all of it, roughly
    uint64_t bytes; // the largest cell's
    struct plan_layout *layouts;
    size_t layout_count;
    bool launcher_missing; // some cells are skipped for want of a launcher
    struct record identity; // of every model and text that takes part
};

// Multiplies a spec out. A cell that needs more memory than limits->memory_bytes is CELL_OOM. 0, or -errno with one line. The spec
// must outlive the plan; plan_free frees the plan.
int plan_make(struct plan *plan, const struct spec *spec, const struct machine_limits *limits, char *error, size_t error_size);
void plan_free(struct plan *plan);

// Seconds of one cell: warm-up and samples of all rounds, as far as they can be told before.
double plan_cell_seconds(const struct plan_cell *cell);
// What a cell is, in words: "prune=50% format=q4g32 batch=8 layout=tp2", the axes that differ within the plan only.
void plan_cell_label(const struct plan *plan, const struct cell *cell, char *label, size_t size);

struct json_t *plan_json(const struct plan *plan); // NULL when out of memory

#endif
