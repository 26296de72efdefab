// SPDX-License-Identifier: MIT
// The innermost step of many tokens with f32 activations: a part of a strip of rows times a block of tokens.
#ifndef LLMSWEEP_LINEAR_TILE_F32_H
#define LLMSWEEP_LINEAR_TILE_F32_H

#include "kernels/linear/linear.h"

// A part's tiles; columns of a token that lie together in x; what a call fetches for later use, in bytes.
enum { F32_TILES = 4, F32_STEP = 8, F32_SOON = 512 * F32_TILES };

// One or two panels of weights.
struct f32_strip {
    bool scaled;
    int panels, tiles;
    const float *weights[2];                                      // (tiles, 32, 16), without the scale
    _Alignas(64) float scales[F32_TILES * 2 * PACKED_PANEL_ROWS]; // (tiles, 16·panels)
};

// totals (height, 16·panels) += strip × x (4·tiles, height, 8). The sum of a tile begins at zero and is added to the
// totals, times its scale. In the f32 kernel of each instruction set.
typedef void f32_tile_function(const struct f32_strip *strip, int height, const float *x, float *totals,
                               const uint8_t *soon);
f32_tile_function linear_f32_tile_avx512, linear_f32_tile_avx2;

#endif
