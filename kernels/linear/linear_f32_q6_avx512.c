// SPDX-License-Identifier: MIT
#include "kernels/linear/simd_avx512.h"

#define WEIGHT_TYPE                WEIGHT_QUANTIZED
#define BITS                       6
#define STORE                      STORE_DENSE
#define IN_PLACE                   0
#define NEXT_CODES(source, buffer) next_planes(source, BITS, buffer)
#define MANY_TOKENS                "kernels/linear/linear_f32_many.h"
#include "kernels/linear/linear_f32_simd.h"

LINEAR_F32_KERNEL(linear_f32_q6_avx512, ISA_AVX512, "q6: planes of 4 + 2 bits; bound by widening codes to f32");
