// SPDX-License-Identifier: MIT
#include "bench/compress/prune.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARALLEL_WEIGHTS = 1 << 16 }; // below, threads cost more than they save

static size_t tensor_size(const struct prune_tensor *tensor) {
    return (size_t)tensor->rows * (size_t)tensor->columns;
}

// |x| as an integer that sorts as |x| does.
static uint32_t magnitude_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffffu;
}

// `first`: the number of the first of them among all.
static int check_finite(const struct prune_tensor *tensors, size_t count, size_t first, char *error, size_t error_size) {
    for (size_t t = 0; t < count; t++) {
        size_t size = tensor_size(&tensors[t]), not_finite = 0;
        const float *importance = tensors[t].importance;
#pragma omp parallel for reduction(+ : not_finite) if (size > PARALLEL_WEIGHTS)
        for (size_t i = 0; i < size; i++)
            not_finite += !(fabsf(importance[i]) <= FLT_MAX);
        for (size_t i = 0; i < size && not_finite; i++)
            if (!isfinite(importance[i])) {
                snprintf(error, error_size, "pruning: matrix %zu, row %zu, column %zu is %g: weights must be finite", first + t,
                         i / (size_t)tensors[t].columns, i % (size_t)tensors[t].columns, (double)importance[i]);
                return -EINVAL;
            }
    }
    return 0;
}

size_t prune_dropped(const uint8_t *mask, size_t count) {
    size_t dropped = 0;
#pragma omp parallel for reduction(+ : dropped) if (count > PARALLEL_WEIGHTS)
    for (size_t i = 0; i < count; i++)
        dropped += mask[i] == 0;
    return dropped;
}

static size_t count_remaining(const struct prune_tensor *tensors, size_t count) {
    size_t remaining = 0;
    for (size_t t = 0; t < count; t++)
        remaining += tensor_size(&tensors[t]) - prune_dropped(tensors[t].mask, tensor_size(&tensors[t]));
    return remaining;
}

size_t prune_keep_count(size_t count, double ratio) {
    double keep = nearbyint((double)count * (1 - ratio));
    return count == 0 ? 0 : keep < 1 ? 1 : (size_t)keep;
}

// The k-th largest |importance| of what remains, 1 <= k <= their number: a radix selection, which needs no copy of the
// weights. In three rounds everything is counted by the next digit, and the digit of the k-th largest found.
enum { DIGIT = 11, BINS = 1 << DIGIT };
struct selection {
    uint32_t prefix, prefix_mask;
    size_t k, histogram[BINS];
};

static void count_digits(struct selection *selection, const struct prune_tensor *tensor, int shift) {
    const uint32_t prefix = selection->prefix, prefix_mask = selection->prefix_mask;
    const float *importance = tensor->importance;
    const uint8_t *mask = tensor->mask;
    size_t size = tensor_size(tensor), histogram[BINS] = {0};
#pragma omp parallel for reduction(+ : histogram) if (size > PARALLEL_WEIGHTS)
    for (size_t i = 0; i < size; i++) {
        uint32_t bits = magnitude_bits(importance[i]);
        if ((!mask || mask[i]) && (bits & prefix_mask) == prefix)
            histogram[(bits >> shift) & (BINS - 1)]++;
    }
    for (int bin = 0; bin < BINS; bin++)
        selection->histogram[bin] += histogram[bin];
}

static void take_digit(struct selection *selection, int shift) {
    uint32_t bin = BINS - 1;
    while (selection->histogram[bin] < selection->k)
        selection->k -= selection->histogram[bin--];
    selection->prefix |= bin << shift;
    selection->prefix_mask |= (uint32_t)(BINS - 1) << shift;
    memset(selection->histogram, 0, sizeof selection->histogram);
}

static float selected(const struct selection *selection) {
    float value;
    memcpy(&value, &selection->prefix, sizeof value);
    return value;
}

static float kth_largest(const struct prune_tensor *tensors, size_t count, size_t k) {
    struct selection selection = {.k = k};
    for (int shift = 22; shift >= 0; shift -= DIGIT) {
        for (size_t t = 0; t < count; t++)
            count_digits(&selection, &tensors[t], shift);
        take_digit(&selection, shift);
    }
    return selected(&selection);
}

static void drop_below(const struct prune_tensor *tensor, float threshold) {
    size_t size = tensor_size(tensor);
    const float *importance = tensor->importance;
    uint8_t *mask = tensor->mask;
#pragma omp parallel for if (size > PARALLEL_WEIGHTS)
    for (size_t i = 0; i < size; i++)
        mask[i] = fabsf(importance[i]) >= threshold ? mask[i] : 0;
}

int prune_magnitude(const struct prune_tensor *tensors, size_t count, double ratio, float *threshold, char *error,
                    size_t error_size) {
    int code = check_finite(tensors, count, 0, error, error_size);
    if (code)
        return code;
    size_t remaining = count_remaining(tensors, count);
    float cut = remaining ? kth_largest(tensors, count, prune_keep_count(remaining, ratio)) : 0;
    for (size_t t = 0; t < count; t++)
        drop_below(&tensors[t], cut);
    if (threshold)
        *threshold = cut;
    return 0;
}

int prune_threshold(const struct prune_tensor *tensor, double threshold, char *error, size_t error_size) {
    int code = check_finite(tensor, 1, 0, error, error_size);
    if (!code)
        drop_below(tensor, (float)threshold);
    return code;
}

// Drops until n of the m are gone.
static void prune_group(const float *importance, uint8_t *mask, int n, int m) {
    int dropped = 0;
    for (int i = 0; i < m; i++)
        dropped += mask[i] == 0;
    for (; dropped < n; dropped++) {
        int least = -1;
        for (int i = 0; i < m; i++)
            if (mask[i] && (least < 0 || fabsf(importance[i]) <= fabsf(importance[least])))
                least = i;
        mask[least] = 0;
    }
}

int prune_n_of_m(const struct prune_tensor *tensor, int n, int m, char *error, size_t error_size) {
    if (n < 1 || n >= m || tensor->columns % m) {
        snprintf(error, error_size, "pruning %d:%d: needs 1 <= n < m and an input size that %d divides (it is %d)", n,
                 m, m, tensor->columns);
        return -EINVAL;
    }
    int code = check_finite(tensor, 1, 0, error, error_size);
    if (code)
        return code;
    size_t size = tensor_size(tensor);
#pragma omp parallel for if (size > PARALLEL_WEIGHTS)
    for (size_t i = 0; i < size; i += (size_t)m)
        prune_group(tensor->importance + i, tensor->mask + i, n, m);
    return 0;
}

// One entry a block, row-major: its pooled |importance| and whether any of it remains.
struct block_grid {
    int rows, columns;
    float *pooled;
    uint8_t *mask;
};

static int smaller(int a, int b) {
    return a < b ? a : b;
}

static float pool_block(const struct prune_tensor *tensor, int top, int left, int bottom, int right,
                        enum block_pooling pooling, uint8_t *any_remains) {
    double sum = 0;
    float maximum = 0;
    *any_remains = 0;
    for (int r = top; r < bottom; r++)
        for (int c = left; c < right; c++) {
            size_t i = (size_t)r * (size_t)tensor->columns + (size_t)c;
            if (tensor->mask && !tensor->mask[i])
                continue;
            *any_remains = 1;
            sum += fabs((double)tensor->importance[i]);
            maximum = fmaxf(maximum, fabsf(tensor->importance[i]));
        }
    return pooling == POOL_MAXIMUM ? maximum : (float)(sum / ((double)(bottom - top) * (right - left)));
}

static void pool_tensor(const struct prune_tensor *tensor, int block_rows, int block_columns,
                        enum block_pooling pooling, struct block_grid *grid) {
    for (int r = 0; r < grid->rows; r++)
        for (int c = 0; c < grid->columns; c++) {
            size_t block = (size_t)r * (size_t)grid->columns + (size_t)c;
            int top = r * block_rows, left = c * block_columns;
            grid->pooled[block] =
                pool_block(tensor, top, left, smaller(top + block_rows, tensor->rows),
                           smaller(left + block_columns, tensor->columns), pooling, &grid->mask[block]);
        }
}

static void drop_blocks(const struct prune_tensor *tensor, int block_rows, int block_columns,
                        const struct block_grid *grid) {
    for (int r = 0; r < tensor->rows; r++)
        for (int c = 0; c < tensor->columns; c++)
            if (!grid->mask[(size_t)(r / block_rows) * (size_t)grid->columns + (size_t)(c / block_columns)])
                tensor->mask[(size_t)r * (size_t)tensor->columns + (size_t)c] = 0;
}

static int start_grid(struct block_grid *grid, const struct prune_tensor *tensor, int block_rows, int block_columns, enum block_pooling pooling) {
    grid->rows = (tensor->rows + block_rows - 1) / block_rows;
    grid->columns = (tensor->columns + block_columns - 1) / block_columns;
    size_t size = (size_t)grid->rows * (size_t)grid->columns;
    grid->pooled = malloc(size * sizeof *grid->pooled);
    grid->mask = malloc(size);
    if (!grid->pooled || !grid->mask)
        return -ENOMEM;
    pool_tensor(tensor, block_rows, block_columns, pooling, grid);
    return 0;
}

static void free_grids(struct block_grid *grids, size_t count) {
    for (size_t t = 0; grids && t < count; t++) {
        free(grids[t].pooled);
        free(grids[t].mask);
    }
    free(grids);
}

int prune_block(const struct prune_tensor *tensors, size_t count, int block_rows, int block_columns,
                enum block_pooling pooling, double ratio, char *error, size_t error_size) {
    int code = check_finite(tensors, count, 0, error, error_size);
    if (code)
        return code;
    struct block_grid *grids = calloc(count, sizeof *grids);
    struct prune_tensor *blocks = calloc(count, sizeof *blocks);
    code = grids && blocks ? 0 : -ENOMEM;
    for (size_t t = 0; t < count && !code; t++) {
        code = start_grid(&grids[t], &tensors[t], block_rows, block_columns, pooling);
        blocks[t] = (struct prune_tensor){grids[t].pooled, grids[t].rows, grids[t].columns, grids[t].mask};
    }
    if (code)
        snprintf(error, error_size, "pruning: out of memory for the pooled blocks");
    else
        code = prune_magnitude(blocks, count, ratio, NULL, error, error_size);
    for (size_t t = 0; t < count && !code; t++)
        drop_blocks(&tensors[t], block_rows, block_columns, &grids[t]);
    free_grids(grids, count);
    free(blocks);
    return code;
}

// The threshold of pooled blocks: these are few, and stay in memory while one matrix after the other is looked at.
static int find_blocks(const struct variant_recipe *recipe, size_t count, prune_look_function *look, void *context, float *threshold,
                       char *error, size_t error_size) {
    struct block_grid *grids = calloc(count, sizeof *grids);
    struct prune_tensor *blocks = calloc(count, sizeof *blocks);
    int code = grids && blocks ? 0 : -ENOMEM;
    for (size_t t = 0; t < count && !code; t++) {
        struct prune_tensor tensor = {0};
        code = look(context, t, &tensor);
        tensor.mask = NULL;
        code = code ? code : check_finite(&tensor, 1, t, error, error_size);
        code = code ? code : start_grid(&grids[t], &tensor, recipe->block_rows, recipe->block_columns, recipe->pooling);
        blocks[t] = (struct prune_tensor){grids[t].pooled, grids[t].rows, grids[t].columns, grids[t].mask};
    }
    code = code ? code : prune_magnitude(blocks, count, recipe->ratio, threshold, error, error_size);
    if (code == -ENOMEM)
        snprintf(error, error_size, "pruning: out of memory for the pooled blocks");
    free_grids(grids, count);
    free(blocks);
    return code;
}

int prune_find(const struct variant_recipe *recipe, size_t count, prune_look_function *look, void *context, float *threshold, char *error,
               size_t error_size) {
    if (recipe->method == PRUNE_BLOCK)
        return find_blocks(recipe, count, look, context, threshold, error, error_size);
    struct selection selection = {0};
    size_t weights = 0;
    *threshold = 0;
    for (int shift = 22; shift >= 0; shift -= DIGIT) {
        for (size_t t = 0; t < count; t++) {
            struct prune_tensor tensor = {0};
            int code = look(context, t, &tensor);
            tensor.mask = NULL;
            code = code || shift < 22 ? code : check_finite(&tensor, 1, t, error, error_size);
            if (code)
                return code;
            count_digits(&selection, &tensor, shift);
            weights += shift == 22 ? tensor_size(&tensor) : 0;
        }
        if (!weights)
            return 0;
        selection.k = shift == 22 ? prune_keep_count(weights, recipe->ratio) : selection.k;
        take_digit(&selection, shift);
    }
    *threshold = selected(&selection);
    return 0;
}

int prune_at(const struct variant_recipe *recipe, const struct prune_tensor *tensor, float threshold, char *error, size_t error_size) {
    if (recipe->method != PRUNE_BLOCK)
        return prune_threshold(tensor, (double)threshold, error, error_size);
    struct block_grid *grid = calloc(1, sizeof *grid);
    int code = grid ? start_grid(grid, tensor, recipe->block_rows, recipe->block_columns, recipe->pooling) : -ENOMEM;
    if (code) {
        snprintf(error, error_size, "pruning: out of memory for the pooled blocks");
    } else {
        drop_below(&(struct prune_tensor){grid->pooled, grid->rows, grid->columns, grid->mask}, threshold);
        drop_blocks(tensor, recipe->block_rows, recipe->block_columns, grid);
    }
    free_grids(grid, 1);
    return code;
}

static int prune_together(const struct variant_recipe *recipe, const struct prune_tensor *tensors, size_t count,
                          char *error, size_t error_size) {
    if (recipe->method == PRUNE_BLOCK)
        return prune_block(tensors, count, recipe->block_rows, recipe->block_columns, recipe->pooling, recipe->ratio,
                           error, error_size);
    return prune_magnitude(tensors, count, recipe->ratio, NULL, error, error_size);
}

int prune_tensors(const struct variant_recipe *recipe, const struct prune_tensor *tensors, size_t count, char *error,
                  size_t error_size) {
    if (recipe->method == PRUNE_NONE)
        return 0;
    bool has_scope = recipe->method == PRUNE_MAGNITUDE || recipe->method == PRUNE_BLOCK;
    if (has_scope && recipe->scope == SCOPE_GLOBAL)
        return prune_together(recipe, tensors, count, error, error_size);
    int code = 0;
    for (size_t t = 0; t < count && !code; t++) {
        if (recipe->method == PRUNE_THRESHOLD)
            code = prune_threshold(&tensors[t], recipe->threshold, error, error_size);
        else if (recipe->method == PRUNE_N_OF_M)
            code = prune_n_of_m(&tensors[t], recipe->n, recipe->m, error, error_size);
        else
            code = prune_together(recipe, &tensors[t], 1, error, error_size);
    }
    return code;
}

void prune_gradient_importance(const float *weights, const float *gradients, size_t count, float *importance) {
    for (size_t i = 0; i < count; i++)
        importance[i] += fabsf(weights[i] * gradients[i]);
}

int prune_wanda(const struct variant_recipe *recipe, const float *weights, int rows, int columns, const float *squares,
                float *importance, uint8_t *mask, char *error, size_t error_size) {
    int status = 0;
#pragma omp parallel for if ((size_t)rows * (size_t)columns > 1 << 14)
    for (int row = 0; row < rows; row++) {
        size_t at = (size_t)row * (size_t)columns;
        char why[200] = "";
        for (int c = 0; c < columns; c++)
            importance[at + (size_t)c] = fabsf(weights[at + (size_t)c]) * sqrtf(squares[c]);
        struct prune_tensor tensor = {importance + at, 1, columns, mask + at};
        int code = prune_tensors(recipe, &tensor, 1, why, sizeof why);
        if (code)
#pragma omp critical
        {
            status = code;
            snprintf(error, error_size, "%s", why);
        }
    }
    return status;
}

void prune_copy(float *restrict out, const float *restrict weights, const uint8_t *restrict mask, size_t count) {
#pragma omp parallel for if (count > PARALLEL_WEIGHTS)
    for (size_t i = 0; i < count; i++)
        out[i] = mask[i] ? weights[i] : 0;
}

void prune_apply(float *weights, const uint8_t *mask, size_t count) {
#pragma omp parallel for if (count > PARALLEL_WEIGHTS)
    for (size_t i = 0; i < count; i++)
        weights[i] = mask[i] ? weights[i] : 0;
}

double prune_sparsity(const uint8_t *mask, size_t count) {
    return count ? (double)prune_dropped(mask, count) / (double)count : 0;
}
