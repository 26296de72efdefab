// SPDX-License-Identifier: MIT
// What is done to a model's weights before they are timed and judged: which weights are left out, how the rest are
// stored. A recipe is a description only; bench/compress/{prune,quantize} carry it out, bench/model/variant packs the
// result.
#ifndef LLMSWEEP_RECIPE_H
#define LLMSWEEP_RECIPE_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/kernel.h"

enum prune_method {
    PRUNE_NONE,
    PRUNE_MAGNITUDE, // the smallest |w|, any ratio
    PRUNE_THRESHOLD, // every |w| below a threshold
    PRUNE_N_OF_M,    // n of each m along the input, smallest |w| first
    PRUNE_BLOCK,     // blocks of block_rows × block_columns by pooled |w|
    PRUNE_METHODS
};
enum prune_scope { SCOPE_TENSOR, SCOPE_GLOBAL }; // one threshold a matrix, or one for all block matrices together
// What a weight's importance is, for PRUNE_MAGNITUDE and PRUNE_N_OF_M. All but the first need calibration text
// (bench/compress/calibrate.h) and are local by nature.
enum prune_criterion {
    CRITERION_MAGNITUDE, // |w|
    CRITERION_WANDA,     // |w|·‖x‖₂, compared within each output row
    CRITERION_SPARSEGPT, // by the damage that is left after the other weights have made up for it; they are changed
    CRITERION_GRADIENT,  // |w·∂loss/∂w|
    PRUNE_CRITERIA
};
// How weights become codes.
enum quantizer {
    QUANTIZER_NEAREST, // round to nearest
    QUANTIZER_GPTQ,    // column by column, what is not yet rounded makes up for what is; calibration text
    QUANTIZER_AWQ,     // inputs scaled by what the activations say, clipping searched; calibration text
    QUANTIZER_HQQ,     // scale and zero point fitted by half-quadratic splitting; weights only
    QUANTIZERS
};
enum block_pooling { POOL_AVERAGE, POOL_MAXIMUM };

struct variant_recipe {
    enum prune_method method;
    // Of the weights dropped, 0..1; n/m for PRUNE_N_OF_M; 0 for PRUNE_THRESHOLD, which drops what it finds.
    double ratio;
    double threshold; // PRUNE_THRESHOLD: |w| >= threshold stays
    enum prune_scope scope;
    int n, m;
    int block_rows, block_columns;
    enum block_pooling pooling;
    enum prune_criterion criterion;
    enum quantizer quantizer;
    struct weight_format format; // how the matrices are stored; its store follows from the method (recipe_complete)
};

// A pruning word: "none", "50%" or "0.5" (magnitude, per tensor; "0%" is none), "global:50%", "2:4", "b16x4:50%",
// "b16x4max:50%", "global:b16x4:50%", "t0.02" (threshold); "wanda:", "sparsegpt:" or "gradient:" before a ratio or n:m.
// Sets the pruning fields of the recipe and leaves its format and quantizer alone. -EINVAL with a reason that lists the
// known words.
int recipe_parse_prune(const char *word, struct variant_recipe *recipe, char *reason, size_t reason_size);
// The spec key prune_scope: "tensor", "global". Overrides the word's scope; n:m and threshold are local by nature and
// stay so.
int recipe_parse_scope(const char *word, struct variant_recipe *recipe, char *reason, size_t reason_size);
// Writes the word that parses back to the same pruning.
void recipe_prune_name(const struct variant_recipe *recipe, char *word, size_t size);
// A format word: a store ("q4g64", see kernel.h), with "gptq:", "awq:" or "hqq:" before it where codes are not rounded to
// nearest; those words alone mean gptq:q4g128, awq:q4g128a and hqq:q4g64a. Sets format and quantizer. -EINVAL with a
// reason.
int recipe_parse_format(const char *word, struct variant_recipe *recipe, char *reason, size_t reason_size);
// Writes the word that parses back to the same format and quantizer.
void recipe_format_name(const struct variant_recipe *recipe, char *word, size_t size);
// The CSV's method column: "none", "magnitude", "magnitude_global", "threshold", "n:m", "block", "block_global", "wanda",
// "sparsegpt", "gradient" (also n:m), and behind it the quantizer where there is one: "gptq", "wanda+awq".
void recipe_method_name(const struct variant_recipe *recipe, char *word, size_t size);
// Whether it takes calibration text to carry the recipe out.
bool recipe_is_calibrated(const struct variant_recipe *recipe);

// Makes pruning and store agree, so that what was pruned is neither stored nor read: a pruned recipe whose format is
// dense gets the store of its method (magnitude and threshold → bitmask, n:m → n:m where m is 4, 8 or 16, blocks → block where
// they are 16×4, else bitmask); a format that names a store ("q4g32+2:4") without a pruning method gets that method. -EINVAL with a
// reason when the two contradict each other.
int recipe_complete(struct variant_recipe *recipe, char *reason, size_t reason_size);
// Both words and the completion in one; scope may be NULL (the pruning word's own).
int recipe_parse(const char *prune, const char *scope, const char *format, struct variant_recipe *recipe, char *reason,
                 size_t reason_size);

#endif
