// SPDX-License-Identifier: MIT
// Whole texts through the engine: logits of every position, and the check of generated tokens.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/engine_internal.h"

int engine_score(struct engine *engine, const int32_t *tokens, int batch, int length, int first, engine_score_function *callback,
                 void *context, char *error, size_t error_size)
{
    if (batch < 1 || batch > engine->options.max_batch || length < 1 || length > engine->options.max_context) {
        snprintf(error, error_size, "%d texts of %d tokens do not fit an engine for %d of %d", batch, length, engine->options.max_batch,
                 engine->options.max_context);
        return -EINVAL;
    }
    int status = engine_check_tokens(engine, tokens, (size_t)batch * (size_t)length, error, error_size);
    if (status == 0)
        status = engine_need_gathered(engine, error, error_size);
    if (status != 0)
        return status;
    engine->batch = 0; // the cache no longer holds a batch that decoding could go on with
    engine->position = 0;
    engine->sequences = layout_replica_batch(&engine->variant->layout, batch, engine->variant->place.data);
    struct run run = { .engine = engine, .steps = 1, .tokens = tokens, .length = length, .score = callback, .score_context = context,
                       .first_scored = first };
    run.units = engine_prefill_units(engine, (struct layout_range){ 0, engine->sequences.end - engine->sequences.begin }, 0, length, NULL,
                                     &run.unit_count);
    if (run.units == NULL) {
        snprintf(error, error_size, "no memory to cut texts of %d tokens", length);
        return -ENOMEM;
    }
    status = engine_run(&run, error, error_size);
    free(run.units);
    // a replica whose texts went wrong must not be the only one that knows
    uint64_t worst = (uint64_t)-(long)status;
    comm_all_reduce_max_u64(engine->group, &worst, 1);
    if (status == 0 && worst != 0) {
        snprintf(error, error_size, "another replica failed: %s", strerror((int)worst));
        status = -(int)worst;
    }
    return status;
}

struct verification {
    const int32_t *tokens; // (batch, length)
    const int *lengths;    // (batch) of the prompts, or NULL: all are `prompt`
    int length, prompt, steps, vocab;
    double worst_gap, sum;
};

static void measure_gap(void *context, int sequence, int position, const float *logits)
{
    struct verification *verification = context;
    const int begin = verification->lengths != NULL ? verification->lengths[sequence] : verification->prompt;
    if (position + 1 < begin || position + 1 >= begin + verification->steps)
        return;
    const int32_t token = verification->tokens[(size_t)sequence * (size_t)verification->length + (size_t)position + 1];
    double largest = (double)logits[0], sum = 0, squares = 0;
    for (int i = 0; i < verification->vocab; i++) {
        const double x = (double)logits[i];
        largest = x > largest ? x : largest;
        sum += x;
        squares += x * x;
    }
    const double mean = sum / verification->vocab, variance = squares / verification->vocab - mean * mean;
    const double gap = largest - (double)logits[token];
    const double relative = gap == 0 ? 0 : gap / sqrt(variance > 0 ? variance : 0); // infinite where all logits are equal but one is not
    if (!(relative <= verification->worst_gap))
        verification->worst_gap = relative;
    verification->sum += relative;
}

int engine_verify_tokens(struct engine *engine, const int32_t *prompts, int batch, int prompt, const int *lengths,
                         const int32_t *generated, int steps, struct engine_gap *gap, char *error, size_t error_size)
{
    *gap = (struct engine_gap){ NAN, NAN };
    const int length = prompt + steps - 1; // the last generated token predicts nothing that is checked
    int32_t *tokens = malloc((size_t)batch * (size_t)(length + 1) * sizeof(*tokens));
    int32_t *all = malloc((size_t)batch * (size_t)steps * sizeof(*all));
    if (tokens == NULL || all == NULL || steps < 1) {
        free(tokens);
        free(all);
        snprintf(error, error_size, steps < 1 ? "no generated tokens to verify" : "no memory to verify %d sequences of %d tokens", batch,
                 length);
        return steps < 1 ? -EINVAL : -ENOMEM;
    }
    memcpy(all, generated, (size_t)batch * (size_t)steps * sizeof(*all));
    engine->batch = batch;
    engine->sequences = layout_replica_batch(&engine->variant->layout, batch, engine->variant->place.data);
    engine_collect(engine, all, steps);
    // (batch, length) for the engine, and one more column for the last token
    struct verification verification = { .lengths = lengths, .length = length + 1, .prompt = prompt, .steps = steps,
                                         .vocab = engine->config->vocab };
    int first = prompt;
    int32_t *whole = calloc((size_t)batch * (size_t)(length + 1), sizeof(*whole)); // a shorter one ends in tokens that nothing looks at
    int status = whole == NULL ? -ENOMEM : 0;
    if (status == 0) {
        for (int sequence = 0; sequence < batch; sequence++) {
            int32_t *row = whole + (size_t)sequence * (size_t)(length + 1);
            const int own = lengths != NULL ? lengths[sequence] : prompt;
            first = own < first ? own : first;
            memcpy(row, prompts + (size_t)sequence * (size_t)prompt, (size_t)own * sizeof(*row));
            for (int step = 0; step < steps; step++)
                row[own + step] = all[(size_t)step * (size_t)batch + (size_t)sequence];
            memcpy(tokens + (size_t)sequence * (size_t)length, row, (size_t)length * sizeof(*row));
        }
        verification.tokens = whole;
        status = engine_check_tokens(engine, whole, (size_t)batch * (size_t)(length + 1), error, error_size);
        if (status == 0)
            status = engine_score(engine, tokens, batch, length, first - 1, measure_gap, &verification, error, error_size);
    } else
        snprintf(error, error_size, "no memory to verify %d sequences of %d tokens", batch, length);
    if (status == 0) {
        // gaps are not negative, so their bits are in their order; NaN's are above all
        uint64_t bits, millionths = verification.sum < 1e9 ? (uint64_t)(verification.sum * 1e6) : (uint64_t)1e15;
        memcpy(&bits, &verification.worst_gap, sizeof(bits));
        comm_all_reduce_max_u64(engine->group, &bits, 1);
        comm_all_reduce_sum_u64(engine->group, &millionths, 1);
        memcpy(&gap->worst, &bits, sizeof(bits));
        gap->mean = (double)millionths / 1e6 / ((double)batch * steps);
    }
    free(tokens);
    free(all);
    free(whole);
    return status;
}

bool engine_gap_explained(const struct engine *engine, const struct engine_gap *gap)
{
    // f32: rounding of the order of 1e-6 of a logit's spread, grown over the layers.
    if (engine->options.activation == ACTIVATION_F32)
        return gap->worst <= 1e-3;
    // Rounded activations: a last-bit difference may turn a code, which is a whole step of that token's scale. Where a few activations
    // are a hundred times the rest, as in many language models, one turned code in an early layer turns others in all later ones: two
    // passes then differ by as much as rounding to 8 bits costs. A single token may lie far off, not their mean: tokens that have nothing
    // to do with the logits are 3 off.
    return gap->worst <= 2 && gap->mean <= 0.1;
}

uint64_t engine_hash_tokens(const int32_t *tokens, size_t count)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < count; i++)
        for (int byte = 0; byte < 4; byte++) {
            hash ^= ((uint32_t)tokens[i] >> (8 * byte)) & 0xff;
            hash *= UINT64_C(0x100000001b3);
        }
    return hash;
}
