// SPDX-License-Identifier: MIT
// What caches of floats have in common, however they are multiplied: no scales, and sums that are in `out` all the time. weights is the includer's.
#ifndef LLMSWEEP_ATTENTION_UNSCALED_H
#define LLMSWEEP_ATTENTION_UNSCALED_H

#include "kernels/attention/attention_tile.h"

struct weights;
struct sums { // between parts of a block they are in `out`
    char none;
};

ALWAYS void fetch_scales(const uint8_t *panel, int head_dim)
{
    (void)panel, (void)head_dim;
}

// Before and after add_values: out = out·shrink + what is added.
ALWAYS void begin_values(int lines, int head_dim, const struct weights *weights, const float *shrink, struct sums *between, struct line *line)
{
    (void)weights, (void)between;
#pragma GCC unroll 8
    for (int i = 0; i < lines; i++)
        for (int d = 0; d < head_dim; d += VEC)
            vec_store(line[i].out + d, vec_mul(vec_load(line[i].out + d), vec_set(shrink[i])));
}

ALWAYS void end_values(int lines, int head_dim, const struct weights *weights, const float *shrink, const struct sums *between, struct line *line)
{
    (void)lines, (void)head_dim, (void)weights, (void)shrink, (void)between, (void)line;
}

#endif
