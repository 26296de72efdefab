// SPDX-License-Identifier: MIT
#include "kernels/pack/pack_panel.h"

#include "kernels/pack/float16.h"
#include "kernels/pack/pack_rows.h"
#include "kernels/pack/weight_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

float weight_scale_round(int bits, float scale) {
    return bits == 16 ? scale : float16_to_float(float_to_float16(scale));
}

static void place_sections(struct packed_matrix *packed) {
    const struct weight_format *format = &packed->format;
    const size_t scales = format->type == WEIGHT_QUANTIZED ? (size_t)packed->groups * PACKED_PANEL_ROWS : 0;
    packed->zeros_at = align64(scales * (format->bits == 16 ? sizeof(float) : sizeof(uint16_t)));
    packed->masks_at = packed->zeros_at + (format->asymmetric ? align64(scales) : 0);
    packed->values_at = packed->masks_at + align64((size_t)packed->tiles * (size_t)packed_mask_bytes(format));
}

static int check_quantized(const struct panel_origin *origin) {
    const struct weight_format *format = origin->format;
    const struct quantized_matrix *quantized = origin->quantized;
    if (format->type != WEIGHT_QUANTIZED)
        return origin->weights != NULL ? 0 : -EINVAL;
    if (quantized == NULL || quantized->rows != origin->rows || quantized->columns != origin->columns ||
        quantized->bits != format->bits || quantized->group != format->group ||
        (quantized->zero_points != NULL) != format->asymmetric)
        return -EINVAL;
    const int highest = format->asymmetric ? (1 << format->bits) - 1 : (1 << (format->bits - 1)) - 1;
    const int lowest = format->asymmetric ? 0 : -highest;
    const size_t columns = (size_t)origin->columns, groups = (size_t)origin->groups;
    int wrong = 0;
#pragma omp parallel for schedule(static) reduction(| : wrong) if (origin->rows > 2 * PACKED_PANEL_ROWS)
    for (int row = 0; row < origin->rows; row++) {
        const int16_t *codes = quantized->codes + (size_t)row * columns;
        for (size_t i = 0; i < columns; i++)
            wrong |= (codes[i] < lowest) | (codes[i] > highest);
        for (size_t i = (size_t)row * groups; i < (size_t)(row + 1) * groups; i++) {
            // Not equal also catches a NaN.
            wrong |= !(weight_scale_round(format->bits, quantized->scales[i]) == quantized->scales[i]);
            wrong |= format->asymmetric && quantized->zero_points[i] > highest;
        }
    }
    return wrong ? -EINVAL : 0;
}

// Finds the size of each panel, and counts. By static shares of the panels, as the threads that read them have it.
static int measure(const struct panel_origin *shared, struct packed_matrix *packed) {
    size_t present = 0, zero = 0;
    int no_memory = 0, wrong = 0;
#pragma omp parallel reduction(+ : present, zero) reduction(| : no_memory, wrong) if (packed->panels > 1)
    {
        struct panel_origin origin = *shared;
        origin.present = malloc((size_t)origin.columns * sizeof(*origin.present));
        no_memory = origin.present == NULL;
        if (!no_memory)
            memset(origin.present, 0xff, (size_t)origin.columns * sizeof(*origin.present));
#pragma omp for schedule(static)
        for (int index = 0; index < packed->panels; index++) {
            if (no_memory)
                continue;
            const int row0 = index * PACKED_PANEL_ROWS;
            if (origin.format->store != STORE_DENSE)
                panel_find_present(&origin, row0);
            wrong |= origin.format->store == STORE_N_OF_M && !panel_has_n_of_m(&origin, row0);
            packed->offsets[index] = panel_write(&origin, packed, row0, NULL);
            panel_count(&origin, row0, &present, &zero);
        }
        free(origin.present);
    }
    packed->present = present;
    packed->zero = zero;
    return no_memory ? -ENOMEM : wrong ? -EINVAL : 0;
}

// The bytes of a panel, the last one's with those that vector loads may read past it.
static size_t panel_span(const struct packed_matrix *packed, int index) {
    return (index + 1 < packed->panels ? packed->offsets[index + 1] : packed->bytes) - packed->offsets[index];
}

// Every panel is touched first by the thread that will read it.
static int write_panels(const struct panel_origin *shared, struct packed_matrix *packed) {
    int no_memory = 0;
#pragma omp parallel reduction(| : no_memory) if (packed->panels > 1)
    {
        struct panel_origin origin = *shared;
        origin.present = malloc((size_t)origin.columns * sizeof(*origin.present));
        no_memory = origin.present == NULL;
#pragma omp for schedule(static)
        for (int index = 0; index < packed->panels; index++) {
            if (no_memory)
                continue;
            const size_t begin = packed->offsets[index];
            memset(packed->data + begin, 0, panel_span(packed, index));
            if (origin.format->store != STORE_DENSE)
                panel_find_present(&origin, index * PACKED_PANEL_ROWS);
            panel_write(&origin, packed, index * PACKED_PANEL_ROWS, packed->data + begin);
        }
        free(origin.present);
    }
    return no_memory ? -ENOMEM : 0;
}

static int fill(const struct panel_origin *origin, struct packed_matrix *packed) {
    packed->offsets = calloc((size_t)packed->panels, sizeof(*packed->offsets));
    if (packed->offsets == NULL)
        return -ENOMEM;
    const int status = measure(origin, packed);
    if (status != 0)
        return status;
    size_t offset = 0;
    for (int index = 0; index < packed->panels; index++) {
        const size_t size = packed->offsets[index];
        packed->offsets[index] = offset;
        offset += size;
    }
    packed->bytes = offset + 64;
    packed->data = weight_memory_reserve(packed->bytes);
    return packed->data != NULL ? write_panels(origin, packed) : -ENOMEM;
}

static struct packed_matrix *empty(const struct weight_format *format, int rows, int columns) {
    const int group = format->group > 0 ? format->group : columns;
    struct packed_matrix *packed = calloc(1, sizeof(*packed));
    if (packed == NULL)
        return NULL;
    packed->format = *format;
    packed->rows = rows;
    packed->columns = columns;
    packed->panels = (rows + PACKED_PANEL_ROWS - 1) / PACKED_PANEL_ROWS;
    packed->tiles = columns / TILE_COLUMNS;
    packed->groups = columns / group;
    packed->tiles_per_group = group / TILE_COLUMNS;
    place_sections(packed);
    return packed;
}

static struct panel_origin origin_of(const struct packed_matrix *packed, const float *weights, const struct quantized_matrix *quantized,
                               const uint8_t *mask) {
    return (struct panel_origin){.format = &packed->format,
                           .rows = packed->rows,
                           .columns = packed->columns,
                           .group = packed->columns / packed->groups,
                           .groups = packed->groups,
                           .weights = weights,
                           .quantized = quantized,
                           .mask = mask};
}

int packed_create(const struct weight_format *format, int rows, int columns, const float *weights,
                  const struct quantized_matrix *quantized, const uint8_t *mask, struct packed_matrix **out) {
    char reason[160];
    if (packed_check_shape(format, rows, columns, reason, sizeof(reason)) != 0)
        return -EINVAL;
    struct packed_matrix *packed = empty(format, rows, columns);
    if (packed == NULL)
        return -ENOMEM;
    const struct panel_origin origin = origin_of(packed, weights, quantized, mask);
    int status = check_quantized(&origin);
    if (status == 0)
        status = fill(&origin, packed);
    if (status == 0)
        *out = packed;
    else
        packed_free(packed);
    return status;
}

int packed_begin(const struct weight_format *format, int rows, int columns, struct packed_matrix **out) {
    char reason[160];
    if (format->store != STORE_DENSE || packed_check_shape(format, rows, columns, reason, sizeof(reason)) != 0)
        return -EINVAL;
    struct packed_matrix *packed = empty(format, rows, columns);
    if (packed == NULL)
        return -ENOMEM;
    const struct panel_origin origin = origin_of(packed, NULL, NULL, NULL);
    const size_t size = panel_write(&origin, packed, 0, NULL); // of every panel
    packed->bytes = size * (size_t)packed->panels + 64;
    packed->offsets = calloc((size_t)packed->panels, sizeof(*packed->offsets));
    packed->data = weight_memory_reserve(packed->bytes);
    if (packed->offsets == NULL || packed->data == NULL) {
        packed_free(packed);
        return -ENOMEM;
    }
    // by the shares of write_panels, which sees only some rows at a time here: whoever fills a panel, its reader has touched it first
#pragma omp parallel for schedule(static) if (packed->panels > 1)
    for (int index = 0; index < packed->panels; index++) {
        packed->offsets[index] = size * (size_t)index;
        memset(packed->data + packed->offsets[index], 0, size);
    }
    *out = packed;
    return 0;
}

int packed_put_rows(struct packed_matrix *packed, int first, int count, const float *weights, const struct quantized_matrix *quantized) {
    // these rows as a matrix of their own, whose panels lie where they belong
    struct packed_matrix part = *packed;
    part.rows = count;
    part.panels = (count + PACKED_PANEL_ROWS - 1) / PACKED_PANEL_ROWS;
    part.offsets = packed->offsets + first / PACKED_PANEL_ROWS;
    if (first + count < packed->rows)
        part.bytes = part.offsets[part.panels];
    struct panel_origin origin = origin_of(&part, weights, quantized, NULL);
    int status = check_quantized(&origin);
    if (status == 0)
        status = write_panels(&origin, &part);
    if (status != 0)
        return status;
    origin.present = malloc((size_t)part.columns * sizeof(*origin.present));
    if (origin.present == NULL)
        return -ENOMEM;
    memset(origin.present, 0xff, (size_t)part.columns * sizeof(*origin.present)); // a dense store has all
    for (int row = 0; row < count; row += PACKED_PANEL_ROWS)
        panel_count(&origin, row, &packed->present, &packed->zero);
    free(origin.present);
    return 0;
}

// Each panel by the thread that write_panels() has write it.
static uint8_t *duplicate_panels(const struct packed_matrix *packed) {
    uint8_t *copy = weight_memory_reserve(packed->bytes);
    if (copy == NULL)
        return NULL;
#pragma omp parallel for schedule(static) if (packed->panels > 1)
    for (int index = 0; index < packed->panels; index++) {
        const size_t begin = packed->offsets[index];
        memcpy(copy + begin, packed->data + begin, panel_span(packed, index));
    }
    return copy;
}

int packed_copy(const struct packed_matrix *packed, struct packed_matrix **out) {
    struct packed_matrix *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        return -ENOMEM;
    *copy = *packed;
    copy->data = packed->data != NULL ? duplicate_panels(packed) : NULL;
    const size_t offsets = (size_t)packed->panels * sizeof(*packed->offsets);
    copy->offsets = packed->offsets != NULL ? malloc(offsets) : NULL;
    copy->row_major = packed->row_major != NULL ? weight_memory_reserve(packed->bytes) : NULL;
    if (copy->offsets != NULL)
        memcpy(copy->offsets, packed->offsets, offsets);
    if (copy->row_major != NULL)
        memcpy(copy->row_major, packed->row_major, packed->bytes);
    if ((copy->data == NULL) != (packed->data == NULL) || (copy->offsets == NULL) != (packed->offsets == NULL) ||
        (copy->row_major == NULL) != (packed->row_major == NULL)) {
        packed_free(copy);
        return -ENOMEM;
    }
    *out = copy;
    return 0;
}

void packed_free(struct packed_matrix *packed) {
    if (packed == NULL)
        return;
    weight_memory_release(packed->data);
    free(packed->offsets);
    weight_memory_release(packed->row_major);
    free(packed);
}

size_t packed_bytes(const struct packed_matrix *packed) {
    return packed->bytes + (packed->offsets != NULL ? (size_t)packed->panels * sizeof(*packed->offsets) : 0);
}

const struct weight_format *packed_format(const struct packed_matrix *packed) { return &packed->format; }

int packed_rows(const struct packed_matrix *packed) { return packed->rows; }

int packed_columns(const struct packed_matrix *packed) { return packed->columns; }

double packed_sparsity(const struct packed_matrix *packed) {
    const double all = (double)packed->rows * (double)packed->columns;
    return (all - (double)packed->present + (double)packed->zero) / all;
}

size_t packed_present(const struct packed_matrix *packed) { return packed->present; }
