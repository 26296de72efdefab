// SPDX-License-Identifier: MIT
// The steps of linear_many.h with 8-bit activations. For the macros see linear_q8_simd.h, for the multiplication the
// tile_q8_*.h.

#include "kernels/linear/tile_q8.h"
#if MATRIX_TILES
#include "kernels/linear/matrix_tiles.h"
#endif

enum { MANY_PASS = Q8_MANY_PASS, MANY_TILES = Q8_TILES, MANY_SPARE = Q8_SPARE };
#define MANY_HEIGHT(weights) Q8_HEIGHT(BITS, (weights)->groups)
enum { MANY_STRIP_PANELS = Q8_STRIP_PANELS };
enum { MANY_STRIPS = LINEAR_BAND / Q8_STRIP_PANELS };
struct many_part {
    int strips;
    struct q8_strip strip[MANY_STRIPS];
};
#include "kernels/linear/linear_many.h"

// With matrix tiles codes become signed, less their zeros, where a byte holds that: nothing is to be corrected then.
static bool many_signed(const struct packed_matrix *weights) {
    return MATRIX_TILES && !(weights->format.asymmetric && BITS == 8);
}

// Columns of a step over the activations.
static int many_unit(const struct packed_matrix *weights) {
    return MATRIX_TILES && weights->tiles_per_group % 2 == 0 ? 2 * TILE_COLUMNS : TILE_COLUMNS;
}

#if MATRIX_TILES
// Tokens of a matrix tile: a block's, or where two by two are multiplied half of them.
static int many_tile_tokens(const struct many_pass *pass) {
    const int height = (pass->tokens + pass->blocks - 1) / pass->blocks;
    return pass->call->weights->groups == 1 ? (height + 1) / 2 : height;
}
#endif

// Asymmetric codes of less than 8 bits are moved up by 2^BITS − zero code, where that is cheap: what is zero is then
// the same in all rows.
static bool many_moved(const struct packed_matrix *weights) {
    return weights->format.asymmetric && BITS < 8 && Q8_MOVES_CODES && !MATRIX_TILES;
}

// Whether what is zero differs from row to row.
static bool many_zeros(const struct packed_matrix *weights) {
    return weights->format.asymmetric && !many_moved(weights) && !many_signed(weights);
}

// Codes to (parts, blocks, units of the part, height, unit), as they are read; sums of the groups to (groups, height) of
// each block, times −zero where that is the same in all rows; and linear_biased(), where groups have scales of their own.
static void many_pack(const struct many_pass *pass) {
    const struct packed_matrix *weights = pass->call->weights;
#if MATRIX_TILES
    matrix_tiles_begin(many_tile_tokens(pass), many_unit(weights));
#endif
    const struct quantized_rows *x = pass->call->x_codes;
    const int zero = many_moved(weights) ? 1 << BITS : symmetric_zero(BITS);
    const int factor = many_zeros(weights) ? 1 : Q8_CENTRE(BITS) - zero;
    const int bias = linear_grouped(pass->call) && !many_zeros(weights) ? SUM_BIAS_BITS : 0;
    const int unit = many_unit(weights), together = unit / TILE_COLUMNS;
    for (int block = 0; block < pass->blocks; block++) {
        const int first = many_token(pass, block), height = many_height(pass, block);
        for (int i = 0; i < height; i++) {
            const size_t token = (size_t)(pass->first + first + i);
            const int8_t *from = x->codes + token * (size_t)x->columns;
            const int32_t *sums = x->sums + token * (size_t)weights->tiles;
            int32_t *corrections = pass->scratch.sums + first * weights->groups + i;
            for (int part = 0; part < weights->tiles; part += MANY_TILES) {
                const int tiles = linear_minimum(MANY_TILES, weights->tiles - part);
                int8_t *to = pass->scratch.x_codes +
                             TILE_COLUMNS * ((size_t)part * (size_t)pass->tokens + (size_t)(first * tiles + together * i));
                if (together == 1)
                    for (int tile = 0; tile < tiles; tile++, from += TILE_COLUMNS, to += TILE_COLUMNS * height)
                        memcpy(to, from, TILE_COLUMNS);
                else
                    for (int tile = 0; tile < tiles; tile += 2, from += 2 * TILE_COLUMNS, to += 2 * TILE_COLUMNS * height)
                        memcpy(to, from, 2 * TILE_COLUMNS);
            }
            for (int group = 0; group < weights->groups && !many_signed(weights); group++, corrections += height) {
                int32_t sum = 0;
                for (int tile = 0; tile < weights->tiles_per_group; tile++)
                    sum += *sums++;
                *corrections = factor * sum + bias;
            }
        }
        for (int group = 0; group < x->groups && linear_grouped(pass->call); group++)
            linear_biased(pass->call, pass->first + first, height, group,
                          pass->scratch.scales + 2 * (first * weights->groups + group * height));
    }
}

// One scale a row: the totals are integers to the end. They begin with the correction.
static void many_begin_strip(const struct many_pass *pass, const struct many_band *band, int block, int strip) {
    const int first = many_token(pass, block), end = many_token(pass, block + 1);
    const int panels = many_strip_panels(band, strip);
    int32_t *totals = (int32_t *)(void *)many_totals(pass, band, block, strip);
    for (int i = first; i < end; i++) {
        for (int row = 0; row < panels * PACKED_PANEL_ROWS; row++, totals++) {
            const int panel = strip * Q8_STRIP_PANELS + row / PACKED_PANEL_ROWS;
            const uint8_t *zeros = band->block[panel].panel.zeros;
            const bool differ = many_zeros(pass->call->weights);
            const int factor = differ ? Q8_CENTRE(BITS) - zeros[row % PACKED_PANEL_ROWS] : 1;
            *totals = many_signed(pass->call->weights) ? 0 : factor * pass->scratch.sums[i];
        }
    }
}

static void many_begin(const struct many_pass *pass, const struct many_band *band, int block) {
    if (pass->call->weights->groups > 1)
        many_clear(pass, band, block);
    for (int strip = 0; strip * MANY_STRIP_PANELS < band->panels && pass->call->weights->groups == 1; strip++)
        many_begin_strip(pass, band, block, strip);
}

// Scales and zeros of the group that begins at a tile of the part.
static void many_expand_group(const struct source *source, const struct panel *from, int group, float *scales, int32_t *zeros) {
    for (int v = 0; v < PACKED_PANEL_ROWS; v += LANES)
        vfloat_store(scales + v, vfloat_halves(source->scales + sizeof(uint16_t) * (size_t)v), LANES);
    for (int row = 0; row < PACKED_PANEL_ROWS && from->zeros != NULL; row++) // as vint_correct() and its like want them
        zeros[row] = (uint16_t)(Q8_CENTRE(BITS) - from->zeros[group * PACKED_PANEL_ROWS + row]);
}

static void many_expand_panel(const struct many_pass *pass, struct many_band *band, int panel) {
    const struct packed_matrix *weights = pass->call->weights;
    const int per_group = weights->tiles_per_group, here = panel % Q8_STRIP_PANELS;
    struct source *source = &band->source[panel];
    struct q8_strip *strip = &band->part.strip[panel / Q8_STRIP_PANELS];
    uint8_t *out = pass->scratch.weights + Q8_TILES * TILE_CODES * panel;
    const bool in_place = IN_PLACE && !many_signed(weights);
    strip->weights[here] = in_place ? source->values : out;
    for (int t = 0; t < band->tiles; t++, out += TILE_CODES) {
        if ((band->tile + t) % per_group == 0) {
            const int group = (band->tile + t) / per_group;
            const int at = PACKED_PANEL_ROWS * (t / per_group * strip->panels + here);
            source_group(source, &band->block[panel], group);
            many_expand_group(source, &band->block[panel].panel, group, strip->scales + at, strip->zeros + at);
        }
        const uint8_t *codes = NEXT_CODES(source, out);
        if (many_signed(weights))
            codes_move(out, codes, source->zeros, 0);
        else if (many_moved(weights))
            codes_move(out, codes, source->zeros, 1 << BITS);
    }
}

static void many_expand(const struct many_pass *pass, struct many_band *band) {
    const struct packed_matrix *weights = pass->call->weights;
    const int tiles = weights->groups == 1 ? band->tiles : weights->tiles_per_group;
    band->part.strips = (band->panels + Q8_STRIP_PANELS - 1) / Q8_STRIP_PANELS;
    for (int i = 0; i < band->part.strips; i++) {
        struct q8_strip *strip = &band->part.strip[i];
        strip->kind = weights->groups == 1 ? Q8_ONE_GROUP : many_zeros(weights) ? Q8_ZEROS : Q8_GROUPS;
        strip->bits = BITS;
        strip->is_signed = many_signed(weights);
        strip->unit = many_unit(weights);
#if MATRIX_TILES
        strip->tokens = many_tile_tokens(pass);
#endif
        strip->panels = many_strip_panels(band, i);
        strip->tiles = tiles;
        strip->groups = band->tiles / tiles;
        strip->stride = TILE_CODES;
    }
    for (int panel = 0; panel < band->panels; panel++)
        many_expand_panel(pass, band, panel);
}

// A block's share of what the strip's panels will need next, where the tiles do not fetch it.
static void many_fetch(const struct many_pass *pass, const struct many_band *band, int block, int strip) {
    for (int panel = strip * Q8_STRIP_PANELS; panel < linear_minimum(band->panels, (strip + 1) * Q8_STRIP_PANELS); panel++) {
        const size_t begin = band->next_bytes[panel] * (size_t)block / (size_t)pass->blocks;
        const size_t end = band->next_bytes[panel] * (size_t)(block + 1) / (size_t)pass->blocks;
        for (size_t at = begin; at < end; at += 64)
            __builtin_prefetch(band->next[panel] + at, 0, 2);
    }
}

static void many_multiply(const struct many_pass *pass, const struct many_band *band, int block) {
    const struct packed_matrix *weights = pass->call->weights;
    const int first = many_token(pass, block), height = many_height(pass, block);
    const int group = weights->groups == 1 ? 0 : band->tile / weights->tiles_per_group;
    const int8_t *x = pass->scratch.x_codes +
                      TILE_COLUMNS * ((size_t)band->tile * (size_t)pass->tokens + (size_t)(first * band->tiles));
    for (int strip = 0; strip < band->part.strips; strip++) {
        // The blocks fetch the strip's panels by turns.
        const int panels = band->part.strip[strip].panels, panel = strip * Q8_STRIP_PANELS + block % panels;
        const size_t soon = (size_t)(block / panels * band->tiles * Q8_SOON);
        const int groups = first * weights->groups + group * height;
        if (MATRIX_TILES)
            many_fetch(pass, band, block, strip);
        Q8_SUFFIX(linear_q8_tile)
        (&band->part.strip[strip], height, x, pass->scratch.sums + groups,
         linear_grouped(pass->call) ? pass->scratch.scales + 2 * groups : NULL, many_totals(pass, band, block, strip),
         soon < band->next_bytes[panel] ? band->next[panel] + soon : (const uint8_t *)x);
    }
}

static void many_finish_token(const struct many_pass *pass, const struct many_band *band, int strip, int token,
                              const float *totals) {
    const struct linear_call *call = pass->call;
    const struct q8_strip *from = &band->part.strip[strip];
    static const float one = 1; // the groups' scales are in the totals
    const vfloat x_scale = vfloat_broadcast(linear_grouped(call) ? &one : call->x_codes->scales + token);
    const int first = (band->first + strip * Q8_STRIP_PANELS) * PACKED_PANEL_ROWS;
    float *y = call->y + (size_t)token * call->y_stride + first;
    for (int row = 0; row < from->panels * PACKED_PANEL_ROWS && first + row < call->end;
         row += LANES, totals += LANES) {
        vfloat total = vfloat_load(totals);
        if (call->weights->groups == 1)
            total = vfloat_fma(vint_float(vint_load((const uint8_t *)totals)), vfloat_load(from->scales + row),
                               vfloat_zero());
        vfloat_store(y + row, vfloat_mul(x_scale, total), call->end - first - row);
    }
}

static void many_finish(const struct many_pass *pass, const struct many_band *band, int block) {
    const int first = pass->first + many_token(pass, block), height = many_height(pass, block);
    for (int strip = 0; strip < band->part.strips; strip++) {
        const float *totals = many_totals(pass, band, block, strip);
        for (int i = 0; i < height; i++)
            many_finish_token(pass, band, strip, first + i,
                              totals + PACKED_PANEL_ROWS * many_strip_panels(band, strip) * i);
    }
}
