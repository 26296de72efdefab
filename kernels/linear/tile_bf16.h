// SPDX-License-Identifier: MIT
// What linear_bf16_tiles.h and the products of bf16, tile_bf16_*.h, share. A product is
//   tiles_product(height, half, panels, tiles, x, weights, from, to)
// of `height` tokens, `half` of which are at least half of them, with one panel's tiles or two's: x (tiles, height, 32) and weights (tiles, 16, 16, 2) of bf16,
// sums begin as `from` or, where that is NULL, at zero, and go to `to`. With one panel both places are its.
#ifndef LLMSWEEP_LINEAR_TILE_BF16_H
#define LLMSWEEP_LINEAR_TILE_BF16_H

#include <stddef.h>
#include <stdint.h>

// Where a panel's sums come from or go to: those of its first token, and bytes between tokens.
struct tiles_place {
    float *at;
    long line;
};

static inline struct tiles_place tiles_below(struct tiles_place place, int tokens) {
    place.at += (size_t)place.line / sizeof(float) * (size_t)tokens;
    return place;
}

#endif
