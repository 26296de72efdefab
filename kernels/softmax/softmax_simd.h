// SPDX-License-Identifier: MIT
// The body of the vector kernels of the softmax, behind vector_avx2.h or vector_avx512.h: three passes over the row; the sum in double.
#include "kernels/softmax/softmax.h"

#include <math.h>
#include <stddef.h>

#include "kernels/kernel.h"
#include "kernels/vector_exp.h"

static void softmax(struct softmax_call *call)
{
    vec largest_lanes = vec_set(-INFINITY);
    for (int j = 0; j < call->count; j += VEC) // passes over a NaN, which the sum then meets
        largest_lanes = vec_max(vec_load_some(call->x + j, call->count - j, vec_set(-INFINITY)), largest_lanes);
    const float largest = vec_largest(largest_lanes);
    dvec sums = dvec_zero();
    for (int j = 0; j < call->count; j += VEC) {
        const int left = call->count - j;
        const vec x = vec_sub(vec_load_some(call->x + j, left, vec_zero()), vec_set(largest)), e = vec_keep(vec_exp(x), left);
        vec_store_some(call->y + j, left, e);
        sums = dvec_add(sums, e);
    }
    const double sum = dvec_sum(sums);
    const vec factor = vec_set((float)(1.0 / sum));
    for (int j = 0; j < call->count; j += VEC) {
        const int left = call->count - j;
        vec_store_some(call->y + j, left, vec_mul(vec_load_some(call->y + j, left, vec_zero()), factor));
    }
    call->log_sum_exp = (double)largest + log(sum);
}
