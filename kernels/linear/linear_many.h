// SPDX-License-Identifier: MIT
// Many tokens, whatever the activations: the order of the work. Who includes this has defined
//   MANY_PASS, MANY_HEIGHT(weights), MANY_SPARE, MANY_TILES, MANY_STRIP_PANELS, struct many_part
// and defines the five steps that are declared below.
//
// Tokens come in passes of at most MANY_PASS, a pass in blocks of at most MANY_HEIGHT tokens, or MANY_SPARE more, all
// blocks of about the same height, so that hardly any lane is padding. Rows come in bands of up to LINEAR_BAND panels,
// which are multiplied in
// strips of MANY_STRIP_PANELS, the columns of a band in parts of MANY_TILES tiles. A part is expanded once, into what
// then lies in first-level cache, and multiplied with all blocks of the pass, whose totals for the band lie in
// second-level cache. So weights are unpacked once in MANY_PASS tokens, and a core reads neither them nor activations
// from far away more often than it can bear.
#ifndef LLMSWEEP_LINEAR_MANY_H
#define LLMSWEEP_LINEAR_MANY_H

#include "kernels/linear/simd.h"

// Tokens [first, first + tokens) of the call.
struct many_pass {
    const struct linear_call *call;
    int first, tokens, blocks;
    struct many_scratch scratch;
};

// Panels [first, first + panels), read as far as the part.
struct many_band {
    int first, panels;
    struct linear_block block[LINEAR_BAND];
    struct source source[LINEAR_BAND];
    int tile, tiles;                  // of the part
    const uint8_t *next[LINEAR_BAND]; // where the next part's weights begin, or the next band's, if they take as many bytes
    size_t next_bytes[LINEAR_BAND];
    struct many_part part;
};

// Where each block of a pass begins, and its height.
static inline int many_token(const struct many_pass *pass, int block) {
    return pass->tokens * block / pass->blocks;
}
static inline int many_height(const struct many_pass *pass, int block) {
    return many_token(pass, block + 1) - many_token(pass, block);
}

// The block's totals for a strip of the band: (block, strip, token, row).
static inline float *many_totals(const struct many_pass *pass, const struct many_band *band, int block, int strip) {
    return pass->scratch.totals + PACKED_PANEL_ROWS * (many_token(pass, block) * band->panels +
                                                       many_height(pass, block) * strip * MANY_STRIP_PANELS);
}

// How many panels a strip of the band has.
static inline int many_strip_panels(const struct many_band *band, int strip) {
    return linear_minimum(band->panels - strip * MANY_STRIP_PANELS, MANY_STRIP_PANELS);
}

// Activations, as blocks read them; the weights of a part. And for a block: the totals' beginning, a part's products,
// totals to y.
static void many_pack(const struct many_pass *pass);
static void many_expand(const struct many_pass *pass, struct many_band *band);
static void many_begin(const struct many_pass *pass, const struct many_band *band, int block);
static void many_multiply(const struct many_pass *pass, const struct many_band *band, int block);
static void many_finish(const struct many_pass *pass, const struct many_band *band, int block);

// The lines of y that a block ends in are fetched beforehand, some with each part.
static inline void many_prefetch(const struct many_pass *pass, const struct many_band *band, int block) {
    const struct linear_call *call = pass->call;
    const int tiles = call->weights->tiles, height = many_height(pass, block), first = band->first * PACKED_PANEL_ROWS;
    const int rows = linear_minimum(band->panels * PACKED_PANEL_ROWS, call->end - first);
    for (int i = height * band->tile / tiles; i < height * (band->tile + band->tiles) / tiles; i++) {
        const size_t token = (size_t)(pass->first + many_token(pass, block) + i);
        for (int row = 0; row < rows; row += 16)
            __builtin_prefetch(call->y + token * call->y_stride + first + row, 1);
    }
}

static void many_band_run(const struct many_pass *pass, struct many_band *band) {
    const struct packed_matrix *weights = pass->call->weights;
    for (int p = 0; p < band->panels; p++) {
        band->block[p] = (struct linear_block){.weights = weights, .panel = packed_panel(weights, band->first + p)};
        band->source[p] = source_open(&band->block[p]);
    }
    for (int block = 0; block < pass->blocks; block++)
        many_begin(pass, band, block);
    for (band->tile = 0; band->tile < weights->tiles; band->tile += MANY_TILES) {
        band->tiles = linear_minimum(MANY_TILES, weights->tiles - band->tile);
        for (int p = 0; p < band->panels; p++)
            band->next[p] = band->source[p].values;
        many_expand(pass, band);
        for (int p = 0; p < band->panels; p++) {
            band->next_bytes[p] = (size_t)(band->source[p].values - band->next[p]);
            band->next[p] = band->source[p].values;
            if (band->tile + band->tiles == weights->tiles && band->first + band->panels + p < weights->panels)
                band->next[p] = packed_panel(weights, band->first + band->panels + p).values;
        }
        for (int block = 0; block < pass->blocks; block++) {
            many_prefetch(pass, band, block);
            many_multiply(pass, band, block);
        }
    }
    // Not each block after its last part: stores that wait for lines of y would hold up those of totals.
    for (int block = 0; block < pass->blocks; block++)
        many_finish(pass, band, block);
}

// many_begin() of totals that are floats; many_finish() where they are what y becomes.
static inline void many_clear(const struct many_pass *pass, const struct many_band *band, int block) {
    const size_t rows = (size_t)(band->panels * PACKED_PANEL_ROWS);
    memset(many_totals(pass, band, block, 0), 0, (size_t)many_height(pass, block) * rows * sizeof(float));
}

static inline void many_store(const struct many_pass *pass, const struct many_band *band, int block) {
    const struct linear_call *call = pass->call;
    const float *totals = many_totals(pass, band, block, 0);
    for (int strip = 0; strip * MANY_STRIP_PANELS < band->panels; strip++) {
        const int first = (band->first + strip * MANY_STRIP_PANELS) * PACKED_PANEL_ROWS;
        const int rows = many_strip_panels(band, strip) * PACKED_PANEL_ROWS;
        for (int i = many_token(pass, block); i < many_token(pass, block + 1); i++, totals += rows) {
            float *y = call->y + (size_t)(pass->first + i) * call->y_stride + first;
            for (int row = 0; row < rows && first + row < call->end; row += LANES)
                vfloat_store(y + row, vfloat_load(totals + row), call->end - first - row);
        }
    }
}

static void many_linear(const struct linear_call *call) {
    const int passes = (call->m + MANY_PASS - 1) / MANY_PASS, end = linear_panel_end(call);
    for (int i = 0; i < passes; i++) {
        struct many_pass pass = {.call = call, .first = (int)((int64_t)call->m * i / passes)};
        pass.tokens = (int)((int64_t)call->m * (i + 1) / passes) - pass.first;
        const int height = MANY_HEIGHT(call->weights);
        pass.blocks = linear_maximum(1, (pass.tokens + height - 1 - MANY_SPARE) / height);
        pass.scratch = many_scratch(call, pass.tokens);
        many_pack(&pass);
        struct many_band band;
        for (band.first = linear_panel_begin(call); band.first < end; band.first += band.panels) {
            band.panels = linear_minimum(LINEAR_BAND, end - band.first);
            many_band_run(&pass, &band);
        }
    }
}

#endif
