// SPDX-License-Identifier: MIT
// Other programs: run with a time limit, and what llama-bench says.
#ifndef LLMSWEEP_WORKLOADS_PEERS_PROCESS_H
#define LLMSWEEP_WORKLOADS_PEERS_PROCESS_H

#include <stddef.h>

// Runs arguments (ended by NULL; the first is an absolute path, or searched on PATH) in the folder, where it may leave what it likes, and returns what it prints to stdout; what it prints to stderr is only quoted in
// errors. The caller frees. -ENOENT, -ETIME after `seconds`, -ECHILD where it ends with another code than 0, -ENOMEM; one line in error.
int peer_process_run(const char *const *arguments, const char *folder, int seconds, char **output, char *error, size_t error_size);

struct peer_speeds {
    double prefill, decode; // tokens/s; NAN where there is no such row
    char build[48];
};
// Reads what `llama-bench -o json` prints, by names. -EINVAL; one line in error.
int peer_speeds_parse(const char *json, struct peer_speeds *speeds, char *error, size_t error_size);

#endif
