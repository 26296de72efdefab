// SPDX-License-Identifier: MIT
// The two versions of a gate: a revision or a working tree in a folder of its own, built there; and their processes.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/gate/gate.h"
#include "harness/clock.h"
#include "harness/launch.h"
#include "harness/records.h"

// The last line with something in it.
static void last_line(const char *path, char *line, size_t size) {
    char text[512];
    FILE *file = fopen(path, "r");
    *line = '\0';
    while (file && fgets(text, sizeof text, file)) {
        text[strcspn(text, "\n")] = '\0';
        if (*text)
            snprintf(line, size, "%s", text);
    }
    if (file)
        fclose(file);
}

int gate_command(const struct gate_options *options, char *const *words, const char *log, double seconds, char *error, size_t error_size) {
    struct child child;
    struct child_options how = {.log_path = log};
    char fate[128], said[512];
    int result = child_start(&child, words, &how, error, error_size);
    if (result)
        return result;
    uint64_t start = clock_now();
    FILE *out = fopen(log, "a");
    bool closed = false;
    for (;;) {
        char *line;
        // What it prints goes to the log; reading also keeps it from blocking on a full pipe.
        int got = closed ? 0 : child_receive(&child, 100, &line);
        if (got == 1 && out)
            fprintf(out, "%s\n", line);
        closed |= got == -EPIPE;
        if (child_wait(&child, closed ? 50 : 0))
            break;
        if (options->interrupted && *options->interrupted) {
            child_kill(&child);
            result = -EINTR;
            snprintf(error, error_size, "interrupted");
            break;
        }
        if (clock_seconds(start, clock_now()) > seconds) {
            child_kill(&child);
            result = -ETIMEDOUT;
            snprintf(error, error_size, "%s took longer than %.0f s; its output: %s", words[0], seconds, log);
            break;
        }
    }
    if (out)
        fclose(out);
    bool fine = !result && WIFEXITED(child.wait_status) && WEXITSTATUS(child.wait_status) == 0;
    if (!result && !fine) {
        child_fate(&child, fate, sizeof fate);
        last_line(log, said, sizeof said);
        snprintf(error, error_size, "%s %s: %s (all of it: %s)", words[0], fate, *said ? said : "it said nothing", log);
        result = -EIO;
    }
    if (result != -EINTR && result != -ETIMEDOUT)
        child_kill(&child);
    return result;
}

static bool is_program(const char *path) {
    struct stat info;
    return !stat(path, &info) && S_ISREG(info.st_mode) && !access(path, X_OK);
}

// Copies the sources of a revision, or those of the working tree that git knows or would know, into `source`.
static int copy_sources(const struct gate_options *options, const char *what, const char *source, const char *log, char *error, size_t error_size) {
    char *revision[] = {"sh", "-c", "set -e; git rev-parse --verify --quiet \"$1^{commit}\" > /dev/null || { echo \"'$1' is neither a folder nor a revision of this repository\"; "
                                    "exit 1; }; mkdir -p \"$2\"; git archive \"$1\" | tar -x -C \"$2\"",
                        "sh", (char *)what, (char *)source, NULL};
    char *tree[] = {"sh", "-c", "set -e; cd \"$(git rev-parse --show-toplevel)\"; mkdir -p \"$1\"; git ls-files -z -co --exclude-standard --deduplicate | "
                                "while IFS= read -r -d '' f; do [ ! -e \"$f\" ] || printf '%s\\0' \"$f\"; done | tar --null -T - -c | tar -x -C \"$1\"",
                    "sh", (char *)source, NULL};
    tree[0] = "bash"; // for read -d
    return gate_command(options, what ? revision : tree, log, 120, error, error_size);
}

int gate_build(const struct gate_options *options, const char *what, const char *folder, char **program, char *name, size_t name_size, char *error,
               size_t error_size) {
    char path[4300], source[4200], log[4200], jobs[24];
    struct stat info;
    bool is_folder = what && !stat(what, &info) && S_ISDIR(info.st_mode);
    *program = NULL;
    snprintf(name, name_size, "%s", what ? what : "the working tree");
    if (is_folder) {
        static const char *const places[] = {"build/llmsweep", "llmsweep"};
        for (size_t i = 0; i < 2; i++) {
            snprintf(path, sizeof path, "%s/%s", what, places[i]);
            if (is_program(path))
                return (*program = realpath(path, NULL)) ? 0 : -errno;
        }
        snprintf(path, sizeof path, "%s/Makefile", what);
        if (access(path, R_OK)) {
            snprintf(error, error_size, "%s holds neither build/llmsweep nor sources with a Makefile", what);
            return -EINVAL;
        }
    }
    snprintf(source, sizeof source, "%s/source", folder);
    snprintf(log, sizeof log, "%s/build.log", folder);
    if (mkdir(folder, 0777) && errno != EEXIST) {
        snprintf(error, error_size, "%s: %s", folder, strerror(errno));
        return -errno;
    }
    int result = is_folder ? 0 : copy_sources(options, what, source, log, error, error_size);
    if (result == -EIO)
        result = -EINVAL;
    if (result)
        return result;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    snprintf(jobs, sizeof jobs, "-j%ld", cores > 0 ? cores : 1);
    char *make[] = {"make", "-C", is_folder ? (char *)what : source, jobs, "all", NULL};
    if (options->messages)
        fprintf(options->messages, "building %s\n", name);
    result = gate_command(options, make, log, 1800, error, error_size);
    if (result)
        return result;
    snprintf(path, sizeof path, "%s/build/llmsweep", is_folder ? what : source);
    if (!is_program(path)) {
        snprintf(error, error_size, "%s: make did not make build/llmsweep (its output: %s)", name, log);
        return -EINVAL;
    }
    *program = realpath(path, NULL);
    return *program ? 0 : -ENOMEM;
}

int gate_process(const struct gate_options *options, const char *program, const char *spec, const char *name, const char *const *sets, size_t set_count,
                 struct report_run *run, char *error, size_t error_size) {
    enum { SETS = 20, PROCESS_SECONDS = 600 };
    char directory[4096], log[4200];
    char *words[8 + 2 * (SETS + 16)];
    size_t count = 0;
    *run = (struct report_run){0};
    if (options->override_count > SETS) {
        snprintf(error, error_size, "at most %d settings", SETS);
        return -EINVAL;
    }
    snprintf(directory, sizeof directory, "%s/%s", options->folder, name);
    snprintf(log, sizeof log, "%s/%s.log", options->folder, name);
    folder_remove(directory);
    words[count++] = (char *)program;
    words[count++] = "run";
    words[count++] = (char *)spec;
    words[count++] = "-o";
    words[count++] = directory;
    words[count++] = "--quiet";
    for (size_t i = 0; i < options->override_count; i++) {
        words[count++] = "--set";
        words[count++] = (char *)options->overrides[i];
    }
    for (size_t i = 0; i < set_count; i++) {
        words[count++] = "--set";
        words[count++] = (char *)sets[i];
    }
    words[count] = NULL;
    int result = gate_command(options, words, log, PROCESS_SECONDS, error, error_size);
    if (!result)
        result = report_run_load(directory, run, error, error_size);
    if (!result)
        unlink(log);
    return result;
}
