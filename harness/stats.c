// SPDX-License-Identifier: MIT
#include "harness/stats.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_rng.h>
#include <gsl/gsl_sort_double.h>
#include <gsl/gsl_statistics_double.h>

static int check_finite(const double *samples, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(samples[i]))
            return -EDOM;
    return 0;
}

static bool is_level(double level) {
    return level > 0 && level < 1;
}

// A sorted copy, which the caller frees.
static int sort_copy(const double *samples, size_t n, double **sorted) {
    int error = check_finite(samples, n);
    if (error)
        return error;
    *sorted = malloc(n * sizeof **sorted);
    if (!*sorted)
        return -ENOMEM;
    memcpy(*sorted, samples, n * sizeof **sorted);
    gsl_sort(*sorted, 1, n);
    return 0;
}

static double middle(const double *sorted, size_t n) {
    return (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}

// The largest l with P(Binomial(n, 1/2) < l) <= tail, at least 1; coverage is that of x(l)..x(n+1-l).
static size_t binomial_rank(size_t n, double tail, double *coverage) {
    double log_n_factorial = lgamma((double)n + 1), below = 0;
    size_t rank = 0;
    for (;;) {
        double k = (double)rank;
        double mass = exp(log_n_factorial - lgamma(k + 1) - lgamma((double)n - k + 1) - (double)n * M_LN2);
        if (rank > 0 && below + mass > tail)
            break;
        below += mass;
        rank++;
    }
    *coverage = fmax(0, 1 - 2 * below);
    return rank;
}

int stats_median_ci_sorted(const double *sorted, size_t n, double level, struct stats_interval *interval) {
    if (n < 1 || !is_level(level))
        return -EINVAL;
    double coverage;
    size_t rank = binomial_rank(n, (1 - level) / 2, &coverage);
    *interval = (struct stats_interval){middle(sorted, n), sorted[rank - 1], sorted[n - rank], coverage};
    return isfinite(sorted[0]) && isfinite(sorted[n - 1]) ? 0 : -EDOM;
}

int stats_median_ci(const double *samples, size_t n, double level, struct stats_interval *interval) {
    if (n < 1 || !is_level(level))
        return -EINVAL;
    double *sorted;
    int error = sort_copy(samples, n, &sorted);
    if (error)
        return error;
    error = stats_median_ci_sorted(sorted, n, level, interval);
    free(sorted);
    return error;
}

int stats_quantile(const double *samples, size_t n, double p, double *quantile) {
    if (n < 1 || !(p >= 0 && p <= 1))
        return -EINVAL;
    double *sorted;
    int error = sort_copy(samples, n, &sorted);
    if (error)
        return error;
    *quantile = gsl_stats_quantile_from_sorted_data(sorted, 1, n, p);
    free(sorted);
    return 0;
}

int stats_mean(const double *samples, size_t n, struct stats_mean *mean) {
    if (n < 2)
        return -EINVAL;
    int error = check_finite(samples, n);
    if (error)
        return error;
    mean->mean = gsl_stats_mean(samples, 1, n);
    mean->sd = gsl_stats_sd_m(samples, 1, n, mean->mean);
    mean->se = mean->sd / sqrt((double)n);
    return 0;
}

// ---------------------------------------------------------------------------------------------------------------------
// Bootstrap

int stats_bootstrap_quantile(const double *samples, size_t n, double p, double level, size_t resamples, uint64_t seed,
                             struct stats_interval *interval) {
    if (n < 2 || resamples < 100 || !is_level(level) || !(p >= 0 && p <= 1))
        return -EINVAL;
    int error = check_finite(samples, n);
    if (error)
        return error;
    double *drawn = malloc(n * sizeof *drawn), *estimates = malloc(resamples * sizeof *estimates);
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    if (!drawn || !estimates || !rng) {
        error = -ENOMEM;
        goto out;
    }
    gsl_rng_set(rng, seed);
    for (size_t r = 0; r < resamples; r++) {
        for (size_t i = 0; i < n; i++)
            drawn[i] = samples[gsl_rng_uniform_int(rng, n)];
        gsl_sort(drawn, 1, n);
        estimates[r] = gsl_stats_quantile_from_sorted_data(drawn, 1, n, p);
    }
    gsl_sort(estimates, 1, resamples);
    error = stats_quantile(samples, n, p, &interval->estimate);
    interval->lo = gsl_stats_quantile_from_sorted_data(estimates, 1, resamples, (1 - level) / 2);
    interval->hi = gsl_stats_quantile_from_sorted_data(estimates, 1, resamples, (1 + level) / 2);
    interval->coverage = level;
out:
    free(drawn);
    free(estimates);
    gsl_rng_free(rng);
    return error;
}

int stats_bootstrap_median(const double *samples, size_t n, double level, size_t resamples, uint64_t seed,
                           struct stats_interval *interval) {
    return stats_bootstrap_quantile(samples, n, 0.5, level, resamples, seed, interval);
}

int stats_bootstrap_ratio(const double *before, const double *after, size_t n, double level, size_t resamples,
                          uint64_t seed, struct stats_interval *interval) {
    if (n < 2)
        return -EINVAL;
    double *ratios = malloc(n * sizeof *ratios);
    if (!ratios)
        return -ENOMEM;
    int error = check_finite(before, n);
    if (!error)
        error = check_finite(after, n);
    for (size_t i = 0; i < n && !error; i++) {
        error = before[i] > 0 && after[i] > 0 ? 0 : -EINVAL;
        ratios[i] = after[i] / before[i];
    }
    if (!error)
        error = stats_bootstrap_median(ratios, n, level, resamples, seed, interval);
    free(ratios);
    return error;
}

static double resampled_median(const double *samples, size_t n, double *drawn, gsl_rng *rng) {
    for (size_t i = 0; i < n; i++)
        drawn[i] = samples[gsl_rng_uniform_int(rng, n)];
    gsl_sort(drawn, 1, n);
    return middle(drawn, n);
}

int stats_bootstrap_median_ratio(const double *before, size_t before_count, const double *after, size_t after_count, double level,
                                 size_t resamples, uint64_t seed, struct stats_interval *interval) {
    if (before_count < 2 || after_count < 2 || resamples < 100 || !is_level(level))
        return -EINVAL;
    for (size_t i = 0; i < before_count; i++)
        if (!(before[i] > 0) || !isfinite(before[i]))
            return isfinite(before[i]) ? -EINVAL : -EDOM;
    for (size_t i = 0; i < after_count; i++)
        if (!(after[i] > 0) || !isfinite(after[i]))
            return isfinite(after[i]) ? -EINVAL : -EDOM;
    double *drawn = malloc((before_count + after_count) * sizeof *drawn), *ratios = malloc(resamples * sizeof *ratios), a, b;
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    int error = drawn && ratios && rng ? 0 : -ENOMEM;
    if (!error)
        error = stats_quantile(before, before_count, 0.5, &a);
    if (!error)
        error = stats_quantile(after, after_count, 0.5, &b);
    if (error)
        goto out;
    gsl_rng_set(rng, seed);
    for (size_t r = 0; r < resamples; r++) {
        double resampled = resampled_median(before, before_count, drawn, rng);
        ratios[r] = resampled_median(after, after_count, drawn, rng) / resampled;
    }
    gsl_sort(ratios, 1, resamples);
    interval->estimate = b / a;
    interval->lo = gsl_stats_quantile_from_sorted_data(ratios, 1, resamples, (1 - level) / 2);
    interval->hi = gsl_stats_quantile_from_sorted_data(ratios, 1, resamples, (1 + level) / 2);
    interval->coverage = level;
out:
    free(drawn);
    free(ratios);
    gsl_rng_free(rng);
    return error;
}

// ---------------------------------------------------------------------------------------------------------------------
// Rank tests

// Twice the rank of each value (ties share the middle one, so that twice the rank is whole). *ties gets the sum of t^3
// - t over groups of t equal values.
static int double_ranks(const double *values, size_t n, size_t *ranks, double *ties) {
    size_t *order = malloc(n * sizeof *order);
    if (!order)
        return -ENOMEM;
    gsl_sort_index(order, values, 1, n);
    *ties = 0;
    for (size_t begin = 0, end; begin < n; begin = end) {
        for (end = begin; end < n && values[order[end]] == values[order[begin]]; end++)
            ;
        double group = (double)(end - begin);
        *ties += group * group * group - group;
        for (size_t i = begin; i < end; i++)
            ranks[order[i]] = begin + 1 + end;
    }
    free(order);
    return 0;
}

// Two-sided p of a statistic whose distribution is counted in ways[0..largest] (ways that sum to `all`).
static double exact_p(const double *ways, size_t largest, double all, size_t observed) {
    double lower = 0, upper = 0;
    for (size_t s = 0; s <= largest; s++) {
        if (s <= observed)
            lower += ways[s];
        if (s >= observed)
            upper += ways[s];
    }
    return fmin(1, 2 * fmin(lower, upper) / all);
}

static double normal_p(double statistic, double mean, double variance) {
    if (!(variance > 0))
        return 1;
    double distance = fmax(0, fabs(statistic - mean) - 0.5); // continuity correction
    return fmin(1, 2 * gsl_cdf_ugaussian_Q(distance / sqrt(variance)));
}

// Every subset of the ranks is equally likely to be that of the positive differences. Counts stay below 2^50: exact in
// doubles.
static int signed_rank_exact(const size_t *ranks, size_t n, size_t observed, double *p) {
    size_t largest = n * (n + 1);
    double *ways = calloc(largest + 1, sizeof *ways);
    if (!ways)
        return -ENOMEM;
    ways[0] = 1;
    for (size_t i = 0; i < n; i++)
        for (size_t s = largest; s >= ranks[i]; s--)
            ways[s] += ways[s - ranks[i]];
    *p = exact_p(ways, largest, ldexp(1, (int)n), observed);
    free(ways);
    return 0;
}

int stats_wilcoxon(const double *a, const double *b, size_t n, struct stats_test *test) {
    if (n < 1)
        return -EINVAL;
    if (check_finite(a, n) || check_finite(b, n))
        return -EDOM;
    double *differences = malloc(n * sizeof *differences), *sizes = malloc(n * sizeof *sizes), ties;
    size_t *ranks = malloc(n * sizeof *ranks), used = 0, positive = 0;
    int error = -ENOMEM;
    if (!differences || !sizes || !ranks)
        goto out;
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i]) {
            differences[used] = a[i] - b[i];
            sizes[used] = fabs(differences[used]);
            used++;
        }
    *test = (struct stats_test){.p = 1, .used = used, .exact = used <= STATS_EXACT_LIMIT};
    error = used ? double_ranks(sizes, used, ranks, &ties) : 0;
    if (error || !used)
        goto out;
    for (size_t i = 0; i < used; i++)
        positive += differences[i] > 0 ? ranks[i] : 0;
    test->statistic = (double)positive / 2;
    double m = (double)used;
    if (test->exact)
        error = signed_rank_exact(ranks, used, positive, &test->p);
    else
        test->p = normal_p(test->statistic, m * (m + 1) / 4, m * (m + 1) * (2 * m + 1) / 24 - ties / 48);
out:
    free(differences);
    free(sizes);
    free(ranks);
    return error;
}

// Every choice of a_count of the n ranks is equally likely to be that of a. C(50, 25) < 2^47: exact in doubles.
static int rank_sum_exact(const size_t *ranks, size_t n, size_t a_count, size_t observed, double *p) {
    size_t largest = n * (n + 1), width = largest + 1;
    double *ways = calloc((a_count + 1) * width, sizeof *ways), all = 0; // (chosen, sum)
    if (!ways)
        return -ENOMEM;
    ways[0] = 1;
    for (size_t i = 0; i < n; i++)
        for (size_t chosen = a_count < i + 1 ? a_count : i + 1; chosen > 0; chosen--)
            for (size_t s = largest; s >= ranks[i]; s--)
                ways[chosen * width + s] += ways[(chosen - 1) * width + s - ranks[i]];
    for (size_t s = 0; s <= largest; s++)
        all += ways[a_count * width + s];
    *p = exact_p(ways + a_count * width, largest, all, observed);
    free(ways);
    return 0;
}

int stats_mann_whitney(const double *a, size_t a_count, const double *b, size_t b_count, struct stats_test *test) {
    if (a_count < 1 || b_count < 1)
        return -EINVAL;
    if (check_finite(a, a_count) || check_finite(b, b_count))
        return -EDOM;
    size_t n = a_count + b_count, sum = 0;
    double *both = malloc(n * sizeof *both), ties;
    size_t *ranks = malloc(n * sizeof *ranks);
    int error = -ENOMEM;
    if (!both || !ranks)
        goto out;
    memcpy(both, a, a_count * sizeof *both);
    memcpy(both + a_count, b, b_count * sizeof *both);
    error = double_ranks(both, n, ranks, &ties);
    if (error)
        goto out;
    for (size_t i = 0; i < a_count; i++)
        sum += ranks[i];
    double na = (double)a_count, nb = (double)b_count, all = na + nb;
    *test = (struct stats_test){
        .statistic = (double)sum / 2 - na * (na + 1) / 2, .used = n, .exact = n <= STATS_EXACT_LIMIT};
    if (test->exact)
        error = rank_sum_exact(ranks, n, a_count, sum, &test->p);
    else
        test->p = normal_p(test->statistic, na * nb / 2, na * nb / 12 * (all + 1 - ties / (all * (all - 1))));
out:
    free(both);
    free(ranks);
    return error;
}

int stats_holm(const double *p, size_t n, double *adjusted) {
    if (n < 1)
        return -EINVAL;
    for (size_t i = 0; i < n; i++)
        if (!(p[i] >= 0 && p[i] <= 1))
            return -EDOM;
    size_t *order = malloc(n * sizeof *order);
    if (!order)
        return -ENOMEM;
    gsl_sort_index(order, p, 1, n);
    double largest = 0;
    for (size_t i = 0; i < n; i++) {
        largest = fmax(largest, fmin(1, (double)(n - i) * p[order[i]]));
        adjusted[order[i]] = largest;
    }
    free(order);
    return 0;
}
