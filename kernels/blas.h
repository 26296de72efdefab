// SPDX-License-Identifier: MIT
// The one door to BLAS: row-major single-precision products, and what OpenBLAS says about itself.
#ifndef LLMSWEEP_BLAS_H
#define LLMSWEEP_BLAS_H

#include <stdbool.h>

// c (m, n) = alpha · a · b + beta · c, where a is (m, k), or (k, m) if transpose_a, and b is (k, n), or (n, k) if
// transpose_b. lda, ldb and ldc are the lengths of a row in memory. Inside an OpenMP parallel region it runs on the
// calling thread alone.
void blas_sgemm(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float *a, int lda,
                const float *b, int ldb, float beta, float *c, int ldc);

// y (m) = a · x, where a is (m, k), x is (k). A library's matrix–vector product, which its sgemm with one row is not.
void blas_sgemv(int m, int k, const float *a, int lda, const float *x, float *y);

// c (n, n) += xᵀ · x, where x is (k, n): what lies on and above the diagonal; the rest is left as it is.
void blas_ssyrk_add(int n, int k, const float *x, float *c);

// h (n, n), symmetric and positive definite, becomes the upper triangular U with h⁻¹ = Uᵀ · U; zeros below. -EDOM if h is not positive
// definite.
int blas_inverse_factor(int n, double *h);

const char *blas_config(void); // build and version, such as "OpenBLAS 0.3.21 … DYNAMIC_ARCH …"
const char *blas_core(void);   // the CPU kernels that it picked, such as "SkylakeX"
int blas_parallel(void);       // 0 sequential, 1 own pthread pool, 2 OpenMP
void blas_set_threads(int threads);

#endif
