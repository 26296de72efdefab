// SPDX-License-Identifier: MIT
#include "kernels/linear/simd_avx2.h"

#define WEIGHT_TYPE                WEIGHT_QUANTIZED
#define BITS                       2
#define STORE                      STORE_BLOCK
#define IN_PLACE                   0
#define NEXT_CODES(source, buffer) next_blocks(source, BITS, buffer)
#define MANY_TOKENS                "kernels/linear/linear_f32_block.h"
#include "kernels/linear/linear_f32_simd.h"

LINEAR_F32_KERNEL(linear_f32_q2block_avx2, ISA_AVX2,
                  "q2: chunks of 16 rows × 4 columns; skips the absent; bound by widening codes to f32");
