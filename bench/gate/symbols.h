// SPDX-License-Identifier: MIT
// Which source file the functions of a program came from, by its symbol table. Kernels of one name, `linear`, are made
// from shared headers in many files; only the table tells them apart.
#ifndef LLMSWEEP_GATE_SYMBOLS_H
#define LLMSWEEP_GATE_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

struct symbol {
    uint64_t address, size; // as in the file; where it was loaded is added at run time
    const char *function;
    const char *file; // "linear_q8_q4_avx2.c", of static functions; NULL of others
};

struct symbols {
    char name[100];    // of the program, without its folder
    struct symbol *of; // (count) functions, by address
    size_t count;
    char *image;
    size_t image_bytes;
};

// Reads a 64-bit little-endian ELF file. -ENOENT, -ENOEXEC (no such file's format, torn, or stripped), -ENOMEM with a
// line. Free with symbols_free, after an error too.
int symbols_read(const char *path, struct symbols *symbols, char *error, size_t error_size);
void symbols_free(struct symbols *symbols);
// The function that an address is in; NULL where there is none.
const struct symbol *symbols_at(const struct symbols *symbols, uint64_t address);

#endif
