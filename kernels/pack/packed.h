// SPDX-License-Identifier: MIT
// The packed layout, one for all instruction sets.
//
// A matrix is cut into panels of 16 output rows; rows beyond the last are padding (code = zero code, scale 0, or absent). It lies in up
// to four sections, one behind the other, and in each section panel behind panel, each aligned to 64:
//
//   scales  (groups, 16) f16, beside 16-bit codes f32          quantized formats, but for those whose values have them
//   zeros   (groups, 16) u8                                     asymmetric formats
//   masks   bitmask and bytemask store: what is present; block store: one byte a tile, bit c = chunk c is present
//   values
//
// So whoever reads panels in order reads each section from its beginning to its end, as hardware's prefetchers follow best: with the
// sections of a panel side by side, so that each ended where another section began, one core of Zen 4 read a quarter less a second.
//
// Dense 4-bit codes with a scale a tile have them among the values, where they are an eighth of what a token reads: 64 bytes of scales, of two
// groups, and then the two's tiles. So all is one stream, from which one core of Zen 4 read 1.17 to 1.25 times as much a second.
// For the same reason the bitmask store of 8-, 4- and 3-bit codes with a scale a tile has whole tiles: 32 bytes of scales, 64 of masks
// and then the values of each, wherever those of the tile before end; there is no section of scales or masks.
//
// Quantized values are stored unsigned, code + 2^(bits−1) for symmetric formats, so that the zero code of a symmetric format is
// 2^(bits−1) and of an asymmetric format its zero point. They come in tiles of 16 rows × 32 columns, a tile in 8 chunks of
// 16 rows × 4 columns: entry 4·row + column of a chunk, so that 64 bytes hold a chunk with one row in each 32-bit lane.
//
//   dense    A width is a sum of planes of 8, 4, 2, 1 bits, widest first (5 = 4 + 1); the widest holds a code's low bits. A plane
//            of w bits takes 64·w bytes a tile: chunk c lies in its bytes 64·(c·w/8) … + 63, at bit (c·w) % 8 of each.
//   bitmask  masks: one uint64 a chunk, bit = entry. values: planes as above, but of present codes only: of a plane of w bits,
//            chunk c has bits w·(c % (8/w)) … of each byte, and the present codes of the chunks that have the same bits follow
//            each other in order, a byte each, from the plane's first byte; the plane ends with the longest of these rows. So 8-bit
//            codes are all present codes one after the other; of 4-bit codes, those of even chunks in low nibbles, those of odd
//            ones in high. n:m is stored as a bitmask too: it costs one bit a weight, as two 2-bit indices in each four do.
//   bytemask of 4 and 2 bits, which have one plane: the bytes of the dense store in which any code is present, one after the other; the
//            absent ones in them are the zero code. masks: one uint64 for each 64 bytes, bit = byte. A mask then serves 8/bits chunks.
//   block    values: the present chunks, their codes packed densely from the low bits up.
//
// f32, bf16 and 16-bit codes (signed) are stored by column, bf16 by pair of columns:
//
//   dense    f32, q16: (columns, 16). bf16: (columns/2, 16, 2).
//   bitmask  masks: f32: one uint16 a column, bit = row; bf16: one uint32 a pair, bit = 2·row + column % 2. values: the present ones
//            in this order.
//   block    values: the present chunks, f32: (4, 16); bf16: (2, 16, 2).
#ifndef LLMSWEEP_PACKED_H
#define LLMSWEEP_PACKED_H

#include "kernels/kernel.h"

enum { TILE_COLUMNS = 32, TILE_CHUNKS = 8, CHUNK_COLUMNS = 4, CHUNK_CODES = 64, TILE_CODES = 512 };

struct packed_matrix {
    struct weight_format format;
    int rows, columns;
    int panels, tiles;                    // tiles in a panel
    int groups, tiles_per_group;          // of a row; per channel, one group
    bool scales_among, whole_tiles;       // scales_among_values() and tiles_whole(), below
    size_t group_scales, pair_scales;     // bytes from the scales of an even group to those of the next group, and of the one after that
    size_t scale_bytes, zero_bytes, mask_bytes; // of a panel in each section
    size_t zeros_at, masks_at;                  // where sections begin in data
    uint8_t *data;
    size_t bytes;         // of data, with the 64 that vector loads may read past the end
    uint64_t *offsets;    // (panels + 1): where the values of each begin in data, and where those of the last end
    void *row_major;      // (rows, columns) f32, bf16 or int8 codes, instead of data, once prepared for a library
    size_t present, zero; // weights stored, and those among them that are zero
};

// What a tile takes in the section of masks.
static inline int packed_mask_bytes(const struct weight_format *format) {
    switch (weight_store(format)) {
    case STORE_DENSE:
        return 0;
    case STORE_BLOCK:
        return 1;
    case STORE_BYTEMASK:
        return (int)sizeof(uint64_t) * format->bits;
    default:
        return (int)sizeof(uint64_t) * TILE_CHUNKS;
    }
}

static inline size_t align64(size_t bytes) { return (bytes + 63) / 64 * 64; }

// Whether scales lie among the values, so many bytes of them before every other tile.
enum { AMONG_BYTES = 2 * PACKED_PANEL_ROWS * sizeof(uint16_t) };
static inline bool scales_among_values(enum sparse_store store, int bits, int tiles_per_group) {
    return store == STORE_DENSE && (bits == 4 || bits == 2) && tiles_per_group == 1;
}

// Whether each tile's scales and masks lie before its values. Not with 6 and 5 bits, which at 2 to 8 tokens were up to a sixth slower so.
enum { TILE_SCALE_BYTES = PACKED_PANEL_ROWS * sizeof(uint16_t) };
static inline bool tiles_whole(enum sparse_store store, int bits, int tiles_per_group) {
    return store == STORE_BITMASK && (bits == 8 || bits == 4 || bits == 3) && tiles_per_group == 1;
}

// Where a tile of a dense store begins in its panel's values.
static inline size_t packed_tile_at(const struct packed_matrix *packed, int tile) {
    const size_t index = (size_t)tile, scales = packed->scales_among ? AMONG_BYTES * (index / 2 + 1) : 0;
    return index * (size_t)(CHUNK_CODES * packed->format.bits) + scales;
}

// Where a group's scales begin, one a row, from the panel's first; not of whole tiles, whose places only those before them tell.
static inline size_t packed_scales_at(const struct packed_matrix *packed, int group) {
    const size_t index = (size_t)group;
    return index / 2 * packed->pair_scales + index % 2 * packed->group_scales;
}

// Where the parts of a panel start. NULL where the format has no such section; scales among the values of a dense store are reached as those of a
// section are.
struct panel {
    const uint8_t *scales, *zeros, *masks, *values;
};

static inline struct panel packed_panel(const struct packed_matrix *packed, int index) {
    const size_t panel = (size_t)index;
    const uint8_t *values = packed->data + packed->offsets[index];
    return (struct panel){
        .scales = packed->scale_bytes > 0 ? packed->data + panel * packed->scale_bytes : packed->scales_among ? values : NULL,
        .zeros = packed->zero_bytes > 0 ? packed->data + packed->zeros_at + panel * packed->zero_bytes : NULL,
        .masks = packed->mask_bytes > 0 ? packed->data + packed->masks_at + panel * packed->mask_bytes : NULL,
        .values = values,
    };
}

static inline const uint8_t *packed_scales(const struct packed_matrix *packed, const struct panel *panel, int group) {
    return panel->scales + packed_scales_at(packed, group);
}

// Behind the codes of row_major: (rows), what each row's codes are multiplied by.
const float *packed_row_scales(const struct packed_matrix *packed);

// The stored code of a weight of zero in a symmetric format.
static inline int symmetric_zero(int bits) { return 1 << (bits - 1); }

// Reads a panel tile by tile, whatever its format: slowly, but without instructions beyond the base set.
struct panel_reader {
    const struct packed_matrix *packed;
    struct panel panel;
    int tile;        // the next
    size_t position; // in values, bytes
    const uint8_t *scales; // of the tile that was read last
};
void panel_open(struct panel_reader *reader, const struct packed_matrix *packed, int index);
// The next tile of a quantized matrix, by column and row: code − zero code, 0 where absent. Multiply by panel_scale(), which is asked afterwards.
void panel_next_codes(struct panel_reader *reader, int16_t codes[TILE_COLUMNS][PACKED_PANEL_ROWS]);
// The next tile of an f32 or bf16 matrix.
void panel_next_floats(struct panel_reader *reader, float values[TILE_COLUMNS][PACKED_PANEL_ROWS]);
float panel_scale(const struct panel_reader *reader, int row);

#endif
