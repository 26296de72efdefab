// SPDX-License-Identifier: MIT
#include "kernels/pack/pack_panel.h"

#include "kernels/pack/float16.h"

#include <string.h>

static size_t element(const struct panel_origin *origin, int row, int column) {
    return (size_t)row * (size_t)origin->columns + (size_t)column;
}

static int origin_zero(const struct panel_origin *origin, int row, int column) {
    if (!origin->format->asymmetric)
        return 0;
    return origin->quantized->zero_points[(size_t)row * (size_t)origin->groups + (size_t)(column / origin->group)];
}

// Sets a row's bit in `present` where `group` codes are not the zero code.
static void find_codes(const struct panel_origin *origin, int row, uint16_t bit) {
    for (int group = 0; group < origin->groups; group++) {
        const int first = group * origin->group, zero = origin_zero(origin, row, first);
        const int16_t *codes = origin->quantized->codes + element(origin, row, first);
        uint16_t *present = origin->present + first;
        for (int i = 0; i < origin->group; i++)
            present[i] |= codes[i] != zero ? bit : 0;
    }
}

void panel_find_present(const struct panel_origin *origin, int row0) {
    uint16_t *present = origin->present;
    memset(present, 0, (size_t)origin->columns * sizeof(*present));
    for (int row = row0; row < origin->rows && row < row0 + PACKED_PANEL_ROWS; row++) {
        const uint16_t bit = (uint16_t)(1 << (row - row0));
        const uint8_t *mask = origin->mask != NULL ? origin->mask + element(origin, row, 0) : NULL;
        const float *weights = origin->weights != NULL ? origin->weights + element(origin, row, 0) : NULL;
        if (mask != NULL) {
            for (int column = 0; column < origin->columns; column++)
                present[column] |= mask[column] != 0 ? bit : 0;
        } else if (weights != NULL) {
            for (int column = 0; column < origin->columns; column++)
                present[column] |= weights[column] != 0 ? bit : 0;
        } else {
            find_codes(origin, row, bit);
        }
    }
}

// Of the panel at hand.
static bool is_present(const struct panel_origin *origin, int row, int column) {
    return origin->present[column] >> row % PACKED_PANEL_ROWS & 1;
}

// The code as stored, unsigned. Rows of padding and what a mask leaves out of a block are the zero code.
static int stored_code(const struct panel_origin *origin, int row, int column) {
    const int offset = origin->format->asymmetric ? 0 : symmetric_zero(origin->format->bits);
    if (row >= origin->rows)
        return offset;
    if (origin->format->store != STORE_DENSE && !is_present(origin, row, column))
        return offset + origin_zero(origin, row, column);
    return offset + origin->quantized->codes[element(origin, row, column)];
}

static float stored_float(const struct panel_origin *origin, int row, int column) {
    if (!is_present(origin, row, column))
        return 0;
    return origin->weights[element(origin, row, column)];
}

static void put_code(uint8_t *values, int bits, int position, int code) {
    const int at = position * bits;
    values[at / 8] |= (uint8_t)(code << (at % 8));
}

// A tile of codes, unsigned as they are stored, whether they are present or not.
static void gather_tile(const struct panel_origin *origin, int row0, int column0, uint8_t codes[TILE_CHUNKS][CHUNK_CODES]) {
    const int offset = origin->format->asymmetric ? 0 : symmetric_zero(origin->format->bits);
    const int rows = origin->rows - row0 < PACKED_PANEL_ROWS ? origin->rows - row0 : PACKED_PANEL_ROWS;
    if (rows < PACKED_PANEL_ROWS)
        memset(codes, offset, TILE_CODES);
    for (int row = 0; row < rows; row++) {
        const int16_t *from = origin->quantized->codes + element(origin, row0 + row, column0);
        uint8_t bytes[TILE_COLUMNS];
        for (int column = 0; column < TILE_COLUMNS; column++)
            bytes[column] = (uint8_t)(from[column] + offset);
        for (int chunk = 0; chunk < TILE_CHUNKS; chunk++)
            memcpy(&codes[chunk][CHUNK_COLUMNS * row], &bytes[CHUNK_COLUMNS * chunk], CHUNK_COLUMNS);
    }
}

static void write_dense_tile(const struct panel_origin *origin, int row0, int column0, uint8_t *tile) {
    uint8_t codes[TILE_CHUNKS][CHUNK_CODES];
    gather_tile(origin, row0, column0, codes);
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

static bool block_present(const struct panel_origin *origin, int column0) {
    for (int column = 0; column < CHUNK_COLUMNS; column++) {
        if (origin->present[column0 + column] != 0)
            return true;
    }
    return false;
}

// Moves bit i to bit 2·i.
static uint32_t spread_by_two(uint16_t bits) {
    uint32_t x = bits;
    x = (x | x << 8) & 0x00ff00ff;
    x = (x | x << 4) & 0x0f0f0f0f;
    x = (x | x << 2) & 0x33333333;
    return (x | x << 1) & 0x55555555;
}

// Moves bit i to bit 4·i.
static uint64_t spread_by_four(uint16_t bits) {
    uint64_t x = bits;
    x = (x | x << 24) & 0x000000ff000000ff;
    x = (x | x << 12) & 0x000f000f000f000f;
    x = (x | x << 6) & 0x0303030303030303;
    return (x | x << 3) & 0x1111111111111111;
}

// What is present in a chunk of codes, bit = entry.
static uint64_t chunk_mask(const struct panel_origin *origin, int column0) {
    uint64_t mask = 0;
    for (int column = 0; column < CHUNK_COLUMNS; column++)
        mask |= spread_by_four(origin->present[column0 + column]) << column;
    return mask;
}

// Writes a block that is present.
static void write_code_block(const struct panel_origin *origin, int row0, int column0, uint8_t *values) {
    for (int entry = 0; entry < CHUNK_CODES; entry++)
        put_code(values, origin->format->bits, entry,
                 stored_code(origin, row0 + entry / CHUNK_COLUMNS, column0 + entry % CHUNK_COLUMNS));
}

// The bytes of one plane of a tile's present codes: of its longest field.
static size_t present_plane_bytes(const uint64_t masks[TILE_CHUNKS], int width) {
    const int fields = 8 / width;
    size_t counts[8] = {0}, longest = 0;
    for (int chunk = 0; chunk < TILE_CHUNKS; chunk++) {
        size_t *count = &counts[chunk % fields];
        *count += (size_t)__builtin_popcountll(masks[chunk]);
        longest = *count > longest ? *count : longest;
    }
    return longest;
}

// Writes one plane of a tile's present codes: `width` bits of each from bit `shift` on.
static void write_present_plane(uint8_t codes[TILE_CHUNKS][CHUNK_CODES], const uint64_t masks[TILE_CHUNKS], int width,
                                int shift, uint8_t *values) {
    const int fields = 8 / width, highest = (1 << width) - 1;
    size_t position[8] = {0};
    for (int chunk = 0; chunk < TILE_CHUNKS; chunk++) {
        const int field = chunk % fields;
        uint8_t *at = values + position[field];
        for (uint64_t left = masks[chunk]; left != 0; left &= left - 1)
            *at++ |= (uint8_t)((codes[chunk][__builtin_ctzll(left)] >> shift & highest) << (field * width));
        position[field] += (size_t)__builtin_popcountll(masks[chunk]);
    }
}

// Writes a tile of a bitmask store of codes and returns the bytes of its values. With values NULL it only counts. masks may lie anywhere.
static size_t write_present_codes(const struct panel_origin *origin, int row0, int column0, uint8_t *masks, uint8_t *values) {
    uint64_t present[TILE_CHUNKS];
    uint8_t codes[TILE_CHUNKS][CHUNK_CODES];
    size_t bytes = 0;
    for (int chunk = 0; chunk < TILE_CHUNKS; chunk++)
        present[chunk] = chunk_mask(origin, column0 + chunk * CHUNK_COLUMNS);
    if (values != NULL) {
        gather_tile(origin, row0, column0, codes);
        memcpy(masks, present, sizeof(present));
    }
    for (int width = 8, shift = 0; width > 0; width /= 2) {
        if (!(origin->format->bits & width))
            continue;
        if (values != NULL)
            write_present_plane(codes, present, width, shift, values + bytes);
        bytes += present_plane_bytes(present, width);
        shift += width;
    }
    return bytes;
}

// The same of a bytemask store.
static size_t write_present_bytes(const struct panel_origin *origin, int row0, int column0, uint8_t *masks, uint8_t *values) {
    const int bits = origin->format->bits, fields = 8 / bits, offset = origin->format->asymmetric ? 0 : symmetric_zero(bits);
    uint8_t codes[TILE_CHUNKS][CHUNK_CODES];
    size_t bytes = 0;
    if (values != NULL)
        gather_tile(origin, row0, column0, codes);
    for (int unit = 0; unit < bits; unit++) {
        uint64_t present[8], any = 0;
        for (int field = 0; field < fields; field++)
            any |= present[field] = chunk_mask(origin, column0 + (unit * fields + field) * CHUNK_COLUMNS);
        if (values != NULL)
            memcpy(masks + (size_t)unit * sizeof(any), &any, sizeof(any));
        for (uint64_t left = values != NULL ? any : 0; left != 0; left &= left - 1) {
            const int entry = __builtin_ctzll(left), zero = offset + origin_zero(origin, row0 + entry / CHUNK_COLUMNS, column0);
            for (int field = 0; field < fields; field++) {
                const int code = present[field] >> entry & 1 ? codes[unit * fields + field][entry] : zero;
                *values |= (uint8_t)(code << field * bits);
            }
            values++;
        }
        bytes += (size_t)__builtin_popcountll(any);
    }
    return bytes;
}

static void put_float(const struct panel_origin *origin, uint8_t *values, size_t index, float value) {
    if (origin->format->type == WEIGHT_F32) {
        memcpy(values + index * sizeof(value), &value, sizeof(value));
    } else {
        const uint16_t half = float_to_bfloat16(value);
        memcpy(values + index * sizeof(half), &half, sizeof(half));
    }
}

static void write_dense_floats(const struct panel_origin *origin, int row0, int column0, uint8_t *values) {
    for (int row = 0; row < PACKED_PANEL_ROWS && row0 + row < origin->rows; row++) {
        const float *weights = origin->weights + element(origin, row0 + row, column0);
        if (origin->format->type == WEIGHT_F32) {
            for (int column = 0; column < TILE_COLUMNS; column++)
                memcpy(values + (size_t)(column * PACKED_PANEL_ROWS + row) * sizeof(float), &weights[column], sizeof(float));
            continue;
        }
        uint16_t halves[TILE_COLUMNS];
        for (int column = 0; column < TILE_COLUMNS; column++)
            halves[column] = float_to_bfloat16(weights[column]);
        for (int pair = 0; pair < TILE_COLUMNS / 2; pair++)
            memcpy(values + (size_t)(pair * PACKED_PANEL_ROWS + row) * 2 * sizeof(*halves), &halves[2 * pair], 2 * sizeof(*halves));
    }
}

// The masks of four columns, and their values, of a block all of them; returns the bytes of the values. With values NULL it only counts.
static size_t write_float_chunk(const struct panel_origin *origin, int row0, int column0, uint8_t *masks, uint8_t *values) {
    const int together = origin->format->type == WEIGHT_BF16 ? 2 : 1; // columns
    size_t count = 0;
    for (int column = column0; column < column0 + CHUNK_COLUMNS; column += together) {
        uint32_t mask = together == 2 ? UINT32_MAX : UINT16_MAX;
        if (origin->format->store != STORE_BLOCK) {
            mask = origin->present[column];
            if (together == 2)
                mask = spread_by_two(origin->present[column]) | spread_by_two(origin->present[column + 1]) << 1;
            if (values != NULL)
                memcpy(masks + (size_t)(column - column0) * sizeof(uint16_t), &mask, (size_t)together * sizeof(uint16_t));
        }
        size_t at = count;
        for (uint32_t left = values != NULL ? mask : 0; left != 0; left &= left - 1, at++) {
            const int entry = __builtin_ctz(left);
            put_float(origin, values, at, stored_float(origin, row0 + entry / together, column + entry % together));
        }
        count += (size_t)__builtin_popcount(mask);
    }
    return count * (size_t)(origin->format->bits / 8);
}

// Writes the masks and values of one tile and returns the bytes of its values. With values NULL it only counts.
static size_t write_tile(const struct panel_origin *origin, int row0, int tile, uint8_t *masks, uint8_t *values) {
    const struct weight_format *format = origin->format;
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
    if (weight_store(format) == STORE_BYTEMASK)
        return write_present_bytes(origin, row0, column0, masks, values);
    if (format->type == WEIGHT_QUANTIZED && format->store != STORE_BLOCK)
        return write_present_codes(origin, row0, column0, masks, values);
    size_t bytes = 0;
    for (int chunk = 0; chunk < TILE_CHUNKS; chunk++) {
        const int column = column0 + chunk * CHUNK_COLUMNS;
        const bool block = format->store == STORE_BLOCK;
        uint8_t *at = values != NULL ? values + bytes : NULL;
        if (block && !block_present(origin, column))
            continue;
        if (values != NULL && block)
            *masks |= (uint8_t)(1 << chunk);
        if (format->type != WEIGHT_QUANTIZED) {
            bytes += write_float_chunk(origin, row0, column, values != NULL ? masks + chunk * (int)sizeof(uint64_t) : NULL, at);
            continue;
        }
        if (values != NULL)
            write_code_block(origin, row0, column, at);
        bytes += (size_t)(CHUNK_CODES / 8 * format->bits);
    }
    return bytes;
}

// Of one group: the scales to `scales`, the zero points to the panel's.
static void write_group(const struct panel_origin *origin, int row0, int group, uint8_t *scales, uint8_t *zeros) {
    for (int row = 0; row < PACKED_PANEL_ROWS && row0 + row < origin->rows; row++) {
        const size_t from = (size_t)(row0 + row) * (size_t)origin->groups + (size_t)group;
        const float scale = origin->quantized->scales[from];
        const uint16_t half = float_to_float16(scale);
        if (origin->format->bits == 16)
            memcpy(scales + (size_t)row * sizeof(scale), &scale, sizeof(scale));
        else
            memcpy(scales + (size_t)row * sizeof(half), &half, sizeof(half));
        if (origin->format->asymmetric)
            zeros[group * PACKED_PANEL_ROWS + row] = origin->quantized->zero_points[from];
    }
}

// Weights of a row that are present and not zero as stored.
static size_t count_nonzero(const struct panel_origin *origin, int row) {
    const uint16_t *present = origin->present;
    const int shift = row % PACKED_PANEL_ROWS;
    size_t count = 0;
    for (int group = 0; origin->format->type == WEIGHT_QUANTIZED && group < origin->groups; group++) {
        const int first = group * origin->group, zero = origin_zero(origin, row, first);
        const int16_t *codes = origin->quantized->codes + element(origin, row, first);
        uint32_t here = 0;
        for (int i = 0; i < origin->group; i++)
            here += (uint32_t)((codes[i] != zero) & (present[first + i] >> shift));
        count += here;
    }
    if (origin->format->type == WEIGHT_QUANTIZED)
        return count;
    const float *weights = origin->weights + element(origin, row, 0);
    const uint32_t vanishing = origin->format->type == WEIGHT_BF16 ? 0x8000 : 0; // the largest magnitude that rounds to 0
    uint32_t here = 0;
    for (int column = 0; column < origin->columns; column++)
        here += (uint32_t)((float_bits(weights[column]) & 0x7fffffff) > vanishing) & (uint32_t)(present[column] >> shift);
    return here;
}

void panel_count(const struct panel_origin *origin, int row0, size_t *stored_total, size_t *zero_total) {
    const int rows = origin->rows - row0 < PACKED_PANEL_ROWS ? origin->rows - row0 : PACKED_PANEL_ROWS;
    size_t stored = 0, nonzero = 0;
    if (origin->format->store == STORE_DENSE) {
        stored = (size_t)rows * (size_t)origin->columns;
    } else if (origin->format->store == STORE_BLOCK) {
        for (int column = 0; column < origin->columns; column += CHUNK_COLUMNS)
            stored += block_present(origin, column) ? (size_t)(rows * CHUNK_COLUMNS) : 0;
    } else {
        for (int column = 0; column < origin->columns; column++)
            stored += (size_t)__builtin_popcount(origin->present[column]);
    }
    for (int row = row0; row < row0 + rows; row++)
        nonzero += count_nonzero(origin, row);
    *stored_total += stored;
    *zero_total += stored - nonzero;
}

size_t panel_write(const struct panel_origin *origin, const struct packed_matrix *packed, int row0, const struct panel_target *target) {
    const bool whole = packed->whole_tiles;
    const size_t mask_bytes = (size_t)packed_mask_bytes(origin->format);
    size_t position = 0;
    for (int tile = 0; tile < packed->tiles; tile++) {
        uint8_t *masks = target != NULL && !whole ? target->masks + (size_t)tile * mask_bytes : NULL;
        if (packed->format.store == STORE_DENSE)
            position = packed_tile_at(packed, tile);
        if (whole && target != NULL) {
            write_group(origin, row0, tile, target->values + position, target->zeros);
            masks = target->values + position + TILE_SCALE_BYTES;
        }
        position += whole ? TILE_SCALE_BYTES + mask_bytes : 0;
        position += write_tile(origin, row0, tile, masks, target != NULL ? target->values + position : NULL);
    }
    for (int group = 0; target != NULL && !whole && origin->format->type == WEIGHT_QUANTIZED && group < origin->groups; group++)
        write_group(origin, row0, group, target->scales + packed_scales_at(packed, group), target->zeros);
    return align64(position);
}

bool panel_has_n_of_m(const struct panel_origin *origin, int row0) {
    const struct weight_format *format = origin->format;
    for (int row = row0; row < origin->rows && row < row0 + PACKED_PANEL_ROWS; row++) {
        for (int column = 0; column < origin->columns; column += format->m) {
            int absent = 0;
            for (int i = 0; i < format->m; i++)
                absent += !is_present(origin, row, column + i);
            if (absent < format->n)
                return false;
        }
    }
    return true;
}
