// SPDX-License-Identifier: MIT
#include "kernels/blas.h"

#include <cblas.h>
#include <errno.h>
#include <float.h>
#include <stddef.h>

// LAPACK, which OpenBLAS holds; its header declares the C interface only, which Debian builds apart.
void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);
void dtrtri_(const char *uplo, const char *diagonal, const int *n, double *a, const int *lda, int *info);

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

void blas_ssyrk_add(int n, int k, const float *x, float *c)
{
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, n, k, 1, x, n, 1, c, n);
}

// Turns the order of rows and of columns around.
static void reverse(int n, double *h)
{
    const size_t count = (size_t)n * (size_t)n;
    for (size_t i = 0; i < count / 2; i++) {
        const double other = h[count - 1 - i];
        h[count - 1 - i] = h[i];
        h[i] = other;
    }
}

// With the order reversed, h = L·Lᵀ; turned back, h = M·Mᵀ with M upper triangular, so that U = M⁻¹. LAPACK is column-major: what it
// calls the upper triangle is the lower one of these rows.
int blas_inverse_factor(int n, double *h)
{
    int info = 0;
    reverse(n, h);
    dpotrf_("U", &n, h, &n, &info);
    if (info == 0)
        dtrtri_("U", "N", &n, h, &n, &info);
    if (info != 0)
        return -EDOM;
    reverse(n, h);
    bool finite = true; // LAPACK does not look
    for (int i = 0; i < n; i++) {
        finite = finite && h[(size_t)i * ((size_t)n + 1)] <= DBL_MAX;
        for (int j = 0; j < i; j++)
            h[(size_t)i * (size_t)n + (size_t)j] = 0;
    }
    return finite ? 0 : -EDOM;
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
