// SPDX-License-Identifier: MIT
#include "bench/model/model.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "bench/model/gguf.h"
#include "bench/model/gguf_names.h"
#include "bench/model/mapped_file.h"
#include "bench/model/random.h"
#include "bench/model/safetensors.h"
#include "bench/model/shape.h"
#include "bench/model/tokenizer.h"

size_t model_parameter_count(const struct model_config *config)
{
    const struct gguf_weight last = gguf_weight_at(config, gguf_weight_count(config) - 1);
    return last.offset + (size_t)last.in * (size_t)(last.out ? last.out : 1);
}

// Lays the tensors out in storage, in the order in which files hold them; matrices only where they are kept.
static size_t point_tensors(struct model *model, bool matrices)
{
    const struct model_config *config = &model->config;
    size_t used = 0;
    for (int i = 0, count = gguf_weight_count(config); i < count; i++) {
        const struct gguf_weight w = gguf_weight_at(config, i);
        if (w.out && !matrices)
            continue;
        *gguf_weight_pointer(model, &w) = model->storage ? model->storage + used : NULL;
        used += (size_t)w.in * (size_t)(w.out ? w.out : 1);
    }
    if (config->tied_embeddings)
        model->output = model->embedding;
    return used;
}

static int allocate(struct model *model, const struct model_config *config, bool matrices)
{
    char reason[128];
    memset(model, 0, sizeof *model);
    if (model_config_check(config, reason, sizeof reason))
        return -EINVAL;
    model->config = *config;
    model->parameter_count = model_parameter_count(config);
    model->layers = calloc((size_t)config->layers, sizeof *model->layers);
    if (!model->layers)
        return -ENOMEM;
    // Rounded up, since aligned_alloc wants a multiple of the alignment; 64 bytes are a cache line and an AVX-512
    // register.
    const size_t bytes = (point_tensors(model, matrices) * sizeof(float) + 63) / 64 * 64;
    model->storage = aligned_alloc(64, bytes);
    if (!model->storage) {
        model_free(model);
        return -ENOMEM;
    }
    // Gigabytes of small pages would take seconds to be had.
    const uintptr_t first = ((uintptr_t)model->storage + 4095) & ~(uintptr_t)4095;
    if (bytes > 1 << 22)
        madvise((void *)first, (uintptr_t)model->storage + bytes - first, MADV_HUGEPAGE);
    memset(model->storage, 0, bytes);
    point_tensors(model, matrices);
    return 0;
}

int model_allocate(struct model *model, const struct model_config *config)
{
    return allocate(model, config, true);
}

int model_allocate_vectors(struct model *model, const struct model_config *config)
{
    int rc = allocate(model, config, false);
    if (rc)
        return rc;
    model->stored = calloc((size_t)config->layers, sizeof *model->stored);
    if (!model->stored) {
        model_free(model);
        return -ENOMEM;
    }
    return 0;
}

static struct tensor in_memory(const float *weights, int rows, int columns)
{
    return (struct tensor){weights, TENSOR_F32, rows, columns, false};
}

struct tensor model_matrix(const struct model *model, int layer, enum layer_matrix which)
{
    if (model->stored)
        return model->stored[layer][which];
    int out, in;
    model_matrix_shape(&model->config, which, &out, &in);
    return in_memory(model->layers[layer].matrix[which], out, in);
}

struct tensor model_embedding(const struct model *model)
{
    return model->stored ? model->stored_embedding : in_memory(model->embedding, model->config.vocab, model->config.d_model);
}

struct tensor model_output(const struct model *model)
{
    return model->stored ? model->stored_output : in_memory(model->output, model->config.vocab, model->config.d_model);
}

void model_take_files(struct model *model, struct mapped_file *files, int count)
{
    // Below, rows that are in use are few pages, and a small model would notice a call of the system for each token.
    enum { SMALLEST_COPIED = 4 << 20 };
    const struct tensor *embedding = &model->stored_embedding;
    const bool copied = (size_t)embedding->rows * tensor_row_bytes(embedding) >= SMALLEST_COPIED;
    model->files = files;
    model->file_count = count;
    for (int i = 0; i < count; i++) {
        if (copied && mapped_file_holds(&files[i], embedding->data))
            model->embedding_file = &files[i];
        else
            mapped_file_close_descriptor(&files[i]);
    }
    model_release(model);
}

void model_release(const struct model *model)
{
    for (int i = 0; i < model->file_count; i++)
        mapped_file_release(&model->files[i]);
}

void model_read_embedding(const struct model *model, int token, float *x)
{
    const struct tensor embedding = model_embedding(model);
    // a row that cannot be copied any more is read where it is mapped, like every other byte of a file that someone cut off
    if (!model->embedding_file || tensor_copy_row(&embedding, model->embedding_file, token, x))
        tensor_read_rows(&embedding, token, 1, x);
}

void model_rotations(const struct model *model, bool windowed, int positions, float *cosines, float *sines)
{
    const struct model_config *config = &model->config;
    const int half = config->head_dim / 2;
    const double theta = (double)(windowed && config->window_rope_theta > 0 ? config->window_rope_theta : config->rope_theta);
    const double scale = !windowed && config->rope_scale > 0 ? (double)config->rope_scale : 1;
    for (int i = 0; i < half; i++) {
        double frequency = pow(theta, -(double)i / half) / scale;
        if (model->rope_factors)
            frequency /= (double)model->rope_factors[i];
        for (int position = 0; position < positions; position++) {
            cosines[(size_t)position * (size_t)half + (size_t)i] = (float)cos(position * frequency);
            sines[(size_t)position * (size_t)half + (size_t)i] = (float)sin(position * frequency);
        }
    }
}

void model_randomize(struct model *model, uint64_t seed)
{
    const struct model_config *config = &model->config;
    const size_t embedding = (size_t)config->vocab * (size_t)config->d_model;
    uint64_t stream = random_mix(seed);
    random_fill_normal(model->embedding, embedding, stream = random_mix(stream), 0.02f);
    if (model->output != model->embedding)
        random_fill_normal(model->output, embedding, stream = random_mix(stream), 0.02f);
    for (int l = 0; l < config->layers; l++) {
        struct layer_weights *layer = &model->layers[l];
        for (enum layer_matrix m = 0; m < LAYER_MATRICES; m++) {
            int out, in;
            model_matrix_shape(config, m, &out, &in);
            const bool to_residual = m == LAYER_O || m == LAYER_DOWN;
            random_fill_normal(layer->matrix[m], (size_t)out * (size_t)in, stream = random_mix(stream),
                               to_residual ? 0.02f / sqrtf(2.0f * (float)config->layers) : 0.02f);
        }
    }
    for (int i = 0, count = gguf_weight_count(config); i < count; i++) {
        const struct gguf_weight w = gguf_weight_at(config, i);
        const bool bias = strstr(w.name, ".bias") != NULL;
        float *values = *gguf_weight_pointer(model, &w);
        for (int k = 0; !w.out && !bias && k < w.in; k++)
            values[k] = 1;
        if (bias)
            random_fill_normal(values, (size_t)w.in, stream = random_mix(stream), 0.02f);
    }
    model_hash(model);
}

static struct tensor stored_weight(const struct model *model, const struct gguf_weight *w)
{
    if (w->matrix >= 0)
        return model_matrix(model, w->layer, (enum layer_matrix)w->matrix);
    return w->member == offsetof(struct model, embedding) ? model_embedding(model) : model_output(model);
}

// All weights of a loaded or opened model into one that has room for them.
static void read_weights(struct model *dst, const struct model *src)
{
    for (int i = 0, count = gguf_weight_count(&src->config); i < count; i++) {
        const struct gguf_weight w = gguf_weight_at(&src->config, i);
        float *to = *gguf_weight_pointer(dst, &w);
        if (!w.out) {
            memcpy(to, *gguf_weight_pointer((struct model *)src, &w), (size_t)w.in * sizeof(float));
            continue;
        }
        const struct tensor from = stored_weight(src, &w);
        tensor_read(&from, to);
    }
}

int model_widen(struct model *model)
{
    if (!model->stored)
        return 0;
    struct model wide;
    const int rc = model_clone(&wide, model);
    if (rc)
        return rc;
    wide.tokenizer_shared = model->tokenizer_shared;
    model->tokenizer_shared = true; // its owner is the wide one now
    model_free(model);
    *model = wide;
    model_hash(model);
    return 0;
}

int model_clone(struct model *dst, const struct model *src)
{
    const int rc = model_allocate(dst, &src->config);
    if (rc)
        return rc;
    read_weights(dst, src);
    dst->tokenizer = src->tokenizer;
    dst->tokenizer_shared = true;
    dst->shape_only = src->shape_only;
    dst->weights_hash = src->weights_hash;
    return 0;
}

void model_free(struct model *model)
{
    if (!model->tokenizer_shared)
        tokenizer_free(model->tokenizer);
    free(model->layers);
    free(model->storage);
    free(model->stored);
    for (int i = 0; i < model->file_count; i++)
        mapped_file_close(&model->files[i]);
    free(model->files);
    memset(model, 0, sizeof *model);
}

// Four lanes, since a multiplication takes four cycles and the next of its lane waits for it.
static uint64_t hash_bytes(const void *from, size_t bytes)
{
    const uint8_t *at = from;
    uint64_t lanes[4] = {0xcbf29ce484222325u, 0x84222325cbf29ce4u, 0x9e3779b97f4a7c15u, bytes}, words[4];
    for (; bytes >= sizeof words; at += sizeof words, bytes -= sizeof words) {
        memcpy(words, at, sizeof words);
        for (int i = 0; i < 4; i++)
            lanes[i] = (lanes[i] ^ words[i]) * 0x100000001b3u ^ lanes[i] >> 29;
    }
    memset(words, 0, sizeof words);
    memcpy(words, at, bytes);
    for (int i = 0; i < 4; i++)
        lanes[0] = random_mix(lanes[0] ^ lanes[i] ^ random_mix(words[i]));
    return lanes[0];
}

void model_hash(struct model *model)
{
    enum { PART = 1 << 18 };
    const size_t parts = (model->parameter_count + PART - 1) / PART;
    uint64_t hash = 0;
#pragma omp parallel for schedule(static) reduction(^ : hash)
    for (size_t part = 0; part < parts; part++) {
        const size_t begin = part * PART, left = model->parameter_count - begin;
        hash ^= random_mix(part ^ hash_bytes(model->storage + begin, (left < PART ? left : PART) * sizeof(float)));
    }
    model->weights_hash = hash;
}

// Rows of about 1 MB at a time, whose pages are let go again.
static uint64_t hash_tensor(const struct tensor *tensor)
{
    const size_t row = tensor_row_bytes(tensor);
    const int rows = row >= 1 << 20 ? 1 : (int)((1 << 20) / row), parts = (tensor->rows + rows - 1) / rows;
    uint64_t hash = random_mix(tensor->type);
#pragma omp parallel for schedule(dynamic) reduction(^ : hash)
    for (int part = 0; part < parts; part++) {
        const int first = part * rows, count = tensor->rows - first < rows ? tensor->rows - first : rows;
        tensor_fetch_rows(tensor, first, count);
        hash ^= random_mix((uint64_t)part ^ hash_bytes((const char *)tensor->data + (size_t)first * row, (size_t)count * row));
        tensor_release_rows(tensor, first, count);
    }
    return hash;
}

void model_hash_stored(struct model *model)
{
    uint64_t hash = 0;
    for (int i = 0, count = gguf_weight_count(&model->config); i < count; i++) {
        const struct gguf_weight w = gguf_weight_at(&model->config, i);
        if (!w.out) {
            hash = random_mix(hash ^ hash_bytes(*gguf_weight_pointer(model, &w), (size_t)w.in * sizeof(float)));
            continue;
        }
        const struct tensor tensor = stored_weight(model, &w);
        hash = random_mix(hash ^ hash_tensor(&tensor));
    }
    model->weights_hash = hash;
}

int model_open(struct model *model, const char *path, char *error, size_t error_size)
{
    const char *dot = strrchr(path, '.');
    if (dot && !strcasecmp(dot, ".ini"))
        return shape_load(model, path, error, error_size);
    struct stat status;
    if ((dot && (!strcasecmp(dot, ".safetensors") || !strcasecmp(dot, ".json"))) || (!stat(path, &status) && S_ISDIR(status.st_mode)))
        return safetensors_open_model(model, path, error, error_size);
    return gguf_open_model(model, path, error, error_size);
}

int model_load(struct model *model, const char *path, char *error, size_t error_size)
{
    struct model opened;
    int rc = model_open(&opened, path, error, error_size);
    if (rc)
        return rc;
    rc = model_widen(&opened);
    if (rc) {
        snprintf(error, error_size, "%s: no memory for its weights in f32", path);
        model_free(&opened);
        return rc;
    }
    *model = opened;
    return 0;
}
