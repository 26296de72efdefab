// SPDX-License-Identifier: MIT
// IEEE 754 binary16 and bfloat16, rounded to nearest even, without instructions beyond the base set.
#ifndef LLMSWEEP_FLOAT16_H
#define LLMSWEEP_FLOAT16_H

#include <stdint.h>
#include <string.h>

static inline uint32_t float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline float bits_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline float float16_to_float(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    const uint32_t magnitude = half & 0x7fff;
    if (magnitude >= 0x7c00) // infinity, NaN
        return bits_float(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
    // As if the exponent had f32's bias, then a multiplication that corrects it and handles subnormals.
    return bits_float(sign | float_bits(bits_float(magnitude << 13) * 0x1p112f));
}

static inline uint16_t float_to_float16(float value) {
    const uint32_t bits = float_bits(value);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    const uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000)
        return sign | 0x7e00;
    if (magnitude >= 0x477ff000) // 65520: rounds past the largest
        return sign | 0x7c00;
    if (magnitude < 0x38800000) // below 2⁻¹⁴, a subnormal: adding 0.5 leaves its rounded 2⁻²⁴ths in the low bits
        return sign | (uint16_t)(float_bits(bits_float(magnitude) + 0.5f) - 0x3f000000);
    const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    return sign | (uint16_t)((rounded - 0x38000000) >> 13);
}

static inline float bfloat16_to_float(uint16_t value) { return bits_float((uint32_t)value << 16); }

static inline uint16_t float_to_bfloat16(float value) {
    const uint32_t bits = float_bits(value);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif
