// SPDX-License-Identifier: MIT
// 8-bit activations, up to Q8_DIRECT tokens: the codes of a panel are unpacked in registers and used at once, so that
// each packed byte is read once and nothing else moves. Bound by reading weights where those are in memory; in cache by
// the vector ports: a dot a token and chunk, and what unpacking takes. For the macros see linear_q8_simd.h.

// What integer sums start at, since codes are stored unsigned: −zero·Σx of the group. `starts` holds Σx, or the product
// where all rows have the same zero code.
static inline __attribute__((always_inline)) void few_start(int width, const struct linear_block *block, int group,
                                                            vint sums[][VECTORS][DOT_PARTS_LIMIT]) {
    const int32_t *starts = block->sums + (size_t)group * (size_t)width;
    const uint8_t *zeros = block->panel.zeros;
#pragma GCC unroll 8
    for (int i = 0; i < width; i++) {
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) {
            sums[i][v][0] = vint_broadcast(starts + i);
            for (int part = 1; part < DOT_PARTS(width); part++)
                sums[i][v][part] = vint_zero();
        }
    }
    if (zeros == NULL)
        return;
    // Σx of up to 8 tiles fits in 16 bits, for which a multiplication is cheaper.
    const bool narrow = block->weights->tiles_per_group <= 8;
    zeros += group * PACKED_PANEL_ROWS;
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; v++) {
        const vint negated = vint_negated_zeros(zeros + LANES * v, BITS);
#pragma GCC unroll 8
        for (int i = 0; i < width; i++)
            sums[i][v][0] =
                narrow ? vint_correct(vint_zero(), negated, sums[i][v][0]) : vint_mul(negated, sums[i][v][0]);
    }
}

// `width` tokens, a constant, of one panel.
static inline __attribute__((always_inline)) void few_panel(int width, const struct linear_block *block) {
    struct source source = source_open(block, NULL);
    const int32_t *x = (const int32_t *)block->x;
    struct absent absent;
    vfloat total[Q8_DIRECT][VECTORS];
#pragma GCC unroll 8
    for (int i = 0; i < width; i++) {
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            total[i][v] = vfloat_zero();
    }
    for (int group = 0; group < block->weights->groups; group++) {
        vint sums[Q8_DIRECT][VECTORS][DOT_PARTS_LIMIT];
        if (group == 0 || block->panel.zeros != NULL) {
            source_group(&source, block, group);
            absent_begin(&source, STORE, BITS, &absent);
        }
        few_start(width, block, group, sums);
        for (int t = 0; t < block->weights->tiles_per_group; t++, x += TILE_CHUNKS * width) {
            struct tile tile = {0};
            tile_open(&source, STORE, BITS, &absent, &tile);
#pragma GCC unroll 8
            for (int chunk = 0; chunk < TILE_CHUNKS; chunk++) {
                vint codes[VECTORS];
                tile_chunk(&tile, STORE, BITS, chunk, &absent, codes);
#pragma GCC unroll 8
                for (int i = 0; i < width; i++) {
                    const vint token = vint_broadcast(x + chunk * width + i);
#pragma GCC unroll 2
                    for (int v = 0; v < VECTORS; v++) {
                        vint *sum = &sums[i][v][chunk % DOT_PARTS(width)];
                        *sum = vint_dot(*sum, codes[v], token, BITS);
                    }
                }
            }
        }
        const uint8_t *scales = block->panel.scales + sizeof(uint16_t) * PACKED_PANEL_ROWS * (size_t)group;
        prefetch(scales);
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) {
            const vfloat scale = vfloat_halves(scales + sizeof(uint16_t) * LANES * v);
#pragma GCC unroll 8
            for (int i = 0; i < width; i++) {
                vint sum = sums[i][v][0];
                for (int part = 1; part < DOT_PARTS(width); part++)
                    sum = vint_add(sum, sums[i][v][part]);
                total[i][v] = vfloat_fma(vint_float(sum), scale, total[i][v]);
            }
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < width; i++) {
        if (i >= block->tokens)
            break;
        const vfloat scale = vfloat_broadcast(block->scales + i);
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) {
            if (block->rows > LANES * v)
                vfloat_store(block->y + (size_t)i * block->y_stride + LANES * v, vfloat_mul(scale, total[i][v]),
                             block->rows - LANES * v);
        }
    }
}

// The least compiled width that holds the tokens.
static int few_width(int tokens) {
#define FEW_WIDTH_AT_LEAST(w)                                                                                          \
    if (tokens <= w)                                                                                                   \
        return w;
    Q8_FEW_WIDTHS(FEW_WIDTH_AT_LEAST)
    return Q8_DIRECT;
}

// (groups, width): what few_start() reads.
static void few_prepare_starts(const struct linear_call *call, int width, int32_t *starts) {
    const struct packed_matrix *weights = call->weights;
    const int32_t factor = weights->format.asymmetric ? 1 : Q8_CENTRE(BITS) - symmetric_zero(BITS);
    for (int i = 0; i < width; i++) {
        const int32_t *sums = call->x_codes->sums + (size_t)i * (size_t)weights->tiles;
        for (int group = 0; group < weights->groups; group++) {
            int32_t sum = 0;
            for (int t = 0; i < call->m && t < weights->tiles_per_group; t++)
                sum += *sums++;
            starts[group * width + i] = factor * sum;
        }
    }
}

// At most Q8_DIRECT tokens.
static void few_linear(const struct linear_call *call) {
    const struct packed_matrix *weights = call->weights;
    const struct linear_scratch scratch = linear_scratch(call);
    const int words = weights->tiles * TILE_CHUNKS, width = few_width(call->m);
    struct linear_block block = {.weights = weights,
                                 .width = width,
                                 .x = width > 1 ? (const void *)scratch.x : call->x_codes->codes,
                                 .sums = scratch.sums,
                                 .scales = call->x_codes->scales,
                                 .y_stride = call->y_stride,
                                 .tokens = call->m};
    if (width > 1)
        interleave(scratch.x, call->x_codes->codes, (size_t)words, call->m, width, words);
    few_prepare_starts(call, width, scratch.sums);
    for (int panel = linear_panel_begin(call); panel < linear_panel_end(call); panel++) {
        block.panel = packed_panel(weights, panel);
        block.rows = linear_panel_rows(call, panel);
        block.y = call->y + (size_t)panel * PACKED_PANEL_ROWS;
#define FEW_CASE(w)                                                                                                    \
    case w:                                                                                                            \
        few_panel(w, &block);                                                                                          \
        break;
        switch (width) { Q8_FEW_WIDTHS(FEW_CASE) }
    }
}
