// SPDX-License-Identifier: MIT
// Up to 16 tokens × 16 rows by AMX. A tdpbssd multiplies them over 64 columns (32 where a group has no more) in 16 cycles, four to eight
// times what vectors do. A group's sums go through memory to vector registers, where totals wait: a store of 16 rows, 17 cycles in which
// nothing else is issued, and 16 loads, conversions and multiply-adds, which overlap with the next group's multiplication. Measured alone,
// from first-level cache: 43 cycles a group of 32 or 64 columns, 22 of them without the store.
#include "kernels/linear/matrix_tiles.h"
#include "kernels/linear/simd_avx512.h"
#include "kernels/linear/tile_q8.h"

#include <assert.h>

enum { TILE_SUMS = 16 * PACKED_PANEL_ROWS };

struct tile_place {
    const int8_t *x;
    const uint8_t *weights, *soon;
    size_t x_bytes, weight_bytes; // of a step
    long unit;
};

// sums += x · weights. Registers are part of the instruction, so they are named. Fetches what is for later, as linear_q8_tile_* promise.
#define TILE_STEP(dot, sums, x_tile, weight_tile)                                                                      \
    do {                                                                                                               \
        _tile_loadd(x_tile, place->x, place->unit);                                                                    \
        _tile_loadd(weight_tile, place->weights, 64);                                                                  \
        dot(sums, x_tile, weight_tile);                                                                                \
        place->x += place->x_bytes;                                                                                    \
        place->weights += place->weight_bytes;                                                                         \
        for (long line = 0; line < place->unit * Q8_SOON / TILE_COLUMNS; line += 64)                                   \
            __builtin_prefetch(place->soon + line, 0, 2);                                                              \
        place->soon += place->unit * Q8_SOON / TILE_COLUMNS;                                                           \
    } while (0)
// The sums of a group.
#define TILE_GROUP(sums, x_tile, weight_tile, out)                                                                     \
    do {                                                                                                               \
        _tile_zero(sums);                                                                                              \
        for (int step = 0; step < steps; step++)                                                                       \
            if (is_signed)                                                                                             \
                TILE_STEP(_tile_dpbssd, sums, x_tile, weight_tile);                                                    \
            else                                                                                                       \
                TILE_STEP(_tile_dpbsud, sums, x_tile, weight_tile);                                                    \
        _tile_stored(sums, out, 64);                                                                                   \
    } while (0)

// A group's sums, scaled, to totals.
FLATTEN void tile_scale(const struct q8_strip *strip, int group, const int height, const int32_t *sums, const int32_t *corrections,
                        __m512 *total) {
    const __m512 scale = _mm512_load_ps(strip->scales + PACKED_PANEL_ROWS * group);
#pragma GCC unroll 16
    for (int i = 0; i < height; i++) {
        __m512i sum = _mm512_load_si512(sums + PACKED_PANEL_ROWS * i);
        if (corrections != NULL) // the rows' zeros, as tile_q8_avx512vnni.h has them
            sum = vint_correct(sum, _mm512_load_si512(strip->zeros + PACKED_PANEL_ROWS * group),
                               _mm512_set1_epi32(corrections[height * group + i]));
        total[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, total[i]);
    }
}

FLATTEN void tile_groups(const struct q8_strip *strip, const int height, struct tile_place *place, const int32_t *corrections,
                         const bool is_signed, float *totals) {
    _Alignas(64) int32_t sums[2][TILE_SUMS];
    __m512 total[16];
    const int steps = (int)(strip->tiles * TILE_COLUMNS / place->unit);
#pragma GCC unroll 16
    for (int i = 0; i < height; i++)
        total[i] = _mm512_load_ps(totals + PACKED_PANEL_ROWS * i);
    // While a group is multiplied, the one before it is converted.
    TILE_GROUP(0, 4, 6, sums[0]);
    int group = 1;
    for (; group + 1 < strip->groups; group += 2) {
        TILE_GROUP(1, 5, 7, sums[1]);
        tile_scale(strip, group - 1, height, sums[0], corrections, total);
        TILE_GROUP(0, 4, 6, sums[0]);
        tile_scale(strip, group, height, sums[1], corrections, total);
    }
    if (group < strip->groups) {
        TILE_GROUP(1, 5, 7, sums[1]);
        tile_scale(strip, group - 1, height, sums[0], corrections, total);
        tile_scale(strip, group, height, sums[1], corrections, total);
    } else
        tile_scale(strip, group - 1, height, sums[0], corrections, total);
#pragma GCC unroll 16
    for (int i = 0; i < height; i++)
        _mm512_store_ps(totals + PACKED_PANEL_ROWS * i, total[i]);
}

// One scale a row: totals are integers, (height, 16).
static void tile_one_group(const struct q8_strip *strip, int height, struct tile_place *place, float *totals) {
    _Alignas(64) int32_t sums[TILE_SUMS];
    const int steps = (int)(strip->groups * strip->tiles * TILE_COLUMNS / place->unit);
    const bool is_signed = strip->is_signed;
    TILE_GROUP(0, 4, 6, sums);
    for (int i = 0; i < PACKED_PANEL_ROWS * height; i += PACKED_PANEL_ROWS) {
        int32_t *total = (int32_t *)(void *)totals + i;
        _mm512_store_si512(total, _mm512_add_epi32(_mm512_load_si512(total), _mm512_load_si512(sums + i)));
    }
}

#define TILE_CASE(h)                                                                                                   \
    case h:                                                                                                            \
        if (strip->kind == Q8_ZEROS)                                                                                   \
            tile_groups(strip, h, &place, corrections, false, totals);                                                        \
        else                                                                                                           \
            tile_groups(strip, h, &place, NULL, true, totals);                                                               \
        break;

void linear_q8_tile_amx(const struct q8_strip *strip, int height, const int8_t *x, const int32_t *corrections, const float *x_scales,
                        float *totals, const uint8_t *soon) {
    const size_t unit = (size_t)strip->unit;
    struct tile_place place = {.x = x,
                               .weights = strip->weights[0],
                               .soon = soon,
                               .x_bytes = unit * (size_t)height,
                               .weight_bytes = unit * PACKED_PANEL_ROWS,
                               .unit = (long)unit};
    assert(x_scales == NULL);
    (void)x_scales;
    __asm__ volatile("" : : : "memory"); // what tiles load was written before
    if (strip->kind == Q8_ONE_GROUP) {
        tile_one_group(strip, height, &place, totals);
        return;
    }
    switch (height) {
        TILE_CASE(1) TILE_CASE(2) TILE_CASE(3) TILE_CASE(4) TILE_CASE(5) TILE_CASE(6) TILE_CASE(7) TILE_CASE(8) TILE_CASE(9)
        TILE_CASE(10) TILE_CASE(11) TILE_CASE(12) TILE_CASE(13) TILE_CASE(14) TILE_CASE(15) TILE_CASE(16)
    }
}
