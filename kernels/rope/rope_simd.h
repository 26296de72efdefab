// SPDX-License-Identifier: MIT
// The body of the vector kernels of the rotary position embedding, behind vector_avx2.h or vector_avx512.h.
#include "kernels/rope/rope.h"

#include <stddef.h>

#include "kernels/kernel.h"

static void rotate_halves(const struct rope_call *call, float *x)
{
    const int half = call->head_dim / 2;
    for (int i = 0; i < half; i += VEC) {
        const int left = half - i;
        const vec a = vec_load_some(x + i, left, vec_zero()), b = vec_load_some(x + half + i, left, vec_zero());
        const vec c = vec_load_some(call->cosines + i, left, vec_zero()), s = vec_load_some(call->sines + i, left, vec_zero());
        vec_store_some(x + i, left, vec_fms(a, c, vec_mul(b, s)));
        vec_store_some(x + half + i, left, vec_fma(a, s, vec_mul(b, c)));
    }
}

static void rotate_interleaved(const struct rope_call *call, float *x)
{
    for (int i = 0; i < call->head_dim / 2; i += VEC / 2) {
        const vec c = vec_load_twice(call->cosines + i), s = vec_load_twice(call->sines + i), pair = vec_load(x + 2 * i);
        vec_store(x + 2 * i, vec_fmaddsub(pair, c, vec_mul(vec_swap_pairs(pair), s)));
    }
}

static void rope(const struct rope_call *call)
{
    for (int head = 0; head < call->heads; head++) {
        float *x = call->x + (size_t)head * (size_t)call->head_dim;
        if (call->interleaved)
            rotate_interleaved(call, x);
        else
            rotate_halves(call, x);
    }
}
