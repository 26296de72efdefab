// SPDX-License-Identifier: MIT
// A Llama-style language model: its dimensions and its weights in f32, as loaded or trained, before any compression.
//
// Block (Touvron et al. 2023, "LLaMA"): RMSNorm, attention with rotary positions and grouped query heads, RMSNorm, SwiGLU.
// Every weight matrix is stored row-major as (out, in), so a linear layer is y = x·Wᵀ.
#ifndef LLMSWEEP_MODEL_H
#define LLMSWEEP_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rope_style {
    ROPE_INTERLEAVED, // rotates the pairs (2i, 2i+1): GGUF architecture "llama"
    ROPE_HALVES       // rotates the pairs (i, i + head_dim/2): GGUF architectures "qwen2", "gemma", …
};

struct model_config {
    char name[64];
    int vocab, d_model, layers, heads, kv_heads, head_dim, ffn, context;
    float rope_theta, norm_eps;
    enum rope_style rope_style;
    bool tied_embeddings; // the output matrix is the embedding matrix
};

// The matrices of one block that are pruned, quantized and packed. Norms and embeddings stay f32
// (the output matrix is quantized as its own copy when it is tied).
enum layer_matrix { LAYER_Q, LAYER_K, LAYER_V, LAYER_O, LAYER_GATE, LAYER_UP, LAYER_DOWN, LAYER_MATRICES };

struct layer_weights {
    float *matrix[LAYER_MATRICES]; // Q (heads*head_dim, d_model)  K, V (kv_heads*head_dim, d_model)
                                   // O (d_model, heads*head_dim)  GATE, UP (ffn, d_model)  DOWN (d_model, ffn)
    float *attention_norm;         // (d_model)
    float *ffn_norm;               // (d_model)
};

struct tokenizer; // tokenizer.h

struct model {
    struct model_config config;
    struct layer_weights *layers; // (config.layers)
    float *embedding;             // (vocab, d_model)
    float *output;                // (vocab, d_model); the same pointer as embedding when tied
    float *final_norm;            // (d_model)
    struct tokenizer *tokenizer;  // NULL for a shape-only model
    bool tokenizer_shared;        // a clone's: another model frees it
    bool shape_only;              // seeded random weights: speeds mean something, quality does not
    uint64_t weights_hash;        // of every tensor's f32 bytes in file order; names the model in a cell's hash
    float *storage;               // owns all of the above in one allocation, parameter_count floats
    size_t parameter_count;       // a tied matrix counts once
};

// Rows (out) and columns (in) of a block's matrix.
void model_matrix_shape(const struct model_config *config, enum layer_matrix which, int *out, int *in);
// "q", "k", "v", "o", "gate", "up", "down".
const char *model_matrix_name(enum layer_matrix which);

// How many weights a model of these dimensions has; a tied matrix counts once.
size_t model_parameter_count(const struct model_config *config);

// Checks that the dimensions are positive, consistent and not absurd; -EINVAL and a one-line reason otherwise.
int model_config_check(const struct model_config *config, char *reason, size_t reason_size);

// Allocates all weights, zeroed, and points the tensors into model->storage. -ENOMEM, or -EINVAL for a bad config.
int model_allocate(struct model *model, const struct model_config *config);
// Fills every matrix with N(0, 0.02²) (the two that write to the residual stream scaled by 1/√(2·layers), as GPT-2)
// and every norm with 1, from the seed.
void model_randomize(struct model *model, uint64_t seed);
// Copies src, weights and all, into a fresh dst that shares src's tokenizer (dst does not own it). -ENOMEM.
int model_clone(struct model *dst, const struct model *src);
// Frees what the model owns and zeroes it; a zeroed model may be freed again.
void model_free(struct model *model);
// Recomputes weights_hash.
void model_hash(struct model *model);

// Loads any model that llmsweep understands: a .gguf file, or a shape .ini (see bench/models/shapes).
// On failure returns -errno and writes one line that names the file, the place and the cure to error.
int model_load(struct model *model, const char *path, char *error, size_t error_size);

#endif
