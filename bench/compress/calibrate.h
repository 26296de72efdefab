// SPDX-License-Identifier: MIT
// Compression that looks at activations: the model reads calibration text, layer by layer, and each layer is compressed by what its
// linear layers were given. Text goes through the layers that are compressed already, so that a layer can make up for those before it.
//
// Memory: the text's residual stream (tokens × d_model), one layer in f32 with its hessians, and what comes out; the gradient criterion
// needs the whole model in f32 twice more.
#ifndef LLMSWEEP_CALIBRATE_H
#define LLMSWEEP_CALIBRATE_H

#include <stddef.h>
#include <stdint.h>

#include "bench/compress/recipe.h"
#include "bench/model/model.h"
#include "bench/model/team.h"

struct calibration {
    const int32_t *tokens; // (count), cut into windows; a rest shorter than a window is left out
    size_t count;
    int window;
    int bos;     // takes the place of each window's first token; −1: nothing does
    int threads; // of OpenMP, which are bound by `bind` (NULL: not bound)
    team_bind_function *bind;
    void *bind_context;
};

// What came of one matrix.
struct compressed_matrix {
    float *weights; // (rows, columns) that are to be stored; NULL: the model's own
    uint8_t *mask;  // (rows, columns) 0 = dropped; NULL: nothing is
    struct quantized_matrix codes; // where a method chose them itself; codes.codes NULL: the weights are rounded when they are stored
};

struct calibrated {
    struct variant_recipe recipe;
    // The model itself but for vectors that a method scaled; shares all else with the source, which must outlive it.
    struct model model;
    float *vectors;
    struct compressed_matrix (*matrix)[LAYER_MATRICES]; // (layers); NULL once they were dropped
};

// Carries a recipe out for which recipe_is_calibrated(). The result does not depend on the layout. -EINVAL (less text than a window, a
// model that calibration does not know, a matrix that the groups do not divide), -ENOMEM, -EDOM, -ERANGE with one line in error.
int calibrate(struct calibrated **calibrated, const struct model *model, const struct variant_recipe *recipe,
              const struct calibration *with, char *error, size_t error_size);
// Frees the matrices, which nobody needs once they are packed.
void calibrated_drop_matrices(struct calibrated *calibrated);
void calibrated_free(struct calibrated *calibrated);

// Calibrated once, used by every layout: kept in a file of `folder`, which is made, under a hash of model, recipe and text.
// calibrated_find: 0; -ENOENT when there is no such file; -EINVAL when it is damaged. calibrated_keep: the file appears whole or not at
// all; files that were not used for the longest time are deleted while they all take more than CALIBRATED_KEPT bytes.
#define CALIBRATED_KEPT (UINT64_C(8) << 30)
int calibrated_find(struct calibrated **calibrated, const char *folder, const struct model *model,
                    const struct variant_recipe *recipe, const struct calibration *with, char *error, size_t error_size);
int calibrated_keep(const struct calibrated *calibrated, const char *folder, const struct calibration *with, char *error,
                    size_t error_size);
// $LLMSWEEP_CACHE, or llmsweep in $XDG_CACHE_HOME or ~/.cache; then "/calibrated".
void calibrated_folder(char *folder, size_t size);

#endif
