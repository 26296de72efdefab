// SPDX-License-Identifier: MIT
// AVX2 vectors of 8 rows, and the tiles of every store read into bytes or floats.
#ifndef LLMSWEEP_LINEAR_SIMD_AVX2_H
#define LLMSWEEP_LINEAR_SIMD_AVX2_H

#include "kernels/linear/simd.h"

#include <immintrin.h>

enum { LANES = 8, VECTORS = 2 };
// The widths of up to F32_DIRECT and Q8_DIRECT tokens: of 16 registers, 2 × width are sums.
#define F32_FEW_WIDTHS(_) _(1) _(2) _(4) _(6)
#define Q8_FEW_WIDTHS(_)  _(1) _(2) _(4)
enum { Q8_PAIRED = 0 }; // see linear_q8_few.h
enum { F32_DIRECT = 6, Q8_DIRECT = 4, ALL_BYTES_ALIKE = 0 };
// What a symbol shared by the kernels of this instruction set ends in.
#define F32_SUFFIX(name) name##_avx2
#define Q8_SUFFIX(name)  name##_avx2

// What many tokens are computed with, see linear_f32_many.h.
enum { F32_STRIP_PANELS = 1, F32_HEIGHT = 6, F32_SPARE = 0 };

// Rows that the block store computes at once.
#define F32_BLOCK_ROWS(vectors)      ((vectors) == 1 ? 8 : 4)
#define Q8_BLOCK_ROWS(kind, vectors) ((vectors) == 3 ? 2 : 4)

typedef __m256 vfloat;
typedef __m256i vint;

static inline vfloat vfloat_zero(void) { return _mm256_setzero_ps(); }
static inline vfloat vfloat_load(const float *at) { return _mm256_loadu_ps(at); }
static inline vfloat vfloat_broadcast(const float *at) { return _mm256_broadcast_ss(at); }
static inline vfloat vfloat_add(vfloat a, vfloat b) { return _mm256_add_ps(a, b); }
static inline vfloat vfloat_mul(vfloat a, vfloat b) { return _mm256_mul_ps(a, b); }
static inline vfloat vfloat_fma(vfloat a, vfloat b, vfloat c) { return _mm256_fmadd_ps(a, b, c); }
static inline vfloat vfloat_fma_at(vfloat a, const float *at, vfloat c) { return vfloat_fma(a, vfloat_broadcast(at), c); }
static inline vfloat vfloat_halves(const uint8_t *at) { return _mm256_cvtph_ps(_mm_loadu_si128((const void *)at)); }

// The first `rows` lanes.
static inline void vfloat_store(float *at, vfloat value, int rows) {
    if (rows >= LANES) {
        _mm256_storeu_ps(at, value);
    } else {
        const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_maskstore_ps(at, _mm256_cmpgt_epi32(_mm256_set1_epi32(rows), lanes), value);
    }
}

static inline vint vint_zero(void) { return _mm256_setzero_si256(); }
static inline vint vint_load(const uint8_t *at) { return _mm256_loadu_si256((const void *)at); }
static inline void vint_store(void *at, vint v) { _mm256_storeu_si256(at, v); }
static inline vint vint_or(vint a, vint b) { return _mm256_or_si256(a, b); }
static inline vint vint_broadcast(const int32_t *at) { return _mm256_set1_epi32(*at); }

static inline vint vint_of(vfloat v) { return _mm256_castps_si256(v); }
static inline vfloat vfloat_of(vint v) { return _mm256_castsi256_ps(v); }

// 8 × 8 words.
static inline void vint_transpose(vint m[LANES]) {
    vint pairs[LANES];
#pragma GCC unroll 8
    for (int i = 0; i < LANES; i++) // of two rows, words of the same half of 128 bits
        pairs[i] = i % 2 ? _mm256_unpackhi_epi32(m[i - 1], m[i]) : _mm256_unpacklo_epi32(m[i], m[i + 1]);
#pragma GCC unroll 8
    for (int i = 0; i < LANES; i++) { // of four: row 4·(i/4) … + 3, column i % 4 of each 128 bits
        const int at = i / 4 * 4 + i % 4 / 2;
        m[i] = i % 2 ? _mm256_unpackhi_epi64(pairs[at], pairs[at + 2]) : _mm256_unpacklo_epi64(pairs[at], pairs[at + 2]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < LANES; i++)
        pairs[i] = i / 4 ? _mm256_permute2x128_si256(m[i % 4], m[i % 4 + 4], 0x31)
                         : _mm256_permute2x128_si256(m[i], m[i + 4], 0x20);
#pragma GCC unroll 8
    for (int i = 0; i < LANES; i++)
        m[i] = pairs[i];
}

static inline uint64_t load_word(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

// The field of `width` bits at bit `from` of each byte, at bit `to` of an otherwise empty one.
static inline __attribute__((always_inline)) vint vint_field(vint v, int width, int from, int to) {
    const vint moved = to >= from ? _mm256_slli_epi16(v, to - from) : _mm256_srli_epi16(v, from - to);
    return _mm256_and_si256(moved, _mm256_set1_epi8((char)(((1 << width) - 1) << to)));
}

// 64 densely packed codes of 8, 4 or 2 bits.
static inline __attribute__((always_inline)) void packed_codes(const uint8_t *at, int bits, vint codes[VECTORS]) {
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; v++) {
        if (bits == 8) {
            codes[v] = vint_load(at + 32 * v);
        } else if (bits == 4) {
            const __m256i pairs = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)(at + 16 * v)));
            codes[v] = _mm256_and_si256(_mm256_or_si256(pairs, _mm256_slli_epi16(pairs, 4)), _mm256_set1_epi8(15));
        } else {
            const __m256i fours = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(at + 8 * v)));
            const __m256i twos = _mm256_or_si256(fours, _mm256_slli_epi32(fours, 12));
            codes[v] = _mm256_and_si256(_mm256_or_si256(twos, _mm256_slli_epi32(twos, 6)), _mm256_set1_epi8(3));
        }
    }
}

// Each row's zero code in the four bytes of its lane.
static inline void zero_codes(const uint8_t *zeros, vint codes[VECTORS]) {
    for (int v = 0; v < VECTORS; v++) {
        const __m256i lanes = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(zeros + LANES * v)));
        codes[v] = _mm256_mullo_epi32(lanes, _mm256_set1_epi32(0x01010101));
    }
}

#define HAS_FIELDS_IN_PLACE 0
#define HAS_SPREAD 1
// Loads the codes that the mask names and deposits them at their places, eight at a time.
static inline void load_present(const uint8_t *at, uint64_t mask, vint bytes[VECTORS]) {
    uint64_t words[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        const uint64_t present = _pdep_u64(mask >> 8 * i, UINT64_C(0x0101010101010101)) * 255;
        words[i] = _pdep_u64(load_word(at), present);
        at += _mm_popcnt_u64(mask >> 8 * i & 255);
    }
    for (int v = 0; v < VECTORS; v++)
        bytes[v] = vint_load((const uint8_t *)(words + 4 * v));
}

// `absent` where there is nothing.
static inline void place_present(vint codes[VECTORS], uint64_t mask, const vint absent[VECTORS]) {
    const __m256i order = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)UINT64_C(0x8040201008040201));
    for (int v = 0; v < VECTORS; v++) {
        const __m256i bits = _mm256_shuffle_epi8(_mm256_set1_epi32((int)(mask >> 32 * v)), order);
        const __m256i present = _mm256_cmpeq_epi8(_mm256_and_si256(bits, bit), bit);
        codes[v] = _mm256_blendv_epi8(absent[v], codes[v], present);
    }
}

#include "kernels/linear/readers.h"

// `chunks` chunks of codes, less the rows' zero codes, as floats by column and row.
static inline void codes_to_floats(const struct source *source, const uint8_t *codes, int chunks, float *out) {
    for (int half = 0; half < VECTORS; half++) {
        const __m256i zeros = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(source->zeros + LANES * half)));
        // A byte under the exponent of 2²³ is 2²³ + byte, exactly; so is the difference.
        const __m256i exponent = _mm256_set1_epi32(0x4b000000), byte = _mm256_set1_epi32(255);
        const __m256 offset = _mm256_castsi256_ps(_mm256_or_si256(zeros, exponent));
        for (int chunk = 0; chunk < chunks; chunk++) {
            const __m256i v = vint_load(codes + CHUNK_CODES * chunk + 32 * half);
#pragma GCC unroll 4
            for (int column = 0; column < CHUNK_COLUMNS; column++) {
                const __m256i code = _mm256_and_si256(_mm256_srli_epi32(v, 8 * column), byte);
                _mm256_storeu_ps(out + PACKED_PANEL_ROWS * (CHUNK_COLUMNS * chunk + column) + LANES * half,
                                 _mm256_sub_ps(_mm256_castsi256_ps(_mm256_or_si256(code, exponent)), offset));
            }
        }
    }
}

// f32 and bf16 values, by column and row.
static inline const float *next_f32(struct source *source, float *buffer) {
    (void)buffer;
    const float *values = (const float *)(const void *)source->values;
    source->values += TILE_CODES * sizeof(float);
    return values;
}

// `pairs` pairs of columns of bf16, as floats by column.
static inline void widen_pairs(const uint8_t *values, int pairs, float *out) {
    for (int half = 0; half < 2 * pairs; half++) { // 8 rows
        float *to = out + PACKED_PANEL_ROWS * (half / 2 * 2) + LANES * (half % 2);
        const __m256i v = vint_load(values + 32 * half);
        _mm256_storeu_ps(to, _mm256_castsi256_ps(_mm256_slli_epi32(v, 16)));
        _mm256_storeu_si256((void *)(to + PACKED_PANEL_ROWS), _mm256_and_si256(v, _mm256_set1_epi32((int)0xffff0000)));
    }
}

static inline const float *next_bf16(struct source *source, float *buffer) {
    widen_pairs(source->values, TILE_COLUMNS / 2, buffer);
    source->values += TILE_CODES * sizeof(uint16_t);
    return buffer;
}

static inline const float *next_q16(struct source *source, float *buffer) {
    for (int i = 0; i < TILE_CODES; i += LANES) {
        const __m256i codes =
            _mm256_cvtepi16_epi32(_mm_loadu_si128((const void *)(source->values + sizeof(int16_t) * (size_t)i)));
        _mm256_storeu_ps(buffer + i, _mm256_cvtepi32_ps(codes));
    }
    source->values += TILE_CODES * sizeof(int16_t);
    return buffer;
}

// Eight values, of which those that the mask names come from `values`. bf16: 4 rows of a pair of columns, by column.
FLATTEN __m256 next_eight(const uint8_t *values, uint32_t mask, bool bf16) {
    const uint64_t present = _pdep_u64(mask, UINT64_C(0x0101010101010101)) * 255;
    // The n-th present lane takes the n-th value.
    const uint64_t ranks = _pdep_u64(UINT64_C(0x0706050403020100), present);
    __m128i order = _mm_cvtsi64_si128((long long)ranks), lanes = _mm_cvtsi64_si128((long long)present);
    __m256i dense = vint_load(values);
    if (bf16) {
        const __m128i by_column = _mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, -1, -1, -1, -1, -1, -1, -1, -1);
        order = _mm_shuffle_epi8(order, by_column);
        lanes = _mm_shuffle_epi8(lanes, by_column);
        dense = _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(dense)), 16);
    }
    const __m256i placed = _mm256_permutevar8x32_epi32(dense, _mm256_cvtepu8_epi32(order));
    return _mm256_castsi256_ps(_mm256_and_si256(placed, _mm256_cvtepi8_epi32(lanes)));
}

FLATTEN const float *next_floats_bitmask(struct source *source, float *buffer, bool bf16) {
    for (int i = 0; i < TILE_CODES / LANES; i++) {
        const uint32_t mask = *source->masks++;
        const __m256 eight = next_eight(source->values, mask, bf16);
        float *out = buffer + LANES * i;
        source->values += _mm_popcnt_u32(mask) * (bf16 ? 2 : 4);
        if (bf16) {
            out = buffer + 2 * PACKED_PANEL_ROWS * (i / 4) + 4 * (i % 4);
            _mm_storeu_ps(out, _mm256_castps256_ps128(eight));
            _mm_storeu_ps(out + PACKED_PANEL_ROWS, _mm256_extractf128_ps(eight, 1));
        } else {
            _mm256_storeu_ps(out, eight);
        }
    }
    return buffer;
}

static inline const float *next_f32_blocks(struct source *source, float *buffer) {
    (void)buffer;
    const float *values = (const float *)(const void *)source->values;
    source->present = *source->masks++;
    source->values += (size_t)_mm_popcnt_u32(source->present) * CHUNK_CODES * sizeof(float);
    return values;
}

static inline const float *next_bf16_blocks(struct source *source, float *buffer) {
    source->present = *source->masks++;
    const int pairs = _mm_popcnt_u32(source->present) * CHUNK_COLUMNS / 2;
    widen_pairs(source->values, pairs, buffer);
    source->values += 64 * pairs;
    return buffer;
}

// What many tokens are computed with, see linear_q8_many.h.
enum { Q8_STRIP_PANELS = 1, Q8_MOVES_CODES = 0, Q8_SPARE = 0, Q8_DENSE_FEW = Q8_DIRECT };
#define Q8_HEIGHT(bits, groups) ((bits) == 8 ? 4 : 6)
#define Q8_CENTRE(bits) ((bits) == 8 ? 128 : 0) // vint_dot() multiplies codes less this
static inline void codes_move(uint8_t out[TILE_CODES], const uint8_t codes[TILE_CODES], const uint8_t *zeros, int zero) {
    (void)out;
    (void)codes;
    (void)zeros;
    (void)zero;
}

#define DOT_PARTS(width) 1
static inline vint vint_add(vint a, vint b) { return _mm256_add_epi32(a, b); }
static inline vint vint_mul(vint a, vint b) { return _mm256_mullo_epi32(a, b); }
static inline vint vint_words_down(vint a, int bits) { return _mm256_srai_epi32(a, bits); }
static inline vfloat vint_float(vint a) { return _mm256_cvtepi32_ps(a); }
static inline vint vint_sum_pairs(vint pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }

enum { DOT_PARTS_LIMIT = 1 };

// The rows' zero codes, negated, as vint_dot() sees them: it multiplies 8-bit codes less 128.
static inline vint vint_negated_zeros(const uint8_t *zeros, int bits) {
    const vint offset = _mm256_set1_epi32(Q8_CENTRE(bits));
    return _mm256_sub_epi32(offset, _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)zeros)));
}

// sum + Σ of four codes × four activations. Pairs of products are added in 16 bits, saturating: codes of up to 6 bits stay below
// 2·63·127; codes of 8 bits become |code − 128| ≤ 128 times the activation with the sign of code − 128, below 2·128·127.
static inline vint vint_dot(vint sum, vint codes, vint x, int bits) {
    if (bits < 8)
        return _mm256_add_epi32(sum, vint_sum_pairs(_mm256_maddubs_epi16(codes, x)));
    const vint centred = _mm256_xor_si256(codes, _mm256_set1_epi8((char)0x80));
    return _mm256_add_epi32(
        sum, vint_sum_pairs(_mm256_maddubs_epi16(_mm256_abs_epi8(centred), _mm256_sign_epi8(x, centred))));
}
// The same with the four activations at `x`.
static inline vint vint_dot_at(vint sum, vint codes, const int32_t *x, int bits) {
    return vint_dot(sum, codes, vint_broadcast(x), bits);
}

// Of the block store, whose weights are signed: what is added to activations, so that they are not. |x + 128| ≤ 255 times
// codes of up to 6 bits stays below what 16 bits hold, as above.
#define Q8_X_OFFSET(bits) ((bits) == 8 ? 0 : 128)
static inline vint vint_bytes(int byte) { return _mm256_set1_epi8((char)byte); }
static inline vint vint_subtract(vint a, vint b) { return _mm256_sub_epi32(a, b); }
static inline vint vint_subtract_bytes(vint a, vint b) { return _mm256_sub_epi8(a, b); }
static inline vint vint_flip_signs(vint bytes) { return _mm256_xor_si256(bytes, vint_bytes(128)); }
// `factor`·Σ of four signed codes of up to 6 bits
static inline vint vint_weigh(vint codes, int factor) {
    return vint_sum_pairs(_mm256_maddubs_epi16(vint_bytes(factor), codes));
}
// sum + Σ of four activations × four signed codes
static inline vint vint_dot_signed(vint sum, vint x, vint codes, int bits) {
    if (bits < 8)
        return _mm256_add_epi32(sum, vint_sum_pairs(_mm256_maddubs_epi16(x, codes)));
    return _mm256_add_epi32(
        sum, vint_sum_pairs(_mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes))));
}
// sum + zeros·sums, |zeros| ≤ 255 and sums of 32 activations: both fit in 16 bits.
static inline vint vint_correct(vint sum, vint zeros, vint sums) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_and_si256(zeros, _mm256_set1_epi32(0xffff)), sums));
}

#endif
