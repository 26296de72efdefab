// SPDX-License-Identifier: MIT
// f32 activations, more than F32_DIRECT tokens, block store: a panel's present chunks are expanded once to f32, in
// second-level cache, and all blocks of tokens run over them, skipping the absent.

static inline __attribute__((always_inline)) void many_multiply_chunk(int width, const float *weights, const float *x,
                                                                      vfloat part[][VECTORS]) {
#pragma GCC unroll 4
    for (int column = 0; column < CHUNK_COLUMNS; column++) {
        vfloat w[VECTORS];
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            w[v] = vfloat_load(weights + PACKED_PANEL_ROWS * column + LANES * v);
#pragma GCC unroll 12
        for (int i = 0; i < width; i++) {
            const vfloat token = vfloat_broadcast(x + column * width + i);
#pragma GCC unroll 2
            for (int v = 0; v < VECTORS; v++)
                part[i][v] = vfloat_fma(w[v], token, part[i][v]);
        }
    }
}

static inline __attribute__((always_inline)) void many_multiply_tile(int width, const struct source *source,
                                                                     const float *weights, const float *x,
                                                                     vfloat part[][VECTORS]) {
    for (uint32_t present = source->present; present != 0; present &= present - 1) {
        const int column = CHUNK_COLUMNS * __builtin_ctz(present);
        many_multiply_chunk(width, weights, x + column * width, part);
        weights += CHUNK_CODES;
    }
}

static inline __attribute__((always_inline)) vfloat many_read_scales(const struct linear_block *block, int group,
                                                                     int v) {
    const int at = group * PACKED_PANEL_ROWS + LANES * v;
    if (block->weights->format.bits == 16)
        return vfloat_load((const float *)(const void *)block->panel.scales + at);
    return vfloat_halves(block->panel.scales + sizeof(uint16_t) * (size_t)at);
}

// `width` tokens, a constant. The panel is `expanded`, or is f32 itself.
static inline __attribute__((always_inline)) void
many_block_body(int width, bool quantized, const struct linear_block *block, const float *expanded) {
    struct source source = source_open(block, expanded);
    const float *x = (const float *)block->x;
    _Alignas(64) float buffer[TILE_CODES];
    vfloat total[F32_BLOCK][VECTORS];
#pragma GCC unroll 12
    for (int i = 0; i < width; i++) {
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            total[i][v] = vfloat_zero();
    }
    for (int group = 0; group < block->weights->groups; group++) {
        source_group(&source, block, group);
        for (int t = 0; t < block->weights->tiles_per_group; t++, x += TILE_COLUMNS * width) {
            const float *weights = next_f32_blocks(&source, buffer);
            vfloat part[F32_BLOCK][VECTORS];
#pragma GCC unroll 12
            for (int i = 0; i < width; i++) {
#pragma GCC unroll 2
                for (int v = 0; v < VECTORS; v++)
                    part[i][v] = vfloat_zero();
            }
            many_multiply_tile(width, &source, weights, x, part);
#pragma GCC unroll 2
            for (int v = 0; v < VECTORS; v++) {
                const vfloat scale = quantized ? many_read_scales(block, group, v) : vfloat_zero();
#pragma GCC unroll 12
                for (int i = 0; i < width; i++)
                    total[i][v] =
                        quantized ? vfloat_fma(scale, part[i][v], total[i][v]) : vfloat_add(total[i][v], part[i][v]);
            }
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < width; i++) {
        if (i >= block->tokens)
            break;
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) {
            if (block->rows > LANES * v)
                vfloat_store(block->y + (size_t)i * block->y_stride + LANES * v, total[i][v], block->rows - LANES * v);
        }
    }
}

// A block against a panel in f32: expanded, or stored so. From the f32 kernel of the store.
#define EXPANDED_NAME(store) F32_SUFFIX(linear_f32_expanded_##store)
void EXPANDED_NAME(block)(const struct linear_block *block, const float *panel);

#if IN_PLACE
#define EXPANDED_CASE(w)                                                                                               \
    case w:                                                                                                            \
        if (quantized)                                                                                                 \
            many_block_body(w, true, block, panel);                                                                    \
        else                                                                                                           \
            many_block_body(w, false, block, panel);                                                                   \
        break;
static inline void expanded(const struct linear_block *block, const float *panel) {
    const bool quantized = block->weights->format.type == WEIGHT_QUANTIZED;
    switch (block->width) { F32_WIDTHS(EXPANDED_CASE) }
}
#endif

static void from_expanded(const struct linear_block *block, const float *panel) {
    EXPANDED_NAME(block)(block, panel);
}

static void expand(const struct linear_block *block, float *panel) {
    struct source source = source_open(block, NULL);
    for (int group = 0; group < block->weights->groups; group++) {
        source_group(&source, block, group);
        for (int t = 0; t < block->weights->tiles_per_group; t++) {
            (void)NEXT_FLOATS(&source, panel);
            panel += __builtin_popcount(source.present) * CHUNK_CODES;
        }
    }
}

static int compiled_width(int tokens) {
#define WIDTH_AT_LEAST(w)                                                                                              \
    if (tokens <= w)                                                                                                   \
        return w;
    F32_WIDTHS(WIDTH_AT_LEAST)
    return F32_BLOCK;
}

// Tokens [token0, token0 + tokens), tokens ≤ LINEAR_PASS.
static void run_pass(const struct linear_call *call, int token0, int tokens) {
    const struct packed_matrix *weights = call->weights;
    const struct linear_scratch scratch = linear_scratch(call);
    const int count = (tokens + F32_BLOCK - 1) / F32_BLOCK;
    struct linear_block blocks[LINEAR_PASS / F32_BLOCK];
    for (int b = 0; b < count; b++) {
        const int first = b * F32_BLOCK, here = linear_minimum(tokens - first, F32_BLOCK);
        const float *x = call->x + (size_t)(token0 + first) * call->x_stride;
        float *interleaved = scratch.x + (size_t)first * (size_t)weights->columns;
        const int width = compiled_width(here);
        if (width > 1)
            interleave(interleaved, x, call->x_stride, here, width, weights->columns);
        blocks[b] = (struct linear_block){.weights = weights,
                                          .width = width,
                                          .x = width > 1 ? interleaved : x,
                                          .y_stride = call->y_stride,
                                          .tokens = here};
    }
    for (int panel = linear_panel_begin(call); panel < linear_panel_end(call); panel++) {
        for (int b = 0; b < count; b++) {
            struct linear_block *block = &blocks[b];
            block->panel = packed_panel(weights, panel);
            block->rows = linear_panel_rows(call, panel);
            block->y = call->y + (size_t)(token0 + b * F32_BLOCK) * call->y_stride + (size_t)panel * PACKED_PANEL_ROWS;
            if (!IN_PLACE && b == 0)
                expand(block, (float *)(void *)scratch.panel);
            from_expanded(block, IN_PLACE ? NULL : (const float *)(const void *)scratch.panel);
        }
    }
}

static void many_linear(const struct linear_call *call) {
    for (int token0 = 0; token0 < call->m; token0 += LINEAR_PASS)
        run_pass(call, token0, linear_minimum(call->m - token0, LINEAR_PASS));
}
