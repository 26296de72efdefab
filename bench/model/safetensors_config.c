// SPDX-License-Identifier: MIT
#include "bench/model/safetensors_config.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "bench/model/model.h"
#include "bench/model/safetensors_file.h"

struct source {
    json_t *json;
    const char *path;
    char *error;
    size_t error_size;
};

#define REFUSE(source, ...) (snprintf((source)->error, (source)->error_size, __VA_ARGS__), -EINVAL)

// A whole number from 1 to INT32_MAX; fallback if it is missing or null (a fallback of 0 makes it required).
static int read_dimension(const struct source *s, const char *name, int fallback, int *value)
{
    const json_t *given = json_object_get(s->json, name);
    const bool missing = !given || json_is_null(given);
    if (missing && !fallback)
        return REFUSE(s, "%s: lacks %s", s->path, name);
    const json_int_t number = missing ? fallback : json_integer_value(given);
    if ((!missing && !json_is_integer(given)) || number < 1 || number > INT32_MAX)
        return REFUSE(s, "%s: %s is no whole number from 1 on", s->path, name);
    *value = (int)number;
    return 0;
}

// Left as it is where it is missing or null.
static int read_real(const struct source *s, const json_t *object, const char *name, float *value)
{
    const json_t *given = json_object_get(object, name);
    if (!given || json_is_null(given))
        return 0;
    if (!json_is_number(given))
        return REFUSE(s, "%s: %s is no number", s->path, name);
    *value = (float)json_number_value(given);
    return 0;
}

// Llama 3.1: frequencies with long waves are slowed down, those with short ones are not, those between in part.
static int read_factors(const struct source *s, const json_t *scaling, struct model_config *c, float *factors)
{
    float factor = 0, low = 0, high = 0, context = 0;
    int rc;
    if ((rc = read_real(s, scaling, "factor", &factor)) || (rc = read_real(s, scaling, "low_freq_factor", &low)) ||
        (rc = read_real(s, scaling, "high_freq_factor", &high)) ||
        (rc = read_real(s, scaling, "original_max_position_embeddings", &context)))
        return rc;
    if (!(factor >= 1 && low > 0 && high > low && context > 0 && isfinite(factor) && isfinite(high) && isfinite(context)))
        return REFUSE(s, "%s: rope_scaling of type llama3 lacks a sensible factor, low_freq_factor, high_freq_factor or "
                         "original_max_position_embeddings", s->path);
    const int half = c->head_dim / 2;
    for (int i = 0; i < half; i++) {
        const double wave = 2 * M_PI * pow((double)c->rope_theta, (double)i / half);
        const double share = ((double)context / wave - (double)low) / (double)(high - low); // of the frequency as it was
        const double kept = share < 0 ? 0 : share > 1 ? 1 : share;
        factors[i] = (float)(1 / ((1 - kept) / (double)factor + kept));
    }
    c->rope_factors = true;
    return 0;
}

static int read_scaling(const struct source *s, const json_t *scaling, struct model_config *c, float *factors)
{
    if (!scaling || json_is_null(scaling))
        return 0;
    const char *type = json_string_value(json_object_get(scaling, "rope_type"));
    if (!type)
        type = json_string_value(json_object_get(scaling, "type"));
    if (!type || !strcmp(type, "default"))
        return 0;
    if (!strcmp(type, "linear"))
        return read_real(s, scaling, "factor", &c->rope_scale);
    if (!strcmp(type, "llama3"))
        return read_factors(s, scaling, c, factors);
    return REFUSE(s, "%s: rope_scaling of type '%.40s' is not supported (known: default linear llama3)", s->path, type);
}

static int read_rotations(const struct source *s, struct model_config *c, float *factors)
{
    // newer files have all of it in one object, of each kind of layer where kinds differ
    const json_t *all = json_object_get(s->json, "rope_parameters"), *global = json_object_get(all, "full_attention");
    const json_t *window = json_object_get(all, "sliding_attention");
    const json_t *where = global ? global : json_is_object(all) ? all : s->json;
    c->rope_theta = 10000;
    if (c->architecture == ARCHITECTURE_GEMMA3) {
        c->rope_theta = 1000000;
        c->window_rope_theta = 10000;
    }
    int rc;
    if ((rc = read_real(s, where, "rope_theta", &c->rope_theta)) || (rc = read_real(s, s->json, "rope_local_base_freq", &c->window_rope_theta)) ||
        (rc = read_real(s, window, "rope_theta", &c->window_rope_theta)))
        return rc;
    if (c->architecture != ARCHITECTURE_GEMMA3)
        c->window_rope_theta = 0;
    if (!(c->rope_theta > 0))
        return REFUSE(s, "%s: rope_theta is %g", s->path, (double)c->rope_theta);
    return read_scaling(s, where == s->json ? json_object_get(s->json, "rope_scaling") : where, c, factors);
}

static int read_window(const struct source *s, struct model_config *c)
{
    const bool gemma = c->architecture == ARCHITECTURE_GEMMA2 || c->architecture == ARCHITECTURE_GEMMA3;
    const json_t *given = json_object_get(s->json, "sliding_window"), *types = json_object_get(s->json, "layer_types");
    if (!gemma) { // Qwen's files name a window that is not in use
        const json_t *use = json_object_get(s->json, "use_sliding_window");
        if (json_is_integer(given) && (json_is_true(use) || !use))
            return REFUSE(s, "%s: sliding windows of architecture %s are not supported", s->path, model_architecture_name(c->architecture));
        return 0;
    }
    int rc = read_dimension(s, "sliding_window", 4096, &c->window);
    if (!rc)
        rc = read_dimension(s, "sliding_window_pattern", c->architecture == ARCHITECTURE_GEMMA2 ? 2 : 6, &c->window_period);
    for (size_t i = 0; !rc && i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (!type || strcmp(type, model_layer_windowed(c, (int)i) ? "sliding_attention" : "full_attention"))
            return REFUSE(s, "%s: layer_types is no pattern of one global layer in %d: not supported", s->path, c->window_period);
    }
    return rc;
}

static int read_gemma(const struct source *s, struct model_config *c)
{
    c->gate = GATE_GELU;
    c->embedding_scale = sqrtf((float)c->d_model);
    if (c->architecture == ARCHITECTURE_GEMMA)
        return 0;
    float scalar = (float)c->head_dim;
    c->post_norms = true;
    c->qk_norm = c->architecture == ARCHITECTURE_GEMMA3;
    if (c->architecture == ARCHITECTURE_GEMMA2) {
        c->attention_cap = 50;
        c->output_cap = 30;
    }
    int rc;
    if ((rc = read_real(s, s->json, "query_pre_attn_scalar", &scalar)) || (rc = read_real(s, s->json, "attn_logit_softcapping", &c->attention_cap)) ||
        (rc = read_real(s, s->json, "final_logit_softcapping", &c->output_cap)))
        return rc;
    c->attention_scale = 1 / sqrtf(scalar);
    return 0;
}

static int read_activation(const struct source *s, const struct model_config *c)
{
    const char *name = json_string_value(json_object_get(s->json, "hidden_activation"));
    if (!name)
        name = json_string_value(json_object_get(s->json, "hidden_act"));
    const bool gelu = c->architecture >= ARCHITECTURE_GEMMA;
    // Gemma's files say "gelu" and mean the one by tanh
    const bool known = !name || (gelu ? !strcmp(name, "gelu_pytorch_tanh") || !strcmp(name, "gelu") : !strcmp(name, "silu"));
    return known ? 0 : REFUSE(s, "%s: activation '%.40s' is not supported for %s", s->path, name, model_architecture_name(c->architecture));
}

static int read_all(const struct source *s, struct model_config *c, int vocab, float *factors)
{
    const char *type = json_string_value(json_object_get(s->json, "model_type"));
    char reason[128];
    if (!type)
        return REFUSE(s, "%s: lacks model_type", s->path);
    c->architecture = !strcmp(type, "gemma3_text") ? ARCHITECTURE_GEMMA3 : model_architecture(type, strlen(type));
    if (c->architecture == ARCHITECTURES || !strcmp(type, "gemma3"))
        return REFUSE(s, "%s: model_type '%.40s' is not supported (known: llama qwen2 qwen3 gemma gemma2 gemma3_text)", s->path, type);
    c->vocab = vocab;
    c->rope_style = ROPE_HALVES;
    c->norm_eps = 1e-6f;
    int rc;
    if ((rc = read_dimension(s, "hidden_size", 0, &c->d_model)) || (rc = read_dimension(s, "num_hidden_layers", 0, &c->layers)) ||
        (rc = read_dimension(s, "num_attention_heads", 0, &c->heads)) ||
        (rc = read_dimension(s, "num_key_value_heads", c->heads, &c->kv_heads)) ||
        (rc = read_dimension(s, "head_dim", c->d_model < c->heads ? 1 : c->d_model / c->heads, &c->head_dim)) ||
        (rc = read_dimension(s, "intermediate_size", 0, &c->ffn)) ||
        (rc = read_dimension(s, "max_position_embeddings", 0, &c->context)) ||
        (rc = read_real(s, s->json, "rms_norm_eps", &c->norm_eps)) || (rc = read_activation(s, c)))
        return rc;
    // before anything is computed from them
    c->rope_theta = 10000;
    if (model_config_check(c, reason, sizeof reason))
        return REFUSE(s, "%s: %s", s->path, reason);
    if ((rc = read_rotations(s, c, factors)) || (rc = read_window(s, c)))
        return rc;
    c->qk_norm = c->architecture == ARCHITECTURE_QWEN3;
    if (c->architecture >= ARCHITECTURE_GEMMA && (rc = read_gemma(s, c)) != 0)
        return rc;
    return model_config_check(c, reason, sizeof reason) ? REFUSE(s, "%s: %s", s->path, reason) : 0;
}

// The name that tables show: the folder's.
static void name_model(struct model_config *c, const char *folder)
{
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/')
        length--;
    size_t start = length;
    while (start > 0 && folder[start - 1] != '/')
        start--;
    snprintf(c->name, sizeof c->name, "%.*s", (int)(length - start < 63 ? length - start : 63), folder + start);
}

int safetensors_read_config(struct model_config *config, const char *folder, int vocab, bool has_output, bool has_bias, float *factors,
                            char *error, size_t error_size)
{
    char path[4200];
    struct source source = {.path = path, .error = error, .error_size = error_size};
    snprintf(path, sizeof path, "%s/config.json", folder);
    int rc = safetensors_read_json(&source.json, path, error, error_size);
    if (rc)
        return rc;
    memset(config, 0, sizeof *config);
    name_model(config, folder);
    rc = read_all(&source, config, vocab, factors);
    const json_t *tied = json_object_get(source.json, "tie_word_embeddings");
    // most Gemmas do not say so
    config->tied_embeddings = tied ? json_is_true(tied) || !has_output : !has_output;
    config->qkv_bias = has_bias;
    json_decref(source.json);
    return rc;
}
