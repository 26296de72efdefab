// SPDX-License-Identifier: MIT
// IEEE 754 half precision and bfloat16 to and from float, for files; exact, and rounding to nearest even.
#ifndef LLMSWEEP_HALF_H
#define LLMSWEEP_HALF_H

#include <stdint.h>
#include <string.h>

static inline float half_to_float(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 0x3ff;
    uint32_t bits;
    float value;
    if (exponent == 0) { // zero, or a subnormal: fraction · 2^−24
        value = (float)fraction * 0x1p-24f;
        memcpy(&bits, &value, sizeof bits);
        bits |= sign;
    } else {
        bits = sign | (exponent == 31 ? 0xffu : exponent + 112) << 23 | fraction << 13;
    }
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint16_t float_to_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) // not a number
        return sign | 0x7e00;
    if (bits >= 0x47800000) // 2^16 and above, infinity
        return sign | 0x7c00;
    if (bits < 0x38800000) { // below 2^−14: the sum's last bit is worth 2^−24, so the addition rounds
        float magnitude;
        memcpy(&magnitude, &bits, sizeof magnitude);
        magnitude += 0.5f;
        memcpy(&bits, &magnitude, sizeof bits);
        return sign | (uint16_t)(bits - 0x3f000000);
    }
    bits += 0xfff + (bits >> 13 & 1); // may carry into the exponent, up to infinity
    return sign | (uint16_t)((bits - 0x38000000) >> 13);
}

static inline float bfloat_to_float(uint16_t bfloat)
{
    const uint32_t bits = (uint32_t)bfloat << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
