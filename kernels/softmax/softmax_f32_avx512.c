// SPDX-License-Identifier: MIT
#include "kernels/softmax/softmax.h"

#include <math.h>
#include <stddef.h>

#include "kernels/kernel.h"
#include "kernels/softmax/exp_avx512.h"

static __mmask16 lanes_left(int left)
{
    return lanes_avx512(left < 16 ? left : 16);
}

static void softmax(struct softmax_call *call)
{
    __m512 largest_lanes = _mm512_set1_ps(-INFINITY);
    for (int j = 0; j < call->count; j += 16) {
        const __m512 x = _mm512_mask_loadu_ps(_mm512_set1_ps(-INFINITY), lanes_left(call->count - j), call->x + j);
        largest_lanes = _mm512_max_ps(x, largest_lanes); // passes over a NaN, which the sum then meets
    }
    const float largest = _mm512_reduce_max_ps(largest_lanes);
    __m512d low = _mm512_setzero_pd(), high = _mm512_setzero_pd();
    for (int j = 0; j < call->count; j += 16) {
        const __mmask16 lanes = lanes_left(call->count - j);
        const __m512 x = _mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, call->x + j), _mm512_set1_ps(largest));
        const __m512 e = _mm512_maskz_mov_ps(lanes, exp_ps_avx512(x));
        _mm512_mask_storeu_ps(call->y + j, lanes, e);
        low = _mm512_add_pd(low, _mm512_cvtps_pd(_mm512_castps512_ps256(e)));
        high = _mm512_add_pd(high, _mm512_cvtps_pd(_mm512_extractf32x8_ps(e, 1)));
    }
    const double sum = _mm512_reduce_add_pd(_mm512_add_pd(low, high));
    const __m512 factor = _mm512_set1_ps((float)(1.0 / sum));
    for (int j = 0; j < call->count; j += 16) {
        const __mmask16 lanes = lanes_left(call->count - j);
        _mm512_mask_storeu_ps(call->y + j, lanes, _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, call->y + j), factor));
    }
    call->log_sum_exp = (double)largest + log(sum);
}

const struct kernel softmax_f32_avx512 = {
    .name = "softmax_f32_avx512",
    .op = OP_SOFTMAX,
    .isa = ISA_AVX512,
    .layout = "three passes over the row; the sum in double",
    .function = (void (*)(void))softmax,
};
