// SPDX-License-Identifier: MIT
#include "kernels/softmax/softmax.h"

#include <math.h>
#include <stddef.h>

#include "kernels/kernel.h"
#include "kernels/softmax/exp_avx2.h"

static void softmax(struct softmax_call *call)
{
    const __m256 none = _mm256_set1_ps(-INFINITY);
    __m256 largest_lanes = none;
    for (int j = 0; j < call->count; j += 8) {
        const __m256i lanes = lanes_avx2(call->count - j);
        const __m256 x = _mm256_blendv_ps(none, _mm256_maskload_ps(call->x + j, lanes), _mm256_castsi256_ps(lanes));
        largest_lanes = _mm256_max_ps(x, largest_lanes); // passes over a NaN, which the sum then meets
    }
    const float largest = max_ps_avx2(largest_lanes);
    __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
    for (int j = 0; j < call->count; j += 8) {
        const __m256i lanes = lanes_avx2(call->count - j);
        const __m256 x = _mm256_sub_ps(_mm256_maskload_ps(call->x + j, lanes), _mm256_set1_ps(largest));
        const __m256 e = _mm256_and_ps(exp_ps_avx2(x), _mm256_castsi256_ps(lanes));
        _mm256_maskstore_ps(call->y + j, lanes, e);
        low = _mm256_add_pd(low, _mm256_cvtps_pd(_mm256_castps256_ps128(e)));
        high = _mm256_add_pd(high, _mm256_cvtps_pd(_mm256_extractf128_ps(e, 1)));
    }
    double parts[4];
    _mm256_storeu_pd(parts, _mm256_add_pd(low, high));
    const double sum = (parts[0] + parts[1]) + (parts[2] + parts[3]);
    const __m256 factor = _mm256_set1_ps((float)(1.0 / sum));
    for (int j = 0; j < call->count; j += 8) {
        const __m256i lanes = lanes_avx2(call->count - j);
        _mm256_maskstore_ps(call->y + j, lanes, _mm256_mul_ps(_mm256_maskload_ps(call->y + j, lanes), factor));
    }
    call->log_sum_exp = (double)largest + log(sum);
}

const struct kernel softmax_f32_avx2 = {
    .name = "softmax_f32_avx2",
    .op = OP_SOFTMAX,
    .isa = ISA_AVX2,
    .layout = "three passes over the row; the sum in double",
    .function = (void (*)(void))softmax,
};
