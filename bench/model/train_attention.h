// SPDX-License-Identifier: MIT
// Causal grouped-query attention over whole sequences, forward and backward. Scores are made a block of queries at a
// time and never stored: the backward pass makes them again from the rows' log-sums (Dao et al. 2022,
// "FlashAttention").
#ifndef LLMSWEEP_TRAIN_ATTENTION_H
#define LLMSWEEP_TRAIN_ATTENTION_H

#include <stddef.h>

struct attention_shape {
    int sequences, length, heads, kv_heads, head_dim;
};

// How many floats of scratch the calls need for all threads together.
size_t train_attention_scratch(const struct attention_shape *shape, int threads);

// q, out: (sequences·length, heads·head_dim); k, v: (sequences·length, kv_heads·head_dim); log_sum: (sequences, heads,
// length).
void train_attention_forward(const struct attention_shape *shape, float *out, float *log_sum, const float *q,
                             const float *k, const float *v, float *scratch);

// Writes dq, dk and dv, given dout and what the forward saw and gave.
void train_attention_backward(const struct attention_shape *shape, float *dq, float *dk, float *dv, const float *dout,
                              const float *out, const float *log_sum, const float *q, const float *k, const float *v,
                              float *scratch);

#endif
