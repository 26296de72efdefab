// SPDX-License-Identifier: MIT
// Up to 6 tokens × 16 rows, 4 with codes of 8 bits. Without an instruction for four products and their sum, narrow
// codes gain: as many products of theirs as fit are added up in 16 bits, before they are widened. Near the bound of
// vector instructions: for each 32 products 2.2 with up to 4 bits, 2.5 with 5, 3 with 6, 4 with 8.
#include "kernels/linear/simd_avx2.h"
#include "kernels/linear/tile_q8.h"

static inline __attribute__((always_inline)) void tile_begin(int height, const struct q8_strip *part,
                                                             const int32_t *corrections, const int32_t *zeros,
                                                             bool grouped, const float *totals, vint sum[][VECTORS]) {
    static const int32_t bias = SUM_BIAS_BITS;
    const vint from = grouped ? vint_broadcast(&bias) : vint_zero();
#pragma GCC unroll 6
    for (int i = 0; i < height; i++) {
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) {
            if (part->kind == Q8_GROUPS)
                sum[i][v] = vint_broadcast(corrections + i);
            else if (part->kind == Q8_ZEROS)
                sum[i][v] = vint_correct(from, vint_load((const uint8_t *)(zeros + LANES * v)),
                                         vint_broadcast(corrections + i));
            else
                sum[i][v] = vint_load((const uint8_t *)(totals + LANES * (VECTORS * i + v)));
        }
    }
}

static inline __attribute__((always_inline)) void tile_end(int height, const struct q8_strip *part, const float *scales,
                                                           const float *x_scales, float *totals, vint sum[][VECTORS]) {
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; v++) {
        const vfloat scale = vfloat_load(scales + LANES * v);
#pragma GCC unroll 6
        for (int i = 0; i < height; i++) {
            float *total = totals + LANES * (VECTORS * i + v);
            if (part->kind == Q8_ONE_GROUP)
                vint_store((int32_t *)(void *)total, sum[i][v]);
            else {
                const vfloat value = x_scales != NULL ? vfloat_fma(vfloat_of(sum[i][v]), vfloat_broadcast(x_scales + i),
                                                                   vfloat_broadcast(x_scales + height + i))
                                                      : vint_float(sum[i][v]);
                vfloat_store(total, vfloat_fma(value, scale, vfloat_load(total)), LANES);
            }
        }
    }
}

static inline __attribute__((always_inline)) vint tile_token(const int8_t *x, int i, int chunk) {
    return vint_broadcast((const int32_t *)(const void *)(x + TILE_COLUMNS * i + CHUNK_COLUMNS * chunk));
}

// `chunks` chunks from `first`, of codes whose products fit in 16 bits, all of them added up.
static inline __attribute__((always_inline)) void tile_narrow(int height, int first, int chunks, const uint8_t *weights,
                                                              const int8_t *x, vint sum[][VECTORS]) {
    vint pairs[6][VECTORS];
#pragma GCC unroll 8
    for (int chunk = first; chunk < first + chunks; chunk++) {
        const vint low = vint_load(weights + CHUNK_CODES * chunk), high = vint_load(weights + CHUNK_CODES * chunk + 32);
#pragma GCC unroll 6
        for (int i = 0; i < height; i++) {
            const vint token = tile_token(x, i, chunk);
            const vint a = _mm256_maddubs_epi16(low, token), b = _mm256_maddubs_epi16(high, token);
            pairs[i][0] = chunk == first ? a : _mm256_add_epi16(pairs[i][0], a);
            pairs[i][1] = chunk == first ? b : _mm256_add_epi16(pairs[i][1], b);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < height; i++) {
        sum[i][0] = vint_add(sum[i][0], vint_sum_pairs(pairs[i][0]));
        sum[i][1] = vint_add(sum[i][1], vint_sum_pairs(pairs[i][1]));
    }
}

static inline __attribute__((always_inline)) void tile_wide(int height, const uint8_t *weights, const int8_t *x,
                                                            vint sum[][VECTORS]) {
    for (int chunk = 0; chunk < TILE_CHUNKS; chunk++) {
        const vint low = vint_load(weights + CHUNK_CODES * chunk), high = vint_load(weights + CHUNK_CODES * chunk + 32);
#pragma GCC unroll 4
        for (int i = 0; i < height; i++) {
            const vint token = tile_token(x, i, chunk);
            sum[i][0] = vint_dot(sum[i][0], low, token, 8);
            sum[i][1] = vint_dot(sum[i][1], high, token, 8);
        }
    }
}

// `chunks`: how many chunks' products are added up in 16 bits; 0 with codes of 8 bits.
static inline __attribute__((always_inline)) void tile_body(int height, int chunks, const struct q8_strip *part,
                                                            const int8_t *x, const int32_t *corrections,
                                                            const float *x_scales, float *totals) {
    const uint8_t *weights = part->weights[0];
    for (int group = 0; group < part->groups; group++) {
        vint sum[6][VECTORS];
        tile_begin(height, part, corrections + group * height, part->zeros + group * PACKED_PANEL_ROWS, x_scales != NULL, totals,
                   sum);
        for (int tile = 0; tile < part->tiles; tile++, weights += part->stride, x += TILE_COLUMNS * height) {
            if (chunks == 0)
                tile_wide(height, weights, x, sum);
            else
#pragma GCC unroll 4
                for (int first = 0; first < TILE_CHUNKS; first += chunks)
                    tile_narrow(height, first, chunks, weights, x, sum);
        }
        tile_end(height, part, part->scales + group * PACKED_PANEL_ROWS, x_scales == NULL ? NULL : x_scales + 2 * group * height, totals,
                 sum);
    }
}

// 2·32767 products of a code and an activation fit: 127 times 31 in 4 chunks, 63 in 2, 15 in all 8.
#define TILE_CASE(h)                                                                                                   \
    case h:                                                                                                            \
        if (part->bits <= 4)                                                                                           \
            tile_body(h, 8, part, x, corrections, x_scales, totals);                                                   \
        else if (part->bits == 5)                                                                                      \
            tile_body(h, 4, part, x, corrections, x_scales, totals);                                                   \
        else if (part->bits == 6)                                                                                      \
            tile_body(h, 2, part, x, corrections, x_scales, totals);                                                   \
        else if (h <= 4)                                                                                               \
            tile_body(h, 0, part, x, corrections, x_scales, totals);                                                   \
        break;
void linear_q8_tile_avx2(const struct q8_strip *part, int height, const int8_t *x, const int32_t *corrections,
                         const float *x_scales, float *totals, const uint8_t *soon) {
    for (int at = 0; at < Q8_SOON * Q8_TILES; at += 64)
        __builtin_prefetch(soon + at, 0, 2);
    switch (height) { TILE_CASE(2) TILE_CASE(3) TILE_CASE(4) TILE_CASE(5) TILE_CASE(6) }
}
