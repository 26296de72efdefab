// SPDX-License-Identifier: MIT
#include "kernels/loss/cross_entropy.h"

#include <math.h>

#include "kernels/vector_math.h"

VECTOR_CLONES static float row_max(const float *logits, int vocab)
{
    float max = logits[0];
#pragma omp simd reduction(max : max)
    for (int i = 1; i < vocab; i++)
        max = logits[i] > max ? logits[i] : max;
    return max;
}

VECTOR_CLONES static float sum_of_exp(const float *logits, int vocab, float max)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < vocab; i++)
        sum += vector_exp(logits[i] - max);
    return sum;
}

VECTOR_CLONES static float exponentiate(float *logits, int vocab, float max)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < vocab; i++) {
        logits[i] = vector_exp(logits[i] - max);
        sum += logits[i];
    }
    return sum;
}

VECTOR_CLONES static void scale_row(float *row, int vocab, float factor)
{
    for (int i = 0; i < vocab; i++)
        row[i] *= factor;
}

double cross_entropy_row(const float *logits, int vocab, int32_t target)
{
    const float max = row_max(logits, vocab);
    return log((double)sum_of_exp(logits, vocab, max)) + (double)max - (double)logits[target];
}

double cross_entropy_gradient_row(float *logits, int vocab, int32_t target, float scale)
{
    const float max = row_max(logits, vocab), at_target = logits[target];
    const float sum = exponentiate(logits, vocab, max);
    scale_row(logits, vocab, scale / sum);
    logits[target] -= scale;
    return log((double)sum) + (double)max - (double)at_target;
}
