// SPDX-License-Identifier: MIT
#include "kernels/rope/rope.h"

#include <immintrin.h>
#include <stddef.h>

#include "kernels/kernel.h"

static void rotate_halves(const struct rope_call *call, float *x)
{
    const int half = call->head_dim / 2;
    for (int i = 0; i < half; i += 8) {
        const __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + half + i);
        const __m256 c = _mm256_loadu_ps(call->cosines + i), s = _mm256_loadu_ps(call->sines + i);
        _mm256_storeu_ps(x + i, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
        _mm256_storeu_ps(x + half + i, _mm256_fmadd_ps(a, s, _mm256_mul_ps(b, c)));
    }
}

static void rotate_interleaved(const struct rope_call *call, float *x)
{
    for (int i = 0; i < call->head_dim / 2; i += 4) {
        const __m128 c = _mm_loadu_ps(call->cosines + i), s = _mm_loadu_ps(call->sines + i);
        // each angle twice, beside each other: c0 c0 c1 c1 …
        const __m256 cc = _mm256_set_m128(_mm_unpackhi_ps(c, c), _mm_unpacklo_ps(c, c));
        const __m256 ss = _mm256_set_m128(_mm_unpackhi_ps(s, s), _mm_unpacklo_ps(s, s));
        const __m256 pair = _mm256_loadu_ps(x + 2 * i);
        const __m256 swapped = _mm256_permute_ps(pair, 0xb1);
        _mm256_storeu_ps(x + 2 * i, _mm256_fmaddsub_ps(pair, cc, _mm256_mul_ps(swapped, ss)));
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

const struct kernel rope_f32_avx2 = {
    .name = "rope_f32_avx2",
    .op = OP_ROPE,
    .isa = ISA_AVX2,
    .layout = "four or eight pairs at a time, in place",
    .function = (void (*)(void))rope,
};
