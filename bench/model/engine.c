// SPDX-License-Identifier: MIT
#include "bench/model/engine.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/engine_internal.h"

enum { DEFAULT_ROWS = 256, LOGIT_BYTES = 4 << 20, LOGIT_ROWS = 16, SMALLEST_UNIT = 32 };

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

// ---------------------------------------------------------------------------------------------------------------------
// Opening

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

void engine_close(struct engine *engine)
{
    if (engine == NULL)
        return;
    void *buffers[] = { engine->cosines, engine->sines, engine->window_cosines, engine->window_sines, engine->x, engine->partial, engine->normed, engine->q, engine->attended, engine->k,
                        engine->v, engine->gate, engine->up, engine->logits, engine->gathered, engine->best, engine->emit, engine->current, engine->lengths, engine->partials,
                        engine->decode_units };
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

// ---------------------------------------------------------------------------------------------------------------------
// Running

int engine_check_tokens(const struct engine *engine, const int32_t *tokens, size_t count, char *error, size_t error_size)
{
    for (size_t i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= engine->config->vocab) {
            snprintf(error, error_size, "token %d is outside the vocabulary of %d", tokens[i], engine->config->vocab);
            return -EINVAL;
        }
    return 0;
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

// Cuts positions [from, length) of sequences [first, end) into units of at most `rows` rows. Writes them when units is not NULL.
static int cut_units(int first, int end, int from, int length, int rows, struct unit *units)
{
    int count = 0;
    if (length - from <= rows) {
        const int together = rows / (length - from);
        for (int at = first; at < end; at += together, count++)
            if (units != NULL)
                units[count] = (struct unit){ at, smaller(together, end - at), from, length - from, NULL };
        return count;
    }
    for (int at = first; at < end; at++)
        for (int begin = from; begin < length; begin += rows, count++)
            if (units != NULL)
                units[count] = (struct unit){ at, 1, begin, smaller(rows, length - begin), NULL };
    return count;
}

struct unit *engine_prefill_units(const struct engine *engine, struct layout_range sequences, int from, int length, const int *lengths,
                                  int *count)
{
    const int stages = engine->variant->layout.pipeline;
    int rows = engine->max_rows;
    if (stages > 1) { // two units a stage, if they do not get too small for that, so that the stages overlap
        const long each = ((long)(sequences.end - sequences.begin) * (length - from) + 2L * stages - 1) / (2L * stages);
        const long wanted = each > SMALLEST_UNIT ? each : SMALLEST_UNIT;
        rows = wanted < rows ? (int)wanted : rows;
    }
    struct unit *units = NULL;
    for (int pass = 0; pass < 2; pass++) {
        *count = 0;
        // sequences of one length behind each other share units
        for (int first = sequences.begin, end; first < sequences.end; first = end) {
            const int own = lengths != NULL ? lengths[first] : length;
            for (end = first + 1; end < sequences.end && (lengths == NULL || lengths[end] == own);)
                end++;
            *count += cut_units(first, end, from, own, rows, units != NULL ? units + *count : NULL);
        }
        if (pass == 0 && (units = malloc(((size_t)*count + 1) * sizeof(*units))) == NULL)
            return NULL;
    }
    return units;
}

// The tokens that the last stage chose, to all stages; with them whether a logit was not finite.
static void share_result(struct run *run)
{
    struct engine *engine = run->engine;
    if (comm_size(engine->pipeline) == 1)
        return;
    const int last = comm_size(engine->pipeline) - 1, local = engine->sequences.end - engine->sequences.begin;
    int32_t flag = run->not_finite;
    comm_broadcast(engine->pipeline, &flag, sizeof(flag), last);
    run->not_finite = flag != 0;
    for (int step = 0; run->next != NULL && step < run->steps; step++)
        comm_broadcast(engine->pipeline, run->next + (size_t)step * (size_t)engine->batch + (size_t)engine->sequences.begin,
                       (size_t)local * sizeof(int32_t), last);
    if (run->next != NULL)
        memcpy(engine->current, run->next + (size_t)(run->steps - 1) * (size_t)engine->batch + (size_t)engine->sequences.begin,
               (size_t)local * sizeof(int32_t));
    if (run->logits != NULL)
        comm_broadcast(engine->pipeline, run->logits + (size_t)engine->sequences.begin * (size_t)engine->config->vocab,
                       (size_t)local * (size_t)engine->config->vocab * sizeof(float), last);
}

int engine_run(struct run *run, char *error, size_t error_size)
{
    team_run(run->engine->team, engine_region, run);
    share_result(run);
    if (run->not_finite) {
        snprintf(error, error_size, "the model gave a logit that is not a finite number");
        return -EDOM;
    }
    return 0;
}

// Positions [from, length) or [from, lengths[i]) of this replica's sequences.
static int prefill_part(struct run *run, struct layout_range sequences, int from, int length, const int *lengths, char *error,
                        size_t error_size)
{
    run->units = engine_prefill_units(run->engine, sequences, from, length, lengths, &run->unit_count);
    if (run->units == NULL) {
        snprintf(error, error_size, "no memory to cut a prompt of %d tokens", length);
        return -ENOMEM;
    }
    const int status = engine_run(run, error, error_size);
    free(run->units);
    return status;
}

static int check_lengths(const struct engine *engine, const int32_t *tokens, int batch, int stride, const int *lengths, int shared,
                         char *error, size_t error_size)
{
    if (batch < 1 || batch > engine->options.max_batch || batch % engine->variant->layout.data != 0 || stride < 1 || shared < 0) {
        snprintf(error, error_size, "a batch of %d prompts of %d tokens does not fit an engine for %d of %d over %d replicas", batch, stride,
                 engine->options.max_batch, engine->options.max_context, engine->variant->layout.data);
        return -EINVAL;
    }
    for (int i = 0; i < batch; i++) {
        const int length = lengths != NULL ? lengths[i] : stride;
        const int32_t *text = tokens + (size_t)i * (size_t)stride;
        if (length > stride || length > engine->options.max_context || length <= shared ||
            memcmp(text, tokens, (size_t)shared * sizeof(*text)) != 0) {
            snprintf(error, error_size, "prompt %d of %d tokens (of %d at most), of which %d are shared, does not fit an engine for %d positions",
                     i, length, stride, shared, engine->options.max_context);
            return -EINVAL;
        }
        const int status = engine_check_tokens(engine, text, (size_t)length, error, error_size);
        if (status != 0)
            return status;
    }
    return 0;
}

int engine_prefill_lengths(struct engine *engine, const int32_t *tokens, int batch, int stride, const int *lengths, int shared,
                           int32_t *next, float *logits, char *error, size_t error_size)
{
    int status = check_lengths(engine, tokens, batch, stride, lengths, shared, error, error_size);
    if (status == 0 && logits != NULL)
        status = engine_need_gathered(engine, error, error_size);
    if (status != 0)
        return status;
    engine->batch = batch;
    engine->sequences = layout_replica_batch(&engine->variant->layout, batch, engine->variant->place.data);
    engine->position = 0;
    const int local = engine->sequences.end - engine->sequences.begin;
    for (int i = 0; i < local; i++)
        engine->lengths[i] = lengths != NULL ? lengths[engine->sequences.begin + i] : stride;
    for (int i = 0; i < batch; i++)
        engine->position = larger(engine->position, lengths != NULL ? lengths[i] : stride);
    struct run run = { .engine = engine, .steps = 1, .tokens = tokens, .length = stride, .lengths = lengths };
    if (shared > 0 && local > 1) { // once, and then copied
        status = prefill_part(&run, (struct layout_range){ 0, 1 }, 0, shared, NULL, error, error_size);
        for (int i = 1; i < local && status == 0; i++)
            kv_cache_copy(&engine->cache, 0, i, shared);
    }
    run.next = next;
    run.logits = logits;
    return status != 0 ? status
                       : prefill_part(&run, (struct layout_range){ 0, local }, local > 1 ? shared : 0, engine->position,
                                      lengths != NULL ? engine->lengths : NULL, error, error_size);
}

int engine_prefill(struct engine *engine, const int32_t *tokens, int batch, int prompt, int32_t *next, float *logits, char *error,
                   size_t error_size)
{
    return engine_prefill_lengths(engine, tokens, batch, prompt, NULL, 0, next, logits, error, error_size);
}

int engine_decode(struct engine *engine, const int32_t *tokens, int steps, int32_t *next, float *logits, char *error, size_t error_size)
{
    const int local = engine->sequences.end - engine->sequences.begin, stages = engine->variant->layout.pipeline;
    if (engine->batch == 0 || steps < 1 || engine->position + steps > engine->options.max_context) {
        snprintf(error, error_size, "%d more tokens at position %d do not fit an engine for %d positions", steps, engine->position,
                 engine->options.max_context);
        return -EINVAL;
    }
    int status = engine_check_tokens(engine, tokens + engine->sequences.begin, (size_t)local, error, error_size);
    if (status == 0 && logits != NULL)
        status = engine_need_gathered(engine, error, error_size);
    if (status != 0)
        return status;
    memcpy(engine->current, tokens + engine->sequences.begin, (size_t)local * sizeof(int32_t));
    struct unit *units = engine->decode_units;
    const int unit_count = smaller(local, stages);
    for (int i = 0; i < unit_count; i++) {
        const struct layout_range part = layout_split(local, 1, unit_count, i);
        units[i] = (struct unit){ part.begin, part.end - part.begin, 0, 1, engine->lengths };
    }
    struct run run = { .engine = engine, .units = units, .unit_count = unit_count, .steps = steps, .next = next, .logits = logits };
    status = engine_run(&run, error, error_size);
    for (int i = 0; i < local; i++)
        engine->lengths[i] += steps;
    engine->position += steps;
    return status;
}

int engine_position(const struct engine *engine)
{
    return engine->position;
}

struct layout_range engine_sequences(const struct engine *engine)
{
    return engine->sequences;
}

void engine_collect(struct engine *engine, int32_t *tokens, int rows)
{
    // Every sequence is known to all ranks of one replica: its first rank alone adds it to what was zero elsewhere.
    if (engine->variant->layout.data == 1)
        return;
    const bool mine = engine->variant->place.tensor == 0 && engine->variant->place.pipeline == 0;
    const size_t count = (size_t)rows * (size_t)engine->batch;
    uint64_t *sum = calloc(count, sizeof(*sum));
    if (sum == NULL)
        comm_abort(3); // the other ranks wait in the sum below
    for (size_t i = 0; mine && i < count; i++) {
        const int sequence = (int)(i % (size_t)engine->batch);
        if (sequence >= engine->sequences.begin && sequence < engine->sequences.end)
            sum[i] = (uint64_t)(uint32_t)tokens[i];
    }
    comm_all_reduce_sum_u64(engine->group, sum, count);
    for (size_t i = 0; i < count; i++)
        tokens[i] = (int32_t)sum[i];
    free(sum);
}

// ---------------------------------------------------------------------------------------------------------------------
// Facts

struct engine_memory engine_memory(const struct engine *engine)
{
    return (struct engine_memory){ engine->variant->weight_bytes, engine->cache.bytes, engine->workspace_bytes };
}

struct engine_memory engine_memory_total(struct engine *engine)
{
    uint64_t sums[3] = { engine->variant->weight_bytes, engine->cache.bytes, engine->workspace_bytes };
    comm_all_reduce_sum_u64(engine->group, sums, 3);
    return (struct engine_memory){ sums[0], sums[1], sums[2] };
}

double engine_sparsity(struct engine *engine)
{
    uint64_t sums[2] = { engine->variant->pruned_weights, engine->variant->block_weights };
    comm_all_reduce_sum_u64(engine->group, sums, 2);
    return (double)sums[0] / (double)sums[1];
}

double engine_bits_per_weight(struct engine *engine)
{
    uint64_t sums[2] = { engine->variant->weight_bytes, engine->variant->weights };
    comm_all_reduce_sum_u64(engine->group, sums, 2);
    return 8.0 * (double)sums[0] / (double)sums[1];
}

struct comm_group *engine_group(const struct engine *engine)
{
    return engine->group;
}

const char *engine_linear_kernel(const struct engine *engine)
{
    return engine->linear_kernel->name;
}

int engine_vocab(const struct engine *engine)
{
    return engine->config->vocab;
}

int engine_max_batch(const struct engine *engine)
{
    return engine->options.max_batch;
}

int engine_replicas(const struct engine *engine)
{
    return engine->variant->layout.data;
}
