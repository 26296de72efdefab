// SPDX-License-Identifier: MIT
#include "bench/model/train_rows.h"

#include <math.h>

#include "kernels/vector_math.h"

VECTOR_CLONES float dot_row(const float *a, const float *b, int dim)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < dim; i++)
        sum += a[i] * b[i];
    return sum;
}

VECTOR_CLONES void add_row(float *restrict sum, const float *restrict term, int dim)
{
    for (int i = 0; i < dim; i++)
        sum[i] += term[i];
}

VECTOR_CLONES float rms_norm_row(float *restrict y, const float *restrict x, const float *restrict weight, int dim,
                                 float eps)
{
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int i = 0; i < dim; i++)
        squares += x[i] * x[i];
    const float r = 1 / sqrtf(squares / (float)dim + eps);
    for (int i = 0; i < dim; i++)
        y[i] = x[i] * r * weight[i];
    return r;
}

VECTOR_CLONES void rms_norm_backward_row(float *restrict dx, float *restrict dweight, const float *restrict dy,
                                         const float *restrict x, const float *restrict weight, float r, int dim)
{
    float along = 0; // how much of the gradient points along x: the norm takes that away
#pragma omp simd reduction(+ : along)
    for (int i = 0; i < dim; i++)
        along += dy[i] * weight[i] * x[i];
    const float shrink = along * r * r * r / (float)dim;
    for (int i = 0; i < dim; i++) {
        dweight[i] += dy[i] * x[i] * r;
        dx[i] += dy[i] * weight[i] * r - x[i] * shrink;
    }
}

VECTOR_CLONES static void rope_interleaved(float *row, int head_dim, const float *cosine, const float *sine,
                                           float direction)
{
    for (int i = 0; i < head_dim / 2; i++) {
        const float a = row[2 * i], b = row[2 * i + 1], s = direction * sine[i];
        row[2 * i] = a * cosine[i] - b * s;
        row[2 * i + 1] = a * s + b * cosine[i];
    }
}

VECTOR_CLONES static void rope_halves(float *row, int head_dim, const float *cosine, const float *sine, float direction)
{
    const int half = head_dim / 2;
    for (int i = 0; i < half; i++) {
        const float a = row[i], b = row[i + half], s = direction * sine[i];
        row[i] = a * cosine[i] - b * s;
        row[i + half] = a * s + b * cosine[i];
    }
}

void rope_row(float *row, int heads, int head_dim, const float *cosine, const float *sine, float direction,
              bool interleaved)
{
    for (int h = 0; h < heads; h++)
        (interleaved ? rope_interleaved : rope_halves)(row + (size_t)h * (size_t)head_dim, head_dim, cosine, sine,
                                                       direction);
}

VECTOR_CLONES void swiglu_row(float *restrict out, const float *restrict gate, const float *restrict up, int dim)
{
    for (int i = 0; i < dim; i++)
        out[i] = gate[i] / (1 + vector_exp(-gate[i])) * up[i];
}

VECTOR_CLONES void swiglu_backward_row(float *restrict gate, float *restrict up, const float *restrict dout, int dim)
{
    for (int i = 0; i < dim; i++) {
        const float sigmoid = 1 / (1 + vector_exp(-gate[i])), silu = gate[i] * sigmoid;
        gate[i] = dout[i] * up[i] * (sigmoid + silu * (1 - sigmoid));
        up[i] = dout[i] * silu;
    }
}

// The finalizer of MurmurHash3: 32 well-mixed bits of a counter.
static inline uint32_t mix(uint32_t x)
{
    x = (x ^ (x >> 16)) * 0x85ebca6bu;
    x = (x ^ (x >> 13)) * 0xc2b2ae35u;
    return x ^ (x >> 16);
}

VECTOR_CLONES static void dropout_mask(float *restrict out, const float *restrict in, int dim, uint32_t first_number,
                                       uint32_t seed, uint32_t threshold, float factor)
{
    for (int i = 0; i < dim; i++)
        out[i] = (mix((first_number + (uint32_t)i) ^ seed) >> 8) >= threshold ? in[i] * factor : 0.0f;
}

void dropout_row(float *out, const float *base, const float *in, int dim, uint32_t first_number, uint32_t seed,
                 float rate)
{
    dropout_mask(out, in, dim, first_number, mix(seed), (uint32_t)(rate * 0x1p24f), 1 / (1 - rate));
    if (base)
        add_row(out, base, dim);
}

VECTOR_CLONES float causal_softmax_row(float *row, int valid, int count)
{
    float max = row[0], sum = 0;
#pragma omp simd reduction(max : max)
    for (int i = 1; i < valid; i++)
        max = row[i] > max ? row[i] : max;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < valid; i++) {
        row[i] = vector_exp(row[i] - max);
        sum += row[i];
    }
    const float factor = 1 / sum;
    for (int i = 0; i < valid; i++)
        row[i] *= factor;
    for (int i = valid; i < count; i++)
        row[i] = 0;
    return max + logf(sum);
}

VECTOR_CLONES void causal_softmax_backward_row(float *restrict score, float *restrict gradient, float log_sum,
                                               float dot, float scale, int valid, int count)
{
    for (int i = 0; i < valid; i++) {
        score[i] = vector_exp(score[i] - log_sum);
        gradient[i] = score[i] * (gradient[i] - dot) * scale;
    }
    for (int i = valid; i < count; i++)
        score[i] = gradient[i] = 0;
}
