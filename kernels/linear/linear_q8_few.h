// SPDX-License-Identifier: MIT
// 8-bit activations, up to Q8_DIRECT tokens: the codes of a panel are unpacked in registers and used at once, so that
// each packed byte is read once and nothing else moves. For the macros see linear_q8_simd.h.

// The sums of one group.
struct few_group_sums {
    vint part[Q8_DIRECT][VECTORS][4];
    vint ones[Q8_DIRECT]; // block store: Σx of the chunks that are present
};

static inline __attribute__((always_inline)) void
few_multiply_chunk(int width, int bits, int part, const uint8_t *codes, const int32_t *x, struct few_group_sums *sums) {
    vint w[VECTORS];
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; v++)
        w[v] = vint_load(codes + CHUNK_COLUMNS * LANES * v);
#pragma GCC unroll 12
    for (int i = 0; i < width; i++) {
        const vint token = vint_broadcast(x + i);
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            sums->part[i][v][part] = vint_dot(sums->part[i][v][part], w[v], token, bits);
        if (BLOCKED)
            sums->ones[i] = vint_dot_ones(sums->ones[i], token);
    }
}

static inline __attribute__((always_inline)) void few_multiply_tile(int width, int bits, const struct source *source,
                                                                    const uint8_t *codes, const int32_t *x,
                                                                    struct few_group_sums *sums) {
    if (!BLOCKED) {
#pragma GCC unroll 8
        for (int chunk = 0; chunk < TILE_CHUNKS; chunk++)
            few_multiply_chunk(width, bits, chunk % DOT_PARTS(width), codes + CHUNK_CODES * chunk, x + chunk * width,
                               sums);
        return;
    }
    for (uint32_t present = source->present; present != 0; present &= present - 1) {
        few_multiply_chunk(width, bits, 0, codes, x + __builtin_ctz(present) * width, sums);
        codes += CHUNK_CODES;
    }
}

static inline __attribute__((always_inline)) void few_group_begin(int width, struct few_group_sums *sums) {
#pragma GCC unroll 12
    for (int i = 0; i < width; i++) {
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) {
            for (int part = 0; part < DOT_PARTS(width); part++)
                sums->part[i][v][part] = vint_zero();
        }
        if (BLOCKED)
            sums->ones[i] = vint_zero();
    }
}

// `width` tokens and `bits`, constants.
static inline __attribute__((always_inline)) void few_block_body(int width, int bits,
                                                                 const struct linear_block *block) {
    struct source source = source_open(block, NULL);
    const int32_t *x = (const int32_t *)block->x, *x_sums = block->sums;
    _Alignas(64) uint8_t buffer[TILE_CODES];
    vfloat total[Q8_DIRECT][VECTORS];
#pragma GCC unroll 12
    for (int i = 0; i < width; i++) {
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            total[i][v] = vfloat_zero();
    }
    for (int group = 0; group < block->weights->groups; group++) {
        struct few_group_sums sums;
        vint zeros[VECTORS];
        few_group_begin(width, &sums);
        source_group(&source, block, group);
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            zeros[v] = vint_negated_zeros(source.zeros + LANES * v, bits);
        for (int t = 0; t < block->weights->tiles_per_group; t++, x += TILE_CHUNKS * width, x_sums += width) {
            const uint8_t *codes = NEXT_CODES(&source, buffer);
            if (!BLOCKED) {
#pragma GCC unroll 12
                for (int i = 0; i < width; i++) {
                    const vint token = vint_broadcast(x_sums + i);
#pragma GCC unroll 2
                    for (int v = 0; v < VECTORS; v++)
                        sums.part[i][v][0] = vint_correct(sums.part[i][v][0], zeros[v], token);
                }
            }
            few_multiply_tile(width, bits, &source, codes, x, &sums);
        }
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) {
            const vfloat scale = vfloat_halves(block->panel.scales + 2 * (group * PACKED_PANEL_ROWS + LANES * v));
#pragma GCC unroll 12
            for (int i = 0; i < width; i++) {
                vint sum = sums.part[i][v][0];
                for (int part = 1; part < DOT_PARTS(width); part++)
                    sum = vint_add(sum, sums.part[i][v][part]);
                if (BLOCKED)
                    sum = vint_add(sum, vint_mul(zeros[v], sums.ones[i]));
                total[i][v] = vfloat_fma(vint_float(sum), scale, total[i][v]);
            }
        }
    }
#pragma GCC unroll 12
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

// At most Q8_DIRECT tokens.
static void few_linear(const struct linear_call *call) {
    const struct packed_matrix *weights = call->weights;
    const struct quantized_rows *x = call->x_codes;
    const struct linear_scratch scratch = linear_scratch(call);
    const int tiles = weights->tiles, words = tiles * TILE_CHUNKS, width = few_width(call->m);
    struct linear_block block = {.weights = weights,
                                 .width = width,
                                 .x = width > 1 ? (const void *)scratch.x : x->codes,
                                 .sums = width > 1 ? scratch.sums : x->sums,
                                 .scales = x->scales,
                                 .y_stride = call->y_stride,
                                 .tokens = call->m};
    if (width > 1) {
        interleave(scratch.x, x->codes, (size_t)words, call->m, width, words);
        interleave(scratch.sums, x->sums, (size_t)tiles, call->m, width, tiles);
    }
    for (int panel = linear_panel_begin(call); panel < linear_panel_end(call); panel++) {
        block.panel = packed_panel(weights, panel);
        block.rows = linear_panel_rows(call, panel);
        block.y = call->y + (size_t)panel * PACKED_PANEL_ROWS;
#define FEW_CASE(w)                                                                                                    \
    case w:                                                                                                            \
        few_block_body(w, BITS, &block);                                                                               \
        break;
        switch (width) { Q8_FEW_WIDTHS(FEW_CASE) }
    }
}
