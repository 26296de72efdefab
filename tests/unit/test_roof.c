// SPDX-License-Identifier: MIT
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "harness/clock.h"
#include "harness/roof.h"
#include "harness/roof_loops.h"

static char error[256];

// Every read loop looks at every byte: a single bit anywhere in the buffer shows in what it returns.
static void test_read_loops_see_all(void **state) {
    (void)state;
    enum { BYTES = 3 * 4096 };
    unsigned char *buffer = aligned_alloc(4096, 2 * BYTES);
    for (int loop = 0; loop < 2 * ((int)roof_isa_detect() + 1); loop++) {
        const enum roof_isa isa = (enum roof_isa)(loop / 2);
        roof_read_function *read = loop % 2 ? roof_stream_loop(isa) : roof_read_loop(isa);
        memset(buffer, 0, BYTES);
        memset(buffer + BYTES, 0xff, BYTES);
        assert_int_equal(read(buffer, BYTES), 0);
        for (size_t i = 0; i < BYTES; i++) {
            buffer[i] = 4;
            if (read(buffer, BYTES) != (uint64_t)4 << 8 * (i % 8))
                fail_msg("%s, %s: byte %zu is not read", roof_isa_name(isa), loop % 2 ? "memory" : "near", i);
            buffer[i] = 0;
        }
    }
    free(buffer);
}

// The loops compute what they claim to: twelve chains, by hand.
static void test_peak_loops_compute(void **state) {
    (void)state;
    double fp32 = 0;
    for (int chain = 0; chain < 12; chain++) {
        double sum = chain;
        for (int round = 0; round < 100; round++)
            sum = sum * 0.999 + 0.001;
        fp32 += sum;
    }
    // Products in a round, by the width of the registers.
    const int fp32_lanes[] = {4, 8, 16, 16, 16, 16}, int8_lanes[] = {0, 32, 64, 64, 64, 0};
    for (int isa = 0; isa <= (int)roof_isa_detect(); isa++) {
        struct roof_peak_loop loop = roof_peak_loop((enum roof_isa)isa, ROOF_PEAK_INT8);
        assert_true(loop.operations == (isa == ROOF_AMX ? 4 * 2 * 16 * 16 * 64 : 12 * 2 * int8_lanes[isa]));
        loop = roof_peak_loop((enum roof_isa)isa, ROOF_PEAK_FP32);
        assert_true(loop.operations == 12 * 2 * fp32_lanes[isa]);
        assert_true(fabs(loop.function(100) / fp32 - 1) < 1e-4);
        loop = roof_peak_loop((enum roof_isa)isa, ROOF_PEAK_INT8);
        if (isa == ROOF_SCALAR)
            assert_null(loop.function);
        else if (isa == ROOF_AMX) // 100 rounds of 64 products of 1·2 in each element, from 0
            assert_true(loop.function(100) == 100.0 * 64 * 2);
        else // 12 chains × 100 rounds × 4 products of 3·(−2), from 0 + … + 11
            assert_true(loop.function(100) == 66 - 12.0 * 100 * 4 * 6);
        loop = roof_peak_loop((enum roof_isa)isa, ROOF_PEAK_BF16);
        if (isa == ROOF_AMX) { // 32 products of 1·2^-10
            assert_true(loop.operations == 4 * 2 * 16 * 16 * 32);
            assert_true(loop.function(100) == 100.0 * 32 / 1024);
        } else if (isa == ROOF_AVX512BF16) { // 2 products of 1·2^-10
            assert_true(loop.operations == 12 * 2 * 32);
            assert_true(fabs(loop.function(100) - (66 + 12.0 * 100 * 2 / 1024)) < 1e-2);
        } else
            assert_null(loop.function);
    }
}

static void assert_rate(const struct stats_interval *rate) {
    assert_true(rate->estimate > 1e8 && rate->estimate < 1e15);
    assert_true(rate->lo <= rate->estimate && rate->estimate <= rate->hi);
    assert_true(rate->coverage >= 0.95);
}

static _Atomic int bound[2];
static void bind(int thread, void *context) {
    assert_ptr_equal(context, bound);
    bound[thread]++;
}

static void test_measures(void **state) {
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        bound[0] = bound[1] = 0;
        struct roof_request request = {.threads = threads,
                                       .stream_bytes = 48 << 20,
                                       .hot_bytes = 64 << 10,
                                       .cache_bytes = 8 << 20,
                                       .isa = ROOF_AMX,
                                       .peaks = true,
                                       .seconds = 0.02,
                                       .bind = bind,
                                       .context = bound};
        struct roof roof;
        uint64_t begin = clock_now();
        if (roof_measure(&request, &roof, error, sizeof error))
            fail_msg("%s", error);
        assert_true(clock_seconds(begin, clock_now()) < 20);
        assert_int_equal(bound[0], 1);
        assert_int_equal(bound[1], threads - 1);
        assert_int_equal(roof.threads, threads);
        assert_int_equal(roof.isa, roof_isa_detect());
        assert_int_equal(roof.stream_bytes, 48 << 20);
        assert_true(roof.stream_large_enough);
        assert_rate(&roof.stream);
        assert_rate(&roof.hot);
        assert_rate(&roof.fp32);
        if (roof.isa >= ROOF_AVX2)
            assert_rate(&roof.int8);
        if (roof.isa >= ROOF_AVX512BF16)
            assert_rate(&roof.bf16);
    }
}

// Another count of the same thing: the rate times the time of a loop that is timed here.
static void test_rate_is_amount_over_time(void **state) {
    (void)state;
    struct roof_request request = {
        .threads = 1, .hot_bytes = 32 << 10, .isa = ROOF_SCALAR, .peaks = true, .seconds = 0.05};
    struct roof_peak_loop loop = roof_peak_loop(ROOF_SCALAR, ROOF_PEAK_FP32);
    // The interval's upper end, as on a busy machine the median is well below what the quickest of many loops says.
    double rate = 0, seconds = INFINITY, ratio = 0;
    for (int attempt = 0; attempt < 5 && !(ratio > 0.8 && ratio < 1.25); attempt++) {
        struct roof roof;
        assert_int_equal(roof_measure(&request, &roof, error, sizeof error), 0);
        assert_true(isnan(roof.stream.estimate) && isnan(roof.int8.estimate) && isnan(roof.bf16.estimate));
        assert_false(roof.stream_large_enough);
        rate = fmax(rate, roof.fp32.hi);
        for (int i = 0; i < 20; i++) {
            uint64_t begin = clock_now();
            volatile double result = loop.function(20000);
            (void)result;
            seconds = fmin(seconds, clock_seconds(begin, clock_now()));
        }
        ratio = rate * seconds / (loop.operations * 20000);
    }
    if (!(ratio > 0.3 && ratio < 1.25))
        fail_msg("the peak is %g of what a timed loop says", ratio);
}

static void test_limits(void **state) {
    (void)state;
    struct roof_request request = {.threads = 0, .seconds = 0.01};
    struct roof roof;
    assert_int_equal(roof_measure(&request, &roof, error, sizeof error), -EINVAL);
    request.threads = 1;
    request.seconds = NAN;
    assert_int_equal(roof_measure(&request, &roof, error, sizeof error), -EINVAL);
    enum roof_isa isa;
    assert_int_equal(roof_isa_parse("avx512vnni", &isa), 0);
    assert_int_equal(isa, ROOF_AVX512VNNI);
    assert_int_equal(roof_isa_parse("avx513", &isa), -EINVAL);
}

static void test_formula(void **state) {
    (void)state;
    assert_true(roof_tokens_per_second(40e9, 1e12, 4e6, 1e6) == 1e4); // bandwidth
    assert_true(roof_tokens_per_second(40e9, 1e12, 4e3, 1e9) == 1e3); // compute
    assert_true(isnan(roof_tokens_per_second(NAN, 1e12, 4e6, 1e6)));
    assert_true(isnan(roof_tokens_per_second(40e9, NAN, 4e6, 1e6)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_loops_see_all),
        cmocka_unit_test(test_peak_loops_compute),
        cmocka_unit_test(test_measures),
        cmocka_unit_test(test_rate_is_amount_over_time),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_formula),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
