// SPDX-License-Identifier: MIT
// The row-wise parts of a block, forward and backward: normalisation, rotary positions, SwiGLU, dropout. Serial; the
// callers spread rows over threads.
#ifndef LLMSWEEP_TRAIN_ROWS_H
#define LLMSWEEP_TRAIN_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// y = x · r · weight with r = 1/√(mean(x²) + eps) (Zhang and Sennrich 2019); returns r. All (dim).
float rms_norm_row(float *y, const float *x, const float *weight, int dim, float eps);
// Given dy: adds to dx and to dweight.
void rms_norm_backward_row(float *dx, float *dweight, const float *dy, const float *x, const float *weight, float r,
                           int dim);

// Turns each pair of head_dim values by its angle; direction −1 turns back, which is also the gradient. cosine and sine
// are (head_dim/2). interleaved pairs are (2i, 2i+1), otherwise (i, i + head_dim/2).
void rope_row(float *row, int heads, int head_dim, const float *cosine, const float *sine, float direction,
              bool interleaved);

// out = silu(gate) · up. (dim)
void swiglu_row(float *out, const float *gate, const float *up, int dim);
// Replaces gate and up by their gradients, given dout.
void swiglu_backward_row(float *gate, float *up, const float *dout, int dim);

// out = in · mask/(1 − rate) (+ base, unless base is NULL); the mask follows from the seed and the element's number.
void dropout_row(float *out, const float *base, const float *in, int dim, uint32_t first_number, uint32_t seed,
                 float rate);

// row (count): exponentials of scale-free scores up to `valid`, normalised to sum 1; 0 beyond. Returns ln Σ exp.
float causal_softmax_row(float *row, int valid, int count);
// probability = exp(score − log_sum) up to valid, 0 beyond; then gradient = probability · (gradient − dot) · scale.
void causal_softmax_backward_row(float *score, float *gradient, float log_sum, float dot, float scale, int valid,
                                 int count);

float dot_row(const float *a, const float *b, int dim);
void add_row(float *sum, const float *term, int dim);

#endif
