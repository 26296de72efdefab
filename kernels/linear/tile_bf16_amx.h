// SPDX-License-Identifier: MIT
// Two by two tiles, 32 tokens × 32 rows: a tdpbf16ps multiplies 16 tokens with 16 rows over 32 columns in 16 cycles.
#include "kernels/linear/matrix_tiles.h"
#include "kernels/linear/tile_bf16.h"

enum { BF16_HEIGHT = 32 };

static void tiles_product_begin(int half) { matrix_tiles_begin(half, STEP_BYTES); }

static void tiles_product_end(void) { matrix_tiles_end(); }

// The second tile of tokens begins so that it ends with the block: what both have is computed twice, to the same sums. So is a panel alone.
static void tiles_product(int height, int half, int panels, int tiles, const uint8_t *x, const uint8_t *const weights[2],
                          const struct tiles_place from[2], const struct tiles_place to[2]) {
    const int second = height - half;
    const uint8_t *left = weights[0], *right = weights[1];
    (void)panels;
    __asm__ volatile("" : : : "memory"); // what tiles load was written before
    if (from == NULL) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    } else {
        _tile_loadd(0, from[0].at, from[0].line);
        _tile_loadd(1, from[1].at, from[1].line);
        _tile_loadd(2, tiles_below(from[0], second).at, from[0].line);
        _tile_loadd(3, tiles_below(from[1], second).at, from[1].line);
    }
    for (int tile = 0; tile < tiles; tile++) {
        _tile_loadd(4, x, STEP_BYTES);
        _tile_loadd(6, left, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, right, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, x + STEP_BYTES * second, STEP_BYTES);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        x += STEP_BYTES * height;
        left += TILE_BYTES;
        right += TILE_BYTES;
    }
    _tile_stored(0, to[0].at, to[0].line);
    _tile_stored(1, to[1].at, to[1].line);
    _tile_stored(2, tiles_below(to[0], second).at, to[0].line);
    _tile_stored(3, tiles_below(to[1], second).at, to[1].line);
    __asm__ volatile("" : : : "memory");
}
