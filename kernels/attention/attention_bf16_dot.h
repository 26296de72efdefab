// SPDX-License-Identifier: MIT
// Attention over a cache of bf16 by dot products of pairs: queries and weights are rounded to bf16, scores, sums and exponentials are f32. vdpbf16ps
// adds two products to each sum, twice what a multiply-add of f32 does where one starts in each cycle (Zen 4), with two roundings; it takes
// denormals for zero.
#ifndef LLMSWEEP_ATTENTION_BF16_DOT_H
#define LLMSWEEP_ATTENTION_BF16_DOT_H

#include "kernels/attention/attention_unscaled.h"
#include "kernels/vector_exp.h"

// Bytes from a pair of dimensions to the next, 16 positions.
enum { PAIR = 2, STEP_BYTES = 64 };

struct queries {
    uint16_t q[LINES * ATTENTION_MAX_HEAD_DIM]; // (lines, ATTENTION_MAX_HEAD_DIM), times the scale
};

struct weights {
    uint16_t of[TILE][BLOCK];
};

ALWAYS void prepare_query(const float *q, int head_dim, float scale, struct queries *queries, int line)
{
    for (int d = 0; d < head_dim; d += VEC)
        vec_store_bf16(&queries->q[line * ATTENTION_MAX_HEAD_DIM + d], vec_mul(vec_load(q + d), vec_set(scale)));
}

// The scores of `columns` vectors of positions, from `at` on. `next` is fetched meanwhile.
ALWAYS void score_span(int lines, int columns, int head_dim, const struct queries *queries, int first, const uint8_t *keys, size_t panel, int at,
                       int positions, bool streaming, const uint8_t *next, float scores[TILE][BLOCK])
{
    (void)streaming;
    vec sum[TILE][COLUMNS];
#pragma GCC unroll 8
    for (int i = 0; i < lines; i++)
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++)
            sum[i][j] = vec_zero();
    const uint8_t *place[COLUMNS];
    key_places(columns, keys, panel, STEP_BYTES / 2, at, positions, place);
    for (int d = 0; d < head_dim; d += PAIR) {
        const uint16_t *q = &queries->q[first * ATTENTION_MAX_HEAD_DIM + d]; // constant distances between lines
        const size_t offset = (size_t)(d / PAIR) * STEP_BYTES;
        fetch(next + (size_t)columns * offset, columns * STEP_BYTES);
        ivec key[COLUMNS];
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++)
            key[j] = ivec_load(place[j] + offset);
#pragma GCC unroll 8
        for (int i = 0; i < lines; i++) {
            const ivec pair = broadcast_pair(q + i * ATTENTION_MAX_HEAD_DIM);
#pragma GCC unroll 8
            for (int j = 0; j < columns; j++)
                sum[i][j] = vec_dot_bf16(sum[i][j], key[j], pair);
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
    (void)head_dim, (void)line, (void)begin, (void)values, (void)panel;
    for (int at = 0; at < positions; at += VEC)
#pragma GCC unroll 8
        for (int i = 0; i < lines; i++)
            vec_store_bf16(&weights->of[i][at], vec_load(&scores[i][at]));
}

// Adds Σ weight·value over the positions begin … end − 1 of a block, of `columns` vectors of head dimensions from `column` on; `next` is fetched meanwhile.
ALWAYS void add_values(int lines, int columns, int head_dim, const uint8_t *values, size_t panel, int begin, int end, int column, bool streaming,
                       size_t ahead, const uint8_t *next, float scores[TILE][BLOCK], const struct weights *weights, struct sums *between,
                       struct line *line)
{
    (void)panel, (void)streaming, (void)ahead, (void)scores, (void)between;
    vec sum[TILE][COLUMNS];
#pragma GCC unroll 8
    for (int i = 0; i < lines; i++)
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++)
            sum[i][j] = vec_load(line[i].out + column + j * VEC);
    const size_t row = (size_t)head_dim * 4; // bytes of a pair of positions; panels follow each other without a gap
    for (int p = begin; p < end; p += PAIR) {
        const uint8_t *from = values + (size_t)(p / PAIR) * row + (size_t)column * 4;
        fetch(next + (size_t)(column / VEC * (end - begin) + p * columns) / PAIR * (VEC * 4), columns * VEC * 4);
        ivec value[COLUMNS];
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++) {
            const ivec pairs = ivec_load(from + (size_t)(j * VEC) * 4);
            value[j] = p + 1 < end ? pairs : ivec_lower_halves(pairs); // of the last pair, the second may not have been written
        }
#pragma GCC unroll 8
        for (int i = 0; i < lines; i++) {
            const ivec weight = broadcast_pair(&weights->of[i][p]);
#pragma GCC unroll 8
            for (int j = 0; j < columns; j++)
                sum[i][j] = vec_dot_bf16(sum[i][j], value[j], weight);
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
