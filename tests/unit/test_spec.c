// SPDX-License-Identifier: MIT
// Specs: lists, ranges, zip, sections, overrides; and what is said of wrong ones.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/spec.h"
#include "tests/unit/null_workload.h"

static char error[1200];

static int parse_with(struct spec *spec, const char *text, const char *const *overrides, size_t count) {
    *error = '\0';
    return spec_parse(spec, &null_workload, "a.ini", text, strlen(text), overrides, count, error, sizeof error);
}
static int parse(struct spec *spec, const char *text) {
    return parse_with(spec, text, NULL, 0);
}

static void expect_values(const struct sweep *sweep, int axis, const char *expected) {
    char joined[1024] = "";
    for (size_t i = 0; i < sweep->axes[axis].count; i++)
        snprintf(joined + strlen(joined), sizeof joined - strlen(joined), "%s%s", i ? " " : "", sweep->axes[axis].value[i]);
    assert_string_equal(joined, expected);
}

static void expect_wrong(const char *text, const char *said) {
    struct spec spec;
    assert_true(parse(&spec, text) < 0);
    if (strcmp(error, said))
        fail_msg("said: %s\nexpected: %s", error, said);
    assert_null(strchr(error, '\n'));
}

static void test_lists_and_ranges(void **state) {
    (void)state;
    struct spec spec;
    assert_int_equal(parse(&spec, "[sweep]\nsize = 1-32*2, 48 ; a comment\nvariant = red,blue\n"), 0);
    assert_int_equal(spec.sweep_count, 1);
    expect_values(&spec.sweeps[0], NULL_SIZE, "1 2 4 8 16 32 48");
    expect_values(&spec.sweeps[0], NULL_VARIANT, "red blue");
    expect_values(&spec.sweeps[0], NULL_DOES, "ok");
    spec_free(&spec);
    assert_int_equal(parse(&spec, "size = 64-256+64\n"), 0);
    expect_values(&spec.sweeps[0], NULL_SIZE, "64 128 192 256");
    spec_free(&spec);
    assert_int_equal(parse(&spec, "size = 10%-90%+20%, 3-5\n"), 0);
    expect_values(&spec.sweeps[0], NULL_SIZE, "0.1 0.3 0.5 0.7 0.9 3 4 5");
    spec_free(&spec);
    assert_int_equal(parse(&spec, "size = 1,\n   2,\n   3\nvariant = green\n"), 0);
    expect_values(&spec.sweeps[0], NULL_SIZE, "1 2 3");
    spec_free(&spec);
}

static void test_sections_inherit(void **state) {
    (void)state;
    struct spec spec;
    assert_int_equal(parse(&spec, "variant = red, green\nci = 2%\n[sweep \"a\"]\nsize = 5\n[sweep \"b\"]\nvariant = blue\nci = 5%\n"), 0);
    assert_int_equal(spec.sweep_count, 2);
    expect_values(&spec.sweeps[0], NULL_VARIANT, "red green");
    expect_values(&spec.sweeps[0], NULL_SIZE, "5");
    expect_values(&spec.sweeps[1], NULL_VARIANT, "blue");
    expect_values(&spec.sweeps[1], NULL_SIZE, "1");
    assert_true(settings_number(spec.sweeps[0].settings, "ci") == 0.02);
    assert_true(settings_number(spec.sweeps[1].settings, "ci") == 0.05);
    spec_free(&spec);
}

static void test_overrides(void **state) {
    (void)state;
    struct spec spec;
    const char *const overrides[] = {"size=7,8", "max_time=300ms", "thing=a=b"};
    assert_int_equal(parse_with(&spec, "[sweep \"a\"]\nsize = 5\nmax_time = 9s\n[sweep \"b\"]\nsize = 6\n", overrides, 3), 0);
    for (int i = 0; i < 2; i++) {
        expect_values(&spec.sweeps[i], NULL_SIZE, "7 8");
        assert_true(settings_number(spec.sweeps[i].settings, "max_time") == 0.3);
    }
    assert_string_equal(settings_text(spec.settings, "thing"), "a=b");
    spec_free(&spec);
    const char *const wrong[] = {"sise=7"};
    assert_true(parse_with(&spec, "", wrong, 1) < 0);
    assert_non_null(strstr(error, "--set sise=7: unknown key 'sise'"));
    assert_non_null(strstr(error, "did you mean 'size'?"));
    const char *const bare[] = {"size"};
    assert_true(parse_with(&spec, "", bare, 1) < 0);
    assert_string_equal(error, "--set size: write it as key=value");
}

static void test_zip(void **state) {
    (void)state;
    struct spec spec;
    assert_int_equal(parse(&spec, "zip = variant size\nvariant = red, green\nsize = 1, 2\n"), 0);
    assert_int_equal(spec.sweeps[0].group[NULL_VARIANT], spec.sweeps[0].group[NULL_SIZE]);
    assert_int_not_equal(spec.sweeps[0].group[NULL_VARIANT], spec.sweeps[0].group[NULL_LAYOUT]);
    spec_free(&spec);
    expect_wrong("variant = red, green\nsize = 1, 2, 3\nzip = variant size\n",
                 "a.ini:2: zip walks variant and size together, but they have 2 and 3 values");
    expect_wrong("zip = variant sise\n", "a.ini:1: unknown axis 'sise' (known: does, variant, size, layout; did you mean 'size'?)");
    expect_wrong("zip = size | size\n", "a.ini:1: zip names the axis size twice");
}

static void test_units(void **state) {
    (void)state;
    struct spec spec;
    assert_int_equal(parse(&spec, "memory_limit = 2G\ntimeout = 1.5m\nci = 0.5%\nmin_samples = 3\n"), 0);
    assert_true(settings_number(spec.settings, "memory_limit") == 2147483648.0);
    assert_true(settings_number(spec.settings, "timeout") == 90);
    assert_true(fabs(settings_number(spec.settings, "ci") - 0.005) < 1e-12);
    spec_free(&spec);
}

static void test_wrong_specs(void **state) {
    (void)state;
    struct spec spec;
    expect_wrong("\nvariant = rde\n", "a.ini:2: unknown variant 'rde' (known: red, green, blue; did you mean 'red'?)");
    expect_wrong("oversubscribe =\n", "a.ini:1: oversubscribe = '' is none of: no yes");
    expect_wrong("size = 1,,2\n", "a.ini:1: size: an empty value in '1,,2'");
    expect_wrong("size = 5-1\n", "a.ini:1: size: the range '5-1' never ends or is empty (write 1-32*2 or 64-256+64)");
    expect_wrong("size = 1-8*1\n", "a.ini:1: size: the range '1-8*1' never ends or is empty (write 1-32*2 or 64-256+64)");
    expect_wrong("size = 1\nsize = 2\n", "a.ini:2: size was set on line 1 already");
    expect_wrong("[swep]\nsize = 1\n", "a.ini:2: unknown section [swep] (known: [sweep], [sweep \"name\"])");
    expect_wrong("size\n", "a.ini:1: this is neither 'key = value' nor a [section]");
    expect_wrong("ci = 70%\n", "a.ini:1: ci = 70% is out of range: it must be within 0.0001 and 0.5");
    expect_wrong("max_time = soon\n", "a.ini:1: max_time = 'soon' is not a time such as 300ms, 2s, 5m");
    expect_wrong("min_samples = 2.5\n", "a.ini:1: min_samples = '2.5' is not a whole number");
    expect_wrong("oversubscribe = maybe\n", "a.ini:1: oversubscribe = 'maybe' is none of: no yes");
    expect_wrong("[sweep]\nseed = 3\n", "a.ini:2: seed holds for the whole run: set it above the first section");
    expect_wrong("min_samples = 9\nmax_samples = 8\n", "a.ini: min_samples is above max_samples: lower the one or raise the other");
    assert_true(parse(&spec, "timout = 3s\n") < 0);
    assert_non_null(strstr(error, "a.ini:1: unknown key 'timout' (known: does, variant, size, layout, zip, cross, ci,"));
    assert_non_null(strstr(error, "did you mean 'timeout'?)"));
    assert_true(spec_parse(&spec, &null_workload, "b", "a\0b", 3, NULL, 0, error, sizeof error) < 0);
    assert_string_equal(error, "b: this is not a text file: it holds NUL bytes");
    char text[700];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_true(parse(&spec, text) < 0);
    assert_non_null(strstr(error, "a.ini:1: the line is longer than"));
    assert_true(spec_load(&spec, &null_workload, "no/such.ini", NULL, 0, error, sizeof error) < 0);
    assert_string_equal(error, "no/such.ini: cannot read: No such file or directory");
}

static void test_nearest_word(void **state) {
    (void)state;
    static const char *const known[] = {"layout", "batch", "prompt"};
    assert_string_equal(word_nearest("layuot", known, 3), "layout");
    assert_string_equal(word_nearest("Batch", known, 3), "batch");
    assert_null(word_nearest("zebra", known, 3));
    assert_null(word_nearest("", known, 3));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_and_ranges), cmocka_unit_test(test_sections_inherit), cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_zip),              cmocka_unit_test(test_units),            cmocka_unit_test(test_wrong_specs),
        cmocka_unit_test(test_nearest_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
