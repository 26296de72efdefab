// SPDX-License-Identifier: MIT
#include "kernels/quantize/quantize.h"

#include <math.h>

static void quantize_row(const struct quantize_rows_call *call, int row) {
    struct quantized_rows *out = call->out;
    const float *x = call->x + (size_t)row * call->x_stride;
    uint32_t largest = 0;
    for (int k = 0; k < out->columns; k++) {
        const uint32_t magnitude = float_bits(x[k]) & 0x7fffffff;
        largest = magnitude > largest ? magnitude : largest;
    }
    float factor;
    if (!quantize_rows_prepare(call, row, largest, &factor))
        return;
    int8_t *codes = out->codes + (size_t)row * (size_t)out->columns;
    int32_t *sums = out->sums + (size_t)row * (size_t)(out->columns / TILE_COLUMNS);
    for (int tile = 0; tile < out->columns / TILE_COLUMNS; tile++) {
        int32_t sum = 0;
        for (int k = tile * TILE_COLUMNS; k < (tile + 1) * TILE_COLUMNS; k++) {
            const int32_t code = (int32_t)lrintf(x[k] * factor);
            codes[k] = (int8_t)code;
            sum += code;
        }
        sums[tile] = sum;
    }
}

static void quantize_rows(const struct quantize_rows_call *call) {
    for (int row = call->begin; row < call->end; row++)
        quantize_row(call, row);
}

const struct kernel quantize_rows_scalar = {
    .name = "quantize_rows_scalar",
    .op = OP_QUANTIZE_ROWS,
    .isa = ISA_SCALAR,
    .layout = "two passes over a row of f32: maximum, then codes",
    .function = (void (*)(void))quantize_rows,
};
