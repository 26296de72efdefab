// SPDX-License-Identifier: MIT
#include "bench/workloads/peers_process.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

// Everything until the other end is closed. -ETIME when that takes longer.
static int read_all(int fd, double until, FILE *out) {
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        const double left = until - now();
        const int ready = left > 0 ? poll(&wait, 1, (int)(left * 1000) + 1) : 0;
        if (ready == 0)
            return -ETIME;
        if (ready < 0 && errno != EINTR)
            return -errno;
        char bytes[4096];
        const ssize_t count = ready > 0 ? read(fd, bytes, sizeof bytes) : -1;
        if (count == 0)
            return ferror(out) ? -ENOMEM : 0;
        if (count > 0)
            fwrite(bytes, 1, (size_t)count, out);
        else if (errno != EINTR)
            return -errno;
    }
}

// The last line that was said, for an error.
static void quote_last_line(int fd, char *line, size_t size) {
    char said[4096];
    const off_t end = lseek(fd, 0, SEEK_END), begin = end > (off_t)sizeof said - 1 ? end - (off_t)sizeof said + 1 : 0;
    ssize_t length = pread(fd, said, sizeof said - 1, begin);
    while (length > 0 && isspace((unsigned char)said[length - 1]))
        length--;
    said[length > 0 ? length : 0] = '\0';
    const char *last = strrchr(said, '\n');
    snprintf(line, size, "%.200s", last ? last + 1 : said);
    for (char *c = line; *c; c++)
        if (iscntrl((unsigned char)*c))
            *c = ' ';
}

static int start(const char *const *arguments, const char *folder, int output, int log, pid_t *child) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, 1);
    posix_spawn_file_actions_adddup2(&actions, log, 2);
    posix_spawn_file_actions_addchdir_np(&actions, folder);
    const int result = posix_spawnp(child, arguments[0], &actions, NULL, (char *const *)(size_t)arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    return -result;
}

static int collect(pid_t child, int fd, int seconds, FILE *memory, int *status) {
    const int result = read_all(fd, now() + seconds, memory);
    if (result)
        kill(child, SIGKILL);
    while (waitpid(child, status, 0) < 0 && errno == EINTR)
        ;
    return result;
}

int peer_process_run(const char *const *arguments, const char *folder, int seconds, char **output, char *error, size_t error_size) {
    char log_name[] = "/tmp/llmsweep-peer-XXXXXX", line[256] = "";
    int pipes[2] = {-1, -1}, status = 0, result = 0;
    size_t size;
    *output = NULL;
    const int log = mkstemp(log_name);
    FILE *memory = open_memstream(output, &size);
    if (log >= 0)
        unlink(log_name);
    if (log < 0 || !memory || pipe2(pipes, O_CLOEXEC))
        result = -errno;
    pid_t child = -1;
    if (!result)
        result = start(arguments, folder, pipes[1], log, &child);
    if (pipes[1] >= 0)
        close(pipes[1]);
    if (!result)
        result = collect(child, pipes[0], seconds, memory, &status);
    if (!result && (!WIFEXITED(status) || WEXITSTATUS(status)))
        result = -ECHILD;
    if (pipes[0] >= 0)
        close(pipes[0]);
    if (memory && fclose(memory) && !result)
        result = -ENOMEM;
    if (log >= 0) {
        quote_last_line(log, line, sizeof line);
        close(log);
    }
    if (result == -ETIME)
        snprintf(error, error_size, "%s: took longer than %d s", arguments[0], seconds);
    else if (result == -ECHILD)
        snprintf(error, error_size, "%s: failed: %s", arguments[0], line);
    else if (result)
        snprintf(error, error_size, "%s: %s", arguments[0], strerror(-result));
    if (result) {
        free(*output);
        *output = NULL;
    }
    return result;
}

// Commit and number, which some builds give as numbers and others as text.
static void read_build(const json_t *row, char *build, size_t size) {
    const json_t *commit = json_object_get(row, "build_commit"), *number = json_object_get(row, "build_number");
    char digits[24] = "";
    if (json_is_integer(number))
        snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(number));
    else if (json_is_string(number))
        snprintf(digits, sizeof digits, "%.20s", json_string_value(number));
    snprintf(build, size, "%.16s (%s)", json_is_string(commit) ? json_string_value(commit) : "unknown", digits);
}

int peer_speeds_parse(const char *text, struct peer_speeds *speeds, char *error, size_t error_size) {
    json_error_t problem;
    *speeds = (struct peer_speeds){.prefill = NAN, .decode = NAN};
    // Messages may stand before the array.
    const char *begin = *text == '[' ? text : strstr(text, "\n[");
    json_t *rows = begin ? json_loads(begin, JSON_DISABLE_EOF_CHECK, &problem) : NULL;
    if (!json_is_array(rows)) {
        snprintf(error, error_size, "the peer printed no JSON array: %.80s", begin ? problem.text : text);
        json_decref(rows);
        return -EINVAL;
    }
    size_t index;
    json_t *row;
    json_array_foreach(rows, index, row) {
        const double prompt = json_number_value(json_object_get(row, "n_prompt")), gen = json_number_value(json_object_get(row, "n_gen"));
        const double speed = json_number_value(json_object_get(row, "avg_ts"));
        if (!(speed > 0))
            continue;
        if (prompt > 0 && gen == 0)
            speeds->prefill = speed;
        if (gen > 0 && prompt == 0)
            speeds->decode = speed;
        read_build(row, speeds->build, sizeof speeds->build);
    }
    json_decref(rows);
    if (isnan(speeds->prefill) || isnan(speeds->decode)) {
        snprintf(error, error_size, "the peer's JSON lacks a row of %s (n_prompt, n_gen, avg_ts)", isnan(speeds->prefill) ? "prefill" : "decode");
        return -EINVAL;
    }
    return 0;
}
