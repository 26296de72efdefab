// SPDX-License-Identifier: MIT
// What Valgrind's callgrind wrote with --dump-instr=yes: the instructions that each function executed by itself
// (format: Valgrind manual, "Callgrind Format Specification").
#ifndef LLMSWEEP_GATE_CALLGRIND_H
#define LLMSWEEP_GATE_CALLGRIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/gate/symbols.h"

struct callgrind_count {
    char folder[40]; // of the source that the function stands in: "kernels", "bench", "harness"; "" of others
    char file[100];  // that it was compiled in, without folders: "linear_q8_q4_avx2.c", whatever header it stands in;
                     // else its library
    char function[120]; // "many_linear"; what is inlined counts to the function that it is in
    uint64_t instructions;
};

struct callgrind_profile {
    char *command;                  // that was run
    struct callgrind_count *counts; // by file and function, each pair once
    size_t count;
    uint64_t instructions; // of all
};

// `symbols` are those of the program that ran. -ENOENT, -EINVAL (torn, or no such file's format), -ENOMEM with a line.
// Free with callgrind_free, after an error too.
int callgrind_read(const char *path, const struct symbols *symbols, struct callgrind_profile *profile, char *error,
                   size_t error_size);
void callgrind_free(struct callgrind_profile *profile);

#endif
