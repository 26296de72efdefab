// SPDX-License-Identifier: MIT
// What is brought to second-level cache while a panel is read by few tokens. Hardware follows the panel's sections too, but stops
// every 4 KB and does not know where the next panel's sections begin; without this, the first kilobytes of each of them are waited for.
//
// Long panels and dense ones: values linear_fetch_distance() bytes before their use, masks and scales SECTION_AHEAD; behind a section's end that is the
// start of the next panel's. Farther is no faster, and for sparse 8-bit weights a tenth slower. Sparse panels of up
// to SHORT_PANEL bytes: the next panel's same place, since what is 4 KB ahead then is often in another section. Tiny panels: FAR_AHEAD, whatever
// that is, since saying more would take as long as reading them.
#ifndef LLMSWEEP_LINEAR_FETCH_H
#define LLMSWEEP_LINEAR_FETCH_H

#include "kernels/pack/packed.h"

enum { FAR_AHEAD = 4096, NEAR_AHEAD = 512, SECTION_AHEAD = 1024, SHORT_PANEL = 32 << 10 };

// How many bytes ahead values of such a format are fetched to second-level cache, and whether to the first, NEAR_AHEAD, too: FAR_AHEAD and yes, or
// what this CPU was found to be faster with. 0: not at all.
struct fetch_distance {
    ptrdiff_t far;
    bool near;
};
struct fetch_distance linear_fetch_distance(const struct weight_format *format, int tokens);

// The same for all panels of a matrix, which are taken to be as long as the first.
struct fetch_plan {
    const struct packed_matrix *weights;
    ptrdiff_t values; // bytes of values ahead
    bool near;        // and to first-level cache, too
    ptrdiff_t before; // bytes of masks (of a dense store: of values) of a panel, after which these are in the next one
    int lines;        // of values a tile
    bool panel_ahead; // a whole panel ahead instead
    bool tiny;        // panels that are not longer than what is fetched ahead
};

// Of one panel that is being read.
struct fetch {
    ptrdiff_t values, sections; // bytes ahead of values, and of masks and scales
    const uint8_t *jump_at;     // where masks, or values of a dense store, are read when `values` is to grow by `jump`
    ptrdiff_t jump;
    const uint8_t *next_scales, *next_masks;
    int lines;
    bool near;
};

// For `tokens` at once. `streams` panels are read by turns: each is fetched so much less ahead.
static inline struct fetch_plan fetch_plan(const struct packed_matrix *weights, int tokens, int streams) {
    const ptrdiff_t tiles = weights->tiles, all = packed_panel_end(weights, 0) - weights->data;
    if (all <= FAR_AHEAD) // before anything is divided
        return (struct fetch_plan){.weights = weights, .tiny = true};
    const ptrdiff_t values = all - (ptrdiff_t)weights->values_at, masks = packed_mask_bytes(&weights->format);
    const struct fetch_distance distance = linear_fetch_distance(&weights->format, tokens);
    const ptrdiff_t ahead = (distance.far < all ? distance.far : all) / streams * tiles / all; // tiles
    const bool sparse = weights->format.store != STORE_DENSE;
    // Rounded up but for an eighth: where a tile has 1.4 lines and one is fetched, the rest is waited for (a fifth slower).
    const int lines = (int)((values + 56 * tiles) / (64 * tiles));
    return (struct fetch_plan){.weights = weights,
                               .values = values * ahead / tiles,
                               .near = distance.near,
                               .before = (tiles - ahead) * (sparse ? masks : values / tiles),
                               .lines = lines > 0 ? lines : 1,
                               .panel_ahead = sparse && all <= SHORT_PANEL};
}

// For a panel of which it is not known what is read after it.
static inline struct fetch fetch_within(const struct packed_matrix *weights) {
    return (struct fetch){.values = FAR_AHEAD, .sections = SECTION_AHEAD, .lines = (weights->format.bits + 1) / 2, .near = true}; // as half of the codes take
}

// For panel `index`, after which panel `next` is read; −1 if none is.
static inline struct fetch fetch_panel(const struct fetch_plan *plan, int index, int next) {
    const struct packed_matrix *weights = plan->weights;
    if (plan->tiny)
        return fetch_within(weights);
    const struct panel panel = packed_panel(weights, index);
    struct fetch fetch = {.values = plan->values, .sections = SECTION_AHEAD, .lines = plan->lines, .near = plan->near};
    if (plan->panel_ahead)
        fetch.values = fetch.sections = next < 0 ? 0 : (ptrdiff_t)(weights->offsets[next] - weights->offsets[index]);
    if (plan->panel_ahead || next < 0 || plan->values == 0)
        return fetch;
    const struct panel then = packed_panel(weights, next);
    fetch.next_scales = then.scales != NULL ? then.scales : then.values;
    fetch.next_masks = then.masks;
    fetch.jump_at = (panel.masks != NULL ? panel.masks : panel.values) + plan->before;
    fetch.jump = then.values - packed_panel_end(weights, index);
    return fetch;
}

#endif
