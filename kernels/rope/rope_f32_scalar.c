// SPDX-License-Identifier: MIT
#include "kernels/rope/rope.h"

#include <stddef.h>

#include "kernels/kernel.h"

static void rope(const struct rope_call *call)
{
    const int half = call->head_dim / 2;
    const int step = call->interleaved ? 2 : 1, distance = call->interleaved ? 1 : half;
    for (int head = 0; head < call->heads; head++) {
        float *x = call->x + (size_t)head * (size_t)call->head_dim;
        for (int i = 0; i < half; i++) {
            const float a = x[i * step], b = x[i * step + distance];
            x[i * step] = a * call->cosines[i] - b * call->sines[i];
            x[i * step + distance] = a * call->sines[i] + b * call->cosines[i];
        }
    }
}

const struct kernel rope_f32_scalar = {
    .name = "rope_f32_scalar",
    .op = OP_ROPE,
    .isa = ISA_SCALAR,
    .layout = "one pair at a time, in place",
    .function = (void (*)(void))rope,
};
