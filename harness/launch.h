// SPDX-License-Identifier: MIT
// Child processes that speak in lines: started, heard with a time limit, and ended together with all that they started.
#ifndef LLMSWEEP_LAUNCH_H
#define LLMSWEEP_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
    pid_t pid;           // of the process itself, or of the launcher; 0: none
    int to, from;        // its stdin and stdout
    pid_t *ranks;        // (rank_count) processes of this host that the launcher started, as the child has told (child_ranks)
    size_t rank_count;
    char *buffer;        // what was read and not yet handed out
    size_t start, used, room;
    bool ended;          // it was waited for
    int wait_status;
};

struct child_options {
    const char *log_path;     // appended to: its stderr
    uint64_t data_limit;      // bytes of private memory a process (RLIMIT_DATA); 0 = none
    const char *const *environment; // (environment_count) "NAME=value", beside what is inherited
    size_t environment_count;
};

// Whether the first word of a launcher line is a program that can be run; otherwise a reason with the cure.
bool launcher_found(const char *launcher, char *reason, size_t reason_size);
// The launcher line's words with {ranks} filled in, then the command's words. argv is malloc'ed as one block, NULL at its end. An empty
// launcher: the command alone.
char **launch_words(const char *launcher, int ranks, const char *const *command, size_t command_count);

// Starts argv in a process group of its own, which dies with its parent. 0 or -errno with a line.
int child_start(struct child *child, char *const *argv, const struct child_options *options, char *error, size_t error_size);
// Remembers the processes that are to be ended with it. -ENOMEM.
int child_ranks(struct child *child, const pid_t *pids, size_t count);
// Writes a line (the newline is added). -EPIPE when it has ended; -ETIMEDOUT when it does not read.
int child_send(struct child *child, const char *line);
// The next line that it wrote, valid until the next call: 1. 0 when the time is up, -EINTR on a signal, -EPIPE when it has ended.
int child_receive(struct child *child, int timeout_ms, char **line);
// Waits up to timeout_ms for its end. True: it has ended, wait_status is set.
bool child_wait(struct child *child, int timeout_ms);
// Ends all its processes at once, waits for it, and frees what child_start allocated; wait_status and ended stay.
void child_kill(struct child *child);
// "was killed by SIGSEGV (Segmentation fault)", "exited with code 3".
void child_fate(const struct child *child, char *text, size_t size);

#endif
