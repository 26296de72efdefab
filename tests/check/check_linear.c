// SPDX-License-Identifier: MIT
// Every linear kernel against its reference, on every format that it computes.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/linear/linear_op.h"

static uint64_t seed = 20;

static void test_kernel(void **state) {
    const struct kernel *kernel = *state;
    char message[512];
    size_t comparisons;
    if (kernel->isa > isa_detect()) {
        print_message("%s: this CPU has no %s\n", kernel->name, isa_name(kernel->isa));
        skip();
    }
    if (linear_check_kernel(kernel, seed, &comparisons, message, sizeof(message)) != 0)
        fail_msg("%s", message);
    assert_true(comparisons > 0);
}

// The ladder: under each limit, every format and activation gets a kernel at or below it, and the highest there is.
static void test_ladder(void **state) {
    (void)state;
    size_t count, kernels;
    const char *const *words = linear_formats(&count);
    const struct kernel *const *all = kernel_all(&kernels);
    for (int isa = 0; isa <= (int)isa_detect(); isa++) {
        assert_int_equal(isa_limit((enum isa)isa), isa);
        for (size_t i = 0; i < count * ACTIVATION_COUNT; i++) {
            const enum activation activation = (enum activation)(i % ACTIVATION_COUNT);
            struct weight_format format;
            char why[256];
            assert_int_equal(weight_format_parse(words[i / ACTIVATION_COUNT], &format, why, sizeof(why)), 0);
            const struct kernel *kernel = kernel_linear(&format, activation, PROVIDER_OWN, why, sizeof(why));
            if (activation == ACTIVATION_Q8 && (format.type != WEIGHT_QUANTIZED || format.bits == 16)) {
                assert_null(kernel);
                assert_non_null(strstr(why, "8-bit activations need"));
                continue;
            }
            if (activation == ACTIVATION_Q8G && (format.type != WEIGHT_QUANTIZED || format.bits == 16 || format.group == 0)) {
                assert_null(kernel);
                assert_non_null(strstr(why, "a scale a group need"));
                continue;
            }
            assert_non_null(kernel);
            assert_true((int)kernel->isa <= isa);
            for (size_t k = 0; k < kernels; k++) {
                if (all[k]->provider == PROVIDER_OWN && (int)all[k]->isa <= isa &&
                    kernel_computes(all[k], &format, activation))
                    assert_true(all[k]->isa <= kernel->isa);
            }
            // From AVX2 on, nothing is left to plain C.
            assert_true(isa < ISA_AVX2 || kernel->isa >= ISA_AVX2);
        }
    }
    isa_limit(ISA_COUNT - 1);
}

int main(void) {
    static struct CMUnitTest tests[512];
    size_t kernels, count = 0;
    const struct kernel *const *all = kernel_all(&kernels);
    const char *filter = getenv("LLMSWEEP_CHECK_FILTER");
    if (getenv("LLMSWEEP_CHECK_SEED") != NULL)
        seed = strtoull(getenv("LLMSWEEP_CHECK_SEED"), NULL, 10);
    print_message("seed %llu (LLMSWEEP_CHECK_SEED sets it, LLMSWEEP_CHECK_FILTER picks kernels)\n",
                  (unsigned long long)seed);
    for (size_t i = 0; i < kernels; i++) {
        if (all[i]->op == OP_LINEAR && (filter == NULL || strstr(all[i]->name, filter) != NULL))
            tests[count++] = (struct CMUnitTest){
                .name = all[i]->name, .test_func = test_kernel, .initial_state = (void *)(uintptr_t)all[i]};
    }
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(test_ladder);
    return _cmocka_run_group_tests("linear", tests, count, NULL, NULL);
}
