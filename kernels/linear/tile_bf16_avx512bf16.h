// SPDX-License-Identifier: MIT
// Up to 12 tokens × 32 rows in registers: a pair of columns is two loads of weights, a broadcast of activations for each token and two vdpbf16ps
// with it. The bound is that instruction: one a cycle on Zen 4, twice the rate of f32 products; one in two on Intel's, where matrix tiles
// come with it.
#include "kernels/linear/tile_bf16.h"

enum { BF16_HEIGHT = 12, BF16_LEAST_HEIGHT = 6 };

static void tiles_product_begin(int half) { (void)half; }

static void tiles_product_end(void) {}

// sum + the products of pairs.
static inline __attribute__((always_inline)) __m512 tiles_dot(__m512 sum, __m512i weights, __m512i x) {
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(weights), "v"(x)); // compilers copy sums to and fro around the intrinsic's instruction
    return sum;
}

// `height` and `panels` are constants.
static inline __attribute__((always_inline)) void tiles_product_of(int height, int panels, int tiles, const uint8_t *x, const uint8_t *const weights[2],
                                                                   const struct tiles_place *from, const struct tiles_place *to) {
    __m512 sums[BF16_HEIGHT][2];
    const uint8_t *left = weights[0], *right = weights[1];
#pragma GCC unroll 12
    for (int i = 0; i < height; i++) {
#pragma GCC unroll 2
        for (int p = 0; p < panels; p++)
            sums[i][p] = from == NULL ? _mm512_setzero_ps() : _mm512_loadu_ps(tiles_below(from[p], i).at);
    }
    for (int tile = 0; tile < tiles; tile++) {
#pragma GCC unroll 4
        for (int pair = 0; pair < TILE_COLUMNS / 2; pair++) {
            const __m512i w[2] = {_mm512_loadu_si512(left + 64 * pair), _mm512_loadu_si512(right + 64 * pair)};
#pragma GCC unroll 12
            for (int i = 0; i < height; i++) {
                int32_t both;
                memcpy(&both, x + STEP_BYTES * i + 4 * pair, sizeof(both));
                const __m512i token = _mm512_set1_epi32(both);
#pragma GCC unroll 2
                for (int p = 0; p < panels; p++)
                    sums[i][p] = tiles_dot(sums[i][p], w[p], token);
            }
        }
        x += STEP_BYTES * height;
        left += TILE_BYTES;
        right += TILE_BYTES;
    }
#pragma GCC unroll 12
    for (int i = 0; i < height; i++) {
#pragma GCC unroll 2
        for (int p = 0; p < panels; p++)
            _mm512_storeu_ps(tiles_below(to[p], i).at, sums[i][p]);
    }
}

// A function for each height, so that each has the registers for itself.
#define TILES_HEIGHTS(_) _(6) _(7) _(8) _(9) _(10) _(11) _(12)
#define TILES_PRODUCT(h)                                                                                               \
    static __attribute__((noinline)) void tiles_product_##h(int panels, int tiles, const uint8_t *x, const uint8_t *const weights[2], \
                                                            const struct tiles_place *from, const struct tiles_place *to) { \
        if (panels == 2)                                                                                               \
            tiles_product_of(h, 2, tiles, x, weights, from, to);                                                       \
        else                                                                                                           \
            tiles_product_of(h, 1, tiles, x, weights, from, to);                                                       \
    }
TILES_HEIGHTS(TILES_PRODUCT)

_Static_assert(F32_DIRECT >= 8, "passes of 9 tokens or more are cut into blocks of BF16_LEAST_HEIGHT or more");
static void tiles_product(int height, int half, int panels, int tiles, const uint8_t *x, const uint8_t *const weights[2],
                          const struct tiles_place from[2], const struct tiles_place to[2]) {
    (void)half;
    switch (height) {
#define TILES_CASE(h)                                                                                                  \
    case h:                                                                                                            \
        tiles_product_##h(panels, tiles, x, weights, from, to);                                                        \
        break;
        TILES_HEIGHTS(TILES_CASE)
    }
}
