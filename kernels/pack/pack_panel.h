// SPDX-License-Identifier: MIT
// One panel of a packed matrix (packed.h has its bytes): what is present in it, how it is written, what is counted of it.
#ifndef LLMSWEEP_PACK_PANEL_H
#define LLMSWEEP_PACK_PANEL_H

#include "kernels/pack/packed.h"

// What packed_create() was given, in one hand.
struct panel_origin {
    const struct weight_format *format;
    int rows, columns, groups, group;
    const float *weights;
    const struct quantized_matrix *quantized;
    const uint8_t *mask;
    uint16_t *present; // (columns) of the panel at hand: bit = row; all set for a dense store
};

// Finds what is present in the panel that begins at row0, padding rows being absent.
void panel_find_present(const struct panel_origin *origin, int row0);
// Of the panel at hand: whether at least n of each m weights are absent.
bool panel_has_n_of_m(const struct panel_origin *origin, int row0);
// Where a panel is written: zeroed memory, of sections that the format has.
struct panel_target {
    uint8_t *scales, *zeros, *masks, *values;
};
// Writes a panel, and returns the bytes of its values, a multiple of 64. With target NULL they are only counted.
size_t panel_write(const struct panel_origin *origin, const struct packed_matrix *packed, int row0, const struct panel_target *target);
// Adds what is stored of the panel at hand to *stored_total, and how much of that is zero to *zero_total.
void panel_count(const struct panel_origin *origin, int row0, size_t *stored_total, size_t *zero_total);

#endif
