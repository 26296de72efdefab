// SPDX-License-Identifier: MIT
// y = x·Wᵀ for dense bf16 weights, x rounded to bf16, summed in f32.
#include "kernels/pack/float16.h"

#define X_VALUE(x) bfloat16_to_float(float_to_bfloat16(x))
#include "kernels/linear/linear_float_scalar.h"

const struct kernel linear_bf16_bf16_scalar = {
    .name = "linear_bf16_bf16_scalar",
    .op = OP_LINEAR,
    .isa = ISA_SCALAR,
    .activation = ACTIVATION_BF16,
    .weight_type = WEIGHT_BF16,
    .bits = 16,
    .store = STORE_DENSE,
    .layout = "bf16, with x rounded to bf16: unpacks one weight at a time; bound by that",
    .function = (void (*)(void))linear,
};
