// SPDX-License-Identifier: MIT
// 6 to 11 tokens × 32 rows. A column is 2 loads of weights, a broadcast of activations for each token and two
// multiply-adds with it, all operands in order in memory. At the end of a tile of 32 columns its sums are added to
// totals, as many of which stay in registers as there are free. The bound is two vector instructions a cycle, of which
// sums need one in 33. In assembly for the reason that tile_q8_avx512vnni.h gives.
#include "kernels/linear/simd_avx512.h"
#include "kernels/linear/tile_f32.h"

// What the assembly reads, each 8 bytes.
struct tile_arguments {
    const float *weights[2], *x, *scales;
    float *totals;
    uint64_t tiles, scaled;
    const uint8_t *soon;
};

// rdi = arguments, rax and r8 = the panels' tiles, rdx = x, rsi = scales, r10 = totals, r11 = tiles left, rbx = steps
// left, r13 = scaled, r14 = what is fetched: 128 bytes a step, since many fetches at once would wait for each other.
// zmm: sums (height, panels), weights (panels), two tokens, totals.
// clang-format off
#define TILE_MACROS                                                                                                    \
    ".ifndef f32_macros\n"                                                                                             \
    ".set f32_macros, 1\n"                                                                                             \
    ".altmacro\n"                                                                                                      \
    "\n"                                                                                                               \
    ".macro f32_load to, at, base\n"                                                                                   \
    "    vmovups \\at(%%\\base), %%zmm\\to\n"                                                                          \
    ".endm\n"                                                                                                          \
    ".macro f32_store from, at\n"                                                                                      \
    "    vmovups %%zmm\\from, \\at(%%r10)\n"                                                                           \
    ".endm\n"                                                                                                          \
    ".macro f32_zero to\n"                                                                                             \
    "    vpxord %%zmm\\to, %%zmm\\to, %%zmm\\to\n"                                                                     \
    ".endm\n"                                                                                                          \
    ".macro f32_token to, at\n"                                                                                        \
    "    vbroadcastss \\at(%%rdx), %%zmm\\to\n"                                                                        \
    ".endm\n"                                                                                                          \
    ".macro f32_multiply sum, weights, token\n"                                                                        \
    "    vfmadd231ps %%zmm\\token, %%zmm\\weights, %%zmm\\sum\n"                                                       \
    ".endm\n"                                                                                                          \
    ".macro f32_add_kept sum, total\n"                                                                                 \
    "    vaddps %%zmm\\sum, %%zmm\\total, %%zmm\\total\n"                                                              \
    ".endm\n"                                                                                                          \
    ".macro f32_add sum, at\n"                                                                                         \
    "    vaddps \\at(%%r10), %%zmm\\sum, %%zmm\\sum\n"                                                                 \
    "    vmovups %%zmm\\sum, \\at(%%r10)\n"                                                                            \
    ".endm\n"                                                                                                          \
    ".macro f32_scale_kept sum, scale, total\n"                                                                        \
    "    vfmadd231ps %%zmm\\sum, %%zmm\\scale, %%zmm\\total\n"                                                         \
    ".endm\n"                                                                                                          \
    ".macro f32_scale sum, scale, at\n"                                                                                \
    "    vfmadd213ps \\at(%%r10), %%zmm\\scale, %%zmm\\sum\n"                                                          \
    "    vmovups %%zmm\\sum, \\at(%%r10)\n"                                                                            \
    ".endm\n"                                                                                                          \
    "\n"                                                                                                               \
    ".macro f32_tile height, panels\n"                                                                                 \
    "    .set f32_sums, \\height * \\panels\n"                                                                         \
    "    .set f32_weights, f32_sums\n"                                                                                 \
    "    .set f32_tokens, f32_weights + \\panels\n"                                                                    \
    "    .set f32_totals, f32_tokens + 2\n"                                                                            \
    "    .set f32_kept, 32 - f32_totals\n"                                                                             \
    "    .if f32_kept > f32_sums\n"                                                                                    \
    "    .set f32_kept, f32_sums\n"                                                                                    \
    "    .endif\n"                                                                                                     \
    "    mov (%%rdi), %%rax\n"                                                                                         \
    "    mov 8(%%rdi), %%r8\n"                                                                                         \
    "    mov 16(%%rdi), %%rdx\n"                                                                                       \
    "    mov 24(%%rdi), %%rsi\n"                                                                                       \
    "    mov 32(%%rdi), %%r10\n"                                                                                       \
    "    mov 40(%%rdi), %%r11\n"                                                                                       \
    "    mov 48(%%rdi), %%r13\n"                                                                                       \
    "    mov 56(%%rdi), %%r14\n"                                                                                       \
    "    .set f32_n, 0\n"                                                                                              \
    "    .rept f32_kept\n"                                                                                             \
    "    f32_load %%(f32_totals + f32_n), %%(64 * f32_n), r10\n"                                                       \
    "    .set f32_n, f32_n + 1\n"                                                                                      \
    "    .endr\n"                                                                                                      \
    "1:  .set f32_n, 0\n"                                                                                              \
    "    .rept f32_sums\n"                                                                                             \
    "    f32_zero %%(f32_n)\n"                                                                                         \
    "    .set f32_n, f32_n + 1\n"                                                                                      \
    "    .endr\n"                                                                                                      \
    "    mov $4, %%ebx\n"                                                                                              \
    "    .p2align 5\n"                                                                                                 \
    "2:  .set f32_column, 0\n"                                                                                         \
    "    .rept 8\n"                                                                                                    \
    "    f32_load %%(f32_weights), %%(64 * f32_column), rax\n"                                                         \
    "    .if \\panels == 2\n"                                                                                          \
    "    f32_load %%(f32_weights + 1), %%(64 * f32_column), r8\n"                                                      \
    "    .endif\n"                                                                                                     \
    "    .set f32_i, 0\n"                                                                                              \
    "    .rept \\height\n"                                                                                             \
    "    f32_token %%(f32_tokens + f32_i %% 2), %%(32 * f32_i + 4 * f32_column)\n"                                     \
    "    f32_multiply %%(f32_i * \\panels), %%(f32_weights), %%(f32_tokens + f32_i %% 2)\n"                            \
    "    .if \\panels == 2\n"                                                                                          \
    "    f32_multiply %%(f32_i * 2 + 1), %%(f32_weights + 1), %%(f32_tokens + f32_i %% 2)\n"                           \
    "    .endif\n"                                                                                                     \
    "    .set f32_i, f32_i + 1\n"                                                                                      \
    "    .endr\n"                                                                                                      \
    "    .set f32_column, f32_column + 1\n"                                                                            \
    "    .endr\n"                                                                                                      \
    "    prefetcht1 (%%r14)\n"                                                                                         \
    "    prefetcht1 64(%%r14)\n"                                                                                       \
    "    add $128, %%r14\n"                                                                                            \
    "    add $512, %%rax\n"                                                                                            \
    "    add $512, %%r8\n"                                                                                             \
    "    add $(32 * \\height), %%rdx\n"                                                                                \
    "    dec %%ebx\n"                                                                                                  \
    "    jnz 2b\n"                                                                                                     \
    "    test %%r13d, %%r13d\n"                                                                                        \
    "    jnz 3f\n"                                                                                                     \
    "    .set f32_n, 0\n"                                                                                              \
    "    .rept f32_sums\n"                                                                                             \
    "    .if f32_n < f32_kept\n"                                                                                       \
    "    f32_add_kept %%(f32_n), %%(f32_totals + f32_n)\n"                                                             \
    "    .else\n"                                                                                                      \
    "    f32_add %%(f32_n), %%(64 * f32_n)\n"                                                                          \
    "    .endif\n"                                                                                                     \
    "    .set f32_n, f32_n + 1\n"                                                                                      \
    "    .endr\n"                                                                                                      \
    "    jmp 4f\n"                                                                                                     \
    "3:  .set f32_p, 0\n"                                                                                              \
    "    .rept \\panels\n"                                                                                             \
    "    f32_load %%(f32_weights + f32_p), %%(64 * f32_p), rsi\n"                                                      \
    "    .set f32_p, f32_p + 1\n"                                                                                      \
    "    .endr\n"                                                                                                      \
    "    .set f32_n, 0\n"                                                                                              \
    "    .rept f32_sums\n"                                                                                             \
    "    .if f32_n < f32_kept\n"                                                                                       \
    "    f32_scale_kept %%(f32_n), %%(f32_weights + f32_n %% \\panels), %%(f32_totals + f32_n)\n"                      \
    "    .else\n"                                                                                                      \
    "    f32_scale %%(f32_n), %%(f32_weights + f32_n %% \\panels), %%(64 * f32_n)\n"                                   \
    "    .endif\n"                                                                                                     \
    "    .set f32_n, f32_n + 1\n"                                                                                      \
    "    .endr\n"                                                                                                      \
    "    add $(64 * \\panels), %%rsi\n"                                                                                \
    "4:  dec %%r11d\n"                                                                                                 \
    "    jnz 1b\n"                                                                                                     \
    "    .set f32_n, 0\n"                                                                                              \
    "    .rept f32_kept\n"                                                                                             \
    "    f32_store %%(f32_totals + f32_n), %%(64 * f32_n)\n"                                                           \
    "    .set f32_n, f32_n + 1\n"                                                                                      \
    "    .endr\n"                                                                                                      \
    ".endm\n"                                                                                                          \
    ".noaltmacro\n"                                                                                                    \
    ".endif\n"
// clang-format on

#define TILE_CASE(p, h)                                                                                                \
    case 16 * p + h:                                                                                                   \
        __asm__ volatile(TILE_MACROS ".altmacro\n f32_tile " #h ", " #p "\n.noaltmacro\n"                              \
                         :                                                                                             \
                         : "D"(&arguments)                                                                             \
                         : TILE_CLOBBERS);                                                                             \
        break;
#define TILE_CASES(h) TILE_CASE(1, h) TILE_CASE(2, h)
#define TILE_CLOBBERS                                                                                                  \
    "rax", "rbx", "rdx", "rsi", "r8", "r10", "r11", "r13", "r14", "cc", "memory", "zmm0", "zmm1", "zmm2", "zmm3",      \
        "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10", "zmm11", "zmm12", "zmm13", "zmm14", "zmm15", "zmm16", \
        "zmm17", "zmm18", "zmm19", "zmm20", "zmm21", "zmm22", "zmm23", "zmm24", "zmm25", "zmm26", "zmm27", "zmm28",    \
        "zmm29", "zmm30", "zmm31"

_Static_assert(F32_DIRECT >= 8, "passes of 9 tokens or more are cut into blocks of 6 or more");
void linear_f32_tile_avx512(const struct f32_strip *strip, int height, const float *x, float *totals,
                            const uint8_t *soon) {
    const struct tile_arguments arguments = {.weights = {strip->weights[0], strip->weights[1]},
                                             .x = x,
                                             .scales = strip->scales,
                                             .totals = totals,
                                             .tiles = (uint64_t)strip->tiles,
                                             .scaled = strip->scaled,
                                             .soon = soon};
    switch (16 * strip->panels + height) {
        TILE_CASES(6) TILE_CASES(7) TILE_CASES(8) TILE_CASES(9) TILE_CASES(10) TILE_CASES(11)
    }
}
