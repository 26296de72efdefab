// SPDX-License-Identifier: MIT
#include "bench/compress/quantize.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { F16_MANTISSA = 11, F16_MAX = 65504 };

float quantize_round_up_f16(double x) {
    // Below 2⁻¹⁴ multiples of 2⁻²⁴; above, the bits of a double that f16 does not have are rounded up into those that it has.
    const uint64_t beyond = (UINT64_C(1) << (DBL_MANT_DIG - F16_MANTISSA)) - 1;
    double rounded = ceil(x * 0x1p24) * 0x1p-24;
    if (x >= 0x1p-14) {
        uint64_t bits;
        memcpy(&bits, &x, sizeof bits);
        bits = (bits + beyond) & ~beyond;
        memcpy(&rounded, &bits, sizeof bits);
    }
    return rounded <= F16_MAX ? (float)rounded : INFINITY;
}

int quantize_code(double x, double scale, int low, int high) {
    double code = scale > 0 ? nearbyint(x / scale) : 0;
    return code >= high ? high : code > low ? (int)code : low;
}

static int groups_a_row(int columns, int group) {
    return group > 0 ? columns / group : 1;
}

static int check(int rows, int columns, int bits, int group, bool asymmetric, char *error, size_t error_size) {
    bool known_bits = bits == 16 || bits == 8 || (bits >= 2 && bits <= 6);
    bool known_group =
        group == QUANTIZE_CHANNEL || group == QUANTIZE_TENSOR || group == 32 || group == 64 || group == 128;
    if (rows < 1 || columns < 1)
        snprintf(error, error_size, "quantization: a %dx%d matrix has no weights", rows, columns);
    else if (!known_bits)
        snprintf(error, error_size, "quantization: no format has %d bits (known: 16 8 6 5 4 3 2)", bits);
    else if (!known_group)
        snprintf(error, error_size, "quantization: unknown group %d (known: 32 64 128, per channel, per tensor)",
                 group);
    else if (group > 0 && columns % group)
        snprintf(error, error_size, "quantization: groups of %d do not divide the %d columns of a matrix", group,
                 columns);
    else if (asymmetric && bits > 8)
        snprintf(error, error_size, "quantization: asymmetric codes have at most 8 bits, not %d", bits);
    else
        return 0;
    return -EINVAL;
}

struct range {
    float low, high; // holds 0
};

// A float as an integer that sorts as it does, and back: integers have vector instructions for the least and the largest.
static inline int32_t sortable(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits ^ (bits >> 31 & INT32_MAX);
}

static float unsortable(int32_t bits) {
    float x;
    bits ^= bits >> 31 & INT32_MAX;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// Widens the range over the values; false if one is not finite.
static bool range_add(struct range *range, const float *values, size_t count) {
    int32_t low = sortable(range->low), high = sortable(range->high);
    for (size_t i = 0; i < count; i++) {
        const int32_t x = sortable(values[i]);
        low = x < low ? x : low;
        high = x > high ? x : high;
    }
    range->low = unsortable(low);
    range->high = unsortable(high);
    return low >= sortable(-FLT_MAX) && high <= sortable(FLT_MAX);
}

static double scale_of(const struct range *range, int bits, bool asymmetric) {
    if (asymmetric)
        return ((double)range->high - (double)range->low) / ((1 << bits) - 1);
    return fmax(-(double)range->low, (double)range->high) / ((1 << (bits - 1)) - 1);
}

// Codes as quantize_code() gives them, of up to 8 bits, in single precision: adding 1.5·2²³ rounds to a whole number, to nearest
// even. False where a quotient lies too near to the middle between two codes for that.
static bool encode_in_float(const float *restrict weights, size_t count, float scale, int low, int high, int zero,
                            int16_t *restrict codes) {
    const float shift = 0x1.8p23f, factor = 1 / scale, least = (float)low, most = (float)high;
    int near_middle = 0;
    for (size_t i = 0; i < count; i++) {
        const float quotient = weights[i] * factor, whole = quotient + shift - shift;
        near_middle |= fabsf(quotient - whole) > 0.4999f;
        const float code = whole > most ? most : whole < least ? least : whole;
        codes[i] = (int16_t)((int)code + zero);
    }
    return !near_middle;
}

// Codes of `count` weights with one scale, and its zero point.
static void encode(const float *weights, size_t count, const struct range *range, float scale, int bits,
                   uint8_t *zero_point, int16_t *codes) {
    const int low = zero_point ? 0 : -((1 << (bits - 1)) - 1), high = zero_point ? (1 << bits) - 1 : -low;
    int zero = zero_point ? quantize_code(-(double)range->low, scale, low, high) : 0;
    bool done = bits <= 8 && scale > 0 && encode_in_float(weights, count, scale, low - zero, high - zero, zero, codes);
    for (size_t i = 0; i < count && !done; i++)
        codes[i] = (int16_t)(quantize_code(weights[i], scale, low - zero, high - zero) + zero);
    if (zero_point)
        *zero_point = (uint8_t)zero;
}

// 0, -EINVAL for a weight that is not finite, -ERANGE for a scale beyond f16.
static int quantize_row(const float *weights, const struct range *whole, int row,
                        const struct quantized_matrix *matrix) {
    int groups = groups_a_row(matrix->columns, matrix->group);
    size_t size = (size_t)(matrix->columns / groups);
    for (int g = 0; g < groups; g++) {
        size_t entry = (size_t)row * (size_t)groups + (size_t)g;
        struct range range = {0, 0};
        if (whole)
            range = *whole;
        else if (!range_add(&range, weights + entry * size, size))
            return -EINVAL;
        uint8_t *zero_point = matrix->zero_points ? &matrix->zero_points[entry] : NULL;
        matrix->scales[entry] = quantize_round_up_f16(scale_of(&range, matrix->bits, zero_point != NULL));
        if (!isfinite(matrix->scales[entry]))
            return -ERANGE;
        encode(weights + entry * size, size, &range, matrix->scales[entry], matrix->bits, zero_point,
               matrix->codes + entry * size);
    }
    return 0;
}

static int quantize_rows(const float *weights, const struct range *whole, const struct quantized_matrix *matrix) {
    int not_finite = 0, too_large = 0;
#pragma omp parallel for reduction(|                                                                                   \
                                   : not_finite,                                                                       \
                                     too_large) if ((size_t)matrix->rows * (size_t)matrix->columns > 1 << 15)
    for (int row = 0; row < matrix->rows; row++) {
        int code = quantize_row(weights, whole, row, matrix);
        not_finite |= code == -EINVAL;
        too_large |= code == -ERANGE;
    }
    return not_finite ? -EINVAL : too_large ? -ERANGE : 0;
}

int quantize_matrix(const float *weights, int rows, int columns, int bits, int group, bool asymmetric,
                    struct quantized_matrix *matrix, char *error, size_t error_size) {
    memset(matrix, 0, sizeof *matrix);
    int code = check(rows, columns, bits, group, asymmetric, error, error_size);
    if (code)
        return code;
    bool per_tensor = group == QUANTIZE_TENSOR;
    size_t size = (size_t)rows * (size_t)columns;
    size_t entries = (size_t)rows * (size_t)groups_a_row(columns, group);
    *matrix = (struct quantized_matrix){.rows = rows,
                                        .columns = columns,
                                        .bits = bits,
                                        .group = per_tensor ? 0 : group,
                                        .codes = malloc(size * sizeof *matrix->codes),
                                        .scales = malloc(entries * sizeof *matrix->scales),
                                        .zero_points = asymmetric ? malloc(entries) : NULL};
    if (!matrix->codes || !matrix->scales || (asymmetric && !matrix->zero_points)) {
        snprintf(error, error_size, "quantization: out of memory for a %dx%d matrix", rows, columns);
        code = -ENOMEM;
        goto out;
    }
    struct range whole = {0, 0};
    code = per_tensor && !range_add(&whole, weights, size) ? -EINVAL
                                                           : quantize_rows(weights, per_tensor ? &whole : NULL, matrix);
    if (code == -EINVAL)
        snprintf(error, error_size, "quantization: a %dx%d matrix holds a weight that is not finite", rows, columns);
    if (code == -ERANGE)
        snprintf(error, error_size,
                 "quantization: a %dx%d matrix needs a %d-bit scale beyond f16 (%d): weights too large", rows, columns,
                 bits, F16_MAX);
out:
    if (code)
        quantized_matrix_free(matrix);
    return code;
}

void quantized_matrix_free(struct quantized_matrix *matrix) {
    free(matrix->codes);
    free(matrix->scales);
    free(matrix->zero_points);
    memset(matrix, 0, sizeof *matrix);
}

void quantize_dequantize(const struct quantized_matrix *matrix, float *weights) {
    int groups = groups_a_row(matrix->columns, matrix->group);
    size_t size = (size_t)(matrix->columns / groups), entries = (size_t)matrix->rows * (size_t)groups;
    for (size_t entry = 0; entry < entries; entry++) {
        int zero = matrix->zero_points ? matrix->zero_points[entry] : 0;
        for (size_t i = entry * size; i < (entry + 1) * size; i++)
            weights[i] = matrix->scales[entry] * (float)(matrix->codes[i] - zero);
    }
}

float quantize_scale(float low, float high, int bits, uint8_t *zero_point) {
    const struct range range = {fminf(low, 0), fmaxf(high, 0)};
    float scale = quantize_round_up_f16(scale_of(&range, bits, zero_point != NULL));
    if (zero_point)
        *zero_point = (uint8_t)quantize_code(-(double)range.low, scale, 0, (1 << bits) - 1);
    return scale;
}

int quantize_weight(float weight, float scale, int bits, const uint8_t *zero_point, float *rounded) {
    int low = zero_point ? 0 : -((1 << (bits - 1)) - 1), high = zero_point ? (1 << bits) - 1 : -low;
    int zero = zero_point ? *zero_point : 0, offset = quantize_code(weight, scale, low - zero, high - zero);
    *rounded = scale * (float)offset;
    return offset + zero;
}

// What a row is multiplied with to give codes, and its scale.
static void activation_scale(const float *x, int columns, float *factor, float *scale) {
    float largest = 0;
    bool finite = true;
    for (int c = 0; c < columns; c++) {
        finite = finite && isfinite(x[c]);
        largest = fmaxf(largest, fabsf(x[c]));
    }
    bool vanishing = largest < 0x1p-100f;
    *factor = vanishing || !finite ? 0 : 127 / largest;
    *scale = !finite ? NAN : vanishing ? 0 : largest / 127;
}

void quantize_activations(const float *x, int rows, int columns, int8_t *codes, float *scales) {
    for (int r = 0; r < rows; r++) {
        size_t start = (size_t)r * (size_t)columns;
        float factor;
        activation_scale(x + start, columns, &factor, &scales[r]);
        for (int c = 0; c < columns; c++)
            codes[start + (size_t)c] = factor > 0 ? (int8_t)lrintf(x[start + (size_t)c] * factor) : 0;
    }
}

void quantize_activations_back(const int8_t *codes, const float *scales, int rows, int columns, float *y) {
    for (int r = 0; r < rows; r++)
        for (size_t i = (size_t)r * (size_t)columns; i < (size_t)(r + 1) * (size_t)columns; i++)
            y[i] = scales[r] * (float)codes[i];
}

void quantize_activations_fake(float *x, int rows, int columns) {
    for (int r = 0; r < rows; r++) {
        float *row = x + (size_t)r * (size_t)columns, factor, scale;
        activation_scale(row, columns, &factor, &scale);
        for (int c = 0; c < columns; c++) // + 0: a code has no negative zero
            row[c] = factor > 0 ? scale * (rintf(row[c] * factor) + 0.0f) : scale * 0;
    }
}
