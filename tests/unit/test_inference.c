// SPDX-License-Identifier: MIT
// The inference workload's axes as the driver plans them: request shapes, what is refused and why, and names that stay.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/workloads/inference.h"
#include "bench/workloads/workloads.h"
#include "harness/plan.h"

static char error[512];
static const struct machine_limits limits = {.cores = 4, .memory_bytes = (uint64_t)1 << 40, .cache_bytes = 1 << 20, .oversubscribe = true};

#define BASE "model = bench/models/shapes/smollm2-135m.ini\ngen = 4\n"

static void make(struct spec *spec, struct plan *plan, const char *lines) {
    char text[1000];
    snprintf(text, sizeof text, BASE "%s%s", strstr(lines, "format =") ? "" : "format = q8g64\n", lines);
    if (spec_parse(spec, &inference_workload, "a.ini", text, strlen(text), NULL, 0, error, sizeof error))
        fail_msg("%s", error);
    if (plan_make(plan, spec, &limits, error, sizeof error))
        fail_msg("%s", error);
}

// One cell alone; what the driver says of it.
static void check_cell(const char *lines, const char *reason) {
    struct spec spec;
    struct plan plan;
    make(&spec, &plan, lines);
    assert_int_equal(plan.count, 1);
    const char *given = plan.cells[0].reason ? plan.cells[0].reason : "";
    if (reason ? !strstr(given, reason) : plan.cells[0].status != CELL_OK)
        fail_msg("'%s' gives '%s' and not '%s'", lines, given, reason ? reason : "a cell");
    plan_free(&plan);
    spec_free(&spec);
}

// Cells keep their names in runs of before there was the axis `prefix`.
static void test_names_stay(void **state) {
    (void)state;
    struct spec spec;
    struct plan plan;
    make(&spec, &plan, "batch = 4\nprompt = 32\nlayout = t1, dp2\nact = q8\n");
    assert_string_equal(plan.cells[0].cell.name, "44b2d9909fa4e503");
    assert_string_equal(plan.cells[1].cell.name, "751cd812e1196e83");
    plan_free(&plan);
    spec_free(&spec);
    make(&spec, &plan, "batch = 4\nprompt = 32, 32|8\nprefix = 0, 4, 5\nlayout = t1\n");
    assert_int_equal(plan.count, 6);
    for (size_t i = 0; i < plan.count; i++)
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(plan.cells[i].cell.name, plan.cells[j].cell.name);
    plan_free(&plan);
    spec_free(&spec);
}

static void test_activations_settle(void **state) {
    (void)state;
    static const char *const expected[] = {"f32", "f32", "f32", "q8g", "q8g", "q8"};
    struct spec spec;
    struct plan plan;
    make(&spec, &plan, "format = f32, bf16, q16g32, q8g64, gptq:q2g32a, q4c\nbatch = 1\nlayout = t1\n");
    assert_int_equal(plan.count, 6);
    for (size_t i = 0; i < plan.count; i++) // in the order of the list
        assert_string_equal(plan.cells[i].cell.value[AXIS_ACT], expected[i]);
    plan_free(&plan);
    spec_free(&spec);
}

static void test_request_shapes(void **state) {
    (void)state;
    struct spec spec;
    struct plan plan;
    struct inference_cell read;
    make(&spec, &plan, "batch = 6\nprompt = 008|128|32, 16|16\nprefix = 7\n");
    assert_int_equal(plan.count, 2);
    assert_string_equal(plan.cells[0].cell.value[AXIS_PROMPT], "8|128|32");
    assert_string_equal(plan.cells[1].cell.value[AXIS_PROMPT], "16");
    assert_int_equal(inference_cell_read(&plan.cells[0].cell, &read, error, sizeof error), 0);
    assert_int_equal(read.length_count, 3);
    assert_int_equal(read.lengths[0], 8);
    assert_int_equal(read.lengths[1], 128);
    assert_int_equal(read.lengths[2], 32);
    assert_int_equal(read.prompt, 128);
    assert_int_equal(read.prefix, 7);
    assert_true(read.prompt_mean == 56);
    plan_free(&plan);
    spec_free(&spec);
}

static void test_what_is_refused(void **state) {
    (void)state;
    check_cell("batch = 4\nprompt = 8|16\nprefix = 4\n", NULL);
    check_cell("batch = 3\nprompt = 8|16\n", "batch 3 is no multiple of the 2 lengths of prompt 8|16");
    check_cell("batch = 4\nprompt = 8|16\nprefix = 8\n", "prefix 8 leaves nothing of a prompt of 8 tokens");
    check_cell("batch = 1\nprompt = 16\nprefix = 8\n", "none to share it with");
    check_cell("batch = 2\nprompt = 16\nprefix = 8\nlayout = dp2\n", "one sequence a replica");
    check_cell("batch = 4\nprompt = 16|8190\n", "more than the model's context");
    static const char *const bad[] = {"prompt = 8|", "prompt = |8", "prompt = 8|x", "prompt = 1|2|3|4|5|6|7|8|9", "prefix = -1", "prefix = 1|2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct spec spec;
        char text[300];
        snprintf(text, sizeof text, BASE "%s\n", bad[i]);
        if (!spec_parse(&spec, &inference_workload, "a.ini", text, strlen(text), NULL, 0, error, sizeof error))
            fail_msg("'%s' is taken", bad[i]);
    }
}

// What is computed once is not counted twice.
static void test_estimate(void **state) {
    (void)state;
    struct spec spec;
    struct plan plan;
    make(&spec, &plan, "batch = 8\nprompt = 128, 64|192\nprefix = 0, 60\n");
    assert_int_equal(plan.count, 4);
    const struct plan_cell *plain = &plan.cells[0], *shared = &plan.cells[1], *mixed = &plan.cells[2];
    assert_true(shared->estimate.sample_seconds < 0.75 * plain->estimate.sample_seconds);
    assert_true(shared->estimate.sample_seconds > 0.4 * plain->estimate.sample_seconds);
    assert_true(mixed->estimate.sample_seconds > 0.95 * plain->estimate.sample_seconds);
    assert_true(mixed->estimate.sample_seconds < 1.05 * plain->estimate.sample_seconds);
    assert_true(mixed->estimate.bytes > plain->estimate.bytes); // its cache has room for the longest
    plan_free(&plan);
    spec_free(&spec);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_stay),
        cmocka_unit_test(test_activations_settle),
        cmocka_unit_test(test_request_shapes),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_estimate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
