// SPDX-License-Identifier: MIT
// 6 to 11 tokens × 32 rows. A step over 4 columns is 2 loads of weights, a broadcast of activations for each token and
// two vpdpbusd with it, all operands in order in memory. At the end of a group its sums are converted, scaled and added
// to totals, as many of which stay in registers as there are free: a store of 64 bytes costs more than a dot product
// does.
//
// The bound is two vector instructions a cycle. A group of 32 columns has 8 dot products, a conversion and a
// multiply-add for each sum, so 80% of the peak are left, 94% with groups of 128 columns. 9 × 32 reaches that to within
// two percent, but only with this choice of registers, which compilers do not find; hence assembly, which the
// assembler's macros write for each height.
#include "kernels/linear/simd_avx512.h"
#include "kernels/linear/tile_q8.h"

// What the assembly reads, each 8 bytes.
struct tile_arguments {
    const uint8_t *weights[2];
    size_t stride;
    const int8_t *x;
    const int32_t *corrections, *zeros;
    const float *scales;
    float *totals;
    uint64_t groups, tiles, kind;
    const uint8_t *soon;
    const float *x_scales;
    uint64_t bias; // what the sums of a group begin with, beside the rows' zeros
};

// rdi = arguments, rax and r8 = the panels' tiles, r9 = their stride, rdx = x, rcx = corrections, r12 = zeros, rsi =
// scales, r10 = totals, r11 = groups left, rbx = tiles left, r13 = kind, r14 = what is fetched: 256 bytes in the time
// of a tile, one after the other, since many fetches at once would wait for each other, r15 = the tokens' scales of a group or 0. zmm: sums (height, panels), weights (panels), two
// tokens, totals.
// clang-format off
#define TILE_MACROS                                                                                                    \
    ".ifndef q8_macros\n"                                                                                              \
    ".set q8_macros, 1\n"                                                                                              \
    ".altmacro\n"                                                                                                      \
    "\n"                                                                                                               \
    ".macro q8_sum_fill i, sum\n"                                                                                      \
    "    vpbroadcastd 4*\\i(%%rcx), %%zmm\\sum\n"                                                                      \
    ".endm\n"                                                                                                          \
    ".macro q8_copy to, from\n"                                                                                        \
    "    vmovdqa64 %%zmm\\from, %%zmm\\to\n"                                                                           \
    ".endm\n"                                                                                                          \
    ".macro q8_load to, at, base\n"                                                                                    \
    "    vmovdqu64 \\at(%%\\base), %%zmm\\to\n"                                                                        \
    ".endm\n"                                                                                                          \
    ".macro q8_store from, at\n"                                                                                       \
    "    vmovdqu64 %%zmm\\from, \\at(%%r10)\n"                                                                         \
    ".endm\n"                                                                                                          \
    ".macro q8_bias to\n"                                                                                              \
    "    vpbroadcastd 104(%%rdi), %%zmm\\to\n"                                                                         \
    ".endm\n"                                                                                                          \
    ".macro q8_correct sum, weights, token, from\n"                                                                    \
    "    vmovdqa64 %%zmm\\from, %%zmm\\sum\n"                                                                          \
    "    vpdpwssd %%zmm\\token, %%zmm\\weights, %%zmm\\sum\n"                                                          \
    ".endm\n"                                                                                                          \
    ".macro q8_token to, at\n"                                                                                         \
    "    vpbroadcastd \\at(%%rdx), %%zmm\\to\n"                                                                        \
    ".endm\n"                                                                                                          \
    ".macro q8_dot sum, weights, token\n"                                                                              \
    "    vpdpbusd %%zmm\\token, %%zmm\\weights, %%zmm\\sum\n"                                                          \
    ".endm\n"                                                                                                          \
    ".macro q8_convert sum\n"                                                                                          \
    "    vcvtdq2ps %%zmm\\sum, %%zmm\\sum\n"                                                                           \
    ".endm\n"                                                                                                          \
    ".macro q8_token_scale to, at\n"                                                                                   \
    "    vbroadcastss \\at(%%r15), %%zmm\\to\n"                                                                        \
    ".endm\n"                                                                                                          \
    ".macro q8_scale_token sum, scale, less\n"                                                                         \
    "    vfmadd213ps %%zmm\\less, %%zmm\\scale, %%zmm\\sum\n"                                                          \
    ".endm\n"                                                                                                          \
    ".macro q8_scale_kept sum, scale, total\n"                                                                         \
    "    vfmadd231ps %%zmm\\sum, %%zmm\\scale, %%zmm\\total\n"                                                         \
    ".endm\n"                                                                                                          \
    ".macro q8_scale sum, scale, at\n"                                                                                 \
    "    vfmadd213ps \\at(%%r10), %%zmm\\scale, %%zmm\\sum\n"                                                          \
    "    vmovups %%zmm\\sum, \\at(%%r10)\n"                                                                            \
    ".endm\n"                                                                                                          \
    "\n"                                                                                                               \
    ".macro q8_end height, panels, grouped\n"                                                                          \
    "    .set q8_i, 0\n"                                                                                               \
    "    .rept \\height\n"                                                                                             \
    "    .set q8_n, q8_i * \\panels\n"                                                                                 \
    "    .if \\grouped\n"                                                                                              \
    "    q8_token_scale %%(q8_tokens), %%(4 * q8_i)\n"                                                                 \
    "    q8_token_scale %%(q8_tokens + 1), %%(4 * (\\height + q8_i))\n"                                                \
    "    .endif\n"                                                                                                     \
    "    .rept \\panels\n"                                                                                             \
    "    .if \\grouped\n"                                                                                              \
    "    q8_scale_token %%(q8_n), %%(q8_tokens), %%(q8_tokens + 1)\n"                                                  \
    "    .else\n"                                                                                                      \
    "    q8_convert %%(q8_n)\n"                                                                                        \
    "    .endif\n"                                                                                                     \
    "    .set q8_n, q8_n + 1\n"                                                                                        \
    "    .endr\n"                                                                                                      \
    "    .set q8_n, q8_i * \\panels\n"                                                                                 \
    "    .rept \\panels\n"                                                                                             \
    "    .if q8_n < q8_kept\n"                                                                                         \
    "    q8_scale_kept %%(q8_n), %%(q8_weights + q8_n %% \\panels), %%(q8_totals + q8_n)\n"                            \
    "    .else\n"                                                                                                      \
    "    q8_scale %%(q8_n), %%(q8_weights + q8_n %% \\panels), %%(64 * q8_n)\n"                                        \
    "    .endif\n"                                                                                                     \
    "    .set q8_n, q8_n + 1\n"                                                                                        \
    "    .endr\n"                                                                                                      \
    "    .set q8_i, q8_i + 1\n"                                                                                        \
    "    .endr\n"                                                                                                      \
    ".endm\n"                                                                                                          \
    "\n"                                                                                                               \
    ".macro q8_tile height, panels\n"                                                                                  \
    "    .set q8_sums, \\height * \\panels\n"                                                                          \
    "    .set q8_weights, q8_sums\n"                                                                                   \
    "    .set q8_tokens, q8_weights + \\panels\n"                                                                      \
    "    .set q8_totals, q8_tokens + 2\n"                                                                              \
    "    .set q8_kept, 32 - q8_totals\n"                                                                               \
    "    .if q8_kept > q8_sums\n"                                                                                      \
    "    .set q8_kept, q8_sums\n"                                                                                      \
    "    .endif\n"                                                                                                     \
    "    mov (%%rdi), %%rax\n"                                                                                         \
    "    mov 8(%%rdi), %%r8\n"                                                                                         \
    "    mov 16(%%rdi), %%r9\n"                                                                                        \
    "    mov 24(%%rdi), %%rdx\n"                                                                                       \
    "    mov 32(%%rdi), %%rcx\n"                                                                                       \
    "    mov 40(%%rdi), %%r12\n"                                                                                       \
    "    mov 48(%%rdi), %%rsi\n"                                                                                       \
    "    mov 56(%%rdi), %%r10\n"                                                                                       \
    "    mov 64(%%rdi), %%r11\n"                                                                                       \
    "    mov 80(%%rdi), %%r13\n"                                                                                       \
    "    mov 88(%%rdi), %%r14\n"                                                                                       \
    "    mov 96(%%rdi), %%r15\n"                                                                                       \
    "    .set q8_n, 0\n"                                                                                               \
    "    .rept q8_kept\n"                                                                                              \
    "    q8_load %%(q8_totals + q8_n), %%(64 * q8_n), r10\n"                                                           \
    "    .set q8_n, q8_n + 1\n"                                                                                        \
    "    .endr\n"                                                                                                      \
    "1:  cmp $1, %%r13d\n"                                                                                             \
    "    je 2f\n"                                                                                                      \
    "    ja 3f\n"                                                                                                      \
    "    .set q8_i, 0\n"                                                                                               \
    "    .rept \\height\n"                                                                                             \
    "    q8_sum_fill %%(q8_i), %%(q8_i * \\panels)\n"                                                                  \
    "    .if \\panels == 2\n"                                                                                          \
    "    q8_copy %%(q8_i * 2 + 1), %%(q8_i * 2)\n"                                                                     \
    "    .endif\n"                                                                                                     \
    "    .set q8_i, q8_i + 1\n"                                                                                        \
    "    .endr\n"                                                                                                      \
    "    jmp 4f\n"                                                                                                     \
    "2:  q8_bias %%(q8_tokens + 1)\n"                                                                                  \
    "    .set q8_p, 0\n"                                                                                               \
    "    .rept \\panels\n"                                                                                             \
    "    q8_load %%(q8_weights + q8_p), %%(64 * q8_p), r12\n"                                                          \
    "    .set q8_p, q8_p + 1\n"                                                                                        \
    "    .endr\n"                                                                                                      \
    "    .set q8_n, 0\n"                                                                                               \
    "    .rept q8_sums\n"                                                                                              \
    "    q8_sum_fill %%(q8_n / \\panels), %%(q8_tokens)\n"                                                             \
    "    q8_correct %%(q8_n), %%(q8_weights + q8_n %% \\panels), %%(q8_tokens), %%(q8_tokens + 1)\n"                   \
    "    .set q8_n, q8_n + 1\n"                                                                                        \
    "    .endr\n"                                                                                                      \
    "    jmp 4f\n"                                                                                                     \
    "3:  .set q8_n, 0\n"                                                                                               \
    "    .rept q8_sums\n"                                                                                              \
    "    q8_load %%(q8_n), %%(64 * q8_n), r10\n"                                                                       \
    "    .set q8_n, q8_n + 1\n"                                                                                        \
    "    .endr\n"                                                                                                      \
    "4:  mov 72(%%rdi), %%rbx\n"                                                                                       \
    "    .p2align 5\n"                                                                                                 \
    "5:  .set q8_chunk, 0\n"                                                                                           \
    "    .rept 8\n"                                                                                                    \
    "    q8_load %%(q8_weights), %%(64 * q8_chunk), rax\n"                                                             \
    "    .if \\panels == 2\n"                                                                                          \
    "    q8_load %%(q8_weights + 1), %%(64 * q8_chunk), r8\n"                                                          \
    "    .endif\n"                                                                                                     \
    "    .set q8_i, 0\n"                                                                                               \
    "    .rept \\height\n"                                                                                             \
    "    q8_token %%(q8_tokens + q8_i %% 2), %%(32 * q8_i + 4 * q8_chunk)\n"                                           \
    "    q8_dot %%(q8_i * \\panels), %%(q8_weights), %%(q8_tokens + q8_i %% 2)\n"                                      \
    "    .if \\panels == 2\n"                                                                                          \
    "    q8_dot %%(q8_i * 2 + 1), %%(q8_weights + 1), %%(q8_tokens + q8_i %% 2)\n"                                     \
    "    .endif\n"                                                                                                     \
    "    .set q8_i, q8_i + 1\n"                                                                                        \
    "    .endr\n"                                                                                                      \
    "    .if q8_chunk %% 2\n"                                                                                          \
    "    prefetcht1 (32 * (q8_chunk - 1))(%%r14)\n"                                                                    \
    "    .endif\n"                                                                                                     \
    "    .set q8_chunk, q8_chunk + 1\n"                                                                                \
    "    .endr\n"                                                                                                      \
    "    add $256, %%r14\n"                                                                                            \
    "    add %%r9, %%rax\n"                                                                                            \
    "    add %%r9, %%r8\n"                                                                                             \
    "    add $(32 * \\height), %%rdx\n"                                                                                \
    "    dec %%ebx\n"                                                                                                  \
    "    jnz 5b\n"                                                                                                     \
    "    cmp $2, %%r13d\n"                                                                                             \
    "    je 6f\n"                                                                                                      \
    "    .set q8_p, 0\n"                                                                                               \
    "    .rept \\panels\n"                                                                                             \
    "    q8_load %%(q8_weights + q8_p), %%(64 * q8_p), rsi\n"                                                          \
    "    .set q8_p, q8_p + 1\n"                                                                                        \
    "    .endr\n"                                                                                                      \
    "    test %%r15, %%r15\n"                                                                                          \
    "    jnz 8f\n"                                                                                                     \
    "    q8_end \\height, \\panels, 0\n"                                                                               \
    "9:  add $(64 * \\panels), %%rsi\n"                                                                                \
    "    add $(64 * \\panels), %%r12\n"                                                                                \
    "    add $(4 * \\height), %%rcx\n"                                                                                 \
    "    dec %%r11d\n"                                                                                                 \
    "    jnz 1b\n"                                                                                                     \
    "    .set q8_n, 0\n"                                                                                               \
    "    .rept q8_kept\n"                                                                                              \
    "    q8_store %%(q8_totals + q8_n), %%(64 * q8_n)\n"                                                               \
    "    .set q8_n, q8_n + 1\n"                                                                                        \
    "    .endr\n"                                                                                                      \
    "    jmp 7f\n"                                                                                                     \
    "8:  q8_end \\height, \\panels, 1\n"                                                                               \
    "    add $(8 * \\height), %%r15\n"                                                                                 \
    "    jmp 9b\n"                                                                                                     \
    "6:  .set q8_n, 0\n"                                                                                               \
    "    .rept q8_sums\n"                                                                                              \
    "    q8_store %%(q8_n), %%(64 * q8_n)\n"                                                                           \
    "    .set q8_n, q8_n + 1\n"                                                                                        \
    "    .endr\n"                                                                                                      \
    "7:\n"                                                                                                             \
    ".endm\n"                                                                                                          \
    ".noaltmacro\n"                                                                                                    \
    ".endif\n"
// clang-format on

#define TILE_CASE(p, h)                                                                                                \
    case 16 * p + h:                                                                                                   \
        __asm__ volatile(TILE_MACROS ".altmacro\n q8_tile " #h ", " #p "\n.noaltmacro\n"                               \
                         :                                                                                             \
                         : "D"(&arguments)                                                                             \
                         : TILE_CLOBBERS);                                                                             \
        break;
#define TILE_CASES(h) TILE_CASE(1, h) TILE_CASE(2, h)
#define TILE_CLOBBERS                                                                                                  \
    "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc", "memory", "zmm0", "zmm1",  \
        "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10", "zmm11", "zmm12", "zmm13", "zmm14",   \
        "zmm15", "zmm16", "zmm17", "zmm18", "zmm19", "zmm20", "zmm21", "zmm22", "zmm23", "zmm24", "zmm25", "zmm26",    \
        "zmm27", "zmm28", "zmm29", "zmm30", "zmm31"

_Static_assert(Q8_DIRECT >= 8, "passes of 9 tokens or more are cut into blocks of 6 or more");
void linear_q8_tile_avx512vnni(const struct q8_strip *strip, int height, const int8_t *x, const int32_t *corrections,
                               const float *x_scales, float *totals, const uint8_t *soon) {
    const struct tile_arguments arguments = {.weights = {strip->weights[0], strip->weights[1]},
                                             .stride = strip->stride,
                                             .x = x,
                                             .corrections = corrections,
                                             .zeros = strip->zeros,
                                             .scales = strip->scales,
                                             .totals = totals,
                                             .groups = (uint64_t)strip->groups,
                                             .tiles = (uint64_t)strip->tiles,
                                             .kind = strip->kind,
                                             .soon = soon,
                                             .x_scales = x_scales,
                                             .bias = x_scales != NULL ? SUM_BIAS_BITS : 0};
    switch (16 * strip->panels + height) {
        TILE_CASES(6) TILE_CASES(7) TILE_CASES(8) TILE_CASES(9) TILE_CASES(10) TILE_CASES(11)
    }
}
