// SPDX-License-Identifier: MIT
// What the kernels of OP_QUANTIZE_ROWS share. Their results are the same bit for bit.
#ifndef LLMSWEEP_QUANTIZE_H
#define LLMSWEEP_QUANTIZE_H

#include "kernels/kernel.h"
#include "kernels/pack/float16.h"
#include "kernels/pack/packed.h"

#include <string.h>

// A group of a row: what it is read from, and where its codes go.
struct quantize_group {
    const float *x;
    int8_t *codes;
    int32_t *sums;
    float *scale;
    int columns;
    bool one_of_many; // its scale is rounded to 22 bits
};

static inline struct quantize_group quantize_group_at(const struct quantize_rows_call *call, int row, int group) {
    const struct quantized_rows *out = call->out;
    const int columns = out->columns / out->groups;
    const size_t first = (size_t)row * (size_t)out->columns + (size_t)(group * columns);
    return (struct quantize_group){.x = call->x + (size_t)row * call->x_stride + group * columns,
                                   .codes = out->codes + first,
                                   .sums = out->sums + first / TILE_COLUMNS,
                                   .scale = out->scales + (size_t)row * (size_t)out->groups + group,
                                   .columns = columns,
                                   .one_of_many = out->groups > 1};
}

// What a group's codes are multiplied with, from the bits of its largest magnitude. False where there is nothing to round: its
// scale and codes are then already written.
static inline bool quantize_prepare(const struct quantize_group *group, uint32_t largest_bits, float *factor) {
    const float largest = bits_float(largest_bits);
    // As integers, the bits of a NaN are above infinity's and those above all finite magnitudes', so neither is lost in a maximum.
    const bool finite = largest_bits < 0x7f800000;
    const bool vanishing = largest < 0x1p-100f; // 127/largest would overflow soon below
    *group->scale = !finite ? bits_float(0x7fc00000) : vanishing ? 0.0f : largest / 127.0f;
    if (group->one_of_many && finite)
        *group->scale = bits_float((float_bits(*group->scale) + 2) & ~UINT32_C(3));
    if (finite && !vanishing) {
        *factor = 127.0f / largest;
        return true;
    }
    memset(group->codes, 0, (size_t)group->columns);
    memset(group->sums, 0, (size_t)(group->columns / TILE_COLUMNS) * sizeof(group->sums[0]));
    return false;
}

// Every group of the call's rows.
static inline __attribute__((always_inline)) void quantize_groups(const struct quantize_rows_call *call,
                                                                  void (*quantize_group)(const struct quantize_group *)) {
    for (int row = call->begin; row < call->end; row++)
        for (int i = 0; i < call->out->groups; i++) {
            const struct quantize_group group = quantize_group_at(call, row, i);
            quantize_group(&group);
        }
}

#endif
