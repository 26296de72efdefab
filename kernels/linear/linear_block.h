// SPDX-License-Identifier: MIT
// Block store, more tokens than are computed at once from registers, whatever the activations: the order of the work.
// Who includes this has defined
//   BLOCK_PASS, BLOCK_TILES, BLOCK_WALK, block_x(), block_x_stride(), block_words(), block_grouped(), block_x_scales(), block_word()
// and defines the steps that are declared below.
//
// Lanes are tokens here, unlike elsewhere: weights are what is broadcast, a word (four codes, or a float) at a time, so
// that a step, 16 words for the 16 rows of a panel, needs few loads for its many multiplications, and what is absent
// costs nothing: a panel's present steps follow each other, beside a list of where in x their tokens are. Tokens come
// in passes of at most BLOCK_PASS, a pass in blocks of at most BLOCK_VECTORS vectors. Rows come in bands of up to
// LINEAR_BAND panels, columns in parts of BLOCK_TILES tiles, so that a part of x stays in first-level cache while the
// lists of a band's panels are walked.
#ifndef LLMSWEEP_LINEAR_BLOCK_H
#define LLMSWEEP_LINEAR_BLOCK_H

#include "kernels/linear/tile_block.h"

enum { BLOCK_LANES = BLOCK_VECTORS * LANES };

// Tokens [first, first + tokens) of the call.
struct block_pass {
    const struct linear_call *call;
    int first, tokens, words; // words of a token
    uint8_t *x;    // (blocks, words, BLOCK_LANES)
    float *x_scales; // (blocks, groups, BLOCK_LANES) where block_grouped()
    float *totals; // (blocks, panels of the band, 16, BLOCK_LANES)
    struct block_part *parts;
};

// The steps: a part of a panel, from a source that has come to its first tile; totals to rows of y.
static void block_expand(struct source *source, const struct linear_block *block, int tile, int tiles, bool grouped,
                         struct block_part *part);
static vfloat block_result(vfloat total, const struct block_part *part, int row, vfloat x_scales);

// Vectors with tokens of the block that begins there.
static inline int block_vectors(const struct block_pass *pass, int first) {
    return linear_minimum((pass->tokens - first + LANES - 1) / LANES, BLOCK_VECTORS);
}

// Tokens' words to lanes, those beyond the last token being zero.
static void block_pack_vector(const struct linear_call *call, const uint8_t *from, size_t stride, int tokens, int words, uint8_t *to) {
    static const _Alignas(64) uint8_t nothing[sizeof(vint)];
    for (int word = 0; word < words; word += LANES) {
        vint square[LANES];
        for (int i = 0; i < LANES; i++)
            square[i] = vint_load(i < tokens ? from + (size_t)i * stride + sizeof(float) * (size_t)word : nothing);
        vint_transpose(square);
        for (int i = 0; i < LANES; i++)
            vint_store(to + sizeof(float) * (size_t)(BLOCK_LANES * (word + i)), block_word(call, square[i]));
    }
}

// Where groups have scales of their own.
static void block_pack_scales(const struct block_pass *pass) {
    const struct quantized_rows *x = pass->call->x_codes;
    float *to = pass->x_scales;
    for (int first = 0; first < pass->tokens; first += BLOCK_LANES)
        for (int group = 0; group < x->groups; group++)
            for (int i = first; i < first + BLOCK_LANES; i++)
                *to++ = i < pass->tokens ? x->scales[(size_t)(pass->first + i) * (size_t)x->groups + (size_t)group] : 0;
}

static void block_pack(const struct block_pass *pass, const uint8_t *x, size_t stride) {
    if (block_grouped(pass->call))
        block_pack_scales(pass);
    for (int first = 0; first < pass->tokens; first += BLOCK_LANES) {
        uint8_t *to = pass->x + sizeof(float) * (size_t)first * (size_t)pass->words;
        for (int v = 0; v < block_vectors(pass, first); v++) {
            const int token = first + LANES * v;
            block_pack_vector(pass->call, x + (size_t)(pass->first + token) * stride, stride, pass->tokens - token, pass->words,
                              to + sizeof(vint) * (size_t)v);
        }
    }
}

// One panel's rows of one block of tokens.
static void block_finish(const struct block_pass *pass, const struct block_part *part, int first, int panel,
                         const float *totals) {
    const struct linear_call *call = pass->call;
    for (int v = 0; v < block_vectors(pass, first); v++) {
        const int token = first + LANES * v, token0 = pass->first + token;
        const int tokens = linear_minimum(LANES, pass->tokens - token);
        const vfloat x_scales = block_x_scales(call, token0, tokens);
        for (int row0 = 0; row0 < linear_panel_rows(call, panel); row0 += LANES) {
            vint square[LANES];
            for (int row = 0; row < LANES; row++) {
                const vfloat total = vfloat_load(totals + BLOCK_LANES * (row0 + row) + LANES * v);
                square[row] = vint_of(block_result(total, part, row0 + row, x_scales));
            }
            vint_transpose(square);
            float *y = call->y + (size_t)token0 * call->y_stride + (size_t)(panel * PACKED_PANEL_ROWS + row0);
            for (int i = 0; i < tokens; i++)
                vfloat_store(y + (size_t)i * call->y_stride, vfloat_of(square[i]), linear_panel_rows(call, panel) - row0);
        }
    }
}

// What is expanded next is fetched while this is multiplied, a share of `lines` with each of the blocks.
static inline void block_fetch(const uint8_t *next, int lines, int block, int blocks) {
    for (int line = lines * block / blocks; line < lines * (block + 1) / blocks; line++)
        __builtin_prefetch(next + 64 * line, 0, 2);
}

static void block_band(const struct block_pass *pass, int panel0, int panels) {
    const struct packed_matrix *weights = pass->call->weights;
    const size_t block_totals = (size_t)(BLOCK_LANES * PACKED_PANEL_ROWS);
    const int blocks = (pass->tokens + BLOCK_LANES - 1) / BLOCK_LANES;
    struct linear_block block[LINEAR_BAND];
    struct source source[LINEAR_BAND];
    for (int p = 0; p < panels; p++) {
        block[p] = (struct linear_block){.weights = weights, .panel = packed_panel(weights, panel0 + p)};
        source[p] = source_open(&block[p]);
    }
    memset(pass->totals, 0, (size_t)(blocks * panels) * block_totals * sizeof(float));
    for (int tile = 0; tile < weights->tiles; tile += BLOCK_TILES) {
        const int tiles = linear_minimum(BLOCK_TILES, weights->tiles - tile);
        const uint8_t *next[LINEAR_BAND];
        int lines[LINEAR_BAND];
        for (int p = 0; p < panels; p++) {
            const uint8_t *begin = source[p].values;
            block_expand(&source[p], &block[p], tile, tiles, block_grouped(pass->call), &pass->parts[p]);
            next[p] = source[p].values;
            lines[p] = (int)(next[p] - begin) / 64;
            if (tile + tiles == weights->tiles && panel0 + panels + p < weights->panels)
                next[p] = packed_panel(weights, panel0 + panels + p).values;
        }
        const uint8_t *x = pass->x + sizeof(float) * BLOCK_LANES * (size_t)(tile * (BLOCK_PART_STEPS / BLOCK_TILES));
        const float *x_scales = pass->x_scales + BLOCK_LANES * (tile / weights->tiles_per_group);
        float *totals = pass->totals;
        for (int first = 0; first < pass->tokens; first += BLOCK_LANES) {
            for (int p = 0; p < panels; p++, totals += block_totals) {
                block_fetch(next[p], lines[p], first / BLOCK_LANES, blocks);
                BLOCK_WALK(&pass->parts[p], block_vectors(pass, first), x, x_scales, totals);
            }
            x_scales += BLOCK_LANES * weights->groups;
            x += sizeof(float) * BLOCK_LANES * (size_t)pass->words;
        }
    }
    const float *totals = pass->totals;
    for (int first = 0; first < pass->tokens; first += BLOCK_LANES) {
        for (int p = 0; p < panels; p++, totals += block_totals)
            block_finish(pass, &pass->parts[p], first, panel0 + p, totals);
    }
}

static void many_linear(const struct linear_call *call) {
    const int blocks = (call->m + BLOCK_LANES - 1) / BLOCK_LANES, end = linear_panel_end(call);
    const int passes = (blocks * BLOCK_LANES + BLOCK_PASS - 1) / BLOCK_PASS;
    const struct block_scratch scratch = block_scratch(call, linear_minimum(blocks * BLOCK_LANES, BLOCK_PASS));
    for (int i = 0; i < passes; i++) {
        struct block_pass pass = {.call = call,
                                  .first = BLOCK_LANES * (blocks * i / passes),
                                  .words = block_words(call),
                                  .x = scratch.x,
                                  .totals = scratch.totals,
                                  .x_scales = scratch.x_scales,
                                  .parts = scratch.parts};
        pass.tokens = linear_minimum(call->m, BLOCK_LANES * (blocks * (i + 1) / passes)) - pass.first;
        block_pack(&pass, block_x(call), block_x_stride(call));
        for (int panel = linear_panel_begin(call); panel < end; panel += LINEAR_BAND)
            block_band(&pass, panel, linear_minimum(LINEAR_BAND, end - panel));
    }
}

#endif
