// SPDX-License-Identifier: MIT
#include "kernels/linear/simd_avx512.h"

#define WEIGHT_TYPE                 WEIGHT_BF16
#define BITS                        16
#define STORE                       STORE_BLOCK
#define IN_PLACE                    0
#define NEXT_FLOATS(source, buffer) next_bf16_blocks(source, buffer)
#define READ_COLUMNS(source, w)     read_columns(source, true, w)
#define MANY_TOKENS                 "kernels/linear/linear_f32_block.h"
#include "kernels/linear/linear_f32_simd.h"

LINEAR_F32_KERNEL(linear_f32_bf16block_avx512, ISA_AVX512,
                  "bf16: chunks of 16 rows × 4 columns; skips the absent; bound by reading weights at few tokens, by "
                  "multiply-adds at many");
