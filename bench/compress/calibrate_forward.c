// SPDX-License-Identifier: MIT
#include "bench/compress/calibrate_internal.h"

#include <errno.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/train_attention.h"
#include "bench/model/train_rows.h"
#include "kernels/blas.h"

enum { CHUNK_ROWS = 2048 }; // tokens that are in the buffers at a time, in whole windows
enum { LARGEST_HEAD = 1024 };

struct layer_forward {
    struct model_config config;
    int window, windows, chunk; // chunk: windows at a time
    float *stream;              // (windows·window, d_model)
    float *rotations[2][2];     // (window, head_dim/2): cosines and sines of global layers, and of those with a sliding window
    // (chunk·window, …)
    float *normed, *q, *k, *v, *attended, *residual, *gate, *up, *hidden, *log_sum, *scratch;
};

enum layer_input layer_input_of(enum layer_matrix which) {
    switch (which) {
    case LAYER_O:
        return INPUT_OUTPUT;
    case LAYER_GATE:
    case LAYER_UP:
        return INPUT_FFN;
    case LAYER_DOWN:
        return INPUT_DOWN;
    default:
        return INPUT_ATTENTION;
    }
}

void layer_share_values(const struct model_config *config, int *sharing) {
    const int group = config->heads / config->kv_heads;
    for (int head = 0; head < config->heads; head++)
        for (int i = 0; i < config->head_dim; i++)
            sharing[head * config->head_dim + i] = head / group * config->head_dim + i;
}

static void embed(struct layer_forward *forward, const struct model *model, const struct calibration *with) {
    const size_t width = (size_t)model->config.d_model;
    const float scale = model->config.embedding_scale > 0 ? model->config.embedding_scale : 1;
    for (int i = 0; i < forward->windows * forward->window; i++) {
        const int token = i % forward->window == 0 && with->bos >= 0 ? with->bos : with->tokens[i];
        float *x = forward->stream + (size_t)i * width;
        model_read_embedding(model, token, x);
        for (size_t c = 0; c < width; c++)
            x[c] *= scale;
    }
}

static int check(const struct model_config *config, const struct calibration *with, char *error, size_t error_size) {
    if (config->attention_cap > 0 || (config->window > 0 && config->window < with->window)) {
        snprintf(error, error_size, "calibration knows neither capped attention scores nor sliding windows below %d tokens, and %s "
                                    "has such layers", with->window, config->name);
        return -EINVAL;
    }
    if (with->count < (size_t)with->window) {
        snprintf(error, error_size, "%zu tokens of calibration text are less than a window of %d; use a longer text", with->count,
                 with->window);
        return -EINVAL;
    }
    if (config->head_dim > LARGEST_HEAD) {
        snprintf(error, error_size, "calibration knows heads of up to %d, not of %d", LARGEST_HEAD, config->head_dim);
        return -EINVAL;
    }
    for (size_t i = 0; i < with->count; i++)
        if (with->tokens[i] < 0 || with->tokens[i] >= config->vocab) {
            snprintf(error, error_size, "token %d of the calibration text is outside the vocabulary of %d", with->tokens[i],
                     config->vocab);
            return -EINVAL;
        }
    return 0;
}

int layer_forward_create(struct layer_forward **forward_out, const struct model *model, const struct calibration *with,
                         char *error, size_t error_size) {
    const struct model_config *config = &model->config;
    *forward_out = NULL;
    int status = check(config, with, error, error_size);
    if (status)
        return status;
    struct layer_forward *forward = calloc(1, sizeof *forward);
    if (!forward)
        goto no_memory;
    forward->config = *config;
    forward->window = with->window;
    forward->windows = (int)(with->count / (size_t)with->window);
    forward->chunk = with->window < CHUNK_ROWS ? CHUNK_ROWS / with->window : 1;
    forward->chunk = forward->chunk < forward->windows ? forward->chunk : forward->windows;
    const size_t rows = (size_t)forward->chunk * (size_t)with->window, d = (size_t)config->d_model, ffn = (size_t)config->ffn;
    const size_t heads = (size_t)config->heads * (size_t)config->head_dim, half = (size_t)config->head_dim / 2;
    const size_t kv = (size_t)config->kv_heads * (size_t)config->head_dim;
    const struct attention_shape shape = {forward->chunk, with->window, config->heads, config->kv_heads, config->head_dim};
    const struct {
        float **array;
        size_t count;
    } arrays[] = {{&forward->stream, (size_t)forward->windows * (size_t)with->window * d},
                  {&forward->rotations[0][0], (size_t)with->window * half},
                  {&forward->rotations[0][1], (size_t)with->window * half},
                  {&forward->rotations[1][0], (size_t)with->window * half},
                  {&forward->rotations[1][1], (size_t)with->window * half},
                  {&forward->normed, rows * d},
                  {&forward->q, rows * heads},
                  {&forward->k, rows * kv},
                  {&forward->v, rows * kv},
                  {&forward->attended, rows * heads},
                  {&forward->residual, rows * d},
                  {&forward->gate, rows * ffn},
                  {&forward->up, rows * ffn},
                  {&forward->hidden, rows * ffn},
                  {&forward->log_sum, rows * (size_t)config->heads},
                  {&forward->scratch, train_attention_scratch(&shape, omp_get_max_threads())}};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        *arrays[i].array = malloc(arrays[i].count * sizeof(float));
        if (!*arrays[i].array)
            goto no_memory;
    }
    embed(forward, model, with);
    for (int windowed = 0; windowed < 2; windowed++)
        model_rotations(model, windowed, with->window, forward->rotations[windowed][0], forward->rotations[windowed][1]);
    *forward_out = forward;
    return 0;
no_memory:
    layer_forward_free(forward);
    snprintf(error, error_size, "out of memory for %zu tokens of calibration text", with->count);
    return -ENOMEM;
}

void layer_forward_free(struct layer_forward *forward) {
    if (!forward)
        return;
    float *arrays[] = {forward->stream, forward->rotations[0][0], forward->rotations[0][1], forward->rotations[1][0],
                       forward->rotations[1][1], forward->normed, forward->q, forward->k, forward->v, forward->attended,
                       forward->residual, forward->gate, forward->up, forward->hidden, forward->log_sum, forward->scratch};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
    free(forward);
}

float *layer_forward_stream(struct layer_forward *forward) {
    return forward->stream;
}

static void observe(struct input_statistics *statistics, enum layer_input input, const float *x, int rows) {
    if (!statistics)
        return;
    struct input_statistics *of = &statistics[input];
    const size_t columns = (size_t)of->columns;
    if (of->hessian)
        blas_ssyrk_add(of->columns, rows, x, of->hessian);
    for (size_t row = 0; row < (size_t)rows; row++)
        for (size_t c = 0; c < columns; c++) {
            const float value = x[row * columns + c];
            of->squares[c] += value * value;
            of->sum[c] += fabsf(value);
        }
    of->tokens += (size_t)rows;
}

static void linear(const float *x, int rows, const float *weights, int out, int in, float *y) {
    blas_sgemm(false, true, rows, out, in, 1, x, in, weights, in, 0, y, out);
}

static void norm_rows(const struct layer_forward *forward, const float *x, const float *weight, int rows) {
    const size_t d = (size_t)forward->config.d_model;
#pragma omp parallel for
    for (int row = 0; row < rows; row++)
        rms_norm_row(forward->normed + (size_t)row * d, x + (size_t)row * d, weight, (int)d, forward->config.norm_eps);
}

// Bias, norm of each head, rotation, scale of one row's heads, where there are such.
struct head_steps {
    const float *bias, *norm;
    int heads;
    bool rotated;
    float scale;
};

static void finish_heads(const struct layer_forward *forward, const struct layer_copy *layer, const struct head_steps *steps,
                         float *rows_of, int rows) {
    const int dim = forward->config.head_dim, width = steps->heads * dim;
    float *const *rotation = forward->rotations[model_layer_windowed(&forward->config, layer->index)];
#pragma omp parallel for
    for (int row = 0; row < rows; row++) {
        float *x = rows_of + (size_t)row * (size_t)width, normed[LARGEST_HEAD];
        const size_t at = (size_t)(row % forward->window) * (size_t)(dim / 2);
        if (steps->bias)
            add_row(x, steps->bias, width);
        for (int head = 0; steps->norm && head < steps->heads; head++) {
            rms_norm_row(normed, x + head * dim, steps->norm, dim, forward->config.norm_eps);
            memcpy(x + head * dim, normed, (size_t)dim * sizeof(float));
        }
        if (steps->rotated)
            rope_row(x, steps->heads, dim, rotation[0] + at, rotation[1] + at, 1,
                     forward->config.rope_style == ROPE_INTERLEAVED);
        for (int i = 0; steps->scale != 1 && i < width; i++)
            x[i] *= steps->scale;
    }
}

// out = base + what a half of the block adds, normed where there is a norm behind it.
static void add_to_stream(struct layer_forward *forward, const float *base, float *addition, const float *post_norm, int rows,
                          float *out) {
    const size_t d = (size_t)forward->config.d_model;
    if (post_norm)
        norm_rows(forward, addition, post_norm, rows);
    const float *term = post_norm ? forward->normed : addition;
    for (size_t i = 0; i < (size_t)rows * d; i++)
        out[i] = base[i] + term[i];
}

static void gate_rows(struct layer_forward *forward, int rows) {
    const size_t ffn = (size_t)forward->config.ffn;
#pragma omp parallel for
    for (int row = 0; row < rows; row++) {
        const float *gate = forward->gate + (size_t)row * ffn, *up = forward->up + (size_t)row * ffn;
        float *hidden = forward->hidden + (size_t)row * ffn;
        if (forward->config.gate == GATE_SILU)
            swiglu_row(hidden, gate, up, (int)ffn);
        else
            for (size_t i = 0; i < ffn; i++) // Hendrycks and Gimpel 2016, by tanh
                hidden[i] = 0.5f * gate[i] * (1 + tanhf(0.7978845608f * (gate[i] + 0.044715f * gate[i] * gate[i] * gate[i]))) * up[i];
    }
}

static void run_chunk(struct layer_forward *forward, const struct layer_copy *layer, struct input_statistics *statistics,
                      int windows, float *x, bool advance) {
    const struct model_config *config = &forward->config;
    const struct layer_weights *vectors = layer->source;
    const int rows = windows * forward->window, d = config->d_model, ffn = config->ffn;
    const int heads = config->heads * config->head_dim, kv = config->kv_heads * config->head_dim;
    const struct attention_shape shape = {windows, forward->window, config->heads, config->kv_heads, config->head_dim};
    // the attention divides by √head_dim itself
    const float scale = config->attention_scale > 0 ? config->attention_scale * sqrtf((float)config->head_dim) : 1;

    norm_rows(forward, x, layer->attention_norm, rows);
    observe(statistics, INPUT_ATTENTION, forward->normed, rows);
    linear(forward->normed, rows, layer->matrix[LAYER_Q], heads, d, forward->q);
    linear(forward->normed, rows, layer->matrix[LAYER_K], kv, d, forward->k);
    linear(forward->normed, rows, layer->matrix[LAYER_V], kv, d, forward->v);
    finish_heads(forward, layer, &(struct head_steps){vectors->q_bias, vectors->q_norm, config->heads, true, scale}, forward->q, rows);
    finish_heads(forward, layer, &(struct head_steps){vectors->k_bias, vectors->k_norm, config->kv_heads, true, 1}, forward->k, rows);
    finish_heads(forward, layer, &(struct head_steps){layer->v_bias, NULL, config->kv_heads, false, 1}, forward->v, rows);
    train_attention_forward(&shape, forward->attended, forward->log_sum, forward->q, forward->k, forward->v, forward->scratch);
    observe(statistics, INPUT_OUTPUT, forward->attended, rows);
    linear(forward->attended, rows, layer->matrix[LAYER_O], d, heads, forward->residual);
    add_to_stream(forward, x, forward->residual, vectors->post_attention_norm, rows, forward->residual);

    norm_rows(forward, forward->residual, layer->ffn_norm, rows);
    observe(statistics, INPUT_FFN, forward->normed, rows);
    linear(forward->normed, rows, layer->matrix[LAYER_GATE], ffn, d, forward->gate);
    linear(forward->normed, rows, layer->matrix[LAYER_UP], ffn, d, forward->up);
    gate_rows(forward, rows);
    observe(statistics, INPUT_DOWN, forward->hidden, rows);
    if (!advance)
        return;
    linear(forward->hidden, rows, layer->matrix[LAYER_DOWN], d, ffn, x);
    add_to_stream(forward, forward->residual, x, vectors->post_ffn_norm, rows, x);
}

// Copies what lies above the diagonal below it.
static void mirror(float *hessian, int columns) {
    for (int i = 1; i < columns; i++)
        for (int j = 0; j < i; j++)
            hessian[(size_t)i * (size_t)columns + (size_t)j] = hessian[(size_t)j * (size_t)columns + (size_t)i];
}

void layer_forward_run(struct layer_forward *forward, const struct layer_copy *layer, struct input_statistics *statistics,
                       bool advance) {
    for (int i = 0; statistics && i < LAYER_INPUTS; i++) {
        const size_t columns = (size_t)statistics[i].columns;
        statistics[i].tokens = 0;
        memset(statistics[i].squares, 0, columns * sizeof(float));
        memset(statistics[i].sum, 0, columns * sizeof(float));
        if (statistics[i].hessian)
            memset(statistics[i].hessian, 0, columns * columns * sizeof(float));
    }
    for (int first = 0; first < forward->windows; first += forward->chunk) {
        const int windows = forward->windows - first < forward->chunk ? forward->windows - first : forward->chunk;
        float *x = forward->stream + (size_t)first * (size_t)forward->window * (size_t)forward->config.d_model;
        run_chunk(forward, layer, statistics, windows, x, advance);
    }
    for (int i = 0; statistics && i < LAYER_INPUTS; i++)
        if (statistics[i].hessian)
            mirror(statistics[i].hessian, statistics[i].columns);
}
