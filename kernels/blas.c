// SPDX-License-Identifier: MIT
#include "kernels/blas.h"

#include <cblas.h>

void blas_sgemm(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float *a, int lda,
                const float *b, int ldb, float beta, float *c, int ldc)
{
    cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans, m, n,
                k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void blas_sgemv(int m, int k, const float *a, int lda, const float *x, float *y)
{
    cblas_sgemv(CblasRowMajor, CblasNoTrans, m, k, 1, a, lda, x, 1, 0, y, 1);
}

const char *blas_config(void)
{
    return openblas_get_config();
}

const char *blas_core(void)
{
    return openblas_get_corename();
}

int blas_parallel(void)
{
    return openblas_get_parallel();
}

void blas_set_threads(int threads)
{
    openblas_set_num_threads(threads);
}
