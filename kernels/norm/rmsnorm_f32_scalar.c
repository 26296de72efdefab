// SPDX-License-Identifier: MIT
#include "kernels/norm/norm.h"

#include <math.h>

#include "kernels/kernel.h"

static void rmsnorm(const struct rmsnorm_call *call)
{
    for (int i = 0; i < call->rows; i++) {
        const float *x = call->x + (size_t)i * call->x_stride;
        float *y = call->y + (size_t)i * call->y_stride;
        double squares = 0;
        for (int j = 0; j < call->columns; j++)
            squares += (double)x[j] * (double)x[j];
        const float factor = (float)(1.0 / sqrt(squares / call->columns + (double)call->epsilon));
        for (int j = 0; j < call->columns; j++)
            y[j] = x[j] * factor * call->weight[j];
    }
}

const struct kernel rmsnorm_f32_scalar = {
    .name = "rmsnorm_f32_scalar",
    .op = OP_RMSNORM,
    .isa = ISA_SCALAR,
    .layout = "two passes over the row; the sum of squares in double",
    .function = (void (*)(void))rmsnorm,
};
