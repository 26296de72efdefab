// SPDX-License-Identifier: MIT
// Gated units (Shazeer 2020; OP_SWIGLU), element by element: SwiGLU, y = gate / (1 + e^−gate) · up, and GeGLU with GELU by tanh
// (Hendrycks & Gimpel 2016), which is gate / (1 + e^−t) · up with t = 2·√(2/π)·(gate + 0.044715·gate³).
#ifndef LLMSWEEP_ACTIVATION_H
#define LLMSWEEP_ACTIVATION_H

#include <stdbool.h>
#include <stddef.h>

struct swiglu_call {
    const float *gate, *up; // (rows, columns), row stride `stride`
    float *y;               // as gate; may be gate
    size_t stride;
    int rows, columns;
    bool gelu;
};
#define GELU_LINEAR 1.5957691216057308f // 2·√(2/π)
#define GELU_CUBIC 0.0713548162726009f  // 0.044715 times that
typedef void swiglu_function(const struct swiglu_call *call);

#endif
