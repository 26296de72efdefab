// SPDX-License-Identifier: MIT
// Counting on machines that this one is not: every path of harness/counters.c over a PAPI that the test plays itself.
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <omp.h>

#include "harness/counters.h"
#include "tests/unit/fake_papi.c"

static char error[256];

static struct counters *open_counters(const char *events, int threads, int max_passes) {
    struct counters *counters;
    assert_int_equal(counters_open(events, threads, max_passes, &counters, error, sizeof error), 0);
    return counters;
}

static const struct counter *find(const struct counters *counters, const char *name) {
    const struct counter *counter = counters_find(counters, name);
    assert_non_null(counter);
    return counter;
}

static void close_counters(struct counters *counters) {
    counters_close(counters);
    assert_int_equal(fake.running, 0);
    assert_int_equal(fake_sets_left(), 0);
}

// A PMU as many have it. A value counts in every start–stop, so what the check expects is also what the phase gets.
static void usual_pmu(int counters) {
    fake_reset(counters);
    fake_event("PAPI_TOT_CYC", 2 * COUNTERS_KNOWN_INSTRUCTIONS);
    fake_event("PAPI_TOT_INS", COUNTERS_KNOWN_INSTRUCTIONS);
    fake_event("PAPI_L1_DCM", 500);
    fake_event("PAPI_L2_TCM", 300);
    fake_event("perf::LLC-LOAD-MISSES", 100);
    fake_event("PAPI_BR_MSP", 7);
    fake_event("PAPI_RES_STL", 900);
    fake_software_event("perf::PAGE-FAULTS:u=1:k=1", 64);
    fake_software_event("perf::CONTEXT-SWITCHES", 10);
    fake_software_event("perf::CPU-MIGRATIONS", 4);
}

static int phases;
static int phase(void *context) {
    phases++;
    assert_true(fake.running > 0);
    return context ? *(int *)context : 0;
}

static void test_default_set_in_two_passes(void **state) {
    (void)state;
    usual_pmu(4);
    struct counters *counters = open_counters("default", 1, 0);
    assert_int_equal(counters_count(counters), 11);
    assert_int_equal(counters_passes(counters), 2); // seven hardware events on four counters
    assert_string_equal(find(counters, "l3_misses")->event, "perf::LLC-LOAD-MISSES"); // the presets do not exist
    assert_string_equal(find(counters, "page_faults")->event, "perf::PAGE-FAULTS:u=1:k=1");
    assert_int_equal(find(counters, "cycles")->pass, find(counters, "instructions")->pass);
    assert_true(isnan(find(counters, "cycles")->value)); // nothing has been counted yet
    assert_int_equal(find(counters, "task_clock")->status, COUNTER_ABSENT);
    assert_non_null(strstr(find(counters, "task_clock")->reason, "Event does not exist"));
    assert_int_equal(find(counters, "task_clock")->pass, -1);
    phases = 0;
    assert_int_equal(counters_around(counters, phase, NULL), 0);
    assert_int_equal(phases, 2);
    static const struct {
        const char *name;
        double value;
    } wanted[] = {{"cycles", 2 * COUNTERS_KNOWN_INSTRUCTIONS}, {"instructions", COUNTERS_KNOWN_INSTRUCTIONS},
                  {"l1d_misses", 500}, {"l2_misses", 300}, {"l3_misses", 100}, {"branch_misses", 7}, {"stalled_cycles", 900},
                  {"page_faults", 64}, {"context_switches", 10}, {"cpu_migrations", 4}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        assert_int_equal(find(counters, wanted[i].name)->status, COUNTER_OK);
        assert_string_equal(find(counters, wanted[i].name)->reason, "");
        assert_true(find(counters, wanted[i].name)->value == wanted[i].value);
    }
    assert_true(isnan(find(counters, "task_clock")->value)); // absent is not 0
    assert_true(counters_ipc(counters) == 0.5);
    char text[256];
    counters_describe(counters, text, sizeof text);
    assert_non_null(strstr(text, "7 of 7 hardware and 3 of 4 software events count, in 2 passes over 1 thread"));
    close_counters(counters);
}

static void test_passes_follow_the_counters(void **state) {
    (void)state;
    static const struct {
        int counters, passes;
    } cases[] = {{1, 7}, {2, 4}, {3, 3}, {6, 2}, {7, 1}, {20, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        usual_pmu(cases[i].counters);
        struct counters *counters = open_counters("default", 1, 0);
        assert_int_equal(counters_passes(counters), cases[i].passes);
        for (size_t k = 0; k < counters_count(counters); k++)
            assert_in_range(counters_get(counters, k)->pass + 1, 0, cases[i].passes);
        close_counters(counters);
    }
}

static void test_multiplexed(void **state) {
    (void)state;
    usual_pmu(4);
    fake.event[6].not_multiplexed = true; // PAPI_RES_STL
    struct counters *counters = open_counters("default", 1, 1);
    assert_int_equal(counters_passes(counters), 1);
    assert_int_equal(find(counters, "cycles")->status, COUNTER_MULTIPLEXED);
    assert_int_equal(find(counters, "branch_misses")->status, COUNTER_MULTIPLEXED);
    assert_int_equal(find(counters, "page_faults")->status, COUNTER_OK); // needs no counter of the PMU
    assert_int_equal(find(counters, "stalled_cycles")->status, COUNTER_ABSENT);
    assert_non_null(strstr(find(counters, "stalled_cycles")->reason, "does not fit into 1 pass"));
    assert_int_equal(counters_around(counters, phase, NULL), 0);
    assert_true(find(counters, "branch_misses")->value == 7);
    assert_true(isnan(find(counters, "stalled_cycles")->value));
    assert_true(counters_ipc(counters) == 0.5);
    close_counters(counters);
    usual_pmu(4);
    counters = open_counters("default", 1, 2); // enough: nothing is extrapolated
    assert_int_equal(find(counters, "cycles")->status, COUNTER_OK);
    close_counters(counters);
}

static void test_denied(void **state) {
    (void)state;
    fake_reset(4);
    fake_refused_event("PAPI_TOT_CYC", PAPI_EPERM);
    fake_refused_event("PAPI_TOT_INS", PAPI_ECMP);
    struct counters *counters = open_counters("cycles,instructions", 1, 0);
    assert_int_equal(counters_passes(counters), 0);
    assert_int_equal(find(counters, "cycles")->status, COUNTER_DENIED);
    assert_non_null(strstr(find(counters, "cycles")->reason, "PAPI_TOT_CYC: not permitted"));
    assert_int_equal(find(counters, "instructions")->status, COUNTER_ABSENT);
    assert_non_null(strstr(find(counters, "instructions")->reason, "Not supported by component"));
    phases = 0;
    assert_int_equal(counters_around(counters, phase, NULL), 0);
    assert_int_equal(phases, 0); // nothing to count, so the phase is not run for it
    assert_true(isnan(counters_ipc(counters)));
    close_counters(counters);
}

static void test_implausible(void **state) {
    (void)state;
    // A PMU that is 11% off, and says so though nobody asked for instructions; 9% is let through.
    static const struct {
        double factor;
        enum counter_status wanted;
    } cases[] = {{0, COUNTER_IMPLAUSIBLE}, {0.89, COUNTER_IMPLAUSIBLE}, {0.91, COUNTER_OK}, {1.09, COUNTER_OK}, {1.11, COUNTER_IMPLAUSIBLE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        usual_pmu(4);
        fake.event[1].value = (long long)(cases[i].factor * COUNTERS_KNOWN_INSTRUCTIONS);
        struct counters *counters = open_counters("l1d_misses,page_faults", 1, 0);
        assert_int_equal(counters_count(counters), 2);
        assert_int_equal(find(counters, "l1d_misses")->status, cases[i].wanted);
        assert_int_equal(find(counters, "page_faults")->status, COUNTER_OK); // does not come from the PMU
        assert_int_equal(counters_around(counters, phase, NULL), 0);
        assert_true(find(counters, "l1d_misses")->value == 500); // given, and marked
        close_counters(counters);
    }
    usual_pmu(4);
    fake.event[0].value = COUNTERS_KNOWN_INSTRUCTIONS / 2; // two dependent additions a cycle: no core does that
    fake.event[7].value = 3;
    fake.event[8].value = 0;
    struct counters *counters = open_counters("default", 1, 0);
    assert_int_equal(find(counters, "cycles")->status, COUNTER_IMPLAUSIBLE);
    assert_int_equal(find(counters, "instructions")->status, COUNTER_OK);
    assert_int_equal(find(counters, "page_faults")->status, COUNTER_IMPLAUSIBLE);
    assert_string_equal(find(counters, "page_faults")->reason, "counted 3 for 64 first touches of a page");
    assert_string_equal(find(counters, "context_switches")->reason, "counted 0 for 10 sleeps");
    assert_int_equal(counters_around(counters, phase, NULL), 0);
    assert_true(isnan(counters_ipc(counters))); // not from cycles that are not believed
    close_counters(counters);
}

static void test_team(void **state) {
    (void)state;
    usual_pmu(8);
    struct counters *counters = open_counters("default", 3, 0);
    fake.starts = 0;
    assert_int_equal(counters_start(counters, 0), 0);
    assert_int_equal(fake.starts, 3);
    assert_int_equal(fake.running, 3);
    assert_int_equal(counters_stop(counters, 0), 0);
    assert_true(find(counters, "l1d_misses")->value == 1500); // the sum over the team
    // A larger team in between may replace threads; a set of a thread that is gone would count nothing.
    int seen = 0;
#pragma omp parallel num_threads(1) reduction(+ : seen)
    seen++;
    assert_int_equal(counters_around(counters, phase, NULL), 0);
    assert_true(find(counters, "l1d_misses")->value == 1500);
    close_counters(counters);
}

static void test_one_thread_fails(void **state) {
    (void)state;
    usual_pmu(8);
    struct counters *counters = open_counters("cycles,instructions", 2, 0);
    fake.fail_start_on = 0; // the master was the first that ever started a set
    assert_int_equal(counters_around(counters, phase, NULL), 0);
    assert_int_equal(find(counters, "cycles")->status, COUNTER_ABSENT);
    assert_non_null(strstr(find(counters, "cycles")->reason, "thread 0 of 2 cannot be started"));
    assert_true(isnan(find(counters, "cycles")->value)); // half a sum is no count
    assert_int_equal(fake.running, 0);
    close_counters(counters);
}

static void test_order_of_calls(void **state) {
    (void)state;
    usual_pmu(4);
    struct counters *counters = open_counters("default", 1, 0);
    assert_int_equal(counters_start(counters, 2), -EINVAL);
    assert_int_equal(counters_start(counters, -1), -EINVAL);
    assert_int_equal(counters_stop(counters, 0), -EBUSY);
    assert_int_equal(counters_start(counters, 0), 0);
    assert_int_equal(counters_start(counters, 1), -EBUSY);
    assert_int_equal(counters_stop(counters, 1), -EBUSY);
    assert_int_equal(counters_stop(counters, 0), 0);
    int stop = -ECANCELED;
    phases = 0;
    assert_int_equal(counters_around(counters, phase, &stop), -ECANCELED);
    assert_int_equal(phases, 1);
    assert_int_equal(counters_start(counters, 1), 0);
    close_counters(counters); // while it runs
}

static void test_names(void **state) {
    (void)state;
    usual_pmu(4);
    fake_event("PAPI_VEC_SP", 11);
    struct counters *counters = open_counters(" cycles , PAPI_VEC_SP,cycles,MADE_UP", 1, 0);
    assert_int_equal(counters_count(counters), 3); // the same name twice is one
    assert_string_equal(counters_get(counters, 1)->event, "PAPI_VEC_SP");
    assert_true(counters_get(counters, 1)->hardware);
    assert_int_equal(counters_get(counters, 2)->status, COUNTER_ABSENT);
    assert_string_equal(counters_get(counters, 2)->event, "");
    assert_null(counters_find(counters, "instructions"));
    close_counters(counters);
    counters = open_counters("none", 4, 0);
    assert_int_equal(counters_count(counters), 0);
    assert_int_equal(counters_passes(counters), 0);
    close_counters(counters);
    static const char *const wrong[] = {"", ",", "cycles,", "cycles,,instructions", " ",
                                        "A_NAME_THAT_IS_LONGER_THAN_ANY_EVENT_OF_PAPI_EVER_WAS"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(counters_open(wrong[i], 1, 0, &counters, error, sizeof error), -EINVAL);
        assert_null(counters);
        assert_non_null(strstr(error, "counters: "));
    }
    assert_int_equal(counters_open("cycles", 0, 0, &counters, error, sizeof error), -EINVAL);
}

static void test_no_papi(void **state) {
    (void)state;
    usual_pmu(4);
    fake.init_result = PAPI_ESYS;
    struct counters *counters = open_counters("default", 2, 0);
    assert_int_equal(counters_passes(counters), 0);
    for (size_t i = 0; i < counters_count(counters); i++) {
        assert_int_equal(counters_get(counters, i)->status, COUNTER_ABSENT);
        assert_non_null(strstr(counters_get(counters, i)->reason, "PAPI does not start"));
        assert_true(isnan(counters_get(counters, i)->value));
    }
    close_counters(counters);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default_set_in_two_passes), cmocka_unit_test(test_passes_follow_the_counters),
        cmocka_unit_test(test_multiplexed), cmocka_unit_test(test_denied), cmocka_unit_test(test_implausible),
        cmocka_unit_test(test_team), cmocka_unit_test(test_one_thread_fails), cmocka_unit_test(test_order_of_calls),
        cmocka_unit_test(test_names), cmocka_unit_test(test_no_papi)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
