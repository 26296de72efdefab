// SPDX-License-Identifier: MIT
// Statistics of timings: medians with intervals, and tests of whether two sets of samples differ.
//
// Every function returns 0 and fills its last argument, or -EINVAL when there are too few samples or an argument is out
// of range, -EDOM when a sample is NaN or infinite, -ENOMEM. Samples are never changed. Random numbers come from GSL's
// mt19937 with the caller's seed, so that the same samples give the same interval.
#ifndef LLMSWEEP_STATS_H
#define LLMSWEEP_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stats_interval {
    double estimate, lo, hi;
    double coverage; // what the interval covers by its construction; below the level asked for when there are too few
                     // samples
};

// The median and its interval between order statistics x(l) and x(n+1−l), l the largest with P(Binomial(n, ½) < l) ≤ (1
// − level)/2 (Conover 1999, "Practical Nonparametric Statistics", 3.2). Makes no assumption but independence. Fewer
// than 6 samples cannot reach 95%: the interval is then the whole range and coverage = 1 − 2^(1−n). n ≥ 1.
int stats_median_ci(const double *samples, size_t n, double level, struct stats_interval *interval);
// The same for samples that are in ascending order already.
int stats_median_ci_sorted(const double *sorted, size_t n, double level, struct stats_interval *interval);

// The p-th quantile, p in 0..1, by linear interpolation between order statistics: definition 7 of Hyndman and Fan 1996
// (the default of R and NumPy). n ≥ 1.
int stats_quantile(const double *samples, size_t n, double p, double *quantile);

struct stats_mean {
    double mean, sd, se; // sd with n − 1; se = sd/√n
};
int stats_mean(const double *samples, size_t n, struct stats_mean *mean); // n ≥ 2

// Percentile bootstrap (Efron and Tibshirani 1993, ch. 13) of the median. n ≥ 2, resamples ≥ 100.
int stats_bootstrap_median(const double *samples, size_t n, double level, size_t resamples, uint64_t seed,
                           struct stats_interval *interval);
// … of the quantile p (p99 of latencies), and of the median of the ratios after[i]/before[i], whose pairs are resampled
// together; all values > 0 for ratios.
int stats_bootstrap_quantile(const double *samples, size_t n, double p, double level, size_t resamples, uint64_t seed,
                             struct stats_interval *interval);
int stats_bootstrap_ratio(const double *before, const double *after, size_t n, double level, size_t resamples,
                          uint64_t seed, struct stats_interval *interval);
// … of the ratio median(after)/median(before) of two sets that are not paired: each is resampled by itself. Counts ≥ 2.
int stats_bootstrap_median_ratio(const double *before, size_t before_count, const double *after, size_t after_count, double level,
                                 size_t resamples, uint64_t seed, struct stats_interval *interval);

struct stats_test {
    double statistic;
    double p;    // two-sided
    size_t used; // samples (pairs) that entered
    bool exact;  // by the permutation distribution; else by the normal approximation
};
enum { STATS_EXACT_LIMIT = 50 }; // pairs, or samples of both sets together

// Wilcoxon's signed-rank test of the pairs a[i], b[i]: the statistic is the sum of the ranks of positive a[i] − b[i].
// Pairs without a difference are left out (Wilcoxon 1945). Up to STATS_EXACT_LIMIT pairs the p-value is exact, given
// the ranks, with ties or without; beyond, normal with tie and continuity correction. No pair left: p = 1.
int stats_wilcoxon(const double *a, const double *b, size_t n, struct stats_test *test);
// Mann and Whitney's U test: the statistic is U of a, the number of pairs (i, j) with a[i] > b[j], ties ½. Exact and
// normal as above.
int stats_mann_whitney(const double *a, size_t a_count, const double *b, size_t b_count, struct stats_test *test);

// Holm 1979: p-values adjusted for having n of them (step-down; the family-wise error is then at most the level).
int stats_holm(const double *p, size_t n, double *adjusted);

#endif
