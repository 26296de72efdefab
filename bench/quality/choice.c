// SPDX-License-Identifier: MIT
#include "bench/quality/choice.h"

#include <errno.h>
#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/tokenizer.h"
#include "kernels/softmax/softmax.h"

// One context with one choice behind it, as tokens.
struct continuation {
    int32_t *tokens;
    int length, first; // tokens[first …] are the choice's
    size_t bytes;      // of the choice
};

struct scoring {
    const struct continuation *batch; // of the call in progress
    int count;                        // of them that count; the rest fill it up
    float *scores;                    // of the first of them; 0 where another rank scores
    softmax_function *softmax;
    float *probabilities; // (vocab)
    int vocab;
    bool not_finite;
};

static void score_position(void *context, int sequence, int position, const float *logits)
{
    struct scoring *scoring = context;
    if (sequence >= scoring->count)
        return;
    const struct continuation *of = &scoring->batch[sequence];
    if (position + 1 < of->first || position + 1 >= of->length)
        return;
    struct softmax_call call = { .x = logits, .y = scoring->probabilities, .count = scoring->vocab };
    scoring->softmax(&call);
    const double term = (double)logits[of->tokens[position + 1]] - call.log_sum_exp;
    scoring->not_finite = scoring->not_finite || !isfinite(term);
    scoring->scores[sequence] += (float)term;
}

static int tokenize(const struct tokenizer *tokenizer, int bos, const struct choice_item *item, int which, struct continuation *made)
{
    const size_t context_bytes = strlen(item->context);
    made->bytes = strlen(item->choices[which]);
    char *text = malloc(context_bytes + made->bytes + 1);
    int32_t *alone = NULL, *together = NULL;
    size_t alone_count = 0, count = 0, same = 0;
    int status = text == NULL ? -ENOMEM : 0;
    if (status == 0) {
        memcpy(text, item->context, context_bytes);
        memcpy(text + context_bytes, item->choices[which], made->bytes + 1);
        status = tokenizer_encode(tokenizer, text, context_bytes, &alone, &alone_count);
    }
    if (status == 0)
        status = tokenizer_encode(tokenizer, text, context_bytes + made->bytes, &together, &count);
    const size_t front = bos >= 0;
    made->tokens = status == 0 ? malloc((count + front + 1) * sizeof(*made->tokens)) : NULL;
    if (made->tokens == NULL)
        status = -ENOMEM;
    else {
        while (same < alone_count && same < count && alone[same] == together[same])
            same++;
        made->tokens[0] = bos;
        memcpy(made->tokens + front, together, count * sizeof(*together));
        made->length = (int)(count + front);
        made->first = (int)(same + front);
    }
    free(text);
    free(alone);
    free(together);
    return status;
}

static int score_all(struct engine *engine, struct scoring *scoring, struct continuation *all, size_t count, int batch, char *error,
                     size_t error_size)
{
    int32_t *tokens = NULL;
    int status = 0;
    float *scores = scoring->scores;
    for (size_t begin = 0; status == 0 && begin < count; begin += (size_t)batch) {
        const int now = count - begin < (size_t)batch ? (int)(count - begin) : batch;
        int length = 0, first = all[begin].first;
        for (int i = 0; i < now; i++) {
            length = all[begin + (size_t)i].length > length ? all[begin + (size_t)i].length : length;
            first = all[begin + (size_t)i].first < first ? all[begin + (size_t)i].first : first;
        }
        int32_t *grown = realloc(tokens, (size_t)batch * (size_t)length * sizeof(*tokens));
        if (grown == NULL) {
            snprintf(error, error_size, "out of memory for the choices");
            status = -ENOMEM;
            break;
        }
        tokens = grown;
        memset(tokens, 0, (size_t)batch * (size_t)length * sizeof(*tokens)); // what stands behind a shorter one is not seen by it
        for (int i = 0; i < now; i++)
            memcpy(tokens + (size_t)i * (size_t)length, all[begin + (size_t)i].tokens, (size_t)all[begin + (size_t)i].length * sizeof(*tokens));
        scoring->batch = all + begin;
        scoring->count = now;
        scoring->scores = scores + begin;
        status = engine_score(engine, tokens, batch, length, first - 1, score_position, scoring, error, error_size);
    }
    scoring->scores = scores;
    free(tokens);
    return status;
}

static void judge(const struct choice_task *task, const struct continuation *all, const float *scores, struct choice_verdicts *verdicts)
{
    for (size_t item = 0, at = 0; item < task->count; at += (size_t)task->items[item++].count) {
        int raw = 0, normalised = 0;
        for (int i = 1; i < task->items[item].count; i++) {
            const size_t j = at + (size_t)i;
            raw = scores[j] > scores[at + (size_t)raw] ? i : raw;
            const size_t best = at + (size_t)normalised;
            normalised = scores[j] / (float)all[j].bytes > scores[best] / (float)all[best].bytes ? i : normalised;
        }
        verdicts->raw[item] = raw == task->items[item].answer;
        verdicts->normalised[item] = normalised == task->items[item].answer;
    }
}

int choice_measure(struct engine *engine, const struct tokenizer *tokenizer, int bos, int positions, int batch,
                   const struct choice_task *task, struct choice_verdicts *verdicts, char *error, size_t error_size)
{
    size_t count = 0, made = 0;
    for (size_t i = 0; i < task->count; i++)
        count += (size_t)task->items[i].count;
    *verdicts = (struct choice_verdicts){ task->count, calloc(task->count, sizeof(bool)), calloc(task->count, sizeof(bool)) };
    const struct kernel *softmax = kernel_pick(OP_SOFTMAX);
    struct continuation *all = calloc(count, sizeof(*all));
    struct scoring scoring = { .scores = calloc(count + 1, sizeof(float)), .vocab = engine_vocab(engine) };
    scoring.probabilities = malloc((size_t)scoring.vocab * sizeof(float));
    int status = 0;
    if (!verdicts->raw || !verdicts->normalised || !all || !scoring.scores || !scoring.probabilities || softmax == NULL) {
        snprintf(error, error_size, "out of memory for %zu choices", count);
        status = -ENOMEM;
        goto out;
    }
    scoring.softmax = (softmax_function *)softmax->function;
    for (size_t item = 0; status == 0 && item < task->count; item++)
        for (int i = 0; status == 0 && i < task->items[item].count; i++) {
            struct continuation *now = &all[made++];
            status = tokenize(tokenizer, bos, &task->items[item], i, now);
            if (status != 0)
                snprintf(error, error_size, "out of memory for %zu choices", count);
            else if (now->first < 1 || now->first >= now->length || now->length > positions) {
                snprintf(error, error_size, "%s: item %zu has %d tokens of context and %d of choice %d; it needs one of each, and %d in all at most",
                         task->name, item + 1, now->first, now->length - now->first, i, positions);
                status = -EINVAL;
            }
        }
    if (status == 0)
        status = score_all(engine, &scoring, all, count, batch, error, error_size);
    if (status != 0)
        goto out;
    scoring.scores[count] = scoring.not_finite;
    comm_all_reduce_sum(engine_group(engine), scoring.scores, count + 1); // each was scored by one rank and is zero on the others
    if (!(scoring.scores[count] == 0)) {
        snprintf(error, error_size, "a choice's likelihood is not a finite number");
        status = -EDOM;
    } else
        judge(task, all, scoring.scores, verdicts);
out:
    for (size_t i = 0; i < made; i++)
        free(all[i].tokens);
    free(all);
    free(scoring.scores);
    free(scoring.probabilities);
    if (status != 0)
        choice_verdicts_free(verdicts);
    return status;
}

void choice_verdicts_free(struct choice_verdicts *verdicts)
{
    free(verdicts->raw);
    free(verdicts->normalised);
    *verdicts = (struct choice_verdicts){ 0 };
}

void choice_accuracy(const bool *right, size_t count, double *accuracy, double *standard_error)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += right[i];
    *accuracy = count > 0 ? sum / (double)count : NAN;
    *standard_error = count > 1 ? sqrt(*accuracy * (1 - *accuracy) / ((double)count - 1)) : NAN;
}

void choice_compare(const bool *before, const bool *after, size_t count, struct choice_comparison *comparison)
{
    size_t lost = 0, won = 0;
    for (size_t i = 0; i < count; i++) {
        lost += before[i] && !after[i];
        won += after[i] && !before[i];
    }
    const size_t fewer = lost < won ? lost : won, both = lost + won;
    const double p = both > 0 ? 2 * gsl_cdf_binomial_P((unsigned)fewer, 0.5, (unsigned)both) : 1;
    *comparison = (struct choice_comparison){ lost, won, p < 1 ? p : 1 };
}
