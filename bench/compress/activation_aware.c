// SPDX-License-Identifier: MIT
#include "bench/compress/activation_aware.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compress/quantize.h"
#include "bench/compress/reconstruct.h"
#include "kernels/blas.h"

enum { SCALE_STEPS = 20, CLIP_STEPS = 10 };
static const float SMALLEST_SCALE = 1e-4f;

// The group's weights as they come back from codes whose range ends at ±limit.
static void round_group(const struct awq_format *format, const float *weights, int count, float limit, float *rounded) {
    float low = 0, high = 0;
    for (int i = 0; i < count; i++) {
        const float w = fminf(fmaxf(weights[i], -limit), limit);
        low = w < low ? w : low;
        high = w > high ? w : high;
    }
    uint8_t zero, *zero_point = format->asymmetric ? &zero : NULL;
    const float scale = quantize_scale(low, high, format->bits, zero_point);
    for (int i = 0; i < count; i++)
        quantize_weight(weights[i], scale, format->bits, zero_point, &rounded[i]);
}

// changed = round(weights·s)/s
static void round_scaled(const struct awq_format *format, const float *weights, int rows, int columns, const float *s,
                         float *changed) {
    const int group = format->group ? format->group : columns;
#pragma omp parallel for if ((size_t)rows * (size_t)columns > 1 << 14)
    for (int row = 0; row < rows; row++) {
        const float *from = weights + (size_t)row * (size_t)columns;
        float *to = changed + (size_t)row * (size_t)columns;
        for (int c = 0; c < columns; c++)
            to[c] = from[c] * s[c];
        for (int first = 0; first < columns; first += group)
            round_group(format, to + first, group, INFINITY, to + first);
        for (int c = 0; c < columns; c++)
            to[c] /= s[c];
    }
}

// s = magnitude^exponent, divided by the geometric middle of its ends; a column without activations has a scale of the smallest.
static void make_scales(const float *magnitudes, int count, float exponent, float *scales) {
    float smallest = INFINITY, largest = 0;
    for (int i = 0; i < count; i++) {
        scales[i] = fmaxf(powf(magnitudes[i], exponent), SMALLEST_SCALE);
        smallest = fminf(smallest, scales[i]);
        largest = fmaxf(largest, scales[i]);
    }
    const float middle = sqrtf(smallest * largest);
    for (int i = 0; i < count; i++)
        scales[i] /= middle;
}

int awq_search_scales(const struct awq_format *format, const struct awq_matrix *matrices, int count, int columns,
                      const float *hessian, const float *magnitudes, const int *sharing, int scale_count, float *scales) {
    size_t largest = 0;
    for (int i = 0; i < count; i++)
        largest = (size_t)matrices[i].rows > largest ? (size_t)matrices[i].rows : largest;
    float *changed = malloc(largest * (size_t)columns * sizeof *changed), *spread = malloc((size_t)columns * sizeof *spread);
    float *trial = malloc((size_t)scale_count * sizeof *trial), *shared = calloc((size_t)scale_count, sizeof *shared);
    int *members = calloc((size_t)scale_count, sizeof *members), status = 0;
    double best = INFINITY;
    if (!changed || !spread || !trial || !shared || !members) {
        status = -ENOMEM;
        goto out;
    }
    for (int c = 0; c < columns; c++) {
        shared[sharing ? sharing[c] : c] += magnitudes[c];
        members[sharing ? sharing[c] : c]++;
    }
    for (int i = 0; i < scale_count; i++)
        shared[i] /= (float)(members[i] ? members[i] : 1);
    for (int step = 0; step < SCALE_STEPS; step++) {
        make_scales(shared, scale_count, (float)step / SCALE_STEPS, trial);
        for (int c = 0; c < columns; c++)
            spread[c] = trial[sharing ? sharing[c] : c];
        double sum = 0;
        for (int i = 0; i < count; i++) {
            round_scaled(format, matrices[i].weights, matrices[i].rows, columns, spread, changed);
            sum += layer_error(matrices[i].weights, changed, matrices[i].rows, columns, hessian);
        }
        if (step == 0 || sum < best) {
            best = sum;
            memcpy(scales, trial, (size_t)scale_count * sizeof *scales);
        }
    }
    if (isnan(best))
        status = -ENOMEM;
out:
    free(changed);
    free(spread);
    free(trial);
    free(shared);
    free(members);
    return status;
}

struct clipping {
    const struct awq_format *format;
    const float *weights, *hessian;
    int rows, columns;
    float *difference, *product; // (rows, group)
    float *best, *limit, *chosen; // (rows)
};

// Finds each row's limit for the group that begins at `first`.
static void clip_group(const struct clipping *clip, int first, int group) {
    for (int step = 0; step < CLIP_STEPS; step++) {
#pragma omp parallel for if ((size_t)clip->rows * (size_t)group > 1 << 12)
        for (int row = 0; row < clip->rows; row++) {
            const float *weights = clip->weights + (size_t)row * (size_t)clip->columns + first;
            float *difference = clip->difference + (size_t)row * (size_t)group, largest = 0;
            for (int i = 0; i < group; i++)
                largest = fmaxf(largest, fabsf(weights[i]));
            clip->limit[row] = largest * (1 - (float)step / (2 * CLIP_STEPS));
            round_group(clip->format, weights, group, clip->limit[row], difference);
            for (int i = 0; i < group; i++)
                difference[i] -= weights[i];
        }
        blas_sgemm(false, false, clip->rows, group, group, 1, clip->difference, group,
                   clip->hessian + (size_t)first * ((size_t)clip->columns + 1), clip->columns, 0, clip->product, group);
        for (int row = 0; row < clip->rows; row++) {
            float sum = 0;
            for (size_t i = (size_t)row * (size_t)group; i < (size_t)(row + 1) * (size_t)group; i++)
                sum += clip->difference[i] * clip->product[i];
            if (step == 0 || sum < clip->best[row]) {
                clip->best[row] = sum;
                clip->chosen[row] = clip->limit[row];
            }
        }
    }
}

static int clip_weights(const struct awq_format *format, float *weights, int rows, int columns, const float *hessian) {
    const int group = format->group ? format->group : columns;
    const size_t count = (size_t)rows * (size_t)group;
    float *memory = malloc((2 * count + 3 * (size_t)rows) * sizeof *memory);
    if (!memory)
        return -ENOMEM;
    const struct clipping clip = {format, weights, hessian, rows, columns, memory, memory + count, memory + 2 * count,
                                  memory + 2 * count + rows, memory + 2 * count + 2 * rows};
    for (int first = 0; first < columns; first += group) {
        clip_group(&clip, first, group);
        for (int row = 0; row < rows; row++)
            for (int c = first; c < first + group; c++) {
                float *w = &weights[(size_t)row * (size_t)columns + (size_t)c];
                *w = fminf(fmaxf(*w, -clip.chosen[row]), clip.chosen[row]);
            }
    }
    free(memory);
    return 0;
}

int awq_quantize(const struct awq_format *format, float *weights, int rows, int columns, const float *hessian, bool clip,
                 struct quantized_matrix *codes, char *error, size_t error_size) {
    *codes = (struct quantized_matrix){0};
    if (format->group && columns % format->group) {
        snprintf(error, error_size, "groups of %d do not divide the %d columns of a matrix", format->group, columns);
        return -EINVAL;
    }
    if (clip && clip_weights(format, weights, rows, columns, hessian)) {
        snprintf(error, error_size, "out of memory for a %dx%d matrix", rows, columns);
        return -ENOMEM;
    }
    int status = quantize_matrix(weights, rows, columns, format->bits, format->group, format->asymmetric, codes, error,
                                 error_size);
    if (!status)
        quantize_dequantize(codes, weights);
    return status;
}
