// SPDX-License-Identifier: MIT
#include "kernels/rope/rope.h"

#include <immintrin.h>
#include <stddef.h>

#include "kernels/kernel.h"
#include "kernels/softmax/exp_avx512.h"

static void rotate_halves(const struct rope_call *call, float *x)
{
    const int half = call->head_dim / 2;
    for (int i = 0; i < half; i += 16) {
        const __mmask16 lanes = lanes_avx512(half - i < 16 ? half - i : 16);
        const __m512 a = _mm512_maskz_loadu_ps(lanes, x + i), b = _mm512_maskz_loadu_ps(lanes, x + half + i);
        const __m512 c = _mm512_maskz_loadu_ps(lanes, call->cosines + i), s = _mm512_maskz_loadu_ps(lanes, call->sines + i);
        _mm512_mask_storeu_ps(x + i, lanes, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(x + half + i, lanes, _mm512_fmadd_ps(a, s, _mm512_mul_ps(b, c)));
    }
}

static void rotate_interleaved(const struct rope_call *call, float *x)
{
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    for (int i = 0; i < call->head_dim / 2; i += 8) {
        const __m512 c = _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(_mm256_loadu_ps(call->cosines + i)));
        const __m512 s = _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(_mm256_loadu_ps(call->sines + i)));
        const __m512 pair = _mm512_loadu_ps(x + 2 * i);
        const __m512 swapped = _mm512_permute_ps(pair, 0xb1);
        _mm512_storeu_ps(x + 2 * i, _mm512_fmaddsub_ps(pair, c, _mm512_mul_ps(swapped, s)));
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

const struct kernel rope_f32_avx512 = {
    .name = "rope_f32_avx512",
    .op = OP_ROPE,
    .isa = ISA_AVX512,
    .layout = "eight or sixteen pairs at a time, in place",
    .function = (void (*)(void))rope,
};
