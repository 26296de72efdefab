// SPDX-License-Identifier: MIT
// The cases that every linear kernel is checked with.
#include "kernels/linear/linear_op.h"

#include <errno.h>
#include <stdio.h>

#define SCALES(q) q "g32", q "g64", q "g128", q "c"
#define BOTH(q)   SCALES(q), q "g32a", q "g64a", q "g128a", q "ca"
#define MASKS(w)  w "+s50", w "+2:4", w "+4:8"
#define STORES(w) MASKS(w), w "+b16x4"
#define MASKED(q) MASKS(q "g32"), MASKS(q "g128a"), MASKS(q "c")
#define BYTES(q)  q "g32+s75", q "g128a+s87.5", q "c+s75", q "ca+6:8" // so much absent that masks are of bytes
#define SPARSE(q) STORES(q "g32"), STORES(q "g128a"), STORES(q "c"), STORES(q "ca")

static const char *const formats[] = {
    "f32",        "bf16",        SCALES("q16"), BOTH("q8"),   BOTH("q6"),   BOTH("q5"),   BOTH("q4"),   BOTH("q3"),   BOTH("q2"),
    STORES("f32"), STORES("bf16"), SPARSE("q8"), MASKED("q6"), MASKED("q5"), SPARSE("q4"), MASKED("q3"), SPARSE("q2"), BYTES("q4")};

const char *const *linear_formats(size_t *count) {
    *count = sizeof(formats) / sizeof(formats[0]);
    return formats;
}

const char *linear_first_format(const struct kernel *kernel) {
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        struct weight_format format;
        char reason[256];
        if (weight_format_parse(formats[i], &format, reason, sizeof(reason)) == 0 && kernel_computes(kernel, &format, kernel->activation))
            return formats[i];
    }
    return NULL;
}

// Around the edges of panels of 16 rows; columns in units of the group, of which 9 are more than a part of many tokens takes at once; 97 and
// 250 tokens are more than a pass. Matrix tiles of bf16 take columns in slices: the last shape, for these
// alone, has two.
static const struct { int rows, units, m, columns; } shapes[] = {{1, 1, 9, 0},   {15, 3, 97, 0}, {16, 2, 64, 0},  {17, 7, 33, 0},
                                                                 {50, 5, 17, 0}, {18, 9, 40, 0}, {35, 2, 250, 0}, {17, 0, 97, 5632}};
// What vectors read two panels of at a time, with up to four tokens: long panels of codes with groups, LARGE_BYTES in all; an odd number.
enum { LARGE_ROWS = 1033, LARGE_BYTES = 2400000, LARGE_TOKENS = 4 };
static const int tokens[] = {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 29, 33, 48, 64, 97, 250};

// The first m tokens of a problem, with all activations that the kernel computes.
static int check_tokens(const struct kernel *kernel, const char *word, const struct linear_problem *problem, int m, int slices,
                        uint64_t seed, size_t *comparisons, char *message, size_t message_size) {
    char difference[256];
    for (enum activation activation = 0; activation < ACTIVATION_COUNT; activation++) {
        if (!kernel_computes(kernel, &problem->format, activation))
            continue;
        const int status = linear_problem_check(problem, kernel, activation, m, slices, difference, sizeof(difference));
        if (status != 0) {
            snprintf(message, message_size, "%s: %s, activations %s, %d rows × %d columns, %d tokens, %d slices, seed %llu: %s",
                     kernel->name, word, activation_name(activation), problem->rows, problem->columns, m, slices,
                     (unsigned long long)seed, difference);
            return status;
        }
        (*comparisons)++;
    }
    return 0;
}

// The first `m` tokens of one shape, all that `counts` names, or just m.
static int check_shape(const struct kernel *kernel, const char *word, const struct weight_format *format, int rows, int columns, int m,
                       bool counts, uint64_t problem_seed, uint64_t seed, size_t *comparisons, char *message, size_t message_size) {
    struct linear_problem problem;
    int status = linear_problem_create(format, rows, columns, m, true, problem_seed, &problem);
    if (status == 0)
        status = linear_problem_expect(&problem);
    if (status == 0)
        status = packed_prepare(problem.packed, kernel->provider);
    if (status != 0) {
        snprintf(message, message_size, "%s: cannot set up %s, %d × %d", kernel->name, word, rows, columns);
        return status;
    }
    for (size_t t = 0; t < sizeof(tokens) / sizeof(tokens[0]) && tokens[t] <= m && status == 0; t++)
        if (counts || tokens[t] == m)
            status = check_tokens(kernel, word, &problem, tokens[t], 1 + (int)(t % 3), seed, comparisons, message, message_size);
    linear_problem_free(&problem);
    return status;
}

// The columns of the large shape; 0 where a kernel has no use for it.
static int large_columns(const struct kernel *kernel, const struct weight_format *format) {
    const bool masked = format->store == STORE_BITMASK && format->n == 0;
    if (kernel->activation != ACTIVATION_Q8 || kernel->isa != ISA_AVX512VNNI || format->group == 0 || format->group == 64 ||
        (format->store != STORE_DENSE && !masked))
        return 0;
    const double bits = masked ? 1 + format->bits / 2.0 : format->bits;
    return (int)(LARGE_BYTES * 8.0 / bits / LARGE_ROWS) / 128 * 128;
}

static int check_format(const struct kernel *kernel, const char *word, const struct weight_format *format,
                        uint64_t seed, uint64_t offset, size_t *comparisons, char *message, size_t message_size) {
    const size_t count = sizeof(shapes) / sizeof(shapes[0]);
    for (size_t s = 0; s < count; s++) {
        const int columns = shapes[s].columns + shapes[s].units * (format->group > 32 ? format->group : 32);
        if (shapes[s].columns > 0 && kernel->activation != ACTIVATION_BF16)
            continue;
        const int status = check_shape(kernel, word, format, shapes[s].rows, columns, shapes[s].m, shapes[s].columns == 0,
                                       seed + offset + s, seed, comparisons, message, message_size);
        if (status != 0)
            return status;
    }
    const int columns = large_columns(kernel, format);
    return columns == 0 ? 0
                        : check_shape(kernel, word, format, LARGE_ROWS, columns, LARGE_TOKENS, true, seed + offset + count, seed,
                                      comparisons, message, message_size);
}

int linear_check_kernel(const struct kernel *kernel, uint64_t seed, size_t *comparisons, char *message,
                        size_t message_size) {
    *comparisons = 0;
    if (kernel->isa > isa_detect()) {
        snprintf(message, message_size, "%s: this CPU has no %s", kernel->name, isa_name(kernel->isa));
        return -EINVAL;
    }
    for (size_t f = 0; f < sizeof(formats) / sizeof(formats[0]); f++) {
        struct weight_format format;
        char reason[256];
        const int status = weight_format_parse(formats[f], &format, reason, sizeof(reason));
        if (status != 0) {
            snprintf(message, message_size, "%s", reason);
            return status;
        }
        if (!kernel_computes(kernel, &format, kernel->activation))
            continue;
        const int checked =
            check_format(kernel, formats[f], &format, seed, 1000 * f, comparisons, message, message_size);
        if (checked != 0)
            return checked;
    }
    return 0;
}
