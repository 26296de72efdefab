// SPDX-License-Identifier: MIT
// The descriptor of y = x·Wᵀ: a problem from a seed, its reference in double, its operations and bytes, and how far from the reference
// a kernel may end. Checks and benchmarks of all linear kernels are made of these.
#ifndef LLMSWEEP_LINEAR_OP_H
#define LLMSWEEP_LINEAR_OP_H

#include "kernels/kernel.h"

struct linear_problem {
    struct weight_format format;
    int rows, columns, m;
    struct packed_matrix *packed;
    struct quantized_matrix quantized; // what was packed, for quantized formats
    uint8_t *mask;                     // (rows, columns), for sparse stores: 0 = absent
    float *weights;                    // (rows, columns), with absent weights as zero
    float *x;                          // (m, columns) with NaN between the rows
    size_t x_stride;
    struct quantized_rows x_codes;  // of x; only for formats of up to 8 bits
    struct quantized_rows x_groups; // the same with a scale a group; only for those that have groups
    double *expected[ACTIVATION_COUNT]; // by activation, (m, rows); NULL without linear_problem_expect()
    double *expected_rounded;           // of quantized weights and bf16 activations: the same with each weight rounded to bf16, too
    double *magnitude[ACTIVATION_COUNT]; // the sums of the magnitudes of what was added, which rounding errors grow with
};

// -EINVAL when the format does not allow the shape; -ENOMEM. Absent weights of a +sN store are drawn chunk by chunk with ratios from
// 0 to 1 when `uneven`, else N% everywhere.
int linear_problem_create(const struct weight_format *format, int rows, int columns, int m, bool uneven, uint64_t seed,
                          struct linear_problem *problem);
void linear_problem_free(struct linear_problem *problem);
// Computes the references; -ENOMEM.
int linear_problem_expect(struct linear_problem *problem);

// Operations of one call with m tokens: two for each weight that is present, a token.
double linear_problem_operations(const struct linear_problem *problem, int m);
// Bytes that one call with m tokens has to move: the weights, the activations and the outputs, each once.
double linear_problem_bytes(const struct linear_problem *problem, enum activation activation, int m);
// The codes that a kernel is given for such activations; NULL where it reads floats.
const struct quantized_rows *linear_problem_codes(const struct linear_problem *problem, enum activation activation);

// Runs `kernel` on the first m tokens, with activations of which it computes, in `slices` slices of output rows, and compares. Also fails when it writes
// outside of a slice or of its scratch. To be called after packed_prepare() for the kernel's provider. -EIO with the
// first difference, -ENOMEM.
int linear_problem_check(const struct linear_problem *problem, const struct kernel *kernel, enum activation activation, int m, int slices,
                         char *message, size_t message_size);

// Checks a kernel on every format and kind of activations that it computes, over shapes around the edges of its tiles. -EIO with the case, the seed and the first
// difference; 0 and the number of comparisons. -EINVAL when the kernel is above isa_detect(): it cannot run here.
int linear_check_kernel(const struct kernel *kernel, uint64_t seed, size_t *comparisons, char *message,
                        size_t message_size);

// The words of all formats that the linear op knows, sparse ones with an example ratio.
const char *const *linear_formats(size_t *count);
// The first of them that the kernel computes; NULL when none.
const char *linear_first_format(const struct kernel *kernel);

#endif
