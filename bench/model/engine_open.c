// SPDX-License-Identifier: MIT
// An engine's kernels and buffers.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/model/engine_internal.h"

enum { DEFAULT_ROWS = 256, LOGIT_BYTES = 4 << 20, LOGIT_ROWS = 16 };

static void *reserve(struct engine *engine, size_t count, size_t item, int *status)
{
    const size_t bytes = (count * item + 127) / 64 * 64;
    void *memory = aligned_alloc(64, bytes);
    if (memory == NULL)
        *status = -ENOMEM;
    engine->workspace_bytes += bytes;
    return memory;
}

static float *reserve_rows(struct engine *engine, int rows, int columns, int *status)
{
    return reserve(engine, (size_t)rows * (size_t)columns, sizeof(float), status);
}

static int reserve_codes(struct engine *engine, struct quantized_rows *codes, int rows)
{
    const struct variant *variant = engine->variant;
    const int widths[INPUT_WIDTHS] = { engine->config->d_model, variant->heads * engine->config->head_dim, variant->ffn };
    // All matrices have groups of the same size.
    const int group = engine->options.activation == ACTIVATION_Q8G ? variant->recipe.format.group : 0;
    for (int i = 0; i < INPUT_WIDTHS; i++) {
        const int status = quantized_rows_create(rows, widths[i], group, &codes[i]);
        if (status != 0)
            return status;
        engine->workspace_bytes += (size_t)rows * (size_t)widths[i];
    }
    return 0;
}

static size_t scratch_bytes(const struct engine *engine)
{
    const struct variant *variant = engine->variant;
    size_t most = linear_scratch_bytes(larger(engine->vocab_local, 1), engine->config->d_model, engine->max_rows);
    for (enum layer_matrix which = 0; which < LAYER_MATRICES; which++) {
        const struct packed_matrix *packed = variant->matrix[0][which];
        const size_t bytes = linear_scratch_bytes(packed_rows(packed), packed_columns(packed), engine->max_rows);
        most = bytes > most ? bytes : most;
    }
    return most;
}

static int reserve_all(struct engine *engine)
{
    const struct variant *variant = engine->variant;
    const struct model_config *config = engine->config;
    const int rows = engine->max_rows, threads = variant->layout.threads, heads_width = variant->heads * config->head_dim;
    const int kv_width = variant->kv_heads * config->head_dim, half = config->head_dim / 2;
    int status = 0;
    engine->cosines = reserve_rows(engine, engine->options.max_context, half, &status);
    engine->sines = reserve_rows(engine, engine->options.max_context, half, &status);
    if (config->window > 0) {
        engine->window_cosines = reserve_rows(engine, engine->options.max_context, half, &status);
        engine->window_sines = reserve_rows(engine, engine->options.max_context, half, &status);
    }
    engine->x = reserve_rows(engine, rows, config->d_model, &status);
    engine->partial = reserve_rows(engine, rows, config->d_model, &status);
    engine->normed = reserve_rows(engine, rows, config->d_model, &status);
    engine->q = reserve_rows(engine, rows, heads_width, &status);
    engine->attended = reserve_rows(engine, rows, heads_width, &status);
    engine->k = reserve_rows(engine, rows, kv_width, &status);
    engine->v = reserve_rows(engine, rows, kv_width, &status);
    engine->gate = reserve_rows(engine, rows, variant->ffn, &status);
    engine->up = reserve_rows(engine, rows, variant->ffn, &status);
    engine->logits = reserve_rows(engine, engine->logit_rows, engine->vocab_local, &status);
    engine->best = reserve(engine, (size_t)threads * (size_t)engine->logit_rows, sizeof(uint64_t), &status);
    engine->emit = reserve(engine, (size_t)rows + 1, sizeof(int), &status);
    engine->current = reserve(engine, (size_t)engine->max_local, sizeof(int32_t), &status);
    engine->lengths = reserve(engine, (size_t)engine->max_local, sizeof(int), &status);
    engine->decode_units = reserve(engine, (size_t)variant->layout.pipeline, sizeof(struct unit), &status);
    engine->spaces = calloc((size_t)threads, sizeof(*engine->spaces));
    if (status != 0 || engine->spaces == NULL)
        return -ENOMEM;
    const bool codes = activation_quantized(engine->options.activation);
    if (codes && reserve_codes(engine, engine->codes, rows) != 0)
        return -ENOMEM;
    const size_t scratch = scratch_bytes(engine);
    for (int thread = 0; thread < threads; thread++) {
        struct thread_space *space = &engine->spaces[thread];
        space->scratch = reserve(engine, scratch, 1, &status);
        space->normed = reserve_rows(engine, NARROW_ROWS, config->d_model, &status);
        space->partial = reserve(engine, engine_thread_partials(engine), sizeof(float), &status);
        if (status != 0 || (codes && reserve_codes(engine, space->codes, NARROW_ROWS) != 0))
            return -ENOMEM;
    }
    model_rotations(variant->model, false, engine->options.max_context, engine->cosines, engine->sines);
    if (engine->window_cosines != NULL)
        model_rotations(variant->model, true, engine->options.max_context, engine->window_cosines, engine->window_sines);
    status = kv_cache_create(&engine->cache, &engine->options.kv, variant->layers.end - variant->layers.begin, engine->max_local,
                             variant->kv_heads, config->head_dim, engine->options.max_context);
    if (status == 0)
        engine->partials = reserve(engine, engine_shared_partials(engine), sizeof(float), &status);
    return status;
}

// Brings the matrices into the layout of the provider's kernels.
static int prepare_matrices(const struct variant *variant, enum provider provider)
{
    int status = variant->output != NULL ? packed_prepare(variant->output, provider) : 0;
    for (int layer = 0; layer < variant->layers.end - variant->layers.begin; layer++)
        for (int which = 0; which < LAYER_MATRICES && status == 0; which++)
            status = packed_prepare(variant->matrix[layer][which], provider);
    return status;
}

static int pick_kernels(struct engine *engine, char *error, size_t error_size)
{
    const struct engine_options *options = &engine->options;
    const struct variant *variant = engine->variant;
    char why[200];
    engine->linear_kernel = kernel_linear(&variant->recipe.format, options->activation, options->provider, why, sizeof(why));
    const struct kernel *output = engine->linear_kernel;
    if (output != NULL && variant->output != NULL)
        output = kernel_linear(packed_format(variant->output), options->activation, options->provider, why, sizeof(why));
    const struct kernel *others[] = { kernel_pick(OP_RMSNORM), kernel_pick(OP_ROPE), kernel_pick(OP_SWIGLU), kernel_attention(options->kv.type),
                                      kernel_pick(OP_QUANTIZE_ROWS), kernel_attention(KV_F32) };
    if (output == NULL) {
        snprintf(error, error_size, "%s", why);
        return -ENOTSUP;
    }
    for (int i = 0; i < 6; i++)
        if (others[i] == NULL) {
            snprintf(error, error_size, "an op of the transformer has no kernel on this machine");
            return -ENOTSUP;
        }
    const int prepared = prepare_matrices(variant, options->provider);
    if (prepared != 0) {
        snprintf(error, error_size, "no memory to lay the weights out for %s", provider_name(options->provider));
        return prepared;
    }
    engine->linear = (linear_function *)engine->linear_kernel->function;
    engine->output_linear = (linear_function *)output->function;
    engine->rmsnorm = (rmsnorm_function *)others[0]->function;
    engine->rope = (rope_function *)others[1]->function;
    engine->swiglu = (swiglu_function *)others[2]->function;
    engine->attention = (attention_function *)others[3]->function;
    engine->attention_recent = (attention_function *)others[5]->function;
    engine->quantize = (quantize_rows_function *)others[4]->function;
    return 0;
}

static int check_options(const struct engine *engine, char *error, size_t error_size)
{
    const struct engine_options *options = &engine->options;
    const struct variant *variant = engine->variant;
    if (comm_size(engine->group) != layout_ranks(&variant->layout)) {
        char word[64];
        layout_name(&variant->layout, word, sizeof(word));
        snprintf(error, error_size, "layout %s is %d ranks and %d were started", word, layout_ranks(&variant->layout), comm_size(engine->group));
        return -EINVAL;
    }
    if (options->max_context < 1 || options->max_batch < 1 || options->max_batch % variant->layout.data != 0) {
        snprintf(error, error_size, "an engine for a batch of %d and %d positions cannot be opened over %d replicas", options->max_batch,
                 options->max_context, variant->layout.data);
        return -EINVAL;
    }
    const int head_dim = engine->config->head_dim;
    if (head_dim % 16 != 0 || head_dim > ATTENTION_MAX_HEAD_DIM) {
        snprintf(error, error_size, "heads of %d values have no attention kernel (multiples of 16 up to %d have)", head_dim,
                 ATTENTION_MAX_HEAD_DIM);
        return -ENOTSUP;
    }
    return 0;
}

int engine_open(struct engine **engine_out, const struct variant *variant, struct comm_group *group, const struct engine_options *options,
                char *error, size_t error_size)
{
    *engine_out = NULL;
    struct engine *engine = calloc(1, sizeof(*engine));
    if (engine == NULL) {
        snprintf(error, error_size, "no memory for an engine");
        return -ENOMEM;
    }
    engine->variant = variant;
    engine->config = &variant->model->config;
    engine->options = *options;
    engine->group = group;
    engine->attention_scale = engine->config->attention_scale > 0 ? engine->config->attention_scale
                                                                   : 1.0f / sqrtf((float)engine->config->head_dim);
    int status = check_options(engine, error, error_size);
    if (status == 0)
        status = pick_kernels(engine, error, error_size);
    if (status != 0)
        goto fail;

    const struct layout *layout = &variant->layout;
    const struct layout_place place = variant->place;
    engine->tensor = comm_split(group, place.data * layout->pipeline + place.pipeline, place.tensor);
    engine->pipeline = comm_split(group, place.data * layout->tensor + place.tensor, place.pipeline);
    engine->first_stage = place.pipeline == 0;
    engine->last_stage = place.pipeline == layout->pipeline - 1;
    engine->max_local = options->max_batch / layout->data;
    engine->max_rows = larger(options->max_rows > 0 ? options->max_rows : DEFAULT_ROWS, engine->max_local);
    engine->vocab_local = variant->vocabulary.end - variant->vocabulary.begin;
    for (int rank = 0; rank < layout->tensor; rank++) {
        const struct layout_range part = layout_vocabulary(layout, engine->config, rank);
        engine->vocab_largest = larger(engine->vocab_largest, part.end - part.begin);
    }
    // As many as a decode step has, and for texts that are scored enough to read the output matrix seldom.
    const int fitting = larger(LOGIT_BYTES / (int)sizeof(float) / engine->vocab_largest, LOGIT_ROWS);
    engine->logit_rows = larger(engine->max_local, smaller(fitting, engine->max_rows));

    status = reserve_all(engine);
    if (status != 0) {
        snprintf(error, error_size, "no memory for a batch of %d at %d positions: cache %.0f MiB, workspace %.0f MiB", options->max_batch,
                 options->max_context,
                 (double)kv_cache_size(&options->kv, variant->layers.end - variant->layers.begin, engine->max_local, variant->kv_heads,
                                       engine->config->head_dim, options->max_context) / 1048576,
                 (double)engine->workspace_bytes / 1048576);
        goto fail;
    }
    status = team_create(&engine->team, layout->threads, options->bind, options->bind_context, error, error_size);
    if (status != 0)
        goto fail;
    *engine_out = engine;
    return 0;
fail:
    engine_close(engine);
    return status;
}

int engine_need_gathered(struct engine *engine, char *error, size_t error_size)
{
    if (engine->gathered != NULL || !engine->last_stage || comm_size(engine->tensor) == 1)
        return 0;
    const size_t rows = (size_t)(comm_size(engine->tensor) + 1) * (size_t)engine->logit_rows;
    int status = 0;
    engine->gathered = reserve(engine, rows * (size_t)engine->vocab_largest + (size_t)engine->config->vocab, sizeof(float), &status);
    if (status != 0)
        snprintf(error, error_size, "no memory for the logits of %d rows", engine->logit_rows);
    return status;
}

void engine_close(struct engine *engine)
{
    if (engine == NULL)
        return;
    void *buffers[] = { engine->cosines,  engine->sines,   engine->window_cosines, engine->window_sines, engine->x,    engine->partial,
                        engine->normed,   engine->q,       engine->attended,       engine->k,            engine->v,    engine->gate,
                        engine->up,       engine->logits,  engine->gathered,       engine->best,         engine->emit, engine->current,
                        engine->lengths,  engine->partials, engine->decode_units };
    for (size_t i = 0; i < sizeof(buffers) / sizeof(*buffers); i++)
        free(buffers[i]);
    for (int width = 0; width < INPUT_WIDTHS; width++)
        quantized_rows_free(&engine->codes[width]);
    for (int thread = 0; engine->spaces != NULL && thread < engine->variant->layout.threads; thread++) {
        free(engine->spaces[thread].scratch);
        free(engine->spaces[thread].normed);
        free(engine->spaces[thread].partial);
        for (int width = 0; width < INPUT_WIDTHS; width++)
            quantized_rows_free(&engine->spaces[thread].codes[width]);
    }
    free(engine->spaces);
    kv_cache_free(&engine->cache);
    team_free(engine->team);
    comm_group_free(engine->tensor);
    comm_group_free(engine->pipeline);
    free(engine);
}
