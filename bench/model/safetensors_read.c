// SPDX-License-Identifier: MIT
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/model/gguf_names.h"
#include "bench/model/model.h"
#include "bench/model/safetensors.h"
#include "bench/model/safetensors_config.h"
#include "bench/model/safetensors_file.h"
#include "bench/model/tokenizer_file.h"

struct source {
    struct safetensors_files files;
    const char *folder, *prefix; // prefix: what tensors' names have less than usual
    char *error;
    size_t error_size;
};

#define REFUSE(source, ...) (snprintf((source)->error, (source)->error_size, __VA_ARGS__), -EINVAL)

static bool exists(const char *path)
{
    struct stat status;
    return !stat(path, &status);
}

// The folder of a path, and which file in it holds or lists the weights.
static int find_files(const char *path, char folder[4096], char weights[4200], char *error, size_t error_size)
{
    struct stat status;
    const char *slash = strrchr(path, '/');
    if (strlen(path) >= 4000) {
        snprintf(error, error_size, "%.200s…: the path is too long", path);
        return -ENAMETOOLONG;
    }
    if (stat(path, &status)) {
        const int rc = -errno;
        snprintf(error, error_size, "%s: the model cannot be read: %s", path, strerror(-rc));
        return rc;
    }
    if (!S_ISDIR(status.st_mode)) {
        snprintf(folder, 4096, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
        snprintf(weights, 4200, "%s", path);
        return 0;
    }
    snprintf(folder, 4096, "%s", path);
    snprintf(weights, 4200, "%s/model.safetensors", path);
    if (!exists(weights))
        snprintf(weights, 4200, "%s/model.safetensors.index.json", path);
    if (exists(weights))
        return 0;
    snprintf(error, error_size, "%s: this folder has neither model.safetensors nor model.safetensors.index.json", path);
    return -ENOENT;
}

static const struct safetensors_tensor *find(const struct source *s, const struct gguf_weight *w)
{
    const size_t skipped = strlen(s->prefix);
    return safetensors_find(&s->files, w->hub_name + (strncmp(w->hub_name, s->prefix, skipped) ? 0 : skipped));
}

static int check_tensor(const struct source *s, const struct gguf_weight *w, const struct safetensors_tensor *t)
{
    if (!t)
        return REFUSE(s, "%s: lacks the tensor %s", s->folder, w->hub_name);
    if (t->type == UINT32_MAX)
        return REFUSE(s, "%s: tensor %s is %s, which is not read (known: F32 F16 BF16)", s->folder, t->name, t->type_name);
    const int64_t rows = w->out ? w->out : w->in, columns = w->out ? w->in : 1;
    if (t->size[0] != rows || t->size[1] != columns || t->size[2] != 1 || t->size[3] != 1)
        return REFUSE(s, "%s: tensor %s is %lld × %lld, but config.json says %lld × %lld", s->folder, t->name, (long long)t->size[0],
                      (long long)t->size[1], (long long)rows, (long long)columns);
    return 0;
}

// A tensor that we would leave out must be one that is no weight.
static bool may_be_left_out(const struct model_config *c, const char *name)
{
    static const char buffer[] = "rotary_emb.inv_freq";
    const size_t length = strlen(name);
    if (c->tied_embeddings && !strcmp(name, "lm_head.weight"))
        return true; // a second copy of the embedding
    return length >= sizeof buffer - 1 && !strcmp(name + length - (sizeof buffer - 1), buffer);
}

static int match_tensors(const struct source *s, const struct model_config *c, bool *used)
{
    for (int i = 0, count = gguf_weight_count(c); i < count; i++) {
        const struct gguf_weight w = gguf_weight_at(c, i);
        if (!*w.hub_name) // computed from config.json
            continue;
        const struct safetensors_tensor *t = find(s, &w);
        const int rc = check_tensor(s, &w, t);
        if (rc)
            return rc;
        used[t - s->files.tensors] = true;
    }
    for (size_t i = 0; i < s->files.count; i++) {
        const char *name = s->files.tensors[i].name;
        if (!used[i] && !may_be_left_out(c, name))
            return REFUSE(s, "%s: has a tensor '%.100s' that is not part of a plain %s model: not supported", s->folder, name,
                          model_architecture_name(c->architecture));
    }
    return 0;
}

static int check_tensors(const struct source *s, const struct model_config *c)
{
    bool *used = calloc(s->files.count + 1, sizeof *used);
    if (!used) {
        snprintf(s->error, s->error_size, "%s: no memory for its list of tensors", s->folder);
        return -ENOMEM;
    }
    const int rc = match_tensors(s, c, used);
    free(used);
    return rc;
}

static void point_weights(struct model *model, const struct source *s)
{
    const struct model_config *c = &model->config;
    for (int i = 0, count = gguf_weight_count(c); i < count; i++) {
        const struct gguf_weight w = gguf_weight_at(c, i);
        if (!*w.hub_name)
            continue;
        const struct safetensors_tensor *t = find(s, &w);
        const struct tensor tensor = {t->data, t->type, w.out, w.in, true};
        if (!w.out) {
            float *values = *gguf_weight_pointer(model, &w);
            tensor_decode(t->type, t->data, (size_t)w.in, values);
            for (int k = 0; k < w.in && c->architecture >= ARCHITECTURE_GEMMA && strstr(w.hub_name, "norm"); k++)
                values[k] += 1; // the hub's Gemma multiplies by 1 + weight
        } else if (w.matrix >= 0) {
            model->stored[w.layer][w.matrix] = tensor;
        } else if (w.member == offsetof(struct model, embedding)) {
            model->stored_embedding = tensor;
        } else {
            model->stored_output = tensor;
        }
    }
    if (c->tied_embeddings)
        model->stored_output = model->stored_embedding;
}

static int open_model(struct model *opened, struct source *s, const char *weights)
{
    struct model_config config;
    float factors[1 << 9]; // head_dim is at most 1024
    int rc = safetensors_open(&s->files, weights, s->error, s->error_size);
    if (rc)
        return rc;
    s->prefix = safetensors_find(&s->files, "model.embed_tokens.weight") ? "" : "model.";
    const struct safetensors_tensor *embedding = safetensors_find(&s->files, *s->prefix ? "embed_tokens.weight" : "model.embed_tokens.weight");
    if (!embedding || embedding->dimensions != 2)
        return REFUSE(s, "%s: lacks a matrix model.embed_tokens.weight", weights);
    rc = safetensors_read_config(&config, s->folder, (int)embedding->size[0], safetensors_find(&s->files, "lm_head.weight") != NULL,
                                 safetensors_find(&s->files, *s->prefix ? "layers.0.self_attn.q_proj.bias"
                                                                        : "model.layers.0.self_attn.q_proj.bias") != NULL,
                                 factors, s->error, s->error_size);
    if (!rc)
        rc = check_tensors(s, &config);
    if (rc)
        return rc;
    rc = model_allocate_vectors(opened, &config);
    if (rc) {
        snprintf(s->error, s->error_size, "%s: no memory for its norms and list of matrices", s->folder);
        return rc;
    }
    point_weights(opened, s);
    if (config.rope_factors)
        memcpy(opened->rope_factors, factors, (size_t)(config.head_dim / 2) * sizeof *factors);
    rc = tokenizer_from_json(&opened->tokenizer, s->folder, config.vocab, s->error, s->error_size);
    return rc == -ENOENT ? 0 : rc;
}

int safetensors_open_model(struct model *model, const char *path, char *error, size_t error_size)
{
    char folder[4096], weights[4200];
    struct model opened = {0};
    struct source source = {.folder = folder, .prefix = "", .error = error, .error_size = error_size};
    int rc = find_files(path, folder, weights, error, error_size);
    if (!rc)
        rc = open_model(&opened, &source, weights);
    if (rc) {
        model_one_line(error);
        model_free(&opened);
    } else {
        model_hash_stored(&opened);
        model_take_files(&opened, source.files.files, source.files.file_count);
        source.files.files = NULL;
        source.files.file_count = 0;
        *model = opened;
    }
    safetensors_close(&source.files);
    return rc;
}
