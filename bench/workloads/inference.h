// SPDX-License-Identifier: MIT
// What the parts of the inference workload share: inference_axes.c (the words of a cell), inference.c (plan and columns: the driver's) and
// inference_worker.c (what a worker does with a cell).
#ifndef LLMSWEEP_INFERENCE_H
#define LLMSWEEP_INFERENCE_H

#include "bench/compress/recipe.h"
#include "bench/model/kv_cache.h"
#include "bench/model/layout.h"
#include "harness/workload.h"
#include "kernels/kernel.h"

enum inference_axis {
    AXIS_MODEL, AXIS_PRUNE, AXIS_FORMAT, AXIS_ACT, AXIS_KV, AXIS_BATCH, AXIS_PROMPT, AXIS_PREFIX, AXIS_GEN, AXIS_LAYOUT, AXIS_PROVIDER,
    AXIS_ISA, AXIS_DEVICE, INFERENCE_AXES
};

extern const struct axis inference_axes[INFERENCE_AXES];
// Replaces the words that stand for another by it (auto).
void inference_settle(struct cell *cell);

enum { PROMPT_LENGTHS = 8 };

// A cell's values, understood.
struct inference_cell {
    const char *model; // path
    struct variant_recipe recipe;
    struct layout layout;
    enum activation activation;
    struct kv_format kv;
    enum provider provider;
    enum isa isa;
    int batch, gen;
    int lengths[PROMPT_LENGTHS], length_count; // of the prompts: sequence i has lengths[i % length_count]
    int prompt;                                // the longest of them
    double prompt_mean;
    int prefix;                                // tokens at their head that all prompts have in common
};
// -EINVAL with a reason where the values contradict each other (a pruning and a format's store).
int inference_cell_read(const struct cell *cell, struct inference_cell *read, char *reason, size_t reason_size);

enum { TOKENS_MIN = 8192 };

// inference_worker.c
int inference_open(const struct settings *settings, const char *layout, const struct worker_context *context, void **state, char *error,
                   size_t error_size);
void inference_close(void *state);
void inference_leave(void *state, const struct cell *next);
int inference_prepare(void *state, const struct cell *cell, char *error, size_t error_size);
int inference_sample(void *state, const struct phase_hooks *hooks, struct sample *sample, char *error, size_t error_size);
int inference_verify(void *state, const char *known, struct record *facts, char *error, size_t error_size);
int inference_facts(void *state, struct record *facts, char *error, size_t error_size);
int inference_quality(void *state, struct record *facts, char *error, size_t error_size);
void inference_release(void *state);

#endif
