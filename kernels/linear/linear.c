// SPDX-License-Identifier: MIT
#include "kernels/linear/linear.h"
#include "kernels/linear/fetch.h"
#include "kernels/linear/tile_block.h"

static size_t few_bytes(int k) {
    const size_t columns = (size_t)k;
    return 2 * LINEAR_PASS * PACKED_PANEL_ROWS * sizeof(float)            // totals
           + LINEAR_PASS * sizeof(float) * columns                        // x
           + LINEAR_PASS * sizeof(int32_t) * (columns / TILE_COLUMNS + 1) // sums
           + 2 * LINEAR_PASS * sizeof(float) * (columns / TILE_COLUMNS)   // scales
           + 64;
}

static size_t many_bytes(int k, int m) {
    const size_t q8 = (size_t)linear_minimum(m, Q8_MANY_PASS), f32 = (size_t)linear_minimum(m, F32_MANY_PASS);
    const size_t columns = (size_t)k, q8_bytes = q8 * (columns + columns / TILE_COLUMNS * (sizeof(int32_t) + 2 * sizeof(float)));
    const size_t x_bytes = f32 * columns * sizeof(float);
    return 64 + LINEAR_PART + q8 * LINEAR_BAND * PACKED_PANEL_ROWS * sizeof(float) +
           (q8_bytes > x_bytes ? q8_bytes : x_bytes);
}

static size_t block_bytes(int k, int m) {
    // Tokens are padded to blocks; a pass of 8-bit codes has the more, of f32 the larger ones.
    const size_t tokens = (size_t)linear_minimum((m + 47) / 48 * 48, BLOCK_Q8_PASS);
    const size_t f32 = (size_t)linear_minimum((m + 47) / 48 * 48, BLOCK_F32_PASS) * sizeof(float);
    return LINEAR_BAND * sizeof(struct block_part) + tokens * LINEAR_BAND * PACKED_PANEL_ROWS * sizeof(float) +
           (tokens > f32 ? tokens : f32) * (size_t)k + tokens * (size_t)(k / TILE_COLUMNS) * sizeof(float);
}

static size_t tiles_bytes(int n, int k, int m) {
    const size_t tokens = (size_t)linear_minimum(m, BF16_PASS), panels = (size_t)((n + PACKED_PANEL_ROWS - 1) / PACKED_PANEL_ROWS);
    // Fewer tokens have longer slices: all columns, or as many as BF16_SLICE holds and up to a part more.
    const size_t part = TILE_CHUNKS * TILE_COLUMNS * sizeof(uint16_t), tile = TILE_COLUMNS * sizeof(uint16_t);
    const size_t all = tokens * ((size_t)k / TILE_COLUMNS * tile + part), some = BF16_SLICE + tokens * part;
    return LINEAR_PART + tokens * LINEAR_BAND * PACKED_PANEL_ROWS * sizeof(float) + (all < some ? all : some) + panels * sizeof(void *) + 64;
}

size_t linear_scratch_bytes(int n, int k, int m) {
    const size_t few = few_bytes(k), many = many_bytes(k, m), block = block_bytes(k, m);
    const size_t tiles = tiles_bytes(n, k, m), most = few > many && few > block ? few : many > block ? many : block;
    return most > tiles ? most : tiles;
}

// Whether a CPU of AMD reads such dense weights fastest by its own prefetchers alone, which they are where a core computes in less than half of the time that
// reading takes. Zen 4, from memory, one thread, by turns: 8 bits and one token 1.06 to 1.16 over what was best with fetches (in cache 1.24), two tokens
// 1.04 to 1.1; 4 bits and one token 1.16 to 1.2, with groups of 32 1.16 to 1.3; f32 1.12, bf16 1.3. All others are up to a
// third slower so.
static bool read_by_hardware(const struct weight_format *format, int tokens, bool quick) {
    if (format->store != STORE_DENSE)
        return false;
    if (format->type != WEIGHT_QUANTIZED)
        return format->type == WEIGHT_F32 || tokens <= 2;
    if (format->bits == 4)
        return quick && tokens == 1;
    return quick && tokens <= 2 && format->bits == 8;
}

// The same CPU, over 4 KB ahead: 8 KB with 2 bits 1.35, 4 bits 1.1 to 1.15, 6 bits 1.01 to 1.05, sparse ones 1.0 to 1.2, 8 bits 1.07 with 4 tokens and
// 1.2 with 8; 6 KB half of that, 16 KB no more but with a bitmask of 8-bit codes to 50% absent, 1.05 to 1.09 over 8 KB. Of whole
// tiles, to second-level cache alone: 8 KB ahead 1.04 to 1.2 over what sections had, 4 KB 0.8 to 0.95; to first-level cache as well 0.95 to 1.0, which 12 KB ahead
// is at times, too. An Intel CPU was 1 to 10% slower at 8 KB.
struct fetch_distance linear_fetch_distance(const struct packed_matrix *weights, int tokens, int streams, bool quick) {
    enum { ZEN_FAR = 8192, ZEN_SPARSE_Q8_FAR = 16384 };
#if defined(__x86_64__)
    if (__builtin_cpu_is("amd")) {
        const struct weight_format *format = &weights->format;
        const bool codes = format->type == WEIGHT_QUANTIZED, dense = format->store == STORE_DENSE;
        if (read_by_hardware(format, tokens, quick))
            return (struct fetch_distance){.turns = tokens > 1};
        if (weights->whole_tiles)
            return (struct fetch_distance){.far = ZEN_FAR / streams, .turns = !quick};
        const bool early = weight_store(format) == STORE_BITMASK && codes && format->bits == 8;
        const ptrdiff_t far = early ? ZEN_SPARSE_Q8_FAR : codes || !dense ? ZEN_FAR : FAR_AHEAD;
        // one token of 8 bits that is computed slowly: 1.05 to 1.1 if first-level cache is left to hardware, 8 KB ahead 0.95
        if (dense && codes && format->bits == 8 && tokens == 1)
            return (struct fetch_distance){.far = FAR_AHEAD / streams, .sections = SECTION_AHEAD, .turns = true};
        return (struct fetch_distance){.far = far / streams, .sections = SECTION_AHEAD, .near = true, .turns = true};
    }
#endif
    (void)weights, (void)tokens, (void)quick, (void)read_by_hardware;
    return (struct fetch_distance){.far = FAR_AHEAD / streams, .sections = SECTION_AHEAD, .near = true, .turns = true};
}
