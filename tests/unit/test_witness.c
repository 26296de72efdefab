// SPDX-License-Identifier: MIT
// The reader of callgrind's files and of symbol tables, on made-up files and on this test's own program.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/gate/callgrind.h"

static char path[64];

static int write_file(void **state) {
    (void)state;
    snprintf(path, sizeof path, "/tmp/test_witness.%ld", (long)getpid());
    return 0;
}

static int remove_file(void **state) {
    (void)state;
    return unlink(path) && errno != ENOENT;
}

// As if loaded at 0x100000: main at 0x10, two static functions `linear` of two files that stand in one header.
static struct symbol table[] = {
    {0x10, 0x10, "main", NULL}, {0x20, 0x10, "linear", "first.c"}, {0x30, 0x10, "linear", "second.c"}};
static const struct symbols symbols = {.name = "llmsweep", .of = table, .count = 3};

static int read_text(const char *text, struct callgrind_profile *profile, char *error, size_t error_size) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return callgrind_read(path, &symbols, profile, error, error_size);
}

static uint64_t count_of(const struct callgrind_profile *profile, const char *folder, const char *file,
                         const char *function) {
    for (size_t i = 0; i < profile->count; i++)
        if (!strcmp(profile->counts[i].folder, folder) && !strcmp(profile->counts[i].file, file) &&
            !strcmp(profile->counts[i].function, function))
            return profile->counts[i].instructions;
    return 0;
}

#define HEAD "# callgrind format\nversion: 1\ncmd:  /x/llmsweep worker\npositions: instr line\nevents: Ir\n\n"
#define BODY                                                                                                           \
    "ob=(1) /x/build/llmsweep\nfl=(1) /x/bench/main.c\nfn=(1) main\n0x100010 5 7\n"                                    \
    "cfi=(2) /x/kernels/linear/linear.h\ncfn=(2) linear\ncalls=3 0x100020 9\n+2 6 1000\n+1 * 2\n\n"                    \
    "fl=(2)\nfn=(2)\n0x100020 9 10\nfi=(3) /x/kernels/simd.h\n+4 1 20\nfe=(2)\n0x100034 9 400\n\n"                     \
    "fn=(3) linear'2\n0x100024 9 1\n\n"                                                                                \
    "ob=(2) /lib/libc.so.6\nfl=(4) ???\nfn=(4) memcpy\n0x5000000 0 50\n"

static void test_reads(void **state) {
    (void)state;
    struct callgrind_profile profile;
    char error[300] = "";
    assert_int_equal(read_text(HEAD BODY "totals: 490\n", &profile, error, sizeof error), 0);
    assert_string_equal(profile.command, "/x/llmsweep worker");
    assert_int_equal(profile.instructions, 490);
    // What a call cost is the called function's.
    assert_int_equal(count_of(&profile, "bench", "main.c", "main"), 9);
    // Inlined lines and recursion count to the function, and functions of one name to the file that each was compiled
    // in.
    assert_int_equal(count_of(&profile, "kernels", "first.c", "linear"), 31);
    assert_int_equal(count_of(&profile, "kernels", "second.c", "linear"), 400);
    assert_int_equal(count_of(&profile, "", "libc.so.6", "memcpy"), 50);
    assert_int_equal(profile.count, 4);
    callgrind_free(&profile);
}

static void refuse(const char *text, const char *expected) {
    struct callgrind_profile profile;
    char error[300] = "";
    int result = read_text(text, &profile, error, sizeof error);
    callgrind_free(&profile);
    assert_int_equal(result, -EINVAL);
    if (!strstr(error, expected))
        fail_msg("'%s' is not in '%s'", expected, error);
}

static void test_refuses(void **state) {
    (void)state;
    struct callgrind_profile profile;
    char error[300] = "";
    refuse(HEAD BODY, "ends before its total");
    refuse(HEAD BODY "totals: 491\n", "add up to 490 and not to its total, 491");
    refuse("positions: line\nevents: Ir\n", "--dump-instr=yes");
    refuse("positions: instr line\nevents: Dr Ir\n", "--dump-instr=yes");
    refuse(HEAD "0x10 1 5\n", ":7: ");
    refuse(HEAD "fn=(1)\n", "--dump-instr=yes"); // a number that no name was given
    refuse(HEAD "ob=(1) /lib/x.so\nfl=(1) a\nfn=(1) f\n0x10 1 5\ntotals: 5\n", "the program's main is not in it");
    unlink(path);
    assert_int_equal(callgrind_read(path, &symbols, &profile, error, sizeof error), -ENOENT);
}

static int static_function(int x) {
    return x * 3;
}

static void test_symbols(void **state) {
    (void)state;
    struct symbols own;
    char error[300] = "";
    int (*volatile function)(int) = static_function; // keeps it from being inlined away
    assert_int_equal(function(2), 6);
    assert_int_equal(symbols_read("/proc/self/exe", &own, error, sizeof error), 0);
    const struct symbol *found = NULL;
    for (size_t i = 0; i < own.count; i++)
        if (!strcmp(own.of[i].function, "static_function"))
            found = &own.of[i];
    assert_non_null(found);
    assert_string_equal(found->file, "test_witness.c");
    assert_ptr_equal(symbols_at(&own, found->address), found);
    assert_ptr_equal(symbols_at(&own, found->address + found->size - 1), found);
    assert_ptr_not_equal(symbols_at(&own, found->address + found->size), found);
    assert_null(symbols_at(&own, 0));
    for (size_t i = 0; i < own.count; i++)
        if (!strcmp(own.of[i].function, "main"))
            assert_null(own.of[i].file); // a global one
    // Torn anywhere in its tables, it is refused.
    char *image = malloc(own.image_bytes);
    assert_non_null(image);
    memcpy(image, own.image, own.image_bytes);
    size_t bytes = own.image_bytes;
    symbols_free(&own);
    for (size_t keep = 0; keep < bytes; keep += bytes / 7 + 1) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(image, 1, keep, file), keep);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(symbols_read(path, &own, error, sizeof error), -ENOEXEC);
        symbols_free(&own);
    }
    free(image);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads, write_file, remove_file),
        cmocka_unit_test_setup_teardown(test_refuses, write_file, remove_file),
        cmocka_unit_test_setup_teardown(test_symbols, write_file, remove_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
