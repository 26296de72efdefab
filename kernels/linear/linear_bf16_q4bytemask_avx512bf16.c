// SPDX-License-Identifier: MIT
#define WEIGHT_TYPE                WEIGHT_QUANTIZED
#define BITS                       4
#define STORE                      STORE_BYTEMASK
#define IN_PLACE                   0
#define NEXT_CODES(source, buffer) next_bytemask(source, BITS, buffer)
#define FEWER_TOKENS               linear_f32_q4bytemask_avx512vnni
#include "kernels/linear/linear_bf16_tiles.h"

LINEAR_BF16_KERNEL(linear_bf16_q4bytemask_avx512bf16,
                   "many tokens: expanded to bf16, then vdpbf16ps of 12 tokens × 32 rows, which bounds it");
