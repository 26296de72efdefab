// SPDX-License-Identifier: MIT
#include "bench/model/random.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 4096 };

uint64_t random_mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

// The same in 32 bits, which vectors multiply (constants: Wellons, "Prospecting for hash functions", 2018).
static inline uint32_t mix32(uint32_t x) {
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    return x ^ (x >> 16);
}

// ln u for 0 < u < 1: u = m·2ᵉ with m near 1, ln m = 2·artanh((m−1)/(m+1)), whose series is cut where floats end.
static inline float natural_log(float u) {
    uint32_t bits;
    memcpy(&bits, &u, sizeof bits);
    const int32_t shifted = (int32_t)bits - 0x3f3504f3; // of sqrt(1/2): m lies in sqrt(1/2) … sqrt(2)
    const int32_t exponent = shifted >> 23;
    bits = (uint32_t)((shifted & 0x7fffff) + 0x3f3504f3);
    float m;
    memcpy(&m, &bits, sizeof m);
    const float t = (m - 1) / (m + 1), s = t * t;
    return (float)exponent * 0.69314718f + 2 * t * (1 + s * (1.0f / 3 + s * (1.0f / 5 + s * (1.0f / 7))));
}

// cos(2πv) for 0 <= v < 1 as a sine within a quarter turn, by its series: 4e-6 at most beside it.
static inline float cosine_turns(float v) {
    const float x = 6.2831853f * (fabsf(v - 0.5f) - 0.25f), s = x * x;
    return x * (1 + s * (-1.0f / 6 + s * (1.0f / 120 + s * (-1.0f / 5040 + s * (1.0f / 362880)))));
}

// Box–Muller. No call and no branch within, so that it becomes vector instructions.
static void fill_block(float *out, uint32_t count, uint64_t key, float deviation) {
    const uint32_t first = (uint32_t)key, second = (uint32_t)(key >> 32);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t a = mix32(first + i * 0x9e3779b9u), b = mix32(second ^ a);
        const float u = ((float)(int32_t)(a >> 8) + 0.5f) * 0x1p-24f, v = (float)(int32_t)(b >> 8) * 0x1p-24f;
        out[i] = deviation * sqrtf(-2 * natural_log(u)) * cosine_turns(v);
    }
}

void random_fill_normal(float *out, size_t count, uint64_t stream, float deviation) {
    const size_t blocks = (count + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static) if (blocks > 16)
    for (size_t block = 0; block < blocks; block++) {
        const size_t begin = block * BLOCK, left = count - begin;
        fill_block(out + begin, (uint32_t)(left < BLOCK ? left : BLOCK), random_mix(stream ^ random_mix(block)), deviation);
    }
}
