// SPDX-License-Identifier: MIT
// bf16 activations, many tokens, whatever the store of the weights: these are expanded to tiles of bf16 first, (columns/2, 16, 2), once in
// a pass of up to BF16_PASS tokens, and what is absent is multiplied as zeros. Products are of up to BF16_HEIGHT tokens × 32 rows, whose sums
// are f32: by AMX (tile_bf16_amx.h) or dot products of vectors (tile_bf16_avx512bf16.h). A kernel file defines, before it includes this:
//   WEIGHT_TYPE, BITS, STORE  what it reads
//   IN_PLACE                  1 where the store already holds such tiles (dense bf16)
//   NEXT_PAIRS(source, out)   where it does not and weights have no scales, the next tile, (16 pairs of columns, 16 rows, 2)
//   NEXT_CODES(source, out)   where they do, the next tile's codes
//   FEWER_TOKENS              the kernel of f32 activations that computes fewer tokens than tiles pay for
//
// Bound by what first-level cache receives from the second, so that is what the order of the work spares. A slice of columns of all tokens
// lies in second-level cache, x rounded to bf16 as (blocks of tokens, tiles, tokens, 32); rows come in bands of LINEAR_BAND panels,
// a slice of a band in parts of BF16_TILES tiles that stay in first-level cache for all blocks. Between the parts of a slice sums wait in
// second-level cache, between slices in y. All sums are of the columns in order, so results do not depend on any of this.
//
// A dequantized weight is rounded to bf16, to nearest even. The instruction takes denormals for zero, and adds the products of a pair
// of columns with two roundings.
#include "kernels/linear/simd_avx512.h"

enum { BF16_TILES = 8 };
enum { STEP_BYTES = TILE_COLUMNS * sizeof(uint16_t), TILE_BYTES = TILE_CODES * sizeof(uint16_t) };
#if MATRIX_TILES
#include "kernels/linear/tile_bf16_amx.h"
#else
#include "kernels/linear/tile_bf16_avx512bf16.h"
#endif
// Fewer tokens are as fast by the kernels of f32, which read weights once for all of them (measured, of all widths; 12 are 1.3 to 1.5 times as
// fast by tiles), and these do not round weights.
enum { MATRIX_TOKENS = F32_DIRECT + 1 };

// Tokens [first, first + tokens) of the call, tiles [begin, end) of the columns.
struct tiles_pass {
    const struct linear_call *call;
    struct bf16_scratch scratch;
    int first, tokens, blocks;
    int begin, end;
};

// Panels [first, first + panels), and the part of them at hand.
struct tiles_band {
    int first, panels;
    struct linear_block block[LINEAR_BAND];
    struct source source[LINEAR_BAND];
    const uint8_t *weights[LINEAR_BAND];
    const uint8_t *next[LINEAR_BAND]; // where the next part's weights begin, or the next band's, if they take as many bytes
    size_t next_bytes[LINEAR_BAND];
    int tile, tiles;
};

static int tiles_token(const struct tiles_pass *pass, int block) { return pass->tokens * block / pass->blocks; }

// Half of a block's tokens, at least.
static int tiles_tokens(const struct tiles_pass *pass) { return ((pass->tokens + pass->blocks - 1) / pass->blocks + 1) / 2; }

// A few tokens at a time, whose lines are neighbours, while as many are fetched.
static void tiles_pack(const struct tiles_pass *pass) {
    enum { TOGETHER = 4 };
    const int tiles = pass->end - pass->begin;
    const size_t stride = pass->call->x_stride;
    for (int block = 0; block < pass->blocks; block++) {
        const int first = tiles_token(pass, block), height = tiles_token(pass, block + 1) - first;
        for (int token = 0, tokens; token < height; token += tokens) {
            const float *from = pass->call->x + (size_t)(pass->first + first + token) * stride + TILE_COLUMNS * (size_t)pass->begin;
            uint8_t *to = pass->scratch.x + STEP_BYTES * ((size_t)first * (size_t)tiles + (size_t)token);
            tokens = linear_minimum(TOGETHER, height - token);
            for (int tile = 0; tile < tiles; tile++, from += TILE_COLUMNS, to += STEP_BYTES * height)
                for (int i = 0; i < tokens; i++) {
                    const float *here = from + (size_t)i * stride;
                    __builtin_prefetch(here + TOGETHER * stride, 0, 3);
                    __builtin_prefetch(here + TOGETHER * stride + 16, 0, 3);
                    const __m512bh rounded = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(here + 16), _mm512_loadu_ps(here));
                    memcpy(to + STEP_BYTES * i, &rounded, sizeof(rounded));
                }
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Weights to tiles

#if !IN_PLACE
// Beside what is present there, values that are absent are zeros.
static inline void next_pairs_bitmask(struct source *source, uint8_t *out) {
    prefetch(source->masks);
    for (int pair = 0; pair < TILE_COLUMNS / 2; pair++, out += 64) {
        prefetch(source->values);
        _mm512_store_si512(out, next_bf16_pair(source));
    }
}

static inline void next_pairs_blocks(struct source *source, uint8_t *out) {
    static const _Alignas(64) uint8_t absent[128];
    const unsigned present = *source->masks++;
#pragma GCC unroll 8
    for (int chunk = 0; chunk < TILE_CHUNKS; chunk++, out += 128) {
        const uintptr_t here = -(uintptr_t)(present >> chunk & 1); // a branch would be mispredicted once a tile
        const uint8_t *from = (const uint8_t *)(((uintptr_t)source->values & here) | ((uintptr_t)absent & ~here));
        prefetch(source->values);
        _mm512_store_si512(out, vint_load(from));
        _mm512_store_si512(out + 64, vint_load(from + 64));
        source->values += here & 128;
    }
}

#ifdef NEXT_CODES
// What codes of a group are multiplied with, row by row, and what is added to the products.
struct tiles_scale {
    __m512 scale, offset;
};

// A code c in the significand under the exponent of 256 is the float 256 + c. Its product with a scale, of 11 bits, is exact, so
// one multiply-add gives (c − zero)·scale exactly.
static struct tiles_scale tiles_scale(const struct source *source) {
    const __m512 scale = vfloat_halves(source->scales);
    const __m512 zero = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)source->zeros)));
    return (struct tiles_scale){scale, _mm512_mul_ps(_mm512_sub_ps(_mm512_set1_ps(-256), zero), scale)};
}

static inline __m512 tiles_column(__m512i shifted, const struct tiles_scale *by) {
    const __m512i code = _mm512_set1_epi32(0xff << 15), exponent = _mm512_set1_epi32(0x43800000);
    return _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_ternarylogic_epi32(shifted, code, exponent, 0xea)), by->scale, by->offset);
}

// Two columns, a row in each lane.
static inline void tiles_store_pair(__m512 even, __m512 odd, uint8_t *out) {
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17,
                                           1, 16, 0);
    _mm512_store_si512(out, _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(odd, even)));
}

// A tile of the block store, all chunks: of those that are absent any codes, since tiles_widen() multiplies them with zeros.
static inline const uint8_t *next_codes_blocks(struct source *source, uint8_t *buffer) {
    static const uint8_t absent[CHUNK_CODES];
    source->present = *source->masks++;
#pragma GCC unroll 8
    for (int chunk = 0; chunk < TILE_CHUNKS; chunk++) {
        const uintptr_t here = -(uintptr_t)(source->present >> chunk & 1); // a branch would be mispredicted once a tile
        vint codes[VECTORS];
        packed_codes((const uint8_t *)(((uintptr_t)source->values & here) | ((uintptr_t)absent & ~here)), BITS, codes);
        vint_store(buffer + CHUNK_CODES * chunk, codes[0]);
        prefetch(source->values);
        source->values += here & (CHUNK_CODES / 8 * BITS);
    }
    return buffer;
}

static void tiles_widen(const uint8_t *codes, uint32_t present, struct tiles_scale all, uint8_t *out) {
#pragma GCC unroll 8
    for (int chunk = 0; chunk < TILE_CHUNKS; chunk++, codes += CHUNK_CODES, out += 128) {
        const __m512i v = vint_load(codes);
        struct tiles_scale by = all;
        if (STORE == STORE_BLOCK) {
            const __mmask16 here = (__mmask16) - (int)(present >> chunk & 1);
            by = (struct tiles_scale){_mm512_maskz_mov_ps(here, all.scale), _mm512_maskz_mov_ps(here, all.offset)};
        }
        tiles_store_pair(tiles_column(_mm512_slli_epi32(v, 15), &by), tiles_column(_mm512_slli_epi32(v, 7), &by), out);
        tiles_store_pair(tiles_column(_mm512_srli_epi32(v, 1), &by), tiles_column(_mm512_srli_epi32(v, 9), &by), out + 64);
    }
}
#endif

static void tiles_expand_panel(struct tiles_band *band, int panel, uint8_t *out) {
    struct source *source = &band->source[panel];
#ifdef NEXT_CODES
    const struct linear_block *block = &band->block[panel];
    const int per_group = block->weights->tiles_per_group;
    int group = band->tile / per_group, left = (group + 1) * per_group - band->tile;
    struct tiles_scale by;
    _Alignas(64) uint8_t buffer[TILE_CODES];
    source_group(source, block, group);
    by = tiles_scale(source);
    for (int t = 0; t < band->tiles; t++, left--, out += TILE_BYTES) {
        if (left == 0) {
            left = per_group;
            source_group(source, block, ++group);
            by = tiles_scale(source);
        }
        const uint8_t *codes = NEXT_CODES(source, buffer);
        tiles_widen(codes, source->present, by, out);
    }
#else
    for (int t = 0; t < band->tiles; t++, out += TILE_BYTES)
        NEXT_PAIRS(source, out);
#endif
}
#endif

static void tiles_expand(const struct tiles_pass *pass, struct tiles_band *band) {
    for (int p = 0; p < band->panels; p++) {
        const uint8_t *begin = band->source[p].values;
#if IN_PLACE
        (void)pass;
        band->weights[p] = begin;
        band->source[p].values += TILE_BYTES * (size_t)band->tiles;
#else
        uint8_t *out = pass->scratch.weights + TILE_BYTES * (size_t)(BF16_TILES * p);
        tiles_expand_panel(band, p, out);
        band->weights[p] = out;
#endif
        band->next[p] = band->source[p].values;
        band->next_bytes[p] = (size_t)(band->next[p] - begin);
        if (band->tile + band->tiles == pass->end && band->first + band->panels + p < linear_panel_end(pass->call))
            band->next[p] = pass->scratch.values[band->first + band->panels + p - linear_panel_begin(pass->call)];
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Products

// Of the rows that y has.
static int tiles_rows(const struct tiles_pass *pass, const struct tiles_band *band, int panel) {
    return linear_panel_rows(pass->call, band->first + panel);
}

static float *tiles_y(const struct tiles_pass *pass, const struct tiles_band *band, int panel, int token) {
    return pass->call->y + (size_t)(pass->first + token) * pass->call->y_stride + (size_t)(band->first + panel) * PACKED_PANEL_ROWS;
}

static float *tiles_totals(const struct tiles_pass *pass, int panel, int token) {
    return pass->scratch.totals + PACKED_PANEL_ROWS * (panel * pass->tokens + token);
}

// In y only at a slice's ends, and if y has all rows of the panel.
static struct tiles_place tiles_place(const struct tiles_pass *pass, const struct tiles_band *band, int panel, int token, bool in_y) {
    if (in_y && tiles_rows(pass, band, panel) == PACKED_PANEL_ROWS)
        return (struct tiles_place){tiles_y(pass, band, panel, token), (long)(pass->call->y_stride * sizeof(float))};
    return (struct tiles_place){tiles_totals(pass, panel, token), PACKED_PANEL_ROWS * sizeof(float)};
}

// A panel of which y has not all rows, between its totals and y.
static void tiles_copy_edge(const struct tiles_pass *pass, const struct tiles_band *band, bool to_y) {
    const int panel = band->panels - 1, rows = tiles_rows(pass, band, panel);
    for (int i = 0; i < pass->tokens && rows < PACKED_PANEL_ROWS; i++) {
        float *y = tiles_y(pass, band, panel, i), *totals = tiles_totals(pass, panel, i);
        if (to_y)
            vfloat_store(y, vfloat_load(totals), rows);
        else
            vfloat_store(totals, _mm512_maskz_loadu_ps((__mmask16)((1 << rows) - 1), y), LANES);
    }
}

// A block's share of the panel's next part, and, while y is read or written, the next block's lines of y.
static void tiles_fetch(const struct tiles_pass *pass, const struct tiles_band *band, int block, int panel, bool y) {
    const size_t lines = band->next_bytes[panel] / 64;
    const size_t end = lines * (size_t)(block + 1) / (size_t)pass->blocks;
    for (size_t line = lines * (size_t)block / (size_t)pass->blocks; line < end; line++)
        __builtin_prefetch(band->next[panel] + 64 * line, 0, 2);
    for (int i = tiles_token(pass, block + 1); y && block + 1 < pass->blocks && i < tiles_token(pass, block + 2); i++)
        __builtin_prefetch(tiles_y(pass, band, panel, i), 1);
}

// Two panels, of which a panel alone is both.
static void tiles_strip(const struct tiles_pass *pass, const struct tiles_band *band, int block, int left, int right) {
    const int first = tiles_token(pass, block), height = tiles_token(pass, block + 1) - first;
    const bool begins = band->tile == pass->begin, ends = band->tile + band->tiles == pass->end;
    const int slice = pass->end - pass->begin;
    const uint8_t *x = pass->scratch.x + STEP_BYTES * ((size_t)first * (size_t)slice + (size_t)((band->tile - pass->begin) * height));
    const struct tiles_place from[2] = {tiles_place(pass, band, left, first, begins), tiles_place(pass, band, right, first, begins)};
    const struct tiles_place to[2] = {tiles_place(pass, band, left, first, ends), tiles_place(pass, band, right, first, ends)};
    const uint8_t *const weights[2] = {band->weights[left], band->weights[right]};
    tiles_fetch(pass, band, block, left, begins || ends);
    if (right > left)
        tiles_fetch(pass, band, block, right, begins || ends);
    tiles_product(height, tiles_tokens(pass), right > left ? 2 : 1, band->tiles, x, weights, band->tile == 0 ? NULL : from, to);
}

static void tiles_band(const struct tiles_pass *pass, int first) {
    const struct packed_matrix *weights = pass->call->weights;
    const uint8_t **values = pass->scratch.values + first - linear_panel_begin(pass->call);
    struct tiles_band band = {.first = first, .panels = linear_minimum(LINEAR_BAND, linear_panel_end(pass->call) - first)};
    for (int p = 0; p < band.panels; p++) {
        band.block[p] = (struct linear_block){.weights = weights, .panel = packed_panel(weights, first + p)};
        band.source[p] = source_open(&band.block[p]);
        band.source[p].values = values[p];
        if (band.source[p].masks != NULL)
            band.source[p].masks += packed_mask_bytes(&weights->format) * pass->begin;
    }
    if (pass->begin > 0)
        tiles_copy_edge(pass, &band, false);
    for (band.tile = pass->begin; band.tile < pass->end; band.tile += BF16_TILES) {
        band.tiles = linear_minimum(BF16_TILES, pass->end - band.tile);
        tiles_expand(pass, &band);
        for (int block = 0; block < pass->blocks; block++)
            for (int left = 0; left < band.panels; left += 2)
                tiles_strip(pass, &band, block, left, linear_minimum(left + 1, band.panels - 1));
    }
    tiles_copy_edge(pass, &band, true);
    for (int p = 0; p < band.panels; p++)
        values[p] = band.source[p].values;
}

static void tiles_linear(const struct linear_call *call) {
    const struct packed_matrix *weights = call->weights;
    const int passes = (call->m + BF16_PASS - 1) / BF16_PASS, begin = linear_panel_begin(call), end = linear_panel_end(call);
    for (int i = 0; i < passes; i++) {
        struct tiles_pass pass = {.call = call, .first = (int)((int64_t)call->m * i / passes)};
        pass.tokens = (int)((int64_t)call->m * (i + 1) / passes) - pass.first;
        pass.blocks = (pass.tokens + BF16_HEIGHT - 1) / BF16_HEIGHT;
        pass.scratch = bf16_scratch(call, pass.tokens);
        tiles_product_begin(tiles_tokens(&pass));
        for (int panel = begin; panel < end; panel++)
            pass.scratch.values[panel - begin] = packed_panel(weights, panel).values;
        const int slice = bf16_slice(weights->tiles, pass.tokens);
        for (pass.begin = 0; pass.begin < weights->tiles; pass.begin = pass.end) {
            pass.end = linear_minimum(pass.begin + slice, weights->tiles);
            tiles_pack(&pass);
            for (int panel = begin; panel < end; panel += LINEAR_BAND)
                tiles_band(&pass, panel);
        }
    }
    tiles_product_end();
}

extern const struct kernel FEWER_TOKENS;

static void linear(const struct linear_call *call) {
    if (call->m >= MATRIX_TOKENS) {
        tiles_linear(call);
        return;
    }
    struct linear_call fewer = *call;
    fewer.activation = ACTIVATION_BF16;
    ((linear_function *)FEWER_TOKENS.function)(&fewer);
}

#define LINEAR_BF16_KERNEL(symbol, bound)                                                                              \
    const struct kernel symbol = {                                                                                     \
        .name = #symbol,                                                                                               \
        .op = OP_LINEAR,                                                                                               \
        .isa = MATRIX_TILES ? ISA_AMX : ISA_AVX512BF16,                                                                \
        .activation = ACTIVATION_BF16,                                                                                 \
        .weight_type = WEIGHT_TYPE,                                                                                    \
        .bits = BITS,                                                                                                  \
        .store = STORE,                                                                                                \
        .layout = bound,                                                                                               \
        .function = (void (*)(void))linear,                                                                            \
    }
