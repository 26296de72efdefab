// SPDX-License-Identifier: MIT
#include "kernels/linear/simd_avx512.h"

#define WEIGHT_TYPE                 WEIGHT_F32
#define BITS                        32
#define STORE                       STORE_BLOCK
#define IN_PLACE                    1
#define NEXT_FLOATS(source, buffer) next_f32_blocks(source, buffer)
#define READ_COLUMNS(source, w)     read_columns(source, false, w)
#define MANY_TOKENS                 "kernels/linear/linear_f32_block.h"
#include "kernels/linear/linear_f32_simd.h"

LINEAR_F32_KERNEL(linear_f32_f32block_avx512, ISA_AVX512,
                  "f32: chunks of 16 rows × 4 columns; skips the absent; bound by reading weights at few tokens, by "
                  "multiply-adds at many");
