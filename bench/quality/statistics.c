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

// The smallest value that at least 99% of all do not exceed.
static double percentile_99(const float *values, size_t count)
{
    float *sorted = malloc(count * sizeof(float));
    if (sorted == NULL)
        return NAN;
    memcpy(sorted, values, count * sizeof(float));
    qsort(sorted, count, sizeof(float), rising);
    const size_t at = (99 * count + 99) / 100;
    const double value = (double)sorted[at - 1];
    free(sorted);
    return value;
}

void quality_statistics(const struct quality_tokens *tokens, struct quality_result *result)
{
    *result = (struct quality_result){ .tokens = (int)tokens->count, .ppl = NAN, .ppl_se = NAN, .dlnppl = NAN, .dlnppl_se = NAN,
                                       .kld = NAN, .kld_se = NAN, .kld_p99 = NAN, .top1 = NAN, .top1_se = NAN, .flips = NAN,
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
    result->kld_p99 = percentile_99(tokens->kld, tokens->count);
    mean_and_error(tokens->same_top, NULL, tokens->count, &result->top1, &result->top1_se);
    mean_and_error(tokens->flipped, NULL, tokens->count, &result->flips, &result->flips_se);
}
