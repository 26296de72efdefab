// SPDX-License-Identifier: MIT
// The sizes of the vector kernels' tiles; see attention_simd.h.
#ifndef LLMSWEEP_ATTENTION_TILE_H
#define LLMSWEEP_ATTENTION_TILE_H

#include "kernels/attention/attention.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>

#define ALWAYS static inline __attribute__((always_inline))

#ifdef __AVX512F__ // of 32 registers, 24 accumulate
#define ATTENTION_TILE 6
enum { COLUMNS = 4 };
#else // of 16, 8
#define ATTENTION_TILE 4
enum { COLUMNS = 2 };
#endif
enum {
    TILE = ATTENTION_TILE,
    SPAN = COLUMNS * VEC, // positions or head dimensions of a tile
    LINES = 96,
    BLOCK = 256, // positions: a piece of decode, so that what a block costs beside its positions is paid once a piece
    GROUPS = ATTENTION_MAX_HEAD_DIM / ATTENTION_GROUP,
};

// What a line has gathered: out = Σ 2^(score − largest)·value, sum = Σ 2^(score − largest).
struct line {
    float *out;
    int first, last; // the positions that it sees
    float largest, sum;
};

// Fetches `bytes` that are needed about half a block later. What is read beside it goes through four panels at once, a pattern that the
// hardware does not follow at full bandwidth; this is one stream.
ALWAYS void fetch(const uint8_t *at, int bytes)
{
#pragma GCC unroll 8
    for (int i = 0; i < bytes; i += 64)
        __builtin_prefetch(at + i, 0, 2);
}

// Where each of a tile's vectors of positions begins, `half` bytes being those of 8 positions. A tile that ends early reads its last
// panel again instead of one that is not there.
ALWAYS void key_places(const uint8_t *keys, size_t panel, size_t half, int at, int positions, const uint8_t *place[COLUMNS])
{
    const int last = (positions - 1) / ATTENTION_PANEL;
    for (int j = 0; j < COLUMNS; j++) {
        const int position = at + j * VEC, which = position / ATTENTION_PANEL;
        place[j] = keys + (size_t)(which < last ? which : last) * panel + (position % ATTENTION_PANEL != 0 ? half : 0);
    }
}

#endif
