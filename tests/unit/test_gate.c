// SPDX-License-Identifier: MIT
// The gate's statistics on made-up machines: how often it cries wolf, and what it finds.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/gate/judge.h"

enum { CELLS = 40, BLOCKS = 20, SCREENED = 12, ALL_BLOCKS = 48 };
static const struct gate_rules rules = {.threshold = 0.02, .level = 0.01, .seed = 1, .resamples = 200};

static double data[3][CELLS][ALL_BLOCKS];

// A shared machine: a drift that all arms of a block share, 3% of noise in each process, and a share of figures that lost a third.
static void make(gsl_rng *rng, double disturbed, double effect, size_t affected, struct gate_series *series) {
    for (size_t b = 0; b < ALL_BLOCKS; b++) {
        double drift = exp(gsl_ran_gaussian(rng, 0.2));
        for (int arm = 0; arm < 3; arm++) {
            double process = exp(gsl_ran_gaussian(rng, 0.01)); // of the process: falls on all its cells
            for (size_t c = 0; c < CELLS; c++) {
                double value = 1000 * drift * process * exp(gsl_ran_gaussian(rng, 0.03)) * (gsl_rng_uniform(rng) < disturbed ? 0.67 : 1);
                data[arm][c][b] = arm == 1 && c < affected ? value / (1 + effect) : value;
            }
        }
    }
    for (size_t c = 0; c < CELLS; c++)
        series[c] = (struct gate_series){data[0][c], data[1][c], data[2][c], BLOCKS};
}

static size_t count(const struct gate_judgement *judgements, size_t from, size_t to, enum verdict verdict) {
    size_t found = 0;
    for (size_t c = from; c < to; c++)
        found += judgements[c].verdict == verdict;
    return found;
}

// 300 gates of 40 cells each in which nothing changed: false alarms at the first look alone in at most 1% of the gates.
static void test_false_alarms(void **state) {
    (void)state;
    struct gate_series series[CELLS];
    struct gate_judgement judgements[CELLS];
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    size_t alarms = 0;
    for (int gate = 0; gate < 300; gate++) {
        make(rng, 0.05, 0, 0, series);
        assert_int_equal(gate_judge(series, CELLS, &rules, judgements), 0);
        alarms += count(judgements, 0, CELLS, VERDICT_SLOWER) + count(judgements, 0, CELLS, VERDICT_FASTER) > 0;
    }
    gsl_rng_free(rng);
    print_message("%zu of 300 gates alarmed falsely\n", alarms);
    assert_true(alarms <= 3);
}

// 8% slower in four cells: found in nearly all gates, in those cells only.
static void test_finds(void **state) {
    (void)state;
    struct gate_series series[CELLS];
    struct gate_judgement judgements[CELLS];
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    size_t found = 0, elsewhere = 0, inverse = 0;
    for (int gate = 0; gate < 60; gate++) {
        make(rng, 0.01, 0.08, 4, series);
        assert_int_equal(gate_judge(series, CELLS, &rules, judgements), 0);
        found += count(judgements, 0, 4, VERDICT_SLOWER) > 0;
        inverse += count(judgements, 0, 4, VERDICT_FASTER);
        elsewhere += count(judgements, 4, CELLS, VERDICT_SLOWER);
        for (size_t c = 0; c < CELLS; c++)
            assert_true(judgements[c].smallest_effect >= rules.threshold && judgements[c].smallest_effect < 0.5);
    }
    gsl_rng_free(rng);
    print_message("found in %zu of 60 gates\n", found);
    assert_true(found >= 57);
    assert_int_equal(inverse, 0);
    assert_true(elsewhere <= 1);
}

// The gate's two sets: what the first 12 blocks let look changed is judged by all 48, and by the last 36 alone.
static void judge_twice(struct gate_series *series, struct gate_judgement *judgements) {
    struct gate_rules screening = rules;
    struct gate_series again[CELLS];
    struct gate_judgement second[CELLS];
    size_t candidates[CELLS], candidate_count = 0;
    screening.threshold = 0.015;
    screening.screen = 0.05;
    for (size_t c = 0; c < CELLS; c++)
        series[c].blocks = SCREENED;
    assert_int_equal(gate_judge(series, CELLS, &screening, judgements), 0);
    for (size_t c = 0; c < CELLS; c++)
        if (judgements[c].candidate) {
            again[candidate_count] = (struct gate_series){data[0][c] + SCREENED, data[1][c] + SCREENED, data[2][c] + SCREENED, ALL_BLOCKS - SCREENED};
            candidates[candidate_count++] = c;
            series[c].blocks = ALL_BLOCKS;
        }
    assert_int_equal(gate_judge(again, candidate_count, &screening, second), 0);
    assert_int_equal(gate_judge(series, CELLS, &screening, judgements), 0);
    for (size_t i = 0; i < candidate_count; i++)
        gate_confirm(&judgements[candidates[i]], &second[i]);
}

static void test_two_sets(void **state) {
    (void)state;
    struct gate_series series[CELLS];
    struct gate_judgement judgements[CELLS];
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    size_t alarms = 0, found = 0, elsewhere = 0, promised = 0;
    for (int gate = 0; gate < 300; gate++) {
        make(rng, 0.05, 0, 0, series);
        judge_twice(series, judgements);
        alarms += count(judgements, 0, CELLS, VERDICT_SLOWER) + count(judgements, 0, CELLS, VERDICT_FASTER) > 0;
    }
    for (int gate = 0; gate < 60; gate++) {
        make(rng, 0.01, 0.06, 4, series);
        judge_twice(series, judgements);
        found += count(judgements, 0, 4, VERDICT_SLOWER) > 0;
        elsewhere += count(judgements, 4, CELLS, VERDICT_SLOWER);
        promised += count(judgements, 4, CELLS, VERDICT_AMBIGUOUS) < 4;
    }
    gsl_rng_free(rng);
    print_message("%zu of 300 gates alarmed falsely; 6%% found in %zu of 60\n", alarms, found);
    assert_true(alarms <= 3);
    assert_true(found >= 57);
    assert_true(elsewhere <= 1);
    assert_true(promised >= 50);
}

static void test_few_pairs(void **state) {
    (void)state;
    double base[12], head[12], again[12];
    struct gate_judgement judgement;
    for (size_t i = 0; i < 12; i++) {
        base[i] = again[i] = 100 + (double)(i % 3);
        head[i] = i < 9 ? 50 : NAN; // three processes gave no figure
    }
    struct gate_series series = {base, head, again, 12};
    assert_int_equal(gate_judge(&series, 1, &rules, &judgement), 0);
    assert_int_equal(judgement.verdict, VERDICT_AMBIGUOUS);
    assert_int_equal(judgement.pairs, 9);
    assert_non_null(strstr(judgement.why, "only 9 pairs"));
    for (size_t i = 9; i < 12; i++)
        head[i] = 50;
    assert_int_equal(gate_judge(&series, 1, &rules, &judgement), 0);
    assert_int_equal(judgement.verdict, VERDICT_SLOWER);
    assert_true(fabs(judgement.ratio.value - 0.5) < 0.02);
    // Without A/A pairs there is no floor, so no verdict either.
    for (size_t i = 0; i < 12; i++)
        again[i] = NAN;
    assert_int_equal(gate_judge(&series, 1, &rules, &judgement), 0);
    assert_int_equal(judgement.verdict, VERDICT_AMBIGUOUS);
}

// A pair is the head and the mean of what the base did twice.
static void test_base_twice(void **state) {
    (void)state;
    double base[BLOCKS], head[BLOCKS], again[BLOCKS];
    struct gate_judgement judgement;
    for (size_t i = 0; i < BLOCKS; i++) {
        base[i] = 100 * (1 + 0.01 * (double)(i % 3));
        again[i] = base[i] * 1.21;
        head[i] = base[i] * 1.1;
    }
    struct gate_series series = {base, head, again, BLOCKS};
    assert_int_equal(gate_judge(&series, 1, &rules, &judgement), 0);
    assert_true(fabs(judgement.ratio.value - 1) < 1e-9);
    assert_true(fabs(judgement.floor - 0.21) < 1e-9);
    assert_int_equal(judgement.pairs, BLOCKS);
}

// A change that is real and smaller than what is of interest is no verdict; one that the machine makes by itself neither.
static void test_threshold_and_floor(void **state) {
    (void)state;
    double base[BLOCKS], head[BLOCKS], again[BLOCKS];
    struct gate_judgement judgement;
    struct gate_series series = {base, head, again, BLOCKS};
    for (size_t i = 0; i < BLOCKS; i++) {
        base[i] = 100 + 0.01 * (double)(i * 7 % BLOCKS);
        again[i] = base[i] * (1 + 0.0001 * (double)(i % 5));
        head[i] = base[i] * 0.99;
    }
    assert_int_equal(gate_judge(&series, 1, &rules, &judgement), 0);
    assert_int_equal(judgement.verdict, VERDICT_SAME);
    for (size_t i = 0; i < BLOCKS; i++) {
        head[i] = base[i] * 0.95;
        again[i] = base[i] * 0.94;
    }
    assert_int_equal(gate_judge(&series, 1, &rules, &judgement), 0);
    assert_true(fabs(judgement.floor - 0.06) < 1e-9);
    assert_int_not_equal(judgement.verdict, VERDICT_SLOWER);
}

static void test_second_look(void **state) {
    (void)state;
    struct gate_judgement first = {.ratio = {0.9, 0.88, 0.92}, .verdict = VERDICT_SLOWER}, second = {.ratio = {0.91, 0.9, 0.93}, .verdict = VERDICT_SLOWER};
    gate_confirm(&first, &second);
    assert_int_equal(first.verdict, VERDICT_SLOWER);
    second = (struct gate_judgement){.ratio = {1, 0.98, 1.02}, .verdict = VERDICT_SAME};
    gate_confirm(&first, &second);
    assert_int_equal(first.verdict, VERDICT_AMBIGUOUS);
    assert_non_null(strstr(first.why, "not seen again"));
    first = (struct gate_judgement){.ratio = {0.9, 0.88, 0.92}, .verdict = VERDICT_SLOWER};
    second.verdict = VERDICT_FASTER;
    gate_confirm(&first, &second);
    assert_int_equal(first.verdict, VERDICT_AMBIGUOUS);
}

static void test_pairs_needed(void **state) {
    (void)state;
    assert_int_equal(gate_pairs_needed(1, 0.01), 11); // 2^(1−8) < 0.01, and three more
    for (size_t cells = 1; cells < 2000; cells *= 3)
        assert_true(ldexp((double)cells, 1 - (int)gate_pairs_needed(cells, 0.01) + 3) <= 0.01);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_false_alarms), cmocka_unit_test(test_finds), cmocka_unit_test(test_two_sets), cmocka_unit_test(test_few_pairs),
        cmocka_unit_test(test_base_twice),        cmocka_unit_test(test_threshold_and_floor), cmocka_unit_test(test_second_look), cmocka_unit_test(test_pairs_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
