// SPDX-License-Identifier: MIT
// What the parts of `llmsweep peers` share.
#ifndef LLMSWEEP_PEERS_COMMAND_H
#define LLMSWEEP_PEERS_COMMAND_H

#include "bench/workloads/kernels.h"

struct json_t; // jansson's json_t

enum { PEERS_THREADS_LIMIT = 8 };

struct peers_request {
    const char *llama_bench; // NULL: none was found
    const char *llama_quantize;
    char *against; // "q8g32=Q8_0,q4g32=Q4_0"; is cut up
    int threads[PEERS_THREADS_LIMIT], thread_count;
    int pairs, layers, prompt, gen;
    enum activation activation; // of our integer formats
    bool models, libraries;
    struct json_t *json; // NULL: tables
};

// Our dense kernels beside the libraries' on the same matrices, in turns. The exit code.
int peers_libraries(const struct peers_request *request, struct kernel_bench_options options);

#endif
