// SPDX-License-Identifier: MIT
// Which GGUF tensor is which weight of a model: one list for reading and writing, in the file's order.
#ifndef LLMSWEEP_GGUF_NAMES_H
#define LLMSWEEP_GGUF_NAMES_H

#include <stdbool.h>
#include <stddef.h>

struct model;
struct model_config;

struct gguf_weight {
    char name[64];
    size_t offset; // in floats from the start of model->storage
    int out, in;   // a matrix (out, in); a vector has out 0 and in elements
};

// How many tensors a model of these dimensions has.
int gguf_weight_count(const struct model_config *config);
// The index-th of them.
struct gguf_weight gguf_weight_at(const struct model_config *config, int index);

#endif
