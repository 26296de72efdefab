// SPDX-License-Identifier: MIT
// What the parts of a worker share: worker.c (protocol), worker_sampling.c (a cell's samples), worker_measure.c (counters and roof).
#ifndef LLMSWEEP_WORKER_STATE_H
#define LLMSWEEP_WORKER_STATE_H

#include "harness/roof.h"
#include "harness/sampler.h"
#include "harness/topology.h"
#include "harness/workload.h"

struct counters;
struct json_t;

// A cell's sampler lives as long as the worker, so that its stop rule sees the samples of all rounds.
struct cell_sampler {
    char name[17];
    size_t min_samples;
    struct sampler sampler;
};

struct worker {
    const struct workload *workload;
    struct worker_context context;
    struct settings *settings;
    struct topology *topology;
    struct placement placement;
    char cores[512]; // of all ranks, as the column has them
    void *state;    // the workload's
    int out;        // where replies go
    uint64_t epoch; // clock_now() when the run began
    struct cell_sampler *samplers;
    size_t sampler_count;
    struct counters *counters; // NULL: not opened yet
    char counted[512];         // what they count
    double program_bytes;      // resident in this rank before the workload had anything
};

// What rank 0 learned of a cell in one round. The arrays are the caller's.
struct worker_visit {
    struct json_t *samples, *steps; // a row for each sample; nanoseconds of each decode step
    size_t warmup, sampled;
    double warmup_seconds, sampled_seconds, counting_seconds;
    struct json_t *counted; // NULL: not counted, or counters are off
    bool has_counted;
    const char *stop;
};

// Tells the driver what goes on.
void worker_say_doing(struct worker *worker, const char *what);
// The largest error of all ranks, with its line; collective.
int worker_agree(struct worker *worker, int code, char *error, size_t error_size);
// Runs the prepared cell once for every counter pass. *counted: an array of {phase, event, value, status, reason, work}, NULL when counters
// are off. Collective.
// *ns grows by what one pass took.
int worker_count(struct worker *worker, const struct json_t *command, struct json_t **counted, double *ns, char *error, size_t error_size);
// The roof beside the prepared cell. What the command knows of this round ("roof": stream, fp32, int8, bf16, and bandwidths by the working
// set's power of two) is not measured again. *roof: the same, and "hot" for this cell; NULL when no roof is wanted. Collective.
int worker_roof(struct worker *worker, const struct json_t *command, double working_set, struct json_t **roof, char *error,
                size_t error_size);
// Runs and samples the prepared cell until the command's rule stops it. Collective.
int worker_take_samples(struct worker *worker, struct worker_visit *visit, struct sampler *sampler, const struct json_t *command, char *error,
                        size_t error_size);
// The run that counts; where the sampler is still to warm up, one of its warm-up. Collective.
int worker_count_as_warmup(struct worker *worker, struct worker_visit *visit, struct sampler *sampler, const struct json_t *command,
                           char *error, size_t error_size);
void worker_state_free(struct worker *worker);

#endif
