// SPDX-License-Identifier: MIT
// The descriptor of the activations' quantization.
#include "kernels/op_rows.h"

#include <string.h>

static int check_group(const struct quantized_rows *out, int row, int group, const float *x, char *message, size_t message_size)
{
    const int columns = out->columns / out->groups, begin = group * columns;
    const size_t scale_at = (size_t)row * (size_t)out->groups + (size_t)group;
    double largest = 0;
    for (int j = begin; j < begin + columns; j++)
        largest = fmax(largest, fabs((double)x[j]));
    int status = op_compare("scale", scale_at, out->scales[scale_at], largest / 127, 1e-7 * largest, message, message_size);
    for (int tile = begin / 32; tile < (begin + columns) / 32 && status == 0; tile++) {
        int sum = 0;
        for (int j = tile * 32; j < tile * 32 + 32 && status == 0; j++) {
            const int code = out->codes[(size_t)row * (size_t)out->columns + (size_t)j];
            sum += code;
            // the nearest step; the factor 127/max is rounded
            status = op_compare("code", (size_t)j, code, largest > 0 ? (double)x[j] * 127 / largest : 0, 0.5001, message, message_size);
        }
        if (status == 0)
            status = op_compare("sum", (size_t)tile, out->sums[row * (out->columns / 32) + tile], sum, 0, message, message_size);
    }
    return status;
}

// Small and large floats, with a scale a row and a scale a group of 32.
static int check_case(const struct kernel *kernel, int columns, int variant, uint64_t *state, char *message, size_t message_size)
{
    enum { ROWS = 5 };
    const size_t stride = (size_t)columns + 5;
    struct quantized_rows out;
    float *x = op_input(ROWS * stride, variant % 2 ? 1000 : 1, state);
    int status = quantized_rows_create(ROWS, columns, variant / 2 ? 32 : 0, &out);
    if (status == 0 && x == NULL)
        status = -ENOMEM;
    if (status == 0) {
        for (size_t i = 0; i < ROWS * stride; i++)
            if (i % stride >= (size_t)columns)
                x[i] = NAN;
        for (int j = 0; j < columns; j++)
            x[2 * stride + (size_t)j] = 0;
        x[columns / 2] *= 50;
        x[3 * stride + (size_t)columns - 1] = NAN;
        // the last row is nobody's
        ((quantize_rows_function *)kernel->function)(&(struct quantize_rows_call){ .x = x, .x_stride = stride, .out = &out, .begin = 0, .end = 4 });
        for (int i = 0; i < 3 * out.groups && status == 0; i++)
            status = check_group(&out, i / out.groups, i % out.groups, x + (size_t)(i / out.groups) * stride, message, message_size);
        if (status == 0 && !isnan(out.scales[4 * out.groups - 1])) {
            snprintf(message, message_size, "hides a NaN");
            status = -EIO;
        }
    }
    op_release(x);
    quantized_rows_free(&out);
    return status;
}

static int check(const struct kernel *kernel, uint64_t seed, size_t *comparisons, char *message, size_t message_size)
{
    static const int sizes[] = { 32, 64, 96, 416, 1536 };
    return rows_check(kernel, sizes, COUNT_OF(sizes), 4, check_case, seed, comparisons, message, message_size);
}

// ---------------------------------------------------------------------------------------------------------------------
// The rows, and where their codes go.

struct codes_problem {
    struct op_problem rows;
    struct quantized_rows out;
};

static void release(struct op_problem *problem)
{
    struct codes_problem *made = (struct codes_problem *)problem;
    if (made == NULL)
        return;
    op_release(made->rows.x), op_release(made->rows.other), op_release(made->rows.y);
    quantized_rows_free(&made->out);
    free(made);
}

static int setup(const struct kernel *kernel, const char *shape, int copies, uint64_t seed, struct op_problem **problem, char *error,
                 size_t error_size)
{
    struct op_problem *rows;
    char plain[64];
    int group = 0, end = 0;
    const char *last = strrchr(shape, ' ');
    *problem = NULL;
    if (last == NULL || sscanf(last, " g%d%n", &group, &end) != 1 || last[end] != '\0')
        last = shape + strlen(shape);
    snprintf(plain, sizeof(plain), "%.*s", (int)(last - shape), shape);
    const int status = rows_setup(kernel, plain, copies, seed, &rows, error, error_size);
    if (status != 0)
        return status;
    if (group < 0 || group % 32 != 0 || (group > 0 && rows->columns % group != 0)) {
        snprintf(error, error_size, "quantize_rows: '%s': groups are multiples of 32 that divide the columns", shape);
        rows_release(rows);
        return -EINVAL;
    }
    struct codes_problem *made = calloc(1, sizeof(*made));
    if (made == NULL || quantized_rows_create(rows->rows, rows->columns, group, &made->out) != 0) {
        free(made);
        rows_release(rows);
        snprintf(error, error_size, "quantize_rows: no memory for '%s'", shape);
        return -ENOMEM;
    }
    made->rows = *rows;
    free(rows);
    *problem = &made->rows;
    return 0;
}

static void run(struct op_problem *problem, int copy, int phase, int part, int parts)
{
    (void)phase;
    struct codes_problem *codes = (struct codes_problem *)problem;
    ((quantize_rows_function *)problem->kernel->function)(&(struct quantize_rows_call){
        .x = problem->x + rows_offset(problem, copy, 0), .x_stride = (size_t)problem->columns, .out = &codes->out,
        .begin = op_part(problem->rows, part, parts), .end = op_part(problem->rows, part + 1, parts) });
}

// A comparison, a product, a rounding, a sum.
static double operations(const struct op_problem *problem)
{
    return 4 * rows_elements(problem);
}

// Floats in; codes, a sum for each 32 and the scales out.
static double bytes(const struct op_problem *problem)
{
    const struct codes_problem *codes = (const struct codes_problem *)problem;
    return rows_elements(problem) * (4 + 1 + 4.0 / 32) + 4.0 * problem->rows * codes->out.groups;
}

// A group size behind it: a scale for each so many columns.
static const char *const shapes[] = { "rows1 d1536", "rows1 d14336", "rows1 d14336 g32", "rows512 d576", "rows512 d4096 g32", "rows512 d4096", NULL };

const struct op_descriptor quantize_rows_op = { .op = OP_QUANTIZE_ROWS,
                                                .name = "quantize_rows",
                                                .check = check,
                                                .shapes = shapes,
                                                .setup = setup,
                                                .free = release,
                                                .phases = 1,
                                                .run = run,
                                                .operations = operations,
                                                .bytes = bytes,
                                                .arithmetic = op_arithmetic_f32 };
