// SPDX-License-Identifier: MIT
// AMX in software, so that its kernels are checked where a CPU lacks it: included before a file of kernels, it puts functions in the place of the
// instructions that load, multiply and store tiles, and before kernels/cpu.c it adds AMX to what CPUID says. Some hundred times slower than the real thing.
#ifndef LLMSWEEP_TESTS_EMULATION_AMX_H
#define LLMSWEEP_TESTS_EMULATION_AMX_H

#include <cpuid.h>
#include <immintrin.h>
#include <unistd.h>

// What differs from the intrinsics: an operation on shapes that do not fit, or on tiles that are not configured, aborts, as the CPU raises #UD.
void emulated_load_config(const void *config);
void emulated_release(void);
void emulated_zero(int tile);
void emulated_load(int tile, const void *from, long stride);
void emulated_store(int tile, void *to, long stride);
void emulated_dot_bytes(int sums, int a, int b, int a_signed, int b_signed); // TDPBSSD, TDPBSUD, TDPBUSD, TDPBUUD
void emulated_dot_bf16(int sums, int a, int b);                              // TDPBF16PS
// As the CPU's, with AMX's bits set in leaf 7.
int emulated_cpuid(unsigned leaf, unsigned subleaf, unsigned *a, unsigned *b, unsigned *c, unsigned *d);

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stream_loadd
#undef _tile_stored
#undef _tile_dpbssd
#undef _tile_dpbsud
#undef _tile_dpbusd
#undef _tile_dpbuud
#undef _tile_dpbf16ps
#define _tile_loadconfig(config)             emulated_load_config(config)
#define _tile_release()                      emulated_release()
#define _tile_zero(tile)                     emulated_zero(tile)
#define _tile_loadd(tile, from, stride)      emulated_load(tile, from, (long)(stride))
#define _tile_stream_loadd(tile, from, stride) emulated_load(tile, from, (long)(stride))
#define _tile_stored(tile, to, stride)       emulated_store(tile, to, (long)(stride))
#define _tile_dpbssd(sums, a, b)             emulated_dot_bytes(sums, a, b, 1, 1)
#define _tile_dpbsud(sums, a, b)             emulated_dot_bytes(sums, a, b, 1, 0)
#define _tile_dpbusd(sums, a, b)             emulated_dot_bytes(sums, a, b, 0, 1)
#define _tile_dpbuud(sums, a, b)             emulated_dot_bytes(sums, a, b, 0, 0)
#define _tile_dpbf16ps(sums, a, b)           emulated_dot_bf16(sums, a, b)

#define __get_cpuid_count(leaf, subleaf, a, b, c, d) emulated_cpuid(leaf, subleaf, a, b, c, d)
#define syscall(...)                                 0 // Linux always grants the emulated registers

#endif
