// SPDX-License-Identifier: MIT
#include "kernels/linear/simd_avx2.h"

#define WEIGHT_TYPE                 WEIGHT_QUANTIZED
#define BITS                        16
#define STORE                       STORE_DENSE
#define IN_PLACE                    0
#define NEXT_FLOATS(source, buffer) next_q16(source, buffer)
#define MANY_TOKENS                 "kernels/linear/linear_f32_many.h"
#include "kernels/linear/linear_f32_simd.h"

LINEAR_F32_KERNEL(linear_f32_q16_avx2, ISA_AVX2,
                  "q16: 16 rows × 1 column a vector; bound by reading weights at few tokens, by multiply-adds at many");
