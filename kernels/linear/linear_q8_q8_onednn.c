// SPDX-License-Identifier: MIT
// y = x·Wᵀ by oneDNN's matmul of 8-bit integers, for weights with one scale a row; the scales are multiplied in afterwards.
#include "kernels/linear/linear.h"
#include "kernels/onednn.h"

#include <assert.h>

static void linear(const struct linear_call *call) {
    const int k = call->weights->columns, count = call->end - call->begin;
    assert(call->weights->row_major != NULL);
    const int8_t *codes = (const int8_t *)call->weights->row_major + (size_t)call->begin * (size_t)k;
    const float *scales = packed_row_scales(call->weights) + call->begin;
    onednn_matmul(ONEDNN_S8, call->m, count, k, call->x_codes->codes, (size_t)k, codes, call->y + call->begin, call->y_stride);
    for (int token = 0; token < call->m; token++) {
        float *y = call->y + (size_t)token * call->y_stride + call->begin;
        const float scale = call->x_codes->scales[token];
        for (int row = 0; row < count; row++)
            y[row] = y[row] * scales[row] * scale;
    }
}

const struct kernel linear_q8_q8_onednn = {
    .name = "linear_q8_q8_onednn",
    .op = OP_LINEAR,
    .isa = ISA_AVX512VNNI, // below it the library multiplies by an instruction that saturates at 16 bits
    .provider = PROVIDER_ONEDNN,
    .activation = ACTIVATION_Q8,
    .weight_type = WEIGHT_QUANTIZED,
    .bits = 8,
    .store = STORE_DENSE,
    .per_channel = true,
    .layout = "s8 row-major, one scale a row, matmul",
    .function = (void (*)(void))linear,
};
