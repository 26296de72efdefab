// SPDX-License-Identifier: MIT
// The innermost step of many tokens with the block store: a panel's present steps times a block of tokens.
#ifndef LLMSWEEP_LINEAR_TILE_BLOCK_H
#define LLMSWEEP_LINEAR_TILE_BLOCK_H

#include "kernels/linear/linear.h"

// At most: vectors of tokens in a block, steps and groups of a part, tokens of a pass.
enum { BLOCK_VECTORS = 3, BLOCK_PART_STEPS = 128, BLOCK_PART_GROUPS = 16, BLOCK_Q8_PASS = 240, BLOCK_F32_PASS = 144 };

// What becomes of the sums at the end of a group.
enum block_kind {
    BLOCK_ADD,   // added to the totals
    BLOCK_SCALE, // times the scale
    BLOCK_SCALES, // times the row's and the tokens' scales of the group
    BLOCK_KEEP   // one group in all: sums are the totals, integers
};

// What a part of a panel has, one group of rows after the other, each of 16 rows.
struct block_part {
    _Alignas(64) uint8_t expanded[BLOCK_PART_STEPS * 64];
    const uint8_t *words; // (steps, 16) words of 4 bytes: expanded, or stored so
    float scales[BLOCK_PART_GROUPS * PACKED_PANEL_ROWS];
    int32_t starts[BLOCK_PART_GROUPS * PACKED_PANEL_ROWS]; // what integer sums begin with
    int32_t zeros[BLOCK_PART_GROUPS * PACKED_PANEL_ROWS];  // and, times the sum of activations, what is added
    uint32_t offsets[BLOCK_PART_STEPS];                    // where in x a step's tokens are, in bytes
    int counts[BLOCK_PART_GROUPS];                         // steps of each group
    int groups, bits;
    enum block_kind kind;
    bool has_zeros;
};

// totals (16, lanes) += part × x (words, lanes), the first `vectors` of the lanes' BLOCK_VECTORS vectors; x_scales: (groups of the part, lanes)
// with BLOCK_SCALES. In the 8-bit and the f32 kernel of each instruction set.
typedef void block_walk_function(const struct block_part *part, int vectors, const uint8_t *x, const float *x_scales, float *totals);
block_walk_function linear_q8_block_avx512vnni, linear_q8_block_avx2, linear_f32_block_avx512, linear_f32_block_avx2;

struct block_scratch {
    struct block_part *parts; // (LINEAR_BAND)
    float *totals;            // (tokens, 16·LINEAR_BAND)
    float *x_scales;          // (tokens, groups)
    uint8_t *x;               // (tokens, words)
};

// For passes of up to `tokens` tokens, a multiple of a block's.
static inline struct block_scratch block_scratch(const struct linear_call *call, int tokens) {
    uint8_t *at = (uint8_t *)call->scratch;
    struct block_scratch scratch = {.parts = (struct block_part *)(void *)at};
    at += LINEAR_BAND * sizeof(struct block_part);
    scratch.totals = (float *)(void *)at;
    at += (size_t)(tokens * LINEAR_BAND * PACKED_PANEL_ROWS) * sizeof(float);
    scratch.x_scales = (float *)(void *)at;
    at += (size_t)tokens * (size_t)call->weights->groups * sizeof(float);
    scratch.x = at;
    return scratch;
}

#endif
