// SPDX-License-Identifier: MIT
// The body of the vector kernels of the gated units, behind vector_avx2.h or vector_avx512.h: one exponential, one division an element.
#include "kernels/activation/activation.h"

#include "kernels/kernel.h"
#include "kernels/vector_exp.h"

static void swiglu(const struct swiglu_call *call)
{
    const vec linear = vec_set(GELU_LINEAR), cubic = vec_set(GELU_CUBIC);
    const bool gelu = call->gelu;
    for (int i = 0; i < call->rows; i++) {
        const size_t row = (size_t)i * call->stride;
        for (int j = 0; j < call->columns; j += VEC) {
            const int left = call->columns - j;
            const vec gate = vec_load_some(call->gate + row + j, left, vec_zero());
            const vec up = vec_load_some(call->up + row + j, left, vec_zero());
            const vec slope = gelu ? vec_mul(gate, vec_fma(cubic, vec_mul(gate, gate), linear)) : gate;
            const vec denominator = vec_add(vec_set(1), vec_exp(vec_negative(slope)));
            vec_store_some(call->y + row + j, left, vec_mul(vec_div(gate, denominator), up));
        }
    }
}
