// SPDX-License-Identifier: MIT
// What is brought to caches while a panel is read by few tokens. Hardware follows a matrix's sections too, which panels read in order go through
// from end to end, but stops every 4 KB. Panels that are read by turns leave out each other's bytes: towards a panel's end what is fetched is the
// start of the next one of its turn.
#ifndef LLMSWEEP_LINEAR_FETCH_H
#define LLMSWEEP_LINEAR_FETCH_H

#include "kernels/pack/packed.h"

enum { FAR_AHEAD = 4096, NEAR_AHEAD = 512, SECTION_AHEAD = 1024 };

// How many bytes ahead such weights are fetched, 0: not at all (dense ones only). far: values to second-level cache, where this many bytes
// of all sections together come later; sections: masks and scales. near: whether dense values are fetched to first-level cache NEAR_AHEAD, too, and
// whole tiles twice as far (other sparse values always are). turns: whether reading two panels by turns may be worth it.
struct fetch_distance {
    ptrdiff_t far, sections;
    bool near, turns;
};
// Of `tokens` at once and `streams` panels by turns, as this CPU was found to be fastest with. quick: one token's products take less than half the time
// of reading.
struct fetch_distance linear_fetch_distance(const struct packed_matrix *weights, int tokens, int streams, bool quick);

// Of one panel that is being read.
struct fetch {
    ptrdiff_t values, sections; // bytes ahead, as above
    const uint8_t *jump_at;     // where masks, or values of a dense store, are read when `values` is to grow by `jump`
    ptrdiff_t jump;
    const uint8_t *next_scales, *next_masks;
    int lines; // of values a tile
    bool near;
};

// The same for all panels of a matrix, which are taken to be as long as the first.
struct fetch_plan {
    const struct packed_matrix *weights;
    struct fetch fetch;
    ptrdiff_t before; // bytes of masks (of a dense store: of values) of a panel, after which `values` reaches beyond it
};

static inline struct fetch_plan fetch_plan(const struct packed_matrix *weights, int tokens, int streams, bool quick) {
    const ptrdiff_t tiles = weights->tiles, values = (ptrdiff_t)(weights->offsets[1] - weights->offsets[0]);
    const ptrdiff_t all = values + (ptrdiff_t)(weights->scale_bytes + weights->zero_bytes + weights->mask_bytes);
    const struct fetch_distance distance = linear_fetch_distance(weights, tokens, streams, quick);
    const ptrdiff_t ahead = (distance.far < all ? distance.far : all) * tiles / all; // tiles
    const bool sparse = weights->format.store != STORE_DENSE;
    // Rounded up but for an eighth: where a tile has 1.4 lines and one is fetched, the rest is waited for (a fifth slower).
    // Of whole tiles, which are most of what is read, none may be left to wait for (where 3 of 3.1 were fetched: half as fast), however much they differ.
    const int lines = (int)((values + (weights->whole_tiles ? 63 + 16 : 56) * tiles) / (64 * tiles));
    return (struct fetch_plan){
        .weights = weights,
        .fetch = {.values = distance.far * values / all, .near = distance.near, .sections = distance.sections, .lines = lines > 0 ? lines : 1},
        .before = sparse ? (tiles - ahead) * packed_mask_bytes(&weights->format) : (ptrdiff_t)packed_tile_at(weights, (int)(tiles - ahead))};
}

// For a panel of which it is not known what is read after it.
static inline struct fetch fetch_within(const struct packed_matrix *weights) {
    return (struct fetch){.values = FAR_AHEAD, .sections = SECTION_AHEAD, .lines = (weights->format.bits + 1) / 2, .near = true}; // as half of the codes take
}

// For panel `index`, after which panel `next` is read; −1 if none is.
static inline struct fetch fetch_panel(const struct fetch_plan *plan, int index, int next) {
    struct fetch fetch = plan->fetch;
    const struct packed_matrix *weights = plan->weights;
    if (next <= index + 1 || fetch.values == 0 || weights->whole_tiles) // of whole tiles nobody knows where in a panel they are
        return fetch;
    const struct panel panel = packed_panel(weights, index), then = packed_panel(weights, next);
    fetch.next_scales = then.scales != NULL ? then.scales : then.values;
    fetch.next_masks = then.masks;
    fetch.jump_at = (panel.masks != NULL ? panel.masks : panel.values) + plan->before;
    fetch.jump = then.values - (weights->data + weights->offsets[index + 1]);
    return fetch;
}

#endif
