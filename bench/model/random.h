// SPDX-License-Identifier: MIT
// Normal random numbers by the billion: number i depends on the stream and on i alone, whatever the number of threads.
#ifndef LLMSWEEP_RANDOM_H
#define LLMSWEEP_RANDOM_H

#include <stddef.h>
#include <stdint.h>

// A good 64-bit hash (splitmix64: Steele, Lea, Flood 2014), to derive one stream from another.
uint64_t random_mix(uint64_t x);
// out (count) with mean 0, by all threads of OpenMP.
void random_fill_normal(float *out, size_t count, uint64_t stream, float deviation);

#endif
