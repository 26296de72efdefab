// SPDX-License-Identifier: MIT
// y = x·Wᵀ by oneDNN's matmul. Each calling thread computes its own slice.
#include "kernels/linear/linear.h"
#include "kernels/onednn.h"

#include <assert.h>

static void linear(const struct linear_call *call) {
    const int k = call->weights->columns;
    assert(call->weights->row_major != NULL);
    const float *weights = (const float *)call->weights->row_major + (size_t)call->begin * (size_t)k;
    onednn_matmul(ONEDNN_F32, call->m, call->end - call->begin, k, call->x, call->x_stride, weights, call->y + call->begin,
                  call->y_stride);
}

const struct kernel linear_f32_f32_onednn = {
    .name = "linear_f32_f32_onednn",
    .op = OP_LINEAR,
    .isa = ISA_SCALAR,
    .provider = PROVIDER_ONEDNN,
    .activation = ACTIVATION_F32,
    .weight_type = WEIGHT_F32,
    .bits = 32,
    .store = STORE_DENSE,
    .layout = "f32 row-major, matmul",
    .function = (void (*)(void))linear,
};
