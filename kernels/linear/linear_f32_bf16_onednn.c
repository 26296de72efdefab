// SPDX-License-Identifier: MIT
// y = x·Wᵀ by oneDNN's bf16 matmul. It has none with f32 activations, so they are rounded to bf16 first, in passes that
// fit in the scratch.
#include "kernels/linear/linear.h"
#include "kernels/onednn.h"
#include "kernels/pack/float16.h"

#include <assert.h>

enum { PASS = 2 * LINEAR_PASS }; // bf16 where other kernels keep f32

static void linear(const struct linear_call *call) {
    const int k = call->weights->columns;
    assert(call->weights->row_major != NULL);
    const uint16_t *weights = (const uint16_t *)call->weights->row_major + (size_t)call->begin * (size_t)k;
    uint16_t *rounded = (uint16_t *)(void *)linear_scratch(call).x;
    for (int token0 = 0; token0 < call->m; token0 += PASS) {
        const int tokens = linear_minimum(call->m - token0, PASS);
        for (int i = 0; i < tokens; i++) {
            const float *x = call->x + (size_t)(token0 + i) * call->x_stride;
            for (int column = 0; column < k; column++)
                rounded[(size_t)i * (size_t)k + (size_t)column] = float_to_bfloat16(x[column]);
        }
        onednn_matmul(ONEDNN_BF16, tokens, call->end - call->begin, k, rounded, (size_t)k, weights,
                      call->y + (size_t)token0 * call->y_stride + call->begin, call->y_stride);
    }
}

const struct kernel linear_f32_bf16_onednn = {
    .name = "linear_f32_bf16_onednn",
    .op = OP_LINEAR,
    .isa = ISA_AVX512, // the library refuses bf16 below it
    .provider = PROVIDER_ONEDNN,
    .activation = ACTIVATION_F32,
    .weight_type = WEIGHT_BF16,
    .bits = 16,
    .store = STORE_DENSE,
    .layout = "bf16 row-major, activations rounded to bf16, matmul",
    .function = (void (*)(void))linear,
};
