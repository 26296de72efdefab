// SPDX-License-Identifier: MIT
#include "harness/roof_loops.h"

#include <string.h>

#include <immintrin.h>

// clang takes the width from the intrinsics alone.
#ifdef __clang__
#define WIDE
#else
#define WIDE ",prefer-vector-width=512"
#endif
#define AVX2   __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl" WIDE)))
#define VNNI   __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni" WIDE)))
#define AMX    __attribute__((target("amx-tile,amx-int8,amx-bf16")))
#define BF16   __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16" WIDE)))

// Independent chains: more than latency × throughput of any multiply-add here (5 × 2), fewer than the registers.
enum { CHAINS = 12 };
// A loop over the chains that must become straight code, so that the sums live in registers.
#define EACH_CHAIN _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++)
// Keeps a value in a register and its contents from the optimiser.
#define OPAQUE(x) __asm__ volatile("" : "+v"(x))

// ---------------------------------------------------------------------------------------------------------------------
// Reading

static uint64_t read_scalar(const void *data, size_t bytes) {
    const uint64_t *words = data;
    uint64_t sums[8] = {0};
    for (size_t i = 0; i < bytes / sizeof *words; i += 8)
        for (size_t j = 0; j < 8; j++)
            sums[j] |= words[i + j];
    return sums[0] | sums[1] | sums[2] | sums[3] | sums[4] | sums[5] | sums[6] | sums[7];
}

// A page after the other, eight lines at a time; prefetched as far ahead as it pays (measured: 1 to 4 KB are alike).
enum { STEP = 512, AHEAD = 2048 };

// The bits of any of the four words.
AVX2 static uint64_t any_bits(__m256i v) {
    return (uint64_t)(_mm256_extract_epi64(v, 0) | _mm256_extract_epi64(v, 1) | _mm256_extract_epi64(v, 2) | _mm256_extract_epi64(v, 3));
}

AVX2 static uint64_t read_avx2(const void *data, size_t bytes) {
    const char *at = data;
    __m256i seen[4] = {0};
    for (const char *end = at + bytes; at < end; at += STEP) {
        for (int line = 0; line < STEP / 64; line++) {
            _mm_prefetch(at + AHEAD + 64 * line, _MM_HINT_T0);
            const __m256i *vector = (const __m256i *)(const void *)(at + 64 * line);
            seen[line & 1] = _mm256_or_si256(seen[line & 1], _mm256_load_si256(vector));
            seen[2 + (line & 1)] = _mm256_or_si256(seen[2 + (line & 1)], _mm256_load_si256(vector + 1));
        }
    }
    return any_bits(_mm256_or_si256(_mm256_or_si256(seen[0], seen[1]), _mm256_or_si256(seen[2], seen[3])));
}

AVX512 static uint64_t read_avx512(const void *data, size_t bytes) {
    const char *at = data;
    __m512i seen[4] = {0};
    for (const char *end = at + bytes; at < end; at += STEP)
        for (int line = 0; line < STEP / 64; line++) {
            _mm_prefetch(at + AHEAD + 64 * line, _MM_HINT_T0);
            seen[line & 3] = _mm512_or_si512(seen[line & 3], _mm512_load_si512(at + 64 * line));
        }
    return (uint64_t)_mm512_reduce_or_epi64(
        _mm512_or_si512(_mm512_or_si512(seen[0], seen[1]), _mm512_or_si512(seen[2], seen[3])));
}

// From memory: both halves at once, since hardware prefetches each of two streams; lines come to second-level cache first (measured: an
// eighth to a quarter faster than one stream, and no faster with three or four, or farther ahead).
enum { TURN = 256, FAR = 1024, NEAR = 512 };
#define FETCH(at)                                                                                                      \
    do {                                                                                                               \
        _mm_prefetch((at) + FAR, _MM_HINT_T1);                                                                         \
        _mm_prefetch((at) + NEAR, _MM_HINT_T0);                                                                        \
    } while (0)

AVX2 static uint64_t stream_avx2(const void *data, size_t bytes) {
    const char *halves[2] = {data, (const char *)data + bytes / 2};
    __m256i seen[2] = {0};
    for (size_t begin = 0; begin < bytes / 2; begin += TURN)
        for (int half = 0; half < 2; half++)
            for (const char *at = halves[half] + begin, *end = at + TURN; at < end; at += 64) {
                FETCH(at);
                seen[0] = _mm256_or_si256(seen[0], _mm256_load_si256((const __m256i *)(const void *)at));
                seen[1] = _mm256_or_si256(seen[1], _mm256_load_si256((const __m256i *)(const void *)(at + 32)));
            }
    return any_bits(_mm256_or_si256(seen[0], seen[1]));
}

AVX512 static uint64_t stream_avx512(const void *data, size_t bytes) {
    const char *halves[2] = {data, (const char *)data + bytes / 2};
    __m512i seen[2] = {0};
    for (size_t begin = 0; begin < bytes / 2; begin += TURN)
        for (int half = 0; half < 2; half++)
            for (const char *at = halves[half] + begin, *end = at + TURN; at < end; at += 64) {
                FETCH(at);
                seen[half] = _mm512_or_si512(seen[half], _mm512_load_si512(at));
            }
    return (uint64_t)_mm512_reduce_or_epi64(_mm512_or_si512(seen[0], seen[1]));
}

roof_read_function *roof_read_loop(enum roof_isa isa) {
    return isa >= ROOF_AVX512 ? read_avx512 : isa == ROOF_AVX2 ? read_avx2 : read_scalar;
}

roof_read_function *roof_stream_loop(enum roof_isa isa) {
    return isa >= ROOF_AVX512 ? stream_avx512 : isa == ROOF_AVX2 ? stream_avx2 : read_scalar;
}

// ---------------------------------------------------------------------------------------------------------------------
// fp32 multiply-add

// SSE2, as every x86-64 has it: a multiplication and an addition.
static double fp32_scalar(uint64_t rounds) {
    __m128 sums[CHAINS], factor = _mm_set1_ps(0.999f), term = _mm_set1_ps(0.001f);
    OPAQUE(factor);
    OPAQUE(term);
    for (int i = 0; i < CHAINS; i++)
        sums[i] = _mm_set1_ps((float)i);
    for (uint64_t r = 0; r < rounds; r++)
        EACH_CHAIN
    sums[i] = _mm_add_ps(_mm_mul_ps(sums[i], factor), term);
    for (int i = 1; i < CHAINS; i++)
        sums[0] = _mm_add_ps(sums[0], sums[i]);
    return (double)_mm_cvtss_f32(sums[0]);
}

AVX2 static double fp32_avx2(uint64_t rounds) {
    __m256 sums[CHAINS], factor = _mm256_set1_ps(0.999f), term = _mm256_set1_ps(0.001f);
    OPAQUE(factor);
    OPAQUE(term);
    for (int i = 0; i < CHAINS; i++)
        sums[i] = _mm256_set1_ps((float)i);
    for (uint64_t r = 0; r < rounds; r++)
        EACH_CHAIN
    sums[i] = _mm256_fmadd_ps(sums[i], factor, term);
    for (int i = 1; i < CHAINS; i++)
        sums[0] = _mm256_add_ps(sums[0], sums[i]);
    return (double)_mm256_cvtss_f32(sums[0]);
}

AVX512 static double fp32_avx512(uint64_t rounds) {
    __m512 sums[CHAINS], factor = _mm512_set1_ps(0.999f), term = _mm512_set1_ps(0.001f);
    OPAQUE(factor);
    OPAQUE(term);
    for (int i = 0; i < CHAINS; i++)
        sums[i] = _mm512_set1_ps((float)i);
    for (uint64_t r = 0; r < rounds; r++)
        EACH_CHAIN
    sums[i] = _mm512_fmadd_ps(sums[i], factor, term);
    for (int i = 1; i < CHAINS; i++)
        sums[0] = _mm512_add_ps(sums[0], sums[i]);
    return (double)_mm512_cvtss_f32(sums[0]);
}

// ---------------------------------------------------------------------------------------------------------------------
// int8 dot products, unsigned × signed. Before VNNI: three instructions, of which the first must not leave the loop.

AVX2 static double int8_avx2(uint64_t rounds) {
    __m256i sums[CHAINS], a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-2), ones = _mm256_set1_epi16(1);
    for (int i = 0; i < CHAINS; i++) // chains alike would be made one
        sums[i] = _mm256_set1_epi32(i);
    for (uint64_t r = 0; r < rounds; r++)
        EACH_CHAIN {
            OPAQUE(a);
            sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
        }
    for (int i = 1; i < CHAINS; i++)
        sums[0] = _mm256_add_epi32(sums[0], sums[i]);
    return _mm256_extract_epi32(sums[0], 0);
}

AVX512 static double int8_avx512(uint64_t rounds) {
    __m512i sums[CHAINS], a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-2), ones = _mm512_set1_epi16(1);
    for (int i = 0; i < CHAINS; i++) // chains alike would be made one
        sums[i] = _mm512_set1_epi32(i);
    for (uint64_t r = 0; r < rounds; r++)
        EACH_CHAIN {
            OPAQUE(a);
            sums[i] = _mm512_add_epi32(sums[i], _mm512_madd_epi16(_mm512_maddubs_epi16(a, b), ones));
        }
    for (int i = 1; i < CHAINS; i++)
        sums[0] = _mm512_add_epi32(sums[0], sums[i]);
    return _mm512_cvtsi512_si32(sums[0]);
}

VNNI static double int8_vnni(uint64_t rounds) {
    __m512i sums[CHAINS], a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-2);
    OPAQUE(a);
    OPAQUE(b);
    for (int i = 0; i < CHAINS; i++) // chains alike would be made one
        sums[i] = _mm512_set1_epi32(i);
    for (uint64_t r = 0; r < rounds; r++)
        EACH_CHAIN
    sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
    for (int i = 1; i < CHAINS; i++)
        sums[0] = _mm512_add_epi32(sums[0], sums[i]);
    return _mm512_cvtsi512_si32(sums[0]);
}

// ---------------------------------------------------------------------------------------------------------------------
// bf16 dot products

BF16 static double bf16_avx512(uint64_t rounds) {
    const __m512i one = _mm512_set1_epi16(0x3f80), small = _mm512_set1_epi16(0x3a80);
    __m512bh a, b;
    memcpy(&a, &one, sizeof a);
    memcpy(&b, &small, sizeof b);
    __m512 sums[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        sums[i] = _mm512_set1_ps((float)i);
    for (uint64_t r = 0; r < rounds; r++)
        EACH_CHAIN
    sums[i] = _mm512_dpbf16_ps(sums[i], a, b);
    for (int i = 1; i < CHAINS; i++)
        sums[0] = _mm512_add_ps(sums[0], sums[i]);
    return (double)_mm512_cvtss_f32(sums[0]);
}

// ---------------------------------------------------------------------------------------------------------------------
// Matrix tiles: 16 rows of 64 bytes times as many, to sums of 16 × 16

// Zeros to tiles 0 to 3, the two factors to 6 and 7.
AMX static void begin_tiles(const void *left, const void *right) {
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shapes = {.palette = 1};
    for (int tile = 0; tile < 8; tile++) {
        shapes.row_bytes[tile] = 64;
        shapes.rows[tile] = 16;
    }
    __asm__ volatile("" : : "r"(&shapes), "r"(left), "r"(right) : "memory");
    _tile_loadconfig(&shapes);
    _tile_loadd(6, left, 64);
    _tile_loadd(7, right, 64);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

AMX static double int8_amx(uint64_t rounds) {
    int8_t ones[16 * 64], twos[16 * 64];
    int32_t sums[16 * 16];
    memset(ones, 1, sizeof ones);
    memset(twos, 2, sizeof twos);
    begin_tiles(ones, twos);
    for (uint64_t r = 0; r < rounds; r++) {
        _tile_dpbssd(0, 6, 7);
        _tile_dpbssd(1, 6, 7);
        _tile_dpbssd(2, 6, 7);
        _tile_dpbssd(3, 6, 7);
    }
    _tile_stored(0, sums, 64);
    _tile_release();
    return sums[0];
}

AMX static double bf16_amx(uint64_t rounds) {
    uint16_t ones[16 * 32], small[16 * 32];
    float sums[16 * 16];
    for (int i = 0; i < 16 * 32; i++) {
        ones[i] = 0x3f80;
        small[i] = 0x3a80; // 2^-10
    }
    begin_tiles(ones, small);
    for (uint64_t r = 0; r < rounds; r++) {
        _tile_dpbf16ps(0, 6, 7);
        _tile_dpbf16ps(1, 6, 7);
        _tile_dpbf16ps(2, 6, 7);
        _tile_dpbf16ps(3, 6, 7);
    }
    _tile_stored(0, sums, 64);
    _tile_release();
    return (double)sums[0];
}

struct roof_peak_loop roof_peak_loop(enum roof_isa isa, enum roof_peak peak) {
    static const struct roof_peak_loop loops[ROOF_PEAKS][ROOF_ISA_COUNT] = {
        [ROOF_PEAK_FP32] = {[ROOF_SCALAR] = {fp32_scalar, CHAINS * 4 * 2},
                            [ROOF_AVX2] = {fp32_avx2, CHAINS * 8 * 2},
                            [ROOF_AVX512] = {fp32_avx512, CHAINS * 16 * 2},
                            [ROOF_AVX512VNNI] = {fp32_avx512, CHAINS * 16 * 2},
                            [ROOF_AVX512BF16] = {fp32_avx512, CHAINS * 16 * 2},
                            [ROOF_AMX] = {fp32_avx512, CHAINS * 16 * 2}},
        [ROOF_PEAK_INT8] = {[ROOF_AVX2] = {int8_avx2, CHAINS * 32 * 2},
                            [ROOF_AVX512] = {int8_avx512, CHAINS * 64 * 2},
                            [ROOF_AVX512VNNI] = {int8_vnni, CHAINS * 64 * 2},
                            [ROOF_AVX512BF16] = {int8_vnni, CHAINS * 64 * 2},
                            [ROOF_AMX] = {int8_amx, 4 * 16 * 16 * 64 * 2}},
        [ROOF_PEAK_BF16] = {[ROOF_AVX512BF16] = {bf16_avx512, CHAINS * 32 * 2}, [ROOF_AMX] = {bf16_amx, 4 * 16 * 16 * 32 * 2}},
    };
    return loops[peak][isa];
}
