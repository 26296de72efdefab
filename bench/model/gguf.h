// SPDX-License-Identifier: MIT
// GGUF version 3 files (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): reading Llama-style models that
// hold F32, F16 or BF16 tensors and a byte-level BPE vocabulary, and writing them.
#ifndef LLMSWEEP_GGUF_H
#define LLMSWEEP_GGUF_H

#include <stddef.h>

struct model;

enum gguf_type { GGUF_F32 = 0, GGUF_F16 = 1, GGUF_BF16 = 30 }; // ggml's numbers

// Reads a model, weights widened to f32. The file is not trusted: every count, length, offset and shape is checked
// against the file's size before it is used. On failure *model is untouched and one line names the file, the place and
// the cure. A model without a vocabulary that we understand loads with model->tokenizer == NULL.
int gguf_read_model(struct model *model, const char *path, char *error, size_t error_size);

// Writes a model (and its tokenizer, if it has one) so that other GGUF programs read it: matrices in type (GGUF_F32 or
// GGUF_F16, rounded to nearest even), norms in F32. The file appears whole or not at all (written aside, synced,
// renamed).
int gguf_write_model(const char *path, const struct model *model, enum gguf_type type, char *error, size_t error_size);

#endif
