// SPDX-License-Identifier: MIT
#include "bench/compare/compare.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gsl/gsl_cdf.h>

#include "harness/stats.h"

enum { RESAMPLES = 2000, FEW_SAMPLES = 6 }; // fewer than 6 give no 95% interval of a median

const struct compare_options compare_defaults = {.threshold = 0.05, .level = 0.01, .seed = 1};
const char *const compare_phase_names[COMPARE_PHASES] = {"prefill", "decode"};

const char *verdict_name(enum verdict verdict) {
    static const char *const names[VERDICTS] = {"same", "faster", "slower", "ambiguous", "broken"};
    return names[verdict];
}

// ---------------------------------------------------------------------------------------------------------------------
// Speed

static struct figure phase_figure(const struct report_cell *cell, enum compare_phase phase) {
    return phase == COMPARE_PREFILL ? cell->prefill : cell->decode;
}

static bool is_timed(const struct report_cell *cell) {
    return !strcmp(cell->status, "ok") || !strcmp(cell->status, "noisy");
}

// The p-values are adjusted, and the verdict given, when all cells are known.
static int compare_speed(const struct compared_cell *cell, enum compare_phase phase, const struct compare_samples *a_samples,
                         const struct compare_samples *b_samples, uint64_t seed, struct compared_speed *speed) {
    struct figure a = phase_figure(cell->a, phase), b = phase_figure(cell->b, phase);
    *speed = (struct compared_speed){.p = NAN, .p_adjusted = NAN};
    if (!is_timed(cell->a) || !is_timed(cell->b) || !(a.value > 0) || !(b.value > 0))
        return 0;
    speed->present = true;
    speed->a = a.value;
    speed->b = b.value;
    const double *before = compare_samples_find(a_samples, cell->a->id, compare_phase_names[phase], &speed->a_count);
    const double *after = compare_samples_find(b_samples, cell->b->id, compare_phase_names[phase], &speed->b_count);
    // Without samples: as wide as the two intervals allow.
    speed->ratio = (struct figure){b.value / a.value, b.lo / a.hi, b.hi / a.lo};
    if (speed->a_count < 2 || speed->b_count < 2)
        return 0;
    struct stats_interval interval;
    struct stats_test test;
    int result = stats_bootstrap_median_ratio(before, speed->a_count, after, speed->b_count, 0.95, RESAMPLES, seed, &interval);
    if (!result)
        result = stats_mann_whitney(before, speed->a_count, after, speed->b_count, &test);
    if (!result) {
        speed->ratio = (struct figure){interval.estimate, interval.lo, interval.hi};
        speed->p = test.p;
    }
    return result;
}

static int find_floor(struct comparison *comparison, enum compare_phase phase, const struct compare_samples *a, const struct compare_samples *b) {
    double *drifts = calloc(2 * comparison->cell_count + 1, sizeof *drifts), drift;
    size_t count = 0;
    int result = drifts ? 0 : -ENOMEM;
    for (size_t i = 0; i < comparison->cell_count && !result; i++)
        for (int side = 0; side < 2 && !result; side++) {
            const struct report_cell *cell = side ? comparison->cells[i].b : comparison->cells[i].a;
            result = compare_samples_drift(side ? b : a, cell->id, compare_phase_names[phase], &drift);
            if (!result && !isnan(drift))
                drifts[count++] = drift;
        }
    comparison->floor[phase] = NAN;
    // With many cells some move by more than 95% of them do: widened as a normal distribution would be, to hold for all together.
    double widen = gsl_cdf_ugaussian_Qinv(comparison->options.level / 2 / (double)(comparison->cell_count + 1)) / gsl_cdf_ugaussian_Qinv(0.025);
    if (!result && count && !(result = stats_quantile(drifts, count, 0.95, &drift)))
        comparison->floor[phase] = expm1(drift * fmax(widen, 1));
    free(drifts);
    return result;
}

static void judge_speed(const struct compare_options *options, double floor, struct compared_speed *speed) {
    double low = 1 / (1 + options->threshold), high = 1 + options->threshold;
    struct figure ratio = speed->ratio;
    bool few = speed->a_count < FEW_SAMPLES || speed->b_count < FEW_SAMPLES;
    bool beyond = ratio.value >= high || ratio.value <= low;
    bool excludes = ratio.lo > 1 || ratio.hi < 1;
    bool drowned = fabs(log(ratio.value)) < log1p(floor); // false where no floor is known
    speed->verdict = VERDICT_AMBIGUOUS;
    if (few)
        snprintf(speed->why, sizeof speed->why, "%zu and %zu samples: fewer than %d give no interval", speed->a_count, speed->b_count,
                 FEW_SAMPLES);
    else if (ratio.lo > low && ratio.hi < high)
        speed->verdict = VERDICT_SAME;
    else if (beyond && excludes && !drowned && speed->p_adjusted < options->level)
        speed->verdict = ratio.value > 1 ? VERDICT_FASTER : VERDICT_SLOWER;
    else if (!excludes)
        snprintf(speed->why, sizeof speed->why, "the interval holds both no change and one beyond the threshold");
    else if (!beyond)
        snprintf(speed->why, sizeof speed->why, "a change below the threshold, or one above it");
    else if (drowned)
        snprintf(speed->why, sizeof speed->why, "below %.2g%%, the noise between rounds", floor * 100);
    else
        snprintf(speed->why, sizeof speed->why, "p = %.2g after adjusting for all cells", speed->p_adjusted);
}

static int judge(struct comparison *comparison) {
    double *p = calloc(comparison->cell_count + 1, sizeof *p), *adjusted = calloc(comparison->cell_count + 1, sizeof *adjusted);
    int result = p && adjusted ? 0 : -ENOMEM;
    for (int phase = 0; phase < COMPARE_PHASES && !result; phase++) {
        size_t tested = 0, present = 0;
        double logs = 0;
        for (size_t i = 0; i < comparison->cell_count; i++)
            if (!isnan(comparison->cells[i].speed[phase].p))
                p[tested++] = comparison->cells[i].speed[phase].p;
        if (tested && (result = stats_holm(p, tested, adjusted)))
            break;
        tested = 0;
        for (size_t i = 0; i < comparison->cell_count; i++) {
            struct compared_speed *speed = &comparison->cells[i].speed[phase];
            if (!isnan(speed->p))
                speed->p_adjusted = adjusted[tested++];
            if (!speed->present)
                continue;
            judge_speed(&comparison->options, comparison->floor[phase], speed);
            comparison->verdicts[phase][speed->verdict]++;
            logs += log(speed->ratio.value);
            present++;
        }
        comparison->geometric_mean[phase] = present ? exp(logs / (double)present) : NAN;
    }
    free(p);
    free(adjusted);
    return result;
}

// ---------------------------------------------------------------------------------------------------------------------
// Quality

// ln(ppl of b / ppl of a). Where both are paired with the same unpruned model on the same tokens, the difference of the paired figures has
// the smaller error.
static void compare_quality(struct compared_cell *cell) {
    const struct report_cell *a = cell->a, *b = cell->b;
    cell->dlnppl = (struct figure){NAN, NAN, NAN};
    if (!(a->ppl > 0) || !(b->ppl > 0))
        return;
    double value = log(b->ppl / a->ppl), error;
    if (!isnan(a->dlnppl_se) && !isnan(b->dlnppl_se))
        error = hypot(a->dlnppl_se, b->dlnppl_se);
    else if (!isnan(a->ppl_se) && !isnan(b->ppl_se))
        error = hypot(a->ppl_se / a->ppl, b->ppl_se / b->ppl);
    else
        return;
    // The figures are printed with nine digits: equal to that is equal.
    if (fabs(value) < 1e-7)
        value = error = 0;
    cell->dlnppl = (struct figure){value, value - 1.96 * error, value + 1.96 * error};
    cell->worse = cell->dlnppl.lo > 0;
    cell->better = cell->dlnppl.hi < 0;
}

// ---------------------------------------------------------------------------------------------------------------------
// Joining

// Everything that a cell is, but not where it ran: the instruction set follows from the machine.
int compare_cell_identity(const struct report_cell *a, const struct report_cell *b) {
    const char *const x[] = {a->model, a->method, a->format, a->act, a->provider}, *const y[] = {b->model, b->method, b->format, b->act, b->provider};
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) {
        int order = strcmp(x[i], y[i]);
        if (order)
            return order;
    }
    for (int axis = 0; axis < AXIS_COUNT; axis++) {
        if (axis == AXIS_VARIANT)
            continue;
        int order = strcmp(a->axis[axis], b->axis[axis]);
        if (order)
            return order;
    }
    return 0;
}

static int by_identity(const void *a, const void *b) {
    const struct report_cell *x = *(const struct report_cell *const *)a, *y = *(const struct report_cell *const *)b;
    int order = compare_cell_identity(x, y);
    if (!order)
        order = strcmp(x->isa, y->isa);
    return order ? order : (x->row > y->row) - (x->row < y->row);
}

static const struct report_cell **sorted_cells(const struct report_run *run) {
    const struct report_cell **sorted = calloc(run->cell_count + 1, sizeof *sorted);
    for (size_t i = 0; sorted && i < run->cell_count; i++)
        sorted[i] = &run->cells[i];
    if (sorted)
        qsort(sorted, run->cell_count, sizeof *sorted, by_identity);
    return sorted;
}

int compare_check_twins(const struct report_run *run, char *error, size_t error_size) {
    const struct report_cell **sorted = sorted_cells(run), *last = NULL;
    int result = sorted ? 0 : -ENOMEM;
    if (result)
        snprintf(error, error_size, "not enough memory");
    for (size_t i = 0; i < run->cell_count && !result; i++) {
        if (!is_timed(sorted[i]))
            continue;
        if (last && !compare_cell_identity(last, sorted[i]) && !strcmp(last->isa, sorted[i]->isa)) {
            snprintf(error, error_size, "%s/cells.csv: the cells %s and %s differ in nothing that this program knows; if a newer llmsweep wrote the run, take that one",
                     run->directory, last->id, sorted[i]->id);
            result = -EINVAL;
        }
        last = sorted[i];
    }
    free(sorted);
    return result;
}

static void add_lone(struct comparison *comparison, const struct report_cell *cell, bool in_a, bool in_b, const char *why) {
    struct lone_cell *lone = &comparison->lone[comparison->lone_count++];
    *lone = (struct lone_cell){.cell = cell, .in_a = in_a, .in_b = in_b};
    snprintf(lone->why, sizeof lone->why, "%s", why);
}

// Several cells that differ in the instruction set only are joined by it; otherwise one of each joins the other, whatever it ran.
static void join_pair(struct comparison *comparison, const struct report_cell *a, const struct report_cell *b) {
    if (*a->weights_hash && *b->weights_hash && strcmp(a->weights_hash, b->weights_hash)) {
        add_lone(comparison, b, true, true, "the models have one name and different weights");
        return;
    }
    struct compared_cell *cell = &comparison->cells[comparison->cell_count++];
    *cell = (struct compared_cell){.a = a, .b = b, .broken = is_timed(a) && !is_timed(b)};
    comparison->broken += cell->broken;
}

static int join(struct comparison *comparison) {
    const struct report_run *a = comparison->a, *b = comparison->b;
    const struct report_cell **x = sorted_cells(a), **y = sorted_cells(b);
    size_t i = 0, j = 0;
    comparison->cells = calloc(b->cell_count + 1, sizeof *comparison->cells);
    comparison->lone = calloc(a->cell_count + b->cell_count + 1, sizeof *comparison->lone);
    int result = x && y && comparison->cells && comparison->lone ? 0 : -ENOMEM;
    while (!result && (i < a->cell_count || j < b->cell_count)) {
        int order = i == a->cell_count ? 1 : j == b->cell_count ? -1 : compare_cell_identity(x[i], y[j]);
        if (!order && strcmp(x[i]->isa, y[j]->isa)) {
            // The next of either side may be the one with the same instruction set.
            if (i + 1 < a->cell_count && !compare_cell_identity(x[i + 1], y[j]) && !strcmp(x[i + 1]->isa, y[j]->isa))
                order = -1;
            else if (j + 1 < b->cell_count && !compare_cell_identity(x[i], y[j + 1]) && !strcmp(x[i]->isa, y[j + 1]->isa))
                order = 1;
        }
        if (order < 0)
            add_lone(comparison, x[i++], true, false, "only in the first run");
        else if (order > 0)
            add_lone(comparison, y[j++], false, true, "only in the second run");
        else
            join_pair(comparison, x[i++], y[j++]);
    }
    free(x);
    free(y);
    return result;
}

static int by_row(const void *a, const void *b) {
    const struct compared_cell *x = a, *y = b;
    return (x->b->row > y->b->row) - (x->b->row < y->b->row);
}

// Says why no quality can be compared, "" when it can.
static void judge_texts(struct comparison *comparison) {
    size_t differ = 0, with = 0;
    for (size_t i = 0; i < comparison->cell_count; i++) {
        const struct report_cell *a = comparison->cells[i].a, *b = comparison->cells[i].b;
        if (!(a->ppl > 0) || !(b->ppl > 0))
            continue;
        with++;
        differ += *a->text_hash && *b->text_hash && strcmp(a->text_hash, b->text_hash);
    }
    if (!with)
        snprintf(comparison->quality_note, sizeof comparison->quality_note, "no cell has a perplexity in both runs");
    else if (differ)
        snprintf(comparison->quality_note, sizeof comparison->quality_note,
                 "quality was measured on different texts in %zu of %zu cells, so it is not compared there", differ, with);
}

static bool some_timed(const struct report_run *run) {
    for (size_t i = 0; i < run->cell_count; i++)
        if (run->cells[i].timed)
            return true;
    return false;
}

int compare_runs(const struct report_run *a, const struct report_run *b, const struct compare_options *options,
                 struct comparison *comparison, char *error, size_t error_size) {
    struct compare_samples *a_samples = NULL, *b_samples = NULL;
    const struct report_run *const both[] = {a, b};
    *comparison = (struct comparison){.a = a, .b = b, .options = *options};
    for (int i = 0; i < 2; i++)
        if (!some_timed(both[i])) {
            snprintf(error, error_size, "%s: none of its %zu cells has a speed%s%.200s", both[i]->directory, both[i]->cell_count,
                     both[i]->cell_count ? "; the first one says: " : "", both[i]->cell_count ? both[i]->cells[0].reason : "");
            return -EINVAL;
        }
    int result = join(comparison);
    if (!result)
        result = compare_samples_open(a, &a_samples);
    if (!result)
        result = compare_samples_open(b, &b_samples);
    if (!result && !comparison->cell_count) {
        snprintf(error, error_size, "%s and %s have no cell in common (%s)", a->directory, b->directory,
                 comparison->lone_count && comparison->lone[0].in_a && comparison->lone[0].in_b ? comparison->lone[0].why
                                                                                               : "no model, format, batch and layout is in both");
        result = -EINVAL;
        goto out;
    }
    if (!result)
        qsort(comparison->cells, comparison->cell_count, sizeof *comparison->cells, by_row);
    judge_texts(comparison);
    for (size_t i = 0; i < comparison->cell_count && !result; i++) {
        struct compared_cell *cell = &comparison->cells[i];
        for (int phase = 0; phase < COMPARE_PHASES && !result; phase++)
            result = compare_speed(cell, (enum compare_phase)phase, a_samples, b_samples, options->seed + i, &cell->speed[phase]);
        cell->dlnppl = (struct figure){NAN, NAN, NAN};
        if (!*cell->a->text_hash || !*cell->b->text_hash || !strcmp(cell->a->text_hash, cell->b->text_hash))
            compare_quality(cell);
        comparison->worse += cell->worse;
        comparison->better += cell->better;
    }
    for (int phase = 0; phase < COMPARE_PHASES && !result; phase++)
        result = find_floor(comparison, (enum compare_phase)phase, a_samples, b_samples);
    if (!result)
        result = judge(comparison);
    if (!result)
        result = compare_environments(comparison);
    if (result)
        snprintf(error, error_size, "%s, %s: %s", a->directory, b->directory, result == -ENOMEM ? "not enough memory" : "a sample is no number");
out:
    compare_samples_free(a_samples);
    compare_samples_free(b_samples);
    return result;
}

void compare_free(struct comparison *comparison) {
    for (size_t i = 0; i < comparison->difference_count; i++) {
        free(comparison->differences[i].what);
        free(comparison->differences[i].a);
        free(comparison->differences[i].b);
    }
    free(comparison->differences);
    free(comparison->cells);
    free(comparison->lone);
    *comparison = (struct comparison){0};
}
