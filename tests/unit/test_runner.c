// SPDX-License-Identifier: MIT
// The runner with workers that crash, hang and refuse on request: each costs its own row. Interrupted, torn and stopped runs go on.
// This program is its own worker: `test_runner worker`.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <jansson.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "harness/csv.h"
#include "harness/launch.h"
#include "harness/runner.h"
#include "harness/worker.h"
#include "tests/unit/null_workload.h"

#define QUICK "rounds = 2\n" SHORT
#define SHORT "min_samples = 2\nmax_samples = 6\nmax_time = 3ms\nwarmup_time = 1ms\nroof_time = 0\ncounters = none\n"

static char error[1200], folder[64], program[4096];
static volatile sig_atomic_t interrupted;

struct run {
    struct spec spec;
    struct plan plan;
    struct runner_result result;
    char directory[120];
    int code;
};

static void begin(struct run *run, const char *name, const char *text) {
    struct machine_limits limits = {.cores = 2, .memory_bytes = 1000000000};
    *run = (struct run){0};
    snprintf(run->directory, sizeof run->directory, "%s/%s", folder, name);
    if (spec_parse(&run->spec, &null_workload, "a.ini", text, strlen(text), NULL, 0, error, sizeof error) ||
        plan_make(&run->plan, &run->spec, &limits, error, sizeof error))
        fail_msg("%s", error);
}
static int go(struct run *run, bool resume) {
    const char *const worker[] = {program, "worker"};
    json_t *about = json_object();
    struct runner_options options = {
        .directory = run->directory, .resume = resume, .worker = worker, .worker_words = 2, .about = about, .interrupted = &interrupted};
    run->code = runner_run(&run->plan, &options, &run->result, error, sizeof error);
    json_decref(about);
    return run->code;
}
static void end(struct run *run) {
    plan_free(&run->plan);
    spec_free(&run->spec);
}

static void read_table(const struct run *run, const char *name, struct csv_table *table) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", run->directory, name);
    if (csv_table_read(path, table, error, sizeof error))
        fail_msg("%s", error);
}

// Every cell of the plan has one row, and every sample of a cell an index of its own.
static void expect_whole(const struct run *run) {
    struct csv_table cells, samples;
    read_table(run, "cells.csv", &cells);
    assert_int_equal(cells.rows, run->plan.count);
    for (size_t i = 0; i < run->plan.count; i++) {
        size_t rows = 0;
        for (size_t j = 0; j < cells.rows; j++)
            rows += !strcmp(csv_table_field(&cells, j, 0), run->plan.cells[i].cell.name);
        assert_int_equal(rows, 1);
    }
    read_table(run, "samples.csv", &samples);
    assert_false(cells.torn || samples.torn);
    for (size_t i = 0; i < cells.rows; i++) {
        double counted = csv_table_number(&cells, i, csv_table_column(&cells, "samples"));
        size_t seen = 0;
        for (size_t j = 0; j < samples.rows; j++)
            if (!strcmp(csv_table_field(&samples, j, 0), csv_table_field(&cells, i, 0)))
                assert_true(csv_table_number(&samples, j, csv_table_column(&samples, "index")) == (double)seen++);
        if (counted == counted)
            assert_int_equal(seen, (int)counted);
    }
    csv_table_free(&cells);
    csv_table_free(&samples);
}

static void expect_row(const struct run *run, const char *does, const char *status, const char *reason) {
    struct csv_table cells;
    read_table(run, "cells.csv", &cells);
    size_t row = 0;
    while (row < cells.rows && strcmp(csv_table_field(&cells, row, csv_table_column(&cells, "does")), does))
        row++;
    if (row == cells.rows)
        fail_msg("no row for %s", does);
    const char *found = csv_table_field(&cells, row, 1), *why = csv_table_field(&cells, row, 2);
    if (strcmp(found, status) || !strstr(why, reason))
        fail_msg("%s: %s '%s', expected %s '%s'", does, found, why, status, reason);
    // Absent is empty.
    bool has_figures = *csv_table_field(&cells, row, csv_table_column(&cells, "rate"));
    assert_int_equal(has_figures, !strcmp(status, "ok"));
    csv_table_free(&cells);
}

static void test_everything_is_recorded(void **state) {
    (void)state;
    struct run run;
    begin(&run, "whole", QUICK "variant = red, green, blue\nsize = 1, 2\nlayout = t1, t2\n");
    if (go(&run, false))
        fail_msg("%s", error);
    assert_int_equal(run.result.by_status[CELL_OK], 10);
    assert_int_equal(run.result.by_status[CELL_SKIPPED], 2);
    assert_int_equal(run.result.rows, 12);
    expect_whole(&run);
    struct csv_table cells;
    read_table(&run, "cells.csv", &cells);
    for (size_t i = 0; i < cells.rows; i++)
        if (!strcmp(csv_table_field(&cells, i, 1), "ok")) {
            assert_string_equal(csv_table_field(&cells, i, csv_table_column(&cells, "score")), "42");
            assert_string_equal(csv_table_field(&cells, i, csv_table_column(&cells, "rounds")), "2");
            assert_true(csv_table_number(&cells, i, csv_table_column(&cells, "rate")) > 0);
        }
    csv_table_free(&cells);
    // A finished run is neither begun again nor, without need, gone on with.
    assert_int_equal(go(&run, false), -EEXIST);
    assert_non_null(strstr(error, "holds a run already; finish it with --resume"));
    assert_int_equal(go(&run, true), 0);
    expect_whole(&run);
    end(&run);
}

// One round, in which batches of either layout come first: quality is had from the layout with more threads all the same, and from the
// other where that cannot give it.
static void test_quality_comes_from_most_threads(void **state) {
    (void)state;
    for (int seed = 1; seed <= 3; seed++) {
        struct run run;
        char name[20], text[300];
        snprintf(name, sizeof name, "judges%d", seed);
        snprintf(text, sizeof text, "rounds = 1\n" SHORT "seed = %d\nvariant = red, green, blue\nsize = 1, 2\nlayout = t1, t2\n", seed);
        begin(&run, name, text);
        if (go(&run, false))
            fail_msg("%s", error);
        expect_whole(&run);
        struct csv_table cells;
        read_table(&run, "cells.csv", &cells);
        for (size_t i = 0; i < cells.rows; i++) {
            const bool blue = !strcmp(csv_table_field(&cells, i, csv_table_column(&cells, "variant")), "blue"); // which is never threaded
            if (!strcmp(csv_table_field(&cells, i, 1), "ok"))
                assert_string_equal(csv_table_field(&cells, i, csv_table_column(&cells, "quality_layout")), blue ? "t1" : "t2");
        }
        csv_table_free(&cells);
        end(&run);
    }
}

static void test_each_costs_its_own_row(void **state) {
    (void)state;
    struct run run;
    begin(&run, "faults", QUICK "timeout = 300ms\ndoes = ok, crash, kill, hang, exit, refuse, unsupported, hungry, diverge, chatter, bad_quality\n");
    if (go(&run, false))
        fail_msg("%s", error);
    expect_row(&run, "ok", "ok", "");
    expect_row(&run, "chatter", "ok", "");
    expect_row(&run, "crash", "failed", "its worker was killed by SIGSEGV");
    expect_row(&run, "kill", "failed", "its worker was killed by SIGKILL");
    expect_row(&run, "exit", "failed", "its worker exited with code 7");
    expect_row(&run, "hang", "timeout", "no answer within");
    expect_row(&run, "refuse", "failed", "refused for the test");
    expect_row(&run, "unsupported", "unsupported", "nothing computes this");
    expect_row(&run, "hungry", "oom", "no memory for 1 TB");
    expect_row(&run, "diverge", "failed", "diverged: for the test");
    expect_row(&run, "bad_quality", "failed", "quality: a logit is NaN");
    expect_whole(&run);
    end(&run);
}

static char watched[200];

static void on_alarm(int number) {
    struct stat status;
    (void)number;
    if (!stat(watched, &status) && status.st_size > 2000)
        interrupted = 1;
}

// Interrupts the run once its journal has some lines.
static void interrupt_midway(const struct run *run) {
    struct sigaction action = {.sa_handler = on_alarm};
    snprintf(watched, sizeof watched, "%s/journal.jsonl", run->directory);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){.it_interval = {0, 10000}, .it_value = {0, 10000}}, NULL);
}

static size_t count_lines(const struct run *run, const char *name) {
    char path[200];
    size_t lines = 0;
    snprintf(path, sizeof path, "%s/%s", run->directory, name);
    FILE *file = fopen(path, "r");
    for (int c; file && (c = getc(file)) != EOF;)
        lines += c == '\n';
    if (file)
        fclose(file);
    return lines;
}

static void test_interrupted_and_resumed(void **state) {
    (void)state;
    struct run run;
    begin(&run, "interrupted", QUICK "sample_ms = 5\nvariant = red, green, blue\nsize = 1-6\n");
    interrupt_midway(&run);
    assert_int_equal(go(&run, false), -EINTR);
    assert_non_null(strstr(error, "interrupted with "));
    size_t before = count_lines(&run, "journal.jsonl");
    assert_true(before > 0 && before < 18 * 2);
    // The machine went down in the middle of a line.
    char path[200];
    static const char *const files[] = {"cells.csv", "samples.csv", "journal.jsonl"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", run.directory, files[i]);
        FILE *file = fopen(path, "a");
        fputs("torn", file);
        fclose(file);
    }
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    interrupted = 0;
    if (go(&run, true))
        fail_msg("%s", error);
    assert_true(run.result.torn);
    expect_whole(&run);
    // What was done before was not done again: a line for each visit and each variant's quality.
    assert_int_equal(count_lines(&run, "journal.jsonl"), 18 * 2 + 3);
    end(&run);
}

// A wide interval that was asked for is neither an error nor noise.
static void test_wide_interval(void **state) {
    (void)state;
    struct run run;
    begin(&run, "wide", QUICK "ci = 50%\nsize = 1, 2\n");
    if (go(&run, false))
        fail_msg("%s", error);
    struct csv_table cells;
    read_table(&run, "cells.csv", &cells);
    assert_int_equal(cells.rows, 2);
    for (size_t i = 0; i < cells.rows; i++)
        assert_string_equal(csv_table_field(&cells, i, 1), "ok");
    csv_table_free(&cells);
    expect_whole(&run);
    end(&run);
}

static void test_another_spec_is_refused(void **state) {
    (void)state;
    struct run run;
    begin(&run, "changed", QUICK "size = 1, 2\n");
    assert_int_equal(go(&run, false), 0);
    end(&run);
    begin(&run, "changed", QUICK "size = 1, 3\n");
    assert_int_equal(go(&run, true), -EINVAL);
    assert_non_null(strstr(error, "was begun with another spec, model, text or settings"));
    end(&run);
    begin(&run, "changed", QUICK "size = 1, 2\n");
    assert_int_equal(go(&run, true), 0); // nothing was lost
    expect_whole(&run);
    end(&run);
    begin(&run, "never", QUICK);
    assert_int_equal(go(&run, true), -ENOENT);
    assert_non_null(strstr(error, "no run to resume there"));
    end(&run);
}

static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
}

// Only the driver's disk is full: a sanitizer's runtime in the workers writes files of its own before their main.
static void lift_limit(void) {
    limit_files(RLIM_INFINITY);
}

static void test_full_disk(void **state) {
    (void)state;
    struct run run;
    begin(&run, "full", QUICK "variant = red, green\nsize = 1-8\n");
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        pthread_atfork(NULL, NULL, lift_limit);
        limit_files(4500); // less than the journal of the fewest samples takes
        int result = go(&run, false);
        if (result != -EFBIG || !strstr(error, "free some space and resume"))
            dprintf(2, "a full disk gave %d: %s\n", result, error);
        _exit(result == -EFBIG && strstr(error, "free some space and resume") ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    size_t before = count_lines(&run, "journal.jsonl");
    assert_true(before > 0);
    if (go(&run, true))
        fail_msg("%s", error);
    expect_whole(&run);
    assert_int_equal(count_lines(&run, "journal.jsonl"), 16 * 2 + 2);
    end(&run);
}

static void test_unwritable(void **state) {
    (void)state;
    struct run run;
    begin(&run, "x", QUICK);
    strcpy(run.directory, "/proc/no/results");
    assert_true(go(&run, false) < 0);
    assert_non_null(strstr(error, "/proc/no/results: cannot write results there:"));
    assert_non_null(strstr(error, "choose another folder with -o"));
    end(&run);
}

// Processes whose command line is that of a worker of this test.
static size_t count_workers(void) {
    size_t workers = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc && (entry = readdir(proc));) {
        char path[300], line[5000] = "";
        snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
        FILE *file = fopen(path, "r");
        size_t bytes = file ? fread(line, 1, sizeof line - 1, file) : 0;
        if (file)
            fclose(file);
        size_t length = strlen(line) + 1;
        workers += bytes > length && !strcmp(line, program) && !strcmp(line + length, "worker");
    }
    if (proc)
        closedir(proc);
    return workers;
}

static void test_ranks(void **state) {
    (void)state;
    struct run run;
    if (!launcher_found("mpirun", error, sizeof error))
        skip();
    begin(&run, "ranks", QUICK "oversubscribe = yes\ntimeout = 5s\nlayout = r2\ndoes = ok, kill, hang, refuse\n");
    if (go(&run, false))
        fail_msg("%s", error);
    expect_row(&run, "ok", "ok", "");
    expect_row(&run, "kill", "failed", "a rank was killed by SIGKILL");
    expect_row(&run, "hang", "timeout", "no answer within");
    expect_row(&run, "refuse", "failed", "refused for the test");
    assert_int_equal(count_workers(), 0);
    end(&run);
    begin(&run, "no-launcher", QUICK "layout = t1\nlauncher = no-such-launcher -n {ranks}\n");
    assert_false(launcher_found(settings_text(run.spec.settings, "launcher"), error, sizeof error));
    assert_non_null(strstr(error, "no no-such-launcher on this machine to start several ranks: install openmpi-bin"));
    end(&run);
}

static void test_launcher_words(void **state) {
    (void)state;
    static const char *const command[] = {"prog", "worker"};
    char **words = launch_words(" srun  -n {ranks} --x={ranks}y ", 12, command, 2);
    static const char *const expected[] = {"srun", "-n", "12", "--x=12y", "prog", "worker"};
    for (int i = 0; i < 6; i++)
        assert_string_equal(words[i], expected[i]);
    assert_null(words[6]);
    free(words);
    words = launch_words("", 1, command, 2);
    assert_string_equal(words[0], "prog");
    assert_null(words[2]);
    free(words);
}

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/llmsweep-runner-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}
static int drop_folder(void **state) {
    (void)state;
    char command[120];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

int main(int argc, char **argv) {
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = '\0';
    if (argc > 1 && !strcmp(argv[1], "worker")) {
        int code = worker_main(&null_workload, &argc, &argv, error, sizeof error);
        if (code)
            fprintf(stderr, "worker: %s\n", error);
        return code;
    }
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_launcher_words),          cmocka_unit_test(test_everything_is_recorded),
        cmocka_unit_test(test_quality_comes_from_most_threads),
        cmocka_unit_test(test_each_costs_its_own_row),  cmocka_unit_test(test_interrupted_and_resumed),
        cmocka_unit_test(test_wide_interval),
        cmocka_unit_test(test_another_spec_is_refused), cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_unwritable),              cmocka_unit_test(test_ranks),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
