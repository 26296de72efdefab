// SPDX-License-Identifier: MIT
#include "kernels/quantize/quantize.h"

#include <immintrin.h>

static uint32_t largest_magnitude(const float *x, int columns) {
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i a = _mm256_setzero_si256(), b = a;
    for (int k = 0; k < columns; k += 16) {
        a = _mm256_max_epu32(a, _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(x + k)), magnitude));
        b = _mm256_max_epu32(b, _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(x + k + 8)), magnitude));
    }
    a = _mm256_max_epu32(a, b);
    __m128i c = _mm_max_epu32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    c = _mm_max_epu32(c, _mm_shuffle_epi32(c, 0x4e));
    c = _mm_max_epu32(c, _mm_shuffle_epi32(c, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(c);
}

static void quantize_group(const struct quantize_group *group) {
    const float *x = group->x;
    float factor;
    if (!quantize_prepare(group, largest_magnitude(x, group->columns), &factor))
        return;
    const __m256 scale = _mm256_set1_ps(factor);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (int tile = 0; tile < group->columns / TILE_COLUMNS; tile++) {
        __m256i q[4];
        for (int i = 0; i < 4; i++)
            q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + tile * TILE_COLUMNS + 8 * i), scale));
        const __m256i halves[2] = {_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3])};
        const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(halves[0], halves[1]), order);
        _mm256_storeu_si256((__m256i *)(group->codes + tile * TILE_COLUMNS), bytes);
        const __m256i pairs = _mm256_madd_epi16(_mm256_add_epi16(halves[0], halves[1]), _mm256_set1_epi16(1));
        __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
        sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
        sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
        group->sums[tile] = _mm_cvtsi128_si32(sum);
    }
}

static void quantize_rows(const struct quantize_rows_call *call) { quantize_groups(call, quantize_group); }

const struct kernel quantize_rows_avx2 = {
    .name = "quantize_rows_avx2",
    .op = OP_QUANTIZE_ROWS,
    .isa = ISA_AVX2,
    .layout = "two passes over a group of f32: maximum, then codes and their sums",
    .function = (void (*)(void))quantize_rows,
};
