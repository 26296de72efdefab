// SPDX-License-Identifier: MIT
#include "kernels/vector_avx2.h"

#define CACHE_NIBBLES 0
#include "kernels/attention/attention_integer.h"

const struct kernel attention_f32_q8_avx2 = {
    .name = "attention_f32_q8_avx2",
    .op = OP_ATTENTION,
    .isa = ISA_AVX2,
    .kv = KV_Q8,
    .layout = "4 queries × 16 positions in registers, 8-bit codes × 16-bit queries and weights, vpmaddwd; decode is bound by reading the cache once",
    .function = (void (*)(void))attention,
};
