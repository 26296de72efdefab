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

// Returns where the section of values begins.
static size_t place_sections(struct packed_matrix *packed) {
    const struct weight_format *format = &packed->format;
    const size_t panels = (size_t)packed->panels;
    const size_t scales = format->type == WEIGHT_QUANTIZED ? (size_t)packed->groups * PACKED_PANEL_ROWS : 0;
    const bool whole = packed->whole_tiles;
    packed->scale_bytes = whole || packed->scales_among ? 0 : align64(scales / PACKED_PANEL_ROWS * packed->group_scales);
    packed->zero_bytes = format->asymmetric ? align64(scales) : 0;
    packed->mask_bytes = whole ? 0 : align64((size_t)packed->tiles * (size_t)packed_mask_bytes(format));
    packed->zeros_at = panels * packed->scale_bytes;
    packed->masks_at = packed->zeros_at + panels * packed->zero_bytes;
    return packed->masks_at + panels * packed->mask_bytes;
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

// Finds the size of each panel's values, which `offsets` then has at the next panel's place, and counts. By static shares of the panels, as the threads that read them have it.
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
            packed->offsets[index + 1] = panel_write(&origin, packed, row0, NULL);
            panel_count(&origin, row0, &present, &zero);
        }
        free(origin.present);
    }
    packed->present = present;
    packed->zero = zero;
    return no_memory ? -ENOMEM : wrong ? -EINVAL : 0;
}

// The parts of panel `index`: where they are in `data`, and how long, the last panel's values with what vector loads may read past them.
struct panel_parts {
    size_t begin[4], bytes[4];
};
static struct panel_parts panel_parts(const struct packed_matrix *packed, int index) {
    const size_t panel = (size_t)index, end = index + 1 < packed->panels ? packed->offsets[index + 1] : packed->bytes;
    return (struct panel_parts){
        {panel * packed->scale_bytes, packed->zeros_at + panel * packed->zero_bytes, packed->masks_at + panel * packed->mask_bytes,
         packed->offsets[index]},
        {packed->scale_bytes, packed->zero_bytes, packed->mask_bytes, end - packed->offsets[index]},
    };
}

static struct panel_target clear_panel(const struct packed_matrix *packed, int index) {
    const struct panel_parts parts = panel_parts(packed, index);
    uint8_t *at[4];
    for (int part = 0; part < 4; part++) {
        at[part] = packed->data + parts.begin[part];
        memset(at[part], 0, parts.bytes[part]);
    }
    return (struct panel_target){packed->scales_among ? at[3] : at[0], at[1], at[2], at[3]};
}

// Writes the origin's rows as panels from `first` on. Every panel is touched first by the thread that will read it.
static int write_panels(const struct panel_origin *shared, struct packed_matrix *packed, int first) {
    const int panels = (shared->rows + PACKED_PANEL_ROWS - 1) / PACKED_PANEL_ROWS;
    int no_memory = 0;
#pragma omp parallel reduction(| : no_memory) if (panels > 1)
    {
        struct panel_origin origin = *shared;
        origin.present = malloc((size_t)origin.columns * sizeof(*origin.present));
        no_memory = origin.present == NULL;
#pragma omp for schedule(static)
        for (int index = 0; index < panels; index++) {
            if (no_memory)
                continue;
            const struct panel_target target = clear_panel(packed, first + index);
            if (origin.format->store != STORE_DENSE)
                panel_find_present(&origin, index * PACKED_PANEL_ROWS);
            panel_write(&origin, packed, index * PACKED_PANEL_ROWS, &target);
        }
        free(origin.present);
    }
    return no_memory ? -ENOMEM : 0;
}

static int fill(const struct panel_origin *origin, struct packed_matrix *packed) {
    const int status = measure(origin, packed);
    if (status != 0)
        return status;
    packed->offsets[0] = place_sections(packed);
    for (int index = 0; index < packed->panels; index++)
        packed->offsets[index + 1] += packed->offsets[index];
    packed->bytes = packed->offsets[packed->panels] + 64;
    packed->data = weight_memory_reserve(packed->bytes);
    return packed->data != NULL ? write_panels(origin, packed, 0) : -ENOMEM;
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
    packed->scales_among = scales_among_values(weight_store(format), format->bits, packed->tiles_per_group);
    packed->whole_tiles = tiles_whole(weight_store(format), format->bits, packed->tiles_per_group);
    packed->group_scales = PACKED_PANEL_ROWS * (format->bits == 16 ? sizeof(float) : sizeof(uint16_t));
    packed->pair_scales = packed->scales_among ? AMONG_BYTES + 2 * (size_t)(CHUNK_CODES * format->bits) : 2 * packed->group_scales;
    packed->offsets = calloc((size_t)packed->panels + 1, sizeof(*packed->offsets));
    if (packed->offsets == NULL) {
        free(packed);
        return NULL;
    }
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
    const size_t size = panel_write(&origin, packed, 0, NULL); // of every panel's values
    packed->offsets[0] = place_sections(packed);
    for (int index = 0; index < packed->panels; index++)
        packed->offsets[index + 1] = packed->offsets[index] + size;
    packed->bytes = packed->offsets[packed->panels] + 64;
    packed->data = weight_memory_reserve(packed->bytes);
    if (packed->data == NULL) {
        packed_free(packed);
        return -ENOMEM;
    }
    // by the shares of write_panels, which sees only some rows at a time here: whoever fills a panel, its reader has touched it first
#pragma omp parallel for schedule(static) if (packed->panels > 1)
    for (int index = 0; index < packed->panels; index++)
        clear_panel(packed, index);
    *out = packed;
    return 0;
}

int packed_put_rows(struct packed_matrix *packed, int first, int count, const float *weights, const struct quantized_matrix *quantized) {
    struct panel_origin origin = origin_of(packed, weights, quantized, NULL);
    origin.rows = count;
    int status = check_quantized(&origin);
    if (status == 0)
        status = write_panels(&origin, packed, first / PACKED_PANEL_ROWS);
    if (status != 0)
        return status;
    origin.present = malloc((size_t)packed->columns * sizeof(*origin.present));
    if (origin.present == NULL)
        return -ENOMEM;
    memset(origin.present, 0xff, (size_t)packed->columns * sizeof(*origin.present)); // a dense store has all
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
        const struct panel_parts parts = panel_parts(packed, index);
        for (int part = 0; part < 4; part++)
            memcpy(copy + parts.begin[part], packed->data + parts.begin[part], parts.bytes[part]);
    }
    return copy;
}

int packed_copy(const struct packed_matrix *packed, struct packed_matrix **out) {
    struct packed_matrix *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        return -ENOMEM;
    *copy = *packed;
    copy->data = packed->data != NULL ? duplicate_panels(packed) : NULL;
    const size_t offsets = ((size_t)packed->panels + 1) * sizeof(*packed->offsets);
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
    return packed->bytes + (packed->offsets != NULL ? ((size_t)packed->panels + 1) * sizeof(*packed->offsets) : 0);
}

const struct weight_format *packed_format(const struct packed_matrix *packed) { return &packed->format; }

int packed_rows(const struct packed_matrix *packed) { return packed->rows; }

int packed_columns(const struct packed_matrix *packed) { return packed->columns; }

double packed_sparsity(const struct packed_matrix *packed) {
    const double all = (double)packed->rows * (double)packed->columns;
    return (all - (double)packed->present + (double)packed->zero) / all;
}

size_t packed_present(const struct packed_matrix *packed) { return packed->present; }
