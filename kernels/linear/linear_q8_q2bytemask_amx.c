// SPDX-License-Identifier: MIT
#include "kernels/linear/simd_avx512.h"

#define BITS                       2
#define STORE                      STORE_BYTEMASK
#define IN_PLACE                   0
#define NEXT_CODES(source, buffer) next_bytemask(source, BITS, buffer)
#define FEWER_TOKENS               linear_q8_q2bytemask_avx512vnni
#define MANY_TOKENS                "kernels/linear/linear_q8_many.h"
#include "kernels/linear/linear_q8_simd.h"

LINEAR_Q8_KERNEL(linear_q8_q2bytemask_amx, ISA_AMX,
                 "tiles of up to 16 × 16 and 64 columns; bound by storing and converting sums of groups, few tokens by reading and unpacking beside these");
