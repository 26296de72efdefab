// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/model/gguf.h"
#include "bench/model/gguf_file.h"
#include "bench/model/gguf_names.h"
#include "bench/model/half.h"
#include "bench/model/model.h"
#include "bench/model/tokenizer.h"

enum { ALIGNMENT = 32 };

// Integers go out as they lie in memory: little-endian, as everything that this program runs on.
static void put(FILE *out, const void *bytes, size_t count)
{
    fwrite(bytes, 1, count, out); // errors stick to the stream and are asked for once, at the end
}

static void put_u32(FILE *out, uint32_t value)
{
    put(out, &value, sizeof value);
}

static void put_u64(FILE *out, uint64_t value)
{
    put(out, &value, sizeof value);
}

static void put_text(FILE *out, const char *text, size_t bytes)
{
    put_u64(out, bytes);
    put(out, text, bytes);
}

// The keys section is written through these, which also count the keys.
struct keys {
    FILE *out;
    uint64_t count;
};

static void key(struct keys *k, const char *name, enum gguf_value_type type)
{
    put_text(k->out, name, strlen(name));
    put_u32(k->out, type);
    k->count++;
}

static void key_text(struct keys *k, const char *name, const char *value)
{
    key(k, name, GGUF_VALUE_STRING);
    put_text(k->out, value, strlen(value));
}

static void key_u32(struct keys *k, const char *name, int value)
{
    key(k, name, GGUF_VALUE_UINT32);
    put_u32(k->out, (uint32_t)value);
}

static void key_f32(struct keys *k, const char *name, float value)
{
    key(k, name, GGUF_VALUE_FLOAT32);
    put(k->out, &value, sizeof value);
}

static void key_bool(struct keys *k, const char *name, bool value)
{
    const uint8_t byte = value;
    key(k, name, GGUF_VALUE_BOOL);
    put(k->out, &byte, 1);
}

static void key_array(struct keys *k, const char *name, enum gguf_value_type type, uint64_t count)
{
    key(k, name, GGUF_VALUE_ARRAY);
    put_u32(k->out, type);
    put_u64(k->out, count);
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
        put_text(k->out, text, tokenizer_show(tokenizer, i, text));
    key_array(k, "tokenizer.ggml.token_type", GGUF_VALUE_INT32, (uint64_t)vocab);
    for (int i = 0; i < vocab; i++)
        put_u32(k->out, (uint32_t)tokenizer_type(tokenizer, i));
    if (bytes) {
        key_array(k, "tokenizer.ggml.merges", GGUF_VALUE_STRING, (uint64_t)merges);
        for (int i = 0; i < merges; i++) {
            int left, right;
            tokenizer_merge(tokenizer, i, &left, &right);
            size_t length = tokenizer_show(tokenizer, left, text);
            text[length++] = ' ';
            length += tokenizer_show(tokenizer, right, text + length);
            put_text(k->out, text, length);
        }
    } else {
        key_array(k, "tokenizer.ggml.scores", GGUF_VALUE_FLOAT32, (uint64_t)vocab);
        for (int i = 0; i < vocab; i++) {
            const float score = tokenizer_score(tokenizer, i);
            put(k->out, &score, sizeof score);
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

static int put_keys(struct keys *k, const struct model *model, enum tensor_type type)
{
    const struct model_config *c = &model->config;
    key_text(k, "general.architecture", "llama");
    key_text(k, "general.name", c->name);
    key_u32(k, "general.alignment", ALIGNMENT);
    key_u32(k, "general.file_type", type == TENSOR_F16 ? 1 : 0); // ggml's "mostly F16" and "all F32"
    key_u32(k, "llama.vocab_size", c->vocab);
    key_u32(k, "llama.context_length", c->context);
    key_u32(k, "llama.embedding_length", c->d_model);
    key_u32(k, "llama.block_count", c->layers);
    key_u32(k, "llama.feed_forward_length", c->ffn);
    key_u32(k, "llama.attention.head_count", c->heads);
    key_u32(k, "llama.attention.head_count_kv", c->kv_heads);
    key_u32(k, "llama.attention.key_length", c->head_dim);
    key_u32(k, "llama.attention.value_length", c->head_dim);
    key_f32(k, "llama.attention.layer_norm_rms_epsilon", c->norm_eps);
    key_u32(k, "llama.rope.dimension_count", c->head_dim);
    key_f32(k, "llama.rope.freq_base", c->rope_theta);
    if (model->tokenizer)
        return put_vocabulary(k, model->tokenizer);
    key_text(k, "tokenizer.ggml.model", "no_vocab"); // other programs refuse a file that says nothing of it
    return 0;
}

static size_t elements(const struct gguf_weight *w)
{
    return (size_t)w->in * (size_t)(w->out ? w->out : 1);
}

static enum tensor_type stored_type(const struct gguf_weight *w, enum tensor_type type)
{
    return w->out ? type : TENSOR_F32; // vectors are few, and other programs expect them in F32
}

static uint64_t padded(uint64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void put_padding(FILE *out, uint64_t written)
{
    static const char zeros[ALIGNMENT];
    put(out, zeros, padded(written) - written);
}

static uint64_t stored_bytes(const struct gguf_weight *w, enum tensor_type type)
{
    return elements(w) * (stored_type(w, type) == TENSOR_F32 ? 4 : 2);
}

static void put_tensor_list(FILE *out, const struct model_config *config, enum tensor_type type)
{
    uint64_t offset = 0;
    for (int i = 0; i < gguf_weight_count(config); i++) {
        const struct gguf_weight w = gguf_weight_at(config, i);
        put_text(out, w.name, strlen(w.name));
        put_u32(out, w.out ? 2 : 1);
        put_u64(out, (uint64_t)w.in);
        if (w.out)
            put_u64(out, (uint64_t)w.out);
        put_u32(out, stored_type(&w, type));
        put_u64(out, offset);
        offset += padded(stored_bytes(&w, type));
    }
}

static void put_tensors(FILE *out, const struct model *model, enum tensor_type type)
{
    for (int i = 0; i < gguf_weight_count(&model->config); i++) {
        const struct gguf_weight w = gguf_weight_at(&model->config, i);
        const float *values = model->storage + w.offset;
        if (stored_type(&w, type) == TENSOR_F32)
            put(out, values, elements(&w) * sizeof *values);
        for (size_t k = 0; k < elements(&w) && stored_type(&w, type) == TENSOR_F16; k++) {
            const uint16_t half = float_to_half(values[k]);
            put(out, &half, sizeof half);
        }
        put_padding(out, stored_bytes(&w, type));
    }
}

static int write_file(FILE *out, const struct model *model, enum tensor_type type)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes); // the number of keys stands before them
    if (!memory)
        return -ENOMEM;
    struct keys keys = {.out = memory};
    int rc = put_keys(&keys, model, type);
    if (fclose(memory) && !rc)
        rc = -ENOMEM;
    if (!rc) {
        put(out, "GGUF", 4);
        put_u32(out, 3);
        put_u64(out, (uint64_t)gguf_weight_count(&model->config));
        put_u64(out, keys.count);
        put(out, text, bytes);
        put_tensor_list(out, &model->config, type);
        put_padding(out, (uint64_t)ftello(out));
        put_tensors(out, model, type);
    }
    free(text);
    errno = 0;
    if (!rc && (fflush(out) || ferror(out) || fsync(fileno(out))))
        rc = errno ? -errno : -EIO;
    return rc;
}

int gguf_write_model(const char *path, const struct model *model, enum tensor_type type, char *error, size_t error_size)
{
    if (model->config.rope_style != ROPE_INTERLEAVED || (type != TENSOR_F32 && type != TENSOR_F16)) {
        snprintf(error, error_size, "%s: only models with interleaved rotary positions are written, as F32 or F16",
                 path);
        return -ENOTSUP;
    }
    char aside[4096];
    if (snprintf(aside, sizeof aside, "%s.new", path) >= (int)sizeof aside) {
        snprintf(error, error_size, "%.200s…: the path is too long", path);
        return -ENAMETOOLONG;
    }
    FILE *out = fopen(aside, "wb");
    int rc = out ? write_file(out, model, type) : -errno;
    if (out && fclose(out) && !rc)
        rc = -errno;
    if (!rc && rename(aside, path))
        rc = -errno;
    if (rc) {
        snprintf(error, error_size, "%s: the model cannot be written: %s", path, strerror(-rc));
        if (out)
            unlink(aside);
    }
    return rc;
}
