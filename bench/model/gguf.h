// SPDX-License-Identifier: MIT
// GGUF files (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), versions 2 and 3: reading models of the architectures and
// tensor types that model.h and tensor.h list, and writing them.
#ifndef LLMSWEEP_GGUF_H
#define LLMSWEEP_GGUF_H

#include <stddef.h>

#include "bench/model/tensor.h"

struct gguf_file;
struct model;
struct variant;

// Opens a model: matrices stay in the mapped file. The file is not trusted: every count, length, offset and shape is checked against the
// file's size before it is used. On failure *model is untouched and one line names the file, the place and the cure. A model without a
// vocabulary loads with model->tokenizer == NULL.
int gguf_open_model(struct model *model, const char *path, char *error, size_t error_size);

struct gguf_contents {
    const struct model *model;      // loaded or opened
    const struct variant *variant;  // what was made of it, on one rank; NULL: the model as it is
    const struct gguf_file *source; // the file that the model came from, whose keys (vocabulary, chat template, …) are kept as they are; NULL:
                                    // they are made from the model and its tokenizer
    enum tensor_type type;          // of matrices: F32, F16, Q8_0 or Q4_0 (then embedding and output matrix are Q8_0); vectors are F32
};
// Writes a model so that other GGUF programs read it. Weights of a variant are those that its kernels compute with; where it has quantized a
// tied output matrix, the file gets one beside the embedding. Codes of q8g32 and q4g32 keep their values as Q8_0 and Q4_0. The file appears
// whole or not at all (written aside, synced, renamed). -EINVAL and -ENOTSUP for what cannot be written, or -errno; one line in error.
int gguf_write(const char *path, const struct gguf_contents *contents, char *error, size_t error_size);

// The same of a model as it is, with keys made from it.
int gguf_write_model(const char *path, const struct model *model, enum tensor_type type, char *error, size_t error_size);

#endif
