// SPDX-License-Identifier: MIT
// What Qwen and Gemma add to Llama's block. The weights are single rows that no layout cuts but by heads, so each thread
// applies them to the rows or columns that it has just computed.
#include <math.h>

#include "bench/model/engine_internal.h"

static void add_bias(float *x, const float *bias, size_t count)
{
    for (size_t i = 0; bias != NULL && i < count; i++)
        x[i] += bias[i];
}

static void norm_heads(const struct engine *engine, float *x, const float *weight, int heads)
{
    const int size = engine->config->head_dim;
    if (weight != NULL)
        engine->rmsnorm(&(struct rmsnorm_call){ .x = x, .weight = weight, .y = x, .x_stride = (size_t)size, .y_stride = (size_t)size,
                                                .rows = heads, .columns = size, .epsilon = engine->config->norm_eps });
}

void engine_finish_heads(const struct engine *engine, int layer, struct layout_range heads, float *q, float *k, float *v)
{
    const struct variant *variant = engine->variant;
    const struct layer_weights *weights = &variant->model->layers[variant->layers.begin + layer];
    const size_t size = (size_t)engine->config->head_dim, group = (size_t)(variant->heads / variant->kv_heads);
    const size_t count = (size_t)(heads.end - heads.begin) * size;
    if (weights->q_bias != NULL) {
        // this rank's heads are a part of the model's
        const size_t first = (size_t)(variant->place.tensor * variant->kv_heads + heads.begin) * size;
        add_bias(q, weights->q_bias + first * group, count * group);
        add_bias(k, weights->k_bias + first, count);
        add_bias(v, weights->v_bias + first, count);
    }
    norm_heads(engine, q, weights->q_norm, (heads.end - heads.begin) * (int)group);
    norm_heads(engine, k, weights->k_norm, heads.end - heads.begin);
}

void engine_norm_partial(const struct engine *engine, const float *weight, struct layout_range rows)
{
    const size_t width = (size_t)engine->config->d_model;
    float *x = engine->partial + (size_t)rows.begin * width;
    engine->rmsnorm(&(struct rmsnorm_call){ .x = x, .weight = weight, .y = x, .x_stride = width, .y_stride = width,
                                            .rows = rows.end - rows.begin, .columns = (int)width, .epsilon = engine->config->norm_eps });
}

void engine_cap_logits(const struct engine *engine, int rows, struct layout_range columns)
{
    const float cap = engine->config->output_cap;
    for (int row = 0; cap > 0 && row < rows; row++) {
        float *logits = engine->logits + (size_t)row * (size_t)engine->vocab_local;
        for (int i = columns.begin; i < columns.end; i++)
            logits[i] = cap * tanhf(logits[i] / cap);
    }
}
