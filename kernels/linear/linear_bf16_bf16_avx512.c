// SPDX-License-Identifier: MIT
#include "kernels/linear/simd_avx512.h"

#define X_TYPE                      ACTIVATION_BF16
#define WEIGHT_TYPE                 WEIGHT_BF16
#define BITS                        16
#define STORE                       STORE_DENSE
#define IN_PLACE                    0
#define NEXT_FLOATS(source, buffer) next_bf16(source, buffer)
#define READ_COLUMNS(source, w)     read_columns(source, true, w)
#define MANY_TOKENS                 "kernels/linear/linear_f32_many.h"
#include "kernels/linear/linear_f32_simd.h"

LINEAR_F32_KERNEL(
    linear_bf16_bf16_avx512, ISA_AVX512,
    "bf16, with x rounded to bf16: 16 rows × 2 columns a vector; bound by reading weights at few tokens, by multiply-adds at many");
