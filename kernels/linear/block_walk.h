// SPDX-License-Identifier: MIT
// The walk over a panel's present steps (tile_block.h), for words that are four codes or a float. Who includes this has
// defined vsum and word_*().
//
// Some rows at a time are multiplied with up to three vectors of tokens: for each step the vectors are loaded, and each
// row's word is broadcast, with AVX-512 11 loads for 24 multiplications. What bounds this where groups are small is that sums go to
// totals in memory at the end of each, and that nobody can foresee how many steps a group has.
#include "kernels/linear/tile_block.h"

FLATTEN void walk_start(enum block_kind kind, bool has_zeros, int rows, int vectors, const struct block_part *part,
                        int group, int row0, const vsum (*x_sums)[BLOCK_VECTORS], vfloat totals[][BLOCK_VECTORS],
                        vsum sums[][BLOCK_VECTORS]) {
    const int at = group * PACKED_PANEL_ROWS + row0;
#pragma GCC unroll 16
    for (int row = 0; row < rows; row++) {
        const vsum start = word_start(part, at + row);
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++) {
            sums[row][v] = start;
            if (has_zeros)
                sums[row][v] = word_correct(start, part, at + row, x_sums[group][v]);
            if (kind == BLOCK_KEEP)
                sums[row][v] = word_kept(sums[row][v], totals[row][v]);
        }
    }
}

// All but `part` and what follows constants.
FLATTEN void walk_rows(enum block_kind kind, bool has_zeros, int bits, int rows, int vectors,
                       const struct block_part *part, int row0, const uint8_t *x, const float *x_scales,
                       const vsum (*x_sums)[BLOCK_VECTORS], float *totals) {
    const uint8_t *words = part->words + sizeof(float) * (size_t)row0;
    const uint32_t *offset = part->offsets;
    vfloat total[16][BLOCK_VECTORS];
#pragma GCC unroll 16
    for (int row = 0; row < rows; row++) {
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++)
            total[row][v] = vfloat_load(totals + ((row0 + row) * BLOCK_VECTORS + v) * LANES);
    }
    for (int group = 0; group < part->groups; group++) {
        vsum sums[16][BLOCK_VECTORS];
        const uint32_t *end = offset + part->counts[group];
        if (offset == end)
            continue;
        walk_start(kind, has_zeros, rows, vectors, part, group, row0, x_sums, total, sums);
        do {
            const uint8_t *at = x + *offset;
            vsum tokens[BLOCK_VECTORS];
#pragma GCC unroll 3
            for (int v = 0; v < vectors; v++)
                tokens[v] = word_load(at + sizeof(float) * LANES * (size_t)v);
#pragma GCC unroll 16
            for (int row = 0; row < rows; row++) {
                const vsum word = word_broadcast(words + sizeof(float) * (size_t)row);
#pragma GCC unroll 3
                for (int v = 0; v < vectors; v++)
                    sums[row][v] = word_multiply(sums[row][v], tokens[v], word, bits);
            }
            words += 64;
        } while (++offset != end);
#pragma GCC unroll 16
        for (int row = 0; row < rows; row++) {
            const vfloat scale = kind == BLOCK_SCALE || kind == BLOCK_SCALES
                                     ? vfloat_broadcast(part->scales + group * PACKED_PANEL_ROWS + row0 + row)
                                     : vfloat_zero();
#pragma GCC unroll 3
            for (int v = 0; v < vectors; v++)
                total[row][v] =
                    kind == BLOCK_KEEP     ? word_bits(sums[row][v])
                    : kind == BLOCK_SCALE  ? vfloat_fma(word_float(sums[row][v]), scale, total[row][v])
                    : kind == BLOCK_SCALES ? vfloat_fma(vfloat_mul(word_float(sums[row][v]),
                                                                   vfloat_load(x_scales + (group * BLOCK_VECTORS + v) * LANES)),
                                                        scale, total[row][v])
                                           : vfloat_add(word_float(sums[row][v]), total[row][v]);
        }
    }
#pragma GCC unroll 16
    for (int row = 0; row < rows; row++) {
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++)
            vfloat_store(totals + ((row0 + row) * BLOCK_VECTORS + v) * LANES, total[row][v], LANES);
    }
}

FLATTEN void walk_panel(enum block_kind kind, bool has_zeros, int bits, int vectors, const struct block_part *part,
                        const uint8_t *x, const float *x_scales, float *totals) {
    const int rows = BLOCK_ROWS(kind, vectors);
    vsum x_sums[BLOCK_PART_GROUPS][BLOCK_VECTORS];
    if (has_zeros)
        word_sums(vectors, part, x, x_sums);
    for (int row0 = 0; row0 < PACKED_PANEL_ROWS; row0 += rows)
        walk_rows(kind, has_zeros, bits, rows, vectors, part, row0, x, x_scales,
                  (const vsum (*)[BLOCK_VECTORS])x_sums, totals);
}
