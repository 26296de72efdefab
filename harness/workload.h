// SPDX-License-Identifier: MIT
// What is measured, as the harness sees it: axes whose product is the sweep, settings, and functions of two kinds. Those of the
// driver plan and describe and never compute; those of a worker open, prepare, time and judge one cell. A workload is one file in
// bench/workloads/ with one descriptor; the harness knows nothing else of it.
#ifndef LLMSWEEP_WORKLOAD_H
#define LLMSWEEP_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "harness/records.h"
#include "harness/settings.h"

struct comm_group;
struct topology;

struct axis {
    const char *name, *fallback, *help;
    bool by_identity; // what the value names (a file's content) enters a cell's hash, not its spelling
    // Checks one value and writes the one way in which it is spelled ("0.5" → "50%"). -EINVAL and a reason that lists what is known.
    int (*canonical)(const char *word, char *value, size_t size, char *reason, size_t reason_size);
};

// One cell: a canonical value for every axis of the workload, in its order.
enum { WORKLOAD_AXES = 16, WORKLOAD_PHASES = 4, WORKLOAD_VALUE = 256 };
struct cell {
    char name[17]; // its hash in hexadecimal
    const char *value[WORKLOAD_AXES];
};

// What a worker is to run on, as far as planning asks: counted inside the cpuset, quota and memory that this process was given.
struct machine_limits {
    int cores;                       // that threads are placed on, one each
    uint64_t memory_bytes;           // free now, or what the cgroup leaves
    uint64_t cache_bytes;            // last level; 0 = not known
    const struct topology *topology; // layouts must fit on it; NULL = any does
    bool oversubscribe;              // ... unless threads may share a core
    const char *no_launcher;         // why no layout of several ranks can be started; NULL where they can
};

// What a cell will take, roughly.
struct estimate {
    double sample_seconds;  // one timed sample
    double prepare_seconds; // once a variant
    double quality_seconds; // once a variant
    uint64_t bytes;         // resident in all ranks together
    uint64_t variant_bytes; // of those, kept between the cells of one variant
};

// One timed run of a cell.
struct sample {
    struct {
        uint64_t start_ns, ns; // harness clock
        uint64_t work;         // tokens
    } phase[WORKLOAD_PHASES];
    uint64_t *step_ns; // (steps) each decode step; points into the workload's memory, valid until the next call
    size_t steps;
};

// Every sample of one cell, gathered over the rounds, as the driver summarises them.
struct sample_set {
    size_t count;
    struct {
        uint64_t *ns, *work; // (count)
    } phase[WORKLOAD_PHASES];
    uint64_t *step_ns; // (steps) of all samples
    size_t steps;
};

// Bandwidth and peaks that were measured beside the cell by its layout's worker, all ranks together, medians over the rounds; NaN = not
// measured. Bytes/s and operations/s (a multiply-add counts as two).
struct measured_roof {
    double stream;     // reading more than four times the last-level cache
    double hot;        // reading a working set of this cell's size again and again
    double fp32, int8, bf16;
};

// Where a worker's rank stands.
struct worker_context {
    struct comm_group *world;
    int rank, ranks, threads;
    const struct topology *topology;
    const int *pus; // (threads)
    bool oversubscribed;
};
// Binds the calling thread to its place; context is a worker_context. 0 or -errno.
int worker_bind(void *context, int thread);

// Called by the worker around each phase of a counter pass; NULL in a timed sample.
struct phase_hooks {
    void (*begin)(void *context, int phase);
    void (*end)(void *context, int phase, uint64_t work);
    void *context;
};

struct workload {
    const char *name, *help;
    const struct axis *axes;
    size_t axis_count;
    unsigned later_axes; // bits 1 << index: axes that older runs do not know. At its fallback a cell keeps the name that it had without it
    const struct setting *settings;
    size_t setting_count;
    const char *const *columns; // of cells.csv, in order; "cell status reason" come first; results/README.md explains them
    size_t column_count;
    const char *phases[WORKLOAD_PHASES];
    int phase_count;

    // --- driver ---
    // The plan holds what the functions below share. limits outlives it.
    int (*plan_open)(const struct settings *settings, const struct machine_limits *limits, void **plan, char *error,
                     size_t error_size);
    void (*plan_close)(void *plan);
    // Replaces values that say "choose for me" by what they mean beside the others; NULL: there are none.
    void (*settle)(struct cell *cell);
    // Names what a cell is about beside its axes (hashes of model and text): enters its hash and goes to run.json. -errno with a line
    // where it cannot be read.
    int (*identity)(void *plan, const struct cell *cell, struct record *identity, char *error, size_t error_size);
    // 0, or the status that the cell gets without being tried (CELL_SKIPPED, CELL_UNSUPPORTED) with a reason.
    enum cell_status (*legal)(void *plan, const struct cell *cell, char *reason, size_t reason_size);
    void (*estimate)(void *plan, const struct cell *cell, struct estimate *estimate);
    // The columns that say what the cell is.
    void (*describe)(void *plan, const struct cell *cell, struct record *row);
    // How the cell's worker is started: the layout's word (one worker a word) and its ranks and threads.
    void (*layout)(const struct cell *cell, const char **word, int *ranks, int *threads);
    // Cells of one layout with the same key share what prepare builds, and are visited one after the other.
    void (*variant_key)(const struct cell *cell, char *key, size_t size);
    // Cells with the same key share their quality columns; an empty key: none are computed.
    void (*quality_key)(void *plan, const struct cell *cell, char *key, size_t size);
    // Cells with the same key must produce the same output, in whatever layout: what was found right in one need not be checked again in
    // another that gives the same. output_column names the fact that says what the output was. NULL: nothing is shared.
    void (*output_key)(const struct cell *cell, char *key, size_t size);
    const char *output_column;
    // Turns samples, the worker's facts and the roof into columns. *half_width is the widest relative half-width of the intervals.
    void (*summarise)(void *plan, const struct cell *cell, const struct sample_set *samples, const struct measured_roof *roof,
                      struct record *row, double *half_width);

    // --- worker; collective over the ranks of its layout: each rank makes the same calls in the same order ---
    // `facts` of any function are columns, as far as they have a column's name; others are the workload's own, for summarise.
    int (*open)(const struct settings *settings, const char *layout, const struct worker_context *context, void **state, char *error,
                size_t error_size);
    void (*close)(void *state);
    // Lets go of what belongs to the prepared cell alone if `next` is another: its memory is not next's. NULL: nothing does.
    void (*leave)(void *state, const struct cell *next);
    // Builds the cell's variant if it is not kept already, and readies its buffers. -ENOTSUP: no kernel; -ENOMEM.
    int (*prepare)(void *state, const struct cell *cell, char *error, size_t error_size);
    // One run of the prepared cell. Rank 0's sample is the one that counts.
    int (*sample)(void *state, const struct phase_hooks *hooks, struct sample *sample, char *error, size_t error_size);
    // Checks what the timed runs produced. known: the output that was found right in another layout, or NULL. -EBADMSG with a line that
    // begins with "diverged:" if it is wrong.
    int (*verify)(void *state, const char *known, struct record *facts, char *error, size_t error_size);
    // Memory, traffic, bytes and operations a token of the prepared cell. "working_set": bytes that a step reads, all ranks together, which
    // the worker measures the roof's bandwidth over; "kept_bytes": what this rank holds for other cells.
    int (*facts)(void *state, struct record *facts, char *error, size_t error_size);
    // Judges the prepared cell's variant (quality columns).
    int (*quality)(void *state, struct record *facts, char *error, size_t error_size);
    // Drops all variants that are kept.
    void (*release)(void *state);
};

#endif
