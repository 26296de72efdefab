// SPDX-License-Identifier: MIT
#include "kernels/vector_avx2.h"

#define CACHE_BF16 0
#include "kernels/attention/attention_float.h"

const struct kernel attention_f32_f32_avx2 = {
    .name = "attention_f32_f32_avx2",
    .op = OP_ATTENTION,
    .isa = ISA_AVX2,
    .kv = KV_F32,
    .layout = "4 queries × 16 positions in registers, f32 products; decode is bound by reading the cache once",
    .function = (void (*)(void))attention,
};
