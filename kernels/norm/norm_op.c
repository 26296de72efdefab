// SPDX-License-Identifier: MIT
// The descriptor of RMSNorm.
#include "kernels/norm/norm.h"
#include "kernels/op_rows.h"

static const float epsilon = 1e-5f;

static int check_case(const struct kernel *kernel, int columns, int variant, uint64_t *state, char *message, size_t message_size)
{
    const int rows = 1 + 2 * variant;
    const size_t stride = (size_t)columns + 5, count = (size_t)rows * stride;
    float *x = op_input(count, 3, state), *weight = op_input((size_t)columns, 2, state), *y = op_output(count);
    int status = x != NULL && weight != NULL && y != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; i < count && status == 0; i++) // between the rows, too, nothing may be read
        if (i % stride >= (size_t)columns)
            x[i] = NAN;
    if (status == 0) {
        ((rmsnorm_function *)kernel->function)(&(struct rmsnorm_call){ x, weight, y, stride, stride, rows, columns, epsilon });
        status = check_canaries(y, count, message, message_size);
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
    return rows_check(kernel, sizes, COUNT_OF(sizes), 2, check_case, seed, comparisons, message, message_size);
}

static void run(struct op_problem *problem, int copy, int phase, int part, int parts)
{
    (void)phase;
    const int begin = op_part(problem->rows, part, parts), end = op_part(problem->rows, part + 1, parts);
    const size_t width = (size_t)problem->columns;
    ((rmsnorm_function *)problem->kernel->function)(&(struct rmsnorm_call){
        .x = problem->x + rows_offset(problem, copy, begin), .weight = problem->other, .y = problem->y + rows_offset(problem, 0, begin),
        .x_stride = width, .y_stride = width, .rows = end - begin, .columns = problem->columns, .epsilon = epsilon });
}

// A square and its sum, two products.
static double operations(const struct op_problem *problem)
{
    return 4 * rows_elements(problem);
}

static double bytes(const struct op_problem *problem)
{
    return (2 * rows_elements(problem) + problem->columns) * (double)sizeof(float);
}

static const char *const shapes[] = { "rows1 d576", "rows1 d4096", "rows512 d576", "rows512 d4096", NULL };

const struct op_descriptor rmsnorm_op = { .op = OP_RMSNORM,
                                          .name = "rmsnorm",
                                          .check = check,
                                          .shapes = shapes,
                                          .setup = rows_setup,
                                          .free = rows_release,
                                          .phases = 1,
                                          .run = run,
                                          .operations = operations,
                                          .bytes = bytes,
                                          .arithmetic = op_arithmetic_f32 };
