// SPDX-License-Identifier: MIT
#include "kernels/linear/simd_avx512.h"

#define WEIGHT_TYPE                WEIGHT_QUANTIZED
#define BITS                       6
#define STORE                      STORE_BITMASK
#define IN_PLACE                   0
#define NEXT_CODES(source, buffer) next_bitmask(source, BITS, buffer)
#define MANY_TOKENS                "kernels/linear/linear_f32_many.h"
#include "kernels/linear/linear_f32_simd.h"

LINEAR_F32_KERNEL(linear_f32_q6bitmask_avx512vnni, ISA_AVX512VNNI,
                  "q6: a mask a chunk, then the present codes; bound by widening codes to f32");
