// SPDX-License-Identifier: MIT
// y = x·Wᵀ with 8-bit activations for every quantized weight format of up to 8 bits: integer sums a group, then the group's scale.
#include "kernels/linear/linear.h"

#include <string.h>

// Tokens [token0, token0 + tokens) of one panel.
static void run_panel(const struct linear_call *call, int panel, int token0, int tokens) {
    const struct packed_matrix *weights = call->weights;
    const struct quantized_rows *x = call->x_codes;
    float(*totals)[PACKED_PANEL_ROWS] = (float(*)[PACKED_PANEL_ROWS])(void *)linear_scratch(call).totals;
    int32_t(*sums)[PACKED_PANEL_ROWS] = (int32_t(*)[PACKED_PANEL_ROWS])(void *)(totals + LINEAR_PASS);
    const bool grouped = linear_grouped(call);
    const float *x_scales = x->scales + token0 * x->groups;
    memset(totals, 0, (size_t)tokens * sizeof(totals[0]));
    struct panel_reader reader;
    panel_open(&reader, weights, panel);
    for (int group = 0; group < weights->groups; group++) {
        memset(sums, 0, (size_t)tokens * sizeof(sums[0]));
        for (int t = 0; t < weights->tiles_per_group; t++) {
            int16_t codes[TILE_COLUMNS][PACKED_PANEL_ROWS];
            const size_t column0 = (size_t)reader.tile * TILE_COLUMNS;
            panel_next_codes(&reader, codes);
            for (int i = 0; i < tokens; i++) {
                const int8_t *token = x->codes + (size_t)(token0 + i) * (size_t)x->columns + column0;
                for (int column = 0; column < TILE_COLUMNS; column++) {
                    for (int row = 0; row < PACKED_PANEL_ROWS; row++)
                        sums[i][row] += token[column] * codes[column][row];
                }
            }
        }
        for (int row = 0; row < PACKED_PANEL_ROWS; row++) {
            const float scale = panel_scale(&reader, row);
            for (int i = 0; i < tokens; i++)
                totals[i][row] += (float)sums[i][row] * (grouped ? x_scales[i * x->groups + group] : 1) * scale;
        }
    }
    for (int i = 0; i < tokens; i++) {
        float *y = call->y + (size_t)(token0 + i) * call->y_stride + (size_t)panel * PACKED_PANEL_ROWS;
        for (int row = 0; row < linear_panel_rows(call, panel); row++)
            y[row] = totals[i][row] * (grouped ? 1 : x_scales[i]);
    }
}

static void linear(const struct linear_call *call) {
    for (int token0 = 0; token0 < call->m; token0 += LINEAR_PASS) {
        for (int panel = linear_panel_begin(call); panel < linear_panel_end(call); panel++)
            run_panel(call, panel, token0, linear_minimum(call->m - token0, LINEAR_PASS));
    }
}

const struct kernel linear_q8_any_scalar = {
    .name = "linear_q8_any_scalar",
    .op = OP_LINEAR,
    .isa = ISA_SCALAR,
    .activation = ACTIVATION_Q8,
    .weight_type = WEIGHT_QUANTIZED,
    .any_store = true,
    .layout = "any: unpacks one code at a time; bound by that",
    .function = (void (*)(void))linear,
};
