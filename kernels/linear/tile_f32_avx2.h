// SPDX-License-Identifier: MIT
// Up to 6 tokens × 16 rows in 12 registers of sums: a column is 2 loads of weights, 6 broadcasts and 12 multiply-adds.
#include "kernels/linear/simd_avx2.h"
#include "kernels/linear/tile_f32.h"

static inline __attribute__((always_inline)) void tile_body(int height, const struct f32_strip *strip, const float *x,
                                                            float *totals) {
    const float *weights = strip->weights[0];
    for (int tile = 0; tile < strip->tiles; tile++) {
        vfloat sum[6][VECTORS];
#pragma GCC unroll 6
        for (int i = 0; i < height; i++)
            sum[i][0] = sum[i][1] = vfloat_zero();
        for (int step = 0; step < TILE_COLUMNS / F32_STEP; step++, x += F32_STEP * height) {
            for (int column = 0; column < F32_STEP; column++, weights += PACKED_PANEL_ROWS) {
                const vfloat low = vfloat_load(weights), high = vfloat_load(weights + LANES);
#pragma GCC unroll 6
                for (int i = 0; i < height; i++) {
                    const vfloat token = vfloat_broadcast(x + F32_STEP * i + column);
                    sum[i][0] = vfloat_fma(low, token, sum[i][0]);
                    sum[i][1] = vfloat_fma(high, token, sum[i][1]);
                }
            }
        }
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) {
            const vfloat scale = vfloat_load(strip->scales + PACKED_PANEL_ROWS * tile + LANES * v);
#pragma GCC unroll 6
            for (int i = 0; i < height; i++) {
                float *total = totals + PACKED_PANEL_ROWS * i + LANES * v;
                vfloat_store(total,
                             strip->scaled ? vfloat_fma(scale, sum[i][v], vfloat_load(total))
                                           : vfloat_add(vfloat_load(total), sum[i][v]),
                             LANES);
            }
        }
    }
}

#define TILE_CASE(h)                                                                                                   \
    case h:                                                                                                            \
        tile_body(h, strip, x, totals);                                                                                \
        break;
void linear_f32_tile_avx2(const struct f32_strip *strip, int height, const float *x, float *totals,
                          const uint8_t *soon) {
    for (int at = 0; at < F32_SOON; at += 64)
        __builtin_prefetch(soon + at, 0, 2);
    switch (height) { TILE_CASE(3) TILE_CASE(4) TILE_CASE(5) TILE_CASE(6) }
}
