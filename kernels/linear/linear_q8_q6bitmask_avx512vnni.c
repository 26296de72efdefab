// SPDX-License-Identifier: MIT
#include "kernels/linear/simd_avx512.h"

#define BITS                       6
#define STORE                      STORE_BITMASK
#define IN_PLACE                   0
#define NEXT_CODES(source, buffer) next_bitmask(source, BITS, buffer)
#define MANY_TOKENS                "kernels/linear/linear_q8_many.h"
#include "kernels/linear/linear_q8_simd.h"

LINEAR_Q8_KERNEL(linear_q8_q6bitmask_avx512vnni, ISA_AVX512VNNI,
                 "q6: a mask a chunk, then the present codes; bound by reading weights at few tokens, by integer dot "
                 "products at many");
