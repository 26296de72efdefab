// SPDX-License-Identifier: MIT
// The loops run over 16 or 32 weights that lie side by side, without branches, so that the compiler makes vector code of them. A
// weight is computed in f32 in the order in which ggml does it, to the last bit.
#include "bench/model/tensor_blocks.h"

#include <math.h>
#include <string.h>

#include "bench/model/half.h"

static float half_at(const uint8_t *at)
{
    uint16_t half;
    memcpy(&half, at, sizeof half);
    return half_to_float(half);
}

// d (f16), then 16 bytes of two codes: the low halves are weights 0 … 15.
void block_decode_q4_0(const uint8_t *block, float *out)
{
    const float scale = half_at(block);
    const uint8_t *codes = block + 2;
    for (int i = 0; i < 16; i++) {
        out[i] = (float)((codes[i] & 15) - 8) * scale;
        out[i + 16] = (float)((codes[i] >> 4) - 8) * scale;
    }
}

// d, m: weight = code·d + m.
void block_decode_q4_1(const uint8_t *block, float *out)
{
    const float scale = half_at(block), least = half_at(block + 2);
    const uint8_t *codes = block + 4;
    for (int i = 0; i < 16; i++) {
        out[i] = (float)(codes[i] & 15) * scale + least;
        out[i + 16] = (float)(codes[i] >> 4) * scale + least;
    }
}

// The fifth bits of 32 codes come first, as one little-endian number.
static void codes_q5(const uint8_t *fifth, const uint8_t *low, int *codes)
{
    uint32_t bits;
    memcpy(&bits, fifth, sizeof bits);
    for (int i = 0; i < 16; i++) {
        codes[i] = (low[i] & 15) | (int)(bits >> i & 1) << 4;
        codes[i + 16] = low[i] >> 4 | (int)(bits >> (i + 16) & 1) << 4;
    }
}

void block_decode_q5_0(const uint8_t *block, float *out)
{
    const float scale = half_at(block);
    int codes[32];
    codes_q5(block + 2, block + 6, codes);
    for (int i = 0; i < 32; i++)
        out[i] = (float)(codes[i] - 16) * scale;
}

void block_decode_q5_1(const uint8_t *block, float *out)
{
    const float scale = half_at(block), least = half_at(block + 2);
    int codes[32];
    codes_q5(block + 4, block + 8, codes);
    for (int i = 0; i < 32; i++)
        out[i] = (float)codes[i] * scale + least;
}

void block_decode_q8_0(const uint8_t *block, float *out)
{
    const float scale = half_at(block);
    const int8_t *codes = (const int8_t *)block + 2;
    for (int i = 0; i < 32; i++)
        out[i] = (float)codes[i] * scale;
}

// 16 bytes of (scale, minimum) of 4 bits each, one for every 16 weights; 64 bytes of four codes; d, dmin. Each 32 bytes of codes are
// 128 weights, 32 for each pair of bits from the lowest up.
void block_decode_q2_k(const uint8_t *block, float *out)
{
    const uint8_t *scales = block, *codes = block + 16;
    const float scale = half_at(block + 80), least = half_at(block + 82);
    for (int part = 0; part < 16; part++, out += 16) {
        const float d = scale * (float)(scales[part] & 15), m = least * (float)(scales[part] >> 4);
        const uint8_t *from = codes + part / 8 * 32 + part % 2 * 16;
        const int shift = part % 8 / 2 * 2;
        for (int i = 0; i < 16; i++)
            out[i] = d * (float)(from[i] >> shift & 3) - m;
    }
}

// 32 bytes of third bits, 64 bytes of pairs of bits (as above), 12 bytes of 16 scales of 6 bits, d. A third bit that is 0 takes 4 away.
void block_decode_q3_k(const uint8_t *block, float *out)
{
    const uint8_t *third = block, *codes = block + 32, *scales = block + 96;
    const float scale = half_at(block + 108);
    for (int part = 0; part < 16; part++, out += 16) {
        const int low = part < 8 ? scales[part] & 15 : scales[part - 8] >> 4;
        const int high = scales[8 + part % 4] >> (2 * (part / 4)) & 3;
        const float d = scale * (float)((low | high << 4) - 32);
        const uint8_t *from = codes + part / 8 * 32 + part % 2 * 16, *bits = third + part % 2 * 16;
        const int shift = part % 8 / 2 * 2, bit = part / 2;
        for (int i = 0; i < 16; i++)
            out[i] = d * (float)((from[i] >> shift & 3) - 4 + (bits[i] >> bit & 1) * 4);
    }
}

// The scale and the minimum of the part-th 32 weights, 6 bits each, out of 12 bytes.
static void scale_and_minimum(const uint8_t *packed, int part, float *scale, float *least)
{
    if (part < 4) {
        *scale = (float)(packed[part] & 63);
        *least = (float)(packed[part + 4] & 63);
    } else {
        *scale = (float)((packed[part + 4] & 15) | packed[part - 4] >> 6 << 4);
        *least = (float)(packed[part + 4] >> 4 | packed[part] >> 6 << 4);
    }
}

// d, dmin, 12 bytes of scales, 128 bytes of two codes: each 32 bytes are 64 weights, the low halves first.
void block_decode_q4_k(const uint8_t *block, float *out)
{
    const float scale = half_at(block), least = half_at(block + 2);
    for (int part = 0; part < 8; part++, out += 32) {
        float d, m;
        scale_and_minimum(block + 4, part, &d, &m);
        d *= scale;
        m *= least;
        const uint8_t *from = block + 16 + part / 2 * 32;
        const int shift = part % 2 * 4;
        for (int i = 0; i < 32; i++)
            out[i] = d * (float)(from[i] >> shift & 15) - m;
    }
}

// As above with 32 bytes of fifth bits before the codes: bit `part` of byte i.
void block_decode_q5_k(const uint8_t *block, float *out)
{
    const float scale = half_at(block), least = half_at(block + 2);
    const uint8_t *fifth = block + 16;
    for (int part = 0; part < 8; part++, out += 32) {
        float d, m;
        scale_and_minimum(block + 4, part, &d, &m);
        d *= scale;
        m *= least;
        const uint8_t *from = block + 48 + part / 2 * 32;
        const int shift = part % 2 * 4;
        for (int i = 0; i < 32; i++)
            out[i] = d * (float)((from[i] >> shift & 15) + (fifth[i] >> part & 1) * 16) - m;
    }
}

// 128 bytes of low halves, 64 bytes of pairs of high bits, 16 signed scales of 8 bits, d. Each half of the block is 128 weights.
void block_decode_q6_k(const uint8_t *block, float *out)
{
    const int8_t *scales = (const int8_t *)block + 192;
    const float scale = half_at(block + 208);
    for (int part = 0; part < 16; part++, out += 16) { // 16 weights with one scale
        const int half = part / 8, quarter = part % 8 / 2, second = part % 2 * 16;
        const uint8_t *low = block + half * 64 + quarter % 2 * 32 + second, *high = block + 128 + half * 32 + second;
        const int low_shift = quarter / 2 * 4, high_shift = quarter * 2;
        const float d = scale * (float)scales[part];
        for (int i = 0; i < 16; i++)
            out[i] = d * (float)(((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4) - 32);
    }
}

// ---------------------------------------------------------------------------------------------------------------------

void block_encode_q8_0(const float *values, uint8_t *block)
{
    float largest = 0;
    for (int i = 0; i < 32; i++)
        largest = fabsf(values[i]) > largest ? fabsf(values[i]) : largest;
    const float scale = largest / 127, inverse = scale != 0 ? 1 / scale : 0;
    const uint16_t half = float_to_half(scale);
    memcpy(block, &half, sizeof half);
    for (int i = 0; i < 32; i++)
        block[2 + i] = (uint8_t)(int8_t)roundf(values[i] * inverse);
}

// The scale of values that are already codes −7 … 7 of one scale, as q4g32 leaves them; 0 if they are not.
static float symmetric_scale(const float *values, float largest)
{
    const float scale = half_to_float(float_to_half(largest / 7));
    for (int i = 0; i < 32; i++) {
        if (!(roundf(values[i] / scale) * scale == values[i]))
            return 0;
    }
    return scale;
}

void block_encode_q4_0(const float *values, uint8_t *block)
{
    float largest = 0, extreme = 0; // the value of the largest magnitude, with its sign, becomes code 0 = −8
    for (int i = 0; i < 32; i++) {
        if (fabsf(values[i]) > largest) {
            largest = fabsf(values[i]);
            extreme = values[i];
        }
    }
    const float kept = largest > 0 ? symmetric_scale(values, largest) : 0, scale = kept > 0 ? kept : extreme / -8;
    const float inverse = scale != 0 ? 1 / scale : 0;
    const uint16_t half = float_to_half(scale);
    memcpy(block, &half, sizeof half);
    for (int i = 0; i < 16; i++) {
        const int low = (int)(values[i] * inverse + 8.5f), high = (int)(values[i + 16] * inverse + 8.5f);
        block[2 + i] = (uint8_t)((low < 15 ? low : 15) | (high < 15 ? high : 15) << 4);
    }
}
