// SPDX-License-Identifier: MIT
// The descriptor of RMSNorm.
#include "kernels/norm/norm.h"
#include "kernels/op.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const float epsilon = 1e-5f;

static int check_shape(const struct kernel *kernel, int rows, int columns, uint64_t *state, char *message, size_t message_size)
{
    const size_t stride = (size_t)columns + 5;
    float *x = op_input((size_t)rows * stride, 3, state), *weight = op_input((size_t)columns, 2, state);
    float *y = op_output((size_t)rows * stride);
    int status = x != NULL && weight != NULL && y != NULL ? 0 : -ENOMEM;
    if (status == 0) {
        for (size_t i = 0; i < (size_t)rows * stride; i++) // between the rows, too, nothing may be read
            if (i % stride >= (size_t)columns)
                x[i] = NAN;
        ((rmsnorm_function *)kernel->function)(&(struct rmsnorm_call){ x, weight, y, stride, stride, rows, columns, epsilon });
        if (!op_canaries(y, (size_t)rows * stride)) {
            snprintf(message, message_size, "writes outside of its output");
            status = -EIO;
        }
    }
    for (int i = 0; i < rows && status == 0; i++) {
        const float *row = x + (size_t)i * stride, *out = y + (size_t)i * stride;
        double squares = 0;
        for (int j = 0; j < columns; j++)
            squares += (double)row[j] * (double)row[j];
        const double factor = 1 / sqrt(squares / columns + (double)epsilon);
        for (int j = 0; j < columns && status == 0; j++) {
            const double want = (double)row[j] * factor * (double)weight[j];
            // a few roundings of the factor, two of the products
            status = op_compare("y", (size_t)j, (double)out[j], want, 1e-6 * fabs(want) + 1e-30, message, message_size);
        }
        for (size_t j = (size_t)columns; j < stride && status == 0; j++)
            if (!op_is_canary(out[j])) {
                snprintf(message, message_size, "writes behind row %d", i);
                status = -EIO;
            }
    }
    op_release(x), op_release(weight), op_release(y);
    return status;
}

static int check(const struct kernel *kernel, uint64_t seed, size_t *comparisons, char *message, size_t message_size)
{
    static const int sizes[] = { 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 64, 65, 256, 1000, 4096 };
    uint64_t state = seed;
    *comparisons = 0;
    if (kernel->isa > isa_detect())
        return -EINVAL;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++)
        for (int rows = 1; rows <= 3; rows += 2, ++*comparisons) {
            char difference[200] = "no memory";
            const int status = check_shape(kernel, rows, sizes[s], &state, difference, sizeof(difference));
            if (status != 0) {
                snprintf(message, message_size, "%s: %d rows of %d, seed %llu: %s", kernel->name, rows, sizes[s],
                         (unsigned long long)seed, difference);
                return status;
            }
        }
    return 0;
}

// ---------------------------------------------------------------------------------------------------------------------

static const char *const shapes[] = { "rows1 d576", "rows1 d4096", "rows512 d576", "rows512 d4096", NULL };

struct op_problem {
    rmsnorm_function *function;
    int rows, columns;
    float *x, *weight, *y; // x: (copies, rows, columns)
};

static void release(struct op_problem *problem)
{
    if (problem == NULL)
        return;
    op_release(problem->x), op_release(problem->weight), op_release(problem->y);
    free(problem);
}

static int setup(const struct kernel *kernel, const char *shape, int copies, uint64_t seed, struct op_problem **problem, char *error,
                 size_t error_size)
{
    int rows, columns, end = 0;
    *problem = NULL;
    if (sscanf(shape, "rows%d d%d%n", &rows, &columns, &end) != 2 || shape[end] != '\0' || rows < 1 || columns < 1) {
        snprintf(error, error_size, "rmsnorm: '%s' is not a shape such as '%s'", shape, shapes[0]);
        return -EINVAL;
    }
    struct op_problem *made = calloc(1, sizeof(*made));
    if (made != NULL) {
        const size_t count = (size_t)rows * (size_t)columns;
        *made = (struct op_problem){ .function = (rmsnorm_function *)kernel->function, .rows = rows, .columns = columns,
                                     .x = op_input(count * (size_t)copies, 1, &seed), .weight = op_input((size_t)columns, 1, &seed),
                                     .y = op_output(count) };
    }
    if (made == NULL || made->x == NULL || made->weight == NULL || made->y == NULL) {
        release(made);
        snprintf(error, error_size, "rmsnorm: no memory for %d copies of '%s'", copies, shape);
        return -ENOMEM;
    }
    *problem = made;
    return 0;
}

static void run(struct op_problem *problem, int copy, int phase, int part, int parts)
{
    (void)phase;
    const int begin = op_part(problem->rows, part, parts), end = op_part(problem->rows, part + 1, parts);
    const size_t width = (size_t)problem->columns, first = (size_t)begin * width;
    problem->function(&(struct rmsnorm_call){ .x = problem->x + (size_t)copy * (size_t)problem->rows * width + first,
                                              .weight = problem->weight, .y = problem->y + first, .x_stride = width, .y_stride = width,
                                              .rows = end - begin, .columns = problem->columns, .epsilon = epsilon });
}

// A square and its sum, two products.
static double operations(const struct op_problem *problem)
{
    return 4.0 * problem->rows * problem->columns;
}

static double bytes(const struct op_problem *problem)
{
    return (2.0 * problem->rows + 1) * problem->columns * (double)sizeof(float);
}

const struct op_descriptor rmsnorm_op = {
    .op = OP_RMSNORM,
    .name = "rmsnorm",
    .check = check,
    .shapes = shapes,
    .setup = setup,
    .free = release,
    .phases = 1,
    .run = run,
    .operations = operations,
    .bytes = bytes,
    .arithmetic = op_arithmetic_f32,
};
