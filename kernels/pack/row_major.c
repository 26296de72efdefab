// SPDX-License-Identifier: MIT
// The layout that the libraries read.
#include "kernels/pack/packed.h"

#include "kernels/pack/float16.h"
#include "kernels/pack/weight_memory.h"

#include <errno.h>
#include <stdlib.h>

static size_t count_weights(const struct packed_matrix *packed) { return (size_t)packed->rows * (size_t)packed->columns; }

const float *packed_row_scales(const struct packed_matrix *packed) {
    return (const float *)(const void *)((const uint8_t *)packed->row_major + align64(count_weights(packed)));
}

static void write_codes(const struct packed_matrix *packed, int8_t *codes, float *scales) {
    for (int index = 0; index < packed->panels; index++) {
        struct panel_reader reader;
        panel_open(&reader, packed, index);
        const int row0 = index * PACKED_PANEL_ROWS;
        const int rows = packed->rows - row0 < PACKED_PANEL_ROWS ? packed->rows - row0 : PACKED_PANEL_ROWS;
        for (int tile = 0; tile < packed->tiles; tile++) {
            int16_t read[TILE_COLUMNS][PACKED_PANEL_ROWS];
            panel_next_codes(&reader, read);
            for (int row = 0; row < rows; row++) {
                scales[row0 + row] = panel_scale(&reader, row); // the same for all tiles
                int8_t *out = codes + (size_t)(row0 + row) * (size_t)packed->columns + (size_t)tile * TILE_COLUMNS;
                for (int column = 0; column < TILE_COLUMNS; column++)
                    out[column] = (int8_t)read[column][row];
            }
        }
    }
}

static int to_row_major(struct packed_matrix *packed) {
    const size_t count = count_weights(packed);
    const bool codes = packed->format.type == WEIGHT_QUANTIZED, halves = packed->format.type == WEIGHT_BF16;
    const size_t bytes = codes    ? align64(count) + (size_t)packed->rows * sizeof(float)
                         : halves ? count * sizeof(uint16_t)
                                  : count * sizeof(float);
    void *row_major = weight_memory_reserve(bytes);
    float *weights = halves ? malloc(count * sizeof(float)) : row_major;
    if (row_major == NULL || weights == NULL) {
        weight_memory_release(row_major);
        return -ENOMEM;
    }
    if (codes)
        write_codes(packed, row_major, (float *)(void *)((uint8_t *)row_major + align64(count)));
    else
        packed_unpack(packed, weights);
    if (halves) {
        for (size_t i = 0; i < count; i++)
            ((uint16_t *)row_major)[i] = float_to_bfloat16(weights[i]);
        free(weights);
    }
    weight_memory_release(packed->data);
    free(packed->offsets);
    packed->data = NULL;
    packed->offsets = NULL;
    packed->row_major = row_major;
    packed->bytes = bytes;
    return 0;
}

static int create_panels(const struct packed_matrix *packed, struct packed_matrix **panels) {
    const size_t count = count_weights(packed);
    int status = -ENOMEM;
    if (packed->format.type == WEIGHT_QUANTIZED) {
        struct quantized_matrix quantized = {.rows = packed->rows,
                                             .columns = packed->columns,
                                             .bits = packed->format.bits,
                                             .codes = malloc(count * sizeof(*quantized.codes)),
                                             .scales = malloc((size_t)packed->rows * sizeof(*quantized.scales))};
        for (size_t i = 0; quantized.codes != NULL && i < count; i++)
            quantized.codes[i] = ((const int8_t *)packed->row_major)[i];
        for (int row = 0; quantized.scales != NULL && row < packed->rows; row++)
            quantized.scales[row] = packed_row_scales(packed)[row];
        if (quantized.codes != NULL && quantized.scales != NULL)
            status = packed_create(&packed->format, packed->rows, packed->columns, NULL, &quantized, NULL, panels);
        free(quantized.codes);
        free(quantized.scales);
        return status;
    }
    float *weights = malloc(count * sizeof(*weights));
    if (weights == NULL)
        return -ENOMEM;
    packed_unpack(packed, weights);
    status = packed_create(&packed->format, packed->rows, packed->columns, weights, NULL, NULL, panels);
    free(weights);
    return status;
}

static int to_panels(struct packed_matrix *packed) {
    struct packed_matrix *panels;
    const int status = create_panels(packed, &panels);
    if (status != 0)
        return status;
    weight_memory_release(packed->row_major);
    *packed = *panels;
    free(panels);
    return 0;
}

int packed_prepare(struct packed_matrix *packed, enum provider provider) {
    const bool panels = provider == PROVIDER_OWN;
    const struct weight_format *format = &packed->format;
    if (panels == (packed->row_major == NULL))
        return 0;
    if (format->store != STORE_DENSE ||
        (format->type == WEIGHT_QUANTIZED && (format->bits != 8 || format->group != 0 || format->asymmetric)))
        return -EINVAL;
    return panels ? to_panels(packed) : to_row_major(packed);
}
