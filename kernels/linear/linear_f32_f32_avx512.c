// SPDX-License-Identifier: MIT
#include "kernels/linear/simd_avx512.h"

#define WEIGHT_TYPE                 WEIGHT_F32
#define BITS                        32
#define STORE                       STORE_DENSE
#define IN_PLACE                    1
#define NEXT_FLOATS(source, buffer) next_f32(source, buffer)
#define READ_COLUMNS(source, w)     read_columns(source, false, w)
#define MANY_TOKENS                 "kernels/linear/linear_f32_many.h"
#include "kernels/linear/linear_f32_simd.h"
#include "kernels/linear/tile_f32_avx512.h"

LINEAR_F32_KERNEL(linear_f32_f32_avx512, ISA_AVX512,
                  "f32: 16 rows × 1 column a vector; bound by reading weights at few tokens, by multiply-adds at many");
