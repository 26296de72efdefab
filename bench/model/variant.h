// SPDX-License-Identifier: MIT
// A model after compression, as one rank of a layout holds it: pruned, quantized and packed shards of its matrices.
//
// What to drop and the scales are decided on whole tensors, before they are cut, so that every layout computes with the same numbers.
// Column split (output rows): q, k, v, gate, up, and the output matrix by vocabulary. Row split (input columns): o, down.
// All block matrices and the output matrix are compressed. A tied output matrix is compressed as its own copy, and the rows that are
// looked up for the input tokens stay f32, as do the norms. The output matrix is quantized and not pruned where the recipe prunes:
// pruning it would cost quality out of proportion (as the pruning papers leave it out).
#ifndef LLMSWEEP_VARIANT_H
#define LLMSWEEP_VARIANT_H

#include <stddef.h>
#include <stdint.h>

#include "bench/compress/calibrate.h"
#include "bench/compress/recipe.h"
#include "bench/model/layout.h"
#include "bench/model/model.h"
#include "kernels/kernel.h"

struct variant {
    const struct model *model; // embeddings, norms, tokenizer: must outlive the variant
    struct calibrated *calibrated; // owned: what calibration made of the model, its matrices dropped; NULL without
    struct variant_recipe recipe;
    struct layout layout;
    struct layout_place place;
    struct layout_range layers;                     // of this stage
    struct layout_range vocabulary;                 // rows of the output matrix held here; empty but on the last stage
    int heads, kv_heads, ffn;                       // held here
    struct packed_matrix *(*matrix)[LAYER_MATRICES]; // (layers.end − layers.begin)
    struct packed_matrix *output;                   // (vocabulary rows, d_model); NULL but on the last stage
    size_t weight_bytes;     // of the packed buffers of this rank
    size_t weights;          // how many weights they stand for
    size_t block_weights;    // of those, in the block matrices …
    size_t pruned_weights;   // … and how many of them pruning left out, counted
};

// Compresses, cuts and packs the shard of `rank`. Needs no communication. The layout must have passed layout_check. -EINVAL when the
// recipe (a completed one, see recipe_complete) does not fit the model, -ENOMEM; one line in error.
int variant_create(struct variant **variant, const struct model *model, const struct variant_recipe *recipe, const struct layout *layout,
                   int rank, char *error, size_t error_size);
// The same of a recipe that was carried out over calibration text, which variant_create refuses. Takes `calibrated` over, also when it fails.
int variant_create_calibrated(struct variant **variant, struct calibrated *calibrated, const struct layout *layout, int rank, char *error,
                              size_t error_size);
void variant_free(struct variant *variant);

#endif
