// SPDX-License-Identifier: MIT
#include "kernels/activation/activation.h"

#include "kernels/kernel.h"
#include "kernels/softmax/exp_avx512.h"

static void swiglu(const struct swiglu_call *call)
{
    const __m512 one = _mm512_set1_ps(1.0f), sign = _mm512_set1_ps(-0.0f);
    const __m512 linear = _mm512_set1_ps(GELU_LINEAR), cubic = _mm512_set1_ps(GELU_CUBIC);
    const bool gelu = call->gelu;
    for (int i = 0; i < call->rows; i++) {
        const size_t row = (size_t)i * call->stride;
        for (int j = 0; j < call->columns; j += 16) {
            const __mmask16 lanes = lanes_avx512(call->columns - j < 16 ? call->columns - j : 16);
            const __m512 gate = _mm512_maskz_loadu_ps(lanes, call->gate + row + j);
            const __m512 up = _mm512_maskz_loadu_ps(lanes, call->up + row + j);
            const __m512 slope = gelu ? _mm512_mul_ps(gate, _mm512_fmadd_ps(cubic, _mm512_mul_ps(gate, gate), linear)) : gate;
            const __m512 denominator = _mm512_add_ps(one, exp_ps_avx512(_mm512_xor_ps(slope, sign)));
            _mm512_mask_storeu_ps(call->y + row + j, lanes, _mm512_mul_ps(_mm512_div_ps(gate, denominator), up));
        }
    }
}

const struct kernel swiglu_f32_avx512 = {
    .name = "swiglu_f32_avx512",
    .op = OP_SWIGLU,
    .isa = ISA_AVX512,
    .layout = "sixteen elements at a time, one division each",
    .function = (void (*)(void))swiglu,
};
