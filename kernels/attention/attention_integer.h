// SPDX-License-Identifier: MIT
// Attention over a cache of 8-bit or 4-bit codes: CACHE_NIBBLES is 0 or 1. Queries and weights become 16-bit integers with a scale for
// each group or block, whose rounding (2⁻¹⁶ of the largest) is far below that of the cache; products of pairs of 16-bit numbers are summed in
// 32 bits, which one instruction (vpdpwssd) does for 32 products at twice the rate of f32, and are exact: a group of 64 dimensions or a
// block of 256 positions stays below 256·32767·127 < 2³¹. A scale of a position's values goes into its weight before that is rounded.
#ifndef LLMSWEEP_ATTENTION_INTEGER_H
#define LLMSWEEP_ATTENTION_INTEGER_H

#include "kernels/attention/attention_tile.h"
#include "kernels/vector_exp.h"

#include <string.h>

enum {
    STEP_BYTES = 32,                   // 16 positions of a pair of dimensions, or with nibbles of two pairs
    PAIRS = CACHE_NIBBLES ? 2 : 1,     // in a step
    STEP = 2 * PAIRS,                  // dimensions
    CODE_OFFSET = CACHE_NIBBLES ? 8 : 0, // nibbles stand for nibble − 8: sums start at −8·Σ of the other factor
};

struct queries {
    int16_t q[LINES * ATTENTION_MAX_HEAD_DIM]; // (lines, head_dim)
    float scale[LINES][GROUPS];
    int32_t start[LINES][GROUPS]; // −CODE_OFFSET·Σ q
};

struct weights {
    int16_t code[TILE][GROUPS][BLOCK];
    float scale[TILE][GROUPS];
    int32_t start[TILE][GROUPS];
};

// Codes of up to BLOCK numbers: x ≈ scale·code. A NaN or an infinity makes the scale NaN.
ALWAYS float to_int16(const float *x, int count, int16_t *codes, int32_t *sum)
{
    ivec most = ivec_zero();
    for (int i = 0; i < count; i += VEC)
        most = ivec_max_magnitude(most, vec_load(x + i));
    const uint32_t bits = ivec_largest(most);
    float largest;
    memcpy(&largest, &bits, sizeof(largest));
    const bool finite = bits < 0x7f800000, vanishing = largest < 0x1p-100f; // 32767/largest would overflow soon below
    const vec factor = vec_set(finite && !vanishing ? 32767.0f / largest : 0.0f);
    ivec sums = ivec_zero();
    for (int i = 0; i < count; i += VEC) {
        const ivec code = ivec_from_float(vec_mul(vec_load(x + i), factor));
        ivec_store16(codes + i, code);
        sums = ivec_add(sums, code);
    }
    *sum = CACHE_NIBBLES ? ivec_sum(sums) : 0;
    return finite ? largest / 32767.0f : NAN;
}

ALWAYS int group_size(int head_dim, int group)
{
    const int left = head_dim - group * ATTENTION_GROUP;
    return left < ATTENTION_GROUP ? left : ATTENTION_GROUP;
}

// The scales of 16 positions for a group, behind the codes of a panel.
ALWAYS const uint16_t *panel_scales(const uint8_t *panel, int head_dim, int group)
{
    const size_t codes = (size_t)head_dim * ATTENTION_PANEL / PAIRS;
    return (const uint16_t *)(const void *)(panel + codes) + group * ATTENTION_PANEL;
}

// Two bytes' worth of pairs: one vector of 16-bit pairs, or two of nibbles.
ALWAYS void load_pairs(const uint8_t *from, ivec pair[PAIRS])
{
#if CACHE_NIBBLES
    const ivec bytes = ivec_load_u8(from);
    pair[0] = ivec_low_nibbles(bytes);
    pair[1] = ivec_high_nibbles(bytes);
#else
    pair[0] = ivec_load_s8(from);
#endif
}

ALWAYS ivec broadcast_pair(const int16_t *at)
{
    int32_t pair;
    memcpy(&pair, at, sizeof(pair));
    return ivec_set(pair);
}

ALWAYS void prepare_query(const float *q, int head_dim, float scale, struct queries *queries, int line)
{
    for (int group = 0; group * ATTENTION_GROUP < head_dim; group++) {
        const int begin = group * ATTENTION_GROUP;
        int32_t sum;
        queries->scale[line][group] = scale * to_int16(q + begin, group_size(head_dim, group), &queries->q[line * head_dim + begin], &sum);
        queries->start[line][group] = -CODE_OFFSET * sum;
    }
}

ALWAYS void score_span(int lines, int head_dim, const struct queries *queries, int first, const uint8_t *keys, size_t panel, int at,
                       int positions, const uint8_t *next, float scores[TILE][BLOCK])
{
    const uint8_t *place[COLUMNS];
    key_places(keys, panel, STEP_BYTES / 2, at, positions, place);
    next += (size_t)(at / ATTENTION_PANEL) * panel;
    for (int group = 0; group * ATTENTION_GROUP < head_dim; group++) {
        const int begin = group * ATTENTION_GROUP, end = begin + group_size(head_dim, group);
        ivec sum[TILE][COLUMNS];
#pragma GCC unroll 8
        for (int i = 0; i < lines; i++)
#pragma GCC unroll 8
            for (int j = 0; j < COLUMNS; j++)
                sum[i][j] = ivec_set(queries->start[first + i][group]);
        for (int d = begin; d < end; d += STEP) {
            ivec key[COLUMNS][PAIRS];
            fetch(next + (size_t)(d / STEP) * (COLUMNS * VEC * 2), COLUMNS * VEC * 2);
#pragma GCC unroll 8
            for (int j = 0; j < COLUMNS; j++)
                load_pairs(place[j] + (size_t)(d / STEP) * STEP_BYTES, key[j]);
#pragma GCC unroll 8
            for (int e = 0; e < PAIRS; e++)
#pragma GCC unroll 8
                for (int i = 0; i < lines; i++) {
                    const ivec q = broadcast_pair(&queries->q[(first + i) * head_dim + d + 2 * e]);
#pragma GCC unroll 8
                    for (int j = 0; j < COLUMNS; j++)
                        sum[i][j] = ivec_dot16(sum[i][j], key[j][e], q);
                }
        }
#pragma GCC unroll 8
        for (int j = 0; j < COLUMNS; j++) {
            const int position = at + j * VEC, last = (positions - 1) / ATTENTION_PANEL, which = position / ATTENTION_PANEL;
            const uint8_t *from = keys + (size_t)(which < last ? which : last) * panel;
            const vec scale = vec_load_half(panel_scales(from, head_dim, group) + position % ATTENTION_PANEL);
#pragma GCC unroll 8
            for (int i = 0; i < lines; i++) {
                const vec factor = vec_mul(scale, vec_set(queries->scale[first + i][group])), product = vec_from_int(sum[i][j]);
                const vec score = group == 0 ? vec_mul(product, factor) : vec_fma(product, factor, vec_load(&scores[i][position]));
                vec_store(&scores[i][position], score);
            }
        }
    }
}

// Weights times the scales of the values, as integers.
ALWAYS void prepare_weights(int lines, int head_dim, const uint8_t *values, size_t panel, int positions, float scores[TILE][BLOCK],
                            struct weights *weights)
{
    const int rounded = (positions + ATTENTION_PANEL - 1) / ATTENTION_PANEL * ATTENTION_PANEL;
    for (int group = 0; group * ATTENTION_GROUP < head_dim; group++) {
        float scale[BLOCK];
        for (int at = 0; at < rounded; at += VEC) {
            const uint16_t *from = panel_scales(values + (size_t)(at / ATTENTION_PANEL) * panel, head_dim, group) + at % ATTENTION_PANEL;
            // those of positions that nobody wrote may be anything
            vec_store(scale + at, vec_keep(vec_load_half(from), positions - at));
        }
#pragma GCC unroll 8
        for (int i = 0; i < lines; i++) {
            float weighted[BLOCK];
            int32_t sum;
            for (int at = 0; at < rounded; at += VEC)
                vec_store(weighted + at, vec_mul(vec_load(scores[i] + at), vec_load(scale + at)));
            weights->scale[i][group] = to_int16(weighted, rounded, weights->code[i][group], &sum);
            weights->start[i][group] = -CODE_OFFSET * sum;
        }
    }
}

// out = out·shrink + Σ weight·value, over `columns` vectors of head dimensions from `column` on, which lie in one group.
ALWAYS void add_values(int lines, int columns, int head_dim, const uint8_t *values, size_t panel, int positions, int column,
                       const uint8_t *next, float scores[TILE][BLOCK], const struct weights *weights, const float *shrink, struct line *line)
{
    (void)scores;
    const int group = column / ATTENTION_GROUP;
    ivec sum[TILE][COLUMNS];
#pragma GCC unroll 8
    for (int i = 0; i < lines; i++)
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++)
            sum[i][j] = ivec_set(weights->start[i][group]);
    for (int at = 0; at < positions; at += ATTENTION_PANEL) {
        const uint8_t *from = values + (size_t)(at / ATTENTION_PANEL) * panel + (size_t)column * 2;
        const int end = positions - at < ATTENTION_PANEL ? positions - at : ATTENTION_PANEL;
        for (int p = 0; p < end; p += STEP, from += (size_t)head_dim * 2) {
            ivec value[COLUMNS][PAIRS];
            fetch(next + (size_t)(column / VEC * positions + (at + p) * columns) / STEP * (VEC * 2), columns * VEC * 2);
#pragma GCC unroll 8
            for (int j = 0; j < columns; j++)
                load_pairs(from + j * VEC * 2, value[j]);
#pragma GCC unroll 8
            for (int e = 0; e < PAIRS; e++)
#pragma GCC unroll 8
                for (int i = 0; i < lines; i++) {
                    const ivec weight = broadcast_pair(&weights->code[i][group][at + p + 2 * e]);
#pragma GCC unroll 8
                    for (int j = 0; j < columns; j++)
                        sum[i][j] = ivec_dot16(sum[i][j], value[j][e], weight);
                }
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < lines; i++) {
        const vec scale = vec_set(weights->scale[i][group]), factor = vec_set(shrink[i]);
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++) {
            float *out = line[i].out + column + j * VEC;
            vec_store(out, vec_fma(vec_from_int(sum[i][j]), scale, vec_mul(vec_load(out), factor)));
        }
    }
}

#include "kernels/attention/attention_simd.h"

#endif
