// SPDX-License-Identifier: MIT
// SwiGLU (Shazeer 2020; OP_SWIGLU): y = gate / (1 + e^−gate) · up, element by element.
#ifndef LLMSWEEP_ACTIVATION_H
#define LLMSWEEP_ACTIVATION_H

#include <stddef.h>

struct swiglu_call {
    const float *gate, *up; // (rows, columns), row stride `stride`
    float *y;               // as gate; may be gate
    size_t stride;
    int rows, columns;
};
typedef void swiglu_function(const struct swiglu_call *call);

#endif
