// SPDX-License-Identifier: MIT
#include "kernels/quantize/quantize.h"

#include <immintrin.h>

static uint32_t largest_magnitude(const float *x, int columns) {
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512i a = _mm512_setzero_si512(), b = a;
    for (int k = 0; k < columns; k += 32) {
        a = _mm512_max_epu32(a, _mm512_and_si512(_mm512_loadu_si512(x + k), magnitude));
        b = _mm512_max_epu32(b, _mm512_and_si512(_mm512_loadu_si512(x + k + 16), magnitude));
    }
    return _mm512_reduce_max_epu32(_mm512_max_epu32(a, b));
}

static void quantize_group(const struct quantize_group *group) {
    const float *x = group->x;
    float factor;
    if (!quantize_prepare(group, largest_magnitude(x, group->columns), &factor))
        return;
    const __m512 scale = _mm512_set1_ps(factor);
    for (int tile = 0; tile < group->columns / TILE_COLUMNS; tile++) {
        const __m512i low = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + tile * TILE_COLUMNS), scale));
        const __m512i high = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + tile * TILE_COLUMNS + 16), scale));
        _mm_storeu_si128((__m128i *)(group->codes + tile * TILE_COLUMNS), _mm512_cvtepi32_epi8(low));
        _mm_storeu_si128((__m128i *)(group->codes + tile * TILE_COLUMNS + 16), _mm512_cvtepi32_epi8(high));
        group->sums[tile] = _mm512_reduce_add_epi32(_mm512_add_epi32(low, high));
    }
}

static void quantize_rows(const struct quantize_rows_call *call) { quantize_groups(call, quantize_group); }

const struct kernel quantize_rows_avx512 = {
    .name = "quantize_rows_avx512",
    .op = OP_QUANTIZE_ROWS,
    .isa = ISA_AVX512,
    .layout = "two passes over a group of f32: maximum, then codes and their sums",
    .function = (void (*)(void))quantize_rows,
};
