// SPDX-License-Identifier: MIT
// The descriptor of the gated units.
#include "kernels/activation/activation.h"
#include "kernels/op_rows.h"

static int check_case(const struct kernel *kernel, int columns, int variant, uint64_t *state, char *message, size_t message_size)
{
    enum { ROWS = 2 };
    const bool gelu = variant % 2 != 0, large = variant / 2 != 0;
    const size_t stride = (size_t)columns + 3, count = ROWS * stride;
    float *gate = op_input(count, large ? 100 : 4, state), *up = op_input(count, 2, state), *y = op_output(count);
    int status = gate != NULL && up != NULL && y != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; i < count && status == 0; i++)
        if (i % stride >= (size_t)columns)
            gate[i] = up[i] = NAN;
    if (status == 0) {
        ((swiglu_function *)kernel->function)(&(struct swiglu_call){ gate, up, y, stride, ROWS, columns, gelu });
        status = check_canaries(y, count, message, message_size);
    }
    for (size_t i = 0; i < count && status == 0; i++) {
        if (i % stride >= (size_t)columns) {
            if (!op_is_canary(y[i])) {
                snprintf(message, message_size, "writes behind a row");
                status = -EIO;
            }
            continue;
        }
        const double x = (double)gate[i], slope = gelu ? 2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x) : x;
        const double want = x / (1 + exp(-slope)) * (double)up[i];
        // The exponent is rounded in f32, which an exponential multiplies by its size.
        const double tolerance = (6e-7 + 0x1p-23 * (gelu ? fmin(fabs(slope), 110) : 0)) * fabs(want) + 1e-30;
        status = op_compare("y", i, (double)y[i], want, tolerance, message, message_size);
    }
    op_release(gate), op_release(up), op_release(y);
    return status;
}

static int check(const struct kernel *kernel, uint64_t seed, size_t *comparisons, char *message, size_t message_size)
{
    static const int sizes[] = { 1, 7, 8, 9, 15, 16, 17, 31, 33, 300 };
    return rows_check(kernel, sizes, COUNT_OF(sizes), 4, check_case, seed, comparisons, message, message_size);
}

static void run(struct op_problem *problem, int copy, int phase, int part, int parts)
{
    (void)phase;
    // columns, as the engine shares them out
    const int begin = op_part(problem->columns / 16, part, parts) * 16, end = op_part(problem->columns / 16, part + 1, parts) * 16;
    const size_t offset = rows_offset(problem, copy, 0) + (size_t)begin;
    ((swiglu_function *)problem->kernel->function)(&(struct swiglu_call){ .gate = problem->x + offset, .up = problem->other + offset,
                                                                         .y = problem->y + begin, .stride = (size_t)problem->columns,
                                                                         .rows = problem->rows, .columns = end - begin });
}

// A product, a sum, a division, a product, and about twelve of the exponential.
static double operations(const struct op_problem *problem)
{
    return 16 * rows_elements(problem);
}

static double bytes(const struct op_problem *problem)
{
    return 3 * rows_elements(problem) * (double)sizeof(float);
}

static const char *const shapes[] = { "rows1 d1536", "rows1 d14336", "rows512 d1536", "rows128 d14336", NULL };

const struct op_descriptor swiglu_op = { .op = OP_SWIGLU,
                                         .name = "swiglu",
                                         .check = check,
                                         .shapes = shapes,
                                         .setup = rows_setup,
                                         .free = rows_release,
                                         .phases = 1,
                                         .run = run,
                                         .operations = operations,
                                         .bytes = bytes,
                                         .arithmetic = op_arithmetic_f32 };
