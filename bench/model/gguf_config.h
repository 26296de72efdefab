// SPDX-License-Identifier: MIT
// A model's dimensions from the keys of a GGUF file.
#ifndef LLMSWEEP_GGUF_CONFIG_H
#define LLMSWEEP_GGUF_CONFIG_H

#include <stddef.h>

struct gguf_file;
struct model_config;

// -EINVAL with one line that names path, the key, and what is supported.
int gguf_read_config(struct model_config *config, const struct gguf_file *file, const char *path, char *error, size_t error_size);

#endif
