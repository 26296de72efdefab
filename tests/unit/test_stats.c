// SPDX-License-Identifier: MIT
// Expected values: where a line says SciPy, version 1.17.1 computed it; textbooks are named.
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>

#include "harness/stats.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void near(double actual, double expected, double relative, const char *what) {
    if (!(fabs(actual - expected) <= relative * fabs(expected)))
        fail_msg("%s: %.17g, expected %.17g", what, actual, expected);
}

// Ranks of the interval's ends and what they cover: SciPy's binom, and for 20 the classical 6th and 15th.
static void test_median_ci(void **state) {
    (void)state;
    const struct {
        size_t n, lo, hi;
        double coverage;
    } expected[] = {{1, 1, 1, 0},
                    {2, 1, 2, 0.5},
                    {5, 1, 5, 0.9375},
                    {6, 1, 6, 0.96875},
                    {8, 1, 8, 0.9921875},
                    {10, 2, 9, 0.978515625},
                    {15, 4, 12, 0.96484375},
                    {20, 6, 15, 0.9586105346679688},
                    {50, 18, 33, 0.9671608624357315},
                    {100, 40, 61, 0.9647997997822951},
                    {1000, 469, 532, 0.9537088026395019}};
    static double samples[1000];
    for (size_t e = 0; e < COUNT(expected); e++) {
        size_t n = expected[e].n;
        for (size_t i = 0; i < n; i++)
            samples[i] = (double)(i * 7919 % n) + 1; // 1..n, shuffled: 7919 is prime
        struct stats_interval ci;
        assert_int_equal(stats_median_ci(samples, n, 0.95, &ci), 0);
        near(ci.estimate, ((double)n + 1) / 2, 0, "median");
        near(ci.lo, (double)expected[e].lo, 0, "lower end");
        near(ci.hi, (double)expected[e].hi, 0, "upper end");
        near(ci.coverage, expected[e].coverage, 1e-10, "coverage");
        assert_true(samples[1 % n] == (double)(7919 % n) + 1); // untouched
    }
}

// The interval holds the true median as often as it says.
static void test_median_ci_covers(void **state) {
    (void)state;
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    int trials = 4000, inside = 0;
    struct stats_interval ci;
    for (int t = 0; t < trials; t++) {
        double samples[25];
        for (size_t i = 0; i < 25; i++)
            samples[i] = gsl_ran_exponential(rng, 1); // skewed, as timings are
        assert_int_equal(stats_median_ci(samples, 25, 0.95, &ci), 0);
        inside += ci.lo <= M_LN2 && M_LN2 <= ci.hi;
    }
    gsl_rng_free(rng);
    double share = (double)inside / trials, se = sqrt(ci.coverage * (1 - ci.coverage) / trials);
    assert_true(ci.coverage >= 0.95);
    assert_true(fabs(share - ci.coverage) < 4 * se);
}

// The example of Wikipedia's "Percentile" (15, 20, 35, 40, 50) by NumPy 2.4.6's default method.
static void test_quantile(void **state) {
    (void)state;
    const double samples[] = {50, 15, 40, 20, 35}, p[] = {0, .01, .4, .5, .9, .99, 1};
    const double expected[] = {15, 15.2, 29, 35, 46, 49.6, 50};
    for (size_t i = 0; i < COUNT(p); i++) {
        double quantile;
        assert_int_equal(stats_quantile(samples, 5, p[i], &quantile), 0);
        near(quantile, expected[i], 1e-14, "quantile");
    }
}

// NIST Statistical Reference Datasets, NumAcc1 and NumAcc4: mean and deviation certified.
static void test_mean(void **state) {
    (void)state;
    const double three[] = {10000001, 10000003, 10000002};
    struct stats_mean mean;
    assert_int_equal(stats_mean(three, 3, &mean), 0);
    near(mean.mean, 10000002, 0, "NumAcc1 mean");
    near(mean.sd, 1, 1e-14, "NumAcc1 deviation");
    near(mean.se, 1 / sqrt(3), 1e-14, "standard error");
    static double many[1001];
    for (size_t i = 0; i < 1001; i++)
        many[i] = i == 0 ? 10000000.2 : i % 2 ? 10000000.1 : 10000000.3;
    assert_int_equal(stats_mean(many, 1001, &mean), 0);
    near(mean.mean, 10000000.2, 1e-15, "NumAcc4 mean");
    near(mean.sd, 0.1, 1e-7, "NumAcc4 deviation");
}

// For an odd n the bootstrap distribution of the median is known: the chance that it is at most the k-th order
// statistic is P(Binomial(n, k/n) > n/2) (Efron 1979, "Bootstrap methods", section 3). The mice of Efron and Tibshirani
// 1993, table 2.1.
static double median_quantile(const double *sorted, size_t n, double p) {
    size_t k = 1;
    while (k < n && gsl_cdf_binomial_Q((unsigned)(n / 2), (double)k / (double)n, (unsigned)n) < p)
        k++;
    return sorted[k - 1];
}

static void test_bootstrap_median(void **state) {
    (void)state;
    const double treated[] = {94, 197, 16, 38, 99, 141, 23}, sorted[] = {16, 23, 38, 94, 99, 141, 197};
    for (double level = 0.8; level < 0.99; level += 0.05) {
        struct stats_interval ci, again;
        assert_int_equal(stats_bootstrap_median(treated, 7, level, 20000, 1, &ci), 0);
        near(ci.estimate, 94, 0, "median");
        near(ci.lo, median_quantile(sorted, 7, (1 - level) / 2), 0, "lower end");
        near(ci.hi, median_quantile(sorted, 7, (1 + level) / 2), 0, "upper end");
        assert_int_equal(stats_bootstrap_median(treated, 7, level, 20000, 1, &again), 0);
        assert_memory_equal(&ci, &again, sizeof ci);
    }
}

static void test_bootstrap_ratio(void **state) {
    (void)state;
    // The pairs vary a lot, their ratio hardly: only resampling them together sees it.
    double before[21], after[21], ratios[21];
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    for (size_t i = 0; i < 21; i++) {
        before[i] = 100 * exp(gsl_ran_gaussian(rng, 1));
        after[i] = before[i] * 1.05 * exp(gsl_ran_gaussian(rng, 0.01));
        ratios[i] = after[i] / before[i];
    }
    gsl_rng_free(rng);
    struct stats_interval paired, of_ratios;
    assert_int_equal(stats_bootstrap_ratio(before, after, 21, 0.95, 5000, 7, &paired), 0);
    assert_int_equal(stats_bootstrap_median(ratios, 21, 0.95, 5000, 7, &of_ratios), 0);
    assert_memory_equal(&paired, &of_ratios, sizeof paired);
    assert_true(paired.lo > 1.03 && paired.hi < 1.07 && paired.lo < paired.hi);
    before[3] = 0;
    assert_int_equal(stats_bootstrap_ratio(before, after, 21, 0.95, 5000, 7, &paired), -EINVAL);
}

static void test_bootstrap_median_ratio(void **state) {
    (void)state;
    // Two sets of 40 of which the second is 5% larger, with 1% of noise: the median's standard error is 1.2533·σ/√n of either.
    double before[40], after[40], fixed[2] = {2, 2};
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    size_t covered = 0;
    double width = 0;
    enum { TRIES = 200 };
    for (int t = 0; t < TRIES; t++) {
        struct stats_interval ci;
        for (size_t i = 0; i < 40; i++) {
            before[i] = 100 * exp(gsl_ran_gaussian(rng, 0.01));
            after[i] = 105 * exp(gsl_ran_gaussian(rng, 0.01));
        }
        assert_int_equal(stats_bootstrap_median_ratio(before, 40, after, 40, 0.95, 1000, (uint64_t)t, &ci), 0);
        covered += ci.lo <= 1.05 && 1.05 <= ci.hi;
        width += (ci.hi - ci.lo) / TRIES;
    }
    gsl_rng_free(rng);
    near(width, 2 * 1.96 * 1.2533 * 0.01 * sqrt(2.0 / 40) * 1.05, 0.12, "mean width");
    assert_true(covered >= 0.91 * TRIES && covered <= 0.99 * TRIES);
    // Against a set without spread only the other one's spread is left.
    struct stats_interval ratio, median;
    assert_int_equal(stats_bootstrap_median_ratio(fixed, 2, after, 40, 0.95, 5000, 7, &ratio), 0);
    assert_int_equal(stats_bootstrap_median(after, 40, 0.95, 5000, 8, &median), 0);
    near(ratio.estimate, median.estimate / 2, 1e-12, "estimate");
    near(ratio.lo, median.lo / 2, 1e-3, "lower end");
    near(ratio.hi, median.hi / 2, 1e-3, "upper end");
    before[3] = 0;
    assert_int_equal(stats_bootstrap_median_ratio(before, 40, after, 40, 0.95, 1000, 7, &ratio), -EINVAL);
    before[3] = NAN;
    assert_int_equal(stats_bootstrap_median_ratio(before, 40, after, 40, 0.95, 1000, 7, &ratio), -EDOM);
    assert_int_equal(stats_bootstrap_median_ratio(fixed, 1, after, 40, 0.95, 1000, 7, &ratio), -EINVAL);
}

static void test_bootstrap_quantile(void **state) {
    (void)state;
    double samples[200];
    for (size_t i = 0; i < 200; i++)
        samples[i] = (double)(i * 77 % 200);
    struct stats_interval ci;
    assert_int_equal(stats_bootstrap_quantile(samples, 200, 0.9, 0.95, 5000, 3, &ci), 0);
    near(ci.estimate, 179.1, 1e-12, "p90");
    // The order statistics of which a binomial interval of p90 is made: 180 ± 1.96·√(200·0.9·0.1).
    near(ci.lo, 179.5 - 8.3, 0.02, "lower end");
    near(ci.hi, 179.5 + 8.3, 0.02, "upper end");
}

// Hollander and Wolfe 1973, "Nonparametric Statistical Methods", p. 29: depression before and after (the example of R's
// wilcox.test: V = 40, p = 0.01953 one-sided).
static void test_wilcoxon_published(void **state) {
    (void)state;
    const double before[] = {1.83, .50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30};
    const double after[] = {.878, .647, .598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29};
    struct stats_test test;
    assert_int_equal(stats_wilcoxon(before, after, 9, &test), 0);
    near(test.statistic, 40, 0, "V");
    near(test.p, 2 * 0.01953125, 1e-14, "p");
    assert_true(test.exact && test.used == 9);
    assert_int_equal(stats_wilcoxon(after, before, 9, &test), 0);
    near(test.statistic, 5, 0, "V of the other side");
    near(test.p, 2 * 0.01953125, 1e-14, "p of the other side");
}

static void test_wilcoxon_ties(void **state) {
    (void)state;
    const double a[] = {5, 7, 8, 3, 4, 9, 6, 6, 10, 2}, b[] = {4, 5, 8, 5, 3, 6, 3, 8, 7, 4};
    struct stats_test test;
    assert_int_equal(stats_wilcoxon(a, b, 10, &test), 0); // SciPy, all permutations
    near(test.statistic, 31.5, 0, "V");
    near(test.p, 0.28125, 1e-14, "p");
    assert_true(test.exact && test.used == 9);
    assert_int_equal(stats_wilcoxon(a, a, 10, &test), 0);
    assert_true(test.p == 1 && test.used == 0);
}

static void test_large(void **state) {
    (void)state;
    double a[80], b[80], c[70];
    for (int i = 0; i < 80; i++) {
        a[i] = i * 37 % 101;
        b[i] = (i * 53 + 7) % 97;
        if (i < 70)
            c[i] = b[i] + 12;
    }
    struct stats_test test;
    assert_int_equal(stats_wilcoxon(a, b, 80, &test), 0); // SciPy, asymptotic with correction
    near(test.statistic, 1802.5, 0, "V");
    near(test.p, 0.3826886215002301, 1e-10, "p of Wilcoxon");
    assert_true(!test.exact);
    assert_int_equal(stats_mann_whitney(a, 80, c, 70, &test), 0); // SciPy, asymptotic with continuity
    near(test.statistic, 2341, 0, "U");
    near(test.p, 0.08411340588450508, 1e-10, "p of Mann-Whitney");
    assert_true(!test.exact);
}

// Hollander and Wolfe 1973, p. 69: permeability of the placenta (the example of R's wilcox.test: W = 35, p = 0.1272
// one-sided).
static void test_mann_whitney_published(void **state) {
    (void)state;
    const double at_term[] = {0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46};
    const double early[] = {1.15, 0.88, 0.90, 0.74, 1.21};
    struct stats_test test;
    assert_int_equal(stats_mann_whitney(at_term, 10, early, 5, &test), 0);
    near(test.statistic, 35, 0, "U");
    near(test.p, 0.2544122544122544, 1e-13, "p"); // SciPy, exact
    assert_true(test.exact);
    assert_int_equal(stats_mann_whitney(early, 5, at_term, 10, &test), 0);
    near(test.statistic, 15, 0, "U of the other side");
    near(test.p, 0.2544122544122544, 1e-13, "p of the other side");
}

static void test_mann_whitney_ties(void **state) {
    (void)state;
    const double a[] = {1, 2, 2, 3, 5, 5, 6}, b[] = {2, 4, 4, 5, 7, 8, 8, 9};
    struct stats_test test;
    assert_int_equal(stats_mann_whitney(a, 7, b, 8, &test), 0); // SciPy, all permutations
    near(test.statistic, 13, 0, "U");
    near(test.p, 0.08982128982128983, 1e-13, "p");
    const double same[] = {4, 4, 4, 4};
    assert_int_equal(stats_mann_whitney(same, 4, same, 4, &test), 0);
    near(test.p, 1, 0, "p of equal samples");
    static double constant[60];
    assert_int_equal(stats_mann_whitney(constant, 30, constant + 30, 30, &test), 0);
    near(test.p, 1, 0, "p of equal samples, normal");
}

// The largest exact size: fully separated samples have p = 2/C(50, 25).
static void test_exact_limit(void **state) {
    (void)state;
    double a[50], b[50], zero[50] = {0};
    for (int i = 0; i < 50; i++) {
        a[i] = i + 1;
        b[i] = i + 100;
    }
    struct stats_test test;
    assert_int_equal(stats_mann_whitney(a, 25, b, 25, &test), 0);
    assert_true(test.exact && test.statistic == 0);
    near(test.p, 2 / 126410606437752.0, 1e-12, "p of separated samples");
    assert_int_equal(stats_wilcoxon(a, zero, 50, &test), 0);
    assert_true(test.exact && test.statistic == 1275);
    near(test.p, ldexp(1, -49), 1e-12, "p of one-sided differences");
}

// Worked out by hand: sorted p times 6, 5, 4, …, never falling.
static void test_holm(void **state) {
    (void)state;
    const double p[] = {.03, .01, .05, .04, .02, .9}, expected[] = {.12, .06, .12, .12, .10, .9};
    double adjusted[6];
    assert_int_equal(stats_holm(p, 6, adjusted), 0);
    for (size_t i = 0; i < 6; i++)
        near(adjusted[i], expected[i], 1e-14, "adjusted p");
    const double large[] = {.6, .7};
    assert_int_equal(stats_holm(large, 2, adjusted), 0);
    assert_true(adjusted[0] == 1 && adjusted[1] == 1);
}

static void test_refuses(void **state) {
    (void)state;
    double bad[] = {1, 2, NAN, 4, 5, 6}, good[] = {1, 2, 3, 4, 5, 6}, x;
    struct stats_interval ci;
    struct stats_mean mean;
    struct stats_test test;
    for (int i = 0; i < 2; i++) {
        bad[2] = i ? INFINITY : NAN;
        assert_int_equal(stats_median_ci(bad, 6, 0.95, &ci), -EDOM);
        assert_int_equal(stats_quantile(bad, 6, 0.5, &x), -EDOM);
        assert_int_equal(stats_mean(bad, 6, &mean), -EDOM);
        assert_int_equal(stats_bootstrap_median(bad, 6, 0.95, 1000, 1, &ci), -EDOM);
        assert_int_equal(stats_bootstrap_ratio(good, bad, 6, 0.95, 1000, 1, &ci), -EDOM);
        assert_int_equal(stats_bootstrap_ratio(bad, good, 6, 0.95, 1000, 1, &ci), -EDOM);
        assert_int_equal(stats_wilcoxon(good, bad, 6, &test), -EDOM);
        assert_int_equal(stats_wilcoxon(bad, bad, 6, &test), -EDOM);
        assert_int_equal(stats_mann_whitney(bad, 6, good, 6, &test), -EDOM);
        assert_int_equal(stats_mann_whitney(good, 6, bad, 6, &test), -EDOM);
        assert_int_equal(stats_holm(bad, 6, good), -EDOM);
    }
    assert_int_equal(stats_median_ci(good, 0, 0.95, &ci), -EINVAL);
    assert_int_equal(stats_median_ci(good, 6, NAN, &ci), -EINVAL);
    assert_int_equal(stats_quantile(good, 6, 1.5, &x), -EINVAL);
    assert_int_equal(stats_mean(good, 1, &mean), -EINVAL);
    assert_int_equal(stats_mann_whitney(good, 0, good, 6, &test), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_median_ci),
        cmocka_unit_test(test_median_ci_covers),
        cmocka_unit_test(test_quantile),
        cmocka_unit_test(test_mean),
        cmocka_unit_test(test_bootstrap_median),
        cmocka_unit_test(test_bootstrap_ratio),
        cmocka_unit_test(test_bootstrap_median_ratio),
        cmocka_unit_test(test_bootstrap_quantile),
        cmocka_unit_test(test_wilcoxon_published),
        cmocka_unit_test(test_wilcoxon_ties),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_mann_whitney_published),
        cmocka_unit_test(test_mann_whitney_ties),
        cmocka_unit_test(test_exact_limit),
        cmocka_unit_test(test_holm),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
