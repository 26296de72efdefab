// SPDX-License-Identifier: MIT
#include "bench/history/change_points.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_statistics_double.h>

const struct change_options change_defaults = {.window = 50, .p = 0.001, .magnitude = 0, .least = 3};

// Before weak points are merged away, points of this much larger p are kept: a weak one beside may be what makes a strong one visible.
static const double CANDIDATE = 10;

// Two-sided, with pooled variance. Levels without any spread: 0 when they differ.
static double t_test(const double *a, size_t na, const double *b, size_t nb) {
    if (na < 2 || nb < 2)
        return 1;
    double ma = gsl_stats_mean(a, 1, na), mb = gsl_stats_mean(b, 1, nb), freedom = (double)(na + nb - 2);
    double pooled = (gsl_stats_tss_m(a, 1, na, ma) + gsl_stats_tss_m(b, 1, nb, mb)) / freedom;
    if (!(pooled > 0))
        return ma == mb ? 1 : 0;
    double t = (ma - mb) / sqrt(pooled * (1 / (double)na + 1 / (double)nb));
    return 2 * gsl_cdf_tdist_Q(fabs(t), freedom);
}

// Of the best of many divisions: by Bonferroni, since the place was chosen by the same measurements.
static double division_p(const double *x, size_t left, size_t right, size_t least) {
    size_t places = left + right + 1 > 2 * least ? left + right + 1 - 2 * least : 1;
    return fmin(1, t_test(x, left, x + left, right) * (double)places);
}

// The best division of x[0..n): the energy statistic Q(τ) is largest there. 0 when no division leaves `least` on both sides. Sums of distances are
// kept while τ walks, so that all divisions cost O(n²) together.
static size_t best_division(const double *x, size_t n, size_t least) {
    double within_left = 0, within_right = 0, between = 0, best = -1;
    size_t at = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++)
            within_right += fabs(x[i] - x[j]);
    for (size_t tau = 1; tau < n; tau++) {
        // x[tau − 1] moves from the right side to the left.
        double to_left = 0, to_right = 0;
        for (size_t i = 0; i + 1 < tau; i++)
            to_left += fabs(x[tau - 1] - x[i]);
        for (size_t j = tau; j < n; j++)
            to_right += fabs(x[tau - 1] - x[j]);
        within_left += to_left;
        within_right -= to_right;
        between += to_right - to_left;
        size_t right = n - tau;
        if (tau < least || right < least)
            continue;
        double left_n = (double)tau, right_n = (double)right;
        double left_pairs = left_n * (left_n - 1) / 2, right_pairs = right_n * (right_n - 1) / 2;
        double energy = 2 * between / (left_n * right_n) - (left_pairs > 0 ? within_left / left_pairs : 0) - (right_pairs > 0 ? within_right / right_pairs : 0);
        double q = left_n * right_n / (left_n + right_n) * energy;
        if (q > best) {
            best = q;
            at = tau;
        }
    }
    return at;
}

static int by_index(const void *a, const void *b) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

static void add_unique(size_t *found, size_t *count, size_t index) {
    for (size_t i = 0; i < *count; i++)
        if (found[i] == index)
            return;
    found[(*count)++] = index;
}

// Divides a window until no side divides any more.
static void divide(const double *x, size_t begin, size_t end, const struct change_options *options, size_t *found, size_t *count) {
    if (end - begin < 2 * options->least)
        return;
    size_t tau = best_division(x + begin, end - begin, options->least);
    if (!tau || division_p(x + begin, tau, end - begin - tau, options->least) >= options->p * CANDIDATE)
        return;
    divide(x, begin, begin + tau, options, found, count);
    add_unique(found, count, begin + tau);
    divide(x, begin + tau, end, options, found, count);
}

static double share(double before, double after) {
    return fabs(after - before) / fmax(fabs(before), 1e-300);
}

// Takes away the weakest point until all that are left are strong. Levels reach at most one window back and forth.
static void merge(const double *x, size_t n, const struct change_options *options, size_t *found, size_t *count, double *p) {
    for (;;) {
        size_t weakest = 0;
        double largest = -1;
        for (size_t i = 0; i < *count; i++) {
            size_t begin = i ? found[i - 1] : 0, end = i + 1 < *count ? found[i + 1] : n;
            if (found[i] - begin > options->window)
                begin = found[i] - options->window;
            if (end - found[i] > options->window)
                end = found[i] + options->window;
            const double *left = x + begin, *right = x + found[i];
            size_t left_n = found[i] - begin, right_n = end - found[i];
            bool small = share(gsl_stats_mean(left, 1, left_n), gsl_stats_mean(right, 1, right_n)) < options->magnitude;
            p[i] = small ? 2 : left_n < options->least || right_n < options->least ? 1.5 : division_p(left, left_n, right_n, options->least);
            if (p[i] > largest) {
                largest = p[i];
                weakest = i;
            }
        }
        if (!*count || largest < options->p)
            return;
        memmove(found + weakest, found + weakest + 1, (*count - weakest - 1) * sizeof *found);
        --*count;
    }
}

// Residual sum of squares of one line through all against two levels.
static bool is_drift(const double *left, size_t left_n, const double *right, size_t right_n) {
    size_t n = left_n + right_n;
    double sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (size_t i = 0; i < n; i++) {
        double y = i < left_n ? left[i] : right[i - left_n], t = (double)i;
        sx += t, sy += y, sxx += t * t, sxy += t * y;
    }
    double m = (double)n, slope = (m * sxy - sx * sy) / (m * sxx - sx * sx), offset = (sy - slope * sx) / m, line = 0;
    for (size_t i = 0; i < n; i++) {
        double y = i < left_n ? left[i] : right[i - left_n], rest = y - offset - slope * (double)i;
        line += rest * rest;
    }
    double levels = gsl_stats_tss(left, 1, left_n) + gsl_stats_tss(right, 1, right_n);
    // A line has as many parameters as two levels have, without the place of the step.
    return n >= 6 && line < levels;
}

int change_points_find(const double *values, size_t n, const struct change_options *options, struct change_point *points, size_t *count) {
    *count = 0;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return -EINVAL;
    size_t *found = calloc(n + 1, sizeof *found);
    double *p = calloc(n + 1, sizeof *p);
    int result = found && p ? 0 : -ENOMEM;
    // Windows overlap by half, so that a point near the edge of one is well inside another.
    size_t step = options->window / 2 ? options->window / 2 : 1;
    for (size_t begin = 0; !result && begin < n; begin += step) {
        size_t end = begin + options->window < n ? begin + options->window : n;
        divide(values, begin, end, options, found, count);
        if (end == n)
            break;
    }
    if (!result) {
        qsort(found, *count, sizeof *found, by_index);
        merge(values, n, options, found, count, p);
    }
    for (size_t i = 0; !result && i < *count; i++) {
        size_t begin = i ? found[i - 1] : 0, end = i + 1 < *count ? found[i + 1] : n;
        const double *left = values + begin, *right = values + found[i];
        size_t left_n = found[i] - begin, right_n = end - found[i];
        points[i] = (struct change_point){.index = found[i], .before = gsl_stats_mean(left, 1, left_n), .after = gsl_stats_mean(right, 1, right_n), .p = p[i],
                                          .drift = is_drift(left, left_n, right, right_n)};
    }
    free(found);
    free(p);
    return result;
}
