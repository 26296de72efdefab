// SPDX-License-Identifier: MIT
// Timing of single kernels: a linear kernel on one problem, hot or cold, beside the roof that its bytes and operations allow.
#ifndef LLMSWEEP_WORKLOADS_KERNELS_H
#define LLMSWEEP_WORKLOADS_KERNELS_H

#include <stdint.h>

#include "harness/sampler.h"
#include "kernels/kernel.h"

struct kernel_bench_options {
    const char *format;        // a weight format's word; NULL: the first that the kernel computes
    int rows, columns, tokens; // of the problem
    int threads;
    bool cold;             // rotate copies of the weights of more than four times the last-level cache
    uint64_t cache_bytes;  // last-level cache
    uint64_t memory_bytes; // free: a cold problem may take half
    uint64_t seed;
    struct sampler_options sampler;
};

struct kernel_bench_result {
    char shape[64];           // "q4g32 2048x2048 m1"
    struct stats_interval ns; // of one call
    size_t samples;
    bool noisy;
    double gops, gbs;  // 10⁹/s
    double bandwidth;  // read, 10⁹ bytes/s: of a working set as large as the problem (hot), or of memory (cold)
    double peak;       // 10⁹ operations/s of the arithmetic that the kernel's instruction set offers
    bool memory_bound; // the bandwidth is the lower of the two roofs
    double roof, roof_fraction; // in gbs where memory_bound, else in gops
};

// Times `kernel`, which the caller has checked, and right after it the roof. -ENOTSUP with a reason where it does not
// compute the format or the op has no benchmark, -EINVAL for options out of range, -ENOMEM.
int kernel_bench(const struct kernel *kernel, const struct kernel_bench_options *options,
                 struct kernel_bench_result *result, char *error, size_t error_size);
// The first format word of linear_formats() that the kernel computes; NULL when none.
const char *kernel_bench_format(const struct kernel *kernel);

#endif
