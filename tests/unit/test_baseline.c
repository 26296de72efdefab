// SPDX-License-Identifier: MIT
// One run against stored runs: how often it cries wolf, what it finds, and when it does not judge.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/gate/baseline.h"

enum { FIGURES = 40, RUNS = 8 };
static const struct gate_rules rules = {.threshold = 0.015, .level = 0.01, .seed = 1};
static double stored[FIGURES][RUNS];

// Runs differ by 2%, each figure by itself; the first `slower` of the head's figures lose `loss`.
static void make(gsl_rng *rng, size_t runs, double loss, size_t slower, struct baseline_row *rows) {
    for (size_t i = 0; i < FIGURES; i++) {
        for (size_t r = 0; r < runs; r++)
            stored[i][r] = 500 * exp(gsl_ran_gaussian(rng, 0.02));
        rows[i] = (struct baseline_row){.runs = stored[i],
                                        .count = runs,
                                        .head = 500 * exp(gsl_ran_gaussian(rng, 0.02)) * (i < slower ? 1 - loss : 1)};
    }
}

static size_t count(const struct baseline_row *rows, size_t from, enum verdict verdict) {
    size_t found = 0;
    for (size_t i = from; i < FIGURES; i++)
        found += rows[i].verdict == verdict;
    return found;
}

static void test_false_alarms(void **state) {
    (void)state;
    struct baseline_row rows[FIGURES];
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    for (size_t runs = BASELINE_RUNS_LEAST; runs <= RUNS; runs += 5) {
        size_t alarms = 0;
        for (int gate = 0; gate < 500; gate++) {
            make(rng, runs, 0, 0, rows);
            assert_int_equal(baseline_judge(rows, FIGURES, &rules, 0.001), 0);
            alarms += count(rows, 0, VERDICT_SLOWER) + count(rows, 0, VERDICT_FASTER) > 0;
        }
        print_message("%zu stored runs: %zu of 500 gates alarmed falsely\n", runs, alarms);
        assert_true(alarms <= 12); // 1% of them by construction
    }
    gsl_rng_free(rng);
}

static void test_finds(void **state) {
    (void)state;
    struct baseline_row rows[FIGURES];
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    size_t found = 0, promised = 0;
    for (int gate = 0; gate < 100; gate++) {
        make(rng, RUNS, 0.25, 4, rows);
        assert_int_equal(baseline_judge(rows, FIGURES, &rules, 0.001), 0);
        for (size_t i = 0; i < 4; i++) {
            found += rows[i].verdict == VERDICT_SLOWER;
            promised += rows[i].smallest_effect <= 0.25;
            assert_true(rows[i].ratio.value > 0.6 && rows[i].ratio.value < 0.9);
            assert_true(rows[i].ratio.lo < rows[i].ratio.value && rows[i].ratio.value < rows[i].ratio.hi);
        }
    }
    gsl_rng_free(rng);
    print_message("%zu of 400 found\n", found);
    assert_true(found >= 360);
    assert_true(promised >= 300);
}

// What is too little to judge by is ambiguous and never an alarm; a change of no interest is none, however sure.
static void test_does_not_judge(void **state) {
    (void)state;
    double two[] = {100, 101}, alike[] = {100, 100, 100}, close[] = {100, 100.01, 99.99, 100};
    struct baseline_row rows[] = {{.runs = two, .count = 2, .head = 50},
                                  {.runs = alike, .count = 3, .head = 100},
                                  {.runs = close, .count = 4, .head = 99}};
    assert_int_equal(baseline_judge(rows, 3, &rules, 0.001), 0);
    assert_int_equal(rows[0].verdict, VERDICT_AMBIGUOUS);
    assert_non_null(strstr(rows[0].why, "2 stored runs: 3 are needed"));
    assert_int_equal(rows[1].verdict, VERDICT_SAME);
    assert_int_equal(rows[2].verdict, VERDICT_SAME);
    rows[2].head = 90;
    assert_int_equal(baseline_judge(rows, 3, &rules, 0.001), 0);
    assert_int_equal(rows[2].verdict, VERDICT_SLOWER);
}

static void test_quality(void **state) {
    (void)state;
    double runs[] = {100, 101, 99};
    struct baseline_row rows[] = {{.runs = runs, .count = 3, .head = 100, .perplexity = 30.04, .perplexity_least = 29, .perplexity_most = 30},
                                  {.runs = runs, .count = 3, .head = 100, .perplexity = 30.02, .perplexity_least = 29, .perplexity_most = 30},
                                  {.runs = runs, .count = 3, .head = 100, .perplexity = 28.9, .perplexity_least = 29, .perplexity_most = 30},
                                  {.runs = runs, .count = 3, .head = 100, .perplexity = NAN, .perplexity_least = NAN, .perplexity_most = NAN}};
    assert_int_equal(baseline_judge(rows, 4, &rules, 0.001), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(rows[i].verdict, VERDICT_SAME);
        assert_int_equal(rows[i].worse, i == 0);
        assert_int_equal(rows[i].better, i == 2);
    }
    struct baseline_result result = {.worse = 1};
    assert_int_equal(baseline_exit_code(&result), 1); // however fast
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_false_alarms), cmocka_unit_test(test_finds),
                                       cmocka_unit_test(test_does_not_judge), cmocka_unit_test(test_quality)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
