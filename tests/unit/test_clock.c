// SPDX-License-Identifier: MIT
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "harness/clock.h"

static void test_goes_forward(void **state) {
    (void)state;
    uint64_t last = clock_now();
    for (int i = 0; i < 100000; i++) {
        uint64_t now = clock_now();
        assert_true(now >= last);
        last = now;
    }
}

// A sleep lasts at least as long as asked, by this clock as by the one that the system adjusts (which may differ by 500
// ppm).
static void test_counts_nanoseconds(void **state) {
    (void)state;
    struct timespec pause = {0, 20000000}, before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    uint64_t begin = clock_now();
    nanosleep(&pause, NULL);
    uint64_t end = clock_now();
    clock_gettime(CLOCK_MONOTONIC, &after);
    double outer = (double)(after.tv_sec - before.tv_sec) + 1e-9 * (double)(after.tv_nsec - before.tv_nsec);
    double inner = clock_seconds(begin, end);
    assert_true(inner >= 0.020 * (1 - 1e-3));
    assert_true(inner <= outer * (1 + 1e-3));
    assert_true(clock_seconds(end, begin) == -inner);
}

static void test_seconds_keep_their_digits(void **state) {
    (void)state;
    uint64_t late = (uint64_t)9000000 * 1000000000u; // a hundred days up
    assert_true(clock_seconds(late, late + 7) == 7e-9);
}

static void test_cost(void **state) {
    (void)state;
    struct clock_cost cost = clock_cost(), again = clock_cost();
    assert_true(cost.read_ns > 0.5 && cost.read_ns < 20000);
    assert_true(cost.resolution_ns >= 1 && cost.resolution_ns < 1e7);
    assert_true(cost.read_ns == again.read_ns && cost.resolution_ns == again.resolution_ns);
    double shortest = clock_shortest_sample_ns(0.001);
    assert_true(fabs(2 * cost.read_ns + cost.resolution_ns - 0.001 * shortest) < 1e-9 * shortest);
    assert_true(clock_shortest_sample_ns(0.01) < shortest);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_forward),
        cmocka_unit_test(test_counts_nanoseconds),
        cmocka_unit_test(test_seconds_keep_their_digits),
        cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
