// SPDX-License-Identifier: MIT
#include <errno.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compress/activation_aware.h"
#include "bench/compress/calibrate_internal.h"
#include "bench/compress/prune.h"
#include "bench/compress/quantize.h"
#include "bench/compress/reconstruct.h"
#include "bench/model/train_pass.h"

enum { BLOCK = 128 };
static const double SPARSEGPT_DAMP = 0.01, GPTQ_DAMP = 0.1;

struct state {
    const struct variant_recipe *recipe;
    const struct calibration *with;
    const struct model *model;
    struct calibrated *made;
    struct model gradient; // Σ |w·g| of every weight, for the gradient criterion; zeroed otherwise
    struct layer_forward *forward;
    struct layer_copy layer; // what the text goes through
    struct input_statistics statistics[LAYER_INPUTS];
    float *importance; // of the largest matrix
    char *error;
    size_t error_size;
};

static size_t matrix_count(const struct model_config *config, enum layer_matrix which, int *rows, int *columns) {
    model_matrix_shape(config, which, rows, columns);
    return (size_t)*rows * (size_t)*columns;
}

static int no_memory(struct state *state) {
    snprintf(state->error, state->error_size, "out of memory for calibration");
    return -ENOMEM;
}

// ---------------------------------------------------------------------------------------------------------------------
// One matrix

// The mask of every criterion but SparseGPT's, whose choice is part of its reconstruction.
static int choose_mask(struct state *state, int layer, enum layer_matrix which, uint8_t *mask) {
    const struct variant_recipe *recipe = state->recipe;
    int rows, columns;
    const size_t count = matrix_count(&state->model->config, which, &rows, &columns);
    const float *weights = state->layer.matrix[which];
    memset(mask, 1, count);
    struct prune_tensor tensor = {weights, rows, columns, mask};
    switch (recipe->criterion) {
    case CRITERION_SPARSEGPT:
        return 0;
    case CRITERION_WANDA:
        return prune_wanda(recipe, weights, rows, columns, state->statistics[layer_input_of(which)].squares, state->importance, mask,
                           state->error, state->error_size);
    case CRITERION_GRADIENT:
        tensor.importance = state->gradient.layers[layer].matrix[which];
        break;
    default:
        break;
    }
    return prune_tensors(recipe, &tensor, 1, state->error, state->error_size);
}

// Prunes and rounds the layer's copy of a matrix, and keeps what is to be stored.
static int compress_matrix(struct state *state, int layer, enum layer_matrix which) {
    const struct variant_recipe *recipe = state->recipe;
    const struct input_statistics *of = &state->statistics[layer_input_of(which)];
    struct compressed_matrix *made = &state->made->matrix[layer][which];
    const bool sparsegpt = recipe->criterion == CRITERION_SPARSEGPT, gptq = recipe->quantizer == QUANTIZER_GPTQ;
    int rows, columns, status = 0;
    const size_t count = matrix_count(&state->model->config, which, &rows, &columns);
    float *weights = state->layer.matrix[which];
    if (recipe->method != PRUNE_NONE) {
        made->mask = malloc(count);
        if (!made->mask)
            return no_memory(state);
        status = choose_mask(state, layer, which, made->mask);
    }
    if (!status && (sparsegpt || gptq)) {
        const struct reconstruction how = {.ratio = sparsegpt ? recipe->ratio : 0,
                                           .n = sparsegpt ? recipe->n : 0,
                                           .m = recipe->m,
                                           .bits = gptq ? recipe->format.bits : 0,
                                           .group = recipe->format.group,
                                           .asymmetric = recipe->format.asymmetric,
                                           .damp = gptq ? GPTQ_DAMP : SPARSEGPT_DAMP,
                                           .block = BLOCK};
        status = reconstruct(&how, rows, columns, of->hessian, weights, made->mask, gptq ? &made->codes : NULL, state->error,
                             state->error_size);
    } else if (!status && made->mask)
        prune_apply(weights, made->mask, count);
    if (!status && sparsegpt && !gptq && recipe->quantizer != QUANTIZER_AWQ) {
        made->weights = malloc(count * sizeof *made->weights);
        if (!made->weights)
            return no_memory(state);
        memcpy(made->weights, weights, count * sizeof *made->weights);
    }
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------
// AWQ's layer: scales between the matrices first, then the rounding of each

static void divide_rows(float *weights, int columns, const float *scales, int rows) {
    for (int row = 0; row < rows; row++)
        for (int c = 0; c < columns; c++)
            weights[(size_t)row * (size_t)columns + (size_t)c] /= scales[row];
}

static void divide_vector(float *vector, const float *scales, int count) {
    for (int i = 0; vector && i < count; i++)
        vector[i] /= scales[i];
}

// Scales the columns of one input's matrices up, and its hessian down.
static void scale_columns(struct state *state, enum layer_input input, const float *scales) {
    struct input_statistics *of = &state->statistics[input];
    const size_t columns = (size_t)of->columns;
    for (enum layer_matrix which = 0; which < LAYER_MATRICES; which++) {
        int rows, width;
        if (layer_input_of(which) != input)
            continue;
        model_matrix_shape(&state->model->config, which, &rows, &width);
        for (size_t i = 0; i < (size_t)rows * columns; i++)
            state->layer.matrix[which][i] *= scales[i % columns];
    }
    for (size_t i = 0; i < columns * columns; i++)
        of->hessian[i] /= scales[i / columns] * scales[i % columns];
}

// The scales of one input: of its columns, or where `sharing` is given of what its columns share.
static int search_input(struct state *state, enum layer_input input, const int *sharing, int scale_count, float *scales) {
    const struct input_statistics *of = &state->statistics[input];
    const struct weight_format *format = &state->recipe->format;
    struct awq_matrix matrices[LAYER_MATRICES];
    int count = 0, columns;
    for (enum layer_matrix which = 0; which < LAYER_MATRICES; which++)
        if (layer_input_of(which) == input) {
            model_matrix_shape(&state->model->config, which, &matrices[count].rows, &columns);
            matrices[count++].weights = state->layer.matrix[which];
        }
    for (int i = 0; i < of->columns; i++)
        of->sum[i] /= (float)of->tokens;
    return awq_search_scales(&(struct awq_format){format->bits, format->group, format->asymmetric}, matrices, count, of->columns,
                             of->hessian, of->sum, sharing, scale_count, scales);
}

static int scale_layer(struct state *state) {
    const struct model_config *config = &state->model->config;
    const int d = config->d_model, heads = config->heads * config->head_dim, kv = config->kv_heads * config->head_dim;
    float *scales = malloc(((size_t)2 * (size_t)d + (size_t)kv + (size_t)heads + (size_t)config->ffn) * sizeof *scales);
    int *sharing = malloc((size_t)heads * sizeof *sharing), status = -ENOMEM;
    if (!scales || !sharing)
        goto out;
    float *attention = scales, *ffn = attention + d, *values = ffn + d, *spread = values + kv, *hidden = spread + heads;
    layer_share_values(config, sharing);
    status = search_input(state, INPUT_ATTENTION, NULL, d, attention);
    status = status ? status : search_input(state, INPUT_OUTPUT, sharing, kv, values);
    status = status ? status : search_input(state, INPUT_FFN, NULL, d, ffn);
    status = status ? status : search_input(state, INPUT_DOWN, NULL, config->ffn, hidden);
    if (status)
        goto out;
    for (int i = 0; i < heads; i++)
        spread[i] = values[sharing[i]];
    divide_rows(state->layer.matrix[LAYER_V], d, values, kv);
    divide_rows(state->layer.matrix[LAYER_UP], d, hidden, config->ffn);
    scale_columns(state, INPUT_ATTENTION, attention);
    scale_columns(state, INPUT_OUTPUT, spread);
    scale_columns(state, INPUT_FFN, ffn);
    scale_columns(state, INPUT_DOWN, hidden);
    divide_vector(state->layer.attention_norm, attention, d);
    divide_vector(state->layer.ffn_norm, ffn, d);
    divide_vector(state->layer.v_bias, values, kv);
out:
    free(scales);
    free(sharing);
    return status ? no_memory(state) : 0;
}

static int round_layer(struct state *state, int layer) {
    const struct weight_format *format = &state->recipe->format;
    const struct awq_format awq = {format->bits, format->group, format->asymmetric};
    int status = scale_layer(state);
    for (enum layer_matrix which = 0; which < LAYER_MATRICES && !status; which++) {
        int rows, columns;
        model_matrix_shape(&state->model->config, which, &rows, &columns);
        // as the authors do: clipping queries and keys moves the softmax
        const bool clip = which != LAYER_Q && which != LAYER_K;
        status = awq_quantize(&awq, state->layer.matrix[which], rows, columns, state->statistics[layer_input_of(which)].hessian,
                              clip, &state->made->matrix[layer][which].codes, state->error, state->error_size);
    }
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------
// The model

// Σ over windows of |w·∂loss/∂w|, left in state->gradient.
static int measure_gradient(struct state *state) {
    const struct calibration *with = state->with;
    const struct model_config *config = &state->model->config;
    const size_t window = (size_t)with->window;
    struct model gradient = {0};
    struct train_pass *pass = NULL;
    int32_t *ids = malloc(2 * window * sizeof *ids), *targets = ids + window;
    if (!model_config_plain(config)) {
        free(ids);
        snprintf(state->error, state->error_size, "gradients are known of plain Llama models only");
        return -EINVAL;
    }
    int status = ids ? model_allocate(&gradient, config) : -ENOMEM;
    struct model wide = {0}; // the trainer wants every weight in f32
    status = status || !state->model->stored ? status : model_clone(&wide, state->model);
    const struct model *model = state->model->stored ? &wide : state->model;
    status = status ? status : model_allocate(&state->gradient, config);
    status = status ? status : train_pass_create(&pass, config, 1, with->window);
    for (size_t first = 0; first + window < with->count && !status; first += window) {
        memcpy(ids, with->tokens + first, window * sizeof *ids);
        memcpy(targets, with->tokens + first + 1, window * sizeof *ids);
        if (with->bos >= 0)
            ids[0] = with->bos;
        memset(gradient.storage, 0, gradient.parameter_count * sizeof(float));
        train_forward(pass, model, ids, 0, 0);
        train_loss_gradient(pass, targets);
        train_backward(pass, model, ids, &gradient);
        for (int layer = 0; layer < config->layers; layer++)
            for (enum layer_matrix which = 0; which < LAYER_MATRICES; which++) {
                int rows, columns;
                const size_t count = matrix_count(config, which, &rows, &columns);
                prune_gradient_importance(model->layers[layer].matrix[which], gradient.layers[layer].matrix[which], count,
                                          state->gradient.layers[layer].matrix[which]);
            }
    }
    train_pass_free(pass);
    model_free(&gradient);
    model_free(&wide);
    free(ids);
    return status ? no_memory(state) : 0;
}

// Copies a layer's matrices and points it at the vectors that a method may scale.
static void read_layer(struct state *state, int layer) {
    for (enum layer_matrix which = 0; which < LAYER_MATRICES; which++) {
        const struct tensor tensor = model_matrix(state->model, layer, which);
        tensor_read(&tensor, state->layer.matrix[which]);
    }
    const struct layer_weights *own = &state->made->model.layers[layer];
    state->layer.source = &state->model->layers[layer];
    state->layer.index = layer;
    state->layer.attention_norm = own->attention_norm;
    state->layer.ffn_norm = own->ffn_norm;
    state->layer.v_bias = own->v_bias;
}

static int compress_layer(struct state *state, int layer) {
    read_layer(state, layer);
    layer_forward_run(state->forward, &state->layer, state->statistics, false);
    int status = 0;
    for (enum layer_matrix which = 0; which < LAYER_MATRICES && !status; which++)
        status = compress_matrix(state, layer, which);
    if (!status && state->recipe->quantizer == QUANTIZER_AWQ)
        status = round_layer(state, layer);
    if (status) {
        char why[200];
        snprintf(why, sizeof why, "%s", state->error);
        snprintf(state->error, state->error_size, "layer %d: %s", layer, why);
    } else if (layer + 1 < state->model->config.layers)
        layer_forward_run(state->forward, &state->layer, NULL, true);
    return status;
}

static int reserve_state(struct state *state) {
    const struct model_config *config = &state->model->config;
    const bool hessians = state->recipe->criterion == CRITERION_SPARSEGPT || state->recipe->quantizer == QUANTIZER_GPTQ ||
                          state->recipe->quantizer == QUANTIZER_AWQ;
    size_t largest = 0;
    bool missing = false;
    for (enum layer_matrix which = 0; which < LAYER_MATRICES; which++) {
        int rows, columns;
        const size_t count = matrix_count(config, which, &rows, &columns);
        largest = count > largest ? count : largest;
        state->layer.matrix[which] = malloc(count * sizeof(float));
        missing = missing || !state->layer.matrix[which];
        struct input_statistics *of = &state->statistics[layer_input_of(which)];
        if (of->columns)
            continue;
        of->columns = columns;
        of->squares = malloc((size_t)columns * sizeof(float));
        of->sum = malloc((size_t)columns * sizeof(float));
        of->hessian = hessians ? malloc((size_t)columns * (size_t)columns * sizeof(float)) : NULL;
        missing = missing || !of->squares || !of->sum || (hessians && !of->hessian);
    }
    state->importance = malloc(largest * sizeof(float));
    return missing || !state->importance ? no_memory(state) : 0;
}

static void free_state(struct state *state) {
    layer_forward_free(state->forward);
    model_free(&state->gradient);
    for (int i = 0; i < LAYER_MATRICES; i++)
        free(state->layer.matrix[i]);
    for (int i = 0; i < LAYER_INPUTS; i++) {
        free(state->statistics[i].hessian);
        free(state->statistics[i].squares);
        free(state->statistics[i].sum);
    }
    free(state->importance);
}

size_t calibrated_vectors(const struct model_config *config) {
    return 2 * (size_t)config->d_model + (size_t)config->kv_heads * (size_t)config->head_dim;
}

// The model with layers of its own, whose norms a method may scale.
int calibrated_create(struct calibrated **calibrated, const struct model *model, const struct variant_recipe *recipe) {
    const size_t layers = (size_t)model->config.layers, d = (size_t)model->config.d_model;
    const size_t kv = (size_t)model->config.kv_heads * (size_t)model->config.head_dim, each = calibrated_vectors(&model->config);
    struct calibrated *made = *calibrated = calloc(1, sizeof *made);
    if (!made)
        return -ENOMEM;
    made->recipe = *recipe;
    made->model = *model;
    made->model.layers = malloc(layers * sizeof *made->model.layers);
    made->vectors = malloc(layers * each * sizeof *made->vectors);
    made->matrix = calloc(layers, sizeof *made->matrix);
    if (!made->model.layers || !made->vectors || !made->matrix) {
        calibrated_free(made);
        *calibrated = NULL;
        return -ENOMEM;
    }
    for (size_t layer = 0; layer < layers; layer++) {
        struct layer_weights *weights = &made->model.layers[layer];
        *weights = model->layers[layer];
        weights->attention_norm = made->vectors + layer * each;
        weights->ffn_norm = weights->attention_norm + d;
        memcpy(weights->attention_norm, model->layers[layer].attention_norm, d * sizeof(float));
        memcpy(weights->ffn_norm, model->layers[layer].ffn_norm, d * sizeof(float));
        if (!weights->v_bias)
            continue;
        weights->v_bias = weights->ffn_norm + d;
        memcpy(weights->v_bias, model->layers[layer].v_bias, kv * sizeof(float));
    }
    return 0;
}

// Puts OpenMP's threads where the team's will stand.
static void bind_threads(const struct calibration *with) {
    omp_set_num_threads(with->threads);
#pragma omp parallel
    if (with->bind)
        with->bind(with->bind_context, omp_get_thread_num());
}

int calibrate(struct calibrated **calibrated, const struct model *model, const struct variant_recipe *recipe,
              const struct calibration *with, char *error, size_t error_size) {
    struct state state = {.recipe = recipe, .with = with, .model = model, .error = error, .error_size = error_size};
    const int threads = omp_get_max_threads();
    *calibrated = NULL;
    bind_threads(with);
    int status = layer_forward_create(&state.forward, model, with, error, error_size);
    if (!status && calibrated_create(&state.made, model, recipe))
        status = no_memory(&state);
    if (!status)
        status = reserve_state(&state);
    if (!status && recipe->criterion == CRITERION_GRADIENT)
        status = measure_gradient(&state);
    for (int layer = 0; layer < model->config.layers && !status; layer++)
        status = compress_layer(&state, layer);
    free_state(&state);
    omp_set_num_threads(threads);
    if (status)
        calibrated_free(state.made);
    else
        *calibrated = state.made;
    return status;
}

void calibrated_drop_matrices(struct calibrated *calibrated) {
    for (int layer = 0; calibrated->matrix && layer < calibrated->model.config.layers; layer++)
        for (int which = 0; which < LAYER_MATRICES; which++) {
            struct compressed_matrix *matrix = &calibrated->matrix[layer][which];
            free(matrix->weights);
            free(matrix->mask);
            quantized_matrix_free(&matrix->codes);
        }
    free(calibrated->matrix);
    calibrated->matrix = NULL;
}

void calibrated_free(struct calibrated *calibrated) {
    if (!calibrated)
        return;
    calibrated_drop_matrices(calibrated);
    free(calibrated->model.layers);
    free(calibrated->vectors);
    free(calibrated);
}
