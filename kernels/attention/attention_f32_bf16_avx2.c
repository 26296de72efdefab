// SPDX-License-Identifier: MIT
#include "kernels/vector_avx2.h"

#define CACHE_BF16 1
#include "kernels/attention/attention_float.h"

const struct kernel attention_f32_bf16_avx2 = {
    .name = "attention_f32_bf16_avx2",
    .op = OP_ATTENTION,
    .isa = ISA_AVX2,
    .kv = KV_BF16,
    .layout = "4 queries × 16 positions in registers, bf16 widened to f32; decode is bound by reading the cache once",
    .function = (void (*)(void))attention,
};
