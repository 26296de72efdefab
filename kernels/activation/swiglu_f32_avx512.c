// SPDX-License-Identifier: MIT
#include "kernels/vector_avx512.h"

#include "kernels/activation/swiglu_simd.h"

const struct kernel swiglu_f32_avx512 = {
    .name = "swiglu_f32_avx512",
    .op = OP_SWIGLU,
    .isa = ISA_AVX512,
    .layout = "a vector at a time, one division each",
    .function = (void (*)(void))swiglu,
};
