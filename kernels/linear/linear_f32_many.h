// SPDX-License-Identifier: MIT
// The steps of linear_many.h with f32 activations. For the macros see linear_f32_simd.h, for the multiplication the
// tile_f32_*.h.
#include "kernels/linear/tile_f32.h"

enum { MANY_PASS = F32_MANY_PASS, MANY_TILES = F32_TILES, MANY_SPARE = F32_SPARE };
#define MANY_HEIGHT(weights) F32_HEIGHT
enum { MANY_STRIP_PANELS = F32_STRIP_PANELS };
struct many_part {
    int strips;
    struct f32_strip strip[LINEAR_BAND / MANY_STRIP_PANELS];
};
#include "kernels/linear/linear_many.h"

// To (parts, blocks, steps of the part, height, F32_STEP), as they are read.
static void many_pack(const struct many_pass *pass) {
    const int columns = pass->call->weights->columns;
    for (int block = 0; block < pass->blocks; block++) {
        const int first = many_token(pass, block), height = many_height(pass, block);
        for (int i = 0; i < height; i++) {
            const float *from = pass->call->x + (size_t)(pass->first + first + i) * pass->call->x_stride;
            for (int part = 0; part < columns; part += F32_TILES * TILE_COLUMNS) {
                const int here = linear_minimum(F32_TILES * TILE_COLUMNS, columns - part);
                float *to =
                    pass->scratch.x + (size_t)part * (size_t)pass->tokens + (size_t)(first * here + F32_STEP * i);
                for (int column = 0; column < here; column += F32_STEP, from += F32_STEP, to += F32_STEP * height)
                    memcpy(to, from, F32_STEP * sizeof(float));
            }
        }
    }
    if (pass->call->activation == ACTIVATION_BF16)
        round_to_bf16(pass->scratch.x, (size_t)pass->tokens * (size_t)columns);
}

static void many_begin(const struct many_pass *pass, const struct many_band *band, int block) {
    many_clear(pass, band, block);
}

static void many_scales(const uint8_t *from, float *scales) {
    for (size_t v = 0; v < PACKED_PANEL_ROWS; v += LANES) {
        const vfloat scale = BITS == 16 ? vfloat_load((const float *)(const void *)from + v)
                                        : vfloat_halves(from + sizeof(uint16_t) * v);
        vfloat_store(scales + v, scale, LANES);
    }
}

static void many_expand_panel(const struct many_pass *pass, struct many_band *band, int panel) {
    const int per_group = pass->call->weights->tiles_per_group, here = panel % MANY_STRIP_PANELS;
    struct source *source = &band->source[panel];
    struct f32_strip *strip = &band->part.strip[panel / MANY_STRIP_PANELS];
    float *out = (float *)(void *)pass->scratch.weights + F32_TILES * TILE_CODES * panel;
    strip->weights[here] = IN_PLACE ? (const float *)(const void *)source->values : out;
    for (int t = 0; t < band->tiles; t++, out += TILE_CODES) {
        const int group = (band->tile + t) / per_group;
        if ((band->tile + t) % per_group == 0)
            source_group(source, &band->block[panel], group);
        if (QUANTIZED)
            many_scales(source->scales, strip->scales + PACKED_PANEL_ROWS * (t * strip->panels + here));
        (void)NEXT_FLOATS(source, out);
    }
}

static void many_expand(const struct many_pass *pass, struct many_band *band) {
    band->part.strips = (band->panels + MANY_STRIP_PANELS - 1) / MANY_STRIP_PANELS;
    for (int i = 0; i < band->part.strips; i++) {
        struct f32_strip *strip = &band->part.strip[i];
        strip->scaled = QUANTIZED;
        strip->panels = many_strip_panels(band, i);
        strip->tiles = band->tiles;
    }
    for (int panel = 0; panel < band->panels; panel++)
        many_expand_panel(pass, band, panel);
}

static void many_multiply(const struct many_pass *pass, const struct many_band *band, int block) {
    const int first = many_token(pass, block), height = many_height(pass, block);
    const float *x =
        pass->scratch.x + TILE_COLUMNS * ((size_t)band->tile * (size_t)pass->tokens + (size_t)(first * band->tiles));
    for (int strip = 0; strip < band->part.strips; strip++) {
        // The blocks fetch the strip's panels by turns.
        const int panels = band->part.strip[strip].panels, panel = strip * MANY_STRIP_PANELS + block % panels;
        const size_t soon = (size_t)(block / panels * F32_SOON);
        F32_SUFFIX(linear_f32_tile)
        (&band->part.strip[strip], height, x, many_totals(pass, band, block, strip),
         soon < band->next_bytes[panel] ? band->next[panel] + soon : (const uint8_t *)x);
    }
}

static void many_finish(const struct many_pass *pass, const struct many_band *band, int block) {
    many_store(pass, band, block);
}
