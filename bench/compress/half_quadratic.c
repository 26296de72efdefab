// SPDX-License-Identifier: MIT
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/compress/quantize.h"

enum { STEPS = 20 };
static const float NORM = 0.7f, BETA = 10, BETA_GROWTH = 1.01f;

// One group's weights that are not dropped, and what the fit works with.
struct fit {
    const float *weights; // (count)
    int count, bits;
    bool asymmetric;
    float *offsets, *errors; // (count): code − zero point; the errors that the fit leaves alone
};

static float square_of_errors(const struct fit *fit, float scale, uint8_t zero) {
    double sum = 0;
    for (int i = 0; i < fit->count; i++) {
        float rounded;
        int code = quantize_weight(fit->weights[i], scale, fit->bits, fit->asymmetric ? &zero : NULL, &rounded);
        fit->offsets[i] = (float)(code - (fit->asymmetric ? zero : 0));
        fit->errors[i] = fit->weights[i] - rounded;
        sum += (double)fit->errors[i] * (double)fit->errors[i];
    }
    return (float)sum;
}

// The proximal step: errors so large that the norm keeps them, shrunk; the others are the fit's to mend (eq. 5).
static void shrink_errors(const struct fit *fit, float beta, float unit) {
    for (int i = 0; i < fit->count; i++) {
        float size = fabsf(fit->errors[i]) / unit;
        float left = size > 0 ? size - powf(size, NORM - 1) / beta : 0;
        fit->errors[i] = left > 0 ? copysignf(left * unit, fit->errors[i]) : 0;
    }
}

// Scale and zero point that fit weights − errors best to the codes there are. The scale is the least-squares one, and the zero point the
// mean of (code − target/scale), as in the paper, rounded.
static void refit(const struct fit *fit, float *scale, uint8_t *zero) {
    double product = 0, square = 0, shift = 0;
    for (int i = 0; i < fit->count; i++) {
        double target = (double)fit->weights[i] - (double)fit->errors[i], offset = (double)fit->offsets[i];
        product += target * offset;
        square += offset * offset;
    }
    if (square > 0 && product > 0)
        *scale = weight_scale_round(fit->bits, (float)(product / square));
    if (!fit->asymmetric || !(*scale > 0))
        return;
    for (int i = 0; i < fit->count; i++)
        shift += (double)fit->offsets[i] + *zero - ((double)fit->weights[i] - (double)fit->errors[i]) / (double)*scale;
    *zero = (uint8_t)fmin(fmax(nearbyint(shift / fit->count), 0), (1 << fit->bits) - 1);
}

static void fit_group(const struct fit *fit, float *scale, uint8_t *zero) {
    float trial_scale = *scale, best, beta = BETA;
    uint8_t trial_zero = *zero;
    if (!(trial_scale > 0))
        return;
    const float unit = trial_scale;
    best = square_of_errors(fit, trial_scale, trial_zero);
    for (int step = 0; step < STEPS; step++, beta *= BETA_GROWTH) {
        shrink_errors(fit, beta, unit);
        refit(fit, &trial_scale, &trial_zero);
        float now = square_of_errors(fit, trial_scale, trial_zero);
        if (!(now < best) && step > 0)
            return;
        if (now < best) {
            best = now;
            *scale = trial_scale;
            *zero = trial_zero;
        }
    }
}

static void fit_row(const float *weights, const uint8_t *mask, struct quantized_matrix *matrix, int row, float *space) {
    int groups = matrix->group > 0 ? matrix->columns / matrix->group : 1, size = matrix->columns / groups;
    for (int g = 0; g < groups; g++) {
        size_t entry = (size_t)row * (size_t)groups + (size_t)g, first = entry * (size_t)size;
        float *present = space;
        int count = 0;
        for (int i = 0; i < size; i++)
            if (!mask || mask[first + (size_t)i])
                present[count++] = weights[first + (size_t)i];
        struct fit fit = {present, count, matrix->bits, matrix->zero_points != NULL, space + size, space + 2 * size};
        uint8_t none = 0, *zero = matrix->zero_points ? &matrix->zero_points[entry] : &none;
        if (count)
            fit_group(&fit, &matrix->scales[entry], zero);
        for (int i = 0; i < size; i++) {
            float rounded;
            bool dropped = mask && !mask[first + (size_t)i];
            int code = quantize_weight(dropped ? 0 : weights[first + (size_t)i], matrix->scales[entry], matrix->bits,
                                       matrix->zero_points ? zero : NULL, &rounded);
            matrix->codes[first + (size_t)i] = (int16_t)code;
        }
    }
}

int quantize_half_quadratic(const float *weights, const uint8_t *mask, int rows, int columns, int bits, int group,
                            bool asymmetric, struct quantized_matrix *matrix, char *error, size_t error_size) {
    int status = quantize_matrix(weights, rows, columns, bits, group, asymmetric, matrix, error, error_size);
    if (status)
        return status;
    bool failed = false;
#pragma omp parallel if ((size_t)rows * (size_t)columns > 1 << 14)
    {
        float *space = malloc(3 * (size_t)columns * sizeof *space);
#pragma omp for
        for (int row = 0; row < rows; row++) {
            if (space)
                fit_row(weights, mask, matrix, row, space);
            else
#pragma omp atomic write
                failed = true;
        }
        free(space);
    }
    if (!failed)
        return 0;
    quantized_matrix_free(matrix);
    snprintf(error, error_size, "quantization: out of memory for a %dx%d matrix", rows, columns);
    return -ENOMEM;
}
