// SPDX-License-Identifier: MIT
#include "kernels/activation/activation.h"

#include "kernels/kernel.h"
#include "kernels/softmax/exp_avx2.h"

static void swiglu(const struct swiglu_call *call)
{
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    const __m256 linear = _mm256_set1_ps(GELU_LINEAR), cubic = _mm256_set1_ps(GELU_CUBIC);
    const bool gelu = call->gelu;
    for (int i = 0; i < call->rows; i++) {
        const size_t row = (size_t)i * call->stride;
        for (int j = 0; j < call->columns; j += 8) {
            const __m256i lanes = lanes_avx2(call->columns - j);
            const __m256 gate = _mm256_maskload_ps(call->gate + row + j, lanes);
            const __m256 up = _mm256_maskload_ps(call->up + row + j, lanes);
            const __m256 slope = gelu ? _mm256_mul_ps(gate, _mm256_fmadd_ps(cubic, _mm256_mul_ps(gate, gate), linear)) : gate;
            const __m256 denominator = _mm256_add_ps(one, exp_ps_avx2(_mm256_xor_ps(slope, sign)));
            _mm256_maskstore_ps(call->y + row + j, lanes, _mm256_mul_ps(_mm256_div_ps(gate, denominator), up));
        }
    }
}

const struct kernel swiglu_f32_avx2 = {
    .name = "swiglu_f32_avx2",
    .op = OP_SWIGLU,
    .isa = ISA_AVX2,
    .layout = "eight elements at a time, one division each",
    .function = (void (*)(void))swiglu,
};
