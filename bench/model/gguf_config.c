// SPDX-License-Identifier: MIT
#include "bench/model/gguf_config.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "bench/model/gguf_file.h"
#include "bench/model/model.h"

struct source {
    const struct gguf_file *file;
    const char *architecture; // the keys' prefix
    const char *path;
    char *error;
    size_t error_size;
};

#define REFUSE(source, ...) (snprintf((source)->error, (source)->error_size, __VA_ARGS__), -EINVAL)

static const struct gguf_key *find(const struct source *s, const char *name, char *full, size_t full_size)
{
    snprintf(full, full_size, "%s.%s", s->architecture, name);
    return gguf_find_key(s->file, full);
}

// A whole-number key from 1 to INT32_MAX; fallback if it is missing (a fallback of 0 makes it required).
static int read_dimension(const struct source *s, const char *name, int fallback, int *value)
{
    char full[80];
    const struct gguf_key *key = find(s, name, full, sizeof full);
    int64_t number = fallback;
    if (key && !gguf_integer(key, &number))
        return REFUSE(s, "%s: %s is no whole number (a model whose blocks differ is not supported)", s->path, full);
    if (!key && !fallback)
        return REFUSE(s, "%s: lacks the key %s", s->path, full);
    if (number < 1 || number > INT32_MAX)
        return REFUSE(s, "%s: %s is %lld", s->path, full, (long long)number);
    *value = (int)number;
    return 0;
}

// Left as it is where the key is missing.
static int read_real(const struct source *s, const char *name, float *value)
{
    char full[80];
    const struct gguf_key *key = find(s, name, full, sizeof full);
    double number;
    if (key && !gguf_real(key, &number))
        return REFUSE(s, "%s: %s is no number", s->path, full);
    if (key)
        *value = (float)number;
    return 0;
}

static void read_name(const struct source *s, struct model_config *c)
{
    const struct gguf_text name = gguf_string(gguf_find_key(s->file, "general.name"));
    snprintf(c->name, sizeof c->name, "%.*s", (int)(name.bytes < 63 ? name.bytes : 63), name.bytes ? name.text : "unnamed");
    for (char *p = c->name; *p; p++) {
        if ((unsigned char)*p < ' ') // the name goes into tables and messages
            *p = '?';
    }
}

static int read_scaling(const struct source *s, struct model_config *c)
{
    char full[80];
    const struct gguf_text scaling = gguf_string(find(s, "rope.scaling.type", full, sizeof full));
    if (!scaling.bytes || gguf_text_equals(scaling, "none"))
        return 0;
    if (!gguf_text_equals(scaling, "linear"))
        return REFUSE(s, "%s: %s is '%.*s': not supported (known: none linear, and the tensor rope_freqs.weight)", s->path, full,
                      (int)(scaling.bytes < 40 ? scaling.bytes : 40), scaling.text);
    return read_real(s, "rope.scaling.factor", &c->rope_scale);
}

// What the Gemmas add; the keys of some of it came later than the models.
static int read_gemma(const struct source *s, struct model_config *c)
{
    const bool second = c->architecture == ARCHITECTURE_GEMMA2, third = c->architecture == ARCHITECTURE_GEMMA3;
    c->gate = GATE_GELU;
    c->embedding_scale = sqrtf((float)c->d_model);
    if (!second && !third)
        return 0;
    c->post_norms = true;
    c->qk_norm = third;
    // the 27B models divide by the mean width of a head, which is not the width of theirs
    if ((second && c->layers == 46) || (third && c->layers == 62))
        c->attention_scale = 1 / sqrtf((float)c->d_model / (float)c->heads);
    int rc;
    if ((rc = read_dimension(s, "attention.sliding_window", 4096, &c->window)) ||
        (rc = read_dimension(s, "attention.sliding_window_pattern", second ? 2 : 6, &c->window_period)))
        return rc;
    if (third) {
        c->window_rope_theta = 10000;
        return read_real(s, "rope.freq_base_swa", &c->window_rope_theta);
    }
    c->attention_cap = 50;
    c->output_cap = 30;
    if ((rc = read_real(s, "attn_logit_softcapping", &c->attention_cap)) || (rc = read_real(s, "final_logit_softcapping", &c->output_cap)))
        return rc;
    return 0;
}

static int read_dimensions(const struct source *s, struct model_config *c)
{
    int rc, rotary, value_length;
    if ((rc = read_dimension(s, "embedding_length", 0, &c->d_model)) || (rc = read_dimension(s, "block_count", 0, &c->layers)) ||
        (rc = read_dimension(s, "attention.head_count", 0, &c->heads)) ||
        (rc = read_dimension(s, "attention.head_count_kv", c->heads, &c->kv_heads)) ||
        (rc = read_dimension(s, "attention.key_length", c->d_model < c->heads ? 1 : c->d_model / c->heads, &c->head_dim)) ||
        (rc = read_dimension(s, "attention.value_length", c->head_dim, &value_length)) ||
        (rc = read_dimension(s, "feed_forward_length", 0, &c->ffn)) || (rc = read_dimension(s, "context_length", 0, &c->context)) ||
        (rc = read_dimension(s, "rope.dimension_count", c->head_dim, &rotary)))
        return rc;
    if (value_length != c->head_dim)
        return REFUSE(s, "%s: keys of %d and values of %d a head: not supported", s->path, c->head_dim, value_length);
    if (rotary != c->head_dim)
        return REFUSE(s, "%s: only %d of %d values of a head turn with the position: not supported", s->path, rotary, c->head_dim);
    c->rope_theta = 10000;
    c->norm_eps = 1e-5f;
    if ((rc = read_real(s, "rope.freq_base", &c->rope_theta)) || (rc = read_real(s, "attention.layer_norm_rms_epsilon", &c->norm_eps)))
        return rc;
    return read_scaling(s, c);
}

int gguf_read_config(struct model_config *c, const struct gguf_file *file, const char *path, char *error, size_t error_size)
{
    struct source source = {.file = file, .path = path, .error = error, .error_size = error_size}, *s = &source;
    const struct gguf_text name = gguf_string(gguf_find_key(file, "general.architecture"));
    memset(c, 0, sizeof *c);
    c->architecture = model_architecture(name.text, name.bytes);
    if (c->architecture == ARCHITECTURES)
        return REFUSE(s, "%s: architecture '%.*s' is not supported (known: %s)", path, (int)(name.bytes < 40 ? name.bytes : 40), name.text,
                      model_architecture_names());
    s->architecture = model_architecture_name(c->architecture);
    read_name(s, c);
    const struct gguf_tensor *embedding = gguf_find_tensor(file, "token_embd.weight");
    if (!embedding || embedding->dimensions != 2 || embedding->size[1] > INT32_MAX)
        return REFUSE(s, "%s: lacks a matrix token_embd.weight", path);
    c->vocab = (int)embedding->size[1];
    int rc = read_dimensions(s, c);
    if (rc)
        return rc;
    c->rope_style = c->architecture == ARCHITECTURE_LLAMA ? ROPE_INTERLEAVED : ROPE_HALVES;
    c->tied_embeddings = !gguf_find_tensor(file, "output.weight");
    c->qkv_bias = gguf_find_tensor(file, "blk.0.attn_q.bias") != NULL;
    c->qk_norm = c->architecture == ARCHITECTURE_QWEN3;
    c->rope_factors = gguf_find_tensor(file, "rope_freqs.weight") != NULL;
    if (c->architecture >= ARCHITECTURE_GEMMA && (rc = read_gemma(s, c)) != 0)
        return rc;
    char reason[128];
    if (model_config_check(c, reason, sizeof reason))
        return REFUSE(s, "%s: %s", path, reason);
    return 0;
}
