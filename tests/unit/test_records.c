// SPDX-License-Identifier: MIT
// Records: fields, rows appended whole, torn lines cut off, full disks survived; and that the columns are those of the dictionary.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/workloads/workloads.h"
#include "harness/csv.h"
#include "harness/records.h"

static char error[600], folder[64];
static const char *const columns[] = {"a", "b", "c"};

static const char *path_of(const char *name) {
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void expect_file(const char *name, const char *expected) {
    char *text;
    size_t bytes;
    assert_int_equal(file_read(path_of(name), 1 << 20, &text, &bytes, error, sizeof error), 0);
    assert_string_equal(text, expected);
    free(text);
}

static void append_text(const char *name, const char *text) {
    FILE *file = fopen(path_of(name), "a");
    fputs(text, file);
    fclose(file);
}

static void test_fields(void **state) {
    (void)state;
    struct record record = {0}, other = {0};
    record_set(&record, "a", "%d", 1);
    record_real(&record, "b", 0.25);
    record_real(&record, "c", NAN);
    assert_null(record_get(&record, "c"));
    assert_true(isnan(record_number(&record, "c")));
    assert_true(record_number(&record, "b") == 0.25);
    record_real(&record, "b", INFINITY); // what is not finite is absent
    assert_null(record_get(&record, "b"));
    record_set(&other, "a", "two");
    record_set(&other, "d", "four");
    record_merge(&record, &other);
    assert_string_equal(record_get(&record, "a"), "two");
    assert_true(isnan(record_number(&record, "a")));
    json_t *json = record_json(&record);
    struct record back = {0};
    record_from_json(&back, json);
    assert_string_equal(record_get(&back, "d"), "four");
    assert_int_equal(back.count, record.count);
    json_decref(json);
    record_free(&record);
    record_free(&other);
    record_free(&back);
}

static void append_row(struct table *table, const char *a, const char *c) {
    struct record row = {0};
    record_set(&row, "a", "%s", a);
    if (c)
        record_set(&row, "c", "%s", c);
    record_set(&row, "elsewhere", "ignored");
    assert_int_equal(table_append(table, &row, 1, error, sizeof error), 0);
    record_free(&row);
}

static void test_rows(void **state) {
    (void)state;
    struct table *table;
    bool torn = true;
    assert_int_equal(table_open(&table, path_of("rows.csv"), columns, 3, &torn, error, sizeof error), 0);
    assert_false(torn);
    append_row(table, "plain", NULL);
    append_row(table, "with, comma", "and \"quotes\"\nand lines");
    table_close(table);
    expect_file("rows.csv", "a,b,c\nplain,,\n\"with, comma\",,\"and \"\"quotes\"\"\nand lines\"\n");
    // A writer that died in the middle of a row, even of one that looks whole up to a line end inside quotes.
    append_text("rows.csv", "torn,\"half\nof");
    assert_int_equal(table_open(&table, path_of("rows.csv"), columns, 3, &torn, error, sizeof error), 0);
    assert_true(torn);
    append_row(table, "next", "1");
    table_close(table);
    expect_file("rows.csv", "a,b,c\nplain,,\n\"with, comma\",,\"and \"\"quotes\"\"\nand lines\"\nnext,,1\n");
    static const char *const others[] = {"a", "c", "b"};
    assert_int_equal(table_open(&table, path_of("rows.csv"), others, 3, &torn, error, sizeof error), -EINVAL);
    assert_non_null(strstr(error, "these are not the columns that this version writes"));
}

static void test_torn_header(void **state) {
    (void)state;
    struct table *table;
    append_text("header.csv", "a,b");
    assert_int_equal(table_open(&table, path_of("header.csv"), columns, 3, NULL, error, sizeof error), 0);
    table_close(table);
    expect_file("header.csv", "a,b,c\n");
}

static void test_lines(void **state) {
    (void)state;
    struct table *table;
    bool torn;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(table_open(&table, path_of("lines.jsonl"), NULL, 0, &torn, error, sizeof error), 0);
        assert_int_equal(torn, i);
        json_t *line = json_pack("{s:i}", "n", i);
        assert_int_equal(table_append_json(table, line, error, sizeof error), 0);
        json_decref(line);
        table_close(table);
        append_text("lines.jsonl", "{\"n\": 7");
    }
    expect_file("lines.jsonl", "{\"n\":0}\n{\"n\":1}\n{\"n\": 7");
}

// A file that may not grow is like a full disk: the row is told to have failed, and nothing of it stays.
static void test_full_disk(void **state) {
    (void)state;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct table *table;
        struct rlimit limit = {60, 60};
        struct record row = {0};
        int rows = 0, result = 0;
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) || table_open(&table, path_of("full.csv"), columns, 3, NULL, error, sizeof error))
            _exit(1);
        record_set(&row, "a", "0123456789012345");
        for (; rows < 10 && !result; rows++)
            result = table_append(table, &row, 1, error, sizeof error);
        // 6 bytes of header and rows of 19: two fit.
        _exit(rows == 3 && result == -EFBIG && strstr(error, "free some space and resume") ? 0 : 2);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    expect_file("full.csv", "a,b,c\n0123456789012345,,\n0123456789012345,,\n");
}

static void test_replace(void **state) {
    (void)state;
    assert_int_equal(file_replace(path_of("whole"), "one", 3, error, sizeof error), 0);
    assert_int_equal(file_replace(path_of("whole"), "three", 5, error, sizeof error), 0);
    expect_file("whole", "three");
    assert_true(file_replace("/proc/no/such", "x", 1, error, sizeof error) < 0);
    assert_non_null(strstr(error, "/proc/no/such: cannot write"));
    char *text;
    size_t bytes;
    assert_int_equal(file_read(path_of("whole"), 3, &text, &bytes, error, sizeof error), -EFBIG);
    assert_int_equal(file_read(folder, 3, &text, &bytes, error, sizeof error), -EISDIR);
}

// The dictionary has every column, in the order in which they are written.
static void test_dictionary(void **state) {
    (void)state;
    char *text, *at;
    size_t bytes;
    assert_int_equal(file_read("results/README.md", 1 << 20, &text, &bytes, error, sizeof error), 0);
    at = strstr(text, "## cells.csv");
    char *end = strstr(text, "## samples.csv");
    assert_true(at && end);
    *end = '\0';
    size_t column = 0;
    while ((at = strstr(at, "\n| `"))) {
        char *stop = strstr(at + 3, " | ");
        assert_non_null(stop);
        for (char *name = strchr(at, '`'); name && name < stop; name = strchr(name + 1, '`')) {
            char *close = strchr(name + 1, '`');
            *close = '\0';
            assert_true(column < inference_workload.column_count);
            assert_string_equal(name + 1, inference_workload.columns[column++]);
            *close = '`';
            name = close;
        }
        at = stop;
    }
    assert_int_equal(column, inference_workload.column_count);
    free(text);
}

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/llmsweep-records-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}
static int drop_folder(void **state) {
    (void)state;
    char command[120];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields), cmocka_unit_test(test_rows),      cmocka_unit_test(test_torn_header), cmocka_unit_test(test_lines),
        cmocka_unit_test(test_full_disk), cmocka_unit_test(test_replace), cmocka_unit_test(test_dictionary),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
