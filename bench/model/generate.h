// SPDX-License-Identifier: MIT
// Text generation over an engine: greedy, or drawn with temperature, top-k and top-p from a seed.
#ifndef LLMSWEEP_GENERATE_H
#define LLMSWEEP_GENERATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "bench/model/engine.h"

struct sampling {
    double temperature; // 0 = greedy
    int top_k;          // 0 = all
    double top_p;       // 1 = all
    uint64_t seed;
};

// One token and how likely it is: memory for a draw.
struct sampling_candidate {
    double weight;
    int32_t token;
};

// Draws one token from (vocab) logits: of the top_k likeliest those that together reach top_p (Holtzman et al. 2020), in proportion to
// exp(logit/temperature). Advances *state, which starts as the seed. scratch: (vocab).
int32_t sampling_draw(const struct sampling *sampling, uint64_t *state, const float *logits, int vocab, struct sampling_candidate *scratch);

// Called on every rank with each new token; return false to stop (the same answer on every rank).
typedef bool generate_callback(void *context, int32_t token);
// Continues (prompt) tokens by up to n tokens, batch 1. 0 or -errno with one line in error.
int generate_tokens(struct engine *engine, const int32_t *prompt, int prompt_tokens, int n, const struct sampling *sampling,
                    generate_callback *callback, void *context, char *error, size_t error_size);

// Writes text that comes in pieces, which may end inside a character: only whole characters of UTF-8 go out, and U+FFFD for what is none.
struct text_stream {
    FILE *file;
    char held[4];
    size_t count; // of held bytes
};
void text_stream_write(struct text_stream *stream, const char *text, size_t bytes);
void text_stream_end(struct text_stream *stream); // what is held belongs to no character

#endif
