// SPDX-License-Identifier: MIT
// The counts that every Linux machine has, through the real PAPI: the kernel's software events over a team of threads.
#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include <omp.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness/counters.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED (__has_feature(thread_sanitizer) || __has_feature(address_sanitizer))
#else
#define SANITIZED 0
#endif

enum { THREADS = 2, PAGES = 300 };

static double seconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static double process_seconds;

// Every thread works for 20 ms of its own CPU time and touches pages of its own for the first time.
static int phase(void *context) {
    double start = seconds(CLOCK_PROCESS_CPUTIME_ID);
    long page = sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, (size_t)(THREADS * PAGES * page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    madvise(memory, (size_t)(THREADS * PAGES * page), MADV_NOHUGEPAGE);
#pragma omp parallel num_threads(THREADS)
    {
        double from = seconds(CLOCK_THREAD_CPUTIME_ID);
        for (int i = 0; i < PAGES; i++)
            *(volatile char *)(memory + (omp_get_thread_num() * PAGES + i) * page) = 1;
        while (seconds(CLOCK_THREAD_CPUTIME_ID) - from < 0.02)
            ;
        if (context)
            for (int i = 0; i < 20; i++)
                nanosleep(&(struct timespec){.tv_nsec = 10000}, NULL);
    }
    munmap(memory, (size_t)(THREADS * PAGES * page));
    process_seconds = seconds(CLOCK_PROCESS_CPUTIME_ID) - start;
    return 0;
}

static void test_software_events(void **state) {
    (void)state;
    char error[256], text[256];
    struct counters *counters;
#pragma omp parallel num_threads(THREADS)
    sched_yield(); // the team is there before it is counted
    assert_int_equal(counters_open("default", THREADS, 0, &counters, error, sizeof error), 0);
    counters_describe(counters, text, sizeof text);
    const struct counter *clock = counters_find(counters, "task_clock"), *faults = counters_find(counters, "page_faults"),
                         *switches = counters_find(counters, "context_switches");
    print_message("%s\n", text);
    if (clock->status == COUNTER_ABSENT || clock->status == COUNTER_DENIED) {
        // A container may forbid perf_event_open altogether; then every event has to say why, and none may show a number.
        for (size_t i = 0; i < counters_count(counters); i++) {
            assert_true(strlen(counters_get(counters, i)->reason) > 0);
            assert_true(isnan(counters_get(counters, i)->value));
        }
        counters_close(counters);
        skip();
    }
    double before = seconds(CLOCK_PROCESS_CPUTIME_ID);
    assert_int_equal(counters_around(counters, phase, &error), 0);
    double around = seconds(CLOCK_PROCESS_CPUTIME_ID) - before;
    assert_int_equal(clock->status, COUNTER_OK);
    // At least what the phase used, at most that and what starting and stopping used: on a busy machine, where a thread of the team
    // spins until the other gets a core, the two are far apart.
    if (!(clock->value * 1e-9 >= 0.95 * process_seconds && clock->value * 1e-9 <= 1.05 * around))
        fail_msg("task_clock counted %.1f ms, the process used %.1f to %.1f ms", clock->value * 1e-6, process_seconds * 1e3,
                 around * 1e3);
    assert_int_equal(faults->status, COUNTER_OK);
    // A sanitizer has shadow pages for those that are touched.
    if (!(faults->value >= THREADS * PAGES && (SANITIZED || faults->value <= THREADS * PAGES + 100)))
        fail_msg("page_faults counted %.0f for %d", faults->value, THREADS * PAGES);
    // An unprivileged process does not see switches; then the check at opening has to have found out.
    if (switches->status == COUNTER_OK)
        assert_true(switches->value >= THREADS * 20);
    else
        assert_int_equal(switches->status, COUNTER_IMPLAUSIBLE);
    // Counting again starts from nothing.
    assert_int_equal(counters_around(counters, phase, NULL), 0);
    assert_true(SANITIZED || faults->value <= THREADS * PAGES + 100);
    for (size_t i = 0; i < counters_count(counters); i++) {
        const struct counter *counter = counters_get(counters, i);
        assert_int_equal(isnan(counter->value), counter->pass < 0);
        assert_int_equal(*counter->reason != '\0', counter->status != COUNTER_OK);
    }
    counters_close(counters);
}

// The calls themselves take microseconds, so that they fit around a phase of milliseconds.
static void test_cost(void **state) {
    (void)state;
    char error[256];
    struct counters *counters;
    double start = seconds(CLOCK_MONOTONIC);
    assert_int_equal(counters_open("task_clock", 1, 0, &counters, error, sizeof error), 0);
    assert_true(seconds(CLOCK_MONOTONIC) - start < 1);
    double best = 1;
    for (int i = 0; i < 20 && counters_passes(counters); i++) {
        start = seconds(CLOCK_MONOTONIC);
        counters_start(counters, 0);
        counters_stop(counters, 0);
        best = fmin(best, seconds(CLOCK_MONOTONIC) - start);
    }
    if (counters_passes(counters))
        assert_true(best < 1e-3);
    counters_close(counters);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_software_events), cmocka_unit_test(test_cost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
