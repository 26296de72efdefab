// SPDX-License-Identifier: MIT
#include "kernels/linear/linear_bf16_onednn.h"

const struct kernel linear_bf16_bf16_onednn = {
    .name = "linear_bf16_bf16_onednn",
    .op = OP_LINEAR,
    .isa = ISA_AVX512, // the library refuses bf16 below it
    .provider = PROVIDER_ONEDNN,
    .activation = ACTIVATION_BF16,
    .weight_type = WEIGHT_BF16,
    .bits = 16,
    .store = STORE_DENSE,
    .layout = "bf16 row-major, activations rounded to bf16, matmul",
    .function = (void (*)(void))linear,
};
