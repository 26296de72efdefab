// SPDX-License-Identifier: MIT
#include "bench/model/train_pass.h"

#include <errno.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/model.h"
#include "bench/model/train_attention.h"
#include "bench/model/train_rows.h"
#include "kernels/blas.h"
#include "kernels/loss/cross_entropy.h"

// What one block keeps for its backward pass. N = sequences·length rows, D = d_model, Q = heads·head_dim,
// K = kv_heads·head_dim, F = ffn.
struct layer_activations {
    float *input;     // (N, D) residual stream before the block
    float *normed1;   // (N, D)
    float *scale1;    // (N) the norm's 1/rms
    float *q, *k, *v; // (N, Q), (N, K), (N, K), positions applied
    float *attended;  // (N, Q)
    float *log_sum;   // (sequences, heads, length)
    float *middle;    // (N, D) residual stream after attention
    float *normed2;   // (N, D)
    float *scale2;    // (N)
    float *gate, *up; // (N, F)
    float *activated; // (N, F) silu(gate)·up
};

struct train_pass {
    struct model_config config;
    struct attention_shape attention;
    int rows, threads;
    struct layer_activations *layers;
    float *output;                      // (N, D) residual stream after the last block
    float *final_normed, *final_scale;  // (N, D), (N)
    float *logits;                      // (N, vocab)
    float *wide;                        // (N, max(D, Q)) what goes into the residual stream, before dropout
    float *dresidual, *dnormed, *dwide; // (N, D), (N, D), (N, max(D, Q))
    float *dq, *dk, *dv;                // (N, Q), (N, K), (N, K)
    float *dactivated;                  // (N, F)
    float *dweight;                     // (threads, D) a norm's gradient, thread by thread
    float *cosine, *sine;               // (length, head_dim/2)
    float *scratch;
    float *storage;
    float dropout;
    uint32_t dropout_seed;
};

// Hands out aligned pieces of one allocation; with storage NULL it only counts.
struct arena {
    float *storage;
    size_t used;
};

static float *take(struct arena *arena, size_t count)
{
    float *piece = arena->storage ? arena->storage + arena->used : NULL;
    arena->used += (count + 15) / 16 * 16;
    return piece;
}

static void lay_out(struct train_pass *p, struct arena *arena)
{
    const struct model_config *c = &p->config;
    const size_t n = (size_t)p->rows, d = (size_t)c->d_model, f = (size_t)c->ffn;
    const size_t q = (size_t)c->heads * (size_t)c->head_dim, k = (size_t)c->kv_heads * (size_t)c->head_dim;
    const size_t wide = q > d ? q : d;
    for (int l = 0; l < c->layers; l++) {
        struct layer_activations *a = &p->layers[l];
        a->input = take(arena, n * d);
        a->normed1 = take(arena, n * d);
        a->scale1 = take(arena, n);
        a->q = take(arena, n * q);
        a->k = take(arena, n * k);
        a->v = take(arena, n * k);
        a->attended = take(arena, n * q);
        a->log_sum = take(arena, n * (size_t)c->heads);
        a->middle = take(arena, n * d);
        a->normed2 = take(arena, n * d);
        a->scale2 = take(arena, n);
        a->gate = take(arena, n * f);
        a->up = take(arena, n * f);
        a->activated = take(arena, n * f);
    }
    p->output = take(arena, n * d);
    p->final_normed = take(arena, n * d);
    p->final_scale = take(arena, n);
    p->logits = take(arena, n * (size_t)c->vocab);
    p->wide = take(arena, n * wide);
    p->dresidual = take(arena, n * d);
    p->dnormed = take(arena, n * d);
    p->dwide = take(arena, n * wide);
    p->dq = take(arena, n * q);
    p->dk = take(arena, n * k);
    p->dv = take(arena, n * k);
    p->dactivated = take(arena, n * f);
    p->dweight = take(arena, (size_t)p->threads * d);
    p->cosine = take(arena, (size_t)p->attention.length * (size_t)c->head_dim / 2);
    p->sine = take(arena, (size_t)p->attention.length * (size_t)c->head_dim / 2);
    p->scratch = take(arena, train_attention_scratch(&p->attention, p->threads));
}

int train_pass_create(struct train_pass **pass, const struct model_config *config, int sequences, int length)
{
    char reason[128];
    if (model_config_check(config, reason, sizeof reason) || sequences < 1 || length < 1 || length > config->context ||
        sequences > (1 << 24) / length)
        return -EINVAL;
    struct train_pass *p = calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    p->config = *config;
    p->rows = sequences * length;
    p->threads = omp_get_max_threads();
    p->attention = (struct attention_shape){.sequences = sequences,
                                            .length = length,
                                            .heads = config->heads,
                                            .kv_heads = config->kv_heads,
                                            .head_dim = config->head_dim};
    p->layers = calloc((size_t)config->layers, sizeof *p->layers);
    if (!p->layers) {
        train_pass_free(p);
        return -ENOMEM;
    }
    struct arena arena = {0};
    lay_out(p, &arena);
    p->storage = arena.storage = aligned_alloc(64, arena.used * sizeof(float));
    if (!p->storage) {
        train_pass_free(p);
        return -ENOMEM;
    }
    arena.used = 0;
    lay_out(p, &arena);
    const int half = config->head_dim / 2;
    for (int t = 0; t < length; t++) {
        for (int i = 0; i < half; i++) {
            const double angle = t * pow((double)config->rope_theta, -2.0 * i / config->head_dim);
            p->cosine[t * half + i] = (float)cos(angle);
            p->sine[t * half + i] = (float)sin(angle);
        }
    }
    *pass = p;
    return 0;
}

void train_pass_free(struct train_pass *pass)
{
    if (!pass)
        return;
    free(pass->layers);
    free(pass->storage);
    free(pass);
}

// y (rows, out) = x (rows, in) · weightᵀ
static void linear(const struct train_pass *p, float *y, const float *x, const float *weight, int out, int in)
{
    blas_sgemm(false, true, p->rows, out, in, 1, x, in, weight, in, 0, y, out);
}

// dx (+)= dy · weight, and dweight += dyᵀ · x
static void linear_backward(const struct train_pass *p, float *dx, float keep, float *dweight, const float *dy,
                            const float *x, const float *weight, int out, int in)
{
    blas_sgemm(false, false, p->rows, in, out, 1, dy, out, weight, in, keep, dx, in);
    blas_sgemm(true, false, out, in, p->rows, 1, dy, out, x, in, 1, dweight, in);
}

static void norm(const struct train_pass *p, float *y, float *scale, const float *x, const float *weight)
{
    const int d = p->config.d_model;
#pragma omp parallel for schedule(static)
    for (int r = 0; r < p->rows; r++)
        scale[r] = rms_norm_row(y + (size_t)r * (size_t)d, x + (size_t)r * (size_t)d, weight, d, p->config.norm_eps);
}

static void norm_backward(const struct train_pass *p, float *dx, float *dweight, const float *dy, const float *x,
                          const float *weight, const float *scale)
{
    const size_t d = (size_t)p->config.d_model;
    memset(p->dweight, 0, (size_t)p->threads * d * sizeof *p->dweight);
#pragma omp parallel for schedule(static) num_threads(p->threads)
    for (int r = 0; r < p->rows; r++)
        rms_norm_backward_row(dx + (size_t)r * d, p->dweight + (size_t)omp_get_thread_num() * d, dy + (size_t)r * d,
                              x + (size_t)r * d, weight, scale[r], (int)d);
    for (int t = 0; t < p->threads; t++)
        add_row(dweight, p->dweight + (size_t)t * d, (int)d);
}

static void turn(const struct train_pass *p, float *rows, int heads, float direction)
{
    const int dim = p->config.head_dim, half = dim / 2;
#pragma omp parallel for schedule(static)
    for (int r = 0; r < p->rows; r++) {
        const size_t at = (size_t)(r % p->attention.length) * (size_t)half;
        rope_row(rows + (size_t)r * (size_t)(heads * dim), heads, dim, p->cosine + at, p->sine + at, direction,
                 p->config.rope_style == ROPE_INTERLEAVED);
    }
}

// out = dropped-out in, plus base if there is one. Each place that drops has its own seed.
static void drop(const struct train_pass *p, float *out, const float *base, const float *in, int place)
{
    const int d = p->config.d_model;
#pragma omp parallel for schedule(static)
    for (int r = 0; r < p->rows; r++) {
        const size_t at = (size_t)r * (size_t)d;
        dropout_row(out + at, base ? base + at : NULL, in + at, d, (uint32_t)at,
                    p->dropout_seed * 2654435761u + (uint32_t)place, p->dropout);
    }
}

static void block_forward(const struct train_pass *p, int l, const struct layer_weights *w, float *output)
{
    const struct model_config *c = &p->config;
    const int d = c->d_model, q = c->heads * c->head_dim, k = c->kv_heads * c->head_dim;
    struct layer_activations *a = &p->layers[l];
    norm(p, a->normed1, a->scale1, a->input, w->attention_norm);
    linear(p, a->q, a->normed1, w->matrix[LAYER_Q], q, d);
    linear(p, a->k, a->normed1, w->matrix[LAYER_K], k, d);
    linear(p, a->v, a->normed1, w->matrix[LAYER_V], k, d);
    turn(p, a->q, c->heads, 1);
    turn(p, a->k, c->kv_heads, 1);
    train_attention_forward(&p->attention, a->attended, a->log_sum, a->q, a->k, a->v, p->scratch);
    linear(p, p->wide, a->attended, w->matrix[LAYER_O], d, q);
    drop(p, a->middle, a->input, p->wide, 2 * l);
    norm(p, a->normed2, a->scale2, a->middle, w->ffn_norm);
    linear(p, a->gate, a->normed2, w->matrix[LAYER_GATE], c->ffn, d);
    linear(p, a->up, a->normed2, w->matrix[LAYER_UP], c->ffn, d);
#pragma omp parallel for schedule(static)
    for (int r = 0; r < p->rows; r++) {
        const size_t at = (size_t)r * (size_t)c->ffn;
        swiglu_row(a->activated + at, a->gate + at, a->up + at, c->ffn);
    }
    linear(p, p->wide, a->activated, w->matrix[LAYER_DOWN], d, c->ffn);
    drop(p, output, a->middle, p->wide, 2 * l + 1);
}

float *train_forward(struct train_pass *p, const struct model *model, const int32_t *ids, float dropout,
                     uint32_t dropout_seed)
{
    const struct model_config *c = &p->config;
    const size_t d = (size_t)c->d_model;
    p->dropout = dropout;
    p->dropout_seed = dropout_seed;
    for (int r = 0; r < p->rows; r++)
        memcpy(p->layers[0].input + (size_t)r * d, model->embedding + (size_t)ids[r] * d, d * sizeof(float));
    for (int l = 0; l < c->layers; l++)
        block_forward(p, l, &model->layers[l], l + 1 < c->layers ? p->layers[l + 1].input : p->output);
    norm(p, p->final_normed, p->final_scale, p->output, model->final_norm);
    linear(p, p->logits, p->final_normed, model->output, c->vocab, c->d_model);
    return p->logits;
}

double train_loss(const struct train_pass *p, const int32_t *targets)
{
    const int vocab = p->config.vocab;
    double loss = 0;
#pragma omp parallel for schedule(static) reduction(+ : loss)
    for (int r = 0; r < p->rows; r++)
        loss += cross_entropy_row(p->logits + (size_t)r * (size_t)vocab, vocab, targets[r]);
    return loss / p->rows;
}

double train_loss_gradient(struct train_pass *p, const int32_t *targets)
{
    const int vocab = p->config.vocab;
    const float scale = 1 / (float)p->rows;
    double loss = 0;
#pragma omp parallel for schedule(static) reduction(+ : loss)
    for (int r = 0; r < p->rows; r++)
        loss += cross_entropy_gradient_row(p->logits + (size_t)r * (size_t)vocab, vocab, targets[r], scale);
    return loss / p->rows;
}

// On entry dresidual is the gradient of the block's output; on return, of its input.
static void block_backward(const struct train_pass *p, int l, const struct layer_weights *w, struct layer_weights *dw)
{
    const struct model_config *c = &p->config;
    const int d = c->d_model, q = c->heads * c->head_dim, k = c->kv_heads * c->head_dim;
    struct layer_activations *a = &p->layers[l];
    drop(p, p->dwide, NULL, p->dresidual, 2 * l + 1);
    linear_backward(p, p->dactivated, 0, dw->matrix[LAYER_DOWN], p->dwide, a->activated, w->matrix[LAYER_DOWN], d,
                    c->ffn);
#pragma omp parallel for schedule(static)
    for (int r = 0; r < p->rows; r++) {
        const size_t at = (size_t)r * (size_t)c->ffn;
        swiglu_backward_row(a->gate + at, a->up + at, p->dactivated + at, c->ffn);
    }
    linear_backward(p, p->dnormed, 0, dw->matrix[LAYER_GATE], a->gate, a->normed2, w->matrix[LAYER_GATE], c->ffn, d);
    linear_backward(p, p->dnormed, 1, dw->matrix[LAYER_UP], a->up, a->normed2, w->matrix[LAYER_UP], c->ffn, d);
    norm_backward(p, p->dresidual, dw->ffn_norm, p->dnormed, a->middle, w->ffn_norm, a->scale2);

    drop(p, p->dwide, NULL, p->dresidual, 2 * l);
    linear_backward(p, p->wide, 0, dw->matrix[LAYER_O], p->dwide, a->attended, w->matrix[LAYER_O], d, q);
    train_attention_backward(&p->attention, p->dq, p->dk, p->dv, p->wide, a->attended, a->log_sum, a->q, a->k, a->v,
                             p->scratch);
    turn(p, p->dq, c->heads, -1);
    turn(p, p->dk, c->kv_heads, -1);
    linear_backward(p, p->dnormed, 0, dw->matrix[LAYER_Q], p->dq, a->normed1, w->matrix[LAYER_Q], q, d);
    linear_backward(p, p->dnormed, 1, dw->matrix[LAYER_K], p->dk, a->normed1, w->matrix[LAYER_K], k, d);
    linear_backward(p, p->dnormed, 1, dw->matrix[LAYER_V], p->dv, a->normed1, w->matrix[LAYER_V], k, d);
    norm_backward(p, p->dresidual, dw->attention_norm, p->dnormed, a->input, w->attention_norm, a->scale1);
}

void train_backward(struct train_pass *p, const struct model *model, const int32_t *ids, struct model *gradient)
{
    const struct model_config *c = &p->config;
    const size_t d = (size_t)c->d_model;
    linear_backward(p, p->dnormed, 0, gradient->output, p->logits, p->final_normed, model->output, c->vocab,
                    c->d_model);
    memset(p->dresidual, 0, (size_t)p->rows * d * sizeof(float));
    norm_backward(p, p->dresidual, gradient->final_norm, p->dnormed, p->output, model->final_norm, p->final_scale);
    for (int l = c->layers - 1; l >= 0; l--)
        block_backward(p, l, &model->layers[l], &gradient->layers[l]);
    for (int r = 0; r < p->rows; r++) // serial: the same token may stand in many rows
        add_row(gradient->embedding + (size_t)ids[r] * d, p->dresidual + (size_t)r * d, (int)d);
}
