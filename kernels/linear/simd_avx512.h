// SPDX-License-Identifier: MIT
// AVX-512 vectors of 16 rows, and the tiles of every store read into bytes or floats.
#ifndef LLMSWEEP_LINEAR_SIMD_AVX512_H
#define LLMSWEEP_LINEAR_SIMD_AVX512_H

#include "kernels/linear/simd.h"

#include <immintrin.h>

enum { LANES = 16, VECTORS = 1 };
// The widths of up to F32_DIRECT and Q8_DIRECT tokens.
#define F32_FEW_WIDTHS(_) _(1) _(2) _(4) _(8)
#define Q8_FEW_WIDTHS(_)  F32_FEW_WIDTHS(_)
enum { Q8_PAIRED = 4 }; // tokens up to which two panels are read by turns, see linear_q8_few.h
enum { F32_DIRECT = 8, Q8_DIRECT = 8, ALL_BYTES_ALIKE = 1 };
// What a symbol shared by the kernels of this instruction set ends in.
#define F32_SUFFIX(name) name##_avx512
#if MATRIX_TILES // linear_q8_*_amx.c
#define Q8_SUFFIX(name) name##_amx
#else
#define Q8_SUFFIX(name) name##_avx512vnni
#endif

// What many tokens are computed with, see linear_f32_many.h. Tiles have 6 to 11 tokens.
enum { F32_STRIP_PANELS = 2, F32_HEIGHT = 9, F32_SPARE = 2 };

// Rows that the block store computes at once.
#define F32_BLOCK_ROWS(vectors)      8
#define Q8_BLOCK_ROWS(kind, vectors) ((kind) == BLOCK_KEEP && (vectors) == 1 ? 16 : 8)

typedef __m512 vfloat;
typedef __m512i vint;

static inline vfloat vfloat_zero(void) { return _mm512_setzero_ps(); }
static inline vfloat vfloat_load(const float *at) { return _mm512_loadu_ps(at); }
static inline vfloat vfloat_broadcast(const float *at) { return _mm512_set1_ps(*at); }
static inline vfloat vfloat_add(vfloat a, vfloat b) { return _mm512_add_ps(a, b); }
static inline vfloat vfloat_mul(vfloat a, vfloat b) { return _mm512_mul_ps(a, b); }
static inline vfloat vfloat_fma(vfloat a, vfloat b, vfloat c) { return _mm512_fmadd_ps(a, b, c); }
// a·*at + c, the number read by the same instruction.
static inline vfloat vfloat_fma_at(vfloat a, const float *at, vfloat c) {
    __asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(c) : "v"(a), "m"(*at));
    return c;
}
static inline vfloat vfloat_halves(const uint8_t *at) { return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)at)); }

// The first `rows` lanes.
static inline void vfloat_store(float *at, vfloat value, int rows) {
    if (rows >= LANES)
        _mm512_storeu_ps(at, value);
    else
        _mm512_mask_storeu_ps(at, (__mmask16)((1 << rows) - 1), value);
}

static inline vint vint_zero(void) { return _mm512_setzero_si512(); }
static inline vint vint_load(const uint8_t *at) { return _mm512_loadu_si512(at); }
static inline void vint_store(void *at, vint v) { _mm512_storeu_si512(at, v); }
static inline vint vint_or(vint a, vint b) { return _mm512_or_si512(a, b); }
static inline vint vint_broadcast(const int32_t *at) { return _mm512_set1_epi32(*at); }

static inline vint vint_of(vfloat v) { return _mm512_castps_si512(v); }
static inline vfloat vfloat_of(vint v) { return _mm512_castsi512_ps(v); }

// 16 × 16 words.
static inline void vint_transpose(vint m[LANES]) {
    vint pairs[LANES];
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) // of two rows, words of the same half of 128 bits
        pairs[i] = i % 2 ? _mm512_unpackhi_epi32(m[i - 1], m[i]) : _mm512_unpacklo_epi32(m[i], m[i + 1]);
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) { // of four: row 4·(i/4) … + 3, column i % 4 of each 128 bits
        const int at = i / 4 * 4 + i % 4 / 2;
        m[i] = i % 2 ? _mm512_unpackhi_epi64(pairs[at], pairs[at + 2]) : _mm512_unpacklo_epi64(pairs[at], pairs[at + 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) { // of eight rows, two of the four columns i % 4 + 0, 4, 8, 12
        const int at = i / 8 * 8 + i % 4;
        pairs[i] = i / 4 % 2 ? _mm512_shuffle_i32x4(m[at], m[at + 4], 0xdd) : _mm512_shuffle_i32x4(m[at], m[at + 4], 0x88);
    }
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) {
        const int at = i % 8;
        m[i] = i / 8 ? _mm512_shuffle_i32x4(pairs[at], pairs[at + 8], 0xdd) : _mm512_shuffle_i32x4(pairs[at], pairs[at + 8], 0x88);
    }
}

// The field of `width` bits at bit `from` of each byte, at bit `to` of an otherwise empty one.
static inline __attribute__((always_inline)) vint vint_field(vint v, int width, int from, int to) {
#ifdef __GFNI__
    if (from == to)
        return _mm512_and_si512(v, _mm512_set1_epi8((char)(((1 << width) - 1) << to)));
    // A product with a matrix over GF(2): its byte 7 − i says which bits of the argument make bit i of the result.
    uint64_t matrix = 0;
#pragma GCC unroll 8
    for (int bit = 0; bit < width; bit++)
        matrix |= (uint64_t)1 << (8 * (7 - to - bit) + from + bit);
    return _mm512_gf2p8affine_epi64_epi8(v, _mm512_set1_epi64((long long)matrix), 0);
#else
    const vint moved =
        to >= from ? _mm512_slli_epi16(v, (unsigned)(to - from)) : _mm512_srli_epi16(v, (unsigned)(from - to));
    return _mm512_and_si512(moved, _mm512_set1_epi8((char)(((1 << width) - 1) << to)));
#endif
}

// Whether few tokens are multiplied with codes that stay where they lie in a byte, see planes_in_place().
#ifdef __AVX512VNNI__
#define HAS_FIELDS_IN_PLACE 1
#else
#define HAS_FIELDS_IN_PLACE 0
#endif
// Bits moved down by so many, or up where it is negative, in words of 16.
static inline __attribute__((always_inline)) vint vint_down(vint v, int bits) {
    return bits > 0 ? _mm512_srli_epi16(v, (unsigned)bits) : bits < 0 ? _mm512_slli_epi16(v, (unsigned)-bits) : v;
}
static inline vint vint_and_bytes(vint v, int byte) { return _mm512_and_si512(v, _mm512_set1_epi8((char)byte)); }
// a | (b & byte)
static inline vint vint_or_and_bytes(vint a, vint b, int byte) { return _mm512_ternarylogic_epi32(a, b, _mm512_set1_epi8((char)byte), 0xf8); }

// 64 densely packed codes of 8, 4 or 2 bits; may read 64 bytes.
static inline __attribute__((always_inline)) void packed_codes(const uint8_t *at, int bits, vint codes[VECTORS]) {
    if (bits == 8) {
        codes[0] = _mm512_loadu_si512(at);
    } else if (bits == 4) {
        const __m512i pairs = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const void *)at));
        codes[0] = _mm512_and_si512(_mm512_or_si512(pairs, _mm512_slli_epi16(pairs, 4)), _mm512_set1_epi8(15));
    } else {
        const __m512i fours = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)at));
        const __m512i twos = _mm512_or_si512(fours, _mm512_slli_epi32(fours, 12));
        codes[0] = _mm512_and_si512(_mm512_or_si512(twos, _mm512_slli_epi32(twos, 6)), _mm512_set1_epi8(3));
    }
}

// Each row's zero code in the four bytes of its lane.
static inline void zero_codes(const uint8_t *zeros, vint codes[VECTORS]) {
    const __m512i lanes = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)zeros));
    codes[0] = _mm512_shuffle_epi8(lanes, _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0));
}

#ifdef __AVX512VBMI2__
#define HAS_SPREAD 1
// Loads the codes that the mask names, for place_present() to bring them to their places, the others being `absent`.
static inline void load_present(const uint8_t *at, uint64_t mask, vint bytes[VECTORS]) {
    (void)mask;
    bytes[0] = vint_load(at);
    __asm__("" : "+v"(bytes[0])); // keeps the load out of the expansion, which some CPUs have only in microcode
}

static inline void place_present(vint codes[VECTORS], uint64_t mask, const vint absent[VECTORS]) {
    codes[0] = _mm512_mask_expand_epi8(absent[0], mask, codes[0]);
}
#else
#define HAS_SPREAD 0
#endif

#include "kernels/linear/readers.h"

// `chunks` chunks of codes, less the rows' zero codes, as floats by column and row.
static inline void codes_to_floats(const struct source *source, const uint8_t *codes, int chunks, float *out) {
    // A byte under the exponent of 2²³ is 2²³ + byte, exactly; so is the difference.
    const __m512i exponent = _mm512_set1_epi32(0x4b000000), byte = _mm512_set1_epi32(255);
    const __m512i zeros = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)source->zeros));
    const __m512 offset = _mm512_castsi512_ps(_mm512_or_si512(zeros, exponent));
    for (int chunk = 0; chunk < chunks; chunk++) {
        const __m512i v = vint_load(codes + CHUNK_CODES * chunk);
#pragma GCC unroll 4
        for (int column = 0; column < CHUNK_COLUMNS; column++) {
            // (v >> 8·column & 255) | exponent
            const __m512i biased =
                _mm512_ternarylogic_epi32(_mm512_srli_epi32(v, 8 * (unsigned)column), byte, exponent, 0xea);
            _mm512_storeu_ps(out + PACKED_PANEL_ROWS * (CHUNK_COLUMNS * chunk + column),
                             _mm512_sub_ps(_mm512_castsi512_ps(biased), offset));
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

// 16 rows of a pair of columns of bf16, as floats by column.
static inline void widen_pairs(__m512i pairs, vfloat columns[2]) {
    columns[0] = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
    columns[1] = _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000)));
}

static inline void store_pairs(__m512i pairs, float *buffer) {
    vfloat columns[2];
    widen_pairs(pairs, columns);
    _mm512_storeu_ps(buffer, columns[0]);
    _mm512_storeu_ps(buffer + PACKED_PANEL_ROWS, columns[1]);
}

static inline const float *next_bf16(struct source *source, float *buffer) {
    for (int pair = 0; pair < TILE_COLUMNS / 2; pair++)
        store_pairs(_mm512_loadu_si512(source->values + 64 * pair), buffer + 2 * PACKED_PANEL_ROWS * pair);
    source->values += TILE_CODES * sizeof(uint16_t);
    return buffer;
}

static inline const float *next_q16(struct source *source, float *buffer) {
    for (int column = 0; column < TILE_COLUMNS; column++) {
        const __m512i codes = _mm512_cvtepi16_epi32(_mm256_loadu_si256((const void *)(source->values + 32 * column)));
        _mm512_storeu_ps(buffer + PACKED_PANEL_ROWS * column, _mm512_cvtepi32_ps(codes));
    }
    source->values += TILE_CODES * sizeof(int16_t);
    return buffer;
}

// What is present, brought to its places among zeros, `words` and up. Zen 4 lets the expansion wait for its destination even where that is
// overwritten whole, so that each waits for the one before (5 cycles), unless it is cleared first, which compilers do not do.
#define SPREAD(instruction, mask, present, out)                                                                        \
    __asm__("vpxord %0, %0, %0\n\t" instruction " %2, %0%{%1%}" : "=&v"(out) : "Yk"(mask), "v"(present))

// The next column of the bitmask store of floats. Plain loads, since some CPUs have the expansion of memory only in microcode.
FLATTEN vfloat next_f32_column(struct source *source) {
    uint16_t mask;
    memcpy(&mask, source->masks, sizeof(mask));
    const __m512 present = _mm512_loadu_ps(source->values);
    source->masks += sizeof(mask);
    source->values += sizeof(float) * (size_t)_mm_popcnt_u32(mask);
    __m512 column;
    SPREAD("vexpandps", mask, present, column);
    return column;
}

// The next pair of columns of bf16.
FLATTEN __m512i next_bf16_pair(struct source *source) {
    uint32_t mask;
    memcpy(&mask, source->masks, sizeof(mask));
    __asm__("" : "+r"(mask)); // read once: loads of 64 bytes that begin anywhere leave few turns for others
    const uint8_t *values = source->values;
    source->masks += sizeof(mask);
    source->values += sizeof(uint16_t) * (size_t)_mm_popcnt_u32(mask);
#ifdef __AVX512VBMI2__
    const __m512i present = _mm512_loadu_si512(values);
    __m512i pair;
    SPREAD("vpexpandw", mask, present, pair);
    return pair;
#else
    // Without an expansion of 16 bits, two of 32, of which the lower halves are taken.
    const uint8_t *upper = values + sizeof(uint16_t) * (size_t)_mm_popcnt_u32(mask & 0xffff);
    const __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)values));
    const __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)upper));
    __m512i lower_half, upper_half;
    SPREAD("vpexpandd", (__mmask16)mask, low, lower_half);
    SPREAD("vpexpandd", (__mmask16)(mask >> 16), high, upper_half);
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(lower_half)), _mm512_cvtepi32_epi16(upper_half), 1);
#endif
}

FLATTEN const float *next_floats_bitmask(struct source *source, float *buffer, bool bf16) {
    for (int column = 0; column < TILE_COLUMNS; column += 2) {
        float *out = buffer + PACKED_PANEL_ROWS * column;
        if (bf16) {
            store_pairs(next_bf16_pair(source), out);
        } else {
            _mm512_storeu_ps(out, next_f32_column(source));
            _mm512_storeu_ps(out + PACKED_PANEL_ROWS, next_f32_column(source));
        }
    }
    return buffer;
}

// The same without the buffer: the next two columns, in registers.
FLATTEN void read_bitmask_columns(struct source *source, bool bf16, vfloat columns[2][VECTORS]) {
    vfloat pair[2];
    prefetch_both(source->values, source->fetch.values, 2 * NEAR_AHEAD);
    if (bf16) {
        widen_pairs(next_bf16_pair(source), pair);
    } else {
        pair[0] = next_f32_column(source);
        pair[1] = next_f32_column(source);
    }
    columns[0][0] = pair[0];
    columns[1][0] = pair[1];
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
    for (int pair = 0; pair < pairs; pair++)
        store_pairs(_mm512_loadu_si512(source->values + 64 * pair), buffer + 2 * PACKED_PANEL_ROWS * pair);
    source->values += 64 * pairs;
    return buffer;
}

// Two columns of the dense store, or of a present chunk of the block store, in registers.
FLATTEN void read_columns(struct source *source, bool bf16, vfloat columns[2][VECTORS]) {
    vfloat pair[2];
    if (source->fetch.values != 0) {
        prefetch_far(source->values, source->fetch.values);
        if (!bf16)
            prefetch_far(source->values + 64, source->fetch.values);
    }
    if (bf16) {
        widen_pairs(_mm512_loadu_si512(source->values), pair);
    } else {
        pair[0] = _mm512_loadu_ps(source->values);
        pair[1] = _mm512_loadu_ps(source->values + 64);
    }
    columns[0][0] = pair[0];
    columns[1][0] = pair[1];
    source->values += bf16 ? 64 : 128;
}

#ifdef __AVX512VNNI__
// What many tokens are computed with, see linear_q8_many.h.
#if MATRIX_TILES
enum { Q8_STRIP_PANELS = 2, Q8_MOVES_CODES = 1, Q8_SPARE = 0 };
#define Q8_HEIGHT(bits, groups) ((groups) == 1 ? 32 : 16)
#else
enum { Q8_STRIP_PANELS = 2, Q8_MOVES_CODES = 1, Q8_SPARE = 2, Q8_DENSE_FEW = 40 };
#define Q8_HEIGHT(bits, groups) 9 // tiles have 6 to 11
#endif
#define Q8_CENTRE(bits) 0 // vint_dot() multiplies codes less this
#define DOT_PARTS(width)                                                                                               \
    ((width) <= 2 ? 4 : (width) <= 4 ? 2 : 1) // independent sums: a dot takes 5 cycles, two start in each
enum { DOT_PARTS_LIMIT = 4 };
static inline vint vint_add(vint a, vint b) { return _mm512_add_epi32(a, b); }
static inline vint vint_mul(vint a, vint b) { return _mm512_mullo_epi32(a, b); }
static inline vint vint_words_down(vint a, int bits) { return _mm512_srai_epi32(a, (unsigned)bits); }
static inline vfloat vint_float(vint a) { return _mm512_cvtepi32_ps(a); }
// A tile's codes, moved so that each row's zero code is `zero`; in place or not.
static inline void codes_move(uint8_t out[TILE_CODES], const uint8_t codes[TILE_CODES], const uint8_t *zeros, int zero) {
    const __m512i lanes = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)zeros));
    const __m512i bytes = _mm512_shuffle_epi8(lanes, _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0));
    const __m512i up = _mm512_sub_epi8(_mm512_set1_epi8((char)zero), bytes);
    for (int i = 0; i < TILE_CODES; i += CHUNK_CODES)
        _mm512_storeu_si512(out + i, _mm512_add_epi8(_mm512_loadu_si512(codes + i), up));
}
// The rows' zero codes, negated.
static inline vint vint_negated_zeros(const uint8_t *zeros, int bits) {
    (void)bits;
    return _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)zeros)));
}
// sum + Σ of four codes × four activations
static inline vint vint_dot(vint sum, vint codes, vint x, int bits) {
    (void)bits;
    // Compilers copy sums to and fro around the intrinsic's instruction.
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(codes), "v"(x));
    return sum;
}
// The same with the four activations at `x`, read by the same instruction.
static inline vint vint_dot_at(vint sum, vint codes, const int32_t *x, int bits) {
    (void)bits;
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(codes), "m"(*x));
    return sum;
}
// Of the block store, whose weights are signed and whose activations are unsigned: what is added to these.
#define Q8_X_OFFSET(bits) 128
static inline vint vint_bytes(int byte) { return _mm512_set1_epi8((char)byte); }
static inline vint vint_subtract(vint a, vint b) { return _mm512_sub_epi32(a, b); }
static inline vint vint_subtract_bytes(vint a, vint b) { return _mm512_sub_epi8(a, b); }
static inline vint vint_flip_signs(vint bytes) { return _mm512_xor_si512(bytes, vint_bytes(128)); }
// `factor`·Σ of four signed codes
static inline vint vint_weigh(vint codes, int factor) {
    return _mm512_dpbusd_epi32(_mm512_setzero_si512(), vint_bytes(factor), codes);
}
// sum + Σ of four activations × four signed codes
static inline vint vint_dot_signed(vint sum, vint x, vint codes, int bits) {
    return vint_dot(sum, x, codes, bits);
}
// sum + zeros·sums, |zeros| ≤ 255 and sums of 32 activations: both fit in 16 bits.
static inline vint vint_correct(vint sum, vint zeros, vint sums) {
    return _mm512_dpwssd_epi32(sum, _mm512_and_si512(zeros, _mm512_set1_epi32(0xffff)), sums);
}
#endif

#endif
