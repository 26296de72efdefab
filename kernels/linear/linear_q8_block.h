// SPDX-License-Identifier: MIT
// 8-bit activations, more than Q8_DIRECT tokens, block store: a panel's present chunks are expanded once to bytes, in
// second-level cache, and all blocks of tokens run over them, skipping the absent. The sums of activations that the
// offset of codes needs are made beside the products, since they differ from panel to panel.

// The sums of one group.
struct many_group_sums {
    vint part[Q8_BLOCK][VECTORS][4];
    vint ones[Q8_BLOCK]; // block store: Σx of the chunks that are present
};

static inline __attribute__((always_inline)) void many_multiply_chunk(int width, int bits, int part,
                                                                      const uint8_t *codes, const int32_t *x,
                                                                      struct many_group_sums *sums) {
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
        sums->ones[i] = vint_dot_ones(sums->ones[i], token);
    }
}

static inline __attribute__((always_inline)) void many_multiply_tile(int width, int bits, const struct source *source,
                                                                     const uint8_t *codes, const int32_t *x,
                                                                     struct many_group_sums *sums) {
    for (uint32_t present = source->present; present != 0; present &= present - 1) {
        many_multiply_chunk(width, bits, 0, codes, x + __builtin_ctz(present) * width, sums);
        codes += CHUNK_CODES;
    }
}

static inline __attribute__((always_inline)) void many_group_begin(int width, struct many_group_sums *sums) {
#pragma GCC unroll 12
    for (int i = 0; i < width; i++) {
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) {
            for (int part = 0; part < DOT_PARTS(width); part++)
                sums->part[i][v][part] = vint_zero();
        }
        sums->ones[i] = vint_zero();
    }
}

// `width` tokens and `bits`, constants. The panel is `expanded` to bytes, or is stored so.
static inline __attribute__((always_inline)) void many_block_body(int width, int bits, const struct linear_block *block,
                                                                  const uint8_t *expanded) {
    struct source source = source_open(block, expanded);
    const int32_t *x = (const int32_t *)block->x;
    _Alignas(64) uint8_t buffer[TILE_CODES];
    vfloat total[Q8_BLOCK][VECTORS];
#pragma GCC unroll 12
    for (int i = 0; i < width; i++) {
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            total[i][v] = vfloat_zero();
    }
    for (int group = 0; group < block->weights->groups; group++) {
        struct many_group_sums sums;
        vint zeros[VECTORS];
        many_group_begin(width, &sums);
        source_group(&source, block, group);
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            zeros[v] = vint_negated_zeros(source.zeros + LANES * v, bits);
        for (int t = 0; t < block->weights->tiles_per_group; t++, x += TILE_CHUNKS * width) {
            const uint8_t *codes = next_blocks(&source, 8, buffer);
            many_multiply_tile(width, bits, &source, codes, x, &sums);
        }
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) {
            const vfloat scale = vfloat_halves(block->panel.scales + 2 * (group * PACKED_PANEL_ROWS + LANES * v));
#pragma GCC unroll 12
            for (int i = 0; i < width; i++) {
                vint sum = sums.part[i][v][0];
                for (int part = 1; part < DOT_PARTS(width); part++)
                    sum = vint_add(sum, sums.part[i][v][part]);
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

// A block against a panel of bytes: expanded, or stored so. From the 8-bit kernel of the store.
#define EXPANDED_NAME(store) Q8_SUFFIX(linear_q8_expanded_##store)
void EXPANDED_NAME(block)(const struct linear_block *block, const uint8_t *panel);

#if IN_PLACE
// Codes of at most 6 bits are cheaper to multiply where there is no instruction for all 8.
#define EXPANDED_CASE(w)                                                                                               \
    case w:                                                                                                            \
        if (block->weights->format.bits == 8 || ALL_BYTES_ALIKE)                                                       \
            many_block_body(w, 8, block, panel);                                                                       \
        else                                                                                                           \
            many_block_body(w, 6, block, panel);                                                                       \
        break;
static inline void expanded(const struct linear_block *block, const uint8_t *panel) {
    switch (block->width) { Q8_WIDTHS(EXPANDED_CASE) }
}
#endif

static void from_expanded(const struct linear_block *block, const uint8_t *panel) {
    EXPANDED_NAME(block)(block, panel);
}

static void expand(const struct linear_block *block, uint8_t *panel) {
    struct source source = source_open(block, NULL);
    for (int group = 0; group < block->weights->groups; group++) {
        source_group(&source, block, group);
        for (int t = 0; t < block->weights->tiles_per_group; t++) {
            (void)NEXT_CODES(&source, panel);
            panel += __builtin_popcount(source.present) * CHUNK_CODES;
        }
    }
}

static int compiled_width(int tokens) {
#define WIDTH_AT_LEAST(w)                                                                                              \
    if (tokens <= w)                                                                                                   \
        return w;
    Q8_WIDTHS(WIDTH_AT_LEAST)
    return Q8_BLOCK;
}

// Tokens [token0, token0 + tokens), tokens ≤ LINEAR_PASS.
static void run_pass(const struct linear_call *call, int token0, int tokens) {
    const struct packed_matrix *weights = call->weights;
    const struct quantized_rows *x = call->x_codes;
    const struct linear_scratch scratch = linear_scratch(call);
    const size_t words = (size_t)(weights->tiles * TILE_CHUNKS);
    const int count = (tokens + Q8_BLOCK - 1) / Q8_BLOCK;
    struct linear_block blocks[LINEAR_PASS / Q8_BLOCK];
    for (int b = 0; b < count; b++) {
        const int first = b * Q8_BLOCK, here = linear_minimum(tokens - first, Q8_BLOCK);
        const int8_t *codes = x->codes + (size_t)(token0 + first) * (size_t)x->columns;
        int32_t *interleaved = (int32_t *)(void *)scratch.x + (size_t)first * words;
        const int width = compiled_width(here);
        if (width > 1)
            interleave(interleaved, codes, words, here, width, (int)words);
        blocks[b] = (struct linear_block){.weights = weights,
                                          .width = width,
                                          .x = width > 1 ? (const void *)interleaved : codes,
                                          .scales = x->scales + token0 + first,
                                          .y_stride = call->y_stride,
                                          .tokens = here};
    }
    for (int panel = linear_panel_begin(call); panel < linear_panel_end(call); panel++) {
        for (int b = 0; b < count; b++) {
            struct linear_block *block = &blocks[b];
            block->panel = packed_panel(weights, panel);
            block->rows = linear_panel_rows(call, panel);
            block->y = call->y + (size_t)(token0 + b * Q8_BLOCK) * call->y_stride + (size_t)panel * PACKED_PANEL_ROWS;
            if (!IN_PLACE && b == 0)
                expand(block, scratch.panel);
            from_expanded(block, IN_PLACE ? NULL : scratch.panel);
        }
    }
}

static void many_linear(const struct linear_call *call) {
    for (int token0 = 0; token0 < call->m; token0 += LINEAR_PASS)
        run_pass(call, token0, linear_minimum(call->m - token0, LINEAR_PASS));
}
