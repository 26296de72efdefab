// SPDX-License-Identifier: MIT
// What plain C loops need to become vector code without fast-math: functions cloned for each width, and an exponential
// that a loop over floats can inline.
#ifndef LLMSWEEP_VECTOR_MATH_H
#define LLMSWEEP_VECTOR_MATH_H

#include <stdint.h>
#include <string.h>

// One copy of the function for each level, picked when the program starts. Not under sanitizers, whose run-time is not
// ready yet when the choice is made.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 &&                               \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(LLMSWEEP_NO_CLONES)
#define VECTOR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VECTOR_CLONES
#endif

// e^x within 2 units in the last place for −87 ≤ x ≤ 88, clamped outside (Cody and Waite's reduction, Cephes'
// polynomial).
static inline float vector_exp(float x)
{
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    const float n = (x * 1.44269504088896341f + 12582912.0f) - 12582912.0f; // rounds: 1.5·2²³ has no fraction bits
    const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const int32_t exponent = ((int32_t)n + 127) * (1 << 23);
    float scale;
    memcpy(&scale, &exponent, sizeof scale);
    return p * scale;
}

#endif
