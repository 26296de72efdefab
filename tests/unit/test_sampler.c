// SPDX-License-Identifier: MIT
// The stop rule on series whose law is known.
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>

#include "harness/clock.h"
#include "harness/sampler.h"

static char error[256];
static gsl_rng *rng;

static int seed_generator(void **state) {
    (void)state;
    rng = gsl_rng_alloc(gsl_rng_mt19937);
    return rng ? 0 : -1;
}

static int free_generator(void **state) {
    (void)state;
    gsl_rng_free(rng);
    return 0;
}

typedef double series(size_t index);

static double constant(size_t index) {
    (void)index;
    return 1e6;
}
static double stationary(size_t index) {
    (void)index;
    return 1e6 * (1 + gsl_ran_gaussian(rng, 0.02));
}
static double wild(size_t index) {
    (void)index;
    return 1e6 * exp(gsl_ran_gaussian(rng, 1));
}
// Two clock rates, half of the time each: the median falls in the gap between them.
static double bimodal(size_t index) {
    (void)index;
    return 1e6 * (gsl_rng_uniform(rng) < 0.5 ? 1 : 1.5) * (1 + gsl_ran_gaussian(rng, 0.001));
}
// Half as fast at first, and settled within 1% at the 40th sample.
static double settling(size_t index) {
    return 1e6 * (1 + exp(-(double)index / 9)) * (1 + gsl_ran_gaussian(rng, 0.002));
}
static double slightly_slower(size_t index) {
    return 1e6 * pow(1.0005, (double)index);
}
static double forever_slower(size_t index) {
    return 1e6 * pow(1.02, (double)index);
}

// Feeds a visit; returns the state that ended it.
static enum sampler_state feed(struct sampler *sampler, size_t limit, series *next, size_t *index) {
    assert_int_equal(sampler_visit(sampler, limit), 0);
    enum sampler_state state = SAMPLER_WARMING;
    while (state == SAMPLER_WARMING || state == SAMPLER_SAMPLING) {
        size_t counted = sampler->count, warmup = sampler->warmup;
        assert_int_equal(sampler_add(sampler, next((*index)++), &state), 0);
        assert_int_equal(sampler->count, counted + (state != SAMPLER_WARMING));
        assert_int_equal(sampler->warmup, warmup + (state == SAMPLER_WARMING));
        assert_true(*index < 100000);
    }
    return state;
}

static void start(struct sampler *sampler, const struct sampler_options *options) {
    assert_int_equal(sampler_init(sampler, options, error, sizeof error), 0);
}

static void test_constant(void **state) {
    (void)state;
    struct sampler sampler;
    struct sampler_options options = sampler_defaults();
    start(&sampler, &options);
    size_t index = 0;
    assert_int_equal(feed(&sampler, 0, constant, &index), SAMPLER_DONE);
    assert_int_equal(sampler.stop, SAMPLER_STOP_CI);
    assert_int_equal(sampler.warmup, 2 * options.warmup_half);
    assert_int_equal(sampler.count, options.min_samples);
    assert_true(sampler.half_width == 0 && !sampler.is_noisy && !sampler.still_drifting);
    assert_true(fabs(sampler.sampled_time - 0.010) < 1e-9 && fabs(sampler.warmup_time - 0.008) < 1e-9);
    enum sampler_state after;
    assert_int_equal(sampler_add(&sampler, 1e6, &after), -EINVAL);
    assert_int_equal(sampler_visit(&sampler, 0), -EALREADY);
    sampler_free(&sampler);
}

// 2% noise needs about (1.96·1.2533·2%/1%)² = 24 samples; looking after each sample stops a little early, or late.
static void test_stationary(void **state) {
    (void)state;
    struct sampler_options options = sampler_defaults();
    int inside = 0, few_warmups = 0;
    enum { TRIALS = 300 };
    double samples = 0;
    for (int trial = 0; trial < TRIALS; trial++) {
        struct sampler sampler;
        start(&sampler, &options);
        size_t index = 0;
        assert_int_equal(feed(&sampler, 0, stationary, &index), SAMPLER_DONE);
        assert_int_equal(sampler.stop, SAMPLER_STOP_CI);
        assert_true(sampler.half_width <= 0.01 && !sampler.is_noisy);
        samples += (double)sampler.count / TRIALS;
        inside += sampler.median.lo <= 1e6 && 1e6 <= sampler.median.hi;
        few_warmups += sampler.warmup <= 12;
        sampler_free(&sampler);
    }
    assert_true(samples > 12 && samples < 40);
    assert_true(inside > 0.88 * TRIALS);
    assert_true(few_warmups > 0.8 * TRIALS);
}

static void test_settling(void **state) {
    (void)state;
    struct sampler_options options = sampler_defaults();
    for (int trial = 0; trial < 50; trial++) {
        struct sampler sampler;
        start(&sampler, &options);
        size_t index = 0;
        assert_int_equal(feed(&sampler, 0, settling, &index), SAMPLER_DONE);
        assert_true(sampler.warmup >= 28 && sampler.warmup <= 60);
        assert_false(sampler.still_drifting);
        assert_true(sampler.median.estimate < 1.02e6);
        sampler_free(&sampler);
    }
}

// A drift far below ci over the window is no reason to wait.
static void test_slow_drift(void **state) {
    (void)state;
    struct sampler sampler;
    struct sampler_options options = sampler_defaults();
    start(&sampler, &options);
    size_t index = 0;
    feed(&sampler, 0, slightly_slower, &index);
    assert_int_equal(sampler.warmup, 2 * options.warmup_half);
    sampler_free(&sampler);
}

static void test_never_settles(void **state) {
    (void)state;
    struct sampler sampler;
    struct sampler_options options = sampler_defaults();
    start(&sampler, &options);
    size_t index = 0;
    assert_int_equal(feed(&sampler, 0, forever_slower, &index), SAMPLER_DONE);
    assert_int_equal(sampler.warmup, options.max_warmup);
    assert_true(sampler.still_drifting && sampler.is_noisy);
    sampler_free(&sampler);
    options.max_warmup_time = 0.02; // 17 samples of 1 ms that grow by 2%
    start(&sampler, &options);
    index = 0;
    feed(&sampler, 0, forever_slower, &index);
    assert_int_equal(sampler.warmup, 17);
    assert_true(sampler.still_drifting);
    sampler_free(&sampler);
}

static void test_bimodal(void **state) {
    (void)state;
    struct sampler_options options = sampler_defaults();
    enum { TRIALS = 200 };
    int noisy = 0;
    for (int trial = 0; trial < TRIALS; trial++) {
        struct sampler sampler;
        start(&sampler, &options);
        size_t index = 0;
        assert_int_equal(feed(&sampler, 0, bimodal, &index), SAMPLER_DONE);
        if (sampler.stop == SAMPLER_STOP_MAX_SAMPLES) {
            assert_int_equal(sampler.count, options.max_samples);
            noisy += sampler.is_noisy && sampler.half_width > 0.1;
        }
        sampler_free(&sampler);
    }
    // In about a fifth of the trials one of the 14 looks falls where one mode happens to lead.
    assert_true(noisy > 0.75 * TRIALS);
}

static void test_limits(void **state) {
    (void)state;
    struct sampler sampler;
    struct sampler_options options = sampler_defaults();
    options.max_time = 0.1;
    start(&sampler, &options);
    size_t index = 0;
    assert_int_equal(feed(&sampler, 0, wild, &index), SAMPLER_DONE);
    assert_int_equal(sampler.stop, SAMPLER_STOP_MAX_TIME);
    assert_true(sampler.sampled_time >= 0.1 && sampler.count < options.max_samples && sampler.is_noisy);
    sampler_free(&sampler);
    // Four samples cannot make a 95% interval, however alike they are.
    options = (struct sampler_options){.ci = 0.01,
                                       .noisy = 0.05,
                                       .level = 0.95,
                                       .min_samples = 1,
                                       .max_samples = 4,
                                       .max_time = 9,
                                       .warmup_half = 1,
                                       .max_warmup = 0,
                                       .max_warmup_time = 0};
    start(&sampler, &options);
    index = 0;
    assert_int_equal(feed(&sampler, 0, constant, &index), SAMPLER_DONE);
    assert_int_equal(sampler.stop, SAMPLER_STOP_MAX_SAMPLES);
    assert_int_equal(sampler.warmup, 0);
    assert_true(isinf(sampler.half_width) && sampler.is_noisy);
    sampler_free(&sampler);
}

static void test_visits(void **state) {
    (void)state;
    struct sampler sampler;
    struct sampler_options options = sampler_defaults();
    options.min_samples = 25;
    start(&sampler, &options);
    size_t index = 0;
    assert_int_equal(feed(&sampler, 10, stationary, &index), SAMPLER_PAUSED);
    assert_int_equal(sampler.count, 10);
    size_t warmup = sampler.warmup;
    enum sampler_state next;
    assert_int_equal(sampler_add(&sampler, 1e6, &next), -EINVAL);
    // A cold start: the visit's first samples are slow, and go the way of warm-up.
    assert_int_equal(sampler_visit(&sampler, 10), 0);
    const double cold[] = {3e6, 2e6, 1.5e6, sampler.median.estimate};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(sampler_add(&sampler, cold[i], &next), 0);
        assert_int_equal(next, SAMPLER_WARMING);
    }
    assert_int_equal(sampler_add(&sampler, 1e6, &next), 0);
    assert_int_equal(next, SAMPLER_SAMPLING);
    assert_int_equal(sampler.warmup, warmup + 4);
    assert_int_equal(sampler.count, 11);
    // Left early; every sample is kept in the order in which it came.
    for (int i = 0; i < 3 && sampler.state != SAMPLER_DONE; i++)
        feed(&sampler, 8, stationary, &index);
    assert_true(sampler.count >= 25);
    assert_true(sampler.samples[10] == 1e6);
    for (size_t i = 1; i < sampler.count; i++)
        assert_true(sampler.sorted[i - 1] <= sampler.sorted[i]);
    sampler_free(&sampler);
}

static void test_refuses(void **state) {
    (void)state;
    struct sampler sampler;
    struct sampler_options options = sampler_defaults();
    start(&sampler, &options);
    assert_int_equal(sampler_visit(&sampler, 0), 0);
    const double bad[] = {NAN, INFINITY, 0, -1};
    enum sampler_state next;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(sampler_add(&sampler, bad[i], &next), -EDOM);
    assert_int_equal(sampler.warmup + sampler.count, 0);
    sampler_free(&sampler);
    options.ci = NAN;
    assert_int_equal(sampler_init(&sampler, &options, error, sizeof error), -EINVAL);
    options = sampler_defaults();
    options.max_samples = 5;
    assert_int_equal(sampler_init(&sampler, &options, error, sizeof error), -EINVAL);
    assert_non_null(strstr(error, "min_samples"));
}

struct busy {
    uint64_t calls, repetitions, counted;
    double shortest;
};

static int spin(void *context, uint64_t repetitions) {
    struct busy *busy = context;
    busy->calls++;
    busy->repetitions += repetitions;
    for (uint64_t i = 0; i < repetitions; i++) {
        uint64_t begin = clock_now();
        while (clock_now() < begin + 1000)
            ;
    }
    return 0;
}

static void count(void *context, double ns, uint64_t t_start) {
    struct busy *busy = context;
    busy->counted++;
    busy->shortest = fmin(busy->shortest, ns);
    assert_true(t_start <= clock_now());
}

static int refuse(void *context, uint64_t repetitions) {
    (void)context;
    (void)repetitions;
    return -EIO;
}

// Calls of 1 µs are repeated until the clock's cost is below 0.1%.
static void test_calibrates(void **state) {
    (void)state;
    struct sampler sampler;
    struct sampler_options options = sampler_defaults();
    options.max_samples = 30;
    start(&sampler, &options);
    struct busy busy = {.shortest = INFINITY};
    uint64_t repetitions = 0;
    assert_int_equal(sampler_run(&sampler, 0, spin, &busy, &repetitions, count), 0);
    assert_int_equal(sampler.state, SAMPLER_DONE);
    assert_int_equal(busy.counted, sampler.count);
    assert_true(busy.calls > sampler.count + sampler.warmup);
    assert_true((double)repetitions * 1000 >= 0.5 * clock_shortest_sample_ns(0.001));
    assert_true(busy.shortest == sampler.sorted[0]);
    assert_true(busy.shortest >= (double)repetitions * 1000);
    sampler_free(&sampler);
    start(&sampler, &options);
    repetitions = 0;
    assert_int_equal(sampler_run(&sampler, 0, refuse, NULL, &repetitions, NULL), -EIO);
    sampler_free(&sampler);
    assert_int_equal(sampler_repetitions(1e12), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constant),   cmocka_unit_test(test_stationary),    cmocka_unit_test(test_settling),
        cmocka_unit_test(test_slow_drift), cmocka_unit_test(test_never_settles), cmocka_unit_test(test_bimodal),
        cmocka_unit_test(test_limits),     cmocka_unit_test(test_visits),        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_calibrates),
    };
    return cmocka_run_group_tests(tests, seed_generator, free_generator);
}
