// SPDX-License-Identifier: MIT
#include "kernels/vector_avx512.h"

#include "kernels/rope/rope_simd.h"

const struct kernel rope_f32_avx512 = {
    .name = "rope_f32_avx512",
    .op = OP_ROPE,
    .isa = ISA_AVX512,
    .layout = "a vector of pairs at a time, in place",
    .function = (void (*)(void))rope,
};
