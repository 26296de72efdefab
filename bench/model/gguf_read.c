// SPDX-License-Identifier: MIT
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/gguf.h"
#include "bench/model/gguf_config.h"
#include "bench/model/gguf_file.h"
#include "bench/model/gguf_names.h"
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

// Every weight must be there with its shape, and no tensor that we would leave out: an ignored bias or scale would make
// another model of it. What the file's tensors fit in is also the bound of what gets allocated.
static int match_tensors(const struct source *s, const struct model_config *c, bool *used)
{
    const int count = gguf_weight_count(c);
    for (int i = 0; i < count; i++) {
        const struct gguf_weight w = gguf_weight_at(c, i);
        const struct gguf_tensor *t = gguf_find_tensor(&s->file, w.name);
        if (t)
            used[t - s->file.tensors] = true;
        else
            return REFUSE(s, "%s: lacks the tensor %s", s->path, w.name);
        if (t->size[0] != (uint64_t)w.in || t->size[1] != (uint64_t)(w.out ? w.out : 1) || t->size[2] != 1 ||
            t->size[3] != 1)
            return REFUSE(s, "%s: tensor %s is %llu × %llu × %llu × %llu, but the keys say %d × %d", s->path, w.name,
                          (unsigned long long)t->size[0], (unsigned long long)t->size[1],
                          (unsigned long long)t->size[2], (unsigned long long)t->size[3], w.in, w.out ? w.out : 1);
    }
    for (size_t i = 0; i < s->file.tensor_count; i++) {
        const struct gguf_text name = s->file.tensors[i].name;
        if (!used[i])
            return REFUSE(s, "%s: has a tensor '%.*s' that is not part of a plain %s model: not supported", s->path,
                          (int)name.bytes, name.text, model_architecture_name(c->architecture));
    }
    return 0;
}

static int check_tensors(const struct source *s, const struct model_config *c)
{
    bool *used = calloc(s->file.tensor_count + 1, sizeof *used);
    if (!used) {
        snprintf(s->error, s->error_size, "%s: no memory for its list of tensors", s->path);
        return -ENOMEM;
    }
    const int rc = match_tensors(s, c, used);
    free(used);
    return rc;
}

static int check_factors(const struct source *s, const struct model *model)
{
    for (int i = 0; model->rope_factors && i < model->config.head_dim / 2; i++) {
        if (!(model->rope_factors[i] > 0 && isfinite(model->rope_factors[i])))
            return REFUSE(s, "%s: rope_freqs.weight holds %g, which is no factor", s->path, (double)model->rope_factors[i]);
    }
    return 0;
}

static void point_matrix(struct model *model, const struct gguf_weight *w, const struct gguf_tensor *t)
{
    const struct tensor tensor = {t->data, t->type, w->out, w->in, true};
    if (w->matrix >= 0)
        model->stored[w->layer][w->matrix] = tensor;
    else if (w->member == offsetof(struct model, embedding))
        model->stored_embedding = tensor;
    else
        model->stored_output = tensor;
}

static void point_weights(struct model *model, const struct gguf_file *file)
{
    const int count = gguf_weight_count(&model->config);
    for (int i = 0; i < count; i++) {
        const struct gguf_weight w = gguf_weight_at(&model->config, i);
        const struct gguf_tensor *t = gguf_find_tensor(file, w.name);
        if (w.out)
            point_matrix(model, &w, t);
        else
            tensor_decode(t->type, t->data, (size_t)w.in, *gguf_weight_pointer(model, &w));
    }
    if (model->config.tied_embeddings)
        model->stored_output = model->stored_embedding;
}

int gguf_open_model(struct model *model, const char *path, char *error, size_t error_size)
{
    struct source source = {.path = path, .error = error, .error_size = error_size};
    struct model_config config;
    struct model opened = {0};
    int rc = gguf_open(&source.file, path, error, error_size);
    if (rc) {
        model_one_line(error);
        return rc;
    }
    if ((rc = gguf_read_config(&config, &source.file, path, error, error_size)) || (rc = check_tensors(&source, &config)))
        goto out;
    rc = model_allocate_vectors(&opened, &config);
    if (rc) {
        snprintf(error, error_size, "%s: no memory for its norms and list of matrices", path);
        goto out;
    }
    point_weights(&opened, &source.file);
    if ((rc = check_factors(&source, &opened)) ||
        (rc = tokenizer_from_gguf(&opened.tokenizer, &source.file, config.vocab, path, error, error_size)))
        goto out;
    model_hash_stored(&opened);
    model_take_files(&opened, source.file.parts, source.file.part_count);
    source.file.parts = NULL;
    source.file.part_count = 0;
    *model = opened;
out:
    if (rc) {
        model_one_line(error);
        model_free(&opened);
    }
    gguf_close(&source.file);
    return rc;
}
