// SPDX-License-Identifier: MIT
#include "bench/model/train_attention.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "bench/model/train_rows.h"
#include "kernels/blas.h"

// Queries per block: tall enough for BLAS, short enough that little of the causal triangle is computed in vain.
enum { BLOCK = 64 };

size_t train_attention_scratch(const struct attention_shape *shape, int threads)
{
    return (size_t)threads * 2 * BLOCK * (size_t)shape->length;
}

// Where one head's rows of one sequence are.
struct head {
    const float *q, *k, *v; // first row; rows are query_stride and key_stride apart
    size_t query_offset, key_offset, log_offset;
    int query_stride, key_stride;
};

static struct head find_head(const struct attention_shape *s, int sequence, int head, const float *q, const float *k,
                             const float *v)
{
    const int query_stride = s->heads * s->head_dim, key_stride = s->kv_heads * s->head_dim;
    const size_t row = (size_t)sequence * (size_t)s->length;
    const int kv_head = head / (s->heads / s->kv_heads);
    struct head h = {.query_stride = query_stride, .key_stride = key_stride};
    h.query_offset = row * (size_t)query_stride + (size_t)(head * s->head_dim);
    h.key_offset = row * (size_t)key_stride + (size_t)(kv_head * s->head_dim);
    h.log_offset = ((size_t)sequence * (size_t)s->heads + (size_t)head) * (size_t)s->length;
    h.q = q + h.query_offset;
    h.k = k + h.key_offset;
    h.v = v + h.key_offset;
    return h;
}

static void head_forward(const struct attention_shape *s, const struct head *h, float *out, float *log_sum,
                         float *score)
{
    const int dim = s->head_dim;
    const float scale = 1 / sqrtf((float)dim);
    for (int first = 0; first < s->length; first += BLOCK) {
        const int rows = s->length - first < BLOCK ? s->length - first : BLOCK, keys = first + rows;
        const size_t at = (size_t)first * (size_t)h->query_stride;
        // score (rows, keys) = scale · Q Kᵀ
        blas_sgemm(false, true, rows, keys, dim, scale, h->q + at, h->query_stride, h->k, h->key_stride, 0, score,
                   keys);
        for (int r = 0; r < rows; r++)
            log_sum[first + r] = causal_softmax_row(score + (size_t)r * (size_t)keys, first + r + 1, keys);
        blas_sgemm(false, false, rows, dim, keys, 1, score, keys, h->v, h->key_stride, 0, out + at, h->query_stride);
    }
}

void train_attention_forward(const struct attention_shape *shape, float *out, float *log_sum, const float *q,
                             const float *k, const float *v, float *scratch)
{
#pragma omp parallel for collapse(2) schedule(dynamic)
    for (int sequence = 0; sequence < shape->sequences; sequence++) {
        for (int head = 0; head < shape->heads; head++) {
            const struct head h = find_head(shape, sequence, head, q, k, v);
            float *score = scratch + (size_t)omp_get_thread_num() * 2 * BLOCK * (size_t)shape->length;
            head_forward(shape, &h, out + h.query_offset, log_sum + h.log_offset, score);
        }
    }
}

// Adds to dk and dv, which all heads of the group share.
static void head_backward(const struct attention_shape *s, const struct head *h, float *dq, float *dk, float *dv,
                          const float *dout, const float *out, const float *log_sum, float *score, float *dscore)
{
    const int dim = s->head_dim;
    const float scale = 1 / sqrtf((float)dim);
    for (int first = 0; first < s->length; first += BLOCK) {
        const int rows = s->length - first < BLOCK ? s->length - first : BLOCK, keys = first + rows;
        const size_t at = (size_t)first * (size_t)h->query_stride;
        blas_sgemm(false, true, rows, keys, dim, scale, h->q + at, h->query_stride, h->k, h->key_stride, 0, score,
                   keys);
        blas_sgemm(false, true, rows, keys, dim, 1, dout + at, h->query_stride, h->v, h->key_stride, 0, dscore, keys);
        for (int r = 0; r < rows; r++) {
            const size_t row = at + (size_t)r * (size_t)h->query_stride;
            causal_softmax_backward_row(score + (size_t)r * (size_t)keys, dscore + (size_t)r * (size_t)keys,
                                        log_sum[first + r], dot_row(dout + row, out + row, dim), scale, first + r + 1,
                                        keys);
        }
        // dV (keys, dim) += Pᵀ dO, dQ (rows, dim) = dS K, dK (keys, dim) += dSᵀ Q
        blas_sgemm(true, false, keys, dim, rows, 1, score, keys, dout + at, h->query_stride, 1, dv, h->key_stride);
        blas_sgemm(false, false, rows, dim, keys, 1, dscore, keys, h->k, h->key_stride, 0, dq + at, h->query_stride);
        blas_sgemm(true, false, keys, dim, rows, 1, dscore, keys, h->q + at, h->query_stride, 1, dk, h->key_stride);
    }
}

void train_attention_backward(const struct attention_shape *shape, float *dq, float *dk, float *dv, const float *dout,
                              const float *out, const float *log_sum, const float *q, const float *k, const float *v,
                              float *scratch)
{
    const int group = shape->heads / shape->kv_heads;
    const size_t keys =
        (size_t)shape->sequences * (size_t)shape->length * (size_t)shape->kv_heads * (size_t)shape->head_dim;
    memset(dk, 0, keys * sizeof *dk);
    memset(dv, 0, keys * sizeof *dv);
    // A thread takes a whole group: its heads add to the same dK and dV.
#pragma omp parallel for collapse(2) schedule(dynamic)
    for (int sequence = 0; sequence < shape->sequences; sequence++) {
        for (int kv_head = 0; kv_head < shape->kv_heads; kv_head++) {
            float *score = scratch + (size_t)omp_get_thread_num() * 2 * BLOCK * (size_t)shape->length;
            for (int head = kv_head * group; head < (kv_head + 1) * group; head++) {
                const struct head h = find_head(shape, sequence, head, q, k, v);
                head_backward(shape, &h, dq + h.query_offset, dk + h.key_offset, dv + h.key_offset,
                              dout + h.query_offset, out + h.query_offset, log_sum + h.log_offset, score,
                              score + BLOCK * (size_t)shape->length);
            }
        }
    }
}
