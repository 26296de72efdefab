// SPDX-License-Identifier: MIT
// Activation-aware weight quantization (Lin et al. 2023, "AWQ: Activation-aware Weight Quantization for LLM Compression and
// Acceleration"): input channels that carry large activations are scaled up before rounding, and whoever produces them is scaled
// down; then each group's range is clipped where that lowers the output's error. Errors are ‖WX − ŴX‖² by the hessian X·Xᵀ of each
// linear layer; the authors' program compares the outputs of a whole attention instead, where q, k and v are searched.
#ifndef LLMSWEEP_ACTIVATION_AWARE_H
#define LLMSWEEP_ACTIVATION_AWARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernel.h"

struct awq_format {
    int bits, group; // group 0: one scale a row
    bool asymmetric;
};
struct awq_matrix {
    const float *weights; // (rows, columns)
    int rows;
};

// Searches the exponent α of s = mean|x|^α over 0, 1/20 … 19/20 (s divided by √(max·min)) for all matrices that share one input.
// magnitudes (columns): mean |x|. sharing (columns) gives the scale that each column has, in [0, scales); NULL: its own. Writes scales
// (scale_count); all 1 where nothing is better. -ENOMEM.
int awq_search_scales(const struct awq_format *format, const struct awq_matrix *matrices, int count, int columns,
                      const float *hessian, const float *magnitudes, const int *sharing, int scale_count, float *scales);

// Rounds weights (rows, columns), which become what the codes stand for. clip: each group's largest weight is lowered in steps of
// 1/20 down to 11/20, wherever the group's part of the output error falls. codes: quantized_matrix_free. Errors as quantize_matrix.
int awq_quantize(const struct awq_format *format, float *weights, int rows, int columns, const float *hessian, bool clip,
                 struct quantized_matrix *codes, char *error, size_t error_size);

#endif
