// SPDX-License-Identifier: MIT
// The loops that harness/roof.c times: one thread's share, for each instruction set. Private to the roof.
#ifndef LLMSWEEP_ROOF_LOOPS_H
#define LLMSWEEP_ROOF_LOOPS_H

#include <stddef.h>
#include <stdint.h>

#include "harness/roof.h"

// Reads bytes (a multiple of 4096, 64-byte aligned) and returns something that depends on all of them.
typedef uint64_t roof_read_function(const void *data, size_t bytes);
// Runs `rounds` rounds of multiply-adds on registers and returns something that depends on all of them.
typedef double roof_peak_function(uint64_t rounds);

struct roof_peak_loop {
    roof_peak_function *function; // NULL where the step has no such instruction
    double operations;            // in a round; a multiply-add is two
};

roof_read_function *roof_read_loop(enum roof_isa isa);   // what is near
roof_read_function *roof_stream_loop(enum roof_isa isa); // what is in memory
struct roof_peak_loop roof_peak_loop(enum roof_isa isa, enum roof_peak peak);

#endif
