// SPDX-License-Identifier: MIT
// Softmax of one row (OP_SOFTMAX): y = e^(x − max) / Σ e^(x − max), and the ln Σ e^x that turns a logit into a log-probability.
#ifndef LLMSWEEP_SOFTMAX_H
#define LLMSWEEP_SOFTMAX_H

struct softmax_call {
    const float *x;     // (count)
    float *y;           // (count); may be x
    int count;
    double log_sum_exp; // result; NaN when an x is NaN or +infinite
};
typedef void softmax_function(struct softmax_call *call);

#endif
