// SPDX-License-Identifier: MIT
#include "bench/model/gguf_names.h"

#include <stdint.h>
#include <stdio.h>

#include "bench/model/model.h"

enum { PER_LAYER = LAYER_MATRICES + 2 };

static const char *const matrix_names[LAYER_MATRICES] = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                                         "ffn_gate", "ffn_up", "ffn_down"};

int gguf_weight_count(const struct model_config *config)
{
    return 1 + config->layers * PER_LAYER + 1 + !config->tied_embeddings;
}

static size_t matrix_size(const struct model_config *config, enum layer_matrix m)
{
    int out, in;
    model_matrix_shape(config, m, &out, &in);
    return (size_t)out * (size_t)in;
}

static size_t layer_size(const struct model_config *config)
{
    size_t size = 2 * (size_t)config->d_model;
    for (enum layer_matrix m = 0; m < LAYER_MATRICES; m++)
        size += matrix_size(config, m);
    return size;
}

// Within a block: attention norm, the matrices, feed-forward norm, as model.c lays the storage out.
static struct gguf_weight layer_weight(const struct model_config *config, int layer, int place)
{
    struct gguf_weight w = {.offset =
                                (size_t)config->vocab * (size_t)config->d_model + (size_t)layer * layer_size(config)};
    if (place == 0) {
        snprintf(w.name, sizeof w.name, "blk.%d.attn_norm.weight", layer);
        w.in = config->d_model;
        return w;
    }
    w.offset += (size_t)config->d_model;
    for (enum layer_matrix m = 0; m < LAYER_MATRICES; m++) {
        if (place == (int)m + 1) {
            snprintf(w.name, sizeof w.name, "blk.%d.%s.weight", layer, matrix_names[m]);
            model_matrix_shape(config, m, &w.out, &w.in);
            return w;
        }
        w.offset += matrix_size(config, m);
    }
    snprintf(w.name, sizeof w.name, "blk.%d.ffn_norm.weight", layer);
    w.in = config->d_model;
    return w;
}

struct gguf_weight gguf_weight_at(const struct model_config *config, int index)
{
    if (index == 0)
        return (struct gguf_weight){.name = "token_embd.weight", .out = config->vocab, .in = config->d_model};
    if (--index < config->layers * PER_LAYER)
        return layer_weight(config, index / PER_LAYER, index % PER_LAYER);
    const size_t after_layers =
        (size_t)config->vocab * (size_t)config->d_model + (size_t)config->layers * layer_size(config);
    if (index == config->layers * PER_LAYER)
        return (struct gguf_weight){.name = "output_norm.weight", .offset = after_layers, .in = config->d_model};
    return (struct gguf_weight){.name = "output.weight",
                                .offset = after_layers + (size_t)config->d_model,
                                .out = config->vocab,
                                .in = config->d_model};
}
