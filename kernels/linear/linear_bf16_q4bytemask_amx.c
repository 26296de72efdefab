// SPDX-License-Identifier: MIT
#define WEIGHT_TYPE                WEIGHT_QUANTIZED
#define BITS                       4
#define STORE                      STORE_BYTEMASK
#define IN_PLACE                   0
#define NEXT_CODES(source, buffer) next_bytemask(source, BITS, buffer)
#define FEWER_TOKENS               linear_f32_q4bytemask_avx512vnni
#include "kernels/linear/linear_bf16_tiles.h"

LINEAR_BF16_KERNEL(linear_bf16_q4bytemask_amx,
                   "many tokens: expanded to bf16, then two by two tiles of 16 × 16 and 32 columns; bound by what first-level cache receives");
