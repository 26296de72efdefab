// SPDX-License-Identifier: MIT
#include "harness/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

bool launcher_found(const char *launcher, char *reason, size_t reason_size) {
    char program[512], candidate[1024];
    launcher += strspn(launcher, " ");
    size_t length = strcspn(launcher, " ");
    snprintf(program, sizeof program, "%.*s", (int)length, launcher);
    if (strchr(program, '/')) {
        if (!access(program, X_OK))
            return true;
    } else if (*program) {
        const char *path = getenv("PATH");
        for (path = path ? path : "/usr/bin:/bin"; *path; path += *path == ':') {
            length = strcspn(path, ":");
            snprintf(candidate, sizeof candidate, "%.*s/%s", (int)length, path, program);
            if (length && !access(candidate, X_OK))
                return true;
            path += length;
        }
    }
    snprintf(reason, reason_size, "no %s on this machine to start several ranks: install openmpi-bin, or set launcher=",
             *program ? program : "launcher");
    return false;
}

char **launch_words(const char *launcher, int ranks, const char *const *command, size_t command_count) {
    size_t bytes = strlen(launcher) * 2 + 16, words = strlen(launcher) / 2 + command_count + 2;
    for (size_t i = 0; i < command_count; i++)
        bytes += strlen(command[i]) + 1;
    // {ranks} is longer than any number of ranks that replaces it.
    char **argv = calloc(1, words * sizeof *argv + bytes);
    if (!argv)
        return NULL;
    char *text = (char *)(argv + words);
    size_t count = 0;
    for (launcher += strspn(launcher, " "); *launcher; launcher += strspn(launcher, " ")) {
        argv[count++] = text;
        while (*launcher && *launcher != ' ')
            if (!strncmp(launcher, "{ranks}", 7)) {
                text += sprintf(text, "%d", ranks);
                launcher += 7;
            } else
                *text++ = *launcher++;
        *text++ = '\0';
    }
    for (size_t i = 0; i < command_count; i++) {
        argv[count++] = text;
        text = stpcpy(text, command[i]) + 1;
    }
    return argv;
}

// Between fork and exec: what cannot be done is told by the exit code 127, and by the log.
static void become_child(char *const *argv, const int *in, const int *out, int log, const struct child_options *options, pid_t parent) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0 || dup2(log, 2) < 0)
        _exit(127);
    struct rlimit limit = {options->data_limit, options->data_limit};
    if (options->data_limit && setrlimit(RLIMIT_DATA, &limit))
        _exit(127);
    for (size_t i = 0; i < options->environment_count; i++)
        putenv((char *)options->environment[i]);
    execvp(argv[0], argv);
    dprintf(2, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

int child_start(struct child *child, char *const *argv, const struct child_options *options, char *error, size_t error_size) {
    *child = (struct child){.to = -1, .from = -1};
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    int result = 0, log = open(options->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (log < 0) {
        result = -errno;
        snprintf(error, error_size, "%s: cannot write: %s", options->log_path, strerror(-result));
        return result;
    }
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) {
        result = -errno;
        goto out;
    }
    pid_t parent = getpid();
    child->pid = fork();
    if (child->pid == 0)
        become_child(argv, in, out, log, options, parent);
    if (child->pid < 0) {
        result = -errno;
        child->pid = 0;
        goto out;
    }
    setpgid(child->pid, child->pid); // whoever comes first
    child->to = in[1];
    child->from = out[0];
    in[1] = out[0] = -1;
    fcntl(child->to, F_SETFL, O_NONBLOCK);
out:
    if (result)
        snprintf(error, error_size, "cannot start %s: %s", argv[0], strerror(-result));
    int all[] = {in[0], in[1], out[0], out[1], log};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] >= 0)
            close(all[i]);
    return result;
}

int child_ranks(struct child *child, const pid_t *pids, size_t count) {
    pid_t *copy = malloc((count + 1) * sizeof *copy);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, pids, count * sizeof *copy);
    free(child->ranks);
    child->ranks = copy;
    child->rank_count = count;
    return 0;
}

static bool write_all(struct child *child, const char *text, size_t bytes, int *result) {
    while (bytes) {
        ssize_t wrote = write(child->to, text, bytes);
        if (wrote > 0) {
            text += wrote, bytes -= (size_t)wrote;
            continue;
        }
        if (wrote < 0 && errno != EAGAIN && errno != EINTR) {
            *result = -errno;
            return false;
        }
        struct pollfd ready = {child->to, POLLOUT, 0};
        if (poll(&ready, 1, 10000) == 0) {
            *result = -ETIMEDOUT;
            return false;
        }
    }
    return true;
}

int child_send(struct child *child, const char *line) {
    int result = 0;
    if (child->to < 0)
        return -EPIPE;
    if (write_all(child, line, strlen(line), &result))
        write_all(child, "\n", 1, &result);
    return result;
}

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int child_receive(struct child *child, int timeout_ms, char **line) {
    int64_t deadline = now_ms() + timeout_ms;
    if (child->from < 0)
        return -EPIPE;
    for (size_t looked = 0;;) {
        char *begin = child->buffer + child->start;
        char *newline = child->used > looked ? memchr(begin + looked, '\n', child->used - looked) : NULL;
        if (newline) {
            *newline = '\0';
            *line = begin;
            size_t length = (size_t)(newline - begin) + 1;
            child->start += length;
            child->used -= length;
            return 1;
        }
        looked = child->used;
        if (child->start && child->used)
            memmove(child->buffer, begin, child->used);
        child->start = 0;
        if (child->used == child->room) {
            size_t room = child->room ? child->room * 2 : 65536;
            char *grown = realloc(child->buffer, room);
            if (!grown)
                return -ENOMEM;
            child->buffer = grown;
            child->room = room;
        }
        int64_t left = deadline - now_ms();
        struct pollfd ready = {child->from, POLLIN, 0};
        int polled = poll(&ready, 1, left > 0 ? (int)left : 0);
        if (polled < 0)
            return -errno;
        if (polled == 0)
            return 0;
        ssize_t got = read(child->from, child->buffer + child->used, child->room - child->used);
        if (got < 0 && errno != EINTR && errno != EAGAIN)
            return -errno;
        if (got == 0)
            return -EPIPE;
        if (got > 0)
            child->used += (size_t)got;
    }
}

bool child_wait(struct child *child, int timeout_ms) {
    int64_t deadline = now_ms() + timeout_ms;
    while (child->pid && !child->ended) {
        if (waitpid(child->pid, &child->wait_status, WNOHANG) == child->pid) {
            child->ended = true;
            break;
        }
        if (now_ms() >= deadline)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    return true;
}

void child_kill(struct child *child) {
    if (!child->pid)
        return;
    // A launcher puts its ranks in groups of their own. They go first: it then notices, and tidies up after itself.
    for (size_t i = 0; i < child->rank_count; i++)
        kill(child->ranks[i], SIGKILL);
    if (!child->rank_count || !child_wait(child, 2000))
        kill(-child->pid, SIGKILL);
    if (!child->ended)
        child_wait(child, 10000);
    kill(-child->pid, SIGKILL); // whatever is left of the group
    close(child->to);
    close(child->from);
    free(child->buffer);
    free(child->ranks);
    *child = (struct child){.to = -1, .from = -1, .ended = child->ended, .wait_status = child->wait_status};
}

void child_fate(const struct child *child, char *text, size_t size) {
    if (!child->ended)
        snprintf(text, size, "still running");
    else if (WIFSIGNALED(child->wait_status))
        snprintf(text, size, "was killed by SIG%s (%s)", sigabbrev_np(WTERMSIG(child->wait_status)),
                 strsignal(WTERMSIG(child->wait_status)));
    else
        snprintf(text, size, "exited with code %d", WEXITSTATUS(child->wait_status));
}
