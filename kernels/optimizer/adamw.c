// SPDX-License-Identifier: MIT
#include "kernels/optimizer/adamw.h"

#include <math.h>

#include "kernels/vector_math.h"

VECTOR_CLONES static void update(float *restrict weights, const float *restrict gradient, float *restrict first,
                                 float *restrict second, size_t count, const struct adamw *adamw, float rate,
                                 float root_correction)
{
    const float beta1 = adamw->beta1, beta2 = adamw->beta2, epsilon = adamw->epsilon, scale = adamw->gradient_scale;
    const float keep = 1 - adamw->learning_rate * adamw->weight_decay;
    for (size_t i = 0; i < count; i++) {
        const float g = gradient[i] * scale;
        first[i] = beta1 * first[i] + (1 - beta1) * g;
        second[i] = beta2 * second[i] + (1 - beta2) * g * g;
        weights[i] = keep * weights[i] - rate * first[i] / (sqrtf(second[i]) * root_correction + epsilon);
    }
}

void adamw_step(const struct adamw *adamw, float *weights, const float *gradient, float *first, float *second,
                size_t count)
{
    const double correction1 = 1 - pow((double)adamw->beta1, (double)adamw->step);
    const double correction2 = 1 - pow((double)adamw->beta2, (double)adamw->step);
    update(weights, gradient, first, second, count, adamw, (float)((double)adamw->learning_rate / correction1),
           (float)(1 / sqrt(correction2)));
}

// Blocks keep the float sums short, so that the total is as exact as double needs it.
VECTOR_CLONES static float block_sum(const float *values, size_t count)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < count; i++)
        sum += values[i] * values[i];
    return sum;
}

double sum_of_squares(const float *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i += 4096)
        sum += (double)block_sum(values + i, count - i < 4096 ? count - i : 4096);
    return sum;
}
