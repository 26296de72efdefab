// SPDX-License-Identifier: MIT
// The one door to oneDNN: matrix products of f32, bf16 or 8-bit integers.
#ifndef LLMSWEEP_ONEDNN_H
#define LLMSWEEP_ONEDNN_H

#include <stddef.h>

enum onednn_type { ONEDNN_F32, ONEDNN_BF16, ONEDNN_S8 };

// y (m, n) f32 = x (m, k) · wᵀ, with w (n, k); x and w are both of the type. Strides are lengths of rows in memory, in elements.
// Primitives are kept for each calling thread and shape, so only the first call with a shape pays for building one. It
// runs on the calling thread alone. Aborts where the library refuses a shape: there is none that it should.
void onednn_matmul(enum onednn_type type, int m, int n, int k, const void *x, size_t x_stride, const void *w, float *y,
                   size_t y_stride);

// "2.6.3"
const char *onednn_version_text(void);

#endif
