// SPDX-License-Identifier: MIT
// The body of every vector kernel with 8-bit activations. A kernel file defines, before it includes this:
//   NEXT_CODES(source, buffer)  the next tile's chunks of unsigned codes: in `buffer` or in place
//   BITS, STORE                 what it reads
//   IN_PLACE                    1 where NEXT_CODES never uses the buffer (8 bits): such kernels need no expansion, and every
//                               other kernel of their store borrows their body for long passes.
// Integer sums start at −zero·Σx of the group, since codes are stored unsigned; then each group's scale is applied. They are exact, so
// results do not depend on the number of tokens.
#include "kernels/linear/simd.h"

enum { BLOCKED = STORE == STORE_BLOCK };

// The sums of one group.
struct group_sums {
    vint part[Q8_BLOCK][VECTORS][4];
    vint ones[Q8_BLOCK]; // block store: Σx of the chunks that are present
};

static inline __attribute__((always_inline)) void multiply_chunk(int width, int bits, int part, const uint8_t *codes,
                                                                 const int32_t *x, struct group_sums *sums) {
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

static inline __attribute__((always_inline)) void multiply_tile(int width, int bits, const struct source *source,
                                                                const uint8_t *codes, const int32_t *x,
                                                                struct group_sums *sums) {
    if (!BLOCKED) {
#pragma GCC unroll 8
        for (int chunk = 0; chunk < TILE_CHUNKS; chunk++)
            multiply_chunk(width, bits, chunk % DOT_PARTS(width), codes + CHUNK_CODES * chunk, x + chunk * width, sums);
        return;
    }
    for (uint32_t present = source->present; present != 0; present &= present - 1) {
        multiply_chunk(width, bits, 0, codes, x + __builtin_ctz(present) * width, sums);
        codes += CHUNK_CODES;
    }
}

static inline __attribute__((always_inline)) void group_begin(int width, struct group_sums *sums) {
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

// `width` tokens and `bits`, constants. `in_place`: the panel is `expanded` to bytes, or is stored so.
static inline __attribute__((always_inline)) void
block_body(int width, int bits, bool in_place, const struct linear_block *block, const uint8_t *expanded) {
    struct source source = source_open(block, expanded);
    const int32_t *x = (const int32_t *)block->x, *x_sums = block->sums;
    _Alignas(64) uint8_t buffer[TILE_CODES];
    vfloat total[Q8_BLOCK][VECTORS];
#pragma GCC unroll 12
    for (int i = 0; i < width; i++) {
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            total[i][v] = vfloat_zero();
    }
    for (int group = 0; group < block->weights->groups; group++) {
        struct group_sums sums;
        vint zeros[VECTORS];
        group_begin(width, &sums);
        source_group(&source, block, group);
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            zeros[v] = vint_negated_zeros(source.zeros + LANES * v, bits);
        for (int t = 0; t < block->weights->tiles_per_group; t++, x += TILE_CHUNKS * width, x_sums += width) {
            const uint8_t *codes = in_place
                                       ? (BLOCKED ? next_blocks(&source, 8, buffer) : next_planes(&source, 8, buffer))
                                       : NEXT_CODES(&source, buffer);
            if (!BLOCKED) {
#pragma GCC unroll 12
                for (int i = 0; i < width; i++) {
                    const vint token = vint_broadcast(x_sums + i);
#pragma GCC unroll 2
                    for (int v = 0; v < VECTORS; v++)
                        sums.part[i][v][0] = vint_correct(sums.part[i][v][0], zeros[v], token);
                }
            }
            multiply_tile(width, bits, &source, codes, x, &sums);
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

// A block against a panel of bytes: expanded, or stored so. From the 8-bit kernel of the store.
#define EXPANDED_NAME(store) Q8_SUFFIX(linear_q8_expanded_##store)
void EXPANDED_NAME(dense)(const struct linear_block *block, const uint8_t *panel);
void EXPANDED_NAME(block)(const struct linear_block *block, const uint8_t *panel);

#if IN_PLACE
// Codes of at most 6 bits are cheaper to multiply where there is no instruction for all 8.
#define EXPANDED_CASE(w)                                                                                               \
    case w:                                                                                                            \
        if (block->weights->format.bits == 8 || ALL_BYTES_ALIKE)                                                       \
            block_body(w, 8, true, block, panel);                                                                      \
        else                                                                                                           \
            block_body(w, 6, true, block, panel);                                                                      \
        break;
static inline void expanded(const struct linear_block *block, const uint8_t *panel) {
    switch (block->width) { Q8_WIDTHS(EXPANDED_CASE) }
}
#endif

// A block against a panel as it is stored.
static void direct(const struct linear_block *block) {
#if IN_PLACE
    expanded(block, NULL);
#else
#define DIRECT_CASE(w)                                                                                                 \
    case w:                                                                                                            \
        if (w <= Q8_DIRECT)                                                                                            \
            block_body(w, BITS, false, block, NULL);                                                                   \
        break;
    switch (block->width) { Q8_WIDTHS(DIRECT_CASE) }
#endif
}

static void from_expanded(const struct linear_block *block, const uint8_t *panel) {
    if (BLOCKED)
        EXPANDED_NAME(block)(block, panel);
    else
        EXPANDED_NAME(dense)(block, panel);
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
    const size_t tiles = (size_t)weights->tiles, words = tiles * TILE_CHUNKS;
    const int count = (tokens + Q8_BLOCK - 1) / Q8_BLOCK;
    struct linear_block blocks[LINEAR_PASS / Q8_BLOCK];
    for (int b = 0; b < count; b++) {
        const int first = b * Q8_BLOCK, here = linear_minimum(tokens - first, Q8_BLOCK);
        const int8_t *codes = x->codes + (size_t)(token0 + first) * (size_t)x->columns;
        const int32_t *sums = x->sums + (size_t)(token0 + first) * tiles;
        int32_t *interleaved = (int32_t *)(void *)scratch.x + (size_t)first * words;
        int32_t *interleaved_sums = scratch.sums + (size_t)first * tiles;
        const int width = compiled_width(here);
        if (width > 1) {
            interleave(interleaved, codes, words, here, width, (int)words);
            interleave(interleaved_sums, sums, tiles, here, width, (int)tiles);
        }
        blocks[b] = (struct linear_block){.weights = weights,
                                          .width = width,
                                          .x = width > 1 ? (const void *)interleaved : codes,
                                          .sums = width > 1 ? interleaved_sums : sums,
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
            if (IN_PLACE || tokens <= Q8_DIRECT) {
                direct(block);
                continue;
            }
            if (b == 0)
                expand(block, scratch.panel);
            from_expanded(block, scratch.panel);
        }
    }
}

static void linear(const struct linear_call *call) {
    for (int token0 = 0; token0 < call->m; token0 += LINEAR_PASS)
        run_pass(call, token0, linear_minimum(call->m - token0, LINEAR_PASS));
}

#define LINEAR_Q8_KERNEL(symbol, step, bound)                                                                          \
    const struct kernel symbol = {                                                                                     \
        .name = #symbol,                                                                                               \
        .op = OP_LINEAR,                                                                                               \
        .isa = step,                                                                                                   \
        .activation = ACTIVATION_Q8,                                                                                   \
        .weight_type = WEIGHT_QUANTIZED,                                                                               \
        .bits = BITS,                                                                                                  \
        .store = STORE,                                                                                                \
        .layout = bound,                                                                                               \
        .function = (void (*)(void))linear,                                                                            \
    }
