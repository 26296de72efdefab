// SPDX-License-Identifier: MIT
// Models as the Hugging Face hub has them: config.json, tokenizer.json and weights in safetensors files
// (https://github.com/huggingface/safetensors), in one file or several with an index.
#ifndef LLMSWEEP_SAFETENSORS_H
#define LLMSWEEP_SAFETENSORS_H

#include <stddef.h>

struct model;

// Opens a model by its folder or by a .safetensors file in it; matrices stay in the mapped files. Nothing is trusted: every length, offset and
// shape is checked before it is used. On failure *model is untouched and one line names the file, the place and the cure. Without a
// tokenizer.json, model->tokenizer is NULL.
int safetensors_open_model(struct model *model, const char *path, char *error, size_t error_size);

#endif
