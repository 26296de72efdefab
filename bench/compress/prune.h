// SPDX-License-Identifier: MIT
// Which weights are left out. A mask has one byte a weight, 1 = stays, 0 = dropped, in the weights' own order.
//
// Every function takes the mask of what remains (all ones before the first pruning) and clears more of it: a weight
// that was dropped stays dropped and is not counted again, so that 50% twice leaves 25%. "Importance" is |w|, or
// whatever a method ranks weights by (|w·g|, …); it is never negative. None of the functions changes the weights:
// prune_copy does.
//
// Magnitude pruning follows Zhu and Gupta 2017, "To prune, or not to prune": of n weights, k = max(round(n(1 − s)), 1)
// stay, round to even at .5; the threshold is the k-th largest importance and everything that reaches it stays, ties
// included.
#ifndef LLMSWEEP_PRUNE_H
#define LLMSWEEP_PRUNE_H

#include <stddef.h>
#include <stdint.h>

#include "bench/compress/recipe.h"

struct prune_tensor {
    const float *importance; // (rows, columns); the sign is ignored, so that weights can be passed as they are
    int rows, columns;
    uint8_t *mask; // (rows, columns)
};

// max(round(count·(1 − ratio)), 1); 0 for a count of 0.
size_t prune_keep_count(size_t count, double ratio);

// Prunes what the recipe says, over the tensors together (SCOPE_GLOBAL) or each by itself. 0; -EINVAL with one line in
// error when a value is NaN or the shape does not fit n:m. Blocks that stick out over an edge are pooled over the
// weights that exist.
int prune_tensors(const struct variant_recipe *recipe, const struct prune_tensor *tensors, size_t count, char *error,
                  size_t error_size);

// SCOPE_GLOBAL over matrices that are not in memory together: prune_find looks at one after the other, several times, for the threshold of
// importances or of pooled blocks; prune_at then prunes each by it as prune_tensors would have. `look` gives a matrix's importance, valid until it
// is called again; 0 or an error, which is handed on. Its mask is not looked at: everything remains. -ENOMEM, too.
typedef int prune_look_function(void *context, size_t index, struct prune_tensor *tensor);
int prune_find(const struct variant_recipe *recipe, size_t count, prune_look_function *look, void *context, float *threshold, char *error,
               size_t error_size);
int prune_at(const struct variant_recipe *recipe, const struct prune_tensor *tensor, float threshold, char *error, size_t error_size);

// The parts of which prune_tensors is made; errors as there (-ENOMEM, too).
int prune_magnitude(const struct prune_tensor *tensors, size_t count, double ratio, float *threshold, char *error,
                    size_t error_size);
int prune_threshold(const struct prune_tensor *tensor, double threshold, char *error, size_t error_size);
// Drops the n least important of each m neighbours along the input; of equals the earlier one stays. What is already
// dropped counts towards n. Mishra et al. 2021, "Accelerating Sparse Deep Neural Networks" (2:4).
int prune_n_of_m(const struct prune_tensor *tensor, int n, int m, char *error, size_t error_size);
int prune_block(const struct prune_tensor *tensors, size_t count, int block_rows, int block_columns,
                enum block_pooling pooling, double ratio, char *error, size_t error_size);

// importance[i] += |w[i]·g[i]|: call once a calibration batch, on zeros at first. The first-order change of the loss
// when w[i] is removed (Molchanov et al. 2017, "Pruning Convolutional Neural Networks for Resource Efficient
// Inference", eq. 9).
void prune_gradient_importance(const float *weights, const float *gradients, size_t count, float *importance);

// Importance |w|·‖x‖₂ and each output row pruned by itself, to the recipe's ratio or n:m (Sun et al. 2023, "A Simple and Effective
// Pruning Approach for Large Language Models", eq. 1). squares (columns): Σ x² of each input over the calibration text; importance
// (rows, columns) is filled. Errors as prune_tensors.
int prune_wanda(const struct variant_recipe *recipe, const float *weights, int rows, int columns, const float *squares,
                float *importance, uint8_t *mask, char *error, size_t error_size);

// weights[i] = 0 where mask[i] = 0.
void prune_apply(float *weights, const uint8_t *mask, size_t count);
// out[i] = weights[i], or 0 where mask[i] = 0. They may not overlap.
void prune_copy(float *restrict out, const float *restrict weights, const uint8_t *restrict mask, size_t count);
// How many entries of the mask are 0.
size_t prune_dropped(const uint8_t *mask, size_t count);
// The fraction of the mask that is 0.
double prune_sparsity(const uint8_t *mask, size_t count);

#endif
