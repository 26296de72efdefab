// SPDX-License-Identifier: MIT
// Tokens × rows by AMX. A tdpbssd multiplies up to 16 tokens with 16 rows over 64 columns (32 where a group has no more) in 16 to 18 cycles,
// four to eight times what vectors do.
//
// With groups, 16 tokens × 16 rows at a time. Only memory leads from tiles to vectors, where the totals wait: the store of a tile's 16 rows
// takes 17 cycles in which nothing else is issued, and its 16 conversions, multiplications and additions take as long as a product. So three
// groups are under way at once: one is multiplied, the sums of the one before, which are ready by then, are stored, and those before
// these are scaled. A store right behind its product fills the scheduler with 16 rows that wait for 50 cycles, and then adds to the product's
// time. Measured alone, from first-level cache, in cycles a group: 47 of 32 columns, 54 of 64, 80 of 128; a store right behind its
// product: 57, 67, 96.
//
// With one scale a row, up to 32 tokens × 32 rows, two by two tiles, which halves the loads; the totals are integers and go from and to
// tiles. Bound by what first-level cache receives from the second: activations and totals.
#include "kernels/linear/matrix_tiles.h"
#include "kernels/linear/simd_avx512.h"
#include "kernels/linear/tile_q8.h"

#include <assert.h>

enum { TILE_TOKENS = 16, TILE_SUMS = TILE_TOKENS * PACKED_PANEL_ROWS };

// What one panel needs.
struct tile_work {
    const struct q8_strip *strip;
    const int8_t *x;
    const uint8_t *weights;
    const float *scales, *x_scales; // x_scales: a token's, where each group has its own
    const int32_t *zeros, *corrections;
    float *totals;
};

// What sums begin with where tokens have a scale a group, see SUM_BIAS: each row of a tile is this line.
static const _Alignas(64) int32_t tile_bias[PACKED_PANEL_ROWS] = {
#define FOUR SUM_BIAS_BITS, SUM_BIAS_BITS, SUM_BIAS_BITS, SUM_BIAS_BITS
    FOUR, FOUR, FOUR, FOUR
#undef FOUR
};

// sums = x · weights of a group, or with SUM_BIAS. Registers are part of the instruction, so they are named.
#define TILE_GROUP(sums, x_tile, weight_tile)                                                                          \
    do {                                                                                                               \
        if (scaled && !zeros)                                                                                          \
            _tile_loadd(sums, tile_bias, 0);                                                                           \
        else                                                                                                           \
            _tile_zero(sums);                                                                                          \
        for (int step = 0; step < steps; step++) {                                                                     \
            _tile_loadd(x_tile, x, unit);                                                                              \
            _tile_loadd(weight_tile, weights, 64);                                                                     \
            if (zeros)                                                                                                 \
                _tile_dpbsud(sums, x_tile, weight_tile);                                                               \
            else                                                                                                       \
                _tile_dpbssd(sums, x_tile, weight_tile);                                                               \
            x += unit * height;                                                                                        \
            weights += unit * PACKED_PANEL_ROWS;                                                                       \
        }                                                                                                              \
    } while (0)

// A group's sums to totals: a conversion and a multiply-add a vector, or two multiply-adds where tokens have a scale a group, of which the
// first takes SUM_BIAS away. Rows' zeros are corrected as tile_q8_avx512vnni.h does it; these sums have no bias.
FLATTEN void tile_scale(const struct tile_work *work, const int rows, int group, const int height, const bool zeros, const bool scaled,
                        const int32_t *sums, __m512 *total) {
    const __m512 scale = _mm512_load_ps(work->scales + rows * group);
    const float *x_scales = scaled ? work->x_scales + 2 * height * group : NULL;
#pragma GCC unroll 16
    for (int i = 0; i < height; i++) {
        __m512i sum = _mm512_load_si512(sums + PACKED_PANEL_ROWS * i);
        __m512 scaled_sum;
        if (zeros) {
            sum = vint_correct(sum, _mm512_load_si512(work->zeros + rows * group),
                               _mm512_set1_epi32(work->corrections[height * group + i]));
            scaled_sum = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(x_scales[i]));
        } else if (scaled) {
            scaled_sum = _mm512_fmadd_ps(_mm512_castsi512_ps(sum), _mm512_set1_ps(x_scales[i]), _mm512_set1_ps(x_scales[height + i]));
        } else {
            scaled_sum = _mm512_cvtepi32_ps(sum);
        }
        total[i] = _mm512_fmadd_ps(scaled_sum, scale, total[i]);
    }
}

#define TILE_SCALE(group, sums) tile_scale(work, rows, group, height, zeros, scaled, sums, total)

// One panel, `steps` a group. A strip's totals and scales are `rows` apart.
FLATTEN void tile_groups(const struct tile_work *work, const int height, const long unit, const int steps, const bool zeros,
                         const bool scaled) {
    _Alignas(64) int32_t sums[2][TILE_SUMS];
    __m512 total[TILE_TOKENS];
    const int8_t *x = work->x;
    const uint8_t *weights = work->weights;
    const int groups = work->strip->groups, rows = PACKED_PANEL_ROWS * work->strip->panels;
    float *at = work->totals;
#pragma GCC unroll 16
    for (int i = 0; i < height; i++, at += rows)
        total[i] = _mm512_load_ps(at);
    // Two groups a turn, since tiles have names.
    TILE_GROUP(0, 4, 6);
    int group = 0; // which tile 0 has
    for (; group + 2 < groups; group += 2) {
        TILE_GROUP(1, 5, 7);
        _tile_stored(0, sums[0], 64);
        if (group > 0)
            TILE_SCALE(group - 1, sums[1]);
        TILE_GROUP(0, 4, 6);
        _tile_stored(1, sums[1], 64);
        TILE_SCALE(group, sums[0]);
    }
    if (group + 1 < groups)
        TILE_GROUP(1, 5, 7);
    _tile_stored(0, sums[0], 64);
    if (group > 0)
        TILE_SCALE(group - 1, sums[1]);
    if (group + 1 < groups)
        _tile_stored(1, sums[1], 64);
    TILE_SCALE(group, sums[0]);
    if (group + 1 < groups)
        TILE_SCALE(group + 1, sums[1]);
    at = work->totals;
    __asm__("" : "+r"(at)); // else each address is kept from above, in registers that the loop needs
#pragma GCC unroll 16
    for (int i = 0; i < height; i++, at += rows)
        _mm512_store_ps(at, total[i]);
}

// A function each, so that each has the registers for itself: tile_<height>_<columns of a group>_<zeros>_<scaled>.
#define TILE_FUNCTION(h, columns, zeros, scaled)                                                                       \
    static void tile_##h##_##columns##_##zeros##_##scaled(const struct tile_work *work) {                              \
        tile_groups(work, h, (columns) < 64 ? 32 : 64, (columns) > 64 ? 2 : 1, zeros, scaled);                         \
    }
#define TILE_FUNCTIONS(h, columns) TILE_FUNCTION(h, columns, 0, 0) TILE_FUNCTION(h, columns, 0, 1) TILE_FUNCTION(h, columns, 1, 1)
#define TILE_HEIGHT(h) TILE_FUNCTIONS(h, 32) TILE_FUNCTIONS(h, 64) TILE_FUNCTIONS(h, 128)
TILE_HEIGHT(8)
TILE_HEIGHT(9)
TILE_HEIGHT(10)
TILE_HEIGHT(11)
TILE_HEIGHT(12)
TILE_HEIGHT(13)
TILE_HEIGHT(14)
TILE_HEIGHT(15)
TILE_HEIGHT(16)

static void tile_panel(const struct tile_work *work, int height, bool zeros, bool scaled) {
#define TILE_CHOICES(h, columns) {tile_##h##_##columns##_0_0, tile_##h##_##columns##_0_1, tile_##h##_##columns##_1_1}
#define TILE_CHOICE(h)           {TILE_CHOICES(h, 32), TILE_CHOICES(h, 64), TILE_CHOICES(h, 128)}
    static void (*const functions[][3][3])(const struct tile_work *) = {
        TILE_CHOICE(8),  TILE_CHOICE(9),  TILE_CHOICE(10), TILE_CHOICE(11), TILE_CHOICE(12),
        TILE_CHOICE(13), TILE_CHOICE(14), TILE_CHOICE(15), TILE_CHOICE(16)};
    const int tiles = work->strip->tiles; // 1, 2 or 4
    assert(height >= TILE_TOKENS / 2 && height <= TILE_TOKENS && tiles <= 4);
    functions[height - TILE_TOKENS / 2][tiles / 2][zeros + scaled](work);
}

// One scale a row. A strip's totals are integers, (height, 16·panels). The second tile of tokens ends where the first would if the block had
// twice its tokens: what both have is computed twice, to the same sums.
#define TILE_TWO_BY_TWO(dot)                                                                                           \
    do {                                                                                                               \
        _tile_loadd(4, x, unit);                                                                                       \
        _tile_loadd(6, weights[0], 64);                                                                                \
        dot(0, 4, 6);                                                                                                  \
        _tile_loadd(7, weights[1], 64);                                                                                \
        dot(1, 4, 7);                                                                                                  \
        _tile_loadd(5, x + second * unit, unit);                                                                       \
        dot(2, 5, 6);                                                                                                  \
        dot(3, 5, 7);                                                                                                  \
    } while (0)
static void tile_one_group(const struct q8_strip *strip, int height, const int8_t *x, float *totals) {
    const long unit = strip->unit, line = 64 * strip->panels;
    const int steps = (int)(strip->groups * strip->tiles * TILE_COLUMNS / unit);
    const int second = height - strip->tokens;
    // A panel alone is multiplied twice, too.
    const size_t beside = (size_t)(PACKED_PANEL_ROWS * (strip->panels - 1)), below = (size_t)(PACKED_PANEL_ROWS * strip->panels * second);
    const uint8_t *weights[2] = {strip->weights[0], strip->weights[strip->panels - 1]};
    _tile_loadd(0, totals, line);
    _tile_loadd(1, totals + beside, line);
    _tile_loadd(2, totals + below, line);
    _tile_loadd(3, totals + below + beside, line);
    for (int step = 0; step < steps; step++) {
        if (strip->is_signed)
            TILE_TWO_BY_TWO(_tile_dpbssd);
        else
            TILE_TWO_BY_TWO(_tile_dpbsud);
        x += unit * height;
        weights[0] += unit * PACKED_PANEL_ROWS;
        weights[1] += unit * PACKED_PANEL_ROWS;
    }
    _tile_stored(0, totals, line);
    _tile_stored(1, totals + beside, line);
    _tile_stored(2, totals + below, line);
    _tile_stored(3, totals + below + beside, line);
}

void linear_q8_tile_amx(const struct q8_strip *strip, int height, const int8_t *x, const int32_t *corrections, const float *x_scales,
                        float *totals, const uint8_t *soon) {
    (void)soon;
    __asm__ volatile("" : : : "memory"); // what tiles load was written before
    if (strip->kind == Q8_ONE_GROUP) {
        tile_one_group(strip, height, x, totals);
        return;
    }
    const bool zeros = strip->kind == Q8_ZEROS;
    float ones[2 * Q8_TILES * TILE_TOKENS];
    for (int i = 0; i < 2 * strip->groups * height && zeros && x_scales == NULL; i++)
        ones[i] = 1;
    for (int panel = 0; panel < strip->panels; panel++) {
        const struct tile_work work = {.strip = strip,
                                       .x = x,
                                       .weights = strip->weights[panel],
                                       .scales = strip->scales + PACKED_PANEL_ROWS * panel,
                                       .x_scales = zeros && x_scales == NULL ? ones : x_scales,
                                       .zeros = strip->zeros + PACKED_PANEL_ROWS * panel,
                                       .corrections = corrections,
                                       .totals = totals + PACKED_PANEL_ROWS * panel};
        tile_panel(&work, height, zeros, work.x_scales != NULL);
    }
}
