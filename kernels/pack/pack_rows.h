// SPDX-License-Identifier: MIT
// A matrix packed some rows at a time, so that its weights need never be in memory whole beside the packed ones. Dense stores only: the
// others' panels are as long as what is in them.
#ifndef LLMSWEEP_PACK_ROWS_H
#define LLMSWEEP_PACK_ROWS_H

#include "kernels/kernel.h"

// An empty (rows, columns) matrix. -ENOMEM; -EINVAL for a shape that does not fit the format or a store that is not dense.
int packed_begin(const struct weight_format *format, int rows, int columns, struct packed_matrix **packed);
// Packs rows [first, first + count), each exactly once; first is a multiple of PACKED_PANEL_ROWS, and so is count but for the last rows.
// weights (count, columns), or for a quantized format `quantized` of that shape. Errors as packed_create's.
int packed_put_rows(struct packed_matrix *packed, int first, int count, const float *weights, const struct quantized_matrix *quantized);

#endif
