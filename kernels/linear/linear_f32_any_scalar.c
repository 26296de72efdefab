// SPDX-License-Identifier: MIT
// y = x·Wᵀ for every weight format: a panel's tiles are unpacked to f32 one by one, for all tokens of a pass at once.
#include "kernels/linear/linear.h"
#include "kernels/pack/float16.h"

#include <string.h>

static void read_tile(struct panel_reader *reader, float values[TILE_COLUMNS][PACKED_PANEL_ROWS]) {
    if (reader->packed->format.type != WEIGHT_QUANTIZED) {
        panel_next_floats(reader, values);
        return;
    }
    int16_t codes[TILE_COLUMNS][PACKED_PANEL_ROWS];
    float scales[PACKED_PANEL_ROWS];
    panel_next_codes(reader, codes);
    for (int row = 0; row < PACKED_PANEL_ROWS; row++)
        scales[row] = panel_scale(reader, row);
    for (int column = 0; column < TILE_COLUMNS; column++) {
        for (int row = 0; row < PACKED_PANEL_ROWS; row++)
            values[column][row] = (float)codes[column][row] * scales[row];
    }
}

// Tokens [token0, token0 + tokens) of one panel.
static void run_panel(const struct linear_call *call, int panel, int token0, int tokens) {
    const struct packed_matrix *weights = call->weights;
    const bool rounded = call->activation == ACTIVATION_BF16;
    float(*totals)[PACKED_PANEL_ROWS] = (float(*)[PACKED_PANEL_ROWS])(void *)linear_scratch(call).totals;
    memset(totals, 0, (size_t)tokens * sizeof(totals[0]));
    struct panel_reader reader;
    panel_open(&reader, weights, panel);
    for (int tile = 0; tile < weights->tiles; tile++) {
        float values[TILE_COLUMNS][PACKED_PANEL_ROWS];
        read_tile(&reader, values);
        for (int i = 0; i < tokens; i++) {
            const float *x = call->x + (size_t)(token0 + i) * call->x_stride + (size_t)tile * TILE_COLUMNS;
            float sums[PACKED_PANEL_ROWS] = {0}; // of the tile: sums of sums round less
            for (int column = 0; column < TILE_COLUMNS; column++) {
                const float value = rounded ? bfloat16_to_float(float_to_bfloat16(x[column])) : x[column];
                for (int row = 0; row < PACKED_PANEL_ROWS; row++)
                    sums[row] += value * values[column][row];
            }
            for (int row = 0; row < PACKED_PANEL_ROWS; row++)
                totals[i][row] += sums[row];
        }
    }
    const size_t bytes = (size_t)linear_panel_rows(call, panel) * sizeof(float);
    for (int i = 0; i < tokens; i++)
        memcpy(call->y + (size_t)(token0 + i) * call->y_stride + (size_t)panel * PACKED_PANEL_ROWS, totals[i], bytes);
}

static void linear(const struct linear_call *call) {
    for (int token0 = 0; token0 < call->m; token0 += LINEAR_PASS) {
        for (int panel = linear_panel_begin(call); panel < linear_panel_end(call); panel++)
            run_panel(call, panel, token0, linear_minimum(call->m - token0, LINEAR_PASS));
    }
}

const struct kernel linear_f32_any_scalar = {
    .name = "linear_f32_any_scalar",
    .op = OP_LINEAR,
    .isa = ISA_SCALAR,
    .activation = ACTIVATION_F32,
    .any_store = true,
    .layout = "any: unpacks one weight at a time; bound by that",
    .function = (void (*)(void))linear,
};
