// SPDX-License-Identifier: MIT
#include "kernels/activation/activation.h"

#include <math.h>

#include "kernels/kernel.h"

static void swiglu(const struct swiglu_call *call)
{
    for (int i = 0; i < call->rows; i++) {
        const size_t row = (size_t)i * call->stride;
        for (int j = 0; j < call->columns; j++) {
            const float gate = call->gate[row + (size_t)j];
            const float slope = call->gelu ? gate * (GELU_LINEAR + GELU_CUBIC * gate * gate) : gate;
            call->y[row + (size_t)j] = gate / (1.0f + expf(-slope)) * call->up[row + (size_t)j];
        }
    }
}

const struct kernel swiglu_f32_scalar = {
    .name = "swiglu_f32_scalar",
    .op = OP_SWIGLU,
    .isa = ISA_SCALAR,
    .layout = "one element at a time, libm's expf",
    .function = (void (*)(void))swiglu,
};
