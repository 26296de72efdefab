// SPDX-License-Identifier: MIT
// Linear quantization: w ≈ scale·(code − zero_point), round to nearest, ties to even.
//
// Symmetric: codes in [−(2^(b−1)−1), 2^(b−1)−1], scale = max|w|/(2^(b−1)−1). Asymmetric (up to 8 bits): codes in [0,
// 2^b−1], scale = (max − min)/(2^b−1) over a range that is widened to hold 0, so that 0 has a code of its own (the zero
// point) and a pruned weight is exactly 0 again. Scales are rounded to f16, as they are stored, before the codes are
// computed, and upwards, so that no code is clipped: |w − dequantized| ≤ scale/2 everywhere.
#ifndef LLMSWEEP_COMPRESS_QUANTIZE_H
#define LLMSWEEP_COMPRESS_QUANTIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernel.h"

enum { QUANTIZE_CHANNEL = 0, QUANTIZE_TENSOR = -1 }; // values of `group` beside 32, 64, 128

// Quantizes (rows, columns) row-major weights to `bits` (16 8 6 5 4 3 2) with one scale for each `group` weights along
// the input, each row (QUANTIZE_CHANNEL) or the matrix (QUANTIZE_TENSOR, stored as the same scale in every row). The
// caller frees the matrix with quantized_matrix_free. -ENOMEM; -EINVAL with one line in error for other bits, columns
// that the group does not divide, 16 bits asymmetric, NaN; -ERANGE when a scale is beyond f16 (|w| of about
// 65504·(2^(b−1)−1)).
int quantize_matrix(const float *weights, int rows, int columns, int bits, int group, bool asymmetric,
                    struct quantized_matrix *matrix, char *error, size_t error_size);
void quantized_matrix_free(struct quantized_matrix *matrix);
// weights (rows, columns) = scale·(code − zero_point).
void quantize_dequantize(const struct quantized_matrix *matrix, float *weights);

// The scale of weights within [low, high], which is widened to hold 0, and their zero point (NULL: symmetric). INFINITY beyond f16.
float quantize_scale(float low, float high, int bits, uint8_t *zero_point);
// The code of one weight, at most the ends of the range, and the weight that it stands for.
int quantize_weight(float weight, float scale, int bits, const uint8_t *zero_point, float *rounded);

// Half-quadratic quantization (Badri and Shaji 2023, "Half-Quadratic Quantization of Large Machine Learning Models"): as
// quantize_matrix for groups or rows of 2 to 8 bits, but scale and zero point are fitted so that a norm of the errors
// becomes small that minds outliers less than squares do (p = 0.7, β = 10, growing by 1.01 in each of 20 steps). The
// paper's zero points are real numbers; ours are stored as integers, so that the scale is fitted, too. Groups that get no
// better stay as quantize_matrix has them. mask: NULL, or 0 where a weight is dropped, which then has no say in it.
int quantize_half_quadratic(const float *weights, const uint8_t *mask, int rows, int columns, int bits, int group,
                            bool asymmetric, struct quantized_matrix *matrix, char *error, size_t error_size);

// round(x/scale), ties to even, clipped to [low, high]; 0 clipped to the range for a scale of 0.
int quantize_code(double x, double scale, int low, int high);
// The smallest f16 number that is not below x ≥ 0; infinity beyond 65504.
float quantize_round_up_f16(double x);

// Dynamic quantization of activations to 8 bits, symmetric, one f32 scale max|x|/127 for each row (token), codes
// round(x·(127/max|x|)): bit for bit what OP_QUANTIZE_ROWS of the kernels gives. A row below 2^-100 becomes zeros; one that
// holds NaN or infinity gets a scale of NaN, so that nothing hides it.
// x (rows, columns) → codes (rows, columns), scales (rows).
void quantize_activations(const float *x, int rows, int columns, int8_t *codes, float *scales);
// y[i][j] = scales[i]·codes[i][j]
void quantize_activations_back(const int8_t *codes, const float *scales, int rows, int columns, float *y);
// The same in one go and in place, without codes: bit for bit what the two calls above give.
void quantize_activations_fake(float *x, int rows, int columns);

#endif
