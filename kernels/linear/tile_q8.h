// SPDX-License-Identifier: MIT
// The innermost step of many tokens with 8-bit activations: a part of a strip of rows times a block of tokens.
#ifndef LLMSWEEP_LINEAR_TILE_Q8_H
#define LLMSWEEP_LINEAR_TILE_Q8_H

#include "kernels/linear/linear.h"

// A part's tiles, and the rows of the widest strip.
enum { Q8_TILES = 16, Q8_STRIP_ROWS = 2 * PACKED_PANEL_ROWS };

// What the sum of a group begins with, and where it goes.
enum q8_kind {
    Q8_GROUPS,   // with a correction a token; to float totals
    Q8_ZEROS,    // with a correction a token times the row's zero; to float totals
    Q8_ONE_GROUP // with the totals, which are integers
};

// One or two panels of weights; `rows` = 16·panels.
struct q8_strip {
    enum q8_kind kind;
    int bits, panels;
    bool is_signed;                                       // codes less their zeros, as two's complement (matrix tiles only)
    int unit;                                             // columns of a step: TILE_COLUMNS, or with matrix tiles 2·TILE_COLUMNS
    int tokens;                                           // of a matrix tile, as it is configured
    int groups, tiles;                                    // of the part; tiles of a group
    const uint8_t *weights[2];                            // a panel's first tile, expanded
    size_t stride;                                        // bytes from a panel's tile to its next
    _Alignas(64) float scales[Q8_TILES * Q8_STRIP_ROWS];  // (groups, rows)
    _Alignas(64) int32_t zeros[Q8_TILES * Q8_STRIP_ROWS]; // (groups, rows), negated
};

// Fetches what lies at `soon` for later use, up to Q8_SOON bytes for each of the part's tiles.
enum { Q8_SOON = 256 };
// totals (height, rows) += strip × x (groups·tiles, height, 32) + corrections (groups, height), a group's times x_scales (groups, 2, height),
// see linear_biased(), where that is not NULL (it is with Q8_ONE_GROUP). In the 8-bit kernel of each instruction set.
typedef void q8_tile_function(const struct q8_strip *strip, int height, const int8_t *x, const int32_t *corrections,
                              const float *x_scales, float *totals, const uint8_t *soon);
// Matrix tiles: x is (columns / unit, height, unit), with height in 8 … 16 or with one group up to 32; nothing is fetched.
q8_tile_function linear_q8_tile_avx512vnni, linear_q8_tile_avx2, linear_q8_tile_amx;

#endif
