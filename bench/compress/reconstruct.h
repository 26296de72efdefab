// SPDX-License-Identifier: MIT
// Compression of one matrix that lets the weights which are still free make up for those that are dropped or rounded, so that
// the layer's output on calibration text changes least: ‖WX − ŴX‖² = Σ over rows of e·H·eᵀ, e = w − ŵ, H = X·Xᵀ.
//
// Columns are gone through from first to last. A dropped or rounded weight's error, divided by U's diagonal, is taken off the
// columns behind it in proportion to its row of U, where H⁻¹ = Uᵀ·U after damping. With pruning that is SparseGPT (Frantar and
// Alistarh 2023, "SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot", algorithm 1), with rounding GPTQ
// (Frantar et al. 2022, algorithm 1), with both the former's joint form (section 3.5).
#ifndef LLMSWEEP_RECONSTRUCT_H
#define LLMSWEEP_RECONSTRUCT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernel.h"

struct reconstruction {
    // What is dropped, in columns of one block or groups of m; both 0: what the mask says and no more.
    double ratio;
    int n, m;
    // How the rest is rounded: as quantize_matrix, each group's scale taken when it is reached. bits 0: not at all.
    int bits, group; // group 0: one scale a row
    bool asymmetric;
    double damp; // of the diagonal's mean, added to it; 0.01 (SparseGPT), 0.1 (GPTQ)
    int block;   // columns; 128. Groups and m must not straddle blocks
};

// weights (rows, columns) become what is left; mask (rows, columns) is what remains at first (ones, or another method's choice) and in the
// end, NULL where nothing is dropped; codes receives codes, scales and zero points where bits > 0 (quantized_matrix_free), else NULL.
// hessian (columns, columns) holds Σ x·xᵀ, symmetric. 0, -ENOMEM, -EINVAL (a shape that the groups do not divide, a weight that is not
// finite), -EDOM (a hessian that is not positive definite even when damped), -ERANGE (scales beyond f16); one line in error.
int reconstruct(const struct reconstruction *how, int rows, int columns, const float *hessian, float *weights, uint8_t *mask,
                struct quantized_matrix *codes, char *error, size_t error_size);

// ‖WX − ŴX‖², from the hessian. NaN when memory is short.
double layer_error(const float *weights, const float *changed, int rows, int columns, const float *hessian);

#endif
