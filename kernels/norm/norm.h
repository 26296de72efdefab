// SPDX-License-Identifier: MIT
// RMSNorm (Zhang & Sennrich 2019; OP_RMSNORM): y = x / √(mean(x²) + epsilon) · weight, row by row.
#ifndef LLMSWEEP_NORM_H
#define LLMSWEEP_NORM_H

#include <stddef.h>

struct rmsnorm_call {
    const float *x;      // (rows, columns), row stride x_stride
    const float *weight; // (columns)
    float *y;            // (rows, columns), row stride y_stride; may be x
    size_t x_stride, y_stride;
    int rows, columns;
    float epsilon;
};
typedef void rmsnorm_function(const struct rmsnorm_call *call);

#endif
