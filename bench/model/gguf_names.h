// SPDX-License-Identifier: MIT
// Which tensor of a file is which weight of a model: one list for reading and writing, in a GGUF file's order.
#ifndef LLMSWEEP_GGUF_NAMES_H
#define LLMSWEEP_GGUF_NAMES_H

#include <stdbool.h>
#include <stddef.h>

struct model;
struct model_config;

struct gguf_weight {
    char name[64];     // in a GGUF file
    char hub_name[96]; // in a safetensors file of the Hugging Face hub; empty where there is none
    size_t offset;     // in floats from the start of a loaded model's storage
    int out, in;       // a matrix (out, in); a vector has out 0 and in elements
    int layer;         // −1: the embedding, the output matrix, the last norm, rotation factors
    int matrix;        // enum layer_matrix; −1: not a matrix of a block
    size_t member;     // of a block's vector: offset of its pointer in struct layer_weights; otherwise in struct model
};

// How many tensors a model of these dimensions has.
int gguf_weight_count(const struct model_config *config);
// The index-th of them.
struct gguf_weight gguf_weight_at(const struct model_config *config, int index);
// A vector's place in a model, loaded or opened, and a matrix's in a loaded one.
float **gguf_weight_pointer(struct model *model, const struct gguf_weight *weight);

#endif
