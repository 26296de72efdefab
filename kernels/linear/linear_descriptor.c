// SPDX-License-Identifier: MIT
// The descriptor of y = x·Wᵀ: shapes that are timed are words such as "2048x5632 m1" (outputs × inputs, tokens), with a weight format
// before them ("q4g32 2048x5632 m1") where it is not to be the first that the kernel computes, and behind that the activations ("q4g32 q8g
// 2048x5632 m1") where they are not to be those that its name says.
#include "kernels/linear/linear_op.h"
#include "kernels/op.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS_LIMIT = 4096 };

struct op_problem {
    const struct kernel *kernel;
    enum activation activation;
    struct linear_problem problem;
    struct packed_matrix **weights; // (copies); the first is the problem's own
    int copies;
    float *y; // (m, rows)
    size_t scratch_bytes;
    void *scratch[PARTS_LIMIT]; // each made by the first call of its part
};

// TinyLlama's down projection at a decode step, and last in prefill; between them what else models of 0.1 to 8 billion weights multiply with.
static const char *const shapes[] = {
    "2048x5632 m1",  "2048x5632 m2", "2048x5632 m4",  "2048x5632 m8",   "2048x5632 m32",  "2048x5632 m512",
    "576x1536 m1",   "576x1536 m128",   "896x4864 m1",  "896x4864 m128", "2048x8192 m1",   "2048x8192 m128", "4096x4096 m1",
    "4096x4096 m2",  "4096x4096 m4",    "4096x4096 m8", "4096x4096 m32", "4096x4096 m128", "4096x4096 m512", "4096x14336 m1",
    "4096x14336 m8", "4096x14336 m128", "2048x5632 m128", NULL};

static int check(const struct kernel *kernel, uint64_t seed, size_t *comparisons, char *message, size_t message_size) {
    return linear_check_kernel(kernel, seed, comparisons, message, message_size);
}

static int parse(const struct kernel *kernel, const char *shape, struct weight_format *format, enum activation *activation, int *rows,
                 int *columns, int *m, char *error, size_t error_size) {
    char word[64] = "", act[8] = "", after;
    const char *name = linear_first_format(kernel);
    *activation = kernel->activation;
    if (sscanf(shape, "%dx%d m%d%c", rows, columns, m, &after) != 3) {
        if (sscanf(shape, "%63s %dx%d m%d%c", word, rows, columns, m, &after) != 4 &&
            (sscanf(shape, "%63s %7s %dx%d m%d%c", word, act, rows, columns, m, &after) != 5 || activation_parse(act, activation) != 0)) {
            snprintf(error, error_size,
                     "'%s' is no shape of a linear kernel, such as '2048x5632 m1', 'q4g32 2048x5632 m1' or 'q4g32 q8g 2048x5632 m1'", shape);
            return -EINVAL;
        }
        name = word;
    }
    if (*rows < 1 || *columns < 1 || *m < 1 || *rows > 1 << 20 || *columns > 1 << 20 || *m > 1 << 16 || name == NULL) {
        snprintf(error, error_size, "'%s': outputs and inputs are 1 to 1048576, tokens 1 to 65536", shape);
        return -EINVAL;
    }
    const int status = weight_format_parse(name, format, error, error_size);
    if (status != 0)
        return status;
    if (!kernel_computes(kernel, format, *activation)) {
        snprintf(error, error_size, "%s does not compute %s with %s activations", kernel->name, name, activation_name(*activation));
        return -ENOTSUP;
    }
    return packed_check_shape(format, *rows, *columns, error, error_size);
}

static void release(struct op_problem *problem) {
    if (problem == NULL)
        return;
    for (int i = 1; i < problem->copies; i++)
        packed_free(problem->weights[i]);
    for (int part = 0; part < PARTS_LIMIT; part++)
        free(problem->scratch[part]);
    free(problem->weights);
    free(problem->y);
    linear_problem_free(&problem->problem);
    free(problem);
}

static int fill(struct op_problem *problem, int copies) {
    struct linear_problem *linear = &problem->problem;
    const size_t outputs = (size_t)linear->rows * (size_t)linear->m;
    int status = packed_prepare(linear->packed, problem->kernel->provider);
    problem->weights = calloc((size_t)copies, sizeof(*problem->weights));
    problem->y = aligned_alloc(64, (outputs * sizeof(float) + 63) / 64 * 64);
    problem->scratch_bytes = (linear_scratch_bytes(linear->rows, linear->columns, linear->m) + 63) / 64 * 64;
    if (status != 0 || problem->weights == NULL || problem->y == NULL)
        return status != 0 ? status : -ENOMEM;
    memset(problem->y, 0, outputs * sizeof(float));
    problem->weights[0] = linear->packed;
    for (problem->copies = 1; problem->copies < copies && status == 0; problem->copies++) {
        status = packed_copy(linear->packed, &problem->weights[problem->copies]);
        if (status != 0)
            break;
    }
    return status;
}

static int setup(const struct kernel *kernel, const char *shape, int copies, uint64_t seed, struct op_problem **out, char *error,
                 size_t error_size) {
    struct weight_format format;
    enum activation activation;
    int rows, columns, m;
    int status = parse(kernel, shape, &format, &activation, &rows, &columns, &m, error, error_size);
    if (status != 0)
        return status;
    struct op_problem *problem = calloc(1, sizeof(*problem));
    status = problem != NULL ? 0 : -ENOMEM;
    if (status == 0) {
        problem->kernel = kernel;
        problem->activation = activation;
        status = linear_problem_create(&format, rows, columns, m, false, seed, &problem->problem);
    }
    if (status == 0)
        status = fill(problem, copies);
    if (status != 0) {
        snprintf(error, error_size, "%s: no memory for %d copies of %s", kernel->name, copies, shape);
        release(problem);
        return status;
    }
    *out = problem;
    return 0;
}

static void run(struct op_problem *problem, int copy, int phase, int part, int parts) {
    (void)phase;
    const struct linear_problem *linear = &problem->problem;
    const int panels = (linear->rows + PACKED_PANEL_ROWS - 1) / PACKED_PANEL_ROWS;
    const int begin = op_part(panels, part, parts) * PACKED_PANEL_ROWS, end = op_part(panels, part + 1, parts) * PACKED_PANEL_ROWS;
    if (begin >= end)
        return;
    if (problem->scratch[part] == NULL) {
        problem->scratch[part] = aligned_alloc(64, problem->scratch_bytes > 0 ? problem->scratch_bytes : 64);
        if (problem->scratch[part] == NULL)
            abort(); // a run has no way to report an error, and must not be timed without having run
    }
    const struct linear_call call = {.weights = problem->weights[copy],
                                     .activation = problem->activation,
                                     .x = linear->x,
                                     .x_codes = linear_problem_codes(linear, problem->activation),
                                     .x_stride = linear->x_stride,
                                     .y = problem->y,
                                     .y_stride = (size_t)linear->rows,
                                     .m = linear->m,
                                     .begin = begin,
                                     .end = end < linear->rows ? end : linear->rows,
                                     .scratch = problem->scratch[part]};
    ((linear_function *)problem->kernel->function)(&call);
}

static double operations(const struct op_problem *problem) {
    return linear_problem_operations(&problem->problem, problem->problem.m);
}

static double bytes(const struct op_problem *problem) {
    return linear_problem_bytes(&problem->problem, problem->activation, problem->problem.m);
}

static enum op_arithmetic arithmetic(const struct kernel *kernel) {
    if (kernel->activation == ACTIVATION_Q8)
        return ARITHMETIC_INT8;
    const bool rounds = kernel->provider == PROVIDER_ONEDNN && kernel->weight_type == WEIGHT_BF16;
    return kernel->activation == ACTIVATION_BF16 || rounds ? ARITHMETIC_BF16 : ARITHMETIC_F32;
}

const struct op_descriptor linear_op = {.op = OP_LINEAR,
                                        .name = "linear",
                                        .check = check,
                                        .shapes = shapes,
                                        .setup = setup,
                                        .free = release,
                                        .phases = 1,
                                        .run = run,
                                        .operations = operations,
                                        .bytes = bytes,
                                        .arithmetic = arithmetic};
