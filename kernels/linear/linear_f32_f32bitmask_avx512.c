// SPDX-License-Identifier: MIT
#include "kernels/linear/simd_avx512.h"

#define WEIGHT_TYPE                 WEIGHT_F32
#define BITS                        32
#define STORE                       STORE_BITMASK
#define IN_PLACE                    0
#define NEXT_FLOATS(source, buffer) next_floats_bitmask(source, buffer, false)
#define READ_COLUMNS(source, w)     read_bitmask_columns(source, false, w)
#define MANY_TOKENS                 "kernels/linear/linear_f32_many.h"
#include "kernels/linear/linear_f32_simd.h"

LINEAR_F32_KERNEL(
    linear_f32_f32bitmask_avx512, ISA_AVX512,
    "f32: a mask a column, then what is present; bound by reading weights at few tokens, by multiply-adds at many");
