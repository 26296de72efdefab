// SPDX-License-Identifier: MIT
// Attention over a cache of floats: CACHE_BF16 is 0 or 1. Products and sums in f32; a bfloat16 is the upper half of a float, so that a
// pair is taken apart by one instruction each.
#ifndef LLMSWEEP_ATTENTION_FLOAT_H
#define LLMSWEEP_ATTENTION_FLOAT_H

#include "kernels/attention/attention_unscaled.h"
#include "kernels/vector_exp.h"

// Bytes from a step to the next: of one dimension (f32) or of a pair (bf16), 16 positions.
enum { PAIR = CACHE_BF16 ? 2 : 1, STEP_BYTES = 64 };

struct queries {
    float q[LINES * ATTENTION_MAX_HEAD_DIM]; // (lines, ATTENTION_MAX_HEAD_DIM), times the scale
};

struct weights {
    char none;
};

ALWAYS void prepare_query(const float *q, int head_dim, float scale, struct queries *queries, int line)
{
    for (int d = 0; d < head_dim; d += VEC)
        vec_store(&queries->q[line * ATTENTION_MAX_HEAD_DIM + d], vec_mul(vec_load(q + d), vec_set(scale)));
}

// The scores of `columns` vectors of positions, from `at` on. `next` is fetched meanwhile: when streaming, this panel's counterpart ahead.
ALWAYS void score_span(int lines, int columns, int head_dim, const struct queries *queries, int first, const uint8_t *keys, size_t panel, int at,
                       int positions, bool streaming, const uint8_t *next, float scores[TILE][BLOCK])
{
    vec sum[TILE][COLUMNS];
#pragma GCC unroll 8
    for (int i = 0; i < lines; i++)
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++)
            sum[i][j] = vec_zero();
    const uint8_t *place[COLUMNS];
    key_places(columns, keys, panel, STEP_BYTES / 2, at, positions, place);
    for (int d = 0; d < head_dim; d += PAIR) {
        const float *q = &queries->q[first * ATTENTION_MAX_HEAD_DIM + d]; // constant distances between lines
        if (streaming)
            fetch_stream(next + (size_t)(d / PAIR) * STEP_BYTES, place[0] + (size_t)(d / PAIR) * STEP_BYTES, STEP_BYTES);
        else
            fetch(next + (size_t)(d / PAIR) * (size_t)(columns * VEC * 4), columns * VEC * 4);
        vec key[COLUMNS][PAIR];
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++) {
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
                const vec factor = vec_set(q[i * ATTENTION_MAX_HEAD_DIM + e]);
#pragma GCC unroll 8
                for (int j = 0; j < columns; j++)
                    sum[i][j] = vec_fma(factor, key[j][e], sum[i][j]);
            }
    }
#pragma GCC unroll 8
    for (int i = 0; i < lines; i++)
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++)
            vec_store(&scores[i][at + j * VEC], sum[i][j]);
}

ALWAYS void prepare_weights(int lines, int head_dim, const struct line *line, int begin, const uint8_t *values, size_t panel, int positions,
                            float scores[TILE][BLOCK], struct weights *weights)
{
    (void)lines, (void)head_dim, (void)line, (void)begin, (void)values, (void)panel, (void)positions, (void)scores, (void)weights;
}

// Adds Σ weight·value over the positions begin … end − 1 of a block, of `columns` vectors of head dimensions from `column` on. What lies `ahead` bytes
// ahead is fetched when streaming, else `next`.
ALWAYS void add_values(int lines, int columns, int head_dim, const uint8_t *values, size_t panel, int begin, int end, int column, bool streaming,
                       size_t ahead, const uint8_t *next, float scores[TILE][BLOCK], const struct weights *weights, struct sums *between,
                       struct line *line)
{
    (void)panel, (void)weights, (void)between;
    vec sum[TILE][COLUMNS];
#pragma GCC unroll 8
    for (int i = 0; i < lines; i++)
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++)
            sum[i][j] = vec_load(line[i].out + column + j * VEC);
    const size_t row = (size_t)head_dim * 4; // bytes of one position (f32) or of a pair (bf16); panels follow each other without a gap
    for (int p = begin; p < end; p += PAIR) {
        const uint8_t *from = values + (size_t)(p / PAIR) * row + (size_t)column * 4;
        if (streaming)
            fetch_stream((const uint8_t *)((uintptr_t)from + ahead), from, columns * VEC * 4);
        else
            fetch(next + (size_t)(column / VEC * (end - begin) + p * columns) / PAIR * (VEC * 4), columns * VEC * 4);
        vec value[COLUMNS][PAIR];
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++) {
#if CACHE_BF16
            const ivec pairs = ivec_load(from + (size_t)(j * VEC) * 4);
            value[j][0] = vec_even_bf16(pairs);
            // of the last pair, the second may not have been written
            value[j][1] = p + 1 < end ? vec_odd_bf16(pairs) : vec_zero();
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
