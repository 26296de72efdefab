// SPDX-License-Identifier: MIT
// 8-bit activations, more than Q8_DIRECT tokens, block store: the steps of linear_block.h, which are chunks here.
//
// Weights are signed here, as codes less the zero code where that fits in 8 bits, and activations unsigned, x + 128:
// what that adds to a sum, 128·Σw, is known when a panel is expanded. The other way round it would be 128·Σx of the
// chunks that are present, which differs from panel to panel and would cost as much as the products.
#include "kernels/linear/tile_block.h"

enum { BLOCK_PASS = BLOCK_Q8_PASS, BLOCK_TILES = BLOCK_PART_STEPS / TILE_CHUNKS };
#define BLOCK_WALK Q8_SUFFIX(linear_q8_block)

static inline const uint8_t *block_x(const struct linear_call *call) { return (const uint8_t *)call->x_codes->codes; }
static inline size_t block_x_stride(const struct linear_call *call) { return (size_t)call->x_codes->columns; }
static inline int block_words(const struct linear_call *call) { return call->weights->columns / CHUNK_COLUMNS; }
static inline vint block_word(const struct linear_call *call, vint words) {
    (void)call;
    return Q8_X_OFFSET(BITS) != 0 ? vint_flip_signs(words) : words;
}
static inline bool block_grouped(const struct linear_call *call) { return linear_grouped(call); }
static inline vfloat block_x_scales(const struct linear_call *call, int token, int tokens) {
    static const float one = 1; // the groups' scales are in the totals
    float scales[LANES] = {0};
    if (linear_grouped(call))
        return vfloat_broadcast(&one);
    memcpy(scales, call->x_codes->scales + token, (size_t)tokens * sizeof(float));
    return vfloat_load(scales);
}
#include "kernels/linear/linear_block.h"

// A group's tiles [from, to) of those that the part has.
static void block_expand_group(struct source *source, int from, int to, uint32_t *offset, uint8_t *out,
                               const vint less[VECTORS], int32_t *starts) {
    vint sums[VECTORS];
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; v++)
        sums[v] = vint_zero();
    for (int tile = from; tile < to; tile++) {
        uint8_t buffer[TILE_CODES];
        const uint8_t *codes = NEXT_CODES(source, buffer);
        for (uint32_t present = source->present; present != 0; present &= present - 1) {
#pragma GCC unroll 2
            for (int v = 0; v < VECTORS; v++) {
                const vint words = vint_subtract_bytes(vint_load(codes + CHUNK_COLUMNS * LANES * v), less[v]);
                vint_store(out + CHUNK_COLUMNS * LANES * v, words);
                if (Q8_X_OFFSET(BITS) != 0)
                    sums[v] = vint_add(sums[v], vint_weigh(words, Q8_X_OFFSET(BITS)));
            }
            codes += CHUNK_CODES;
            out += CHUNK_CODES;
            *offset++ = (uint32_t)sizeof(float) * BLOCK_LANES * (uint32_t)(TILE_CHUNKS * tile + __builtin_ctz(present));
        }
    }
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; v++)
        vint_store(starts + LANES * v, vint_subtract(vint_zero(), sums[v]));
}

static void block_expand(struct source *source, const struct linear_block *block, int tile, int tiles, bool grouped,
                         struct block_part *part) {
    const struct packed_matrix *weights = block->weights;
    const int per_group = weights->groups == 1 ? tiles : weights->tiles_per_group;
    uint32_t *offset = part->offsets;
    part->words = part->expanded;
    part->kind = weights->groups == 1 ? BLOCK_KEEP : grouped ? BLOCK_SCALES : BLOCK_SCALE;
    part->has_zeros = BITS == 8 && weights->format.asymmetric;
    part->bits = BITS;
    part->groups = tiles / per_group;
    for (int g = 0; g < part->groups; g++) {
        const int group = weights->groups == 1 ? 0 : tile / per_group + g;
        vint less[VECTORS];
        source_group(source, block, group);
        if (BITS == 8) {
            for (int v = 0; v < VECTORS; v++)
                less[v] = vint_bytes(128);
        } else {
            zero_codes(source->zeros, less);
        }
        for (int row = 0; part->has_zeros && row < PACKED_PANEL_ROWS; row++)
            part->zeros[PACKED_PANEL_ROWS * g + row] = 128 - source->zeros[row];
        for (int v = 0; v < VECTORS; v++)
            vfloat_store(part->scales + PACKED_PANEL_ROWS * g + LANES * v,
                         vfloat_halves(packed_scales(block->weights, &block->panel, group) + sizeof(uint16_t) * (size_t)(LANES * v)), LANES);
        const size_t steps = (size_t)(offset - part->offsets);
        block_expand_group(source, g * per_group, (g + 1) * per_group, offset, part->expanded + CHUNK_CODES * steps,
                           less, part->starts + PACKED_PANEL_ROWS * g);
        part->counts[g] = 0;
        for (int t = g * per_group; t < (g + 1) * per_group; t++)
            part->counts[g] += __builtin_popcount(block->panel.masks[tile + t]);
        offset += part->counts[g];
    }
}

static vfloat block_result(vfloat total, const struct block_part *part, int row, vfloat x_scales) {
    if (part->kind == BLOCK_KEEP)
        total = vfloat_fma(vint_float(vint_of(total)), vfloat_broadcast(part->scales + row), vfloat_zero());
    return vfloat_mul(x_scales, total);
}

#if IN_PLACE
#define BLOCK_ROWS(kind, vectors) Q8_BLOCK_ROWS(kind, vectors)
typedef vint vsum;
static inline vsum word_load(const uint8_t *at) { return vint_load(at); }
static inline vsum word_broadcast(const uint8_t *at) { return vint_broadcast((const int32_t *)(const void *)at); }
static inline vfloat word_float(vsum sum) { return vint_float(sum); }
static inline vfloat word_bits(vsum sum) { return vfloat_of(sum); }
static inline vsum word_multiply(vsum sum, vsum x, vsum word, int bits) { return vint_dot_signed(sum, x, word, bits); }
static inline vsum word_start(const struct block_part *part, int at) { return vint_broadcast(part->starts + at); }
static inline vsum word_kept(vsum sum, vfloat total) { return vint_add(sum, vint_of(total)); }
static inline vsum word_correct(vsum sum, const struct block_part *part, int at, vsum x_sum) {
    return vint_add(sum, vint_mul(vint_broadcast(part->zeros + at), x_sum));
}
// Of each group: the sums of the activations that its steps are multiplied with.
static inline void word_sums(int vectors, const struct block_part *part, const uint8_t *x,
                             vsum sums[][BLOCK_VECTORS]) {
    const uint32_t *offset = part->offsets;
    for (int group = 0; group < part->groups; group++) {
        const int32_t offsets = -CHUNK_COLUMNS * Q8_X_OFFSET(8) * part->counts[group];
        for (int v = 0; v < vectors; v++)
            sums[group][v] = vint_broadcast(&offsets);
        for (int i = part->counts[group]; i > 0; i--, offset++) {
            for (int v = 0; v < vectors; v++)
                sums[group][v] = vint_dot_signed(
                    sums[group][v], vint_load(x + *offset + (size_t)v * sizeof(vint)),
                    vint_bytes(1), 8);
        }
    }
}
#include "kernels/linear/block_walk.h"

// Codes of at most 6 bits are cheaper to multiply where there is no instruction for all 8.
void BLOCK_WALK(const struct block_part *part, int vectors, const uint8_t *x, const float *x_scales, float *totals) {
#define WALK(bits, v, zeros, kind)                                                                                     \
    case 8 * v + 4 * zeros + kind:                                                                                     \
        walk_panel(kind, zeros, bits, v, part, x, x_scales, totals);                                                   \
        break;
#define WALK_KINDS(bits, v, zeros)                                                                                     \
    WALK(bits, v, zeros, BLOCK_SCALE) WALK(bits, v, zeros, BLOCK_SCALES) WALK(bits, v, zeros, BLOCK_KEEP)
#define WALK_6(v) WALK_KINDS(6, v, 0)
#define WALK_8(v) WALK_KINDS(8, v, 0) WALK_KINDS(8, v, 1)
    const int which = 8 * vectors + 4 * part->has_zeros + (int)part->kind;
    if (part->bits < 8 && !ALL_BYTES_ALIKE) {
        switch (which) { WALK_6(1) WALK_6(2) WALK_6(3) }
    } else {
        switch (which) { WALK_8(1) WALK_8(2) WALK_8(3) }
    }
}
#endif
