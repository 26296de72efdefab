// SPDX-License-Identifier: MIT
// f32 activations, more than F32_DIRECT tokens, block store: a panel's present chunks are expanded once to f32, in
// second-level cache, and all blocks of tokens run over them, skipping the absent.

// A block against a panel in f32: expanded, or stored so. From the f32 kernel of the store.
#define EXPANDED_NAME(store) F32_SUFFIX(linear_f32_expanded_##store)
void EXPANDED_NAME(block)(const struct linear_block *block, const float *panel);

#if IN_PLACE
#define EXPANDED_CASE(w)                                                                                               \
    case w:                                                                                                            \
        if (quantized)                                                                                                 \
            tokens_body(w, true, true, block, panel);                                                                  \
        else                                                                                                           \
            tokens_body(w, false, true, block, panel);                                                                 \
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
