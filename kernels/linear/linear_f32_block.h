// SPDX-License-Identifier: MIT
// f32 activations, more than F32_DIRECT tokens, block store: the steps of linear_block.h, which are columns here.
#include "kernels/linear/tile_block.h"

enum { BLOCK_PASS = BLOCK_F32_PASS, BLOCK_TILES = BLOCK_PART_STEPS / TILE_COLUMNS };
#define BLOCK_WALK F32_SUFFIX(linear_f32_block)

static inline const uint8_t *block_x(const struct linear_call *call) { return (const uint8_t *)call->x; }
static inline size_t block_x_stride(const struct linear_call *call) { return call->x_stride * sizeof(float); }
static inline int block_words(const struct linear_call *call) { return call->weights->columns; }
static inline vint block_word(const struct linear_call *call, vint words) {
    if (call->activation != ACTIVATION_BF16)
        return words;
    float x[LANES];
    vint_store(x, words);
    round_to_bf16(x, LANES);
    return vint_of(vfloat_load(x));
}
static inline bool block_grouped(const struct linear_call *call) {
    (void)call;
    return false;
}
static inline vfloat block_x_scales(const struct linear_call *call, int token, int tokens) {
    (void)call;
    (void)token;
    (void)tokens;
    return vfloat_zero();
}
#include "kernels/linear/linear_block.h"

static void block_expand(struct source *source, const struct linear_block *block, int tile, int tiles, bool grouped,
                         struct block_part *part) {
    (void)grouped;
    const int per_group = block->weights->tiles_per_group;
    uint32_t *offset = part->offsets;
    float *out = (float *)(void *)part->expanded;
    part->words = IN_PLACE ? source->values : part->expanded;
    part->kind = QUANTIZED ? BLOCK_SCALE : BLOCK_ADD;
    part->has_zeros = false;
    part->groups = tiles;
    for (int t = 0; t < tiles; t++) {
        const int group = (tile + t) / per_group;
        if (t == 0 || (tile + t) % per_group == 0)
            source_group(source, block, group);
        for (int v = 0; QUANTIZED && v < VECTORS; v++)
            vfloat_store(part->scales + PACKED_PANEL_ROWS * t + LANES * v, read_scales(source, v), LANES);
        (void)NEXT_FLOATS(source, out);
        part->counts[t] = CHUNK_COLUMNS * __builtin_popcount(source->present);
        out += PACKED_PANEL_ROWS * part->counts[t];
        for (uint32_t present = source->present; present != 0; present &= present - 1) {
            const uint32_t column = (uint32_t)(TILE_COLUMNS * t + CHUNK_COLUMNS * __builtin_ctz(present));
            for (uint32_t i = 0; i < CHUNK_COLUMNS; i++)
                *offset++ = (uint32_t)sizeof(float) * BLOCK_LANES * (column + i);
        }
    }
}

static vfloat block_result(vfloat total, const struct block_part *part, int row, vfloat x_scales) {
    (void)part;
    (void)row;
    (void)x_scales;
    return total;
}

#if IN_PLACE
#define BLOCK_ROWS(kind, vectors) F32_BLOCK_ROWS(vectors)
typedef vfloat vsum;
static inline vsum word_load(const uint8_t *at) { return vfloat_load((const float *)(const void *)at); }
static inline vsum word_broadcast(const uint8_t *at) { return vfloat_broadcast((const float *)(const void *)at); }
static inline vfloat word_float(vsum sum) { return sum; }
static inline vfloat word_bits(vsum sum) { return sum; }
static inline vsum word_multiply(vsum sum, vsum x, vsum word, int bits) {
    (void)bits;
    return vfloat_fma(x, word, sum);
}
static inline vsum word_start(const struct block_part *part, int at) {
    (void)part;
    (void)at;
    return vfloat_zero();
}
// Of integers only.
static inline vsum word_kept(vsum sum, vfloat total) {
    (void)total;
    return sum;
}
static inline vsum word_correct(vsum sum, const struct block_part *part, int at, vsum x_sum) {
    (void)part;
    (void)at;
    (void)x_sum;
    return sum;
}
static inline void word_sums(int vectors, const struct block_part *part, const uint8_t *x,
                             vsum sums[][BLOCK_VECTORS]) {
    (void)vectors;
    (void)part;
    (void)x;
    (void)sums;
}
#include "kernels/linear/block_walk.h"

void BLOCK_WALK(const struct block_part *part, int vectors, const uint8_t *x, const float *x_scales, float *totals) {
    switch (2 * vectors + (part->kind == BLOCK_SCALE)) {
#define WALK_CASE(v)                                                                                                   \
    case 2 * v:                                                                                                        \
        walk_panel(BLOCK_ADD, false, 32, v, part, x, x_scales, totals);                                                \
        break;                                                                                                         \
    case 2 * v + 1:                                                                                                    \
        walk_panel(BLOCK_SCALE, false, 32, v, part, x, x_scales, totals);                                              \
        break;
        WALK_CASE(1) WALK_CASE(2) WALK_CASE(3)
    }
}
#endif
