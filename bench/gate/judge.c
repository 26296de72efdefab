// SPDX-License-Identifier: MIT
#include "bench/gate/judge.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <gsl/gsl_cdf.h>

#include "harness/stats.h"

size_t gate_pairs_needed(size_t series, double level) {
    size_t pairs = (size_t)ceil(1 + log2((double)(series ? series : 1) / level)) + 3;
    return pairs > GATE_PAIRS_LEAST ? pairs : GATE_PAIRS_LEAST;
}

// The pairs of which both figures are there; `before` may be x. Logarithms make a gain and the same loss equally large in rank.
static size_t gather(const double *before, const double *after, size_t blocks, double *x, double *y) {
    size_t pairs = 0;
    for (size_t i = 0; i < blocks; i++)
        if (before[i] > 0 && after[i] > 0 && isfinite(before[i]) && isfinite(after[i])) {
            x[pairs] = before[i];
            y[pairs++] = after[i];
        }
    return pairs;
}

// What the base did twice in a block, no figure where one of both is none: the mean of two processes has half of the variance of one, so that its
// pair with the head has three quarters.
static void average(const struct gate_series *series, double *mean) {
    for (size_t i = 0; i < series->blocks; i++)
        mean[i] = sqrt(series->base[i]) * sqrt(series->again[i]);
}

static int measure(const struct gate_series *series, size_t count, const struct gate_rules *rules, double *x, double *y,
                   struct gate_judgement *judgement) {
    struct stats_interval interval, alike;
    struct stats_test test;
    *judgement = (struct gate_judgement){.ratio = {NAN, NAN, NAN}, .p = NAN, .p_adjusted = NAN, .floor = NAN, .smallest_effect = NAN, .verdict = VERDICT_AMBIGUOUS};
    size_t alike_pairs = gather(series->base, series->again, series->blocks, x, y);
    int result = 0;
    if (alike_pairs >= GATE_PAIRS_LEAST && !(result = stats_bootstrap_ratio(x, y, alike_pairs, 0.95, rules->resamples, rules->seed, &alike)))
        judgement->floor = fmax(alike.hi - 1, 1 - alike.lo);
    average(series, x);
    judgement->pairs = gather(x, series->head, series->blocks, x, y);
    if (result || judgement->pairs < GATE_PAIRS_LEAST)
        return result;
    result = stats_bootstrap_ratio(x, y, judgement->pairs, 0.95, rules->resamples, rules->seed, &interval);
    for (size_t i = 0; i < judgement->pairs; i++) {
        x[i] = log(x[i]);
        y[i] = log(y[i]);
    }
    if (!result)
        result = stats_wilcoxon(y, x, judgement->pairs, &test);
    if (result)
        return result;
    judgement->ratio = (struct figure){interval.estimate, interval.lo, interval.hi};
    judgement->p = test.p;
    // Of a normal interval's half-width, what has to be exceeded at the adjusted level, with a chance of four in five; or at the screen with one of
    // nine in ten, and then in the second set, which is longer, with as much.
    double error = (interval.hi - interval.lo) / (2 * 1.96);
    double needed = rules->screen > 0 ? gsl_cdf_ugaussian_Qinv(rules->screen / 2) + gsl_cdf_ugaussian_Qinv(0.1)
                                      : gsl_cdf_ugaussian_Qinv(rules->level / 2 / (double)count) + gsl_cdf_ugaussian_Qinv(0.2);
    judgement->smallest_effect = fmax(fmax(rules->threshold, judgement->floor), needed * error);
    return 0;
}

static void judge(const struct gate_rules *rules, struct gate_judgement *judgement) {
    struct figure ratio = judgement->ratio;
    if (isnan(judgement->floor)) {
        snprintf(judgement->why, sizeof judgement->why, "too few A/A pairs to know what the machine does by itself");
        return;
    }
    if (isnan(ratio.value)) {
        snprintf(judgement->why, sizeof judgement->why, "only %zu pairs: %d are needed", judgement->pairs, GATE_PAIRS_LEAST);
        return;
    }
    double least = fmax(rules->threshold, judgement->floor), change = fabs(ratio.value - 1);
    bool excludes = ratio.lo > 1 || ratio.hi < 1, significant = judgement->p_adjusted < rules->level;
    judgement->candidate = excludes && change >= rules->threshold && judgement->p < rules->screen;
    if (excludes && significant && change >= least)
        judgement->verdict = ratio.value > 1 ? VERDICT_FASTER : VERDICT_SLOWER;
    else if (change >= least && excludes)
        snprintf(judgement->why, sizeof judgement->why, "p = %.2g after adjusting for all cells", judgement->p_adjusted);
    else if (ratio.hi - 1 < 2 * least && 1 - ratio.lo < 2 * least)
        judgement->verdict = VERDICT_SAME;
    else
        snprintf(judgement->why, sizeof judgement->why, "too noisy: a change of %.1f%% cannot be excluded", fmax(ratio.hi - 1, 1 - ratio.lo) * 100);
}

int gate_judge(const struct gate_series *series, size_t count, const struct gate_rules *rules, struct gate_judgement *judgements) {
    size_t longest = 1, tested = 0;
    for (size_t i = 0; i < count; i++)
        longest = series[i].blocks > longest ? series[i].blocks : longest;
    double *x = malloc(longest * sizeof *x), *y = malloc(longest * sizeof *y);
    double *p = malloc((count + 1) * sizeof *p), *adjusted = malloc((count + 1) * sizeof *adjusted);
    int result = x && y && p && adjusted ? 0 : -ENOMEM;
    for (size_t i = 0; i < count && !result; i++) {
        result = measure(&series[i], count, rules, x, y, &judgements[i]);
        if (!isnan(judgements[i].p))
            p[tested++] = judgements[i].p;
    }
    if (!result && tested)
        result = stats_holm(p, tested, adjusted);
    tested = 0;
    for (size_t i = 0; i < count && !result; i++) {
        if (!isnan(judgements[i].p))
            judgements[i].p_adjusted = adjusted[tested++];
        judge(rules, &judgements[i]);
    }
    free(x);
    free(y);
    free(p);
    free(adjusted);
    return result;
}

void gate_confirm(struct gate_judgement *both, const struct gate_judgement *second) {
    if (second->verdict == both->verdict || (both->verdict != VERDICT_SLOWER && both->verdict != VERDICT_FASTER))
        return;
    snprintf(both->why, sizeof both->why, "%s over all pairs (%.3f×), not seen again in the second set by itself (%.3f×)", verdict_name(both->verdict),
             both->ratio.value, second->ratio.value);
    both->verdict = VERDICT_AMBIGUOUS;
}
