// SPDX-License-Identifier: MIT
// The descriptor of the softmax.
#include "kernels/softmax/softmax.h"
#include "kernels/op_rows.h"

static int check_case(const struct kernel *kernel, int count, int variant, uint64_t *state, char *message, size_t message_size)
{
    float *x = op_input((size_t)count, variant ? 60 : 20, state), *y = op_output((size_t)count);
    softmax_function *function = (softmax_function *)kernel->function;
    int status = x != NULL && y != NULL ? 0 : -ENOMEM;
    if (status == 0) {
        struct softmax_call call = { .x = x, .y = y, .count = count, .log_sum_exp = NAN };
        function(&call);
        status = check_canaries(y, (size_t)count, message, message_size);
        double largest = -INFINITY, sum = 0;
        for (int j = 0; j < count; j++)
            largest = fmax(largest, (double)x[j]);
        for (int j = 0; j < count; j++)
            sum += exp((double)x[j] - largest);
        for (int j = 0; j < count && status == 0; j++) {
            const double want = exp((double)x[j] - largest) / sum;
            // x − max is rounded to f32 before it is exponentiated
            const double tolerance = (5e-7 + 0x1p-24 * (largest - (double)x[j])) * want + 1e-30;
            status = op_compare("y", (size_t)j, (double)y[j], want, tolerance, message, message_size);
        }
        if (status == 0)
            status = op_compare("log_sum_exp", 0, call.log_sum_exp, largest + log(sum), 5e-7, message, message_size);
        // what is not finite must not look like a number
        for (int i = 0; i < 2 && status == 0; i++) {
            x[count / 2] = i == 0 ? NAN : INFINITY;
            function(&call);
            if (!isnan(call.log_sum_exp)) {
                snprintf(message, message_size, "hides %s", i == 0 ? "a NaN" : "an infinity");
                status = -EIO;
            }
        }
    }
    op_release(x), op_release(y);
    return status;
}

static int check(const struct kernel *kernel, uint64_t seed, size_t *comparisons, char *message, size_t message_size)
{
    static const int sizes[] = { 1, 5, 7, 8, 9, 15, 16, 17, 64, 1000, 4096 };
    return rows_check(kernel, sizes, COUNT_OF(sizes), 2, check_case, seed, comparisons, message, message_size);
}

static void run(struct op_problem *problem, int copy, int phase, int part, int parts)
{
    (void)phase;
    for (int row = op_part(problem->rows, part, parts); row < op_part(problem->rows, part + 1, parts); row++)
        ((softmax_function *)problem->kernel->function)(&(struct softmax_call){ .x = problem->x + rows_offset(problem, copy, row),
                                                                               .y = problem->y + rows_offset(problem, 0, row),
                                                                               .count = problem->columns });
}

// A comparison, a difference, a sum, a product, and about twelve of the exponential.
static double operations(const struct op_problem *problem)
{
    return 16 * rows_elements(problem);
}

// Read and written once; a row of logits stays in the second-level cache between the passes.
static double bytes(const struct op_problem *problem)
{
    return 2 * rows_elements(problem) * (double)sizeof(float);
}

static const char *const shapes[] = { "rows1 d49152", "rows64 d49152", "rows512 d4096", NULL };

const struct op_descriptor softmax_op = { .op = OP_SOFTMAX,
                                          .name = "softmax",
                                          .check = check,
                                          .shapes = shapes,
                                          .setup = rows_setup,
                                          .free = rows_release,
                                          .phases = 1,
                                          .run = run,
                                          .operations = operations,
                                          .bytes = bytes,
                                          .arithmetic = op_arithmetic_f32 };
