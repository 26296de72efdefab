// SPDX-License-Identifier: MIT
#include "bench/quality/quality.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Mean and its standard error over `count` values, of a − b where b is given. The error is NaN for a single value.
static void mean_and_error(const float *a, const float *b, size_t count, double *mean, double *error)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)a[i] - (b != NULL ? (double)b[i] : 0);
    *mean = sum / (double)count;
    for (size_t i = 0; i < count; i++) {
        const double off = (double)a[i] - (b != NULL ? (double)b[i] : 0) - *mean;
        squares += off * off;
    }
    *error = count > 1 ? sqrt(squares / ((double)count - 1) / (double)count) : NAN;
}

static int rising(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

// The smallest value that at least `part` of all do not exceed, and its error: the rank of a quantile is binomial.
static void quantile(const float *sorted, size_t count, double part, double *value, double *error)
{
    const double rank = part * (double)count, spread = sqrt((double)count * part * (1 - part));
    const double last = (double)count;
    // 1e-9: 0.99·count is not to be rounded up from a whole number
    const size_t at = (size_t)fmin(fmax(ceil(rank - 1e-9), 1), last), low = (size_t)fmax(floor(rank - spread), 1);
    const size_t high = (size_t)fmin(ceil(rank + spread), last);
    *value = (double)sorted[at - 1];
    *error = count > 1 ? ((double)sorted[high - 1] - (double)sorted[low - 1]) / 2 : NAN;
}

static void quantiles(const float *values, size_t count, struct quality_result *result)
{
    float *sorted = malloc(count * sizeof(float));
    if (sorted == NULL)
        return;
    memcpy(sorted, values, count * sizeof(float));
    qsort(sorted, count, sizeof(float), rising);
    quantile(sorted, count, 0.5, &result->kld_median, &result->kld_median_se);
    quantile(sorted, count, 0.99, &result->kld_p99, &result->kld_p99_se);
    result->kld_max = (double)sorted[count - 1];
    free(sorted);
}

void quality_statistics(const struct quality_tokens *tokens, struct quality_result *result)
{
    *result = (struct quality_result){ .tokens = (int)tokens->count, .ppl = NAN, .ppl_se = NAN, .dlnppl = NAN, .dlnppl_se = NAN,
                                       .kld = NAN, .kld_se = NAN, .kld_median = NAN, .kld_median_se = NAN,
                                       .kld_p99 = NAN, .kld_p99_se = NAN, .kld_max = NAN, .top1 = NAN, .top1_se = NAN, .flips = NAN,
                                       .flips_se = NAN };
    if (tokens->count == 0)
        return;
    double mean, error;
    mean_and_error(tokens->loss, NULL, tokens->count, &mean, &error);
    result->ppl = exp(mean);
    result->ppl_se = result->ppl * error;
    if (tokens->baseline_loss == NULL)
        return;
    mean_and_error(tokens->loss, tokens->baseline_loss, tokens->count, &result->dlnppl, &result->dlnppl_se);
    mean_and_error(tokens->kld, NULL, tokens->count, &result->kld, &result->kld_se);
    quantiles(tokens->kld, tokens->count, result);
    mean_and_error(tokens->same_top, NULL, tokens->count, &result->top1, &result->top1_se);
    mean_and_error(tokens->flipped, NULL, tokens->count, &result->flips, &result->flips_se);
}
