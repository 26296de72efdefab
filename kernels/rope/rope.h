// SPDX-License-Identifier: MIT
// Rotary position embedding (Su et al. 2021; OP_ROPE) of one row's heads, in place: each pair (a, b) of a head becomes
// (a·cos − b·sin, a·sin + b·cos). Pairs are (2i, 2i+1) when interleaved, (i, i + head_dim/2) otherwise.
#ifndef LLMSWEEP_ROPE_H
#define LLMSWEEP_ROPE_H

#include <stdbool.h>

struct rope_call {
    float *x;               // (heads, head_dim)
    const float *cosines;   // (head_dim/2) of this row's position
    const float *sines;
    int heads, head_dim;    // head_dim is a multiple of 16
    bool interleaved;
};
typedef void rope_function(const struct rope_call *call);

#endif
