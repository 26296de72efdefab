// SPDX-License-Identifier: MIT
// What this machine could do at best, now: read bandwidth and arithmetic peaks, by the harness's own loops, to be
// measured again beside the cells in every round (a virtual machine's bandwidth was seen to move by half within
// minutes).
#ifndef LLMSWEEP_ROOF_H
#define LLMSWEEP_ROOF_H

#include <stdbool.h>
#include <stddef.h>

#include "harness/stats.h"

// The steps of the ladder of kernels/kernel.h, by the same names.
enum roof_isa { ROOF_SCALAR, ROOF_AVX2, ROOF_AVX512, ROOF_AVX512VNNI, ROOF_AVX512BF16, ROOF_AMX, ROOF_ISA_COUNT };
const char *roof_isa_name(enum roof_isa isa);
int roof_isa_parse(const char *word, enum roof_isa *isa); // -EINVAL
enum roof_isa roof_isa_detect(void);
enum roof_peak { ROOF_PEAK_FP32, ROOF_PEAK_INT8, ROOF_PEAK_BF16, ROOF_PEAKS };

struct roof_request {
    int threads;         // ≥ 1
    size_t stream_bytes; // read from memory, all threads together; 0 = no cold figure. Should be over 4× the last-level
                         // cache
    size_t hot_bytes; // read again and again, all threads together: the working set of a small model; 0 = no hot figure
    size_t cache_bytes; // last-level cache that the threads share, to say whether stream_bytes was large enough; 0 =
                        // not known
    enum roof_isa isa;  // the highest step to use; clipped to what the CPU has
    bool peaks;         // the arithmetic peaks, too
    unsigned only;      // of the peaks, those whose bits 1 << ROOF_PEAK_… are set; 0 = all
    double seconds;     // for each figure; 0.15
    void (*bind)(int thread, void *context); // called once by every thread before it touches memory; NULL = leave them
    void *context;
};

// Medians with their 95% intervals; NaN throughout where the figure was not asked for or the step has no such
// instruction. bandwidths in bytes/s, peaks in operations/s (a multiply-add counts as two), all threads together.
struct roof {
    int threads;
    enum roof_isa isa;
    struct stats_interval stream, hot;
    size_t stream_bytes, hot_bytes;
    bool stream_large_enough;               // stream_bytes > 4·cache_bytes and the cache is known
    struct stats_interval fp32, int8, bf16; // FMA; u8×s8 dot (vpdpbusd, maddubs); bf16 dot
};

struct roof_bench;
// Allocates and touches the buffers (by the threads that read them). -ENOMEM, -EINVAL with one line in error.
int roof_open(struct roof_bench **bench, const struct roof_request *request, char *error, size_t error_size);
// Measures every figure once, in about request.seconds each.
int roof_sample(struct roof_bench *bench, struct roof *roof, char *error, size_t error_size);
void roof_close(struct roof_bench *bench);
// The three in one.
int roof_measure(const struct roof_request *request, struct roof *roof, char *error, size_t error_size);

// The tokens/s that nothing can exceed: min(bandwidth / bytes per token, peak / operations per token). NaN when an
// argument is.
double roof_tokens_per_second(double bandwidth, double peak, double bytes_per_token, double operations_per_token);

#endif
