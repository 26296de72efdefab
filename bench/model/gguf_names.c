// SPDX-License-Identifier: MIT
#include "bench/model/gguf_names.h"

#include <stdint.h>
#include <stdio.h>

#include "bench/model/model.h"

enum width { WIDTH_MODEL, WIDTH_QUERY, WIDTH_KEY, WIDTH_HEAD };

// A block's tensors in a GGUF file's order. The hub's names are behind "model.layers.N.".
static const struct place {
    const char *name, *hub_name;
    size_t member;
    enum width width; // of a vector
    int matrix;       // or −1
    size_t condition; // offset of the bool in struct model_config that says whether a model has it; 0: all have
} places[] = {
#define VECTOR(name, hub_name, member, width, condition)                                                                                  \
    { name, hub_name, offsetof(struct layer_weights, member), width, -1, condition }
#define MATRIX(name, hub_name, which)                                                                                                     \
    { name, hub_name, offsetof(struct layer_weights, matrix) + which * sizeof(float *), WIDTH_MODEL, which, 0 }
#define IF(member) offsetof(struct model_config, member)
    VECTOR("attn_norm.weight", "input_layernorm.weight", attention_norm, WIDTH_MODEL, 0),
    MATRIX("attn_q.weight", "self_attn.q_proj.weight", LAYER_Q),
    MATRIX("attn_k.weight", "self_attn.k_proj.weight", LAYER_K),
    MATRIX("attn_v.weight", "self_attn.v_proj.weight", LAYER_V),
    MATRIX("attn_output.weight", "self_attn.o_proj.weight", LAYER_O),
    MATRIX("ffn_gate.weight", "mlp.gate_proj.weight", LAYER_GATE),
    MATRIX("ffn_up.weight", "mlp.up_proj.weight", LAYER_UP),
    MATRIX("ffn_down.weight", "mlp.down_proj.weight", LAYER_DOWN),
    VECTOR("ffn_norm.weight", NULL, ffn_norm, WIDTH_MODEL, 0), // its name on the hub depends on post_norms
    VECTOR("attn_q.bias", "self_attn.q_proj.bias", q_bias, WIDTH_QUERY, IF(qkv_bias)),
    VECTOR("attn_k.bias", "self_attn.k_proj.bias", k_bias, WIDTH_KEY, IF(qkv_bias)),
    VECTOR("attn_v.bias", "self_attn.v_proj.bias", v_bias, WIDTH_KEY, IF(qkv_bias)),
    VECTOR("attn_q_norm.weight", "self_attn.q_norm.weight", q_norm, WIDTH_HEAD, IF(qk_norm)),
    VECTOR("attn_k_norm.weight", "self_attn.k_norm.weight", k_norm, WIDTH_HEAD, IF(qk_norm)),
    VECTOR("post_attention_norm.weight", "post_attention_layernorm.weight", post_attention_norm, WIDTH_MODEL, IF(post_norms)),
    VECTOR("post_ffw_norm.weight", "post_feedforward_layernorm.weight", post_ffn_norm, WIDTH_MODEL, IF(post_norms)),
#undef VECTOR
#undef MATRIX
#undef IF
};
enum { PLACES = sizeof places / sizeof *places };

static bool has(const struct model_config *config, const struct place *place)
{
    return place->condition == 0 || *(const bool *)((const char *)config + place->condition);
}

static int per_layer(const struct model_config *config)
{
    int count = 0;
    for (int i = 0; i < PLACES; i++)
        count += has(config, &places[i]);
    return count;
}

int gguf_weight_count(const struct model_config *config)
{
    return 1 + config->layers * per_layer(config) + 1 + !config->tied_embeddings + config->rope_factors;
}

static void fill_shape(const struct model_config *config, const struct place *place, struct gguf_weight *w)
{
    const int widths[] = {
        [WIDTH_MODEL] = config->d_model,
        [WIDTH_QUERY] = config->heads * config->head_dim,
        [WIDTH_KEY] = config->kv_heads * config->head_dim,
        [WIDTH_HEAD] = config->head_dim,
    };
    w->out = 0;
    w->in = widths[place->width];
    if (place->matrix >= 0)
        model_matrix_shape(config, (enum layer_matrix)place->matrix, &w->out, &w->in);
}

static size_t elements(const struct gguf_weight *w)
{
    return (size_t)w->in * (size_t)(w->out ? w->out : 1);
}

static size_t layer_size(const struct model_config *config)
{
    size_t size = 0;
    for (int i = 0; i < PLACES; i++) {
        struct gguf_weight w;
        fill_shape(config, &places[i], &w);
        size += has(config, &places[i]) ? elements(&w) : 0;
    }
    return size;
}

static struct gguf_weight layer_weight(const struct model_config *config, int layer, int index)
{
    struct gguf_weight w = {.layer = layer,
                            .offset = (size_t)config->vocab * (size_t)config->d_model + (size_t)layer * layer_size(config)};
    for (int i = 0; i < PLACES; i++) {
        const struct place *place = &places[i];
        if (!has(config, place))
            continue;
        fill_shape(config, place, &w);
        if (index-- == 0) {
            const char *hub_name = place->hub_name;
            if (!hub_name)
                hub_name = config->post_norms ? "pre_feedforward_layernorm.weight" : "post_attention_layernorm.weight";
            snprintf(w.name, sizeof w.name, "blk.%d.%s", layer, place->name);
            snprintf(w.hub_name, sizeof w.hub_name, "model.layers.%d.%s", layer, hub_name);
            w.matrix = place->matrix;
            w.member = place->member;
            break;
        }
        w.offset += elements(&w);
    }
    return w;
}

struct gguf_weight gguf_weight_at(const struct model_config *config, int index)
{
    const int layers = config->layers * per_layer(config);
    const size_t embedding = (size_t)config->vocab * (size_t)config->d_model, d_model = (size_t)config->d_model;
    if (index == 0)
        return (struct gguf_weight){"token_embd.weight", "model.embed_tokens.weight", 0, config->vocab, config->d_model, -1, -1,
                                    offsetof(struct model, embedding)};
    if (--index < layers)
        return layer_weight(config, index / per_layer(config), index % per_layer(config));
    index -= layers;
    const size_t after_layers = embedding + (size_t)config->layers * layer_size(config);
    if (index == 0)
        return (struct gguf_weight){"output_norm.weight", "model.norm.weight", after_layers, 0, config->d_model, -1, -1,
                                    offsetof(struct model, final_norm)};
    if (index == 1 && !config->tied_embeddings)
        return (struct gguf_weight){"output.weight", "lm_head.weight", after_layers + d_model, config->vocab, config->d_model, -1, -1,
                                    offsetof(struct model, output)};
    return (struct gguf_weight){"rope_freqs.weight", "", after_layers + d_model + (config->tied_embeddings ? 0 : embedding), 0,
                                config->head_dim / 2, -1, -1, offsetof(struct model, rope_factors)};
}

float **gguf_weight_pointer(struct model *model, const struct gguf_weight *weight)
{
    char *from = weight->layer < 0 ? (char *)model : (char *)&model->layers[weight->layer];
    return (float **)(void *)(from + weight->member);
}
