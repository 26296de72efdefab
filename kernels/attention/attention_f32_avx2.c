// SPDX-License-Identifier: MIT
#include "kernels/attention/attention.h"

#include <assert.h>
#include <immintrin.h>
#include <math.h>

#include "kernels/kernel.h"
#include "kernels/softmax/exp_avx2.h"

// A query line is one head of one row. A tile of up to 4 lines goes over the positions in blocks of 64. Scores are built a panel of
// 16 positions at a time (4 × 2 accumulators), sums 16 head dimensions at a time.
enum { TILE = 4, BLOCK = 4 * ATTENTION_PANEL };

struct line {
    const float *q;
    float *out;
    int last; // the last position that it sees
    float largest, sum;
};

#define ALWAYS static inline __attribute__((always_inline))

ALWAYS void score_panel(int lines, const struct line *line, const float *keys, int head_dim, float scale, int at, float scores[TILE][BLOCK])
{
    __m256 sum[TILE][2];
    for (int i = 0; i < lines; i++)
        sum[i][0] = sum[i][1] = _mm256_setzero_ps();
    for (int d = 0; d < head_dim; d++) {
        const __m256 low = _mm256_loadu_ps(keys + (size_t)d * ATTENTION_PANEL);
        const __m256 high = _mm256_loadu_ps(keys + (size_t)d * ATTENTION_PANEL + 8);
        for (int i = 0; i < lines; i++) {
            const __m256 q = _mm256_set1_ps(line[i].q[d]);
            sum[i][0] = _mm256_fmadd_ps(q, low, sum[i][0]);
            sum[i][1] = _mm256_fmadd_ps(q, high, sum[i][1]);
        }
    }
    for (int i = 0; i < lines; i++) {
        _mm256_storeu_ps(&scores[i][at], _mm256_mul_ps(sum[i][0], _mm256_set1_ps(scale)));
        _mm256_storeu_ps(&scores[i][at + 8], _mm256_mul_ps(sum[i][1], _mm256_set1_ps(scale)));
    }
}

// Turns a line's scores into weights e^(score − largest) and returns the factor by which its sums so far shrink.
ALWAYS float weigh_block(struct line *line, int visible, float weights[BLOCK])
{
    const __m256 none = _mm256_set1_ps(-INFINITY);
    const int parts = visible <= 0 ? 0 : visible >= BLOCK ? BLOCK / 8 : (visible + 7) / 8;
    __m256 largest_lanes = none;
    for (int j = 0; j < parts; j++) {
        const __m256 lanes = _mm256_castsi256_ps(lanes_avx2(visible - j * 8));
        largest_lanes = _mm256_max_ps(largest_lanes, _mm256_blendv_ps(none, _mm256_loadu_ps(weights + j * 8), lanes));
    }
    const float block_largest = max_ps_avx2(largest_lanes);
    const float largest = block_largest > line->largest ? block_largest : line->largest;
    __m256 sum = _mm256_setzero_ps();
    for (int j = 0; j < BLOCK / 8; j++) {
        __m256 weight = _mm256_setzero_ps();
        if (j < parts) {
            const __m256 lanes = _mm256_castsi256_ps(lanes_avx2(visible - j * 8));
            weight = _mm256_and_ps(exp_ps_avx2(_mm256_sub_ps(_mm256_loadu_ps(weights + j * 8), _mm256_set1_ps(largest))), lanes);
        }
        _mm256_storeu_ps(weights + j * 8, weight);
        sum = _mm256_add_ps(sum, weight);
    }
    const float shrink = line->largest == -INFINITY ? 0.0f : expf(line->largest - largest);
    line->sum = line->sum * shrink + sum_ps_avx2(sum);
    line->largest = largest;
    return shrink;
}

// out = out·shrink + Σ weight·value, over 16 head dimensions from `column` on.
ALWAYS void add_values(int lines, const struct line *line, const float *values, int positions, int head_dim, int column,
                       const float weights[TILE][BLOCK], const float *shrink)
{
    __m256 sum[TILE][2];
    for (int i = 0; i < lines; i++) {
        sum[i][0] = _mm256_mul_ps(_mm256_loadu_ps(line[i].out + column), _mm256_set1_ps(shrink[i]));
        sum[i][1] = _mm256_mul_ps(_mm256_loadu_ps(line[i].out + column + 8), _mm256_set1_ps(shrink[i]));
    }
    for (int p = 0; p < positions; p++) {
        const __m256 low = _mm256_loadu_ps(values + (size_t)p * (size_t)head_dim + column);
        const __m256 high = _mm256_loadu_ps(values + (size_t)p * (size_t)head_dim + column + 8);
        for (int i = 0; i < lines; i++) {
            const __m256 weight = _mm256_set1_ps(weights[i][p]);
            sum[i][0] = _mm256_fmadd_ps(weight, low, sum[i][0]);
            sum[i][1] = _mm256_fmadd_ps(weight, high, sum[i][1]);
        }
    }
    for (int i = 0; i < lines; i++) {
        _mm256_storeu_ps(line[i].out + column, sum[i][0]);
        _mm256_storeu_ps(line[i].out + column + 8, sum[i][1]);
    }
}

ALWAYS void attend_tile(int lines, const struct attention_call *call, struct line *line)
{
    const int head_dim = call->head_dim;
    const int end = line[lines - 1].last + 1; // lines are in rising order of what they see
    float weights[TILE][BLOCK], shrink[TILE];
    for (int i = 0; i < lines; i++)
        for (int d = 0; d < head_dim; d += 8)
            _mm256_storeu_ps(line[i].out + d, _mm256_setzero_ps());
    for (int begin = 0; begin < end; begin += BLOCK) {
        const int positions = end - begin < BLOCK ? end - begin : BLOCK;
        for (int at = 0; at < positions; at += ATTENTION_PANEL)
            score_panel(lines, line, call->keys + (size_t)(begin + at) * (size_t)head_dim, head_dim, call->scale, at, weights);
        for (int i = 0; i < lines; i++)
            shrink[i] = weigh_block(&line[i], line[i].last + 1 - begin, weights[i]);
        for (int column = 0; column < head_dim; column += 16)
            add_values(lines, line, call->values + (size_t)begin * (size_t)head_dim, positions, head_dim, column, weights, shrink);
    }
    for (int i = 0; i < lines; i++) {
        const __m256 factor = _mm256_set1_ps(1.0f / line[i].sum);
        for (int d = 0; d < head_dim; d += 8)
            _mm256_storeu_ps(line[i].out + d, _mm256_mul_ps(_mm256_loadu_ps(line[i].out + d), factor));
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
        default: attend_tile(4, call, line); break;
        }
    }
}

const struct kernel attention_f32_avx2 = {
    .name = "attention_f32_avx2",
    .op = OP_ATTENTION,
    .isa = ISA_AVX2,
    .layout = "4 queries × 16 positions in registers; decode is bound by reading keys and values once",
    .function = (void (*)(void))attention,
};
