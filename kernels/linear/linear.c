// SPDX-License-Identifier: MIT
#include "kernels/linear/linear.h"

size_t linear_scratch_bytes(int n, int k, int m) {
    (void)n;
    (void)m;
    const size_t columns = (size_t)k;
    return 2 * LINEAR_PASS * PACKED_PANEL_ROWS * sizeof(float)            // totals
           + PACKED_PANEL_ROWS * sizeof(float) * columns                  // panel
           + LINEAR_PASS * sizeof(float) * columns                        // x
           + LINEAR_PASS * sizeof(int32_t) * (columns / TILE_COLUMNS + 1) // sums
           + 64;
}
