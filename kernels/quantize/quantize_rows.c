// SPDX-License-Identifier: MIT
#include "kernels/kernel.h"
#include "kernels/pack/packed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void *allocate(size_t bytes) { return aligned_alloc(64, (bytes + 127) / 64 * 64); }

int quantized_rows_create(int rows, int columns, int group, struct quantized_rows *out) {
    const int width = group > 0 ? group : columns;
    if (rows < 1 || columns < 1 || width % TILE_COLUMNS != 0 || columns % width != 0)
        return -EINVAL;
    const size_t count = (size_t)rows * (size_t)columns, scales = count / (size_t)width;
    *out = (struct quantized_rows){
        .rows = rows,
        .columns = columns,
        .groups = columns / width,
        .codes = allocate(count),
        .scales = allocate(scales * sizeof(float)),
        .sums = allocate(count / TILE_COLUMNS * sizeof(int32_t)),
    };
    if (out->codes == NULL || out->scales == NULL || out->sums == NULL) {
        quantized_rows_free(out);
        return -ENOMEM;
    }
    return 0;
}

void quantized_rows_free(struct quantized_rows *rows) {
    free(rows->codes);
    free(rows->scales);
    free(rows->sums);
    *rows = (struct quantized_rows){0};
}
