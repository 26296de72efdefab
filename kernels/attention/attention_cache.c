// SPDX-License-Identifier: MIT
// Panels of keys and values: written, read back, and the joining of partial results.
#include "kernels/attention/attention.h"

#include <assert.h>
#include <math.h>

#include "kernels/pack/float16.h"

static int groups(int head_dim)
{
    return (head_dim + ATTENTION_GROUP - 1) / ATTENTION_GROUP;
}

static size_t code_bytes(enum kv_type type, int head_dim)
{
    static const int bits[KV_TYPES] = { 32, 16, 8, 4 };
    return (size_t)head_dim * ATTENTION_PANEL * (size_t)bits[type] / 8;
}

size_t attention_panel_bytes(enum kv_type type, int head_dim)
{
    const size_t scales = (size_t)groups(head_dim) * ATTENTION_PANEL * sizeof(uint16_t);
    return code_bytes(type, head_dim) + (type == KV_Q8 || type == KV_Q4 ? scales : 0);
}

// Where number `inner` of `outer`s lies in an array of pairs: keys have dimensions inside and positions as the other index, values the
// other way round. `count` is that of the others.
static size_t pair_place(int inner, int other, int count)
{
    return ((size_t)(inner / 2) * (size_t)count + (size_t)other) * 2 + (size_t)(inner % 2);
}

// The byte that holds a nibble, and whether it is the high one.
static size_t nibble_place(int inner, int other, int count, int *shift)
{
    *shift = inner % 4 / 2 * 4;
    return ((size_t)(inner / 4) * (size_t)count + (size_t)other) * 2 + (size_t)(inner % 2);
}

// The codes of up to a group, and its scale.
static uint16_t quantize_group(const float *x, int count, bool nibbles, int8_t codes[ATTENTION_GROUP])
{
    uint32_t most = 0;
    float extreme = 0; // with its sign: its code is −8, so that four bits use all of their range
    for (int i = 0; i < count; i++) {
        const uint32_t bits = float_bits(x[i]) & 0x7fffffff; // those of a NaN are the largest of all
        extreme = bits > most ? x[i] : extreme;
        most = bits > most ? bits : most;
    }
    const uint16_t half = float_to_float16(nibbles ? extreme / -8.0f : bits_float(most) / 127.0f);
    const float scale = float16_to_float(half), lowest = nibbles ? -8.0f : -127.0f, highest = nibbles ? 7.0f : 127.0f;
    const bool usable = isfinite(scale) && scale != 0;
    for (int i = 0; i < count; i++) {
        const float code = usable ? rintf(x[i] / scale) : 0.0f;
        codes[i] = (int8_t)(code < lowest ? lowest : code > highest ? highest : code);
    }
    return isfinite(scale) ? half : 0x7e00;
}

static void store_floats(float *to, int stride, const float *x, int count)
{
    for (int i = 0; i < count; i++)
        to[i * stride] = x[i];
}

// One of the two sides of a position: `keys` says which.
static void store_side(enum kv_type type, int head_dim, int position, const float *x, uint8_t *panel, bool keys)
{
    const int others = keys ? ATTENTION_PANEL : head_dim;
    for (int begin = 0; begin < head_dim; begin += ATTENTION_GROUP) {
        const int count = head_dim - begin < ATTENTION_GROUP ? head_dim - begin : ATTENTION_GROUP;
        int8_t codes[ATTENTION_GROUP];
        if (type == KV_Q8 || type == KV_Q4) {
            uint16_t *scales = (uint16_t *)(void *)(panel + code_bytes(type, head_dim));
            scales[begin / ATTENTION_GROUP * ATTENTION_PANEL + position] = quantize_group(x + begin, count, type == KV_Q4, codes);
        }
        if (type == KV_F32)
            store_floats((float *)(void *)panel + (keys ? (size_t)(begin * others + position) : (size_t)(position * others + begin)),
                         keys ? others : 1, x + begin, count);
        for (int i = 0; i < count && type != KV_F32; i++) {
            const int d = begin + i, inner = keys ? d : position, other = keys ? position : d;
            int shift;
            switch (type) {
            case KV_BF16: ((uint16_t *)(void *)panel)[pair_place(inner, other, others)] = float_to_bfloat16(x[d]); break;
            case KV_Q8: panel[pair_place(inner, other, others)] = (uint8_t)codes[i]; break;
            default: {
                uint8_t *byte = &panel[nibble_place(inner, other, others, &shift)];
                *byte = (uint8_t)((*byte & ~(15 << shift)) | (codes[i] + 8) << shift);
            }
            }
        }
    }
}

static void load_side(enum kv_type type, int head_dim, int position, const uint8_t *panel, bool keys, float *x)
{
    const int others = keys ? ATTENTION_PANEL : head_dim;
    const uint16_t *scales = (const uint16_t *)(const void *)(panel + code_bytes(type, head_dim));
    for (int d = 0; d < head_dim; d++) {
        const int inner = keys ? d : position, other = keys ? position : d;
        int shift;
        switch (type) {
        case KV_F32: x[d] = ((const float *)(const void *)panel)[(size_t)inner * (size_t)others + (size_t)other]; break;
        case KV_BF16: x[d] = bfloat16_to_float(((const uint16_t *)(const void *)panel)[pair_place(inner, other, others)]); break;
        case KV_Q8: x[d] = (int8_t)panel[pair_place(inner, other, others)]; break;
        default: {
            const uint8_t byte = panel[nibble_place(inner, other, others, &shift)];
            x[d] = (float)((byte >> shift & 15) - 8);
        }
        }
        if (type == KV_Q8 || type == KV_Q4)
            x[d] *= float16_to_float(scales[d / ATTENTION_GROUP * ATTENTION_PANEL + position]);
    }
}

void attention_store(enum kv_type type, int head_dim, int position, const float *key, const float *value, void *key_panel,
                     void *value_panel)
{
    assert(head_dim % 16 == 0 && position >= 0 && position < ATTENTION_PANEL);
    store_side(type, head_dim, position, key, key_panel, true);
    store_side(type, head_dim, position, value, value_panel, false);
}

void attention_load(enum kv_type type, int head_dim, int position, const void *key_panel, const void *value_panel, float *key,
                    float *value)
{
    load_side(type, head_dim, position, key_panel, true, key);
    load_side(type, head_dim, position, value_panel, false, value);
}

void attention_combine(const float *partial, int parts, size_t stride, int head_dim, float *out)
{
    float largest = -INFINITY, sum = 0;
    for (int part = 0; part < parts; part++)
        largest = fmaxf(largest, partial[(size_t)part * stride + (size_t)head_dim]);
    for (int d = 0; d < head_dim; d++)
        out[d] = 0;
    for (int part = 0; part < parts; part++) {
        const float *from = partial + (size_t)part * stride;
        // a part that saw nothing has the sum 0, and may not make the others' largest − its own
        const float weight = from[head_dim + 1] == 0 ? 0.0f : exp2f(from[head_dim] - largest);
        sum += weight * from[head_dim + 1];
        for (int d = 0; d < head_dim && weight != 0; d++)
            out[d] += weight * from[d];
    }
    for (int d = 0; d < head_dim; d++)
        out[d] /= sum;
}
