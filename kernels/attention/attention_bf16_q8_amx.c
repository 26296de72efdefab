// SPDX-License-Identifier: MIT
#define CACHE_BITS 8
#include "kernels/attention/attention_matrix.h"

extern const struct kernel attention_f32_q8_avx512vnni;

static void attention(const struct attention_call *call)
{
    attention_by_tiles(call, &attention_f32_q8_avx512vnni);
}

const struct kernel attention_bf16_q8_amx = {
    .name = "attention_bf16_q8_amx",
    .op = OP_ATTENTION,
    .isa = ISA_AMX,
    .activation = ACTIVATION_BF16,
    .kv = KV_Q8,
    .layout = "prefill by two by two tiles beside exponentials, which bound it; decode as attention_f32_q8_avx512vnni",
    .function = (void (*)(void))attention,
};
