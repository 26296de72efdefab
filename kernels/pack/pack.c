// SPDX-License-Identifier: MIT
#include "kernels/pack/packed.h"

#include "kernels/pack/float16.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// What packed_create() was given, in one hand.
struct origin {
    const struct weight_format *format;
    int rows, columns, groups, group;
    const float *weights;
    const struct quantized_matrix *quantized;
    const uint8_t *mask;
    uint16_t *present; // (columns) of the panel at hand: bit = row
};

float weight_scale_round(int bits, float scale) {
    return bits == 16 ? scale : float16_to_float(float_to_float16(scale));
}

static size_t align64(size_t bytes) { return (bytes + 63) / 64 * 64; }

static size_t element(const struct origin *origin, int row, int column) {
    return (size_t)row * (size_t)origin->columns + (size_t)column;
}

static int origin_zero(const struct origin *origin, int row, int column) {
    if (!origin->format->asymmetric)
        return 0;
    return origin->quantized->zero_points[(size_t)row * (size_t)origin->groups + (size_t)(column / origin->group)];
}

// Whether a weight is zero as stored.
static bool is_zero(const struct origin *origin, int row, int column) {
    if (origin->format->type == WEIGHT_QUANTIZED)
        return origin->quantized->codes[element(origin, row, column)] == origin_zero(origin, row, column);
    const float weight = origin->weights[element(origin, row, column)];
    return origin->format->type == WEIGHT_BF16 ? bfloat16_to_float(float_to_bfloat16(weight)) == 0 : weight == 0;
}

// Finds what is present in the panel that begins at row0, padding rows being absent.
static void find_present(const struct origin *origin, int row0) {
    memset(origin->present, 0, (size_t)origin->columns * sizeof(*origin->present));
    for (int row = row0; row < origin->rows && row < row0 + PACKED_PANEL_ROWS; row++) {
        const uint16_t bit = (uint16_t)(1 << (row - row0));
        const size_t first = element(origin, row, 0);
        for (int column = 0; column < origin->columns; column++) {
            bool present;
            if (origin->mask != NULL)
                present = origin->mask[first + (size_t)column] != 0;
            else if (origin->weights != NULL)
                present = origin->weights[first + (size_t)column] != 0;
            else
                present = !is_zero(origin, row, column);
            origin->present[column] |= present ? bit : 0;
        }
    }
}

// Of the panel at hand.
static bool is_present(const struct origin *origin, int row, int column) {
    return origin->present[column] >> row % PACKED_PANEL_ROWS & 1;
}

// The code as stored, unsigned. Rows of padding and what a mask leaves out of a block are the zero code.
static int stored_code(const struct origin *origin, int row, int column) {
    const int offset = origin->format->asymmetric ? 0 : symmetric_zero(origin->format->bits);
    if (row >= origin->rows)
        return offset;
    if (origin->format->store != STORE_DENSE && !is_present(origin, row, column))
        return offset + origin_zero(origin, row, column);
    return offset + origin->quantized->codes[element(origin, row, column)];
}

static float stored_float(const struct origin *origin, int row, int column) {
    if (!is_present(origin, row, column))
        return 0;
    return origin->weights[element(origin, row, column)];
}

static void put_code(uint8_t *values, int bits, int position, int code) {
    const int at = position * bits;
    values[at / 8] |= (uint8_t)(code << (at % 8));
}

static void write_dense_tile(const struct origin *origin, int row0, int column0, uint8_t *tile) {
    uint8_t codes[TILE_CHUNKS][CHUNK_CODES];
    for (int row = 0; row < PACKED_PANEL_ROWS; row++) {
        for (int column = 0; column < TILE_COLUMNS; column++)
            codes[column / CHUNK_COLUMNS][CHUNK_COLUMNS * row + column % CHUNK_COLUMNS] =
                (uint8_t)stored_code(origin, row0 + row, column0 + column);
    }
    int shift = 0;
    for (int width = 8; width > 0; width /= 2) {
        if (!(origin->format->bits & width))
            continue;
        for (int chunk = 0; chunk < TILE_CHUNKS; chunk++) {
            const int at = chunk * width;
            uint8_t *unit = tile + 64 * (at / 8);
            for (int entry = 0; entry < CHUNK_CODES; entry++)
                unit[entry] |= (uint8_t)((codes[chunk][entry] >> shift & ((1 << width) - 1)) << at % 8);
        }
        shift += width;
        tile += 64 * width;
    }
}

static bool block_present(const struct origin *origin, int column0) {
    for (int column = 0; column < CHUNK_COLUMNS; column++) {
        if (origin->present[column0 + column] != 0)
            return true;
    }
    return false;
}

// Writes a chunk of codes and returns its bytes; `mask` receives what is present. With values NULL it only counts.
static size_t write_code_chunk(const struct origin *origin, int row0, int column0, uint64_t *mask, uint8_t *values) {
    const bool block = origin->format->store == STORE_BLOCK;
    const int bits = origin->format->bits;
    *mask = block && block_present(origin, column0) ? UINT64_MAX : 0;
    for (int entry = 0; !block && entry < CHUNK_CODES; entry++)
        *mask |= (uint64_t)(origin->present[column0 + entry % CHUNK_COLUMNS] >> entry / CHUNK_COLUMNS & 1) << entry;
    int position = 0;
    for (uint64_t left = values != NULL ? *mask : 0; left != 0; left &= left - 1, position++) {
        const int entry = __builtin_ctzll(left);
        const int row = row0 + entry / CHUNK_COLUMNS, column = column0 + entry % CHUNK_COLUMNS;
        put_code(values, bits, position, stored_code(origin, row, column));
    }
    return (size_t)(__builtin_popcountll(*mask) * bits + 7) / 8;
}

static void put_float(const struct origin *origin, uint8_t *values, size_t index, float value) {
    if (origin->format->type == WEIGHT_F32) {
        memcpy(values + index * sizeof(value), &value, sizeof(value));
    } else {
        const uint16_t half = float_to_bfloat16(value);
        memcpy(values + index * sizeof(half), &half, sizeof(half));
    }
}

static void write_dense_floats(const struct origin *origin, int row0, int column0, uint8_t *values) {
    const bool pairs = origin->format->type == WEIGHT_BF16;
    for (int row = 0; row < PACKED_PANEL_ROWS && row0 + row < origin->rows; row++) {
        const float *weights = origin->weights + element(origin, row0 + row, column0);
        for (int column = 0; column < TILE_COLUMNS; column++) {
            const int pair = column / 2 * 2 * PACKED_PANEL_ROWS + row * 2 + column % 2;
            put_float(origin, values, (size_t)(pairs ? pair : column * PACKED_PANEL_ROWS + row), weights[column]);
        }
    }
}

// As write_code_chunk(), with one uint16 mask a column in `masks`.
static size_t write_float_chunk(const struct origin *origin, int row0, int column0, uint16_t masks[CHUNK_COLUMNS],
                                uint8_t *values) {
    const bool block = origin->format->store == STORE_BLOCK;
    size_t count = 0;
    memset(masks, 0, CHUNK_COLUMNS * sizeof(masks[0]));
    if (block && !block_present(origin, column0))
        return 0;
    for (int column = 0; column < CHUNK_COLUMNS; column++) {
        masks[column] = block ? UINT16_MAX : origin->present[column0 + column];
        size_t at = count;
        for (uint32_t left = values != NULL ? masks[column] : 0; left != 0; left &= left - 1, at++)
            put_float(origin, values, at, stored_float(origin, row0 + __builtin_ctz(left), column0 + column));
        count += (size_t)__builtin_popcount(masks[column]);
    }
    return count * (size_t)(origin->format->bits / 8);
}

// Writes the masks and values of one tile and returns the bytes of its values. With panel NULL it only counts.
static size_t write_tile(const struct origin *origin, const struct packed_matrix *packed, int row0, int tile,
                         uint8_t *panel, size_t position) {
    const struct weight_format *format = origin->format;
    uint8_t *values = panel != NULL ? panel + packed->values_at + position : NULL;
    const int column0 = tile * TILE_COLUMNS;
    if (format->type == WEIGHT_QUANTIZED && format->bits == 16) {
        for (int i = 0; values != NULL && i < TILE_CODES; i++) {
            const int row = row0 + i % PACKED_PANEL_ROWS, column = column0 + i / PACKED_PANEL_ROWS;
            const int16_t code = row < origin->rows ? origin->quantized->codes[element(origin, row, column)] : 0;
            memcpy(values + (size_t)i * sizeof(code), &code, sizeof(code));
        }
        return TILE_CODES * sizeof(int16_t);
    }
    if (format->type == WEIGHT_QUANTIZED && format->store == STORE_DENSE) {
        if (values != NULL)
            write_dense_tile(origin, row0, column0, values);
        return (size_t)CHUNK_CODES * (size_t)format->bits;
    }
    if (format->store == STORE_DENSE) {
        if (values != NULL)
            write_dense_floats(origin, row0, column0, values);
        return (size_t)TILE_CODES * (size_t)(format->bits / 8);
    }
    size_t bytes = 0;
    for (int chunk = 0; chunk < TILE_CHUNKS; chunk++) {
        const int column = column0 + chunk * CHUNK_COLUMNS;
        uint64_t mask; // 64 bits a chunk either way: a bit an entry, or four columns of 16 rows
        uint16_t masks[CHUNK_COLUMNS];
        uint8_t *at = values != NULL ? values + bytes : NULL;
        if (format->type == WEIGHT_QUANTIZED) {
            bytes += write_code_chunk(origin, row0, column, &mask, at);
        } else {
            bytes += write_float_chunk(origin, row0, column, masks, at);
            memcpy(&mask, masks, sizeof(mask));
        }
        if (panel == NULL)
            continue;
        if (format->store == STORE_BLOCK)
            panel[packed->masks_at + (size_t)tile] |= (uint8_t)((mask != 0) << chunk);
        else
            memcpy(panel + packed->masks_at + (size_t)(tile * TILE_CHUNKS + chunk) * sizeof(mask), &mask, sizeof(mask));
    }
    return bytes;
}

static void write_scales(const struct origin *origin, const struct packed_matrix *packed, int row0, uint8_t *panel) {
    for (int row = 0; row < PACKED_PANEL_ROWS && row0 + row < origin->rows; row++) {
        for (int group = 0; group < origin->groups; group++) {
            const size_t from = (size_t)(row0 + row) * (size_t)origin->groups + (size_t)group;
            const size_t to = (size_t)(group * PACKED_PANEL_ROWS + row);
            const float scale = origin->quantized->scales[from];
            const uint16_t half = float_to_float16(scale);
            if (origin->format->bits == 16)
                memcpy(panel + to * sizeof(scale), &scale, sizeof(scale));
            else
                memcpy(panel + to * sizeof(half), &half, sizeof(half));
            if (origin->format->asymmetric)
                panel[packed->zeros_at + to] = origin->quantized->zero_points[from];
        }
    }
}

// Counts what is stored of the panel at hand, and how much of that is zero.
static void count_panel(const struct origin *origin, int row0, struct packed_matrix *packed) {
    const bool dense = origin->format->store == STORE_DENSE, block = origin->format->store == STORE_BLOCK;
    size_t stored = 0, zero = 0;
    for (int row = row0; row < origin->rows && row < row0 + PACKED_PANEL_ROWS; row++) {
        for (int column = 0; column < origin->columns; column++) {
            const bool present = dense || is_present(origin, row, column);
            const bool kept = present || (block && block_present(origin, column / CHUNK_COLUMNS * CHUNK_COLUMNS));
            stored += kept;
            zero += kept && (!present || is_zero(origin, row, column));
        }
    }
    packed->present += stored;
    packed->zero += zero;
}

// With data NULL only the offsets, the counts and the total.
static size_t write_panels(const struct origin *origin, struct packed_matrix *packed, uint8_t *data) {
    size_t offset = 0;
    for (int index = 0; index < packed->panels; index++) {
        uint8_t *panel = data != NULL ? data + offset : NULL;
        packed->offsets[index] = offset;
        size_t position = 0;
        if (origin->format->store != STORE_DENSE)
            find_present(origin, index * PACKED_PANEL_ROWS);
        for (int tile = 0; tile < packed->tiles; tile++)
            position += write_tile(origin, packed, index * PACKED_PANEL_ROWS, tile, panel, position);
        if (panel == NULL)
            count_panel(origin, index * PACKED_PANEL_ROWS, packed);
        else if (origin->format->type == WEIGHT_QUANTIZED)
            write_scales(origin, packed, index * PACKED_PANEL_ROWS, panel);
        offset += packed->values_at + align64(position);
    }
    return offset;
}

static void place_sections(struct packed_matrix *packed) {
    const struct weight_format *format = &packed->format;
    const size_t scales = format->type == WEIGHT_QUANTIZED ? (size_t)packed->groups * PACKED_PANEL_ROWS : 0;
    packed->zeros_at = align64(scales * (format->bits == 16 ? sizeof(float) : sizeof(uint16_t)));
    packed->masks_at = packed->zeros_at + (format->asymmetric ? align64(scales) : 0);
    size_t masks = 0;
    if (format->store == STORE_BLOCK)
        masks = (size_t)packed->tiles;
    else if (format->store != STORE_DENSE)
        masks = (size_t)packed->tiles * TILE_CHUNKS * sizeof(uint64_t);
    packed->values_at = packed->masks_at + align64(masks);
}

static int check_quantized(const struct origin *origin) {
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
    const size_t count = (size_t)origin->rows * (size_t)origin->columns;
    const size_t scales = (size_t)origin->rows * (size_t)origin->groups;
    for (size_t i = 0; i < count; i++) {
        if (quantized->codes[i] < lowest || quantized->codes[i] > highest)
            return -EINVAL;
    }
    for (size_t i = 0; i < scales; i++) {
        // Not equal also catches a NaN.
        if (!(weight_scale_round(format->bits, quantized->scales[i]) == quantized->scales[i]) ||
            (format->asymmetric && quantized->zero_points[i] > highest))
            return -EINVAL;
    }
    return 0;
}

static int check_n_of_m(const struct origin *origin) {
    const struct weight_format *format = origin->format;
    if (format->store != STORE_N_OF_M)
        return 0;
    for (int row = 0; row < origin->rows; row++) {
        if (row % PACKED_PANEL_ROWS == 0)
            find_present(origin, row);
        for (int column = 0; column < origin->columns; column += format->m) {
            int absent = 0;
            for (int i = 0; i < format->m; i++)
                absent += !is_present(origin, row, column + i);
            if (absent < format->n)
                return -EINVAL;
        }
    }
    return 0;
}

static int fill(const struct origin *origin, struct packed_matrix *packed) {
    packed->offsets = calloc((size_t)packed->panels, sizeof(*packed->offsets));
    if (packed->offsets == NULL)
        return -ENOMEM;
    packed->bytes = write_panels(origin, packed, NULL) + 64;
    packed->data = aligned_alloc(64, align64(packed->bytes));
    if (packed->data == NULL)
        return -ENOMEM;
    memset(packed->data, 0, packed->bytes);
    write_panels(origin, packed, packed->data);
    return 0;
}

int packed_create(const struct weight_format *format, int rows, int columns, const float *weights,
                  const struct quantized_matrix *quantized, const uint8_t *mask, struct packed_matrix **out) {
    char reason[160];
    if (packed_check_shape(format, rows, columns, reason, sizeof(reason)) != 0)
        return -EINVAL;
    const int group = format->group > 0 ? format->group : columns;
    const struct origin origin = {.format = format,
                                  .rows = rows,
                                  .columns = columns,
                                  .group = group,
                                  .groups = columns / group,
                                  .weights = weights,
                                  .quantized = quantized,
                                  .mask = mask,
                                  .present = malloc((size_t)columns * sizeof(uint16_t))};
    struct packed_matrix *packed = calloc(1, sizeof(*packed));
    int status = packed != NULL && origin.present != NULL ? check_quantized(&origin) : -ENOMEM;
    if (status == 0)
        status = check_n_of_m(&origin);
    if (status == 0) {
        packed->format = *format;
        packed->rows = rows;
        packed->columns = columns;
        packed->panels = (rows + PACKED_PANEL_ROWS - 1) / PACKED_PANEL_ROWS;
        packed->tiles = columns / TILE_COLUMNS;
        packed->groups = origin.groups;
        packed->tiles_per_group = group / TILE_COLUMNS;
        place_sections(packed);
        status = fill(&origin, packed);
    }
    free(origin.present);
    if (status == 0)
        *out = packed;
    else
        packed_free(packed);
    return status;
}

static void *duplicate(const void *bytes, size_t size) {
    void *copy = aligned_alloc(64, align64(size));
    if (copy != NULL)
        memcpy(copy, bytes, size);
    return copy;
}

int packed_copy(const struct packed_matrix *packed, struct packed_matrix **out) {
    struct packed_matrix *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        return -ENOMEM;
    *copy = *packed;
    copy->data = packed->data != NULL ? duplicate(packed->data, packed->bytes) : NULL;
    copy->offsets =
        packed->offsets != NULL ? duplicate(packed->offsets, (size_t)packed->panels * sizeof(*packed->offsets)) : NULL;
    copy->row_major = packed->row_major != NULL ? duplicate(packed->row_major, packed->bytes) : NULL;
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
    free(packed->data);
    free(packed->offsets);
    free(packed->row_major);
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
