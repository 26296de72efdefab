// SPDX-License-Identifier: MIT
// Fused softmax and cross-entropy: one visit to each row of logits gives its loss and the loss's gradient.
#ifndef LLMSWEEP_CROSS_ENTROPY_H
#define LLMSWEEP_CROSS_ENTROPY_H

#include <stdint.h>

// −ln softmax(logits)[target] in nats for one row of vocab logits.
double cross_entropy_row(const float *logits, int vocab, int32_t target);

// The same, and replaces the row by its gradient: scale · (softmax(logits) − onehot(target)).
double cross_entropy_gradient_row(float *logits, int vocab, int32_t target, float scale);

#endif
