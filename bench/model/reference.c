// SPDX-License-Identifier: MIT
#include "bench/model/reference.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/model.h"

// Everything that lives between two positions (the caches) and the vectors of the position at hand.
struct state {
    double *keys, *values;                    // (layers, count, kv_heads·head_dim)
    double *x, *normed, *q, *attended, *wide; // (d_model), (d_model), (heads·head_dim), the same, (max of all)
    double *gate, *up, *scores;               // (ffn), (ffn), (count)
};

// y (out) = weight (out, in) · x (in)
static void multiply(double *y, const float *weight, const double *x, int out, int in)
{
    for (int o = 0; o < out; o++) {
        double sum = 0;
        for (int i = 0; i < in; i++)
            sum += (double)weight[(size_t)o * (size_t)in + (size_t)i] * x[i];
        y[o] = sum;
    }
}

static void rms_norm(double *y, const double *x, const float *weight, int dim, double eps)
{
    double squares = 0;
    for (int i = 0; i < dim; i++)
        squares += x[i] * x[i];
    const double scale = 1 / sqrt(squares / dim + eps);
    for (int i = 0; i < dim; i++)
        y[i] = x[i] * scale * (double)weight[i];
}

// Su et al. 2021, "RoFormer": pair i of a head turns by position · theta^(−2i/head_dim), here with Llama 3.1's factors and Gemma's two thetas.
static void rotate(double *row, int heads, const struct model *model, int layer, int position)
{
    const struct model_config *c = &model->config;
    const int dim = c->head_dim;
    const bool windowed = model_layer_windowed(c, layer);
    const double theta = (double)(windowed && c->window_rope_theta > 0 ? c->window_rope_theta : c->rope_theta);
    const double slower = !windowed && c->rope_scale > 0 ? (double)c->rope_scale : 1;
    for (int h = 0; h < heads; h++) {
        double *head = row + (size_t)h * (size_t)dim;
        for (int i = 0; i < dim / 2; i++) {
            const double factor = model->rope_factors ? (double)model->rope_factors[i] : 1;
            const double angle = position / slower * pow(theta, -2.0 * i / dim) / factor;
            double *a = c->rope_style == ROPE_INTERLEAVED ? &head[2 * i] : &head[i];
            double *b = c->rope_style == ROPE_INTERLEAVED ? &head[2 * i + 1] : &head[i + dim / 2];
            const double first = *a, second = *b;
            *a = first * cos(angle) - second * sin(angle);
            *b = first * sin(angle) + second * cos(angle);
        }
    }
}

// cap·tanh(x/cap) where there is a cap (Gemma 2).
static double capped(double x, float cap)
{
    return cap > 0 ? (double)cap * tanh(x / (double)cap) : x;
}

static void attend(double *out, const double *q, const double *keys, const double *values, double *scores,
                   const struct model_config *c, int layer, int position)
{
    const int dim = c->head_dim, stride = c->kv_heads * dim, group = c->heads / c->kv_heads;
    const int first = model_layer_windowed(c, layer) && position >= c->window ? position - c->window + 1 : 0;
    const double scale = c->attention_scale > 0 ? (double)c->attention_scale : 1 / sqrt(dim);
    for (int h = 0; h < c->heads; h++) {
        const size_t column = (size_t)(h / group * dim);
        double max = -INFINITY, sum = 0;
        for (int t = first; t <= position; t++) {
            const double *key = keys + (size_t)t * (size_t)stride + column;
            double dot = 0;
            for (int i = 0; i < dim; i++)
                dot += q[h * dim + i] * key[i];
            scores[t] = capped(dot * scale, c->attention_cap);
            max = scores[t] > max ? scores[t] : max;
        }
        for (int t = first; t <= position; t++)
            sum += scores[t] = exp(scores[t] - max);
        memset(out + (size_t)h * (size_t)dim, 0, (size_t)dim * sizeof *out);
        for (int t = first; t <= position; t++) {
            const double *value = values + (size_t)t * (size_t)stride + column;
            for (int i = 0; i < dim; i++)
                out[h * dim + i] += scores[t] / sum * value[i];
        }
    }
}

static void add(double *y, const float *bias, int count)
{
    for (int i = 0; bias && i < count; i++)
        y[i] += (double)bias[i];
}

static void norm_heads(double *row, const float *weight, int heads, const struct model_config *c)
{
    for (int h = 0; weight && h < heads; h++)
        rms_norm(row + (size_t)h * (size_t)c->head_dim, row + (size_t)h * (size_t)c->head_dim, weight, c->head_dim, (double)c->norm_eps);
}

static double gate(enum gate_function function, double x)
{
    if (function == GATE_GELU)
        return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    return x / (1 + exp(-x));
}

static void block(const struct model *model, struct state *s, int l, int position, int count)
{
    const struct model_config *c = &model->config;
    const struct layer_weights *w = &model->layers[l];
    const int d = c->d_model, query = c->heads * c->head_dim, key = c->kv_heads * c->head_dim;
    double *keys = s->keys + (size_t)l * (size_t)count * (size_t)key, *values = s->values + (keys - s->keys);

    rms_norm(s->normed, s->x, w->attention_norm, d, (double)c->norm_eps);
    multiply(s->q, w->matrix[LAYER_Q], s->normed, query, d);
    multiply(keys + (size_t)position * (size_t)key, w->matrix[LAYER_K], s->normed, key, d);
    multiply(values + (size_t)position * (size_t)key, w->matrix[LAYER_V], s->normed, key, d);
    double *const key_row = keys + (size_t)position * (size_t)key;
    add(s->q, w->q_bias, query);
    add(key_row, w->k_bias, key);
    add(values + (size_t)position * (size_t)key, w->v_bias, key);
    norm_heads(s->q, w->q_norm, c->heads, c);
    norm_heads(key_row, w->k_norm, c->kv_heads, c);
    rotate(s->q, c->heads, model, l, position);
    rotate(key_row, c->kv_heads, model, l, position);
    attend(s->attended, s->q, keys, values, s->scores, c, l, position);
    multiply(s->wide, w->matrix[LAYER_O], s->attended, d, query);
    if (w->post_attention_norm)
        rms_norm(s->wide, s->wide, w->post_attention_norm, d, (double)c->norm_eps);
    for (int i = 0; i < d; i++)
        s->x[i] += s->wide[i];

    rms_norm(s->normed, s->x, w->ffn_norm, d, (double)c->norm_eps);
    multiply(s->gate, w->matrix[LAYER_GATE], s->normed, c->ffn, d);
    multiply(s->up, w->matrix[LAYER_UP], s->normed, c->ffn, d);
    for (int i = 0; i < c->ffn; i++)
        s->gate[i] = gate(c->gate, s->gate[i]) * s->up[i]; // SwiGLU, GeGLU (Shazeer 2020)
    multiply(s->wide, w->matrix[LAYER_DOWN], s->gate, d, c->ffn);
    if (w->post_ffn_norm)
        rms_norm(s->wide, s->wide, w->post_ffn_norm, d, (double)c->norm_eps);
    for (int i = 0; i < d; i++)
        s->x[i] += s->wide[i];
}

int model_reference_logits(const struct model *model, const int32_t *ids, int count, float *logits)
{
    const struct model_config *c = &model->config;
    const size_t d = (size_t)c->d_model, query = (size_t)c->heads * (size_t)c->head_dim;
    const size_t cache = (size_t)c->layers * (size_t)count * (size_t)c->kv_heads * (size_t)c->head_dim;
    if (count < 1 || count > c->context)
        return -EINVAL;
    for (int t = 0; t < count; t++) {
        if (ids[t] < 0 || ids[t] >= c->vocab)
            return -EINVAL;
    }
    const size_t wide = d > (size_t)c->vocab ? d : (size_t)c->vocab;
    double *storage =
        calloc(2 * cache + 2 * d + 2 * query + wide + 2 * (size_t)c->ffn + (size_t)count, sizeof *storage);
    if (!storage)
        return -ENOMEM;
    struct state s = {.keys = storage};
    s.values = s.keys + cache;
    s.x = s.values + cache;
    s.normed = s.x + d;
    s.q = s.normed + d;
    s.attended = s.q + query;
    s.wide = s.attended + query;
    s.gate = s.wide + wide;
    s.up = s.gate + c->ffn;
    s.scores = s.up + c->ffn;
    for (int t = 0; t < count; t++) {
        for (size_t i = 0; i < d; i++)
            s.x[i] = (double)model->embedding[(size_t)ids[t] * d + i] * (c->embedding_scale > 0 ? (double)c->embedding_scale : 1);
        for (int l = 0; l < c->layers; l++)
            block(model, &s, l, t, count);
        rms_norm(s.normed, s.x, model->final_norm, c->d_model, (double)c->norm_eps);
        multiply(s.wide, model->output, s.normed, c->vocab, c->d_model);
        for (int i = 0; i < c->vocab; i++)
            logits[(size_t)t * (size_t)c->vocab + (size_t)i] = (float)capped(s.wide[i], c->output_cap);
    }
    free(storage);
    return 0;
}
