// SPDX-License-Identifier: MIT
// What the kernels of OP_QUANTIZE_ROWS share. Their results are the same bit for bit.
#ifndef LLMSWEEP_QUANTIZE_H
#define LLMSWEEP_QUANTIZE_H

#include "kernels/kernel.h"
#include "kernels/pack/float16.h"
#include "kernels/pack/packed.h"

#include <string.h>

// What a row's codes are multiplied with, from the bits of its largest magnitude. False where there is nothing to round: the row's
// scale and codes are then already written.
static inline bool quantize_rows_prepare(const struct quantize_rows_call *call, int row, uint32_t largest_bits,
                                         float *factor) {
    struct quantized_rows *out = call->out;
    const float largest = bits_float(largest_bits);
    // As integers, the bits of a NaN are above infinity's and those above all finite magnitudes', so neither is lost in a maximum.
    const bool finite = largest_bits < 0x7f800000;
    const bool vanishing = largest < 0x1p-100f; // 127/largest would overflow soon below
    out->scales[row] = !finite ? bits_float(0x7fc00000) : vanishing ? 0.0f : largest / 127.0f;
    if (finite && !vanishing) {
        *factor = 127.0f / largest;
        return true;
    }
    memset(out->codes + (size_t)row * (size_t)out->columns, 0, (size_t)out->columns);
    memset(out->sums + (size_t)row * (size_t)(out->columns / TILE_COLUMNS), 0,
           (size_t)(out->columns / TILE_COLUMNS) * sizeof(out->sums[0]));
    return false;
}

#endif
