// SPDX-License-Identifier: MIT
#include "kernels/linear/simd_avx512.h"

#define WEIGHT_TYPE                 WEIGHT_BF16
#define BITS                        16
#define STORE                       STORE_BITMASK
#define IN_PLACE                    0
#define NEXT_FLOATS(source, buffer) next_floats_bitmask(source, buffer, true)
#define READ_COLUMNS(source, w)     read_bitmask_columns(source, true, w)
#define MANY_TOKENS                 "kernels/linear/linear_f32_many.h"
#include "kernels/linear/linear_f32_simd.h"

LINEAR_F32_KERNEL(
    linear_f32_bf16bitmask_avx512, ISA_AVX512,
    "bf16: a mask a pair of columns, then what is present; bound by reading weights at few tokens, by multiply-adds at many");
