// SPDX-License-Identifier: MIT
#define CACHE_BITS 16
#include "kernels/attention/attention_matrix.h"

extern const struct kernel attention_f32_bf16_avx512;

static void attention(const struct attention_call *call)
{
    attention_by_tiles(call, &attention_f32_bf16_avx512);
}

const struct kernel attention_bf16_bf16_amx = {
    .name = "attention_bf16_bf16_amx",
    .op = OP_ATTENTION,
    .isa = ISA_AMX,
    .activation = ACTIVATION_BF16,
    .kv = KV_BF16,
    .layout = "prefill by two by two tiles beside exponentials, which bound it; decode as attention_f32_bf16_avx512",
    .function = (void (*)(void))attention,
};
