// SPDX-License-Identifier: MIT
// A model's dimensions from the config.json of the Hugging Face hub.
#ifndef LLMSWEEP_SAFETENSORS_CONFIG_H
#define LLMSWEEP_SAFETENSORS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

struct model_config;

// Reads folder/config.json. What the weights say: rows of the embedding, whether there is an output matrix and a bias of q. factors (head_dim/2)
// receives the rotation factors where config->rope_factors is set. -EINVAL with one line that names the file, the key, what is supported.
int safetensors_read_config(struct model_config *config, const char *folder, int vocab, bool has_output, bool has_bias, float *factors,
                            char *error, size_t error_size);

#endif
