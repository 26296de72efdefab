// SPDX-License-Identifier: MIT
#include "kernels/linear/simd_avx2.h"

#define BITS                       5
#define STORE                      STORE_BITMASK
#define IN_PLACE                   0
#define NEXT_CODES(source, buffer) next_bitmask(source, BITS, buffer)
#define MANY_TOKENS                "kernels/linear/linear_q8_many.h"
#include "kernels/linear/linear_q8_simd.h"

LINEAR_Q8_KERNEL(linear_q8_q5bitmask_avx2, ISA_AVX2,
                 "q5: a mask a chunk, then the present codes; bound by reading weights at few tokens, by integer dot "
                 "products at many");
