// SPDX-License-Identifier: MIT
// Causal attention of some query rows of one sequence over one key/value head's cache (OP_ATTENTION), with the grouped query heads that
// share it (Ainslie et al. 2023, GQA) and the softmax computed online over blocks of positions (Milakov & Gimelshein 2018).
#ifndef LLMSWEEP_ATTENTION_H
#define LLMSWEEP_ATTENTION_H

#include <stddef.h>

enum { ATTENTION_PANEL = 16 }; // positions in a panel of keys

struct attention_call {
    const float *q;      // rows × q_heads × head_dim: row i, head h at q + i·q_stride + h·head_dim, already rotated
    size_t q_stride;
    const float *keys;   // panels (position/16, head_dim, 16); the rest of the last panel may hold anything
    const float *values; // (position, head_dim)
    float *out;          // as q
    size_t out_stride;
    int rows, q_heads, head_dim; // head_dim is a multiple of 16, at most ATTENTION_MAX_HEAD_DIM
    int first_position;  // row i sees the positions 0 .. first_position + i
    float scale;         // 1/√head_dim
};
enum { ATTENTION_MAX_HEAD_DIM = 256 };
typedef void attention_function(const struct attention_call *call);

#endif
