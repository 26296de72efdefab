// SPDX-License-Identifier: MIT
// What the parts of the runner share: runner.c (the rounds), runner_cells.c (what is known of each cell), runner_workers.c (the workers).
#ifndef LLMSWEEP_RUNNER_STATE_H
#define LLMSWEEP_RUNNER_STATE_H

#include "harness/launch.h"
#include "harness/progress.h"
#include "harness/run_store.h"
#include "harness/runner.h"

enum { ROOF_FIGURES = 5 };

struct growing {
    uint64_t *value;
    size_t count, room;
};

// What is known of a cell so far.
struct cell_state {
    const struct plan_cell *plan;
    int worker;       // index of its layout's worker
    size_t variant;   // cells with the same number and worker share what is prepared
    int judgement;    // index of its quality, -1: none
    int output;       // index of what it must produce, -1: no other cell produces the same
    bool finished;    // it has its row
    size_t visits, warmup;
    char stop[16];
    struct record facts;
    struct growing ns[WORKLOAD_PHASES], work[WORKLOAD_PHASES], steps;
    struct growing roof[ROOF_FIGURES]; // bit patterns of doubles, one a visit
};

// Quality that cells share.
struct judgement {
    char *key;
    int worker; // in which it is computed
    int attempts;
    bool known;
    char *reason; // why it could not be had
    struct record facts;
    char *layout;
};

// What cells that differ in their layout only produce.
struct output {
    char *key, *value; // value: NULL until one of them was found right
};

struct worker_handle {
    const char *layout;
    int ranks, threads;
    bool running;
    struct child child;
    size_t starts;
};

// What a round has measured so far of the machine, by layouts that use equally many threads.
struct round_roof {
    int threads;
    struct json_t *figures;
};

struct runner {
    const struct plan *plan;
    const struct workload *workload;
    const struct runner_options *options;
    struct run_store store;
    struct cell_state *cells; // (plan->count)
    struct judgement *judgements;
    size_t judgement_count;
    struct output *outputs;
    size_t output_count;
    struct worker_handle *workers;
    size_t worker_count;
    struct round_roof *roofs; // (worker_count)
    size_t roof_count;
    struct progress progress;
    struct runner_times times;
    double started;       // clock, seconds
    double sample_overhead; // the largest share of any sample that went into reading the clock
    double time_before;   // seconds that the run took before it was resumed
    double planned, done; // seconds
    size_t finished;
};

double runner_now(void);

// runner_cells.c
int runner_cells_create(struct runner *runner);
void runner_cells_free(struct runner *runner);
// Takes a worker's line into account: of a visit or of a judgement.
int runner_absorb(struct runner *runner, const struct json_t *line);
// The row of a cell that has all its visits and its quality.
int runner_cell_row(struct runner *runner, size_t cell, struct record *row);
// The row of a cell that has no figures.
int runner_empty_row(struct runner *runner, size_t cell, enum cell_status status, const char *reason, struct record *row);
size_t runner_find_cell(const struct runner *runner, const char *name); // plan->count: none

// runner_workers.c
int runner_workers_create(struct runner *runner);
// Ends all workers: politely within a second, then at once.
void runner_workers_free(struct runner *runner, bool at_once);
// Sends a command to a worker, starting it if need be, and waits for its reply, at most `seconds`. 0 and *reply; -EINTR; otherwise the
// cell's status in *status and its reason, and the worker has been ended if it did not answer.
int runner_ask(struct runner *runner, int worker, struct json_t *command, double seconds, const char *label, struct json_t **reply,
               enum cell_status *status, char *reason, size_t reason_size);

#endif
