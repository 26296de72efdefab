// SPDX-License-Identifier: MIT
// The memory of packed weights: aligned, apart from each other, used again, given back.
#include "kernels/pack/weight_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT = 300, LARGE = 20 << 20 };

static size_t resident_bytes(void)
{
#ifdef __SANITIZE_ADDRESS__
    skip(); // it keeps what was released for a while
#endif
    size_t pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%zu %zu", &pages, &resident), 2);
    fclose(file);
    return resident * 4096;
}

// Each is filled with its own byte, and still has it when all others were filled, and half of them released.
static void keeps_matrices_apart(void **state)
{
    (void)state;
    static uint8_t *memory[COUNT];
    static size_t bytes[COUNT];
    for (int i = 0; i < COUNT; i++) {
        bytes[i] = i % 50 == 0 ? LARGE : (size_t)(i * 7919) % 400000 + 1;
        memory[i] = weight_memory_reserve(bytes[i]);
        assert_non_null(memory[i]);
        assert_int_equal((uintptr_t)memory[i] % 64, 0);
        memset(memory[i], i % 251, bytes[i]);
        if (i % 3 == 2) {
            weight_memory_release(memory[i - 1]);
            memory[i - 1] = NULL;
        }
    }
    for (int i = 0; i < COUNT; i++) {
        for (size_t at = 0; memory[i] != NULL && at < bytes[i]; at++) {
            if (memory[i][at] != i % 251)
                fail_msg("matrix %d changed at byte %zu", i, at);
        }
        weight_memory_release(memory[i]);
    }
}

static void gives_memory_back(void **state)
{
    (void)state;
    const size_t before = resident_bytes();
    for (int round = 0; round < 20; round++) {
        uint8_t *large = weight_memory_reserve(LARGE), *small = weight_memory_reserve(1 << 20);
        assert_true(large != NULL && small != NULL);
        memset(large, 1, LARGE);
        memset(small, 1, 1 << 20);
        weight_memory_release(large);
        weight_memory_release(small);
    }
    assert_true(resident_bytes() < before + LARGE);
}

// As when a matrix is packed, tried and packed again, while another one stays.
static void takes_the_last_one_again(void **state)
{
    (void)state;
    const size_t before = resident_bytes();
    uint8_t *stays = weight_memory_reserve(1000);
    assert_non_null(stays);
    for (int round = 0; round < 200; round++) {
        uint8_t *tried = weight_memory_reserve(1 << 20);
        assert_non_null(tried);
        memset(tried, round, 1 << 20);
        weight_memory_release(tried);
    }
    assert_true(resident_bytes() < before + (16 << 20));
    weight_memory_release(stays);
    weight_memory_release(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_matrices_apart),
        cmocka_unit_test(gives_memory_back),
        cmocka_unit_test(takes_the_last_one_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
