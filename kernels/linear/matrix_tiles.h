// SPDX-License-Identifier: MIT
// The shapes of AMX's tile registers (Intel SDM volume 1, chapter 18), of the thread that calls.
#ifndef LLMSWEEP_LINEAR_MATRIX_TILES_H
#define LLMSWEEP_LINEAR_MATRIX_TILES_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

// Sums are (tokens, 16) of 32 bits in tiles 0 to 3, activations (tokens, columns) bytes in 4 and 5, weights (columns/4, 16, 4) in 6 and 7.
static inline void matrix_tiles_begin(int tokens, int columns) {
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shapes = {.palette = 1};
    for (int tile = 0; tile < 8; tile++) {
        shapes.rows[tile] = (uint8_t)(tile < 6 ? tokens : columns / 4);
        shapes.row_bytes[tile] = (uint16_t)(tile == 4 || tile == 5 ? columns : 64);
    }
    // The compiler does not see that the instruction reads all of them.
    __asm__ volatile("" : : "r"(&shapes) : "memory");
    _tile_loadconfig(&shapes);
}

// Tiles in use would be saved at every switch of threads.
static inline void matrix_tiles_end(void) { _tile_release(); }

#endif
