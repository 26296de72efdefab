// SPDX-License-Identifier: MIT
#include "bench/compress/reconstruct.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compress/prune.h"
#include "bench/compress/quantize.h"
#include "kernels/blas.h"

struct work {
    const struct reconstruction *how;
    int rows, columns;
    float *weights;  // (rows, columns)
    uint8_t *mask;   // (rows, columns)
    float *factor;   // U (columns, columns)
    float *errors;   // (rows, block)
    float *rank;     // (rows, block): what SparseGPT ranks a block's weights by
    uint8_t *chosen; // (rows, block)
    struct quantized_matrix *codes;
    bool too_large; // a scale
};

// U of the damped hessian.
static int factorize(const float *hessian, int columns, double damp, float *factor, char *error, size_t error_size) {
    size_t count = (size_t)columns * (size_t)columns;
    double *h = malloc(count * sizeof *h), mean = 0;
    if (!h) {
        snprintf(error, error_size, "out of memory for a hessian of %d columns", columns);
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++)
        h[i] = (double)hessian[i];
    for (int i = 0; i < columns; i++)
        mean += h[(size_t)i * ((size_t)columns + 1)] / columns;
    for (int i = 0; i < columns; i++) // all inputs zero: every weight is as free as the others
        h[(size_t)i * ((size_t)columns + 1)] += mean > 0 ? damp * mean : 1;
    int status = blas_inverse_factor(columns, h);
    if (status)
        snprintf(error, error_size, "the calibration text's activations give no usable hessian: use more text");
    for (size_t i = 0; i < count && !status; i++)
        factor[i] = (float)h[i];
    free(h);
    return status;
}

static float diagonal(const struct work *work, int column) {
    return work->factor[(size_t)column * ((size_t)work->columns + 1)];
}

// What dropping a weight costs: w²/U[c][c]² (Hassibi and Stork 1993); its root ranks the same.
static void rank_columns(const struct work *work, int row, int begin, int end, float *rank) {
    const float *weights = work->weights + (size_t)row * (size_t)work->columns;
    for (int c = begin; c < end; c++)
        rank[c - begin] = fabsf(weights[c] / diagonal(work, c));
}

// SparseGPT's choice for a whole block: one threshold over all rows, as in the paper's adaptive mask.
static int choose_block(struct work *work, int begin, int end, char *error, size_t error_size) {
    int width = end - begin;
    for (int row = 0; row < work->rows; row++) {
        rank_columns(work, row, begin, end, work->rank + (size_t)row * (size_t)width);
        memcpy(work->chosen + (size_t)row * (size_t)width, work->mask + (size_t)row * (size_t)work->columns + begin,
               (size_t)width);
    }
    struct prune_tensor tensor = {work->rank, work->rows, width, work->chosen};
    int status = prune_magnitude(&tensor, 1, work->how->ratio, NULL, error, error_size);
    for (int row = 0; row < work->rows && !status; row++)
        memcpy(work->mask + (size_t)row * (size_t)work->columns + begin, work->chosen + (size_t)row * (size_t)width,
               (size_t)width);
    return status;
}

// The n of m that are dropped from `column` on, by the weights as they are by now.
static void choose_group(const struct work *work, int row, int column) {
    float rank[32];
    char unused[8];
    uint8_t *mask = work->mask + (size_t)row * (size_t)work->columns + column;
    rank_columns(work, row, column, column + work->how->m, rank);
    struct prune_tensor tensor = {rank, 1, work->how->m, mask};
    prune_n_of_m(&tensor, work->how->n, work->how->m, unused, sizeof unused);
}

static size_t entry_of(const struct work *work, int row, int column) {
    int group = work->how->group ? work->how->group : work->columns;
    return (size_t)row * (size_t)(work->columns / group) + (size_t)(column / group);
}

// The scale of the group that begins here, from its weights as they are by now.
static void begin_group(struct work *work, int row, int column) {
    int end = column + (work->how->group ? work->how->group : work->columns);
    size_t start = (size_t)row * (size_t)work->columns, entry = entry_of(work, row, column);
    float low = 0, high = 0;
    for (size_t i = start + (size_t)column; i < start + (size_t)end; i++) {
        bool present = !work->mask || work->mask[i];
        low = present ? fminf(low, work->weights[i]) : low;
        high = present ? fmaxf(high, work->weights[i]) : high;
    }
    struct quantized_matrix *codes = work->codes;
    codes->scales[entry] =
        quantize_scale(low, high, codes->bits, codes->zero_points ? &codes->zero_points[entry] : NULL);
    if (!isfinite(codes->scales[entry]))
#pragma omp atomic write
        work->too_large = true;
}

// The weight that takes this one's place.
static float replace(struct work *work, int row, int column) {
    size_t at = (size_t)row * (size_t)work->columns + (size_t)column;
    bool dropped = work->mask && !work->mask[at];
    float weight = dropped ? 0 : work->weights[at];
    if (work->codes) {
        size_t entry = entry_of(work, row, column);
        const uint8_t *zero_point = work->codes->zero_points ? &work->codes->zero_points[entry] : NULL;
        work->codes->codes[at] =
            (int16_t)quantize_weight(weight, work->codes->scales[entry], work->codes->bits, zero_point, &weight);
    }
    return weight;
}

static void reconstruct_row(struct work *work, int row, int begin, int end) {
    const struct reconstruction *how = work->how;
    float *weights = work->weights + (size_t)row * (size_t)work->columns;
    float *errors = work->errors + (size_t)row * (size_t)how->block;
    for (int c = begin; c < end; c++) {
        if (how->n && c % how->m == 0)
            choose_group(work, row, c);
        if (work->codes && c % (how->group ? how->group : work->columns) == 0)
            begin_group(work, row, c);
        const float *factor = work->factor + (size_t)c * (size_t)work->columns;
        const float now = replace(work, row, c), error = (weights[c] - now) / factor[c];
        weights[c] = now;
        errors[c - begin] = error;
        for (int later = c + 1; later < end; later++)
            weights[later] -= error * factor[later];
    }
}

static int check(const struct reconstruction *how, int rows, int columns, const float *weights, char *error,
                 size_t error_size) {
    int group = how->bits && how->group ? how->group : 1, m = how->n ? how->m : 1;
    if (columns % group || columns % m || how->block % group || how->block % m) {
        snprintf(error, error_size, "groups of %d do not divide the %d columns of a matrix, or its blocks of %d",
                 columns % group || how->block % group ? group : m, columns, how->block);
        return -EINVAL;
    }
    for (size_t i = 0; i < (size_t)rows * (size_t)columns; i++)
        if (!isfinite(weights[i])) {
            snprintf(error, error_size, "a %dx%d matrix holds a weight that is not finite", rows, columns);
            return -EINVAL;
        }
    return 0;
}

static int reserve(struct work *work, char *error, size_t error_size) {
    size_t rows = (size_t)work->rows, columns = (size_t)work->columns, block = (size_t)work->how->block;
    work->factor = malloc(columns * columns * sizeof *work->factor);
    work->errors = malloc(rows * block * sizeof *work->errors);
    work->rank = malloc(rows * block * sizeof *work->rank);
    work->chosen = malloc(rows * block);
    bool missing = !work->factor || !work->errors || !work->rank || !work->chosen;
    if (work->codes) {
        const struct reconstruction *how = work->how;
        size_t entries = rows * (how->group ? columns / (size_t)how->group : 1);
        *work->codes = (struct quantized_matrix){.rows = work->rows,
                                                 .columns = work->columns,
                                                 .bits = how->bits,
                                                 .group = how->group,
                                                 .codes = malloc(rows * columns * sizeof(int16_t)),
                                                 .scales = malloc(entries * sizeof(float)),
                                                 .zero_points = how->asymmetric ? malloc(entries) : NULL};
        missing = missing || !work->codes->codes || !work->codes->scales || (how->asymmetric && !work->codes->zero_points);
    }
    if (missing)
        snprintf(error, error_size, "out of memory for the reconstruction of a %dx%d matrix", work->rows, work->columns);
    return missing ? -ENOMEM : 0;
}

int reconstruct(const struct reconstruction *how, int rows, int columns, const float *hessian, float *weights, uint8_t *mask,
                struct quantized_matrix *codes, char *error, size_t error_size) {
    struct work work = {.how = how, .rows = rows, .columns = columns, .weights = weights, .mask = mask,
                        .codes = how->bits ? codes : NULL};
    if (codes)
        *codes = (struct quantized_matrix){0};
    int status = check(how, rows, columns, weights, error, error_size);
    if (!status)
        status = reserve(&work, error, error_size);
    if (!status)
        status = factorize(hessian, columns, how->damp, work.factor, error, error_size);
    for (int begin = 0; begin < columns && !status; begin += how->block) {
        int end = columns - begin < how->block ? columns : begin + how->block;
        if (how->ratio > 0 && !how->n)
            status = choose_block(&work, begin, end, error, error_size);
        if (status)
            break;
#pragma omp parallel for if ((size_t)rows * (size_t)(end - begin) > 1 << 12)
        for (int row = 0; row < rows; row++)
            reconstruct_row(&work, row, begin, end);
        if (end < columns) // W[:, end:] −= errors · U[begin:end, end:]
            blas_sgemm(false, false, rows, columns - end, end - begin, -1, work.errors, how->block,
                       work.factor + (size_t)begin * (size_t)columns + end, columns, 1, weights + end, columns);
    }
    if (!status && work.too_large) {
        snprintf(error, error_size, "a %dx%d matrix needs a %d-bit scale beyond f16: weights too large", rows, columns,
                 how->bits);
        status = -ERANGE;
    }
    free(work.factor);
    free(work.errors);
    free(work.rank);
    free(work.chosen);
    if (status && codes)
        quantized_matrix_free(codes);
    return status;
}

double layer_error(const float *weights, const float *changed, int rows, int columns, const float *hessian) {
    size_t count = (size_t)rows * (size_t)columns;
    float *difference = calloc(count, sizeof *difference), *product = malloc(count * sizeof *product);
    double sum = NAN;
    if (difference && product) {
        for (size_t i = 0; i < count; i++)
            difference[i] = weights[i] - changed[i];
        blas_sgemm(false, false, rows, columns, columns, 1, difference, columns, hessian, columns, 0, product, columns);
        sum = 0;
        for (size_t i = 0; i < count; i++)
            sum += (double)difference[i] * (double)product[i];
    }
    free(difference);
    free(product);
    return sum;
}
