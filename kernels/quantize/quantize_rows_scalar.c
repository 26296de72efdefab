// SPDX-License-Identifier: MIT
#include "kernels/quantize/quantize.h"

#include <math.h>

static void quantize_group(const struct quantize_group *group) {
    const float *x = group->x;
    uint32_t largest = 0;
    for (int k = 0; k < group->columns; k++) {
        const uint32_t magnitude = float_bits(x[k]) & 0x7fffffff;
        largest = magnitude > largest ? magnitude : largest;
    }
    float factor;
    if (!quantize_prepare(group, largest, &factor))
        return;
    for (int tile = 0; tile < group->columns / TILE_COLUMNS; tile++) {
        int32_t sum = 0;
        for (int k = tile * TILE_COLUMNS; k < (tile + 1) * TILE_COLUMNS; k++) {
            const int32_t code = (int32_t)lrintf(x[k] * factor);
            group->codes[k] = (int8_t)code;
            sum += code;
        }
        group->sums[tile] = sum;
    }
}

static void quantize_rows(const struct quantize_rows_call *call) { quantize_groups(call, quantize_group); }

const struct kernel quantize_rows_scalar = {
    .name = "quantize_rows_scalar",
    .op = OP_QUANTIZE_ROWS,
    .isa = ISA_SCALAR,
    .layout = "two passes over a group of f32: maximum, then codes",
    .function = (void (*)(void))quantize_rows,
};
