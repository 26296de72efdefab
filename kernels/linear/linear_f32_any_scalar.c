// SPDX-License-Identifier: MIT
// y = x·Wᵀ for every weight format.
#define X_VALUE(x) (x)
#include "kernels/linear/linear_float_scalar.h"

const struct kernel linear_f32_any_scalar = {
    .name = "linear_f32_any_scalar",
    .op = OP_LINEAR,
    .isa = ISA_SCALAR,
    .activation = ACTIVATION_F32,
    .any_store = true,
    .layout = "any: unpacks one weight at a time; bound by that",
    .function = (void (*)(void))linear,
};
