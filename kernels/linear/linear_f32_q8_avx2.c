// SPDX-License-Identifier: MIT
#include "kernels/linear/simd_avx2.h"

#define WEIGHT_TYPE                WEIGHT_QUANTIZED
#define BITS                       8
#define STORE                      STORE_DENSE
#define IN_PLACE                   0
#define NEXT_CODES(source, buffer) next_planes(source, BITS, buffer)
#define MANY_TOKENS                "kernels/linear/linear_f32_many.h"
#include "kernels/linear/linear_f32_simd.h"

LINEAR_F32_KERNEL(linear_f32_q8_avx2, ISA_AVX2, "q8: bytes; bound by widening codes to f32");
