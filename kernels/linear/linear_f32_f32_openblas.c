// SPDX-License-Identifier: MIT
// y = x·Wᵀ by OpenBLAS. Each calling thread computes its own slice, alone: a team of one is no parallel region to the
// library, so it is told.
#include "kernels/blas.h"
#include "kernels/linear/linear.h"

#include <assert.h>
#include <omp.h>

static void linear(const struct linear_call *call) {
    const int k = call->weights->columns, n = call->end - call->begin;
    assert(call->weights->row_major != NULL);
    const float *weights = (const float *)call->weights->row_major + (size_t)call->begin * (size_t)k;
    const int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    if (call->m == 1)
        blas_sgemv(n, k, weights, k, call->x, call->y + call->begin);
    else
        blas_sgemm(false, true, call->m, n, k, 1, call->x, (int)call->x_stride, weights, k, 0, call->y + call->begin,
                   (int)call->y_stride);
    omp_set_num_threads(threads);
}

const struct kernel linear_f32_f32_openblas = {
    .name = "linear_f32_f32_openblas",
    .op = OP_LINEAR,
    .isa = ISA_SCALAR,
    .provider = PROVIDER_OPENBLAS,
    .activation = ACTIVATION_F32,
    .weight_type = WEIGHT_F32,
    .bits = 32,
    .store = STORE_DENSE,
    .layout = "f32 row-major, sgemm, and sgemv for one token",
    .function = (void (*)(void))linear,
};
