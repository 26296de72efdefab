// SPDX-License-Identifier: MIT
#include "kernels/pack/packed.h"

#include "kernels/pack/float16.h"

#include <string.h>

void panel_open(struct panel_reader *reader, const struct packed_matrix *packed, int index) {
    *reader = (struct panel_reader){.packed = packed, .panel = packed_panel(packed, index)};
}

float panel_scale(const struct panel_reader *reader, int row) {
    float scale;
    uint16_t half;
    if (reader->packed->format.bits == 16) {
        memcpy(&scale, reader->scales + (size_t)row * sizeof(scale), sizeof(scale));
        return scale;
    }
    memcpy(&half, reader->scales + (size_t)row * sizeof(half), sizeof(half));
    return float16_to_float(half);
}

static int zero_code(const struct panel_reader *reader, int row) {
    if (reader->panel.zeros == NULL)
        return symmetric_zero(reader->packed->format.bits);
    const int group = reader->tile / reader->packed->tiles_per_group;
    return reader->panel.zeros[group * PACKED_PANEL_ROWS + row];
}

// The code at chunk and entry of a dense tile: the sum of its planes.
static int dense_code(const uint8_t *tile, int bits, int chunk, int entry) {
    int code = 0;
    for (int width = 8, shift = 0; width > 0; width /= 2) {
        if (!(bits & width))
            continue;
        const int at = chunk * width;
        code |= (tile[64 * (at / 8) + entry] >> (at % 8) & ((1 << width) - 1)) << shift;
        shift += width;
        tile += 64 * width;
    }
    return code;
}

// The code at a position of densely packed entries.
static int packed_code(const uint8_t *values, int bits, int position) {
    const int at = position * bits;
    return values[at / 8] >> (at % 8) & ((1 << bits) - 1);
}

// Of the tile whose masks begin at `masks`.
static uint64_t chunk_mask(const struct panel_reader *reader, const uint8_t *masks, int chunk) {
    if (reader->packed->format.store == STORE_BLOCK)
        return *masks >> chunk & 1 ? UINT64_MAX : 0;
    uint64_t mask;
    memcpy(&mask, masks + sizeof(mask) * (size_t)chunk, sizeof(mask));
    return mask;
}

// Where the next tile's masks begin in a section of their own.
static const uint8_t *section_masks(const struct panel_reader *reader) {
    return reader->panel.masks + (size_t)reader->tile * (size_t)packed_mask_bytes(&reader->packed->format);
}

// The present codes of a tile, chunk by chunk in order, and the bytes that they take.
static size_t present_codes(const uint8_t *values, int bits, const uint64_t masks[TILE_CHUNKS],
                            uint8_t codes[TILE_CHUNKS][CHUNK_CODES]) {
    const uint8_t *plane = values;
    memset(codes, 0, TILE_CODES);
    for (int width = 8, shift = 0; width > 0; width /= 2) {
        if (!(bits & width))
            continue;
        const int fields = 8 / width;
        int position[8] = {0}, longest = 0;
        for (int chunk = 0; chunk < TILE_CHUNKS; chunk++) {
            const int field = chunk % fields, count = __builtin_popcountll(masks[chunk]);
            for (int i = 0; i < count; i++)
                codes[chunk][i] |= (uint8_t)((plane[position[field] + i] >> (field * width) & ((1 << width) - 1)) << shift);
            position[field] += count;
            longest = position[field] > longest ? position[field] : longest;
        }
        plane += longest;
        shift += width;
    }
    return (size_t)(plane - values);
}

static size_t block_codes(const uint8_t *values, int bits, const uint64_t masks[TILE_CHUNKS],
                          uint8_t codes[TILE_CHUNKS][CHUNK_CODES]) {
    size_t bytes = 0;
    for (int chunk = 0; chunk < TILE_CHUNKS; chunk++) {
        if (masks[chunk] == 0)
            continue;
        for (int entry = 0; entry < CHUNK_CODES; entry++)
            codes[chunk][entry] = (uint8_t)packed_code(values + bytes, bits, entry);
        bytes += (size_t)(CHUNK_CODES / 8 * bits);
    }
    return bytes;
}

static void next_sparse_codes(struct panel_reader *reader, int16_t codes[TILE_COLUMNS][PACKED_PANEL_ROWS]) {
    const struct weight_format *format = &reader->packed->format;
    const bool whole = reader->packed->whole_tiles;
    uint64_t masks[TILE_CHUNKS];
    uint8_t present[TILE_CHUNKS][CHUNK_CODES];
    if (whole) {
        reader->scales = reader->panel.values + reader->position;
        reader->position += TILE_SCALE_BYTES + (size_t)packed_mask_bytes(format);
    }
    const uint8_t *values = reader->panel.values + reader->position, *from = whole ? reader->scales + TILE_SCALE_BYTES : section_masks(reader);
    for (int chunk = 0; chunk < TILE_CHUNKS; chunk++)
        masks[chunk] = chunk_mask(reader, from, chunk);
    reader->position += format->store == STORE_BLOCK ? block_codes(values, format->bits, masks, present)
                                                     : present_codes(values, format->bits, masks, present);
    for (int chunk = 0; chunk < TILE_CHUNKS; chunk++) {
        for (int entry = 0, position = 0; entry < CHUNK_CODES; entry++) {
            const int column = chunk * CHUNK_COLUMNS + entry % CHUNK_COLUMNS, row = entry / CHUNK_COLUMNS;
            codes[column][row] = 0;
            if (masks[chunk] >> entry & 1)
                codes[column][row] = (int16_t)(present[chunk][position++] - zero_code(reader, row));
        }
    }
}

static void next_bytemask_codes(struct panel_reader *reader, int16_t codes[TILE_COLUMNS][PACKED_PANEL_ROWS]) {
    const int bits = reader->packed->format.bits, fields = 8 / bits;
    const uint64_t *masks = (const uint64_t *)(const void *)reader->panel.masks + reader->tile * bits;
    const uint8_t *values = reader->panel.values + reader->position;
    for (int unit = 0; unit < bits; unit++) {
        for (int entry = 0; entry < CHUNK_CODES; entry++) {
            const int row = entry / CHUNK_COLUMNS, zero = zero_code(reader, row);
            const bool present = masks[unit] >> entry & 1;
            for (int field = 0; field < fields; field++) {
                const int code = present ? *values >> field * bits & ((1 << bits) - 1) : zero;
                codes[(unit * fields + field) * CHUNK_COLUMNS + entry % CHUNK_COLUMNS][row] = (int16_t)(code - zero);
            }
            values += present;
        }
    }
    reader->position = (size_t)(values - reader->panel.values);
}

void panel_next_codes(struct panel_reader *reader, int16_t codes[TILE_COLUMNS][PACKED_PANEL_ROWS]) {
    const struct packed_matrix *packed = reader->packed;
    const int bits = packed->format.bits;
    if (packed->format.store == STORE_DENSE)
        reader->position = packed_tile_at(packed, reader->tile);
    if (!packed->whole_tiles)
        reader->scales = packed_scales(packed, &reader->panel, reader->tile / packed->tiles_per_group);
    const uint8_t *values = reader->panel.values + reader->position;
    if (bits == 16) {
        memcpy(codes, values, TILE_CODES * sizeof(int16_t));
    } else if (packed->format.store == STORE_DENSE) {
        for (int column = 0; column < TILE_COLUMNS; column++) {
            for (int row = 0; row < PACKED_PANEL_ROWS; row++) {
                const int code =
                    dense_code(values, bits, column / CHUNK_COLUMNS, CHUNK_COLUMNS * row + column % CHUNK_COLUMNS);
                codes[column][row] = (int16_t)(code - zero_code(reader, row));
            }
        }
    } else if (weight_store(&packed->format) == STORE_BYTEMASK) {
        next_bytemask_codes(reader, codes);
    } else {
        next_sparse_codes(reader, codes);
    }
    reader->tile++;
}

static float read_float(const struct panel_reader *reader, size_t index) {
    const uint8_t *values = reader->panel.values + reader->position;
    if (reader->packed->format.type == WEIGHT_F32)
        return ((const float *)(const void *)values)[index];
    return bfloat16_to_float(((const uint16_t *)(const void *)values)[index]);
}

// What is present of the columns whose values lie together, bit = entry.
static uint32_t float_mask(const struct panel_reader *reader, int column, int together) {
    uint32_t mask = together == 2 ? UINT32_MAX : UINT16_MAX;
    if (reader->packed->format.store == STORE_BLOCK)
        return chunk_mask(reader, section_masks(reader), column / CHUNK_COLUMNS) ? mask : 0;
    if (reader->packed->format.store != STORE_DENSE) {
        const size_t at = (size_t)(reader->tile * TILE_COLUMNS + column) * sizeof(uint16_t);
        mask = 0;
        memcpy(&mask, reader->panel.masks + at, (size_t)together * sizeof(uint16_t));
    }
    return mask;
}

void panel_next_floats(struct panel_reader *reader, float values[TILE_COLUMNS][PACKED_PANEL_ROWS]) {
    const struct packed_matrix *packed = reader->packed;
    const int together = packed->format.type == WEIGHT_BF16 ? 2 : 1;
    size_t count = 0;
    for (int column = 0; column < TILE_COLUMNS; column += together) {
        const uint32_t mask = float_mask(reader, column, together);
        for (int entry = 0; entry < together * PACKED_PANEL_ROWS; entry++) {
            const bool present = mask >> entry & 1;
            values[column + entry % together][entry / together] = present ? read_float(reader, count) : 0.0f;
            count += present;
        }
    }
    reader->position += count * (size_t)(packed->format.bits / 8);
    reader->tile++;
}

static void unpack_panel(const struct packed_matrix *packed, int index, float *weights) {
    struct panel_reader reader;
    panel_open(&reader, packed, index);
    const int row0 = index * PACKED_PANEL_ROWS;
    const int rows = packed->rows - row0 < PACKED_PANEL_ROWS ? packed->rows - row0 : PACKED_PANEL_ROWS;
    for (int tile = 0; tile < packed->tiles; tile++) {
        float values[TILE_COLUMNS][PACKED_PANEL_ROWS];
        int16_t codes[TILE_COLUMNS][PACKED_PANEL_ROWS];
        if (packed->format.type == WEIGHT_QUANTIZED)
            panel_next_codes(&reader, codes);
        else
            panel_next_floats(&reader, values);
        for (int row = 0; row < rows; row++) {
            float *out = weights + (size_t)(row0 + row) * (size_t)packed->columns + (size_t)tile * TILE_COLUMNS;
            for (int column = 0; column < TILE_COLUMNS; column++) {
                if (packed->format.type == WEIGHT_QUANTIZED)
                    out[column] = (float)codes[column][row] * panel_scale(&reader, row);
                else
                    out[column] = values[column][row];
            }
        }
    }
}

void packed_unpack(const struct packed_matrix *packed, float *weights) {
    if (packed->row_major != NULL) {
        const size_t count = (size_t)packed->rows * (size_t)packed->columns;
        for (size_t i = 0; i < count; i++)
            weights[i] = packed->format.type == WEIGHT_QUANTIZED ? (float)((const int8_t *)packed->row_major)[i] *
                                                                       packed_row_scales(packed)[i / (size_t)packed->columns]
                         : packed->format.type == WEIGHT_F32     ? ((const float *)packed->row_major)[i]
                                                                 : bfloat16_to_float(((const uint16_t *)packed->row_major)[i]);
        return;
    }
    for (int index = 0; index < packed->panels; index++)
        unpack_panel(packed, index, weights);
}
