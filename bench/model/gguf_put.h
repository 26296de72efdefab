// SPDX-License-Identifier: MIT
// The parts of a GGUF file that is written: numbers, texts, and the section of keys.
#ifndef LLMSWEEP_GGUF_PUT_H
#define LLMSWEEP_GGUF_PUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "bench/model/tensor.h"

struct gguf_file;
struct model;

enum { GGUF_ALIGNMENT = 32 }; // of tensors in a file that we write

// Errors stick to the stream and are asked for once, at the end.
void gguf_put(FILE *out, const void *bytes, size_t count);
void gguf_put_u32(FILE *out, uint32_t value);
void gguf_put_u64(FILE *out, uint64_t value);
void gguf_put_text(FILE *out, const char *text, size_t bytes);

// All keys; *count receives how many. Those that describe the model come from source, its vocabulary included, as they are there; where
// source is NULL they are made from the model and its tokenizer. type: of the matrices. 0 or -ENOMEM.
int gguf_put_keys(FILE *out, uint64_t *count, const struct model *model, const struct gguf_file *source, enum tensor_type type);

#endif
