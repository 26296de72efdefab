// SPDX-License-Identifier: MIT
// y = x·Wᵀ by oneDNN's bf16 matmul, for activations that are rounded to bf16 first, in passes that fit in the scratch.
#ifndef LLMSWEEP_LINEAR_BF16_ONEDNN_H
#define LLMSWEEP_LINEAR_BF16_ONEDNN_H

#include "kernels/linear/linear.h"
#include "kernels/onednn.h"
#include "kernels/pack/float16.h"

#include <assert.h>

enum { PASS = 2 * LINEAR_PASS }; // bf16 where other kernels keep f32

// In vectors, so that the library is not charged for more than it would take itself.
#if defined(__x86_64__)
__attribute__((target("avx512f,avx512bw")))
#endif
static void round_row(const float *x, int columns, uint16_t *rounded) {
    for (int column = 0; column < columns; column++)
        rounded[column] = float_to_bfloat16(x[column]);
}

static void linear(const struct linear_call *call) {
    const int k = call->weights->columns;
    assert(call->weights->row_major != NULL);
    const uint16_t *weights = (const uint16_t *)call->weights->row_major + (size_t)call->begin * (size_t)k;
    uint16_t *rounded = (uint16_t *)(void *)linear_scratch(call).x;
    for (int token0 = 0; token0 < call->m; token0 += PASS) {
        const int tokens = linear_minimum(call->m - token0, PASS);
        for (int i = 0; i < tokens; i++)
            round_row(call->x + (size_t)(token0 + i) * call->x_stride, k, rounded + (size_t)i * (size_t)k);
        onednn_matmul(ONEDNN_BF16, tokens, call->end - call->begin, k, rounded, (size_t)k, weights,
                      call->y + (size_t)token0 * call->y_stride + call->begin, call->y_stride);
    }
}

#endif
