// SPDX-License-Identifier: MIT
// Shape-only models: a real model's dimensions as an .ini file, filled with seeded random weights.
#ifndef LLMSWEEP_SHAPE_H
#define LLMSWEEP_SHAPE_H

#include <stddef.h>

struct model;
struct model_config;

// Reads the [model] section: name vocab d_model layers heads kv_heads head_dim ffn context rope_theta norm_eps
// rope_style (interleaved or halves) tied_embeddings (yes or no). 0, or -errno with one line naming file, line and
// cure.
int shape_read(struct model_config *config, const char *path, char *error, size_t error_size);

// shape_read, then weights drawn from a seed that depends on the dimensions only; model->shape_only is set.
int shape_load(struct model *model, const char *path, char *error, size_t error_size);

#endif
