// SPDX-License-Identifier: MIT
// The body of the vector kernels of RMSNorm, behind vector_avx2.h or vector_avx512.h: two passes over the row, which stays in L1.
#include "kernels/norm/norm.h"

#include <math.h>

#include "kernels/kernel.h"

static void rmsnorm(const struct rmsnorm_call *call)
{
    for (int i = 0; i < call->rows; i++) {
        const float *x = call->x + (size_t)i * call->x_stride;
        float *y = call->y + (size_t)i * call->y_stride;
        vec even = vec_zero(), odd = vec_zero();
        int j = 0;
        for (; j + 2 * VEC <= call->columns; j += 2 * VEC) {
            const vec a = vec_load(x + j), b = vec_load(x + j + VEC);
            even = vec_fma(a, a, even);
            odd = vec_fma(b, b, odd);
        }
        for (; j < call->columns; j += VEC) {
            const vec a = vec_load_some(x + j, call->columns - j, vec_zero());
            even = vec_fma(a, a, even);
        }
        const float mean = vec_sum(vec_add(even, odd)) / (float)call->columns;
        const vec factor = vec_set(1.0f / sqrtf(mean + call->epsilon));
        for (j = 0; j < call->columns; j += VEC) {
            const int left = call->columns - j;
            const vec scaled = vec_mul(vec_load_some(x + j, left, vec_zero()), factor);
            vec_store_some(y + j, left, vec_mul(scaled, vec_load_some(call->weight + j, left, vec_zero())));
        }
    }
}
