// SPDX-License-Identifier: MIT
// Vectors of 16 floats, by the names that the bodies shared between instruction sets are written in. With vector_avx2.h: same names,
// same meaning, another width.
#ifndef LLMSWEEP_VECTOR_AVX512_H
#define LLMSWEEP_VECTOR_AVX512_H

#include <immintrin.h>
#include <stdint.h>

typedef __m512 vec;
typedef __m512i ivec;
enum { VEC = 16 };

static inline vec vec_zero(void) { return _mm512_setzero_ps(); }
static inline vec vec_set(float x) { return _mm512_set1_ps(x); }
static inline vec vec_load(const float *at) { return _mm512_loadu_ps(at); }
static inline void vec_store(float *at, vec x) { _mm512_storeu_ps(at, x); }
static inline vec vec_add(vec a, vec b) { return _mm512_add_ps(a, b); }
static inline vec vec_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
static inline vec vec_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
static inline vec vec_div(vec a, vec b) { return _mm512_div_ps(a, b); }
static inline vec vec_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); } // a·b + c
static inline vec vec_fms(vec a, vec b, vec c) { return _mm512_fmsub_ps(a, b, c); } // a·b − c
// min and max: the second where one is NaN.
static inline vec vec_min(vec a, vec b) { return _mm512_min_ps(a, b); }
static inline vec vec_max(vec a, vec b) { return _mm512_max_ps(a, b); }
static inline vec vec_negative(vec x) { return _mm512_xor_ps(x, _mm512_set1_ps(-0.0f)); }
static inline float vec_sum(vec x) { return _mm512_reduce_add_ps(x); }
static inline float vec_largest(vec x) { return _mm512_reduce_max_ps(x); }

// The first `count` lanes; any count, also below 0 and above VEC.
static inline __mmask16 vec_lanes(int count)
{
    return (__mmask16)_bzhi_u32(0xffff, count < 0 ? 0 : count < VEC ? (unsigned)count : VEC);
}
// The first `count` floats, and `rest` in the lanes behind; what lies behind in memory is not touched.
static inline vec vec_load_some(const float *at, int count, vec rest) { return _mm512_mask_loadu_ps(rest, vec_lanes(count), at); }
static inline void vec_store_some(float *at, int count, vec x) { _mm512_mask_storeu_ps(at, vec_lanes(count), x); }
static inline vec vec_keep(vec x, int count) { return _mm512_maskz_mov_ps(vec_lanes(count), x); } // zero behind

// The sums of both halves in double, added to four or eight.
typedef __m512d dvec;
static inline dvec dvec_zero(void) { return _mm512_setzero_pd(); }
static inline dvec dvec_add(dvec sum, vec x)
{
    sum = _mm512_add_pd(sum, _mm512_cvtps_pd(_mm512_castps512_ps256(x)));
    return _mm512_add_pd(sum, _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)));
}
static inline double dvec_sum(dvec x) { return _mm512_reduce_add_pd(x); }

// 2^n·polynomial(r), where n is whole: the last step of both exponentials.
static inline vec vec_scale(vec p, vec n) { return _mm512_scalef_ps(p, n); }
static inline vec vec_round(vec x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

// (a0 a1 a2 …, b0 b1 b2 …) each twice beside each other, from half a vector: a0 a0 a1 a1 …
static inline vec vec_load_twice(const float *at)
{
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(_mm256_loadu_ps(at)));
}
static inline vec vec_swap_pairs(vec x) { return _mm512_permute_ps(x, 0xb1); }
static inline vec vec_fmaddsub(vec a, vec b, vec c) { return _mm512_fmaddsub_ps(a, b, c); } // even lanes −, odd lanes +

static inline vec vec_load_half(const uint16_t *at) { return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)at)); }

static inline ivec ivec_zero(void) { return _mm512_setzero_si512(); }
static inline ivec ivec_set(int32_t x) { return _mm512_set1_epi32(x); }
static inline ivec ivec_load(const void *at) { return _mm512_loadu_si512(at); }
static inline void ivec_store(void *at, ivec x) { _mm512_storeu_si512(at, x); }
static inline vec vec_from_int(ivec x) { return _mm512_cvtepi32_ps(x); }
static inline ivec ivec_from_float(vec x) { return _mm512_cvtps_epi32(x); } // to nearest even
static inline ivec ivec_add(ivec a, ivec b) { return _mm512_add_epi32(a, b); }
static inline int32_t ivec_sum(ivec x) { return _mm512_reduce_add_epi32(x); }
// As unsigned integers, the magnitudes' bits: those of a NaN are above infinity's and those above all finite ones', so none is lost.
static inline ivec ivec_max_magnitude(ivec largest, vec x)
{
    return _mm512_max_epu32(largest, _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff)));
}
static inline uint32_t ivec_largest(ivec x) { return _mm512_reduce_max_epu32(x); }
// acc + the products of 16-bit pairs.
static inline ivec ivec_dot16(ivec acc, ivec a, ivec b)
{
#ifdef __AVX512VNNI__
    __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b)); // gcc 12 moves each sum around its intrinsic, twice an instruction
    return acc;
#else
    return _mm512_add_epi32(acc, _mm512_madd_epi16(a, b));
#endif
}
static inline void ivec_store16(int16_t *at, ivec x) { _mm256_storeu_si256((void *)at, _mm512_cvtepi32_epi16(x)); }
// 32 signed, 32 unsigned bytes as 16-bit numbers.
static inline ivec ivec_load_s8(const void *at) { return _mm512_cvtepi8_epi16(_mm256_loadu_si256(at)); }
static inline ivec ivec_load_u8(const void *at) { return _mm512_cvtepu8_epi16(_mm256_loadu_si256(at)); }
static inline ivec ivec_low_nibbles(ivec bytes) { return _mm512_and_si512(bytes, _mm512_set1_epi16(15)); }
static inline ivec ivec_high_nibbles(ivec bytes) { return _mm512_srli_epi16(bytes, 4); }
// The even and the odd ones of pairs of bfloat16.
static inline vec vec_even_bf16(ivec pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)); }
static inline vec vec_odd_bf16(ivec pairs) { return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(-65536))); }
static inline ivec ivec_lower_halves(ivec pairs) { return _mm512_and_si512(pairs, _mm512_set1_epi32(0xffff)); }
#ifdef __AVX512BF16__
// Rounded to nearest even.
static inline void vec_store_bf16(uint16_t *at, vec x) { _mm256_storeu_si256((void *)at, (__m256i)_mm512_cvtneps_pbh(x)); }
// acc + the products of pairs.
static inline vec vec_dot_bf16(vec acc, ivec a, ivec b)
{
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b)); // as for ivec_dot16()
    return acc;
}
#endif

#endif
