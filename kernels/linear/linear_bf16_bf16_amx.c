// SPDX-License-Identifier: MIT
// bf16 times bf16, many tokens, by AMX: two by two tiles, up to 32 tokens × 32 rows, whose f32 sums come from and go to the totals. A
// tdpbf16ps multiplies up to 16 tokens with 16 rows over 32 columns in 16 cycles. Tiles of a packed panel are tiles of the registers as they
// lie, (columns/2, 16, 2), so nothing is unpacked; x is rounded to bf16 on its way to (parts, blocks, tiles of the part, height, 32).
// Bound by what first-level cache receives from the second: a part of the weights stays there for all blocks, activations and totals
// do not.
//
// The instruction takes denormals for zero, and adds the products of a pair of columns with two roundings.
#include "kernels/linear/matrix_tiles.h"
#include "kernels/linear/simd_avx512.h"

enum { MANY_PASS = F32_MANY_PASS, MANY_TILES = 8, MANY_SPARE = 0, MANY_STRIP_PANELS = 2, MATRIX_TOKENS = 32 };
enum { STEP_BYTES = TILE_COLUMNS * sizeof(uint16_t), TILE_BYTES = TILE_CODES * sizeof(uint16_t) };
#define MANY_HEIGHT(weights) 32
struct many_part {
    const uint8_t *weights[LINEAR_BAND];
};
#include "kernels/linear/linear_many.h"

extern const struct kernel linear_f32_bf16_avx512;

// Tokens of a matrix tile: half of a block's.
static int tile_tokens(const struct many_pass *pass) {
    return ((pass->tokens + pass->blocks - 1) / pass->blocks + 1) / 2;
}

static void many_pack(const struct many_pass *pass) {
    const int tiles = pass->call->weights->tiles;
    for (int block = 0; block < pass->blocks; block++) {
        const int first = many_token(pass, block), height = many_height(pass, block);
        for (int i = 0; i < height; i++) {
            const float *from = pass->call->x + (size_t)(pass->first + first + i) * pass->call->x_stride;
            for (int tile = 0; tile < tiles; tile++, from += TILE_COLUMNS) {
                const int part = tile / MANY_TILES * MANY_TILES, here = linear_minimum(MANY_TILES, tiles - part);
                int8_t *to = pass->scratch.x_codes + STEP_BYTES * ((size_t)part * (size_t)pass->tokens +
                                                                   (size_t)(first * here + (tile - part) * height + i));
                const __m512bh rounded = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + 16), _mm512_loadu_ps(from));
                memcpy(to, &rounded, sizeof(rounded));
            }
        }
    }
    matrix_tiles_begin(tile_tokens(pass), STEP_BYTES);
}

static void many_begin(const struct many_pass *pass, const struct many_band *band, int block) {
    many_clear(pass, band, block);
}

static void many_expand(const struct many_pass *pass, struct many_band *band) {
    (void)pass;
    for (int panel = 0; panel < band->panels; panel++) {
        band->part.weights[panel] = band->source[panel].values;
        band->source[panel].values += TILE_BYTES * (size_t)band->tiles;
    }
}

// A block's share of the panels' next part.
static void fetch(const struct many_pass *pass, const struct many_band *band, int block, int panel) {
    const size_t lines = band->next_bytes[panel] / 64;
    const size_t end = lines * (size_t)(block + 1) / (size_t)pass->blocks;
    for (size_t line = lines * (size_t)block / (size_t)pass->blocks; line < end; line++)
        __builtin_prefetch(band->next[panel] + 64 * line, 0, 2);
}

// The second tile of tokens begins so that it ends with the block: what both have is computed twice, to the same sums. So is a panel alone.
static void many_multiply(const struct many_pass *pass, const struct many_band *band, int block) {
    const int first = many_token(pass, block), height = many_height(pass, block), second = height - tile_tokens(pass);
    for (int strip = 0; strip * MANY_STRIP_PANELS < band->panels; strip++) {
        const int panels = many_strip_panels(band, strip), left = strip * MANY_STRIP_PANELS, right = left + panels - 1;
        const long line = 64 * panels;
        const int8_t *x = pass->scratch.x_codes +
                          STEP_BYTES * ((size_t)band->tile * (size_t)pass->tokens + (size_t)(first * band->tiles));
        const uint8_t *weights[2] = {band->part.weights[left], band->part.weights[right]};
        float *totals = many_totals(pass, band, block, strip), *beside = totals + PACKED_PANEL_ROWS * (panels - 1);
        const size_t below = (size_t)(PACKED_PANEL_ROWS * panels * second);
        fetch(pass, band, block, left);
        if (right > left)
            fetch(pass, band, block, right);
        __asm__ volatile("" : : : "memory"); // what tiles load was written before
        _tile_loadd(0, totals, line);
        _tile_loadd(1, beside, line);
        _tile_loadd(2, totals + below, line);
        _tile_loadd(3, beside + below, line);
        for (int tile = 0; tile < band->tiles; tile++) {
            _tile_loadd(4, x, STEP_BYTES);
            _tile_loadd(6, weights[0], 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(7, weights[1], 64);
            _tile_dpbf16ps(1, 4, 7);
            _tile_loadd(5, x + STEP_BYTES * second, STEP_BYTES);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
            x += STEP_BYTES * height;
            weights[0] += TILE_BYTES;
            weights[1] += TILE_BYTES;
        }
        _tile_stored(0, totals, line);
        _tile_stored(1, beside, line);
        _tile_stored(2, totals + below, line);
        _tile_stored(3, beside + below, line);
    }
}

static void many_finish(const struct many_pass *pass, const struct many_band *band, int block) {
    many_store(pass, band, block);
}

static void linear(const struct linear_call *call) {
    if (call->m < MATRIX_TOKENS) {
        struct linear_call fewer = *call;
        fewer.activation = ACTIVATION_BF16;
        ((linear_function *)linear_f32_bf16_avx512.function)(&fewer);
        return;
    }
    many_linear(call);
    matrix_tiles_end();
}

const struct kernel linear_bf16_bf16_amx = {
    .name = "linear_bf16_bf16_amx",
    .op = OP_LINEAR,
    .isa = ISA_AMX,
    .activation = ACTIVATION_BF16,
    .weight_type = WEIGHT_BF16,
    .bits = 16,
    .store = STORE_DENSE,
    .layout = "many tokens: two by two tiles of 16 × 16 and 32 columns; bound by what first-level cache receives",
    .function = (void (*)(void))linear,
};
