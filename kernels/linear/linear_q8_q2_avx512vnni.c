// SPDX-License-Identifier: MIT
#include "kernels/linear/simd_avx512.h"

#define BITS                       2
#define STORE                      STORE_DENSE
#define IN_PLACE                   0
#define NEXT_CODES(source, buffer) next_fetched_planes(source, BITS, buffer)
#define MANY_TOKENS                "kernels/linear/linear_q8_many.h"
#include "kernels/linear/linear_q8_simd.h"

LINEAR_Q8_KERNEL(linear_q8_q2_avx512vnni, ISA_AVX512VNNI,
                 "q2: 2-bit fields; bound by reading weights at few tokens, by integer dot products at many");
