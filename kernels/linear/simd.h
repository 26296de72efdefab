// SPDX-License-Identifier: MIT
// What the vector kernels share across instruction sets: the source that a panel's tiles are read from, and the tokens of a block,
// interleaved so that one broadcast reads what a block's next multiplication needs.
#ifndef LLMSWEEP_LINEAR_SIMD_H
#define LLMSWEEP_LINEAR_SIMD_H

#include "kernels/linear/fetch.h"
#include "kernels/linear/linear.h"
#include "kernels/pack/float16.h"

#include <string.h>

// A panel being read, tile by tile.
struct source {
    const uint8_t *values;
    const uint8_t *masks;  // NULL of whole tiles
    const uint8_t *scales; // the group's, one a row, of quantized weights
    const uint8_t *zeros;  // the group's zero codes, one a row
    uint32_t present;      // block store: the chunks of the last tile that was read
    bool scales_among;     // the values, see packed.h
    bool whole;            // tiles, see packed.h
    struct fetch fetch;
};

// Tokens [0, tokens) of one block against one panel.
struct linear_block {
    const struct packed_matrix *weights;
    struct panel panel;
    struct fetch fetch; // of that panel; all zero where nothing is known of the next one
    int width;           // tokens that x was interleaved for: `tokens` rounded up to a width that is compiled
    const void *x;       // f32: (k, width) floats; q8: (k/4, width) of four codes
    const int32_t *sums; // q8: (k/32, width)
    const float *scales; // q8: (tokens), or where each group has its own (groups, 2, width), see linear_biased()
    float *y;            // (tokens, rows), row stride y_stride
    size_t y_stride;
    int tokens, rows;
};

static inline struct source source_open(const struct linear_block *block) {
    return (struct source){
        .values = block->panel.values,
        .masks = block->panel.masks,
        .present = (1 << TILE_CHUNKS) - 1,
        .scales_among = block->weights->scales_among,
        .whole = block->weights->whole_tiles,
        .fetch = block->fetch.lines > 0 ? block->fetch : fetch_within(block->weights),
    };
}

// The line of scales among the values that tile_open() leaves out. To be called for every other group at least, behind it.
static inline void fetch_scales(const struct source *source) {
    if (source->fetch.values != 0)
        __builtin_prefetch(source->values - AMONG_BYTES + source->fetch.values, 0, 2);
    if (source->fetch.near)
        __builtin_prefetch(source->values - AMONG_BYTES + NEAR_AHEAD, 0, 3);
}

// A group's zero codes, one a row, of codes of up to 8 bits.
static inline const uint8_t *source_zeros(const struct linear_block *block, int group) {
    static const uint8_t symmetric[9][PACKED_PANEL_ROWS] = {
#define SIXTEEN(z) {z, z, z, z, z, z, z, z, z, z, z, z, z, z, z, z}
        [2] = SIXTEEN(2), [3] = SIXTEEN(4), [4] = SIXTEEN(8), [5] = SIXTEEN(16), [6] = SIXTEEN(32), [8] = SIXTEEN(128),
#undef SIXTEEN
    };
    return block->panel.zeros != NULL ? block->panel.zeros + group * PACKED_PANEL_ROWS : symmetric[block->weights->format.bits];
}

// To be called once before the tiles of a group are read.
static inline void source_group(struct source *source, const struct linear_block *block, int group) {
    if (block->weights->format.bits <= 8)
        source->zeros = source_zeros(block, group);
    if (source->whole) {
        source->scales = source->values;
        source->values += TILE_SCALE_BYTES;
        return;
    }
    if (block->panel.scales != NULL)
        source->scales = packed_scales(block->weights, &block->panel, group);
    if (source->scales_among)
        source->values = block->panel.values + packed_tile_at(block->weights, group);
}

typedef uint32_t __attribute__((may_alias)) any_word;

static inline void round_to_bf16(float *x, size_t count) {
    for (size_t i = 0; i < count; i++)
        x[i] = bfloat16_to_float(float_to_bfloat16(x[i]));
}

// (tokens, columns) → (columns, width) of 32-bit words, floats or four codes, the tokens beyond the last being zero.
static inline void interleave(void *out, const void *x, size_t stride, int tokens, int width, int columns) {
    for (int i = 0; i < width; i++) {
        any_word *to = (any_word *)out + i;
        const any_word *from = (const any_word *)x + (size_t)i * stride;
        for (int column = 0; i < tokens && column < columns; column++, to += width)
            *to = from[column];
        for (int column = 0; i >= tokens && column < columns; column++, to += width)
            *to = 0;
    }
}

#endif
