// SPDX-License-Identifier: MIT
// Attention over a cache of 8-bit or 4-bit codes: CACHE_NIBBLES is 0 or 1. Queries and weights become 16-bit integers with a scale for
// each group or block, whose rounding (2⁻¹⁶ of the largest) is far below that of the cache; products of pairs of 16-bit numbers are summed in
// 32 bits, which one instruction (vpdpwssd) does for 32 products at twice the rate of f32, and are exact: a group of 64 dimensions or a
// block of 256 positions stays below 256·32767·127 < 2³¹. A scale of a position's values goes into its weight before that is rounded, and codes are
// steps of the largest of these scales, not of the line's largest weight in the block, which would have to be found first.
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
    int16_t q[LINES * ATTENTION_MAX_HEAD_DIM]; // (lines, ATTENTION_MAX_HEAD_DIM)
    float scale[LINES][GROUPS];
    int32_t start[LINES][GROUPS]; // −CODE_OFFSET·Σ q
};

struct weights {
    int16_t code[TILE][GROUPS][BLOCK];
    float scale[TILE][GROUPS]; // of a code: the largest of the values' scales that the line sees, as no weight is above 1
    int32_t start[TILE][GROUPS];
};
struct sums { // of weights times values, between parts of a block
    int32_t of[TILE][ATTENTION_MAX_HEAD_DIM];
};

// The largest of some magnitudes; not finite if one of them is not.
ALWAYS float largest_magnitude(ivec magnitudes)
{
    const uint32_t bits = ivec_largest(magnitudes);
    float largest;
    memcpy(&largest, &bits, sizeof(largest));
    return largest;
}

// Codes of a group's numbers: x ≈ scale·code. A NaN or an infinity makes the scale NaN.
ALWAYS float to_int16(const float *x, int count, int16_t *codes, int32_t *sum)
{
    ivec most = ivec_zero();
    for (int i = 0; i < count; i += VEC)
        most = ivec_max_magnitude(most, vec_load(x + i));
    const float largest = largest_magnitude(most);
    const bool finite = isfinite(largest), vanishing = largest < 0x1p-100f; // 32767/largest would overflow soon below
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

ALWAYS void fetch_scales(const uint8_t *panel, int head_dim)
{
    for (int group = 0; group * ATTENTION_GROUP < head_dim; group += 2)
        fetch((const uint8_t *)panel_scales(panel, head_dim, group), 1);
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

ALWAYS void prepare_query(const float *q, int head_dim, float scale, struct queries *queries, int line)
{
    for (int group = 0; group * ATTENTION_GROUP < head_dim; group++) {
        const int begin = group * ATTENTION_GROUP;
        int32_t sum;
        queries->scale[line][group] = scale * to_int16(q + begin, group_size(head_dim, group), &queries->q[line * ATTENTION_MAX_HEAD_DIM + begin], &sum);
        queries->start[line][group] = -CODE_OFFSET * sum;
    }
}

// The scores of `columns` vectors of positions, from `at` on. `next` is fetched meanwhile: when streaming, this panel's counterpart ahead.
ALWAYS void score_span(int lines, int columns, int head_dim, const struct queries *queries, int first, const uint8_t *keys, size_t panel, int at,
                       int positions, bool streaming, const uint8_t *next, float scores[TILE][BLOCK])
{
    // One vector for each line has too few sums to hide a product's latency: every other goes to a second one. A stream takes whole lines of memory.
    const int chains = columns == 1 ? 2 : 1, steps = streaming ? 2 : 1;
    const uint8_t *place[COLUMNS];
    key_places(columns, keys, panel, STEP_BYTES / 2, at, positions, place);
    for (int group = 0; group * ATTENTION_GROUP < head_dim; group++) {
        const int begin = group * ATTENTION_GROUP, end = begin + group_size(head_dim, group);
        ivec sum[2][TILE][COLUMNS];
#pragma GCC unroll 8
        for (int i = 0; i < lines; i++)
#pragma GCC unroll 8
            for (int j = 0; j < columns; j++) {
                sum[0][i][j] = ivec_set(queries->start[first + i][group]);
                sum[1][i][j] = ivec_zero();
            }
        for (int d = begin; d < end; d += steps * STEP) {
            const size_t offset = (size_t)(d / STEP) * STEP_BYTES;
            const int16_t *q = &queries->q[first * ATTENTION_MAX_HEAD_DIM + d]; // constant distances between lines
            if (streaming)
                fetch_stream(next + offset, place[0] + offset, steps * STEP_BYTES);
            else
                fetch(next + (size_t)(d / STEP) * (size_t)(columns * VEC * 2), columns * VEC * 2);
#pragma GCC unroll 8
            for (int s = 0; s < steps; s++) {
                ivec key[COLUMNS][PAIRS];
#pragma GCC unroll 8
                for (int j = 0; j < columns; j++)
                    load_pairs(place[j] + offset + (size_t)s * STEP_BYTES, key[j]);
#pragma GCC unroll 8
                for (int e = 0; e < PAIRS; e++)
#pragma GCC unroll 8
                    for (int i = 0; i < lines; i++) {
                        const ivec pair = broadcast_pair(q + i * ATTENTION_MAX_HEAD_DIM + s * STEP + 2 * e);
#pragma GCC unroll 8
                        for (int j = 0; j < columns; j++)
                            sum[(s * PAIRS + e) % chains][i][j] = ivec_dot16(sum[(s * PAIRS + e) % chains][i][j], key[j][e], pair);
                    }
            }
        }
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++) {
            const int position = at + j * VEC, last = (positions - 1) / ATTENTION_PANEL, which = position / ATTENTION_PANEL;
            const uint8_t *from = keys + (size_t)(which < last ? which : last) * panel;
            const vec scale = vec_load_half(panel_scales(from, head_dim, group) + position % ATTENTION_PANEL);
#pragma GCC unroll 8
            for (int i = 0; i < lines; i++) {
                const vec factor = vec_mul(scale, vec_set(queries->scale[first + i][group]));
                const vec product = vec_from_int(chains > 1 ? ivec_add(sum[0][i][j], sum[1][i][j]) : sum[0][i][j]);
                const vec score = group == 0 ? vec_mul(product, factor) : vec_fma(product, factor, vec_load(&scores[i][position]));
                vec_store(&scores[i][position], score);
            }
        }
    }
}

// The largest of the scales of a block's first `count` positions.
ALWAYS float largest_scale(const float scale[BLOCK], int count)
{
    ivec most = ivec_zero();
    for (int at = 0; at < count; at += VEC)
        most = ivec_max_magnitude(most, vec_keep(vec_load(scale + at), count - at));
    return largest_magnitude(most);
}

// A line's weights times the scales of their values, these in steps of its own, as integers.
ALWAYS void weights_to_int16(const float *weights, const float *steps, int count, int16_t *codes, int32_t *sum)
{
    ivec sums = ivec_zero();
    for (int at = 0; at < count; at += VEC) {
        const ivec code = ivec_from_float(vec_mul(vec_load(weights + at), vec_load(steps + at)));
        ivec_store16(codes + at, code);
        if (CACHE_NIBBLES)
            sums = ivec_add(sums, code);
    }
    *sum = CACHE_NIBBLES ? ivec_sum(sums) : 0;
}

// Weights times the scales of the values, as integers. Of the scales that a line's steps go by it must see the positions: what other lines of the
// tile see would change how its weights are rounded.
ALWAYS void prepare_weights(int lines, int head_dim, const struct line *line, int begin, const uint8_t *values, size_t panel, int positions,
                            float scores[TILE][BLOCK], struct weights *weights)
{
    const int rounded = (positions + ATTENTION_PANEL - 1) / ATTENTION_PANEL * ATTENTION_PANEL;
    for (int group = 0; group * ATTENTION_GROUP < head_dim; group++) {
        float scale[BLOCK], steps[BLOCK], of_code = 0;
        for (int at = 0; at < rounded; at += VEC) {
            const uint16_t *from = panel_scales(values + (size_t)(at / ATTENTION_PANEL) * panel, head_dim, group) + at % ATTENTION_PANEL;
            // those of positions that nobody wrote may be anything
            vec_store(scale + at, vec_keep(vec_load_half(from), positions - at));
        }
        for (int i = 0, before = -1; i < lines; i++) {
            const int sees = line[i].last + 1 - begin, seen = sees < positions ? sees : positions;
            if (seen != before) { // the first line, or one that sees more than the last
                const float largest = largest_scale(scale, seen);
                const bool finite = isfinite(largest);
                const vec factor = vec_set(finite && largest > 0 ? 32767.0f / largest : 0.0f);
                for (int at = 0; at < rounded; at += VEC)
                    vec_store(steps + at, vec_mul(vec_load(scale + at), factor));
                of_code = finite ? largest / 32767.0f : NAN; // a weight that is not finite makes the line's sum a NaN
                before = seen;
            }
            int32_t sum;
            weights_to_int16(scores[i], steps, rounded, weights->code[i][group], &sum);
            weights->scale[i][group] = of_code;
            weights->start[i][group] = -CODE_OFFSET * sum;
        }
    }
}

// Before and after add_values: out = out·shrink + what is between.
ALWAYS void begin_values(int lines, int head_dim, const struct weights *weights, const float *shrink, struct sums *between, struct line *line)
{
    (void)shrink, (void)line;
#pragma GCC unroll 8
    for (int i = 0; i < lines; i++)
        for (int d = 0; d < head_dim; d += VEC)
            ivec_store(&between->of[i][d], ivec_set(weights->start[i][d / ATTENTION_GROUP]));
}

ALWAYS void end_values(int lines, int head_dim, const struct weights *weights, const float *shrink, const struct sums *between, struct line *line)
{
#pragma GCC unroll 8
    for (int i = 0; i < lines; i++)
        for (int d = 0; d < head_dim; d += VEC) {
            const vec shrunk = vec_mul(vec_load(line[i].out + d), vec_set(shrink[i]));
            vec_store(line[i].out + d, vec_fma(vec_from_int(ivec_load(&between->of[i][d])), vec_set(weights->scale[i][d / ATTENTION_GROUP]), shrunk));
        }
}

// Adds Σ weight·value over the positions begin … end − 1 of a block, of `columns` vectors of head dimensions from `column` on, which lie in one group.
// What lies `ahead` bytes ahead is fetched when streaming, else `next`.
ALWAYS void add_values(int lines, int columns, int head_dim, const uint8_t *values, size_t panel, int begin, int end, int column, bool streaming,
                       size_t ahead, const uint8_t *next, float scores[TILE][BLOCK], const struct weights *weights, struct sums *between,
                       struct line *line)
{
    (void)scores, (void)line;
    const int group = column / ATTENTION_GROUP;
    ivec sum[TILE][COLUMNS];
#pragma GCC unroll 8
    for (int i = 0; i < lines; i++)
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++)
            sum[i][j] = ivec_load(&between->of[i][column + j * VEC]);
    for (int at = begin; at < end; at += ATTENTION_PANEL) {
        const uint8_t *from = values + (size_t)(at / ATTENTION_PANEL) * panel + (size_t)column * 2;
        const int until = end - at < ATTENTION_PANEL ? end - at : ATTENTION_PANEL;
        for (int p = 0; p < until; p += STEP, from += (size_t)head_dim * 2) {
            ivec value[COLUMNS][PAIRS];
            if (streaming)
                fetch_stream((const uint8_t *)((uintptr_t)from + ahead), from, columns * VEC * 2);
            else
                fetch(next + (size_t)(column / VEC * (end - begin) + (at + p) * columns) / STEP * (VEC * 2), columns * VEC * 2);
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
    for (int i = 0; i < lines; i++)
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++)
            ivec_store(&between->of[i][column + j * VEC], sum[i][j]);
}

#include "kernels/attention/attention_simd.h"

#endif
