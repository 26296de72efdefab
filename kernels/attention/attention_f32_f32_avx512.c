// SPDX-License-Identifier: MIT
#include "kernels/vector_avx512.h"

#define CACHE_BF16 0
#include "kernels/attention/attention_float.h"

const struct kernel attention_f32_f32_avx512 = {
    .name = "attention_f32_f32_avx512",
    .op = OP_ATTENTION,
    .isa = ISA_AVX512,
    .kv = KV_F32,
    .layout = "6 queries × 64 positions in registers, f32 products; decode is bound by reading the cache once",
    .function = (void (*)(void))attention,
};
