// SPDX-License-Identifier: MIT
#include "kernels/vector_avx512.h"

#include "kernels/norm/rmsnorm_simd.h"

const struct kernel rmsnorm_f32_avx512 = {
    .name = "rmsnorm_f32_avx512",
    .op = OP_RMSNORM,
    .isa = ISA_AVX512,
    .layout = "two passes over the row, which stays in L1",
    .function = (void (*)(void))rmsnorm,
};
