// SPDX-License-Identifier: MIT
#include "kernels/attention/attention.h"

#include <assert.h>
#include <immintrin.h>
#include <math.h>

#include "kernels/kernel.h"
#include "kernels/softmax/exp_avx512.h"

// A query line is one head of one row. A tile of up to 6 lines goes over the positions in blocks of 64: 6 × 4 accumulators of
// 16 positions for the scores, then 6 × 4 of 16 head dimensions for the sums, so that a load serves all lines of the tile.
enum { TILE = 6, BLOCK = 4 * ATTENTION_PANEL };

struct line {
    const float *q;
    float *out;
    int last; // the last position that it sees
    float largest, sum;
};

#define ALWAYS static inline __attribute__((always_inline))

// scores[i][·] of the block's positions; panels behind the last one that any line sees are left out.
ALWAYS void score_block(int lines, const struct line *line, const float *keys, int panels, int head_dim, float scale, float scores[TILE][BLOCK])
{
    __m512 sum[TILE][4];
    for (int i = 0; i < lines; i++)
        for (int j = 0; j < 4; j++)
            sum[i][j] = _mm512_setzero_ps();
    const size_t panel = (size_t)head_dim * ATTENTION_PANEL;
    // a block that ends early reads its last panel again instead of one that is not there
    const float *from[4];
    for (int j = 0; j < 4; j++)
        from[j] = keys + (size_t)(j < panels ? j : panels - 1) * panel;
    for (int d = 0; d < head_dim; d++) {
        __m512 key[4];
        for (int j = 0; j < 4; j++)
            key[j] = _mm512_loadu_ps(from[j] + (size_t)d * ATTENTION_PANEL);
        for (int i = 0; i < lines; i++) {
            const __m512 q = _mm512_set1_ps(line[i].q[d]);
            for (int j = 0; j < 4; j++)
                sum[i][j] = _mm512_fmadd_ps(q, key[j], sum[i][j]);
        }
    }
    for (int i = 0; i < lines; i++)
        for (int j = 0; j < 4; j++)
            _mm512_storeu_ps(&scores[i][j * 16], _mm512_mul_ps(sum[i][j], _mm512_set1_ps(scale)));
}

// Turns a line's scores into weights e^(score − largest) and returns the factor by which its sums so far shrink.
ALWAYS float weigh_block(struct line *line, int visible, float weights[BLOCK])
{
    __m512 score[4], largest_lanes = _mm512_set1_ps(-INFINITY);
    __mmask16 lanes[4];
    for (int j = 0; j < 4; j++) {
        const int left = visible - j * 16;
        lanes[j] = lanes_avx512(left < 0 ? 0 : left < 16 ? left : 16);
        score[j] = _mm512_mask_loadu_ps(_mm512_set1_ps(-INFINITY), lanes[j], weights + j * 16);
        largest_lanes = _mm512_max_ps(largest_lanes, score[j]);
    }
    const float block_largest = _mm512_reduce_max_ps(largest_lanes);
    const float largest = block_largest > line->largest ? block_largest : line->largest;
    __m512 sum = _mm512_setzero_ps();
    for (int j = 0; j < 4; j++) {
        const __m512 weight = _mm512_maskz_mov_ps(lanes[j], exp_ps_avx512(_mm512_sub_ps(score[j], _mm512_set1_ps(largest))));
        _mm512_storeu_ps(weights + j * 16, weight);
        sum = _mm512_add_ps(sum, weight);
    }
    const float shrink = line->largest == -INFINITY ? 0.0f : expf(line->largest - largest);
    line->sum = line->sum * shrink + _mm512_reduce_add_ps(sum);
    line->largest = largest;
    return shrink;
}

// out = out·shrink + Σ weight·value, over `columns` vectors of 16 head dimensions from `column` on.
ALWAYS void add_values(int lines, int columns, const struct line *line, const float *values, int positions, int head_dim, int column,
                       const float weights[TILE][BLOCK], const float *shrink)
{
    __m512 sum[TILE][4];
    for (int i = 0; i < lines; i++)
        for (int j = 0; j < columns; j++)
            sum[i][j] = _mm512_mul_ps(_mm512_loadu_ps(line[i].out + column + j * 16), _mm512_set1_ps(shrink[i]));
    for (int p = 0; p < positions; p++) {
        __m512 value[4];
        for (int j = 0; j < columns; j++)
            value[j] = _mm512_loadu_ps(values + (size_t)p * (size_t)head_dim + column + j * 16);
        for (int i = 0; i < lines; i++) {
            const __m512 weight = _mm512_set1_ps(weights[i][p]);
            for (int j = 0; j < columns; j++)
                sum[i][j] = _mm512_fmadd_ps(weight, value[j], sum[i][j]);
        }
    }
    for (int i = 0; i < lines; i++)
        for (int j = 0; j < columns; j++)
            _mm512_storeu_ps(line[i].out + column + j * 16, sum[i][j]);
}

ALWAYS void attend_tile(int lines, const struct attention_call *call, struct line *line)
{
    const int head_dim = call->head_dim;
    const int end = line[lines - 1].last + 1; // lines are in rising order of what they see
    float weights[TILE][BLOCK], shrink[TILE];
    for (int i = 0; i < lines; i++)
        for (int d = 0; d < head_dim; d += 16)
            _mm512_storeu_ps(line[i].out + d, _mm512_setzero_ps());
    for (int begin = 0; begin < end; begin += BLOCK) {
        const int positions = end - begin < BLOCK ? end - begin : BLOCK;
        score_block(lines, line, call->keys + (size_t)begin * (size_t)head_dim, (positions + 15) / 16, head_dim, call->scale, weights);
        for (int i = 0; i < lines; i++)
            shrink[i] = weigh_block(&line[i], line[i].last + 1 - begin, weights[i]);
        const float *values = call->values + (size_t)begin * (size_t)head_dim;
        int column = 0;
        for (; column + 64 <= head_dim; column += 64)
            add_values(lines, 4, line, values, positions, head_dim, column, weights, shrink);
        for (; column < head_dim; column += 16)
            add_values(lines, 1, line, values, positions, head_dim, column, weights, shrink);
    }
    for (int i = 0; i < lines; i++) {
        const __m512 factor = _mm512_set1_ps(1.0f / line[i].sum);
        for (int d = 0; d < head_dim; d += 16)
            _mm512_storeu_ps(line[i].out + d, _mm512_mul_ps(_mm512_loadu_ps(line[i].out + d), factor));
    }
}

static void attention(const struct attention_call *call)
{
    assert(call->head_dim % 16 == 0 && call->head_dim <= ATTENTION_MAX_HEAD_DIM);
    const int total = call->rows * call->q_heads;
    for (int first = 0; first < total; first += TILE) {
        const int lines = total - first < TILE ? total - first : TILE;
        struct line line[TILE];
        for (int i = 0; i < lines; i++) {
            const int row = (first + i) / call->q_heads, head = (first + i) % call->q_heads;
            const size_t offset = (size_t)head * (size_t)call->head_dim;
            line[i] = (struct line){ .q = call->q + (size_t)row * call->q_stride + offset,
                                     .out = call->out + (size_t)row * call->out_stride + offset,
                                     .last = call->first_position + row,
                                     .largest = -INFINITY };
        }
        switch (lines) { // a constant count of lines keeps the accumulators in registers
        case 1: attend_tile(1, call, line); break;
        case 2: attend_tile(2, call, line); break;
        case 3: attend_tile(3, call, line); break;
        case 4: attend_tile(4, call, line); break;
        case 5: attend_tile(5, call, line); break;
        default: attend_tile(6, call, line); break;
        }
    }
}

const struct kernel attention_f32_avx512 = {
    .name = "attention_f32_avx512",
    .op = OP_ATTENTION,
    .isa = ISA_AVX512,
    .layout = "6 queries × 64 positions in registers; decode is bound by reading keys and values once",
    .function = (void (*)(void))attention,
};
