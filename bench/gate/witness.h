// SPDX-License-Identifier: MIT
// A second witness beside the pairs, without noise: how many instructions each source file's functions execute, counted
// by Valgrind's callgrind at a fixed instruction set on one thread. Blind to everything but the count: to bandwidth,
// caches, and how long an instruction takes. Hence it hints, and never judges alone.
#ifndef LLMSWEEP_GATE_WITNESS_H
#define LLMSWEEP_GATE_WITNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "bench/compare/compare.h"

struct gate_options;
struct document;
struct json_t;

// A source file under kernels/ or bench/, or all of them together (file "").
struct witness_row {
    char folder[40], file[100]; // "kernels", "linear_q8_q4_avx2.c"
    char function[120];         // whose count changed most
    uint64_t base, head, again; // instructions; 0: the version does not have it
    double change;              // head over base, less 1; NAN without a base
    double noise;               // |again over base, less 1|
    bool rose, fell;            // beyond the limit and the noise
};

struct witness {
    struct witness_row *rows; // (row_count) the first is all of them; then by how much they added
    size_t row_count, rose, fell;
    double seconds;
};

// 0 when there is a valgrind that runs; -EINVAL with a line and the cure.
int witness_available(const struct gate_options *options, char *error, size_t error_size);
// Counts base, head, and base again. Free with witness_free, after an error too.
int witness_run(const struct gate_options *options, char *const programs[2], struct witness *witness, char *error,
                size_t error_size);
void witness_free(struct witness *witness);

void witness_write(const struct gate_options *options, const struct witness *witness, struct document *document);
struct json_t *witness_json(const struct witness *witness);

#endif
