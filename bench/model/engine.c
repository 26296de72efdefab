// SPDX-License-Identifier: MIT
#include "bench/model/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/engine_internal.h"

enum { SMALLEST_UNIT = 32 }; // rows

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
