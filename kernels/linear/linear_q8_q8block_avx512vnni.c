// SPDX-License-Identifier: MIT
#include "kernels/linear/simd_avx512.h"

#define BITS                       8
#define STORE                      STORE_BLOCK
#define IN_PLACE                   1
#define NEXT_CODES(source, buffer) next_blocks(source, BITS, buffer)
#define MANY_TOKENS                "kernels/linear/linear_q8_block.h"
#include "kernels/linear/linear_q8_simd.h"

LINEAR_Q8_KERNEL(linear_q8_q8block_avx512vnni, ISA_AVX512VNNI,
                 "q8: chunks of 16 rows × 4 columns; skips the absent; bound by reading weights at few tokens, by "
                 "integer dot products at many");
