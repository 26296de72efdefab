// SPDX-License-Identifier: MIT
// What the linear kernels share: how they cut their work, and their scratch.
//
// Tokens are taken in passes of at most LINEAR_PASS, so that the scratch stays within a second-level cache however long
// the prompt.
#ifndef LLMSWEEP_LINEAR_H
#define LLMSWEEP_LINEAR_H

#include "kernels/kernel.h"
#include "kernels/pack/packed.h"

// 1 in kernels of AMX (the compiler's flags come from the file's name), which multiplies matrices held in registers.
#ifdef __AMX_INT8__
#define MATRIX_TILES 1
#else
#define MATRIX_TILES 0
#endif

enum { LINEAR_PASS = 96 };

// The caller's scratch, for k columns.
struct linear_scratch {
    float *x;       // LINEAR_PASS·k: the tokens of the pass, interleaved block by block
    int32_t *sums;  // LINEAR_PASS·k/32
    float *scales;  // 2·LINEAR_PASS·k/32: linear_biased() of the tokens, where each group has its own
    float *totals;  // LINEAR_PASS·16, twice: sums that do not fit in registers
};

static inline struct linear_scratch linear_scratch(const struct linear_call *call) {
    const size_t k = (size_t)call->weights->columns;
    uint8_t *at = (uint8_t *)call->scratch;
    struct linear_scratch scratch;
    scratch.totals = (float *)(void *)at;
    at += 2 * LINEAR_PASS * PACKED_PANEL_ROWS * sizeof(float);
    scratch.x = (float *)(void *)at;
    at += LINEAR_PASS * sizeof(float) * k;
    scratch.sums = (int32_t *)(void *)at;
    at += LINEAR_PASS * sizeof(int32_t) * (k / TILE_COLUMNS);
    scratch.scales = (float *)(void *)at;
    return scratch;
}

// Kernels for many tokens lay out their scratch otherwise, for up to Q8_MANY_PASS or F32_MANY_PASS tokens at a time and
// bands of up to LINEAR_BAND panels.
enum { Q8_MANY_PASS = 256, F32_MANY_PASS = 128, LINEAR_BAND = 4, LINEAR_PART = 32768 };

struct many_scratch {
    uint8_t *weights; // LINEAR_PART bytes: a part of a band's weights, expanded
    float *totals;    // (tokens, 16·LINEAR_BAND)
    int8_t *x_codes;  // (tokens, k), or
    float *x;         // (tokens, k)
    int32_t *sums;    // behind x_codes: (tokens, k/32)
    float *scales;    // and (tokens, k/32, 2)
};

static inline struct many_scratch many_scratch(const struct linear_call *call, int tokens) {
    uint8_t *at = (uint8_t *)call->scratch;
    struct many_scratch scratch = {.weights = at};
    at += LINEAR_PART;
    scratch.totals = (float *)(void *)at;
    at += (size_t)(tokens * LINEAR_BAND * PACKED_PANEL_ROWS) * sizeof(float);
    scratch.x_codes = (int8_t *)at;
    scratch.x = (float *)(void *)at;
    at += (size_t)tokens * (size_t)call->weights->columns;
    scratch.sums = (int32_t *)(void *)at;
    at += (size_t)tokens * (size_t)call->weights->tiles * sizeof(int32_t);
    scratch.scales = (float *)(void *)at;
    return scratch;
}

// And so does what computes bf16 by matrix tiles (linear_bf16_tiles.h): for up to BF16_PASS tokens at a time and slices of their
// columns that take BF16_SLICE bytes.
enum { BF16_PASS = 256, BF16_SLICE = 1 << 20 };

struct bf16_scratch {
    uint8_t *weights;       // LINEAR_PART bytes: a part of a band's weights, expanded
    float *totals;          // (LINEAR_BAND, tokens, 16)
    uint8_t *x;             // (tokens, columns of a slice) bf16
    const uint8_t **values; // (panels of the call): where the next slice of each begins
};

// Tiles of columns in a slice: whole parts, and slices of about the same size.
static inline int bf16_slice(int tiles, int tokens) {
    const int most = BF16_SLICE / (int)(TILE_COLUMNS * sizeof(uint16_t)) / tokens, slices = (tiles + most - 1) / most;
    return ((tiles + slices - 1) / slices + TILE_CHUNKS - 1) / TILE_CHUNKS * TILE_CHUNKS;
}

static inline struct bf16_scratch bf16_scratch(const struct linear_call *call, int tokens) {
    uint8_t *at = (uint8_t *)call->scratch;
    struct bf16_scratch scratch = {.weights = at};
    at += LINEAR_PART;
    scratch.totals = (float *)(void *)at;
    at += (size_t)(tokens * LINEAR_BAND * PACKED_PANEL_ROWS) * sizeof(float);
    scratch.x = at;
    at += (size_t)tokens * (size_t)bf16_slice(call->weights->tiles, tokens) * TILE_COLUMNS * sizeof(uint16_t);
    scratch.values = (const uint8_t **)(void *)at;
    return scratch;
}

// Whether each group of the activations' columns has a scale of its own, or a token one in all.
static inline bool linear_grouped(const struct linear_call *call) {
    return call->x_codes->groups > 1;
}

// Where groups have scales of their own, their integer sums begin with the bits of SUM_BIAS, so that they end as those of the float
// SUM_BIAS + sum: one multiply-add, × scale − SUM_BIAS·scale, then takes the place of a conversion and a product. Its result is the
// same: sums are below 2²² in magnitude, and SUM_BIAS·scale is exact, as scales have 22 significant bits.
#define SUM_BIAS 0x1.8p23f
enum { SUM_BIAS_BITS = 0x4b400000 };

// The scales of group `group` of tokens [first, first + width), and behind these what is to be added. Zeros beyond the last token.
static inline void linear_biased(const struct linear_call *call, int first, int width, int group, float *scales) {
    const struct quantized_rows *x = call->x_codes;
    for (int i = 0; i < width; i++) {
        const float scale = first + i < call->m ? x->scales[(size_t)(first + i) * (size_t)x->groups + (size_t)group] : 0;
        scales[i] = scale;
        scales[width + i] = -SUM_BIAS * scale;
    }
}

static inline int linear_minimum(int a, int b) {
    return a < b ? a : b;
}

static inline int linear_maximum(int a, int b) {
    return a > b ? a : b;
}

// How many of the panel's rows the call wants.
static inline int linear_panel_rows(const struct linear_call *call, int panel) {
    return linear_minimum(call->end - panel * PACKED_PANEL_ROWS, PACKED_PANEL_ROWS);
}

static inline int linear_panel_begin(const struct linear_call *call) {
    return call->begin / PACKED_PANEL_ROWS;
}

static inline int linear_panel_end(const struct linear_call *call) {
    return (call->end + PACKED_PANEL_ROWS - 1) / PACKED_PANEL_ROWS;
}

#endif
