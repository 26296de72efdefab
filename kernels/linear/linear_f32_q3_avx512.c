// SPDX-License-Identifier: MIT
#include "kernels/linear/simd_avx512.h"

#define WEIGHT_TYPE                WEIGHT_QUANTIZED
#define BITS                       3
#define STORE                      STORE_DENSE
#define IN_PLACE                   0
#define NEXT_CODES(source, buffer) next_planes(source, BITS, buffer)
#define MANY_TOKENS                "kernels/linear/linear_f32_many.h"
#include "kernels/linear/linear_f32_simd.h"

LINEAR_F32_KERNEL(linear_f32_q3_avx512, ISA_AVX512, "q3: planes of 2 + 1 bits; bound by widening codes to f32");
