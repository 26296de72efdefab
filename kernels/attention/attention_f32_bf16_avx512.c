// SPDX-License-Identifier: MIT
#include "kernels/vector_avx512.h"

#define CACHE_BF16 1
#include "kernels/attention/attention_float.h"

const struct kernel attention_f32_bf16_avx512 = {
    .name = "attention_f32_bf16_avx512",
    .op = OP_ATTENTION,
    .isa = ISA_AVX512,
    .kv = KV_BF16,
    .layout = "6 queries × 64 positions in registers, bf16 widened to f32; decode is bound by reading the cache once",
    .function = (void (*)(void))attention,
};
