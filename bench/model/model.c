// SPDX-License-Identifier: MIT
#include "bench/model/model.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#include "bench/model/gguf.h"
#include "bench/model/shape.h"
#include "bench/model/tokenizer.h"

size_t model_parameter_count(const struct model_config *config)
{
    size_t layer = 2 * (size_t)config->d_model;
    for (enum layer_matrix m = 0; m < LAYER_MATRICES; m++) {
        int out, in;
        model_matrix_shape(config, m, &out, &in);
        layer += (size_t)out * (size_t)in;
    }
    const size_t embedding = (size_t)config->vocab * (size_t)config->d_model;
    return embedding * (config->tied_embeddings ? 1 : 2) + (size_t)config->d_model + layer * (size_t)config->layers;
}

// Lays the tensors out in storage, in the order in which files hold them.
static void point_tensors(struct model *model)
{
    const struct model_config *config = &model->config;
    float *next = model->storage;
    model->embedding = next;
    next += (size_t)config->vocab * (size_t)config->d_model;
    for (int l = 0; l < config->layers; l++) {
        struct layer_weights *layer = &model->layers[l];
        layer->attention_norm = next;
        next += config->d_model;
        for (enum layer_matrix m = 0; m < LAYER_MATRICES; m++) {
            int out, in;
            model_matrix_shape(config, m, &out, &in);
            layer->matrix[m] = next;
            next += (size_t)out * (size_t)in;
        }
        layer->ffn_norm = next;
        next += config->d_model;
    }
    model->final_norm = next;
    next += config->d_model;
    model->output = config->tied_embeddings ? model->embedding : next;
}

int model_allocate(struct model *model, const struct model_config *config)
{
    char reason[128];
    memset(model, 0, sizeof *model);
    if (model_config_check(config, reason, sizeof reason))
        return -EINVAL;
    model->config = *config;
    model->parameter_count = model_parameter_count(config);
    model->layers = calloc((size_t)config->layers, sizeof *model->layers);
    // Rounded up, since aligned_alloc wants a multiple of the alignment; 64 bytes are a cache line and an AVX-512
    // register.
    const size_t bytes = (model->parameter_count * sizeof(float) + 63) / 64 * 64;
    model->storage = aligned_alloc(64, bytes);
    if (!model->layers || !model->storage) {
        model_free(model);
        return -ENOMEM;
    }
    // Gigabytes of small pages would take seconds to be had.
    const uintptr_t first = ((uintptr_t)model->storage + 4095) & ~(uintptr_t)4095;
    if (bytes > 1 << 22)
        madvise((void *)first, (uintptr_t)model->storage + bytes - first, MADV_HUGEPAGE);
    memset(model->storage, 0, bytes);
    point_tensors(model);
    return 0;
}

// splitmix64 (Steele et al. 2014): a good 64-bit hash of a counter, so that weight i depends on the seed and i alone.
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

// Box–Muller, one normal number a counter.
static void fill_normal(float *out, size_t count, uint64_t stream, double deviation)
{
#pragma omp parallel for schedule(static) if (count > 65536)
    for (size_t i = 0; i < count; i++) {
        const uint64_t bits = mix(stream ^ mix(i));
        // In float: 24 bits each are all that these numbers are made of, and models have billions of them.
        const float u = ((float)(bits >> 40) + 0.5f) * 0x1p-24f, v = (float)(bits & 0xffffff) * 0x1p-24f;
        out[i] = (float)deviation * sqrtf(-2 * logf(u)) * cosf(2 * (float)M_PI * v);
    }
}

void model_randomize(struct model *model, uint64_t seed)
{
    const struct model_config *config = &model->config;
    const size_t embedding = (size_t)config->vocab * (size_t)config->d_model;
    uint64_t stream = mix(seed);
    fill_normal(model->embedding, embedding, stream = mix(stream), 0.02);
    if (model->output != model->embedding)
        fill_normal(model->output, embedding, stream = mix(stream), 0.02);
    for (int l = 0; l < config->layers; l++) {
        struct layer_weights *layer = &model->layers[l];
        for (enum layer_matrix m = 0; m < LAYER_MATRICES; m++) {
            int out, in;
            model_matrix_shape(config, m, &out, &in);
            const bool to_residual = m == LAYER_O || m == LAYER_DOWN;
            fill_normal(layer->matrix[m], (size_t)out * (size_t)in, stream = mix(stream),
                        to_residual ? 0.02 / sqrt(2.0 * config->layers) : 0.02);
        }
        for (int i = 0; i < config->d_model; i++)
            layer->attention_norm[i] = layer->ffn_norm[i] = 1;
    }
    for (int i = 0; i < config->d_model; i++)
        model->final_norm[i] = 1;
    model_hash(model);
}

int model_clone(struct model *dst, const struct model *src)
{
    const int rc = model_allocate(dst, &src->config);
    if (rc)
        return rc;
    memcpy(dst->storage, src->storage, src->parameter_count * sizeof(float));
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
    memset(model, 0, sizeof *model);
}

void model_hash(struct model *model)
{
    // FNV-1a over 32-bit words: the weights are read once, and any changed bit changes the hash.
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < model->parameter_count; i++) {
        uint32_t bits;
        memcpy(&bits, &model->storage[i], sizeof bits);
        hash = (hash ^ bits) * 0x100000001b3u;
    }
    model->weights_hash = hash;
}

int model_load(struct model *model, const char *path, char *error, size_t error_size)
{
    const char *dot = strrchr(path, '.');
    if (dot && !strcasecmp(dot, ".ini"))
        return shape_load(model, path, error, error_size);
    return gguf_read_model(model, path, error, error_size);
}
