// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bench/model/model.h"

void model_matrix_shape(const struct model_config *config, enum layer_matrix which, int *out, int *in)
{
    const int query = config->heads * config->head_dim, key = config->kv_heads * config->head_dim;
    const int shapes[LAYER_MATRICES][2] = {
        [LAYER_Q] = {query, config->d_model},
        [LAYER_K] = {key, config->d_model},
        [LAYER_V] = {key, config->d_model},
        [LAYER_O] = {config->d_model, query},
        [LAYER_GATE] = {config->ffn, config->d_model},
        [LAYER_UP] = {config->ffn, config->d_model},
        [LAYER_DOWN] = {config->d_model, config->ffn},
    };
    *out = shapes[which][0];
    *in = shapes[which][1];
}

const char *model_matrix_name(enum layer_matrix which)
{
    static const char *const names[LAYER_MATRICES] = {"q", "k", "v", "o", "gate", "up", "down"};
    return names[which];
}

static const char *const architectures[ARCHITECTURES] = {"llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3"};

const char *model_architecture_name(enum architecture architecture)
{
    return architectures[architecture];
}

enum architecture model_architecture(const char *name, size_t bytes)
{
    int i = 0;
    while (i < ARCHITECTURES && (strlen(architectures[i]) != bytes || memcmp(architectures[i], name, bytes)))
        i++;
    return (enum architecture)i;
}

const char *model_architecture_names(void)
{
    return "llama qwen2 qwen3 gemma gemma2 gemma3";
}

bool model_layer_windowed(const struct model_config *config, int layer)
{
    return config->window > 0 && layer % config->window_period < config->window_period - 1;
}

bool model_config_plain(const struct model_config *config)
{
    return config->gate == GATE_SILU && !config->qkv_bias && !config->qk_norm && !config->post_norms && !config->rope_factors &&
           config->rope_scale == 0 && config->embedding_scale == 0 && config->attention_scale == 0 && config->attention_cap == 0 &&
           config->output_cap == 0 && config->window == 0;
}

static int check_additions(const struct model_config *config, char *reason, size_t reason_size)
{
    const struct {
        const char *name;
        float value;
    } factors[] = {{"rope_scale", config->rope_scale},       {"embedding_scale", config->embedding_scale},
                   {"attention_scale", config->attention_scale}, {"attention_cap", config->attention_cap},
                   {"output_cap", config->output_cap},       {"window_rope_theta", config->window_rope_theta}};
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
        if (!(factors[i].value >= 0 && factors[i].value <= 1e9f)) {
            snprintf(reason, reason_size, "%s is %g (allowed: 0 to 1e9)", factors[i].name, (double)factors[i].value);
            return -EINVAL;
        }
    }
    if (config->window < 0 || (config->window > 0 && config->window_period < 1)) {
        snprintf(reason, reason_size, "a sliding window of %d positions in layers but each %d-th makes no sense", config->window,
                 config->window_period);
        return -EINVAL;
    }
    return 0;
}

int model_config_check(const struct model_config *config, char *reason, size_t reason_size)
{
    // The ceilings leave room for any published model and keep every product of two dimensions inside an int.
    const struct {
        const char *name;
        int value, ceiling;
    } limits[] = {
        {"vocab", config->vocab, 1 << 20},       {"d_model", config->d_model, 1 << 15},
        {"layers", config->layers, 1 << 10},     {"heads", config->heads, 1 << 10},
        {"kv_heads", config->kv_heads, 1 << 10}, {"head_dim", config->head_dim, 1 << 10},
        {"ffn", config->ffn, 1 << 18},           {"context", config->context, 1 << 24},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        if (limits[i].value < 1 || limits[i].value > limits[i].ceiling) {
            snprintf(reason, reason_size, "%s is %d (allowed: 1 to %d)", limits[i].name, limits[i].value,
                     limits[i].ceiling);
            return -EINVAL;
        }
    }
    if (config->heads % config->kv_heads) {
        snprintf(reason, reason_size, "heads (%d) is not a multiple of kv_heads (%d)", config->heads, config->kv_heads);
        return -EINVAL;
    }
    if (config->head_dim % 2) {
        snprintf(reason, reason_size, "head_dim (%d) is odd, rotary positions need pairs", config->head_dim);
        return -EINVAL;
    }
    if (!(config->rope_theta > 0 && config->rope_theta <= 1e9f)) {
        snprintf(reason, reason_size, "rope_theta is %g (allowed: above 0, up to 1e9)", (double)config->rope_theta);
        return -EINVAL;
    }
    if (!(config->norm_eps >= 0 && config->norm_eps <= 1)) {
        snprintf(reason, reason_size, "norm_eps is %g (allowed: 0 to 1)", (double)config->norm_eps);
        return -EINVAL;
    }
    return check_additions(config, reason, reason_size);
}

void model_one_line(char *message)
{
    for (char *c = message; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    }
}
