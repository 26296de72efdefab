// SPDX-License-Identifier: MIT
#include "kernels/vector_avx2.h"

#include "kernels/rope/rope_simd.h"

const struct kernel rope_f32_avx2 = {
    .name = "rope_f32_avx2",
    .op = OP_ROPE,
    .isa = ISA_AVX2,
    .layout = "a vector of pairs at a time, in place",
    .function = (void (*)(void))rope,
};
