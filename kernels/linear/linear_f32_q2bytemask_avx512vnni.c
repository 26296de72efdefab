// SPDX-License-Identifier: MIT
#include "kernels/linear/simd_avx512.h"

#define WEIGHT_TYPE                WEIGHT_QUANTIZED
#define BITS                       2
#define STORE                      STORE_BYTEMASK
#define IN_PLACE                   0
#define NEXT_CODES(source, buffer) next_bytemask(source, BITS, buffer)
#define MANY_TOKENS                "kernels/linear/linear_f32_many.h"
#include "kernels/linear/linear_f32_simd.h"

LINEAR_F32_KERNEL(linear_f32_q2bytemask_avx512vnni, ISA_AVX512VNNI,
                  "q2: a mask for each 64 bytes of dense ones, then those with something in them; bound by widening codes to f32");
