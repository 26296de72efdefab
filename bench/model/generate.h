// SPDX-License-Identifier: MIT
// Text generation over an engine: greedy, or drawn with temperature, top-k and top-p from a seed.
#ifndef LLMSWEEP_GENERATE_H
#define LLMSWEEP_GENERATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/model/engine.h"

struct sampling {
    double temperature; // 0 = greedy
    int top_k;          // 0 = all
    double top_p;       // 1 = all
    uint64_t seed;
};

// Draws one token from (vocab) logits; advances *state, which starts as the seed.
int32_t sampling_draw(const struct sampling *sampling, uint64_t *state, const float *logits, int vocab);

// Called on every rank with each new token; return false to stop (the same answer on every rank).
typedef bool generate_callback(void *context, int32_t token);
// Continues (prompt) tokens by up to n tokens, batch 1. 0 or -errno with one line in error.
int generate_tokens(struct engine *engine, const int32_t *prompt, int prompt_tokens, int n, const struct sampling *sampling,
                    generate_callback *callback, void *context, char *error, size_t error_size);

#endif
