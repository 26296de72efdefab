// SPDX-License-Identifier: MIT
// The sizes of the vector kernels' tiles; see attention_simd.h.
#ifndef LLMSWEEP_ATTENTION_TILE_H
#define LLMSWEEP_ATTENTION_TILE_H

#include "kernels/attention/attention.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

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
    BLOCK = ATTENTION_LEAST_PIECE, // positions: pieces of decode are whole blocks
    GROUPS = ATTENTION_MAX_HEAD_DIM / ATTENTION_GROUP,
    STREAM_LINES = 2 * TILE, // of one row, up to which reading the cache takes longer than computing
    // Bytes; by trial: 8 and 48 KB ahead are 1 to 3% slower, 2 KB a tenth; 512 bytes near, 2 to 3%, none, 3 to 10%.
    STREAM_AHEAD = 24 << 10,
    STREAM_NEAR = 2 << 10,
};

// What a line has gathered: out = Σ 2^(score − largest)·value, sum = Σ 2^(score − largest).
struct line {
    float *out;
    int first, last; // the positions that it sees
    float largest, sum;
};

// Decode goes over keys, and over values, panel after panel: one stream each. What lies `distance` bytes ahead is fetched; where that is behind `end`,
// what is read then.
struct stream {
    uintptr_t end;
    size_t distance, beyond; // beyond: added to a place behind the end
};

ALWAYS struct stream stream_of(const uint8_t *begin, size_t bytes, size_t panel, const uint8_t *then)
{
    const size_t ahead = STREAM_AHEAD / panel * panel, distance = ahead < bytes ? ahead : bytes;
    const uintptr_t end = (uintptr_t)begin + bytes;
    // if nothing follows, what is being read
    return (struct stream){ end, distance, then != NULL ? (uintptr_t)then - end : 0 - distance };
}

// The panel that is to be fetched while this one is read.
ALWAYS const uint8_t *panel_ahead(const struct stream *stream, const uint8_t *panel)
{
    const uintptr_t ahead = (uintptr_t)panel + stream->distance;
    return (const uint8_t *)(ahead + (ahead >= stream->end ? stream->beyond : 0));
}

// Fetches `bytes` into second-level cache.
ALWAYS void fetch(const uint8_t *at, int bytes)
{
#pragma GCC unroll 8
    for (int i = 0; i < bytes; i += 64)
        __builtin_prefetch(at + i, 0, 2);
}

// A stream's: `bytes` of `ahead`, what lies ahead, into second-level cache, and those that are soon to be read into the first.
ALWAYS void fetch_stream(const uint8_t *ahead, const uint8_t *at, int bytes)
{
    fetch(ahead, bytes);
#pragma GCC unroll 8
    for (int i = 0; i < bytes; i += 64)
        __builtin_prefetch(at + STREAM_NEAR + i, 0, 3);
}

// The two 16-bit numbers at `at` in all lanes.
ALWAYS ivec broadcast_pair(const void *at)
{
    int32_t pair;
    memcpy(&pair, at, sizeof(pair));
    return ivec_set(pair);
}

// Where each of a tile's vectors of positions begins, `half` bytes being those of 8 positions. A tile that ends early reads its last
// panel again instead of one that is not there.
ALWAYS void key_places(int columns, const uint8_t *keys, size_t panel, size_t half, int at, int positions, const uint8_t *place[COLUMNS])
{
    const int last = (positions - 1) / ATTENTION_PANEL;
    for (int j = 0; j < columns; j++) {
        const int position = at + j * VEC, which = position / ATTENTION_PANEL;
        place[j] = keys + (size_t)(which < last ? which : last) * panel + (position % ATTENTION_PANEL != 0 ? half : 0);
    }
}

#endif
