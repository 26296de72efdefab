// SPDX-License-Identifier: MIT
#include "harness/sampler.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/clock.h"

static const double CLOCK_SHARE = 0.001, DRIFT_P = 0.1;

struct sampler_options sampler_defaults(void) {
    return (struct sampler_options){.ci = 0.01,
                                    .noisy = 0.05,
                                    .level = 0.95,
                                    .min_samples = 10,
                                    .max_samples = 200,
                                    .max_time = 2,
                                    .warmup_half = 4,
                                    .max_warmup = 64,
                                    .max_warmup_time = 1};
}

int sampler_check(const struct sampler_options *options, char *error, size_t error_size) {
    const char *wrong = NULL;
    if (!(options->ci > 0))
        wrong = "ci must be above 0";
    else if (!(options->noisy >= options->ci))
        wrong = "noisy must not be below ci";
    else if (!(options->level > 0 && options->level < 1))
        wrong = "the level must lie between 0 and 1";
    else if (options->min_samples < 1 || options->max_samples < options->min_samples)
        wrong = "needs 1 <= min_samples <= max_samples";
    else if (!(options->max_time > 0) || !(options->max_warmup_time >= 0))
        wrong = "the times must not be negative, and max_time above 0";
    else if (options->warmup_half < 1)
        wrong = "the warm-up must compare at least one sample with another";
    if (wrong)
        snprintf(error, error_size, "sampling: %s", wrong);
    return wrong ? -EINVAL : 0;
}

const char *sampler_stop_name(enum sampler_stop stop) {
    static const char *const names[] = {"", "ci", "samples", "time"};
    return names[stop];
}

int sampler_init(struct sampler *sampler, const struct sampler_options *options, char *error, size_t error_size) {
    memset(sampler, 0, sizeof *sampler);
    int code = sampler_check(options, error, error_size);
    if (code)
        return code;
    sampler->options = *options;
    sampler->state = SAMPLER_PAUSED;
    sampler->half_width = INFINITY;
    sampler->next_look = options->min_samples;
    sampler->recent = malloc(2 * options->warmup_half * sizeof *sampler->recent);
    if (!sampler->recent) {
        snprintf(error, error_size, "sampling: out of memory");
        return -ENOMEM;
    }
    return 0;
}

void sampler_free(struct sampler *sampler) {
    free(sampler->samples);
    free(sampler->sorted);
    free(sampler->recent);
    memset(sampler, 0, sizeof *sampler);
}

int sampler_visit(struct sampler *sampler, size_t limit) {
    if (sampler->state == SAMPLER_DONE)
        return -EALREADY;
    sampler->visits++;
    sampler->warm = sampler->options.max_warmup == 0;
    sampler->state = sampler->warm ? SAMPLER_SAMPLING : SAMPLER_WARMING;
    sampler->recent_count = sampler->visit_samples = 0;
    sampler->visit_limit = limit;
    sampler->visit_warmup_time = 0;
    return 0;
}

// Whether the newer `half` of the last warm-up samples differs from the `half` before it.
static int compare_halves(const struct sampler *sampler, size_t half, bool *differ) {
    size_t ring = 2 * sampler->options.warmup_half, first = sampler->recent_count - 2 * half;
    double *in_order = malloc(2 * half * sizeof *in_order);
    if (!in_order)
        return -ENOMEM;
    for (size_t i = 0; i < 2 * half; i++)
        in_order[i] = sampler->recent[(first + i) % ring];
    struct stats_interval older, newer;
    struct stats_test test;
    int code = stats_median_ci(in_order, half, 0.95, &older);
    if (!code)
        code = stats_median_ci(in_order + half, half, 0.95, &newer);
    if (!code)
        code = stats_mann_whitney(in_order, half, in_order + half, half, &test);
    if (!code)
        *differ = fabs(newer.estimate / older.estimate - 1) > sampler->options.ci && test.p <= DRIFT_P;
    free(in_order);
    return code;
}

static int add_warmup(struct sampler *sampler, double ns) {
    const struct sampler_options *options = &sampler->options;
    sampler->recent[sampler->recent_count++ % (2 * options->warmup_half)] = ns;
    sampler->warmup++;
    sampler->warmup_time += ns * 1e-9;
    sampler->visit_warmup_time += ns * 1e-9;
    bool as_before = sampler->count > 0 && sampler->recent_count > 1 && ns >= sampler->sorted[0] &&
                     ns <= sampler->sorted[sampler->count - 1];
    bool at_limit =
        sampler->recent_count >= options->max_warmup || sampler->visit_warmup_time >= options->max_warmup_time;
    bool window_full = sampler->recent_count >= 2 * options->warmup_half, differ = false;
    int code = 0;
    if (!as_before && (window_full || at_limit)) {
        size_t half = window_full ? options->warmup_half : sampler->recent_count / 2;
        if (half > 0)
            code = compare_halves(sampler, half, &differ);
    }
    sampler->warm = as_before || at_limit || (window_full && !differ);
    if (at_limit && differ)
        sampler->still_drifting = true;
    return code;
}

static int reserve(struct sampler *sampler) {
    if (sampler->count < sampler->capacity)
        return 0;
    size_t capacity = sampler->capacity ? 2 * sampler->capacity : 64;
    double *samples = realloc(sampler->samples, capacity * sizeof *samples);
    if (!samples)
        return -ENOMEM;
    sampler->samples = samples;
    double *sorted = realloc(sampler->sorted, capacity * sizeof *sorted);
    if (!sorted)
        return -ENOMEM;
    sampler->sorted = sorted;
    sampler->capacity = capacity;
    return 0;
}

static void insert_sorted(double *sorted, size_t count, double value) {
    size_t at = count;
    for (; at > 0 && sorted[at - 1] > value; at--)
        sorted[at] = sorted[at - 1];
    sorted[at] = value;
}

static void apply_stop_rule(struct sampler *sampler) {
    const struct sampler_options *options = &sampler->options;
    bool look = sampler->count >= sampler->next_look;
    if (look)
        sampler->next_look = sampler->count + (sampler->count + 3) / 4;
    if (look && sampler->half_width <= options->ci)
        sampler->stop = SAMPLER_STOP_CI;
    else if (sampler->count >= options->max_samples)
        sampler->stop = SAMPLER_STOP_MAX_SAMPLES;
    else if (sampler->sampled_time >= options->max_time)
        sampler->stop = SAMPLER_STOP_MAX_TIME;
    if (sampler->stop)
        sampler->state = SAMPLER_DONE;
    else if (sampler->visit_limit && sampler->visit_samples >= sampler->visit_limit)
        sampler->state = SAMPLER_PAUSED;
}

static int add_sample(struct sampler *sampler, double ns) {
    int code = reserve(sampler);
    if (code)
        return code;
    insert_sorted(sampler->sorted, sampler->count, ns);
    sampler->samples[sampler->count++] = ns;
    sampler->visit_samples++;
    sampler->sampled_time += ns * 1e-9;
    code = stats_median_ci_sorted(sampler->sorted, sampler->count, sampler->options.level, &sampler->median);
    if (code)
        return code;
    bool covers = sampler->median.coverage >= sampler->options.level;
    sampler->half_width =
        covers ? (sampler->median.hi - sampler->median.lo) / 2 / sampler->median.estimate : (double)INFINITY;
    sampler->is_noisy = !(sampler->half_width <= sampler->options.noisy);
    apply_stop_rule(sampler);
    return 0;
}

int sampler_add(struct sampler *sampler, double ns, enum sampler_state *state) {
    if (!(ns > 0) || !isfinite(ns))
        return -EDOM;
    if (sampler->state != SAMPLER_WARMING && sampler->state != SAMPLER_SAMPLING)
        return -EINVAL;
    bool counts = sampler->warm;
    sampler->state = counts ? SAMPLER_SAMPLING : SAMPLER_WARMING;
    int code = counts ? add_sample(sampler, ns) : add_warmup(sampler, ns);
    *state = sampler->state;
    return code;
}

uint64_t sampler_repetitions(double call_ns) {
    double repetitions = ceil(clock_shortest_sample_ns(CLOCK_SHARE) / fmax(call_ns, 1e-3));
    return repetitions > 1 ? (uint64_t)repetitions : 1;
}

// Doubles the repetitions until the clock's cost no longer shows.
static int calibrate(sampler_call *call, void *context, uint64_t *repetitions) {
    for (*repetitions = 1; *repetitions < UINT64_C(1) << 40;) {
        uint64_t begin = clock_now();
        int code = call(context, *repetitions);
        double ns = (double)(clock_now() - begin);
        if (code)
            return code;
        if (ns >= clock_shortest_sample_ns(CLOCK_SHARE))
            return 0;
        uint64_t needed = sampler_repetitions(ns / (double)*repetitions);
        *repetitions = needed > 2 * *repetitions ? needed : 2 * *repetitions;
    }
    return -ERANGE;
}

int sampler_run(struct sampler *sampler, size_t limit, sampler_call *call, void *context, uint64_t *repetitions,
                sampler_each *each) {
    int code = *repetitions ? 0 : calibrate(call, context, repetitions);
    if (!code)
        code = sampler_visit(sampler, limit);
    enum sampler_state state = SAMPLER_WARMING;
    while (!code && (state == SAMPLER_WARMING || state == SAMPLER_SAMPLING)) {
        uint64_t begin = clock_now();
        code = call(context, *repetitions);
        double ns = (double)(clock_now() - begin);
        if (!code)
            code = sampler_add(sampler, ns, &state);
        if (!code && each && state != SAMPLER_WARMING)
            each(context, ns, begin);
    }
    return code;
}
