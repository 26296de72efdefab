// SPDX-License-Identifier: MIT
// Progress: the estimate of what is left, the line that shows it, and plain lines where there is no terminal.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/progress.h"

static void test_eta(void **state) {
    (void)state;
    assert_true(progress_eta(0, 100, 10) < 0);
    assert_true(progress_eta(25, 100, 10) == 30);
    assert_true(progress_eta(120, 100, 10) == 0);
    assert_true(progress_eta(1, 0, 10) < 0);
}

static void test_line(void **state) {
    (void)state;
    char line[200];
    struct progress progress = {.total = 100, .done = 50, .cells = 30, .finished = 12, .width = 100, .terminal = true};
    progress_format(&progress, 90, "prune=50%", line, sizeof line);
    assert_string_equal(line, "[==========>         ]  50%  12/30 cells  1:30 left  prune=50%");
    progress.width = 20; // a narrow terminal: cut, never wrapped
    progress_format(&progress, 90, "prune=50%", line, sizeof line);
    assert_int_equal(strlen(line), 19);
    progress.width = 100;
    progress.done = 0;
    progress_format(&progress, 90, "x", line, sizeof line);
    assert_string_equal(line, "[>                   ]   0%  12/30 cells  x");
}

static void test_plain(void **state) {
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    struct progress progress;
    // A stream without a descriptor is no terminal.
    progress_begin(&progress, out, 10, 3);
    for (int i = 0; i < 1000; i++)
        progress_step(&progress, i / 100.0, 0, "a cell");
    progress_stage(&progress, "not shown");
    progress_note(&progress, "failed: %s", "why");
    progress_end(&progress);
    fclose(out);
    assert_string_equal(text, "[>                   ]   0%  0/3 cells  a cell\nfailed: why\n"); // not a thousand lines
    assert_null(strchr(text, '\r'));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_eta), cmocka_unit_test(test_line), cmocka_unit_test(test_plain)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
