// SPDX-License-Identifier: MIT
// What the descriptors of ops on rows of floats share: included by one *_op.c each, which adds the check and how rows are run.
#ifndef LLMSWEEP_OP_ROWS_H
#define LLMSWEEP_OP_ROWS_H

#include "kernels/op.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct op_problem {
    const struct kernel *kernel;
    int rows, columns;
    float *x, *other; // (copies, rows, columns)
    float *y;         // (rows, columns)
};

static void rows_release(struct op_problem *problem)
{
    if (problem == NULL)
        return;
    op_release(problem->x), op_release(problem->other), op_release(problem->y);
    free(problem);
}

// Shapes such as "rows512 d4096".
static int rows_setup(const struct kernel *kernel, const char *shape, int copies, uint64_t seed, struct op_problem **problem, char *error,
                      size_t error_size)
{
    const struct op_descriptor *op = op_find(kernel->op);
    int rows, columns, end = 0;
    *problem = NULL;
    if (sscanf(shape, "rows%d d%d%n", &rows, &columns, &end) != 2 || shape[end] != '\0' || rows < 1 || columns < 64 || columns % 64 != 0) {
        snprintf(error, error_size, "%s: '%s' is not a shape such as '%s' (columns: a multiple of 64)", op->name, shape, op->shapes[0]);
        return -EINVAL;
    }
    struct op_problem *made = calloc(1, sizeof(*made));
    if (made != NULL) {
        const size_t count = (size_t)rows * (size_t)columns;
        *made = (struct op_problem){ .kernel = kernel, .rows = rows, .columns = columns, .x = op_input(count * (size_t)copies, 1, &seed),
                                     .other = op_input(count * (size_t)copies, 1, &seed), .y = op_output(count) };
    }
    if (made == NULL || made->x == NULL || made->other == NULL || made->y == NULL) {
        rows_release(made);
        snprintf(error, error_size, "%s: no memory for %d copies of '%s'", op->name, copies, shape);
        return -ENOMEM;
    }
    *problem = made;
    return 0;
}

// The floats before row `row` of a copy.
static inline size_t rows_offset(const struct op_problem *problem, int copy, int row)
{
    return ((size_t)copy * (size_t)problem->rows + (size_t)row) * (size_t)problem->columns;
}

static inline double rows_elements(const struct op_problem *problem)
{
    return (double)problem->rows * problem->columns;
}

static inline int check_canaries(const float *y, size_t count, char *message, size_t message_size)
{
    if (op_canaries(y, count))
        return 0;
    snprintf(message, message_size, "writes outside of its output");
    return -EIO;
}

// Runs one case after the other; what a case says goes into the message, behind the kernel, the size and the seed.
typedef int rows_case(const struct kernel *kernel, int size, int variant, uint64_t *state, char *message, size_t message_size);
static inline int rows_check(const struct kernel *kernel, const int *sizes, size_t size_count, int variants, rows_case *one, uint64_t seed,
                             size_t *comparisons, char *message, size_t message_size)
{
    uint64_t state = seed;
    *comparisons = 0;
    if (kernel->isa > isa_detect())
        return -EINVAL;
    for (size_t s = 0; s < size_count; s++)
        for (int variant = 0; variant < variants; variant++, ++*comparisons) {
            char difference[200] = "no memory";
            const int status = one(kernel, sizes[s], variant, &state, difference, sizeof(difference));
            if (status != 0) {
                snprintf(message, message_size, "%s: size %d, case %d, seed %llu: %s", kernel->name, sizes[s], variant,
                         (unsigned long long)seed, difference);
                return status;
            }
        }
    return 0;
}
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
