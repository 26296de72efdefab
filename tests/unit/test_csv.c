// SPDX-License-Identifier: MIT
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "harness/csv.h"

static char error[256];

static int parse(const char *text, struct csv_table *table) {
    error[0] = '\0';
    return csv_table_parse(text, strlen(text), "t.csv", table, error, sizeof error);
}

static void test_fields(void **state) {
    (void)state;
    struct csv_table table;
    assert_int_equal(parse("a,b,c\r\n1,\"x, \"\"y\"\"\nz\",\n,-2.5e3,nan\n", &table), 0);
    assert_int_equal(table.columns, 3);
    assert_int_equal(table.rows, 2);
    assert_false(table.torn);
    assert_int_equal(csv_table_column(&table, "c"), 2);
    assert_int_equal(csv_table_column(&table, "d"), -1);
    assert_string_equal(csv_table_field(&table, 0, 1), "x, \"y\"\nz");
    assert_string_equal(csv_table_field(&table, 0, 2), "");
    assert_string_equal(csv_table_field(&table, 0, -1), "");
    assert_true(csv_table_number(&table, 0, 0) == 1);
    assert_true(csv_table_number(&table, 1, 1) == -2500);
    assert_true(isnan(csv_table_number(&table, 1, 0)));
    assert_true(isnan(csv_table_number(&table, 1, 2)));
    assert_true(isnan(csv_table_number(&table, 0, 1)));
    csv_table_free(&table);
}

// Whatever the byte at which a writer was killed, the whole rows before it are read and the rest is named as torn.
static void test_every_cut(void **state) {
    (void)state;
    const char *text = "a,b\n1,\"two \"\"and\"\"\nmore\"\n3,4\n";
    size_t length = strlen(text), ends[] = {4, 25, 29};
    assert_int_equal(length, ends[2]);
    for (size_t cut = ends[0]; cut <= length; cut++) {
        struct csv_table table;
        assert_int_equal(csv_table_parse(text, cut, "t.csv", &table, error, sizeof error), 0);
        size_t rows = cut >= ends[2] ? 2 : cut >= ends[1] ? 1 : 0;
        assert_int_equal(table.rows, rows);
        assert_int_equal(table.whole_bytes, ends[rows]);
        assert_int_equal(table.torn, cut != ends[rows]);
        csv_table_free(&table);
    }
}

static void refused(const char *text, const char *expected) {
    struct csv_table table;
    assert_int_equal(parse(text, &table), -EINVAL);
    assert_non_null(strstr(error, expected));
    assert_null(table.storage);
}

static void test_bad_files(void **state) {
    (void)state;
    refused("", "t.csv:1: no header");
    refused("a,b", "t.csv:1: no header");
    refused("a,b\n1,\"2\n2\"\n1,2,3\n4,5\n", "t.csv:4: 3 fields where the header has 2");
    refused("a,b\n1,2\"3\n", "t.csv:2: a quote");
    refused("a,b\n1,\"2\"3\n", "t.csv:2: a quote");
    refused("a,b,a\n1,2,3\n", "two columns are named 'a'");
    struct csv_table table;
    assert_int_equal(csv_table_parse("a\n1\n\0\n", 6, "t.csv", &table, error, sizeof error), -EINVAL);
    assert_non_null(strstr(error, "t.csv:3: a NUL"));
    assert_int_equal(csv_table_read("tests/no/such.csv", &table, error, sizeof error), -ENOENT);
    assert_non_null(strstr(error, "tests/no/such.csv"));
}

static void test_written_text_comes_back(void **state) {
    (void)state;
    const char *texts[] = {"plain", "", "a,b", "say \"no\"", "two\nlines", "\r\n", "\"", " spaced ", "naïve"};
    size_t count = sizeof texts / sizeof *texts;
    char path[] = "/tmp/llmsweep_csv_XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    FILE *file = fdopen(descriptor, "w");
    fputs("n,text\n", file);
    for (size_t i = 0; i < count; i++) {
        fprintf(file, "%zu,", i);
        csv_write_field(file, texts[i]);
        fputc('\n', file);
    }
    fclose(file);
    struct csv_table table;
    assert_int_equal(csv_table_read(path, &table, error, sizeof error), 0);
    unlink(path);
    assert_int_equal(table.rows, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(csv_table_field(&table, i, 1), texts[i]);
    csv_table_free(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_written_text_comes_back),
    };
    return cmocka_run_group_tests_name("csv", tests, NULL, NULL);
}
