// SPDX-License-Identifier: MIT
#include "bench/model/gguf_put.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/gguf_file.h"
#include "bench/model/model.h"
#include "bench/model/tokenizer.h"

// Integers go out as they lie in memory: little-endian, as everything that this program runs on.
void gguf_put(FILE *out, const void *bytes, size_t count)
{
    fwrite(bytes, 1, count, out); // errors stick to the stream and are asked for once, at the end
}

void gguf_put_u32(FILE *out, uint32_t value)
{
    gguf_put(out, &value, sizeof value);
}

void gguf_put_u64(FILE *out, uint64_t value)
{
    gguf_put(out, &value, sizeof value);
}

void gguf_put_text(FILE *out, const char *text, size_t bytes)
{
    gguf_put_u64(out, bytes);
    gguf_put(out, text, bytes);
}

// The keys section is written through these, which also count the keys.
struct keys {
    FILE *out;
    uint64_t count;
};

static void key(struct keys *k, const char *name, enum gguf_value_type type)
{
    gguf_put_text(k->out, name, strlen(name));
    gguf_put_u32(k->out, type);
    k->count++;
}

static void key_text(struct keys *k, const char *name, const char *value)
{
    key(k, name, GGUF_VALUE_STRING);
    gguf_put_text(k->out, value, strlen(value));
}

static void key_u32(struct keys *k, const char *name, int value)
{
    key(k, name, GGUF_VALUE_UINT32);
    gguf_put_u32(k->out, (uint32_t)value);
}

static void key_f32(struct keys *k, const char *name, float value)
{
    key(k, name, GGUF_VALUE_FLOAT32);
    gguf_put(k->out, &value, sizeof value);
}

static void key_bool(struct keys *k, const char *name, bool value)
{
    const uint8_t byte = value;
    key(k, name, GGUF_VALUE_BOOL);
    gguf_put(k->out, &byte, 1);
}

static void key_array(struct keys *k, const char *name, enum gguf_value_type type, uint64_t count)
{
    key(k, name, GGUF_VALUE_ARRAY);
    gguf_put_u32(k->out, type);
    gguf_put_u64(k->out, count);
}

static int put_vocabulary(struct keys *k, const struct tokenizer *tokenizer)
{
    const int vocab = tokenizer_vocab(tokenizer), merges = tokenizer_merges(tokenizer);
    const bool bytes = tokenizer_kind(tokenizer) == TOKENIZER_BYTES;
    char *text = malloc(2 * tokenizer_shown_bytes(tokenizer) + 1); // two tokens and the space between
    if (!text)
        return -ENOMEM;
    key_text(k, "tokenizer.ggml.model", bytes ? "gpt2" : "llama");
    key_text(k, "tokenizer.ggml.pre", tokenizer_pattern_name(tokenizer));
    key_array(k, "tokenizer.ggml.tokens", GGUF_VALUE_STRING, (uint64_t)vocab);
    for (int i = 0; i < vocab; i++)
        gguf_put_text(k->out, text, tokenizer_show(tokenizer, i, text));
    key_array(k, "tokenizer.ggml.token_type", GGUF_VALUE_INT32, (uint64_t)vocab);
    for (int i = 0; i < vocab; i++)
        gguf_put_u32(k->out, (uint32_t)tokenizer_type(tokenizer, i));
    if (bytes) {
        key_array(k, "tokenizer.ggml.merges", GGUF_VALUE_STRING, (uint64_t)merges);
        for (int i = 0; i < merges; i++) {
            int left, right;
            tokenizer_merge(tokenizer, i, &left, &right);
            size_t length = tokenizer_show(tokenizer, left, text);
            text[length++] = ' ';
            length += tokenizer_show(tokenizer, right, text + length);
            gguf_put_text(k->out, text, length);
        }
    } else {
        key_array(k, "tokenizer.ggml.scores", GGUF_VALUE_FLOAT32, (uint64_t)vocab);
        for (int i = 0; i < vocab; i++) {
            const float score = tokenizer_score(tokenizer, i);
            gguf_put(k->out, &score, sizeof score);
        }
        key_bool(k, "tokenizer.ggml.add_space_prefix", tokenizer_space_prefix(tokenizer) != SPACE_PREFIX_NONE);
    }
    free(text);
    if (tokenizer_bos_id(tokenizer) >= 0)
        key_u32(k, "tokenizer.ggml.bos_token_id", tokenizer_bos_id(tokenizer));
    if (tokenizer_eos(tokenizer) >= 0)
        key_u32(k, "tokenizer.ggml.eos_token_id", tokenizer_eos(tokenizer));
    if (tokenizer_unknown(tokenizer) >= 0)
        key_u32(k, "tokenizer.ggml.unknown_token_id", tokenizer_unknown(tokenizer));
    key_bool(k, "tokenizer.ggml.add_bos_token", tokenizer_bos(tokenizer) >= 0);
    key_bool(k, "tokenizer.ggml.add_eos_token", tokenizer_add_eos(tokenizer));
    if (tokenizer_chat_template(tokenizer))
        key_text(k, "tokenizer.chat_template", tokenizer_chat_template(tokenizer));
    return 0;
}

// A key of the architecture: "llama.block_count", …
static const char *own(const struct model_config *c, const char *name, char *full, size_t size)
{
    snprintf(full, size, "%s.%s", model_architecture_name(c->architecture), name);
    return full;
}

static void put_dimensions(struct keys *k, const struct model_config *c)
{
    char name[80];
    const struct {
        const char *name;
        int value;
    } numbers[] = {{"vocab_size", c->vocab},
                   {"context_length", c->context},
                   {"embedding_length", c->d_model},
                   {"block_count", c->layers},
                   {"feed_forward_length", c->ffn},
                   {"attention.head_count", c->heads},
                   {"attention.head_count_kv", c->kv_heads},
                   {"attention.key_length", c->head_dim},
                   {"attention.value_length", c->head_dim},
                   {"rope.dimension_count", c->head_dim}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        key_u32(k, own(c, numbers[i].name, name, sizeof name), numbers[i].value);
    key_f32(k, own(c, "attention.layer_norm_rms_epsilon", name, sizeof name), c->norm_eps);
    key_f32(k, own(c, "rope.freq_base", name, sizeof name), c->rope_theta);
    if (c->rope_scale > 0) {
        key_text(k, own(c, "rope.scaling.type", name, sizeof name), "linear");
        key_f32(k, own(c, "rope.scaling.factor", name, sizeof name), c->rope_scale);
    }
    if (c->window > 0) {
        key_u32(k, own(c, "attention.sliding_window", name, sizeof name), c->window);
        key_u32(k, own(c, "attention.sliding_window_pattern", name, sizeof name), c->window_period);
    }
    if (c->window_rope_theta > 0)
        key_f32(k, own(c, "rope.freq_base_swa", name, sizeof name), c->window_rope_theta);
    if (c->attention_cap > 0)
        key_f32(k, own(c, "attn_logit_softcapping", name, sizeof name), c->attention_cap);
    if (c->output_cap > 0)
        key_f32(k, own(c, "final_logit_softcapping", name, sizeof name), c->output_cap);
}

// What is said of the file rather than of the model, and is said anew.
static bool of_the_file(struct gguf_text name)
{
    static const char *const names[] = {"general.architecture", "general.alignment", "general.file_type", "general.quantization_version"};
    bool found = name.bytes > 6 && !memcmp(name.text, "split.", 6);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        found |= gguf_text_equals(name, names[i]);
    return found;
}

static void put_source_keys(struct keys *k, const struct gguf_file *source)
{
    for (size_t i = 0; i < source->key_count; i++) {
        const struct gguf_key *from = &source->keys[i];
        if (of_the_file(from->name))
            continue;
        gguf_put_text(k->out, from->name.text, from->name.bytes);
        gguf_put_u32(k->out, from->type);
        if (from->type == GGUF_VALUE_ARRAY) {
            gguf_put_u32(k->out, from->element_type);
            gguf_put_u64(k->out, from->count);
        }
        gguf_put(k->out, from->value, from->bytes);
        k->count++;
    }
}

int gguf_put_keys(FILE *out, uint64_t *count, const struct model *model, const struct gguf_file *source, enum tensor_type type)
{
    const struct model_config *c = &model->config;
    struct keys keys = {.out = out}, *k = &keys;
    // ggml's "all F32", "mostly F16", …
    const int file_type = type == TENSOR_F32 ? 0 : type == TENSOR_F16 ? 1 : type == TENSOR_Q4_0 ? 2 : 7;
    int rc = 0;
    key_text(k, "general.architecture", model_architecture_name(c->architecture));
    key_u32(k, "general.alignment", GGUF_ALIGNMENT);
    key_u32(k, "general.file_type", file_type);
    if (file_type > 1)
        key_u32(k, "general.quantization_version", 2);
    if (source) {
        put_source_keys(k, source);
    } else {
        key_text(k, "general.name", c->name);
        put_dimensions(k, c);
        if (model->tokenizer)
            rc = put_vocabulary(k, model->tokenizer);
        else
            key_text(k, "tokenizer.ggml.model", "no_vocab"); // other programs refuse a file that says nothing of it
    }
    *count = k->count;
    return rc;
}
