// SPDX-License-Identifier: MIT
#include "kernels/linear/linear.h"

static size_t few_bytes(int k) {
    const size_t columns = (size_t)k;
    return 2 * LINEAR_PASS * PACKED_PANEL_ROWS * sizeof(float)            // totals
           + PACKED_PANEL_ROWS * sizeof(float) * columns                  // panel
           + LINEAR_PASS * sizeof(float) * columns                        // x
           + LINEAR_PASS * sizeof(int32_t) * (columns / TILE_COLUMNS + 1) // sums
           + 64;
}

static size_t many_bytes(int k, int m) {
    const size_t q8 = (size_t)linear_minimum(m, Q8_MANY_PASS), f32 = (size_t)linear_minimum(m, F32_MANY_PASS);
    const size_t columns = (size_t)k, q8_bytes = q8 * (columns + columns / TILE_COLUMNS * sizeof(int32_t));
    const size_t x_bytes = f32 * columns * sizeof(float);
    return LINEAR_PART + q8 * LINEAR_BAND * PACKED_PANEL_ROWS * sizeof(float) +
           (q8_bytes > x_bytes ? q8_bytes : x_bytes);
}

size_t linear_scratch_bytes(int n, int k, int m) {
    (void)n;
    return few_bytes(k) > many_bytes(k, m) ? few_bytes(k) : many_bytes(k, m);
}
