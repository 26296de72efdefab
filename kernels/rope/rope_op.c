// SPDX-License-Identifier: MIT
// The descriptor of the rotary position embedding.
#include "kernels/rope/rope.h"
#include "kernels/op_rows.h"

#include <string.h>

static int check_case(const struct kernel *kernel, int head_dim, int interleaved, uint64_t *state, char *message, size_t message_size)
{
    enum { HEADS = 3 };
    const int half = head_dim / 2;
    const size_t count = (size_t)(HEADS * head_dim);
    float *x = op_output(count), *before = op_input(count, 2, state);
    float *cosines = op_input((size_t)half, 1, state), *sines = op_input((size_t)half, 1, state);
    int status = x != NULL && before != NULL && cosines != NULL && sines != NULL ? 0 : -ENOMEM;
    if (status == 0) {
        memcpy(x, before, count * sizeof(float));
        for (int i = 0; i < half; i++) {
            const double angle = 3 * op_uniform(state);
            cosines[i] = (float)cos(angle), sines[i] = (float)sin(angle);
        }
        ((rope_function *)kernel->function)(&(struct rope_call){ x, cosines, sines, HEADS, head_dim, interleaved != 0 });
        status = check_canaries(x, count, message, message_size);
    }
    for (int i = 0; i < HEADS * half && status == 0; i++) {
        const int pair = i % half, first = i / half * head_dim + (interleaved ? 2 * pair : pair), second = first + (interleaved ? 1 : half);
        const double a = (double)before[first], b = (double)before[second], c = (double)cosines[pair], s = (double)sines[pair];
        // values up to 2, two products and a sum
        status = op_compare("x", (size_t)first, (double)x[first], a * c - b * s, 5e-7, message, message_size);
        if (status == 0)
            status = op_compare("x", (size_t)second, (double)x[second], a * s + b * c, 5e-7, message, message_size);
    }
    op_release(x), op_release(before), op_release(cosines), op_release(sines);
    return status;
}

static int check(const struct kernel *kernel, uint64_t seed, size_t *comparisons, char *message, size_t message_size)
{
    static const int sizes[] = { 16, 32, 48, 64, 80, 96, 112, 128, 144, 256 };
    return rows_check(kernel, sizes, COUNT_OF(sizes), 2, check_case, seed, comparisons, message, message_size);
}

enum { HEAD_DIM = 64 };

static void run(struct op_problem *problem, int copy, int phase, int part, int parts)
{
    (void)phase;
    for (int row = op_part(problem->rows, part, parts); row < op_part(problem->rows, part + 1, parts); row++) {
        const float *angles = problem->other + rows_offset(problem, 0, row);
        ((rope_function *)problem->kernel->function)(&(struct rope_call){ .x = problem->x + rows_offset(problem, copy, row),
                                                                         .cosines = angles, .sines = angles + HEAD_DIM / 2,
                                                                         .heads = problem->columns / HEAD_DIM, .head_dim = HEAD_DIM });
    }
}

// Of each pair four products and two sums.
static double operations(const struct op_problem *problem)
{
    return 3 * rows_elements(problem);
}

static double bytes(const struct op_problem *problem)
{
    return (2 * rows_elements(problem) + (double)problem->rows * HEAD_DIM) * (double)sizeof(float);
}

static const char *const shapes[] = { "rows1 d576", "rows1 d4096", "rows512 d4096", NULL };

const struct op_descriptor rope_op = { .op = OP_ROPE,
                                       .name = "rope",
                                       .check = check,
                                       .shapes = shapes,
                                       .setup = rows_setup,
                                       .free = rows_release,
                                       .phases = 1,
                                       .run = run,
                                       .operations = operations,
                                       .bytes = bytes,
                                       .arithmetic = op_arithmetic_f32 };
