// SPDX-License-Identifier: MIT
// Every kernel of every op that describes itself, against the op's reference; and the op's problems, as the benchmark runs them.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/op.h"

static uint64_t seed = 20;

static void test_kernel(void **state)
{
    const struct kernel *kernel = *state;
    const struct op_descriptor *op = op_find(kernel->op);
    char message[512] = "";
    size_t comparisons = 0;
    if (kernel->isa > isa_detect()) {
        print_message("%s: this CPU has no %s\n", kernel->name, isa_name(kernel->isa));
        skip();
    }
    if (op->check(kernel, seed, &comparisons, message, sizeof(message)) != 0)
        fail_msg("%s", message);
    assert_true(comparisons > 0);
}

// The first shape that the kernel computes runs in parts on two copies, and says how much it does.
static void test_problem(void **state)
{
    const struct kernel *kernel = *state;
    const struct op_descriptor *op = op_find(kernel->op);
    char message[512] = "";
    struct op_problem *problem = NULL;
    if (kernel->isa > isa_detect())
        skip();
    assert_true(op->shapes[0] != NULL);
    assert_int_not_equal(op->setup(kernel, "no such shape", 1, seed, &problem, message, sizeof(message)), 0);
    assert_true(message[0] != '\0');
    assert_null(problem);
    int status = -1;
    for (int i = 0; op->shapes[i] != NULL && status != 0; i++)
        status = op->setup(kernel, op->shapes[i], 2, seed, &problem, message, sizeof(message));
    if (status != 0)
        fail_msg("%s", message);
    for (int copy = 0; copy < 2; copy++)
        for (int phase = 0; phase < op->phases; phase++)
            for (int part = 0; part < 3; part++)
                op->run(problem, copy, phase, part, 3);
    assert_true(op->operations(problem) > 0);
    assert_true(op->bytes(problem) > 0);
    op->free(problem);
}

// What each op's name says is what its kernels' names begin with, and the pick is the op's.
static void test_picks(void **state)
{
    (void)state;
    for (enum op op = 0; op < OP_COUNT; op++) {
        const struct op_descriptor *descriptor = op_find(op);
        if (descriptor == NULL)
            continue;
        assert_int_equal(descriptor->op, op);
        const struct kernel *pick = kernel_pick(op);
        assert_non_null(pick);
        assert_int_equal(pick->op, op);
        assert_int_equal(strncmp(pick->name, descriptor->name, strlen(descriptor->name)), 0);
    }
}

int main(void)
{
    static struct CMUnitTest tests[512];
    size_t kernels, count = 0;
    const struct kernel *const *all = kernel_all(&kernels);
    const char *filter = getenv("LLMSWEEP_CHECK_FILTER");
    if (getenv("LLMSWEEP_CHECK_SEED") != NULL)
        seed = strtoull(getenv("LLMSWEEP_CHECK_SEED"), NULL, 10);
    print_message("seed %llu (LLMSWEEP_CHECK_SEED sets it, LLMSWEEP_CHECK_FILTER picks kernels)\n", (unsigned long long)seed);
    for (size_t i = 0; i < kernels; i++) {
        // linear kernels have a program of their own, check_linear
        if (all[i]->op == OP_LINEAR || op_find(all[i]->op) == NULL || (filter != NULL && strstr(all[i]->name, filter) == NULL))
            continue;
        void *kernel = (void *)(uintptr_t)all[i];
        tests[count++] = (struct CMUnitTest){ .name = all[i]->name, .test_func = test_kernel, .initial_state = kernel };
        tests[count++] = (struct CMUnitTest){ .name = "its problems", .test_func = test_problem, .initial_state = kernel };
    }
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(test_picks);
    return _cmocka_run_group_tests("registry", tests, count, NULL, NULL);
}
