// SPDX-License-Identifier: MIT
#include "kernels/vector_avx2.h"

#include "kernels/activation/swiglu_simd.h"

const struct kernel swiglu_f32_avx2 = {
    .name = "swiglu_f32_avx2",
    .op = OP_SWIGLU,
    .isa = ISA_AVX2,
    .layout = "a vector at a time, one division each",
    .function = (void (*)(void))swiglu,
};
