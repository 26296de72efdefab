// SPDX-License-Identifier: MIT
// Timing of single kernels on the problems that their ops describe, hot or cold, with the roof that bytes and operations allow measured
// between the samples.
#ifndef LLMSWEEP_WORKLOADS_KERNELS_H
#define LLMSWEEP_WORKLOADS_KERNELS_H

#include <stdint.h>

#include "harness/sampler.h"
#include "kernels/op.h"

enum kernel_cache {
    KERNEL_CACHE_AUTO, // cold where a call reads many bytes for few operations, as a decode step does; else hot
    KERNEL_CACHE_HOT,  // the same problem again and again
    KERNEL_CACHE_COLD  // copies of what it reads, more than four times the last-level cache, in turn
};

struct kernel_bench_options {
    int threads;
    enum kernel_cache cache;
    uint64_t cache_bytes;  // last-level cache; 0 = not known: nothing can be cold
    uint64_t memory_bytes; // free: a cold problem may take half
    uint64_t seed;
    int visits;          // in each of which first the roof is measured, then the kernel is sampled; 3
    bool all_visits;     // make every visit, however narrow the interval is, and whatever time it takes
    double roof_seconds; // for a figure of the roof, a visit; 0.02
    struct sampler_options sampler;
    void (*bind)(int thread, void *context); // called once by every thread; NULL = leave them
    void *bind_context;
};
struct kernel_bench_options kernel_bench_defaults(void);

struct kernel_bench_result {
    char shape[80]; // "q4g32 2048x5632 m1"
    bool cold;
    struct stats_interval ns; // of one call
    size_t samples;
    bool noisy;
    double operations, bytes; // of one call
    double gops, gbs;         // 10⁹/s
    double bandwidth;  // read, 10⁹ bytes/s: of memory (cold), or of a working set as large as the problem's bytes (hot)
    double peak;       // 10⁹ operations/s of the arithmetic that the op names, at the instruction set in force
    bool memory_bound; // the bandwidth is the lower of the two roofs
    double roof, roof_fraction; // in gbs where memory_bound, else in gops
};

// Threads, and the long buffer whose reading is memory's bandwidth: shared by the problems of a run.
struct kernel_bencher;
// -EINVAL, -EAGAIN (fewer threads than asked for), -ENOMEM; one line in error.
int kernel_bencher_open(struct kernel_bencher **bencher, const struct kernel_bench_options *options, char *error, size_t error_size);
void kernel_bencher_close(struct kernel_bencher *bencher);

// One kernel on one problem. The caller has checked the kernel. -ENOTSUP with a reason where it does not compute the shape (see its op),
// -EINVAL for a shape that cannot be read or cannot be made cold, -ENOMEM.
struct kernel_bench;
int kernel_bench_open(struct kernel_bench **bench, struct kernel_bencher *bencher, const struct kernel *kernel, const char *shape,
                      char *error, size_t error_size);
// Measures the roof, then samples the kernel. visit_ns (may be NULL): the median call of this visit. Visits of several problems may
// take turns. After the last visit, or once the samples' interval is narrow enough, kernel_bench_done.
int kernel_bench_visit(struct kernel_bench *bench, double *visit_ns, char *error, size_t error_size);
bool kernel_bench_done(const struct kernel_bench *bench);
// -EINVAL before the first visit.
int kernel_bench_result(const struct kernel_bench *bench, struct kernel_bench_result *result);
void kernel_bench_close(struct kernel_bench *bench);

#endif
