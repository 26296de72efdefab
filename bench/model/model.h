// SPDX-License-Identifier: MIT
// A Llama-style language model: its dimensions and its weights, as loaded or trained, before any compression.
//
// Block (Touvron et al. 2023, "LLaMA"): RMSNorm, attention with rotary positions and grouped query heads, RMSNorm, SwiGLU. What Qwen and
// Gemma add to it is a field of model_config each, 0 where a model does not have it.
// Every weight matrix is stored row-major as (out, in), so a linear layer is y = x·Wᵀ.
//
// A model is loaded (every weight in f32 in memory) or opened (vectors in memory; matrices stay in the mapped file, in its own format, and
// are read a few rows at a time, so that a model of any size can be packed).
#ifndef LLMSWEEP_MODEL_H
#define LLMSWEEP_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/model/tensor.h"

enum architecture {
    ARCHITECTURE_LLAMA,
    ARCHITECTURE_QWEN2,  // bias of q, k, v
    ARCHITECTURE_QWEN3,  // norm of each head of q and k
    ARCHITECTURE_GEMMA,  // GELU, scaled embeddings
    ARCHITECTURE_GEMMA2, // and norms behind attention and feed-forward, soft caps, sliding windows
    ARCHITECTURE_GEMMA3, // and norms of heads instead of soft caps, two rotation bases
    ARCHITECTURES
};

enum gate_function {
    GATE_SILU,
    GATE_GELU // by tanh (Hendrycks & Gimpel 2016)
};

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

    enum architecture architecture;
    enum gate_function gate;
    bool qkv_bias, qk_norm, post_norms; // post_norms: of what attention and feed-forward add to the residual stream
    bool rope_factors;                  // each rotation's frequency is divided by a factor of its own (Llama 3.1)
    float rope_scale;                   // positions are divided by it; 0: 1. Global layers only
    float embedding_scale;              // 0: 1
    float attention_scale;              // of q·k; 0: 1/√head_dim
    float attention_cap, output_cap;    // x becomes cap·tanh(x/cap), of scores and of logits; 0: none
    int window;                         // positions that a layer with a sliding window sees, itself included; 0: no such layers
    int window_period;                  // every so many layers, the last is global and the others have the window
    float window_rope_theta;            // of layers with a window; 0: rope_theta
};

// The matrices of one block that are pruned, quantized and packed. Norms and embeddings stay f32
// (the output matrix is quantized as its own copy when it is tied).
enum layer_matrix { LAYER_Q, LAYER_K, LAYER_V, LAYER_O, LAYER_GATE, LAYER_UP, LAYER_DOWN, LAYER_MATRICES };

struct layer_weights {
    float *matrix[LAYER_MATRICES]; // NULL in an opened model, see model_matrix
                                   // Q (heads*head_dim, d_model)  K, V (kv_heads*head_dim, d_model)
                                   // O (d_model, heads*head_dim)  GATE, UP (ffn, d_model)  DOWN (d_model, ffn)
    float *attention_norm;         // (d_model)
    float *ffn_norm;               // (d_model)
    // NULL where the model has none:
    float *q_bias, *k_bias, *v_bias;             // (heads·head_dim), (kv_heads·head_dim) twice
    float *q_norm, *k_norm;                      // (head_dim), of each head
    float *post_attention_norm, *post_ffn_norm;  // (d_model)
};

struct mapped_file; // mapped_file.h
struct tokenizer;   // tokenizer.h

struct model {
    struct model_config config;
    struct layer_weights *layers; // (config.layers)
    float *embedding;             // (vocab, d_model); NULL in an opened model, see model_embedding
    float *output;                // (vocab, d_model); the same pointer as embedding when tied
    float *final_norm;            // (d_model)
    float *rope_factors;          // (head_dim/2); NULL without config.rope_factors
    struct tokenizer *tokenizer;  // NULL for a shape-only model
    bool tokenizer_shared;        // a clone's: another model frees it
    bool shape_only;              // seeded random weights: speeds mean something, quality does not
    uint64_t weights_hash;        // names the model in a cell's hash: of every weight's f32 bytes in file order; of an opened model, of
                                  // the bytes as they lie in its file
    float *storage;               // owns all of the above in one allocation: parameter_count floats, or the vectors of an opened model
    size_t parameter_count;       // a tied matrix counts once

    // Of an opened model:
    struct tensor (*stored)[LAYER_MATRICES]; // (config.layers), in the mapped files; NULL in a loaded model
    struct tensor stored_embedding, stored_output;
    struct mapped_file *files; // (file_count), closed by model_free
    int file_count;
    const struct mapped_file *embedding_file; // one of them, with its descriptor, where rows of the embedding are copied out of the file;
                                              // NULL where they are read from memory
};

// Rows (out) and columns (in) of a block's matrix.
void model_matrix_shape(const struct model_config *config, enum layer_matrix which, int *out, int *in);
// Where a matrix of a loaded or an opened model lies; valid as long as the model.
struct tensor model_matrix(const struct model *model, int layer, enum layer_matrix which);
struct tensor model_embedding(const struct model *model);
struct tensor model_output(const struct model *model);
// A token's row of the embedding, x (d_model). A large file's pages stay out of this process's memory.
void model_read_embedding(const struct model *model, int token, float *x);
// Whether positions that lie config.window back and further are hidden from this layer.
bool model_layer_windowed(const struct model_config *config, int layer);
// cosines, sines (positions, head_dim/2) of the rotations of a layer at positions 0, 1, …
void model_rotations(const struct model *model, bool windowed, int positions, float *cosines, float *sines);
// Whether a block is Llama's, without any of the additions: what the trainer can do.
bool model_config_plain(const struct model_config *config);
// "llama", "qwen2", …: GGUF's names. ARCHITECTURES for a name that is not known; all of them, for messages.
const char *model_architecture_name(enum architecture architecture);
enum architecture model_architecture(const char *name, size_t bytes);
const char *model_architecture_names(void);
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

// Opens any model that llmsweep understands: a .gguf file (the first, if it is split), a folder or .safetensors file of the Hugging Face
// hub, or a shape .ini (see bench/models/shapes; its random weights are made in memory). On failure returns -errno and writes one line that
// names the file, the place and the cure to error.
int model_open(struct model *model, const char *path, char *error, size_t error_size);
// The same with every weight in f32 in memory.
int model_load(struct model *model, const char *path, char *error, size_t error_size);
// Brings the matrices of an opened model into memory and lets the file go. -ENOMEM; the model is as it was then.
int model_widen(struct model *model);

// Lets the pages of an opened model's files go that are still in memory. They come again where they are read.
void model_release(const struct model *model);

// For those who open files: makes a message one line, whatever bytes of a file it repeats: control characters become '?'.
void model_one_line(char *message);
// For those who open files: allocates the vectors, leaves the matrices to be pointed into the files. Errors as model_allocate.
int model_allocate_vectors(struct model *model, const struct model_config *config);
// Hashes the matrices as they lie in the files, and the vectors.
void model_hash_stored(struct model *model);
// Takes the files over, into which the model's matrices point by now, and lets their pages go. The last step.
void model_take_files(struct model *model, struct mapped_file *files, int count);

#endif
