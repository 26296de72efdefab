// SPDX-License-Identifier: MIT
// What the parts of `llmsweep kernels` share.
#ifndef LLMSWEEP_KERNELS_COMMAND_H
#define LLMSWEEP_KERNELS_COMMAND_H

#include "bench/workloads/kernels.h"

enum { KERNELS_TOKENS_LIMIT = 16, KERNELS_MATRICES_LIMIT = 64 };

struct kernels_request {
    const char *filter, *csv, *format; // NULL: all kernels; no file; the first format that a kernel computes
    const char *activations;           // NULL: those of the kernel's name
    bool full, json;
    int tokens[KERNELS_TOKENS_LIMIT], token_count;          // 0: those of the op's shapes
    struct { int rows, columns; } matrices[KERNELS_MATRICES_LIMIT];
    int matrix_count;                                       // 0: those of the op's shapes
    struct kernel_bench_options bench;
};

bool kernels_wanted(const struct kernels_request *request, const struct kernel *kernel);
// 0 passed, -ENOTSUP where the op has no check, else failed; one line in message.
int kernels_check_one(const struct kernels_request *request, const struct kernel *kernel, size_t *comparisons, char *message,
                      size_t message_size);
// Times what the request wants. The exit code.
int kernels_bench(const struct kernels_request *request);
// Times the bitmask store at several prune ratios beside the dense store. The exit code.
int kernels_prune(const struct kernels_request *request);

#endif
