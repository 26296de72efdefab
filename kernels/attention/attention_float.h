// SPDX-License-Identifier: MIT
// Attention over a cache of floats: CACHE_BF16 is 0 or 1. Products and sums in f32; a bfloat16 is the upper half of a float, so that a
// pair is taken apart by one instruction each.
#ifndef LLMSWEEP_ATTENTION_FLOAT_H
#define LLMSWEEP_ATTENTION_FLOAT_H

#include "kernels/attention/attention_tile.h"
#include "kernels/vector_exp.h"

// Bytes from a step to the next: of one dimension (f32) or of a pair (bf16), 16 positions.
enum { PAIR = CACHE_BF16 ? 2 : 1, STEP_BYTES = 64 };

struct queries {
    float q[LINES * ATTENTION_MAX_HEAD_DIM]; // (lines, head_dim), times the scale
};

struct weights {
    char none;
};

ALWAYS void prepare_query(const float *q, int head_dim, float scale, struct queries *queries, int line)
{
    for (int d = 0; d < head_dim; d += VEC)
        vec_store(&queries->q[line * head_dim + d], vec_mul(vec_load(q + d), vec_set(scale)));
}

ALWAYS void score_span(int lines, int head_dim, const struct queries *queries, int first, const uint8_t *keys, size_t panel, int at,
                       int positions, const uint8_t *next, float scores[TILE][BLOCK])
{
    vec sum[TILE][COLUMNS];
#pragma GCC unroll 8
    for (int i = 0; i < lines; i++)
#pragma GCC unroll 8
        for (int j = 0; j < COLUMNS; j++)
            sum[i][j] = vec_zero();
    const uint8_t *place[COLUMNS];
    key_places(keys, panel, STEP_BYTES / 2, at, positions, place);
    next += (size_t)(at / ATTENTION_PANEL) * panel;
    for (int d = 0; d < head_dim; d += PAIR) {
        fetch(next + (size_t)(d / PAIR) * (COLUMNS * VEC * 4), COLUMNS * VEC * 4);
        vec key[COLUMNS][PAIR];
#pragma GCC unroll 8
        for (int j = 0; j < COLUMNS; j++) {
            const uint8_t *from = place[j] + (size_t)(d / PAIR) * STEP_BYTES;
#if CACHE_BF16
            const ivec pairs = ivec_load(from);
            key[j][0] = vec_even_bf16(pairs);
            key[j][1] = vec_odd_bf16(pairs);
#else
            key[j][0] = vec_load((const float *)(const void *)from);
#endif
        }
#pragma GCC unroll 8
        for (int e = 0; e < PAIR; e++)
#pragma GCC unroll 8
            for (int i = 0; i < lines; i++) {
                const vec q = vec_set(queries->q[(first + i) * head_dim + d + e]);
#pragma GCC unroll 8
                for (int j = 0; j < COLUMNS; j++)
                    sum[i][j] = vec_fma(q, key[j][e], sum[i][j]);
            }
    }
#pragma GCC unroll 8
    for (int i = 0; i < lines; i++)
#pragma GCC unroll 8
        for (int j = 0; j < COLUMNS; j++)
            vec_store(&scores[i][at + j * VEC], sum[i][j]);
}

ALWAYS void prepare_weights(int lines, int head_dim, const uint8_t *values, size_t panel, int positions, float scores[TILE][BLOCK],
                            struct weights *weights)
{
    (void)lines, (void)head_dim, (void)values, (void)panel, (void)positions, (void)scores, (void)weights;
}

// out = out·shrink + Σ weight·value, over `columns` vectors of head dimensions from `column` on.
ALWAYS void add_values(int lines, int columns, int head_dim, const uint8_t *values, size_t panel, int positions, int column,
                       const uint8_t *next, float scores[TILE][BLOCK], const struct weights *weights, const float *shrink, struct line *line)
{
    (void)panel, (void)weights;
    vec sum[TILE][COLUMNS];
#pragma GCC unroll 8
    for (int i = 0; i < lines; i++)
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++)
            sum[i][j] = vec_mul(vec_load(line[i].out + column + j * VEC), vec_set(shrink[i]));
    const size_t row = (size_t)head_dim * 4; // bytes of one position (f32) or of a pair (bf16); panels follow each other without a gap
    for (int p = 0; p < positions; p += PAIR) {
        const uint8_t *from = values + (size_t)(p / PAIR) * row + (size_t)column * 4;
        fetch(next + (size_t)(column / VEC * positions + p * columns) / PAIR * (VEC * 4), columns * VEC * 4);
        vec value[COLUMNS][PAIR];
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++) {
#if CACHE_BF16
            const ivec pairs = ivec_load(from + (size_t)(j * VEC) * 4);
            value[j][0] = vec_even_bf16(pairs);
            // of the last pair, the second may not have been written
            value[j][1] = p + 1 < positions ? vec_odd_bf16(pairs) : vec_zero();
#else
            value[j][0] = vec_load((const float *)(const void *)from + j * VEC);
#endif
        }
#pragma GCC unroll 8
        for (int e = 0; e < PAIR; e++)
#pragma GCC unroll 8
            for (int i = 0; i < lines; i++) {
                const vec weight = vec_set(scores[i][p + e]);
#pragma GCC unroll 8
                for (int j = 0; j < columns; j++)
                    sum[i][j] = vec_fma(weight, value[j][e], sum[i][j]);
            }
    }
#pragma GCC unroll 8
    for (int i = 0; i < lines; i++)
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++)
            vec_store(line[i].out + column + j * VEC, sum[i][j]);
}

#include "kernels/attention/attention_simd.h"

#endif
