// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/gguf.h"
#include "bench/model/gguf_file.h"
#include "bench/model/gguf_names.h"
#include "bench/model/half.h"
#include "bench/model/model.h"
#include "bench/model/tokenizer.h"
#include "bench/model/tokenizer_file.h"

struct source {
    struct gguf_file file;
    const char *path;
    char *error;
    size_t error_size;
};

#define REFUSE(source, ...) (snprintf((source)->error, (source)->error_size, __VA_ARGS__), -EINVAL)

// A whole-number key from 1 to INT32_MAX; fallback if it is missing (a fallback of 0 makes it required).
static int read_dimension(const struct source *s, const char *name, int fallback, int *value)
{
    const struct gguf_key *key = gguf_find_key(&s->file, name);
    int64_t number = fallback;
    if (key && !gguf_integer(key, &number))
        return REFUSE(s, "%s: %s is no whole number (a model whose blocks differ is not supported)", s->path, name);
    if (!key && !fallback)
        return REFUSE(s, "%s: lacks the key %s", s->path, name);
    if (number < 1 || number > INT32_MAX)
        return REFUSE(s, "%s: %s is %lld", s->path, name, (long long)number);
    *value = (int)number;
    return 0;
}

static int read_config(const struct source *s, struct model_config *c)
{
    const struct gguf_text architecture = gguf_string(gguf_find_key(&s->file, "general.architecture"));
    if (!gguf_text_equals(architecture, "llama"))
        return REFUSE(s, "%s: architecture '%.*s' is not supported (known: llama)", s->path,
                      (int)(architecture.bytes < 40 ? architecture.bytes : 40), architecture.text);
    const struct gguf_text name = gguf_string(gguf_find_key(&s->file, "general.name"));
    memset(c, 0, sizeof *c);
    snprintf(c->name, sizeof c->name, "%.*s", (int)(name.bytes < 63 ? name.bytes : 63),
             name.bytes ? name.text : "unnamed");
    for (char *p = c->name; *p; p++) {
        if ((unsigned char)*p < ' ') // the name goes into tables and messages
            *p = '?';
    }
    const struct gguf_tensor *embedding = gguf_find_tensor(&s->file, "token_embd.weight");
    if (!embedding || embedding->dimensions != 2 || embedding->size[1] > INT32_MAX)
        return REFUSE(s, "%s: lacks a matrix token_embd.weight", s->path);
    c->vocab = (int)embedding->size[1];
    int rc, rotary;
    if ((rc = read_dimension(s, "llama.embedding_length", 0, &c->d_model)) ||
        (rc = read_dimension(s, "llama.block_count", 0, &c->layers)) ||
        (rc = read_dimension(s, "llama.attention.head_count", 0, &c->heads)) ||
        (rc = read_dimension(s, "llama.attention.head_count_kv", c->heads, &c->kv_heads)) ||
        (rc = read_dimension(s, "llama.attention.key_length", c->d_model / c->heads, &c->head_dim)) ||
        (rc = read_dimension(s, "llama.feed_forward_length", 0, &c->ffn)) ||
        (rc = read_dimension(s, "llama.context_length", 0, &c->context)) ||
        (rc = read_dimension(s, "llama.rope.dimension_count", c->head_dim, &rotary)))
        return rc;
    double theta = 10000, epsilon = 1e-5;
    const struct gguf_key *key = gguf_find_key(&s->file, "llama.rope.freq_base");
    if (key && !gguf_real(key, &theta))
        return REFUSE(s, "%s: llama.rope.freq_base is no number", s->path);
    key = gguf_find_key(&s->file, "llama.attention.layer_norm_rms_epsilon");
    if (key && !gguf_real(key, &epsilon))
        return REFUSE(s, "%s: llama.attention.layer_norm_rms_epsilon is no number", s->path);
    c->rope_theta = (float)theta;
    c->norm_eps = (float)epsilon;
    c->rope_style = ROPE_INTERLEAVED;
    c->tied_embeddings = !gguf_find_tensor(&s->file, "output.weight");
    char reason[128];
    if (model_config_check(c, reason, sizeof reason))
        return REFUSE(s, "%s: %s", s->path, reason);
    if (rotary != c->head_dim)
        return REFUSE(s, "%s: only %d of %d values of a head turn with the position: not supported", s->path, rotary,
                      c->head_dim);
    const struct gguf_text scaling = gguf_string(gguf_find_key(&s->file, "llama.rope.scaling.type"));
    if (scaling.bytes && !gguf_text_equals(scaling, "none"))
        return REFUSE(s, "%s: rotary positions are scaled (llama.rope.scaling.type): not supported", s->path);
    return 0;
}

// Every weight must be there with its shape, and no tensor that we would leave out: an ignored bias or scale would make
// another model of it. What the file's tensors fit in is also the bound of what gets allocated.
static int check_tensors(const struct source *s, const struct model_config *c)
{
    const int count = gguf_weight_count(c);
    for (int i = 0; i < count; i++) {
        const struct gguf_weight w = gguf_weight_at(c, i);
        const struct gguf_tensor *t = gguf_find_tensor(&s->file, w.name);
        if (!t)
            return REFUSE(s, "%s: lacks the tensor %s", s->path, w.name);
        if (t->size[0] != (uint64_t)w.in || t->size[1] != (uint64_t)(w.out ? w.out : 1) || t->size[2] != 1 ||
            t->size[3] != 1)
            return REFUSE(s, "%s: tensor %s is %llu × %llu × %llu × %llu, but the keys say %d × %d", s->path, w.name,
                          (unsigned long long)t->size[0], (unsigned long long)t->size[1],
                          (unsigned long long)t->size[2], (unsigned long long)t->size[3], w.in, w.out ? w.out : 1);
    }
    for (size_t i = 0; s->file.tensor_count > (size_t)count && i < s->file.tensor_count; i++) {
        const struct gguf_text name = s->file.tensors[i].name;
        int k = 0;
        while (k < count && !gguf_text_equals(name, gguf_weight_at(c, k).name))
            k++;
        if (k == count)
            return REFUSE(s, "%s: has a tensor '%.*s' that is not part of a plain Llama model: not supported", s->path,
                          (int)name.bytes, name.text);
    }
    return 0;
}

static void widen(float *out, const struct gguf_tensor *t, size_t count)
{
    if (t->type == GGUF_F32) {
        memcpy(out, t->data, count * sizeof *out);
        return;
    }
#pragma omp parallel for schedule(static) if (count > 65536)
    for (size_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, t->data + 2 * i, sizeof bits);
        out[i] = t->type == GGUF_F16 ? half_to_float(bits) : bfloat_to_float(bits);
    }
}

int gguf_read_model(struct model *model, const char *path, char *error, size_t error_size)
{
    struct source source = {.path = path, .error = error, .error_size = error_size};
    struct model_config config;
    struct tokenizer *tokenizer = NULL;
    struct model loaded;
    int rc = gguf_open(&source.file, path, error, error_size);
    if (rc)
        return rc;
    if ((rc = read_config(&source, &config)) || (rc = check_tensors(&source, &config)) ||
        (rc = tokenizer_from_gguf(&tokenizer, &source.file, config.vocab, path, error, error_size)))
        goto out;
    rc = model_allocate(&loaded, &config);
    if (rc) {
        snprintf(error, error_size, "%s: no memory for its weights in f32", path);
        goto out;
    }
    for (int i = 0; i < gguf_weight_count(&config); i++) {
        const struct gguf_weight w = gguf_weight_at(&config, i);
        widen(loaded.storage + w.offset, gguf_find_tensor(&source.file, w.name),
              (size_t)w.in * (size_t)(w.out ? w.out : 1));
    }
    loaded.tokenizer = tokenizer;
    tokenizer = NULL;
    model_hash(&loaded);
    *model = loaded;
out:
    tokenizer_free(tokenizer);
    gguf_close(&source.file);
    return rc;
}
