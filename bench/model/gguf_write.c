// SPDX-License-Identifier: MIT
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/model/gguf.h"
#include "bench/model/gguf_names.h"
#include "bench/model/gguf_put.h"
#include "bench/model/model.h"
#include "bench/model/splitter.h"
#include "bench/model/tokenizer.h"
#include "bench/model/variant.h"

enum { ROWS_AT_ONCE = 256 };

// What is written, and what the file says of it.
struct job {
    const struct gguf_contents *contents;
    struct model_config config; // of the file: the output matrix is not the embedding any more once it was quantized
};

static size_t elements(const struct gguf_weight *w)
{
    return (size_t)w->in * (size_t)(w->out ? w->out : 1);
}

static bool in_blocks(const struct gguf_weight *w)
{
    return w->layer >= 0;
}

static enum tensor_type stored_type(const struct job *job, const struct gguf_weight *w)
{
    const enum tensor_type type = job->contents->type;
    if (!w->out)
        return TENSOR_F32; // vectors are few, and other programs expect them in F32
    return type == TENSOR_Q4_0 && !in_blocks(w) ? TENSOR_Q8_0 : type;
}

static uint64_t stored_bytes(const struct job *job, const struct gguf_weight *w)
{
    const enum tensor_type type = stored_type(job, w);
    return elements(w) / (size_t)tensor_block_weights(type) * tensor_block_bytes(type);
}

static uint64_t padded(uint64_t bytes)
{
    return (bytes + GGUF_ALIGNMENT - 1) / GGUF_ALIGNMENT * GGUF_ALIGNMENT;
}

static void put_padding(FILE *out, uint64_t written)
{
    static const char zeros[GGUF_ALIGNMENT];
    gguf_put(out, zeros, padded(written) - written);
}

static void put_tensor_list(FILE *out, const struct job *job)
{
    uint64_t offset = 0;
    for (int i = 0, count = gguf_weight_count(&job->config); i < count; i++) {
        const struct gguf_weight w = gguf_weight_at(&job->config, i);
        gguf_put_text(out, w.name, strlen(w.name));
        gguf_put_u32(out, w.out ? 2 : 1);
        gguf_put_u64(out, (uint64_t)w.in);
        if (w.out)
            gguf_put_u64(out, (uint64_t)w.out);
        gguf_put_u32(out, stored_type(job, &w));
        gguf_put_u64(out, offset);
        offset += padded(stored_bytes(job, &w));
    }
}

// GGUF's "llama" rotates the pairs (2i, 2i+1) where the hub's rotates (i, i + head_dim/2): the rows of its q and k change places.
static int source_row(const struct model_config *config, const struct gguf_weight *w, int row)
{
    const int size = config->head_dim;
    const bool rotated = w->matrix == LAYER_Q || w->matrix == LAYER_K || w->member == offsetof(struct layer_weights, q_bias) ||
                         w->member == offsetof(struct layer_weights, k_bias);
    if (config->architecture != ARCHITECTURE_LLAMA || config->rope_style == ROPE_INTERLEAVED || !in_blocks(w) || !rotated)
        return row;
    return row / size * size + row % 2 * (size / 2) + row % size / 2;
}

// Where a matrix's f32 rows come from; *unpacked, which the caller frees, holds them where the variant has the matrix.
static int find_rows(const struct job *job, const struct gguf_weight *w, struct tensor *rows, float **unpacked)
{
    const struct model *model = job->contents->model;
    const struct variant *variant = job->contents->variant;
    const struct packed_matrix *packed = NULL;
    *unpacked = NULL;
    if (w->matrix >= 0) {
        *rows = model_matrix(model, w->layer, (enum layer_matrix)w->matrix);
        packed = variant ? variant->matrix[w->layer][w->matrix] : NULL;
    } else if (w->member == offsetof(struct model, embedding)) {
        *rows = model_embedding(model);
    } else {
        *rows = model_output(model);
        packed = variant ? variant->output : NULL;
    }
    if (!packed)
        return 0;
    *unpacked = malloc(elements(w) * sizeof(float));
    if (!*unpacked)
        return -ENOMEM;
    packed_unpack(packed, *unpacked);
    *rows = (struct tensor){*unpacked, TENSOR_F32, w->out, w->in, false};
    return 0;
}

static int put_matrix(FILE *out, const struct job *job, const struct gguf_weight *w)
{
    const enum tensor_type type = stored_type(job, w);
    const size_t columns = (size_t)w->in, row_bytes = columns / (size_t)tensor_block_weights(type) * tensor_block_bytes(type);
    struct tensor rows;
    float *unpacked = NULL, *values = malloc(ROWS_AT_ONCE * columns * sizeof *values);
    uint8_t *blocks = malloc(ROWS_AT_ONCE * row_bytes);
    const int rc = values && blocks ? find_rows(job, w, &rows, &unpacked) : -ENOMEM;
    for (int first = 0; !rc && first < w->out; first += ROWS_AT_ONCE) {
        const int count = w->out - first < ROWS_AT_ONCE ? w->out - first : ROWS_AT_ONCE;
#pragma omp parallel for
        for (int i = 0; i < count; i++) {
            float *row = values + (size_t)i * columns;
            tensor_read_rows(&rows, source_row(&job->config, w, first + i), 1, row);
            tensor_encode(type, row, columns, blocks + (size_t)i * row_bytes);
        }
        gguf_put(out, blocks, (size_t)count * row_bytes);
        if (in_blocks(w) || w->member != offsetof(struct model, embedding))
            tensor_release_rows(&rows, first, count);
    }
    free(unpacked);
    free(values);
    free(blocks);
    return rc;
}

static int put_tensors(FILE *out, const struct job *job)
{
    int rc = 0;
    for (int i = 0, count = gguf_weight_count(&job->config); i < count && !rc; i++) {
        const struct gguf_weight w = gguf_weight_at(&job->config, i);
        if (w.out) {
            rc = put_matrix(out, job, &w);
        } else {
            const float *values = *gguf_weight_pointer((struct model *)job->contents->model, &w);
            for (int k = 0; k < w.in; k++)
                gguf_put(out, &values[source_row(&job->config, &w, k)], sizeof *values);
        }
        put_padding(out, stored_bytes(job, &w));
    }
    return rc;
}

static int write_file(FILE *out, const struct job *job)
{
    char *text = NULL;
    size_t bytes = 0;
    uint64_t keys;
    FILE *memory = open_memstream(&text, &bytes); // the number of keys stands before them
    if (!memory)
        return -ENOMEM;
    int rc = gguf_put_keys(memory, &keys, job->contents->model, job->contents->source, job->contents->type);
    if (fclose(memory) && !rc)
        rc = -ENOMEM;
    if (!rc) {
        gguf_put(out, "GGUF", 4);
        gguf_put_u32(out, 3);
        gguf_put_u64(out, (uint64_t)gguf_weight_count(&job->config));
        gguf_put_u64(out, keys);
        gguf_put(out, text, bytes);
        put_tensor_list(out, job);
        put_padding(out, (uint64_t)ftello(out));
        rc = put_tensors(out, job);
    }
    free(text);
    errno = 0;
    if (!rc && (fflush(out) || ferror(out) || fsync(fileno(out))))
        rc = errno ? -errno : -EIO;
    return rc;
}

// GGUF has no key for it: readers go by the head's width, and by the layers of Gemma's 27B models (see gguf_config.c).
static bool scale_is_derived(const struct model_config *c)
{
    const bool wide = (c->architecture == ARCHITECTURE_GEMMA2 && c->layers == 46) || (c->architecture == ARCHITECTURE_GEMMA3 && c->layers == 62);
    const float derived = 1 / sqrtf(wide ? (float)c->d_model / (float)c->heads : (float)c->head_dim);
    const float own = c->attention_scale > 0 ? c->attention_scale : 1 / sqrtf((float)c->head_dim);
    return fabsf(own - derived) <= 1e-6f * derived;
}

static int check_contents(const struct job *job, const char *path, char *error, size_t error_size)
{
    const enum tensor_type type = job->contents->type;
    if (type != TENSOR_F32 && type != TENSOR_F16 && type != TENSOR_Q8_0 && type != TENSOR_Q4_0) {
        snprintf(error, error_size, "%s: weights are written as F32, F16, Q8_0 or Q4_0, not as %s", path, tensor_type_name(type));
        return -ENOTSUP;
    }
    for (int i = 0, count = gguf_weight_count(&job->config); i < count; i++) {
        const struct gguf_weight w = gguf_weight_at(&job->config, i);
        if (w.in % tensor_block_weights(stored_type(job, &w))) {
            snprintf(error, error_size, "%s: rows of %d weights (%s) are no whole number of %s blocks: use f16 or f32", path, w.in, w.name,
                     tensor_type_name(type));
            return -EINVAL;
        }
    }
    const struct tokenizer *tokenizer = job->contents->source ? NULL : job->contents->model->tokenizer; // or its keys are kept
    if (tokenizer && tokenizer_kind(tokenizer) == TOKENIZER_UNIGRAM) {
        snprintf(error, error_size, "%s: a unigram tokenizer cannot be written for models of architecture %s: other programs would read other tokens",
                 path, model_architecture_name(job->config.architecture));
        return -ENOTSUP;
    }
    int stages;
    if (tokenizer && tokenizer_kind(tokenizer) == TOKENIZER_BYTES && !splitter_known_stages(tokenizer_pattern_name(tokenizer), &stages)) {
        snprintf(error, error_size, "%s: the tokenizer cuts text by a pattern that has no name in GGUF, so that other programs would read other tokens: "
                 "export from a GGUF file of this model instead", path);
        return -ENOTSUP;
    }
    if (!scale_is_derived(&job->config)) {
        snprintf(error, error_size, "%s: attention scores are scaled by %g, which GGUF has no key for", path, (double)job->config.attention_scale);
        return -ENOTSUP;
    }
    if (job->config.architecture != ARCHITECTURE_LLAMA && job->config.rope_style == ROPE_INTERLEAVED) {
        snprintf(error, error_size, "%s: a model of architecture %s with interleaved rotary positions cannot be written", path,
                 model_architecture_name(job->config.architecture));
        return -ENOTSUP;
    }
    return 0;
}

int gguf_write(const char *path, const struct gguf_contents *contents, char *error, size_t error_size)
{
    struct job job = {.contents = contents, .config = contents->model->config};
    const struct variant *variant = contents->variant;
    if (variant && packed_format(variant->output)->type != WEIGHT_F32)
        job.config.tied_embeddings = false;
    char aside[4096];
    int rc = check_contents(&job, path, error, error_size);
    if (rc)
        return rc;
    if (snprintf(aside, sizeof aside, "%s.new", path) >= (int)sizeof aside) {
        snprintf(error, error_size, "%.200s…: the path is too long", path);
        return -ENAMETOOLONG;
    }
    FILE *out = fopen(aside, "wb");
    rc = out ? write_file(out, &job) : -errno;
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

int gguf_write_model(const char *path, const struct model *model, enum tensor_type type, char *error, size_t error_size)
{
    return gguf_write(path, &(struct gguf_contents){.model = model, .type = type}, error, error_size);
}
