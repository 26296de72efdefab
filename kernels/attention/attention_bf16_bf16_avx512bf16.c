// SPDX-License-Identifier: MIT
#include "kernels/vector_avx512.h"

#include "kernels/attention/attention_bf16_dot.h"

extern const struct kernel attention_f32_bf16_avx512;

// Rows of a prompt, however few at a time; all others, which are bound by reading the cache, are not rounded.
static void attention_of_prompts(const struct attention_call *call)
{
    if (call->prefill)
        attention(call);
    else
        ((attention_function *)attention_f32_bf16_avx512.function)(call);
}

const struct kernel attention_bf16_bf16_avx512bf16 = {
    .name = "attention_bf16_bf16_avx512bf16",
    .op = OP_ATTENTION,
    .isa = ISA_AVX512BF16,
    .activation = ACTIVATION_BF16,
    .kv = KV_BF16,
    .layout = "prefill by 6 queries × 64 positions in registers, vdpbf16ps, which bounds it; decode as attention_f32_bf16_avx512",
    .function = (void (*)(void))attention_of_prompts,
};
