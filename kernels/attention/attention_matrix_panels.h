// SPDX-License-Identifier: MIT
// What AMX's tiles of bf16 are loaded from: a block of a cache as panels, and queries. CACHE_BITS is 16, 8 or 4 (attention.h has the caches).
//
// A tile of the instruction's right factor is 16 pairs of rows × 16 columns × the pair, 1 KiB as it lies. Of keys the rows are head dimensions
// and the columns positions: (patches, steps of 32 dimensions, even and odd positions, 16, 16, 2). So the scores of a patch of 32 positions
// are two tiles whose columns c are the positions 2c and 2c + 1, which are a pair again where they become weights: one half of a 32-bit
// lane each. Of values the rows are positions and the columns head dimensions: (tiles of 16 dimensions, patches, 16, 16, 2).
//
// A code becomes a float by bits placed under the exponent of 2¹⁵, from which one multiply-add takes 2¹⁵ (and the code of zero) off; both
// products with an f16 scale are exact in f32. The only rounding is the one to bf16.
#ifndef LLMSWEEP_ATTENTION_MATRIX_PANELS_H
#define LLMSWEEP_ATTENTION_MATRIX_PANELS_H

#include "kernels/attention/attention.h"

#include <assert.h>
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define ALWAYS static inline __attribute__((always_inline))

enum {
    LANES = 16,
    PATCH = 32,             // positions that a step of the weights' product sums over
    BLOCK = 512,            // positions whose panels are made at a time
    PATCHES = BLOCK / PATCH,
    STEP = 32,              // head dimensions that a step of the scores' product sums over
    TILE_LINES = 16,
    TILE_BYTES = 1024,
    TILE_FLOATS = 256,
};

static inline int attention_steps(int head_dim)
{
    return (head_dim + STEP - 1) / STEP;
}

// The upper halves of floats, rounded: `low` into the lower half of each lane, `high` into the upper. NaNs with no bits in their lower half stay so.
ALWAYS __m512i round_pair(__m512 low, __m512 high)
{
    const __m512i half = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32((int)0xffff0000);
    // a shuffle and no shift, since that would take the port of the multiplications
    const __m512i halves = _mm512_broadcast_i32x4(_mm_setr_epi8(2, 3, -1, -1, 6, 7, -1, -1, 10, 11, -1, -1, 14, 15, -1, -1));
    const __m512i down = _mm512_shuffle_epi8(_mm512_add_epi32(_mm512_castps_si512(low), half), halves);
    return _mm512_ternarylogic_epi32(upper, _mm512_add_epi32(_mm512_castps_si512(high), half), down, 0xea); // (a & b) | c
}

#if CACHE_BITS < 16
// 2¹⁵ and what a code of zero is stored as: 8-bit codes have their sign turned.
enum { CODE_MASK = CACHE_BITS == 8 ? 0xff00 : 0x0f00, CODE_EXPONENT = CACHE_BITS == 8 ? 0x47008000 : 0x47000000 };
static const float code_zero = CACHE_BITS == 8 ? -32896.0f : -32776.0f;

struct scales {
    __m512 scale, zero; // x = code·scale + zero
};

// A NaN keeps only its topmost bit: round_pair() adds to the others.
ALWAYS struct scales scales_of(__m512 scale)
{
    scale = _mm512_mask_mov_ps(scale, _mm512_cmp_ps_mask(scale, scale, _CMP_UNORD_Q), _mm512_set1_ps(NAN));
    return (struct scales){ scale, _mm512_mul_ps(scale, _mm512_set1_ps(code_zero)) };
}

// The codes that a shift brings to bits 8 … 15, left where it is positive.
ALWAYS __m512 decode(__m512i codes, int shift, struct scales by)
{
    codes = shift > 0 ? _mm512_slli_epi32(codes, (unsigned)shift) : shift < 0 ? _mm512_srli_epi32(codes, (unsigned)-shift) : codes;
    const __m512i bits =
        _mm512_ternarylogic_epi32(codes, _mm512_set1_epi32(CODE_MASK), _mm512_set1_epi32(CODE_EXPONENT), 0x6a); // (a & b) ^ c
    return _mm512_fmadd_ps(_mm512_castsi512_ps(bits), by.scale, by.zero);
}

// The scales of 16 positions for a group, behind the codes of a panel.
ALWAYS const void *panel_scales(const uint8_t *panel, int head_dim, int group)
{
    return panel + (size_t)head_dim * (ATTENTION_PANEL * CACHE_BITS / 8) + (size_t)group * (ATTENTION_PANEL * sizeof(uint16_t));
}
#endif

// The keys of a patch whose first panel is `from`, and the second `beside`: where there is none, the first again.
static void patch_keys(const uint8_t *from, const uint8_t *beside, int head_dim, uint8_t *to)
{
    const int pairs = head_dim / 2, all = attention_steps(head_dim) * TILE_LINES;
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_or_si512(even, _mm512_set1_epi32(1));
#if CACHE_BITS < 16
    struct scales of[2] = { { _mm512_setzero_ps(), _mm512_setzero_ps() }, { _mm512_setzero_ps(), _mm512_setzero_ps() } };
#endif
    for (int pair = 0; pair < pairs; pair += CACHE_BITS == 4 ? 2 : 1) {
        uint8_t *row = to + (size_t)(pair / TILE_LINES) * (2 * TILE_BYTES) + (size_t)(pair % TILE_LINES) * 64;
#if CACHE_BITS == 16
        const __m512i left = _mm512_loadu_si512(from + (size_t)pair * 64), right = _mm512_loadu_si512(beside + (size_t)pair * 64);
        _mm512_store_si512(row, _mm512_permutex2var_epi32(left, even, right));
        _mm512_store_si512(row + TILE_BYTES, _mm512_permutex2var_epi32(left, odd, right));
#else
        if (pair % (ATTENTION_GROUP / 2) == 0) {
            const int group = pair / (ATTENTION_GROUP / 2);
            const __m512 left = _mm512_cvtph_ps(_mm256_loadu_si256(panel_scales(from, head_dim, group)));
            const __m512 right = _mm512_cvtph_ps(_mm256_loadu_si256(panel_scales(beside, head_dim, group)));
            of[0] = scales_of(_mm512_permutex2var_ps(left, even, right));
            of[1] = scales_of(_mm512_permutex2var_ps(left, odd, right));
        }
        const size_t at = (size_t)pair * (4 * CACHE_BITS);
        // a lane: two bytes of an even position, two of the odd one behind it
        const __m512i codes = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const void *)(from + at))),
                                                 _mm256_loadu_si256((const void *)(beside + at)), 1);
        _mm512_store_si512(row, round_pair(decode(codes, 8, of[0]), decode(codes, 0, of[0])));
        _mm512_store_si512(row + TILE_BYTES, round_pair(decode(codes, -8, of[1]), decode(codes, -16, of[1])));
#if CACHE_BITS == 4
        _mm512_store_si512(row + 64, round_pair(decode(codes, 4, of[0]), decode(codes, -4, of[0])));
        _mm512_store_si512(row + TILE_BYTES + 64, round_pair(decode(codes, -12, of[1]), decode(codes, -20, of[1])));
#endif
#endif
    }
    for (int pair = pairs; pair < all; pair++) {
        uint8_t *row = to + (size_t)(pair / TILE_LINES) * (2 * TILE_BYTES) + (size_t)(pair % TILE_LINES) * 64;
        _mm512_store_si512(row, _mm512_setzero_si512());
        _mm512_store_si512(row + TILE_BYTES, _mm512_setzero_si512());
    }
}

// The values of one of a patch's two panels, of which `positions` count, 1 … 16, or none (0): what nobody wrote may be anything, and weights
// of zero would not hide it. `stride`: from a tile of 16 dimensions to the next.
static void panel_values(const uint8_t *from, int positions, int head_dim, uint8_t *to, size_t stride)
{
    for (int pair = 0; pair < ATTENTION_PANEL / 2; pair += CACHE_BITS == 4 ? 2 : 1) {
        const int left = positions - 2 * pair;
        if (left <= 0) {
            for (int d = 0; d < head_dim; d += LANES)
                for (int i = 0; i < (CACHE_BITS == 4 ? 2 : 1); i++)
                    _mm512_store_si512(to + (size_t)(d / LANES) * stride + (size_t)(pair + i) * 64, _mm512_setzero_si512());
            continue;
        }
#if CACHE_BITS == 16
        const __m512i written = _mm512_set1_epi32(left > 1 ? -1 : 0xffff);
        for (int d = 0; d < head_dim; d += LANES)
            _mm512_store_si512(to + (size_t)(d / LANES) * stride + (size_t)pair * 64,
                               _mm512_and_si512(written, _mm512_loadu_si512(from + ((size_t)pair * (size_t)head_dim + (size_t)d) * 4)));
#else
        struct scales of[4] = {{_mm512_setzero_ps(), _mm512_setzero_ps()}};
        for (int d = 0; d < head_dim; d += LANES) {
            if (d % ATTENTION_GROUP == 0) {
                const uint16_t *scales = panel_scales(from, head_dim, d / ATTENTION_GROUP);
                for (int i = 0; i < (CACHE_BITS == 4 ? 4 : 2); i++)
                    of[i] = scales_of(_mm512_set1_ps(i < left ? _cvtsh_ss(scales[2 * pair + i]) : 0.0f));
            }
            const size_t at = (size_t)pair * (size_t)head_dim * (CACHE_BITS / 4) + (size_t)d * 2;
            const __m512i codes = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(from + at)));
            uint8_t *place = to + (size_t)(d / LANES) * stride + (size_t)pair * 64;
            _mm512_store_si512(place, round_pair(decode(codes, 8, of[0]), decode(codes, 0, of[1])));
#if CACHE_BITS == 4
            _mm512_store_si512(place + 64, round_pair(decode(codes, 4, of[2]), decode(codes, -4, of[3])));
#endif
        }
#endif
    }
}

// `positions` of the cache from `begin` on, at most a block. Panels and patches are whole; positions that are not there score anything and
// have zeros for values.
static void make_panels(const struct attention_call *call, int begin, int positions, uint8_t *keys, uint8_t *values)
{
    const size_t panel = attention_panel_bytes(call->kv, call->head_dim);
    const size_t patch = (size_t)attention_steps(call->head_dim) * 2 * TILE_BYTES, offset = (size_t)(begin / ATTENTION_PANEL) * panel;
    const uint8_t *from_keys = (const uint8_t *)call->keys + offset, *from_values = (const uint8_t *)call->values + offset;
    for (int at = 0; at < positions; at += PATCH) {
        const size_t first = (size_t)(at / ATTENTION_PANEL) * panel;
        const bool second = at + ATTENTION_PANEL < positions;
        const int left = positions - at, right = left - ATTENTION_PANEL;
        uint8_t *to = values + (size_t)(at / PATCH) * TILE_BYTES;
        patch_keys(from_keys + first, from_keys + first + (second ? panel : 0), call->head_dim, keys + (size_t)(at / PATCH) * patch);
        panel_values(from_values + first, left < ATTENTION_PANEL ? left : ATTENTION_PANEL, call->head_dim, to, PATCHES * TILE_BYTES);
        panel_values(from_values + first + (second ? panel : 0), right < 0 ? 0 : right < ATTENTION_PANEL ? right : ATTENTION_PANEL, call->head_dim,
                     to + TILE_BYTES / 2, PATCHES * TILE_BYTES);
    }
}

// A line of a tile of queries, (steps, 16 lines, 32), times `scale`.
static void pack_query(const float *q, int head_dim, float scale, uint8_t *to)
{
    for (int d = 0; d < head_dim; d += LANES) {
        const __m512 x = _mm512_mul_ps(_mm512_loadu_ps(q + d), _mm512_set1_ps(scale));
        const __m256bh rounded = _mm512_cvtneps_pbh(x);
        memcpy(to + (size_t)(d / STEP) * TILE_BYTES + (size_t)(d % STEP) * 2, &rounded, sizeof(rounded));
    }
    if (head_dim % STEP != 0)
        memset(to + (size_t)(head_dim / STEP) * TILE_BYTES + LANES * 2, 0, LANES * 2);
}

#endif
