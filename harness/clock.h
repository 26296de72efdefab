// SPDX-License-Identifier: MIT
// Time: CLOCK_MONOTONIC_RAW, which no adjustment of the system's clock touches, and what reading it costs.
#ifndef LLMSWEEP_CLOCK_H
#define LLMSWEEP_CLOCK_H

#include <stdint.h>

struct clock_cost {
    double read_ns;       // one call of clock_now, median of many
    double resolution_ns; // the smallest step that the clock was seen to make
};

// Nanoseconds since an arbitrary start.
uint64_t clock_now(void);
double clock_seconds(uint64_t from, uint64_t to);
// Measures the clock itself, in about 2 ms; the same numbers from then on (thread-safe).
struct clock_cost clock_cost(void);
// The shortest sample of which reading the clock at both ends, and its resolution, are less than `share` (0.001):
// nanoseconds.
double clock_shortest_sample_ns(double share);

#endif
