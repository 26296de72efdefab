// SPDX-License-Identifier: MIT
// AdamW (Loshchilov and Hutter 2019): Adam with decoupled weight decay, in one pass over the memory (28 bytes a
// parameter).
#ifndef LLMSWEEP_ADAMW_H
#define LLMSWEEP_ADAMW_H

#include <stddef.h>

struct adamw {
    float learning_rate, beta1, beta2, epsilon, weight_decay;
    float gradient_scale; // every gradient is multiplied by it first: how clipping is done without another pass
    long step;            // 1 for the first step; corrects the moments' bias towards 0
};

// weights, gradient, first and second moment: (count) each; the moments start as 0.
void adamw_step(const struct adamw *adamw, float *weights, const float *gradient, float *first, float *second,
                size_t count);

// The sum of the squares, for the gradient's norm.
double sum_of_squares(const float *values, size_t count);

#endif
