// SPDX-License-Identifier: MIT
#include "kernels/op.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

extern const struct op_descriptor linear_op, quantize_rows_op, rmsnorm_op, rope_op, swiglu_op, attention_op, softmax_op;

const struct op_descriptor *op_find(enum op op)
{
    static const struct op_descriptor *const descriptors[OP_COUNT] = {
        [OP_LINEAR] = &linear_op, [OP_QUANTIZE_ROWS] = &quantize_rows_op, [OP_RMSNORM] = &rmsnorm_op, [OP_ROPE] = &rope_op,
        [OP_SWIGLU] = &swiglu_op, [OP_ATTENTION] = &attention_op,         [OP_SOFTMAX] = &softmax_op,
    };
    return op < OP_COUNT ? descriptors[op] : NULL;
}

double op_uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)(*state >> 11) / (double)(1LL << 52) - 1.0;
}

static const float canary = 12345.678f;
enum { PAD = 32 };

static float *filled(size_t count, float with)
{
    const size_t all = (count + 2 * PAD + 15) / 16 * 16;
    float *buffer = aligned_alloc(64, all * sizeof(float));
    if (buffer == NULL)
        return NULL;
    for (size_t i = 0; i < all; i++)
        buffer[i] = with;
    return buffer + PAD;
}

float *op_input(size_t count, double scale, uint64_t *state)
{
    float *x = filled(count, NAN);
    for (size_t i = 0; x != NULL && i < count; i++)
        x[i] = (float)(op_uniform(state) * scale);
    return x;
}

float *op_output(size_t count)
{
    return filled(count, canary);
}

void op_release(float *buffer)
{
    if (buffer != NULL)
        free(buffer - PAD);
}

bool op_is_canary(float value)
{
    return value == canary;
}

bool op_canaries(const float *output, size_t count)
{
    for (int i = 1; i <= PAD; i++)
        if (output[-i] != canary || output[count + (size_t)i - 1] != canary)
            return false;
    return true;
}

int op_compare(const char *what, size_t index, double got, double want, double tolerance, char *message, size_t message_size)
{
    const double error = fabs(got - want);
    if (error <= tolerance)
        return 0;
    snprintf(message, message_size, "%s[%zu] is %.9g, the reference says %.9g (error %.3g, tolerance %.3g)", what, index, got, want, error,
             tolerance);
    return -EIO;
}

enum op_arithmetic op_arithmetic_f32(const struct kernel *kernel)
{
    (void)kernel;
    return ARITHMETIC_F32;
}
