// SPDX-License-Identifier: MIT
#include "kernels/norm/norm.h"

#include <immintrin.h>
#include <math.h>

#include "kernels/kernel.h"
#include "kernels/softmax/exp_avx512.h"

static void rmsnorm(const struct rmsnorm_call *call)
{
    for (int i = 0; i < call->rows; i++) {
        const float *x = call->x + (size_t)i * call->x_stride;
        float *y = call->y + (size_t)i * call->y_stride;
        __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
        int j = 0;
        for (; j + 32 <= call->columns; j += 32) {
            const __m512 a = _mm512_loadu_ps(x + j), b = _mm512_loadu_ps(x + j + 16);
            even = _mm512_fmadd_ps(a, a, even);
            odd = _mm512_fmadd_ps(b, b, odd);
        }
        for (; j < call->columns; j += 16) {
            const int left = call->columns - j < 16 ? call->columns - j : 16;
            const __m512 a = _mm512_maskz_loadu_ps(lanes_avx512(left), x + j);
            even = _mm512_fmadd_ps(a, a, even);
        }
        const float mean = _mm512_reduce_add_ps(_mm512_add_ps(even, odd)) / (float)call->columns;
        const __m512 factor = _mm512_set1_ps(1.0f / sqrtf(mean + call->epsilon));
        for (j = 0; j < call->columns; j += 16) {
            const __mmask16 lanes = lanes_avx512(call->columns - j < 16 ? call->columns - j : 16);
            const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, x + j), factor);
            _mm512_mask_storeu_ps(y + j, lanes, _mm512_mul_ps(scaled, _mm512_maskz_loadu_ps(lanes, call->weight + j)));
        }
    }
}

const struct kernel rmsnorm_f32_avx512 = {
    .name = "rmsnorm_f32_avx512",
    .op = OP_RMSNORM,
    .isa = ISA_AVX512,
    .layout = "two passes over the row, which stays in L1",
    .function = (void (*)(void))rmsnorm,
};
