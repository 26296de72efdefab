// SPDX-License-Identifier: MIT
#include "kernels/vector_avx2.h"

#include "kernels/norm/rmsnorm_simd.h"

const struct kernel rmsnorm_f32_avx2 = {
    .name = "rmsnorm_f32_avx2",
    .op = OP_RMSNORM,
    .isa = ISA_AVX2,
    .layout = "two passes over the row, which stays in L1",
    .function = (void (*)(void))rmsnorm,
};
