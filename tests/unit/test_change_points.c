// SPDX-License-Identifier: MIT
// Planted steps are found where they are, noise, outliers and a single bad day are not, and a slope is told from a step.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <math.h>
#include <stdlib.h>

#include "bench/history/change_points.h"

enum { LENGTH = 120 };

static double values[LENGTH];
static struct change_point points[LENGTH];

static size_t find(size_t n) {
    size_t count;
    assert_int_equal(change_points_find(values, n, &change_defaults, points, &count), 0);
    return count;
}

static void noise(gsl_rng *rng, double level, double sd, size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++)
        values[i] = level * (1 + gsl_ran_gaussian(rng, sd));
}

static void test_steps(void **state) {
    (void)state;
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    size_t exact = 0, extra = 0;
    enum { TRIES = 50 };
    for (int t = 0; t < TRIES; t++) {
        noise(rng, 1000, 0.01, 0, 40);
        noise(rng, 950, 0.01, 40, 75);
        noise(rng, 1010, 0.01, 75, LENGTH);
        size_t count = find(LENGTH);
        assert_in_range(count, 2, 3);
        extra += count - 2;
        bool first = false, second = false;
        for (size_t i = 0; i < count; i++) {
            first |= points[i].index >= 39 && points[i].index <= 41;
            second |= points[i].index >= 74 && points[i].index <= 76;
            exact += points[i].index == 40 || points[i].index == 75;
        }
        assert_true(first && second);
        assert_true(points[0].p < 0.001 && points[0].after < points[0].before);
    }
    gsl_rng_free(rng);
    assert_true(exact > 1.8 * TRIES);
    assert_true(extra <= 2);
}

// 200 series without a change: at the p in force a false point is rare.
static void test_quiet(void **state) {
    (void)state;
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    size_t alarms = 0;
    for (int t = 0; t < 200; t++) {
        noise(rng, 500, 0.03, 0, LENGTH);
        alarms += find(LENGTH) > 0;
    }
    gsl_rng_free(rng);
    print_message("%zu of 200 quiet series have a point\n", alarms);
    assert_true(alarms <= 2);
}

static void test_outliers(void **state) {
    (void)state;
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    size_t alarms = 0;
    for (int t = 0; t < 50; t++) {
        noise(rng, 500, 0.01, 0, LENGTH);
        values[30 + t] *= 0.5;
        values[5] *= 1.4;
        alarms += find(LENGTH) > 0;
    }
    gsl_rng_free(rng);
    assert_true(alarms <= 3);
}

static void test_drift(void **state) {
    (void)state;
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    for (size_t i = 0; i < 60; i++)
        values[i] = 1000 * (1 - 0.002 * (double)i) * (1 + gsl_ran_gaussian(rng, 0.003));
    size_t count = find(60), drifts = 0;
    for (size_t i = 0; i < count; i++)
        drifts += points[i].drift;
    print_message("%zu points, %zu drifts\n", count, drifts);
    assert_true(count > 0 && 4 * drifts >= 3 * count);
    // A step in the same noise is none.
    noise(rng, 1000, 0.003, 0, 30);
    noise(rng, 940, 0.003, 30, 60);
    assert_int_equal(find(60), 1);
    assert_false(points[0].drift);
    assert_int_equal(points[0].index, 30);
    gsl_rng_free(rng);
}

static void test_exact_levels(void **state) {
    (void)state;
    size_t count;
    // Without noise: p is 0, the place exact.
    for (size_t i = 0; i < 30; i++)
        values[i] = i < 10 ? 1 : i < 20 ? 4 : 2;
    assert_int_equal(find(30), 2);
    assert_int_equal(points[0].index, 10);
    assert_int_equal(points[1].index, 20);
    assert_true(points[0].before == 1 && points[0].after == 4 && points[1].after == 2);
    // Too short, or all alike.
    assert_int_equal(find(1), 0);
    for (size_t i = 0; i < 30; i++)
        values[i] = 7;
    assert_int_equal(find(30), 0);
    values[3] = NAN;
    assert_int_equal(change_points_find(values, 30, &change_defaults, points, &count), -EINVAL);
    assert_int_equal(change_points_find(values, 0, &change_defaults, points, &count), 0);
}

static void test_magnitude(void **state) {
    (void)state;
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    struct change_options options = change_defaults;
    size_t count;
    noise(rng, 1000, 0.002, 0, 30);
    noise(rng, 985, 0.002, 30, 60);
    options.magnitude = 0.05;
    assert_int_equal(change_points_find(values, 60, &options, points, &count), 0);
    assert_int_equal(count, 0);
    options.magnitude = 0.01;
    assert_int_equal(change_points_find(values, 60, &options, points, &count), 0);
    assert_int_equal(count, 1);
    gsl_rng_free(rng);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps), cmocka_unit_test(test_quiet), cmocka_unit_test(test_outliers),
        cmocka_unit_test(test_drift), cmocka_unit_test(test_exact_levels), cmocka_unit_test(test_magnitude),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
