// SPDX-License-Identifier: MIT
#include "kernels/linear/simd_avx2.h"

#define BITS                       2
#define STORE                      STORE_BYTEMASK
#define IN_PLACE                   0
#define NEXT_CODES(source, buffer) next_bytemask(source, BITS, buffer)
#define MANY_TOKENS                "kernels/linear/linear_q8_many.h"
#include "kernels/linear/linear_q8_simd.h"

LINEAR_Q8_KERNEL(linear_q8_q2bytemask_avx2, ISA_AVX2,
                 "q2: a mask for each 64 bytes of dense ones, then those with something in them; bound by reading weights at few tokens, by integer dot "
                 "products at many");
