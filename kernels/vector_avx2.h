// SPDX-License-Identifier: MIT
// Vectors of 8 floats, by the names of vector_avx512.h.
#ifndef LLMSWEEP_VECTOR_AVX2_H
#define LLMSWEEP_VECTOR_AVX2_H

#include <immintrin.h>
#include <stdint.h>

typedef __m256 vec;
typedef __m256i ivec;
enum { VEC = 8 };

static inline vec vec_zero(void) { return _mm256_setzero_ps(); }
static inline vec vec_set(float x) { return _mm256_set1_ps(x); }
static inline vec vec_load(const float *at) { return _mm256_loadu_ps(at); }
static inline void vec_store(float *at, vec x) { _mm256_storeu_ps(at, x); }
static inline vec vec_add(vec a, vec b) { return _mm256_add_ps(a, b); }
static inline vec vec_sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
static inline vec vec_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
static inline vec vec_div(vec a, vec b) { return _mm256_div_ps(a, b); }
static inline vec vec_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); } // a·b + c
static inline vec vec_fms(vec a, vec b, vec c) { return _mm256_fmsub_ps(a, b, c); } // a·b − c
// min and max: the second where one is NaN.
static inline vec vec_min(vec a, vec b) { return _mm256_min_ps(a, b); }
static inline vec vec_max(vec a, vec b) { return _mm256_max_ps(a, b); }
static inline vec vec_negative(vec x) { return _mm256_xor_ps(x, _mm256_set1_ps(-0.0f)); }
static inline float vec_sum(vec x)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
static inline float vec_largest(vec x)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}

// The first `count` lanes; any count, also below 0 and above VEC.
static inline __m256i vec_lanes(int count)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
// The first `count` floats, and `rest` in the lanes behind; what lies behind in memory is not touched.
static inline vec vec_load_some(const float *at, int count, vec rest)
{
    const __m256i lanes = vec_lanes(count);
    return _mm256_blendv_ps(rest, _mm256_maskload_ps(at, lanes), _mm256_castsi256_ps(lanes));
}
static inline void vec_store_some(float *at, int count, vec x) { _mm256_maskstore_ps(at, vec_lanes(count), x); }
static inline vec vec_keep(vec x, int count) { return _mm256_and_ps(x, _mm256_castsi256_ps(vec_lanes(count))); } // zero behind

// The sums of both halves in double, added to four or eight.
typedef __m256d dvec;
static inline dvec dvec_zero(void) { return _mm256_setzero_pd(); }
static inline dvec dvec_add(dvec sum, vec x)
{
    sum = _mm256_add_pd(sum, _mm256_cvtps_pd(_mm256_castps256_ps128(x)));
    return _mm256_add_pd(sum, _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)));
}
static inline double dvec_sum(dvec x)
{
    const __m128d s = _mm_add_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}

// 2^n·polynomial(r), where n is whole: the last step of both exponentials. In two factors, since n may be 128; 0 below 2^−126, and
// NaN where p is.
static inline vec vec_scale(vec p, vec n)
{
    const __m256 clipped = _mm256_max_ps(_mm256_set1_ps(-150.0f), _mm256_min_ps(_mm256_set1_ps(130.0f), n));
    const __m256i exponent = _mm256_cvtps_epi32(clipped), half = _mm256_srai_epi32(exponent, 1), bias = _mm256_set1_epi32(127);
    const __m256 first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    const __m256 second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(exponent, half), bias), 23));
    return _mm256_mul_ps(_mm256_mul_ps(p, first), second);
}
static inline vec vec_round(vec x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

// Each of half a vector's floats twice, beside each other: a0 a0 a1 a1 …
static inline vec vec_load_twice(const float *at)
{
    const __m128 x = _mm_loadu_ps(at);
    return _mm256_set_m128(_mm_unpackhi_ps(x, x), _mm_unpacklo_ps(x, x));
}
static inline vec vec_swap_pairs(vec x) { return _mm256_permute_ps(x, 0xb1); }
static inline vec vec_fmaddsub(vec a, vec b, vec c) { return _mm256_fmaddsub_ps(a, b, c); } // even lanes −, odd lanes +

static inline vec vec_load_half(const uint16_t *at) { return _mm256_cvtph_ps(_mm_loadu_si128((const void *)at)); }

static inline ivec ivec_zero(void) { return _mm256_setzero_si256(); }
static inline ivec ivec_set(int32_t x) { return _mm256_set1_epi32(x); }
static inline ivec ivec_load(const void *at) { return _mm256_loadu_si256(at); }
static inline void ivec_store(void *at, ivec x) { _mm256_storeu_si256(at, x); }
static inline vec vec_from_int(ivec x) { return _mm256_cvtepi32_ps(x); }
static inline ivec ivec_from_float(vec x) { return _mm256_cvtps_epi32(x); } // to nearest even
static inline ivec ivec_add(ivec a, ivec b) { return _mm256_add_epi32(a, b); }
static inline int32_t ivec_sum(ivec x)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}
// As unsigned integers, the magnitudes' bits: those of a NaN are above infinity's and those above all finite ones', so none is lost.
static inline ivec ivec_max_magnitude(ivec largest, vec x)
{
    return _mm256_max_epu32(largest, _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff)));
}
static inline uint32_t ivec_largest(ivec x)
{
    __m128i s = _mm_max_epu32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    s = _mm_max_epu32(s, _mm_shuffle_epi32(s, 0x4e));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epu32(s, _mm_shuffle_epi32(s, 0xb1)));
}
// acc + the products of 16-bit pairs.
static inline ivec ivec_dot16(ivec acc, ivec a, ivec b) { return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b)); }
static inline void ivec_store16(int16_t *at, ivec x)
{
    _mm_storeu_si128((void *)at, _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)));
}
// 16 signed, 16 unsigned bytes as 16-bit numbers.
static inline ivec ivec_load_s8(const void *at) { return _mm256_cvtepi8_epi16(_mm_loadu_si128(at)); }
static inline ivec ivec_load_u8(const void *at) { return _mm256_cvtepu8_epi16(_mm_loadu_si128(at)); }
static inline ivec ivec_low_nibbles(ivec bytes) { return _mm256_and_si256(bytes, _mm256_set1_epi16(15)); }
static inline ivec ivec_high_nibbles(ivec bytes) { return _mm256_srli_epi16(bytes, 4); }
// The even and the odd ones of pairs of bfloat16.
static inline vec vec_even_bf16(ivec pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)); }
static inline vec vec_odd_bf16(ivec pairs) { return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(-65536))); }

#endif
