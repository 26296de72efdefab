// SPDX-License-Identifier: MIT
// What the files of bench/compress/calibrate*.c share.
#ifndef LLMSWEEP_CALIBRATE_INTERNAL_H
#define LLMSWEEP_CALIBRATE_INTERNAL_H

#include <stdbool.h>

#include "bench/compress/calibrate.h"

// The four inputs that a block's linear layers read.
enum layer_input { INPUT_ATTENTION, INPUT_OUTPUT, INPUT_FFN, INPUT_DOWN, LAYER_INPUTS };

// Over all tokens of the text.
struct input_statistics {
    int columns;
    float *hessian;       // (columns, columns) Σ x·xᵀ; NULL where nobody needs it
    float *squares, *sum; // (columns) Σ x², Σ |x|
    size_t tokens;
};

// One layer in f32, as its tokens go through it.
struct layer_copy {
    float *matrix[LAYER_MATRICES];
    float *attention_norm, *ffn_norm, *v_bias; // what a method may scale; v_bias may be NULL
    const struct layer_weights *source;        // the vectors that none does
    int index;
};

struct layer_forward; // buffers of the forward pass
// -ENOMEM, -EINVAL (a block that is not known here).
int layer_forward_create(struct layer_forward **forward, const struct model *model, const struct calibration *with, char *error,
                         size_t error_size);
void layer_forward_free(struct layer_forward *forward);
// The embedded text, (tokens, d_model), which the layers then carry on; windows whole.
float *layer_forward_stream(struct layer_forward *forward);
// Sends the text through a layer. statistics (LAYER_INPUTS): NULL, or receives what the linear layers are given; their arrays are zeroed
// first. advance: the stream becomes the layer's output.
void layer_forward_run(struct layer_forward *forward, const struct layer_copy *layer, struct input_statistics *statistics,
                       bool advance);

// Floats of a layer in calibrated->vectors: both norms and the bias of v, whether there is one or not.
size_t calibrated_vectors(const struct model_config *config);
// What calibration starts from: the model, with matrices still to be filled. -ENOMEM.
int calibrated_create(struct calibrated **calibrated, const struct model *model, const struct variant_recipe *recipe);

enum layer_input layer_input_of(enum layer_matrix which);
// What the columns of an input are as output rows of the matrix before it: o's columns are heads of v.
void layer_share_values(const struct model_config *config, int *sharing /* (heads·head_dim) */);

#endif
