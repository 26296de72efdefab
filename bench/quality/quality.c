// SPDX-License-Identifier: MIT
#include "bench/quality/quality.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/softmax/softmax.h"

enum { LARGEST_CODE = 65535 };

struct quality_baseline {
    int window, batch, windows, replicas, vocab;
    size_t scored, held;  // positions, all windows; those that this rank scored
    uint64_t tokens_hash;
    // Of the positions that this rank scored; the rest are never touched.
    uint16_t *codes;      // (scored, vocab): ln p = low + code·(high − low)/65535
    float *low, *high;    // (scored)
    int32_t *top;         // (scored) the greedy token
    float *loss;          // (scored) −ln p of the true token, exact
    struct quality_result result;
};

// One measurement in progress.
struct scoring {
    const int32_t *tokens;
    int window, first, vocab, each; // each: scored positions of a window
    int first_window;               // of the batch in progress
    const struct quality_baseline *baseline;
    struct quality_baseline *record;
    softmax_function *softmax;
    float *probabilities, *baseline_log, *baseline_probabilities; // (vocab)
    float *loss, *baseline_loss, *kld, *same_top, *flipped;       // (scored); 0 where another rank scores
};

static int greedy(const float *logits, int count)
{
    int best = 0;
    for (int i = 1; i < count; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

static void record_position(struct quality_baseline *record, size_t at, const float *logits, double log_sum_exp, int top, float loss)
{
    const int vocab = record->vocab;
    float smallest = logits[0], largest = logits[0];
    for (int i = 1; i < vocab; i++) {
        smallest = logits[i] < smallest ? logits[i] : smallest;
        largest = logits[i] > largest ? logits[i] : largest;
    }
    const float step = (largest - smallest) / LARGEST_CODE, inverse = step > 0 ? 1 / step : 0;
    uint16_t *codes = record->codes + at * (size_t)vocab;
    for (int i = 0; i < vocab; i++) {
        const float code = (logits[i] - smallest) * inverse + 0.5f;
        codes[i] = (uint16_t)(code < LARGEST_CODE ? code : LARGEST_CODE);
    }
    record->held++;
    record->low[at] = (float)((double)smallest - log_sum_exp);
    record->high[at] = (float)((double)largest - log_sum_exp);
    record->top[at] = top;
    record->loss[at] = loss;
}

// KL(baseline ‖ variant) at one position. Decoding rounds the baseline a little; its softmax makes it a distribution again.
static double divergence(struct scoring *scoring, size_t at, const float *logits, double log_sum_exp)
{
    const struct quality_baseline *baseline = scoring->baseline;
    const uint16_t *codes = baseline->codes + at * (size_t)scoring->vocab;
    const float low = baseline->low[at], step = (baseline->high[at] - low) / LARGEST_CODE;
    for (int i = 0; i < scoring->vocab; i++)
        scoring->baseline_log[i] = low + step * (float)codes[i];
    struct softmax_call call = { .x = scoring->baseline_log, .y = scoring->baseline_probabilities, .count = scoring->vocab };
    scoring->softmax(&call);
    const double shift = log_sum_exp - call.log_sum_exp;
    double sum = 0;
    for (int i = 0; i < scoring->vocab; i++)
        sum += (double)scoring->baseline_probabilities[i] * ((double)scoring->baseline_log[i] - (double)logits[i] + shift);
    return sum > 0 || isnan(sum) ? sum : 0; // rounding alone makes it negative
}

static void score_position(void *context, int sequence, int position, const float *logits)
{
    struct scoring *scoring = context;
    const int window = scoring->first_window + sequence;
    if (position + 1 >= scoring->window)
        return;
    const size_t at = (size_t)window * (size_t)scoring->each + (size_t)(position - scoring->first);
    const int32_t truth = scoring->tokens[(size_t)window * (size_t)scoring->window + (size_t)position + 1];
    struct softmax_call call = { .x = logits, .y = scoring->probabilities, .count = scoring->vocab };
    scoring->softmax(&call);
    const int top = greedy(logits, scoring->vocab);
    scoring->loss[at] = (float)(call.log_sum_exp - (double)logits[truth]);
    if (scoring->record != NULL)
        record_position(scoring->record, at, logits, call.log_sum_exp, top, scoring->loss[at]);
    if (scoring->baseline != NULL) {
        const int baseline_top = scoring->baseline->top[at];
        scoring->baseline_loss[at] = scoring->baseline->loss[at];
        scoring->kld[at] = (float)divergence(scoring, at, logits, call.log_sum_exp);
        scoring->same_top[at] = top == baseline_top;
        scoring->flipped[at] = (top == truth) != (baseline_top == truth);
    }
}

static struct quality_baseline *baseline_create(size_t scored, int vocab)
{
    struct quality_baseline *baseline = calloc(1, sizeof(*baseline));
    if (baseline == NULL)
        return NULL;
    baseline->scored = scored;
    baseline->vocab = vocab;
    baseline->codes = malloc(scored * (size_t)vocab * sizeof(*baseline->codes));
    baseline->low = malloc(scored * sizeof(float));
    baseline->high = malloc(scored * sizeof(float));
    baseline->top = malloc(scored * sizeof(*baseline->top));
    baseline->loss = malloc(scored * sizeof(float));
    if (baseline->codes == NULL || baseline->low == NULL || baseline->high == NULL || baseline->top == NULL || baseline->loss == NULL) {
        quality_baseline_free(baseline);
        return NULL;
    }
    return baseline;
}

void quality_baseline_free(struct quality_baseline *baseline)
{
    if (baseline == NULL)
        return;
    free(baseline->codes);
    free(baseline->low);
    free(baseline->high);
    free(baseline->top);
    free(baseline->loss);
    free(baseline);
}

size_t quality_baseline_bytes(const struct quality_baseline *baseline)
{
    return baseline->held * (size_t)baseline->vocab * sizeof(*baseline->codes) + baseline->scored * (3 * sizeof(float) + sizeof(int32_t));
}

const struct quality_result *quality_baseline_result(const struct quality_baseline *baseline)
{
    return &baseline->result;
}

// What must be the same for two measurements to be compared token by token.
static bool same_text(const struct quality_baseline *baseline, const struct quality_baseline *now)
{
    return baseline->window == now->window && baseline->windows == now->windows && baseline->batch == now->batch &&
           baseline->replicas == now->replicas && baseline->vocab == now->vocab && baseline->tokens_hash == now->tokens_hash;
}

static int score_windows(struct engine *engine, struct scoring *scoring, int windows, int batch, int bos, char *error, size_t error_size)
{
    const size_t window = (size_t)scoring->window;
    int32_t *texts = malloc((size_t)batch * window * sizeof(*texts));
    if (texts == NULL) {
        snprintf(error, error_size, "no memory for %d windows of text", batch);
        return -ENOMEM;
    }
    int status = 0;
    for (int first = 0; status == 0 && first < windows; first += batch) {
        const int count = windows - first < batch ? windows - first : batch;
        memcpy(texts, scoring->tokens + (size_t)first * window, (size_t)count * window * sizeof(*texts));
        for (int i = 0; bos >= 0 && i < count; i++)
            texts[(size_t)i * window] = bos;
        scoring->first_window = first;
        status = engine_score(engine, texts, count, scoring->window, scoring->first, score_position, scoring, error, error_size);
    }
    free(texts);
    return status;
}

int quality_window(const struct model_config *config)
{
    return config->context < QUALITY_WINDOW ? config->context : QUALITY_WINDOW;
}

int quality_windows_at_once(const struct layout *layout)
{
    return layout->pipeline * layout->data;
}

int quality_measure(struct engine *engine, const int32_t *tokens, size_t count, int bos, const struct quality_settings *settings,
                    const struct quality_baseline *baseline, struct quality_baseline **baseline_out, struct quality_result *result,
                    char *error, size_t error_size)
{
    const int vocab = engine_vocab(engine), window = settings->window;
    if (baseline_out != NULL)
        *baseline_out = NULL;
    if (window < 4) {
        snprintf(error, error_size, "a window of %d tokens is too short to be scored", window);
        return -EINVAL;
    }
    const size_t used = settings->max_tokens > 0 && (size_t)settings->max_tokens < count ? (size_t)settings->max_tokens : count;
    const int windows = (int)(used / (size_t)window), each = window - 1 - window / 2;
    if (windows < 1) {
        snprintf(error, error_size, "%zu tokens of text are less than one window of %d; use a longer text", used, window);
        return -EINVAL;
    }
    const size_t scored = (size_t)windows * (size_t)each;
    int batch = settings->batch > 0 ? settings->batch : engine_max_batch(engine);
    batch = batch < windows ? batch : windows;
    const struct quality_baseline now = { .window = window, .batch = batch, .windows = windows, .replicas = engine_replicas(engine),
                                          .vocab = vocab, .tokens_hash = engine_hash_tokens(tokens, (size_t)windows * (size_t)window) };
    if (baseline != NULL && !same_text(baseline, &now)) {
        snprintf(error, error_size, "the baseline was measured on another text, in other windows or on another layout");
        return -EINVAL;
    }

    int status = -ENOMEM;
    const size_t arrays = baseline != NULL ? 5 : 1;
    float *figures = calloc(arrays * scored, sizeof(float)), *rows = malloc(3 * (size_t)vocab * sizeof(float));
    struct quality_baseline *record = baseline_out != NULL ? baseline_create(scored, vocab) : NULL;
    const struct kernel *softmax = kernel_pick(OP_SOFTMAX);
    if (figures == NULL || rows == NULL || softmax == NULL || (baseline_out != NULL && record == NULL)) {
        snprintf(error, error_size, "no memory to score %zu tokens of a vocabulary of %d", scored, vocab);
        goto out;
    }
    struct scoring scoring = { .tokens = tokens, .window = window, .first = window / 2, .vocab = vocab, .each = each, .baseline = baseline,
                               .record = record, .softmax = (softmax_function *)softmax->function, .probabilities = rows,
                               .baseline_log = rows + vocab, .baseline_probabilities = rows + 2 * (size_t)vocab, .loss = figures };
    if (baseline != NULL) {
        scoring.baseline_loss = figures + scored;
        scoring.kld = figures + 2 * scored;
        scoring.same_top = figures + 3 * scored;
        scoring.flipped = figures + 4 * scored;
    }
    status = score_windows(engine, &scoring, windows, batch, bos, error, error_size);
    if (status != 0)
        goto out;
    comm_all_reduce_sum(engine_group(engine), figures, arrays * scored); // each position was scored by one rank and is zero on the others
    const struct quality_tokens of_tokens = { scored, scoring.loss, scoring.baseline_loss, scoring.kld, scoring.same_top, scoring.flipped };
    quality_statistics(&of_tokens, result);
    if (!isfinite(result->ppl) || (baseline != NULL && !isfinite(result->kld))) {
        snprintf(error, error_size, "the perplexity is not a finite number");
        status = -EDOM;
        goto out;
    }
    if (record != NULL) {
        record->window = now.window, record->batch = now.batch, record->windows = now.windows, record->replicas = now.replicas;
        record->tokens_hash = now.tokens_hash;
        record->result = *result;
        *baseline_out = record;
        record = NULL;
    }
out:
    quality_baseline_free(record);
    free(figures);
    free(rows);
    return status;
}
