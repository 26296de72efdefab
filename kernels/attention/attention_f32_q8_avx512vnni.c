// SPDX-License-Identifier: MIT
#include "kernels/vector_avx512.h"

#define CACHE_NIBBLES 0
#include "kernels/attention/attention_integer.h"

const struct kernel attention_f32_q8_avx512vnni = {
    .name = "attention_f32_q8_avx512vnni",
    .op = OP_ATTENTION,
    .isa = ISA_AVX512VNNI,
    .kv = KV_Q8,
    .layout = "6 queries × 64 positions in registers, 8-bit codes × 16-bit queries and weights, vpdpwssd; decode is bound by reading the cache once",
    .function = (void (*)(void))attention,
};
