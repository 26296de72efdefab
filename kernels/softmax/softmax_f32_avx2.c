// SPDX-License-Identifier: MIT
#include "kernels/vector_avx2.h"

#include "kernels/softmax/softmax_simd.h"

const struct kernel softmax_f32_avx2 = {
    .name = "softmax_f32_avx2",
    .op = OP_SOFTMAX,
    .isa = ISA_AVX2,
    .layout = "three passes over the row; the sum in double",
    .function = (void (*)(void))softmax,
};
