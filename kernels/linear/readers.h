// SPDX-License-Identifier: MIT
// How tiles of codes are read, chunk by chunk, into registers; the same source for all instruction sets, in terms of
// the vectors of simd_avx2.h or simd_avx512.h, which include this. Where a chunk begins follows from masks alone, so
// that no load of values waits for another.
//
// Lines are prefetched in each of a panel's streams: hardware does that too, but stops at every 4 KB and starts late in
// streams this short.
#ifndef LLMSWEEP_LINEAR_READERS_H
#define LLMSWEEP_LINEAR_READERS_H

#include "kernels/linear/simd.h"

enum { MAX_PLANES = 2 };
#define FLATTEN static inline __attribute__((always_inline))

// A tile about to be read.
struct tile {
    const uint8_t *at[MAX_PLANES][TILE_CHUNKS]; // dense: of each plane, the start; block: where the chunk's codes begin
    const uint8_t *masks;
    const uint8_t *plane[MAX_PLANES];   // bitmask: where each begins,
    size_t positions[MAX_PLANES][8];    // and in it each field's next chunk
    const uint8_t *next;                // bytemask: the next bytes,
    vint bytes[MAX_PLANES];             // and those of the chunk at hand and of those that share them
};

// What stands for absent codes of the group at hand.
struct absent {
    vint codes[VECTORS];          // the zero code in each byte
    vint moved[VECTORS];          // the same, as far up as planes_in_place() leaves every other chunk's
    vint bytes[VECTORS];          // bytemask: the zero code in all fields of each byte
    uint8_t packed[CHUNK_CODES];  // a chunk of zero codes as a block store packs it
};

// For a section that has come to `at`.
FLATTEN void prefetch_both(const uint8_t *at, ptrdiff_t far, ptrdiff_t near) {
    __builtin_prefetch(at + far, 0, 2);
    __builtin_prefetch(at + near, 0, 3);
}

FLATTEN void prefetch_far(const uint8_t *at, ptrdiff_t far) { prefetch_both(at, far, NEAR_AHEAD); }

FLATTEN void prefetch(const uint8_t *at) { prefetch_far(at, FAR_AHEAD); }

// Of masks and scales, which are short, to first-level cache at once.
FLATTEN void prefetch_section(const struct source *source, const uint8_t *at) { __builtin_prefetch(at + source->fetch.sections, 0, MATRIX_TILES ? 2 : 3); }

// How far ahead of the next tile values are fetched. To be called for each tile: a comparison of where the tile is takes less than
// counting.
FLATTEN ptrdiff_t values_ahead(struct source *source, enum sparse_store store) {
    struct fetch *fetch = &source->fetch;
    if (__builtin_expect((store == STORE_DENSE ? source->values : source->masks) == fetch->jump_at, 0)) {
        fetch->values += fetch->jump;
        for (int at = 0; at < SECTION_AHEAD; at += 64) {
            __builtin_prefetch(fetch->next_scales + at, 0, 2);
            if (store != STORE_DENSE)
                __builtin_prefetch(fetch->next_masks + at, 0, 2);
        }
    }
    return fetch->values;
}

FLATTEN vint load_bytes(const uint8_t *at, int v) { return vint_load(at + CHUNK_COLUMNS * LANES * v); }

// The planes of `bits`, widest first, as their widths. plane_width(5, 0) = 4, plane_width(5, 1) = 1, then 0.
FLATTEN int plane_width(int bits, int plane) {
    const int widest = bits == 8 ? 8 : bits >= 4 ? 4 : 2; // no loop, so that what depends on it stays in registers
    return plane == 0 ? widest : bits - widest;
}

// A field of `width` bits at bit `from` of each byte, moved to bit `to`; nothing else remains.
FLATTEN vint join_field(vint codes, vint bytes, int width, int from, int to) {
    if (width == 8)
        return bytes;
    const vint field = vint_field(bytes, width, from, to);
    return to == 0 ? field : vint_or(codes, field);
}

// How far up planes_in_place() leaves a chunk's codes in their bytes: every other chunk's by as much as spares a shift.
FLATTEN int chunk_shift(int bits, int chunk) { return bits == 8 || bits == 5 || chunk % 2 == 0 ? 0 : bits == 4 ? 4 : 2; }

#if HAS_FIELDS_IN_PLACE
// The codes of a chunk out of its planes, times 2^chunk_shift(): by masks and, where a field is not in its place, shifts, since what
// moves and masks in one instruction (GFNI) takes turns with dot products on Zen 4.
FLATTEN vint planes_in_place(const vint bytes[MAX_PLANES], int bits, int chunk) {
    const int to = chunk_shift(bits, chunk), first = plane_width(bits, 0), second = plane_width(bits, 1);
    const vint low = vint_and_bytes(vint_down(bytes[0], chunk * first % 8 - to), ((1 << first) - 1) << to);
    if (second == 0)
        return low;
    return vint_or_and_bytes(low, vint_down(bytes[1], chunk * second % 8 - to - first), ((1 << second) - 1) << (to + first));
}
#endif

// ---------------------------------------------------------------------------------------------------------------------
// Dense: planes.

FLATTEN void open_planes(struct source *source, int bits, struct tile *tile) {
    const uint8_t *plane = source->values;
#pragma GCC unroll 2
    for (int p = 0; p < MAX_PLANES; p++) {
        tile->at[p][0] = plane;
        plane += CHUNK_CODES * plane_width(bits, p);
    }
    source->values += CHUNK_CODES * bits;
}

FLATTEN void read_planes(const struct tile *tile, int bits, int chunk, vint codes[VECTORS]) {
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; v++) {
        codes[v] = vint_zero();
#pragma GCC unroll 2
        for (int p = 0, to = 0; p < MAX_PLANES; to += plane_width(bits, p++)) {
            const int width = plane_width(bits, p);
            if (width == 0)
                continue;
            const uint8_t *unit = tile->at[p][0] + CHUNK_CODES * (chunk * width / 8);
            codes[v] = join_field(codes[v], load_bytes(unit, v), width, chunk * width % 8, to);
        }
    }
}

#if HAS_FIELDS_IN_PLACE
// The same, times 2^chunk_shift().
FLATTEN vint read_planes_in_place(const struct tile *tile, int bits, int chunk) {
    vint bytes[MAX_PLANES];
#pragma GCC unroll 2
    for (int p = 0; p < MAX_PLANES; p++)
        bytes[p] = vint_load(tile->at[p][0] + CHUNK_CODES * (chunk * plane_width(bits, p) / 8)); // without a second one, unused
    return planes_in_place(bytes, bits, chunk);
}
#endif

// ---------------------------------------------------------------------------------------------------------------------
// Bitmask: of a plane of `width` bits, chunk c has field c % (8/width) of each byte; within a field the present codes
// of its chunks follow each other, a byte each.

#if HAS_SPREAD
FLATTEN uint64_t chunk_mask(const uint8_t *masks, int chunk) {
    uint64_t mask;
    memcpy(&mask, masks + sizeof(mask) * (size_t)chunk, sizeof(mask));
    return mask;
}

// Read once for all its uses, where loads of 64 bytes that begin anywhere leave few turns for others. Elsewhere registers run out.
FLATTEN uint64_t chunk_mask_once(const uint8_t *masks, int chunk) {
    uint64_t mask;
    __asm__("movq %1, %0" : "=r"(mask) : "m"(*(const uint8_t(*)[sizeof(mask)])(masks + sizeof(mask) * (size_t)chunk)));
    return mask;
}

// To be called for each tile, of at most `bits` lines, a whole one of two more. As many lines as a tile has on average. Not chunk by chunk: scalar additions take the
// port that the expansion needs.
FLATTEN void fetch_present(struct source *source, enum sparse_store store, int bits) {
    const ptrdiff_t far = source->whole ? source->fetch.values : values_ahead(source, store);
#pragma GCC unroll 10
    for (int line = 0; line < bits + 2 * source->whole; line++) {
        if (line >= source->fetch.lines)
            break;
        if (!source->whole || source->fetch.near)
            prefetch_both(source->values + 64 * line, far, 2 * NEAR_AHEAD);
        else
            __builtin_prefetch(source->values + 64 * line + far, 0, 2);
    }
    if (!source->whole)
        prefetch_section(source, source->masks);
}

// What a plane of a tile takes: the longest of its fields.
FLATTEN size_t longest_field(const size_t positions[8], int width) {
    size_t longest = positions[0];
#pragma GCC unroll 8
    for (int field = 1; field < 8 / width; field++)
        longest = positions[field] > longest ? positions[field] : longest;
    return longest;
}

FLATTEN void open_bitmask(struct source *source, int bits, struct tile *tile) {
    fetch_present(source, STORE_BITMASK, bits);
    tile->masks = source->whole ? source->values : source->masks;
    if (source->whole)
        source->values += sizeof(uint64_t) * TILE_CHUNKS;
    else
        source->masks += sizeof(uint64_t) * TILE_CHUNKS;
    tile->plane[0] = source->values;
#pragma GCC unroll 16
    for (int i = 0; i < MAX_PLANES * 8; i++)
        tile->positions[i / 8][i % 8] = 0;
    if (plane_width(bits, 1) == 0)
        return;
    // Where a second plane begins follows from all masks. Not so where its chunks do, but so many addresses would not
    // fit in registers.
    size_t counts[8] = {0};
#pragma GCC unroll 8
    for (int chunk = 0; chunk < TILE_CHUNKS; chunk++)
        counts[chunk % (8 / plane_width(bits, 0))] += (size_t)__builtin_popcountll(chunk_mask(tile->masks, chunk));
    tile->plane[1] = tile->plane[0] + longest_field(counts, plane_width(bits, 0));
}

// To be called for the chunks in order.
FLATTEN void read_bitmask(struct tile *tile, int bits, int chunk, const struct absent *absent, vint codes[VECTORS]) {
    const uint64_t mask = bits == 4 ? chunk_mask_once(tile->masks, chunk) : chunk_mask(tile->masks, chunk);
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; v++)
        codes[v] = vint_zero();
#pragma GCC unroll 2
    for (int p = 0, to = 0; p < MAX_PLANES; to += plane_width(bits, p++)) {
        const int width = plane_width(bits, p);
        if (width == 0)
            continue;
        const int field = chunk % (8 / width);
        vint bytes[VECTORS];
        load_present(tile->plane[p] + tile->positions[p][field], mask, bytes);
        tile->positions[p][field] += (size_t)__builtin_popcountll(mask);
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            codes[v] = join_field(codes[v], bytes[v], width, field * width, to);
    }
    place_present(codes, mask, absent->codes);
}

#if HAS_FIELDS_IN_PLACE
// The same, times 2^chunk_shift().
FLATTEN vint read_bitmask_in_place(struct tile *tile, int bits, int chunk, const struct absent *absent) {
    const uint64_t mask = bits == 4 ? chunk_mask_once(tile->masks, chunk) : chunk_mask(tile->masks, chunk);
    vint bytes[MAX_PLANES], codes[VECTORS];
#pragma GCC unroll 2
    for (int p = 0; p < MAX_PLANES; p++) {
        if (plane_width(bits, p) == 0)
            break;
        const int field = chunk % (8 / plane_width(bits, p));
        load_present(tile->plane[p] + tile->positions[p][field], mask, &bytes[p]);
        tile->positions[p][field] += (size_t)__builtin_popcountll(mask);
    }
    codes[0] = planes_in_place(bytes, bits, chunk);
    place_present(codes, mask, chunk_shift(bits, chunk) > 0 ? absent->moved : absent->codes);
    return codes[0];
}
#endif

FLATTEN void close_bitmask(struct source *source, int bits, const struct tile *tile) {
    const int last = plane_width(bits, 1) > 0;
    source->values = tile->plane[last] + longest_field(tile->positions[last], plane_width(bits, last));
}
#endif

// ---------------------------------------------------------------------------------------------------------------------
// Bytemask: the bytes of a dense plane, of which those with nothing in them are absent.

#if HAS_SPREAD
FLATTEN void open_bytemask(struct source *source, int bits, struct tile *tile) {
    fetch_present(source, STORE_BYTEMASK, bits);
    tile->masks = source->masks;
    tile->next = source->values;
    source->masks += sizeof(uint64_t) * (size_t)bits;
}

// To be called for the chunks in order: the first of those that share bytes brings these.
FLATTEN void read_bytemask(struct tile *tile, int bits, int chunk, bool in_place, const struct absent *absent, vint codes[VECTORS]) {
    (void)in_place;
    if (chunk * bits % 8 == 0) {
        const uint64_t mask = chunk_mask_once(tile->masks, chunk * bits / 8);
        load_present(tile->next, mask, tile->bytes);
        tile->next += __builtin_popcountll(mask);
        place_present(tile->bytes, mask, absent->bytes);
    }
#if HAS_FIELDS_IN_PLACE
    if (in_place) {
        codes[0] = planes_in_place(tile->bytes, bits, chunk);
        return;
    }
#endif
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; v++)
        codes[v] = vint_field(tile->bytes[v], bits, chunk * bits % 8, 0);
}
#endif

// ---------------------------------------------------------------------------------------------------------------------
// Blocks. Whether a chunk is present is not worth a branch, which would be mispredicted once a tile: what is absent is
// read from a chunk of zero codes instead.

FLATTEN void open_blocks(struct source *source, int bits, const struct absent *absent, struct tile *tile) {
    const ptrdiff_t far = values_ahead(source, STORE_BLOCK);
    const uint8_t *values = source->values;
    const unsigned present = *source->masks++;
#pragma GCC unroll 8
    for (int chunk = 0; chunk < TILE_CHUNKS; chunk++) {
        const uintptr_t here = -(uintptr_t)(present >> chunk & 1);
        prefetch_far(values, far);
        tile->at[0][chunk] = (const uint8_t *)(((uintptr_t)values & here) | ((uintptr_t)absent->packed & ~here));
        values += here & (uintptr_t)(CHUNK_CODES / 8 * bits);
    }
    source->values = values;
}

// ---------------------------------------------------------------------------------------------------------------------
// Any of them. `store` and `bits` are constants.

// To be called before the tiles of a group are read, with source_group().
FLATTEN void absent_begin(const struct source *source, enum sparse_store store, int bits, struct absent *absent) {
    if (store == STORE_DENSE)
        return;
    zero_codes(source->zeros, absent->codes);
#if HAS_FIELDS_IN_PLACE
    absent->moved[0] = vint_down(absent->codes[0], -chunk_shift(bits, 1)); // no code is so large as to reach the next byte
#endif
    if (store == STORE_BYTEMASK) {
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) {
            absent->bytes[v] = absent->codes[v];
#pragma GCC unroll 4
            for (int field = 1; field < 8 / bits; field++)
                absent->bytes[v] = vint_or(absent->bytes[v], vint_field(absent->codes[v], bits, 0, field * bits));
        }
    }
    if (store != STORE_BLOCK)
        return;
    const int bytes = CHUNK_COLUMNS * bits / 8; // of a row
    for (int i = 0; i < PACKED_PANEL_ROWS * bytes; i++)
        absent->packed[i] = (uint8_t)(source->zeros[i / bytes] * (255 / ((1 << bits) - 1)));
}

FLATTEN void tile_open(struct source *source, enum sparse_store store, int bits, const struct absent *absent,
                       struct tile *tile) {
    if (store == STORE_DENSE) {
        const ptrdiff_t far = values_ahead(source, STORE_DENSE);
        if (far != 0) {
#pragma GCC unroll 8
            for (int line = 0; line < bits; line++)
                __builtin_prefetch(source->values + 64 * line + far, 0, 2);
        }
        if (source->fetch.near) {
#pragma GCC unroll 8
            for (int line = 0; line < bits; line++)
                __builtin_prefetch(source->values + 64 * line + NEAR_AHEAD, 0, 3);
        }
        open_planes(source, bits, tile);
    } else if (store == STORE_BLOCK)
        open_blocks(source, bits, absent, tile);
#if HAS_SPREAD
    else if (store == STORE_BYTEMASK)
        open_bytemask(source, bits, tile);
    else
        open_bitmask(source, bits, tile);
#endif
}

// To be called for the chunks in order. in_place: planes, dense or bitmask, times 2^chunk_shift().
FLATTEN void tile_chunk(struct tile *tile, enum sparse_store store, int bits, int chunk, bool in_place, const struct absent *absent,
                        vint codes[VECTORS]) {
    (void)absent, (void)in_place;
    if (store == STORE_BLOCK)
        packed_codes(tile->at[0][chunk], bits, codes);
#if HAS_SPREAD
    else if (store == STORE_BYTEMASK)
        read_bytemask(tile, bits, chunk, in_place, absent, codes);
#endif
#if HAS_FIELDS_IN_PLACE
    else if (in_place)
        codes[0] = store == STORE_DENSE ? read_planes_in_place(tile, bits, chunk) : read_bitmask_in_place(tile, bits, chunk, absent);
#endif
    else if (store == STORE_DENSE)
        read_planes(tile, bits, chunk, codes);
#if HAS_SPREAD
    else
        read_bitmask(tile, bits, chunk, absent, codes);
#endif
}

FLATTEN const uint8_t *tile_codes(struct tile *tile, enum sparse_store store, int bits, const struct absent *absent,
                                  uint8_t buffer[TILE_CODES]) {
    if (store == STORE_DENSE && bits == 8)
        return tile->at[0][0];
#pragma GCC unroll 8
    for (int chunk = 0; chunk < TILE_CHUNKS; chunk++) {
        vint codes[VECTORS];
        tile_chunk(tile, store, bits, chunk, false, absent, codes);
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            vint_store(buffer + CHUNK_CODES * chunk + CHUNK_COLUMNS * LANES * v, codes[v]);
    }
    return buffer;
}

// To be called when all chunks were read.
FLATTEN void tile_close(struct source *source, enum sparse_store store, int bits, const struct tile *tile) {
    (void)source;
    (void)store;
    (void)bits;
    (void)tile;
#if HAS_SPREAD
    if (store == STORE_BITMASK)
        close_bitmask(source, bits, tile);
    if (store == STORE_BYTEMASK)
        source->values = tile->next;
#endif
}

// The next tile of a store without blocks as bytes: in `buffer`, or in place.
FLATTEN const uint8_t *next_codes(struct source *source, enum sparse_store store, int bits,
                                  uint8_t buffer[TILE_CODES]) {
    struct absent absent;
    struct tile tile = {0};
    absent_begin(source, store, bits, &absent);
    tile_open(source, store, bits, &absent, &tile);
    const uint8_t *codes = tile_codes(&tile, store, bits, &absent, buffer);
    tile_close(source, store, bits, &tile);
    return codes;
}

FLATTEN const uint8_t *next_planes(struct source *source, int bits, uint8_t buffer[TILE_CODES]) {
    return next_codes(source, STORE_DENSE, bits, buffer);
}

// The same of weights that something else fetches.
FLATTEN const uint8_t *next_fetched_planes(struct source *source, int bits, uint8_t buffer[TILE_CODES]) {
    struct tile tile = {0};
    open_planes(source, bits, &tile);
    return tile_codes(&tile, STORE_DENSE, bits, NULL, buffer);
}

#if HAS_SPREAD
FLATTEN const uint8_t *next_bitmask(struct source *source, int bits, uint8_t buffer[TILE_CODES]) {
    return next_codes(source, STORE_BITMASK, bits, buffer);
}

FLATTEN const uint8_t *next_bytemask(struct source *source, int bits, uint8_t buffer[TILE_CODES]) {
    return next_codes(source, STORE_BYTEMASK, bits, buffer);
}
#endif

// The chunks that are present, one after the other.
FLATTEN const uint8_t *next_blocks(struct source *source, int bits, uint8_t buffer[TILE_CODES]) {
    const uint8_t *values = source->values;
    source->present = *source->masks++;
    const int count = __builtin_popcount(source->present);
    source->values += CHUNK_CODES / 8 * bits * count;
    if (bits == 8)
        return values;
    for (int i = 0; i < count; i++) {
        vint codes[VECTORS];
        packed_codes(values + CHUNK_CODES / 8 * bits * i, bits, codes);
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            vint_store(buffer + CHUNK_CODES * i + CHUNK_COLUMNS * LANES * v, codes[v]);
    }
    return buffer;
}

#endif
