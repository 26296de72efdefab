// SPDX-License-Identifier: MIT
#define WEIGHT_TYPE             WEIGHT_BF16
#define BITS                    16
#define STORE                   STORE_BITMASK
#define IN_PLACE                0
#define NEXT_PAIRS(source, out) next_pairs_bitmask(source, out)
#define FEWER_TOKENS            linear_f32_bf16bitmask_avx512vnni
#include "kernels/linear/linear_bf16_tiles.h"

LINEAR_BF16_KERNEL(linear_bf16_bf16bitmask_avx512bf16,
                   "many tokens: expanded to bf16, then vdpbf16ps of 12 tokens × 32 rows, which bounds it");
