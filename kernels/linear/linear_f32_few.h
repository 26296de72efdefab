// SPDX-License-Identifier: MIT
// f32 activations, up to F32_DIRECT tokens: a tile is unpacked to f32 and used at once, so that each packed byte is
// read once: floats in registers (READ_COLUMNS), codes through a buffer. For the macros see linear_f32_simd.h.

// Whether a multiply-add reads the token's number itself, instead of sharing it with another panel: worth 8 to 12% where placing what is
// present keeps the ports busy, and costs up to 16% elsewhere.
#define F32_FROM_MEMORY(width) (STORE == STORE_BITMASK && BITS == 16 && (width) <= 2)

// `columns` of weights × x (columns, width).
FLATTEN void multiply_columns(int width, int columns, vfloat w[][VECTORS], const float *x, vfloat part[][VECTORS]) {
#pragma GCC unroll 4
    for (int column = 0; column < columns; column++) {
#pragma GCC unroll 8
        for (int i = 0; i < width; i++) {
            const float *token = x + column * width + i;
#pragma GCC unroll 2
            for (int v = 0; v < VECTORS; v++)
                part[i][v] = F32_FROM_MEMORY(width) ? vfloat_fma_at(w[column][v], token, part[i][v])
                                                    : vfloat_fma(w[column][v], vfloat_broadcast(token), part[i][v]);
        }
    }
}

#ifdef READ_COLUMNS
// In registers, two columns at a time.
FLATTEN void multiply_chunk(int width, struct source *source, const float *x, vfloat part[][VECTORS]) {
#pragma GCC unroll 2
    for (int column = 0; column < CHUNK_COLUMNS; column += 2) {
        vfloat w[2][VECTORS];
        READ_COLUMNS(source, w);
        multiply_columns(width, 2, w, x + column * width, part);
    }
}

// The next tile of one or two panels. Each panel's additions wait for each other, so those of two take turns.
FLATTEN void multiply_tile(int width, int panels, struct source *sources, const float *x,
                           vfloat part[][F32_DIRECT][VECTORS]) {
    if (BLOCKED) {
        values_ahead(sources, STORE);
        for (uint32_t present = *sources->masks++; present != 0; present &= present - 1)
            multiply_chunk(width, sources, x + CHUNK_COLUMNS * __builtin_ctz(present) * width, part[0]);
        return;
    }
#pragma GCC unroll 2
    for (int p = 0; p < panels; p++) {
        values_ahead(&sources[p], STORE);
        if (STORE != STORE_DENSE)
            prefetch_section(&sources[p], sources[p].masks);
    }
#pragma GCC unroll 8
    for (int chunk = 0; chunk < TILE_CHUNKS; chunk++) {
#pragma GCC unroll 2
        for (int p = 0; p < panels; p++)
            multiply_chunk(width, &sources[p], x + CHUNK_COLUMNS * chunk * width, part[p]);
    }
}
// Where a tile is read in less time than its additions take.
#define FEW_PANELS(width) ((width) <= 2 && (STORE == STORE_BITMASK || (!BLOCKED && BITS == 16)) ? 2 : 1)
#else
FLATTEN void multiply_chunk(int width, const float *weights, const float *x, vfloat part[][VECTORS]) {
    vfloat w[CHUNK_COLUMNS][VECTORS];
#pragma GCC unroll 4
    for (int column = 0; column < CHUNK_COLUMNS; column++) {
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            w[column][v] = vfloat_load(weights + PACKED_PANEL_ROWS * column + LANES * v);
    }
    multiply_columns(width, CHUNK_COLUMNS, w, x, part);
}

#define FEW_PANELS(width) 1
FLATTEN void multiply_tile(int width, int panels, struct source *source, const float *x,
                           vfloat parts[][F32_DIRECT][VECTORS]) {
    vfloat(*part)[VECTORS] = parts[0];
    (void)panels;
    _Alignas(64) float buffer[TILE_CODES];
    const float *weights = NEXT_FLOATS(source, buffer);
    if (!BLOCKED) {
        for (int chunk = 0; chunk < TILE_CHUNKS; chunk++)
            multiply_chunk(width, weights + CHUNK_CODES * chunk, x + CHUNK_COLUMNS * chunk * width, part);
        return;
    }
    for (uint32_t present = source->present; present != 0; present &= present - 1) {
        multiply_chunk(width, weights, x + CHUNK_COLUMNS * __builtin_ctz(present) * width, part);
        weights += CHUNK_CODES;
    }
}
#endif

// The scales of the group at hand.
FLATTEN vfloat read_scales(const struct source *source, int v) {
    if (BITS == 16)
        return vfloat_load((const float *)(const void *)source->scales + LANES * v);
    return vfloat_halves(source->scales + sizeof(uint16_t) * LANES * v);
}

// `width` tokens of as many panels as there are blocks; both are constants.
FLATTEN void tokens_body(int width, int panels, const struct linear_block *blocks) {
    struct source sources[2];
    const struct packed_matrix *weights = blocks->weights;
    const float *x = (const float *)blocks->x;
    vfloat total[2][F32_DIRECT][VECTORS], part[2][F32_DIRECT][VECTORS];
#pragma GCC unroll 2
    for (int p = 0; p < panels; p++) {
        sources[p] = source_open(&blocks[p]);
#pragma GCC unroll 8
        for (int i = 0; i < width; i++) {
#pragma GCC unroll 2
            for (int v = 0; v < VECTORS; v++)
                total[p][i][v] = vfloat_zero();
        }
    }
    for (int group = 0; group < weights->groups; group++) {
#pragma GCC unroll 2
        for (int p = 0; p < panels; p++) {
            source_group(&sources[p], &blocks[p], group);
            if (sources[p].scales_among)
                fetch_scales(&sources[p]);
        }
        for (int t = 0; t < weights->tiles_per_group; t++, x += TILE_COLUMNS * width) {
#pragma GCC unroll 2
            for (int p = 0; p < panels; p++) {
#pragma GCC unroll 8
                for (int i = 0; i < width; i++) {
#pragma GCC unroll 2
                    for (int v = 0; v < VECTORS; v++)
                        part[p][i][v] = vfloat_zero();
                }
            }
            multiply_tile(width, panels, sources, x, part);
#pragma GCC unroll 2
            for (int p = 0; p < panels; p++) {
#pragma GCC unroll 2
                for (int v = 0; v < VECTORS; v++) {
                    const vfloat scale = QUANTIZED ? read_scales(&sources[p], v) : vfloat_zero();
#pragma GCC unroll 8
                    for (int i = 0; i < width; i++)
                        total[p][i][v] = QUANTIZED ? vfloat_fma(scale, part[p][i][v], total[p][i][v])
                                                   : vfloat_add(total[p][i][v], part[p][i][v]);
                }
            }
        }
    }
#pragma GCC unroll 2
    for (int p = 0; p < panels; p++) {
        const struct linear_block *block = &blocks[p];
#pragma GCC unroll 8
        for (int i = 0; i < width; i++) {
            if (i >= block->tokens)
                break;
#pragma GCC unroll 2
            for (int v = 0; v < VECTORS; v++) {
                if (block->rows > LANES * v)
                    vfloat_store(block->y + (size_t)i * block->y_stride + LANES * v, total[p][i][v],
                                 block->rows - LANES * v);
            }
        }
    }
}

// The least compiled width that holds the tokens.
static int few_width(int tokens) {
#define FEW_WIDTH_AT_LEAST(w)                                                                                          \
    if (tokens <= w)                                                                                                   \
        return w;
    F32_FEW_WIDTHS(FEW_WIDTH_AT_LEAST)
    return F32_DIRECT;
}

// At most F32_DIRECT tokens.
static void few_linear(const struct linear_call *call) {
    const struct packed_matrix *weights = call->weights;
    const struct linear_scratch scratch = linear_scratch(call);
    const int width = few_width(call->m);
    const bool rounded = call->activation == ACTIVATION_BF16, copied = width > 1 || rounded;
    struct linear_block blocks[2];
    if (copied)
        interleave(scratch.x, call->x, call->x_stride, call->m, width, weights->columns);
    if (rounded)
        round_to_bf16(scratch.x, (size_t)width * (size_t)weights->columns);
    const struct fetch_plan plan = fetch_plan(weights, call->m, 1, false);
    const int end = linear_panel_end(call);
    for (int panel = linear_panel_begin(call), panels; panel < end; panel += panels) {
        panels = linear_minimum(FEW_PANELS(width), end - panel);
        for (int p = 0; p < panels; p++)
            blocks[p] = (struct linear_block){.weights = weights,
                                              .width = width,
                                              .x = copied ? scratch.x : call->x,
                                              .y_stride = call->y_stride,
                                              .tokens = call->m,
                                              .panel = packed_panel(weights, panel + p),
                                              .fetch = fetch_panel(&plan, panel + p, panel + panels + p < end ? panel + panels + p : -1),
                                              .rows = linear_panel_rows(call, panel + p),
                                              .y = call->y + (size_t)(panel + p) * PACKED_PANEL_ROWS};
#define FEW_CASE(w)                                                                                                    \
    case w:                                                                                                            \
        if (FEW_PANELS(w) == 2 && panels == 2)                                                                         \
            tokens_body(w, 2, blocks);                                                                                 \
        else                                                                                                           \
            tokens_body(w, 1, blocks);                                                                                 \
        break;
        switch (width) { F32_FEW_WIDTHS(FEW_CASE) }
    }
}
