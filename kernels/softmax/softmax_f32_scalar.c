// SPDX-License-Identifier: MIT
#include "kernels/softmax/softmax.h"

#include <math.h>
#include <stddef.h>

#include "kernels/kernel.h"

static void softmax(struct softmax_call *call)
{
    float largest = -INFINITY;
    for (int j = 0; j < call->count; j++)
        largest = call->x[j] > largest ? call->x[j] : largest;
    double sum = 0;
    for (int j = 0; j < call->count; j++) {
        const float e = expf(call->x[j] - largest); // NaN where x is NaN or the largest is infinite
        call->y[j] = e;
        sum += (double)e;
    }
    const float factor = (float)(1.0 / sum);
    for (int j = 0; j < call->count; j++)
        call->y[j] *= factor;
    call->log_sum_exp = (double)largest + log(sum);
}

const struct kernel softmax_f32_scalar = {
    .name = "softmax_f32_scalar",
    .op = OP_SOFTMAX,
    .isa = ISA_SCALAR,
    .layout = "three passes over the row; the sum in double",
    .function = (void (*)(void))softmax,
};
