// SPDX-License-Identifier: MIT
// After the pseudocode of the Intel SDM, volume 2 (LDTILECFG, TILELOADD, TILESTORED, TDPB*D, TDPBF16PS), palette 1: eight tiles of 16 rows of 64 bytes.
#include <cpuid.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/emulation/amx.h"

#undef __get_cpuid_count

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64 };

static _Thread_local struct {
    bool configured;
    int rows[TILES], row_bytes[TILES];
    uint8_t data[TILES][ROWS][ROW_BYTES];
} state;

static void require(bool fits, const char *what) {
    if (fits)
        return;
    fprintf(stderr, "emulated AMX: %s\n", what);
    abort();
}

static void require_tile(int tile) {
    require(state.configured, "tiles are not configured");
    require(tile >= 0 && tile < TILES && state.rows[tile] > 0 && state.row_bytes[tile] > 0, "the tile has no shape");
}

void emulated_load_config(const void *config) {
    const uint8_t *bytes = config;
    require(bytes[0] == 1 && bytes[1] == 0, "not palette 1 from row 0 on");
    memset(&state, 0, sizeof(state));
    for (int tile = 0; tile < TILES; tile++) {
        uint16_t row_bytes;
        memcpy(&row_bytes, bytes + 16 + 2 * tile, sizeof(row_bytes));
        state.row_bytes[tile] = row_bytes;
        state.rows[tile] = bytes[48 + tile];
        require(state.row_bytes[tile] <= ROW_BYTES && state.rows[tile] <= ROWS, "a tile is too large");
    }
    state.configured = true;
}

void emulated_release(void) { memset(&state, 0, sizeof(state)); }

void emulated_zero(int tile) {
    require_tile(tile);
    memset(state.data[tile], 0, sizeof(state.data[tile]));
}

void emulated_load(int tile, const void *from, long stride) {
    emulated_zero(tile);
    for (int row = 0; row < state.rows[tile]; row++)
        memcpy(state.data[tile][row], (const uint8_t *)from + row * stride, (size_t)state.row_bytes[tile]);
}

void emulated_store(int tile, void *to, long stride) {
    require_tile(tile);
    for (int row = 0; row < state.rows[tile]; row++)
        memcpy((uint8_t *)to + row * stride, state.data[tile][row], (size_t)state.row_bytes[tile]);
}

// sums (m, n), a (m, k), b (k, n) of 32 bits; all three different tiles.
static void require_shapes(int sums, int a, int b) {
    require_tile(sums), require_tile(a), require_tile(b);
    require(sums != a && sums != b && a != b, "tiles of a product are the same");
    require(state.rows[sums] == state.rows[a] && state.row_bytes[sums] == state.row_bytes[b] && state.row_bytes[a] == 4 * state.rows[b],
            "shapes of a product do not fit");
}

static int extended(uint8_t byte, int is_signed) { return is_signed ? (int8_t)byte : byte; }

void emulated_dot_bytes(int sums, int a, int b, int a_signed, int b_signed) {
    require_shapes(sums, a, b);
    for (int m = 0; m < state.rows[sums]; m++) {
        for (int n = 0; n < state.row_bytes[sums]; n += 4) {
            uint32_t total; // wraps
            memcpy(&total, &state.data[sums][m][n], sizeof(total));
            for (int k = 0; k < state.row_bytes[a]; k++)
                total += (uint32_t)(extended(state.data[a][m][k], a_signed) * extended(state.data[b][k / 4][n + k % 4], b_signed));
            memcpy(&state.data[sums][m][n], &total, sizeof(total));
        }
    }
}

// Denormals are zero, on the way in and out.
static float flushed(float x) { return fpclassify(x) == FP_SUBNORMAL ? copysignf(0, x) : x; }

static float bf16_at(const uint8_t *at) {
    const uint32_t bits = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 24;
    float x;
    memcpy(&x, &bits, sizeof(x));
    return flushed(x);
}

// Even and odd columns have a sum each, which are added in the end.
void emulated_dot_bf16(int sums, int a, int b) {
    require_shapes(sums, a, b);
    for (int m = 0; m < state.rows[sums]; m++) {
        for (int n = 0; n < state.row_bytes[sums]; n += 4) {
            float even = 0, odd = 0, total;
            for (int k = 0; k < state.row_bytes[a]; k += 4) {
                even = flushed(fmaf(bf16_at(&state.data[a][m][k]), bf16_at(&state.data[b][k / 4][n]), even));
                odd = flushed(fmaf(bf16_at(&state.data[a][m][k + 2]), bf16_at(&state.data[b][k / 4][n + 2]), odd));
            }
            memcpy(&total, &state.data[sums][m][n], sizeof(total));
            total = flushed(total + flushed(even + odd));
            memcpy(&state.data[sums][m][n], &total, sizeof(total));
        }
    }
}

int emulated_cpuid(unsigned leaf, unsigned subleaf, unsigned *a, unsigned *b, unsigned *c, unsigned *d) {
    enum { BF16_BIT = 1 << 22, TILE_BIT = 1 << 24, INT8_BIT = 1 << 25 };
    const int known = __get_cpuid_count(leaf, subleaf, a, b, c, d);
    if (known && leaf == 7 && subleaf == 0)
        *d |= BF16_BIT | TILE_BIT | INT8_BIT;
    return known;
}
