// SPDX-License-Identifier: MIT
#include "kernels/norm/norm.h"

#include <immintrin.h>
#include <math.h>

#include "kernels/kernel.h"
#include "kernels/softmax/exp_avx2.h"

static void rmsnorm(const struct rmsnorm_call *call)
{
    for (int i = 0; i < call->rows; i++) {
        const float *x = call->x + (size_t)i * call->x_stride;
        float *y = call->y + (size_t)i * call->y_stride;
        __m256 even = _mm256_setzero_ps(), odd = _mm256_setzero_ps();
        int j = 0;
        for (; j + 16 <= call->columns; j += 16) {
            const __m256 a = _mm256_loadu_ps(x + j), b = _mm256_loadu_ps(x + j + 8);
            even = _mm256_fmadd_ps(a, a, even);
            odd = _mm256_fmadd_ps(b, b, odd);
        }
        for (; j < call->columns; j += 8) {
            const __m256 a = _mm256_maskload_ps(x + j, lanes_avx2(call->columns - j));
            even = _mm256_fmadd_ps(a, a, even);
        }
        const float mean = sum_ps_avx2(_mm256_add_ps(even, odd)) / (float)call->columns;
        const __m256 factor = _mm256_set1_ps(1.0f / sqrtf(mean + call->epsilon));
        for (j = 0; j < call->columns; j += 8) {
            const __m256i lanes = lanes_avx2(call->columns - j);
            const __m256 scaled = _mm256_mul_ps(_mm256_maskload_ps(x + j, lanes), factor);
            _mm256_maskstore_ps(y + j, lanes, _mm256_mul_ps(scaled, _mm256_maskload_ps(call->weight + j, lanes)));
        }
    }
}

const struct kernel rmsnorm_f32_avx2 = {
    .name = "rmsnorm_f32_avx2",
    .op = OP_RMSNORM,
    .isa = ISA_AVX2,
    .layout = "two passes over the row, which stays in L1",
    .function = (void (*)(void))rmsnorm,
};
