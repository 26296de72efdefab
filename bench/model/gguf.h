// SPDX-License-Identifier: MIT
// GGUF files (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), versions 2 and 3: reading models of the architectures and
// tensor types that model.h and tensor.h list, and writing them.
#ifndef LLMSWEEP_GGUF_H
#define LLMSWEEP_GGUF_H

#include <stddef.h>

#include "bench/model/tensor.h"

struct model;

// Opens a model: matrices stay in the mapped file. The file is not trusted: every count, length, offset and shape is checked against the
// file's size before it is used. On failure *model is untouched and one line names the file, the place and the cure. A model without a
// vocabulary loads with model->tokenizer == NULL.
int gguf_open_model(struct model *model, const char *path, char *error, size_t error_size);

// Writes a model (and its tokenizer, if it has one) so that other GGUF programs read it: matrices in type (TENSOR_F32 or
// TENSOR_F16, rounded to nearest even), norms in F32. The file appears whole or not at all (written aside, synced,
// renamed).
int gguf_write_model(const char *path, const struct model *model, enum tensor_type type, char *error, size_t error_size);

#endif
