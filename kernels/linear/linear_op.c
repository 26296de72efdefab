// SPDX-License-Identifier: MIT
#include "kernels/linear/linear_op.h"

#include "kernels/pack/float16.h"
#include "kernels/pack/packed.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { X_PADDING = 16 };

// splitmix64 (Steele, Lea, Flood 2014).
static uint64_t draw(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static double draw_unit(uint64_t *state) { return (double)(draw(state) >> 11) * 0x1p-53; }

static int draw_between(uint64_t *state, int low, int high) {
    return low + (int)(draw(state) % (uint64_t)(high - low + 1));
}

static void *allocate(size_t count, size_t size) { return aligned_alloc(64, (count * size + 127) / 64 * 64); }

static void draw_mask(struct linear_problem *problem, bool uneven, uint64_t *state) {
    const struct weight_format *format = &problem->format;
    for (int row = 0; row < problem->rows; row++) {
        for (int column = 0; column < problem->columns; column++) {
            uint8_t *mask = problem->mask + (size_t)row * (size_t)problem->columns + (size_t)column;
            // The same draws for all rows of a chunk.
            uint64_t chunk = (uint64_t)(row / PACKED_PANEL_ROWS) << 32 ^ (uint64_t)(column / CHUNK_COLUMNS) ^ *state;
            const int tenths = draw_between(&chunk, 0, 10);
            if (format->store == STORE_BITMASK)
                *mask = draw_unit(state) >= (uneven ? tenths / 10.0 : format->sparsity);
            else if (format->store == STORE_BLOCK) // within a block that is present some weights may still be absent
                *mask = tenths >= 5 && (!uneven || tenths < 8 || draw_unit(state) < 0.9);
            else if (column % format->m == 0)
                for (int left = format->m - format->n, i = 0; i < format->m; i++)
                    left -= mask[i] = draw_between(state, 1, format->m - i) <= left;
        }
    }
}

static int draw_quantized(struct linear_problem *problem, uint64_t *state) {
    const struct weight_format *format = &problem->format;
    struct quantized_matrix *quantized = &problem->quantized;
    const int group = format->group > 0 ? format->group : problem->columns;
    const size_t count = (size_t)problem->rows * (size_t)problem->columns, scales = count / (size_t)group;
    *quantized = (struct quantized_matrix){
        .rows = problem->rows,
        .columns = problem->columns,
        .bits = format->bits,
        .group = format->group,
        .codes = allocate(count, sizeof(int16_t)),
        .scales = allocate(scales, sizeof(float)),
        .zero_points = format->asymmetric ? allocate(scales, 1) : NULL,
    };
    if (quantized->codes == NULL || quantized->scales == NULL || (format->asymmetric && quantized->zero_points == NULL))
        return -ENOMEM;
    const int highest = format->asymmetric ? (1 << format->bits) - 1 : (1 << (format->bits - 1)) - 1;
    for (size_t i = 0; i < count; i++)
        quantized->codes[i] = (int16_t)draw_between(state, format->asymmetric ? 0 : -highest, highest);
    for (size_t i = 0; i < scales; i++) {
        const double scale = ldexp(1 + draw_unit(state), -format->bits) / 16;
        quantized->scales[i] = weight_scale_round(format->bits, (float)scale);
        if (format->asymmetric)
            quantized->zero_points[i] = (uint8_t)draw_between(state, 0, highest);
    }
    return 0;
}

// A scale for each `group` columns; 0: one for all.
static int quantize_x(const struct linear_problem *problem, int group, struct quantized_rows *codes) {
    const int status = quantized_rows_create(problem->m, problem->columns, group, codes);
    if (status != 0)
        return status;
    const struct quantize_rows_call call = {.x = problem->x, .x_stride = problem->x_stride, .out = codes, .begin = 0, .end = problem->m};
    ((quantize_rows_function *)kernel_find("quantize_rows_scalar")->function)(&call);
    return 0;
}

static int draw_x(struct linear_problem *problem, uint64_t *state) {
    problem->x_stride = (size_t)problem->columns + X_PADDING;
    problem->x = allocate((size_t)problem->m * problem->x_stride, sizeof(float));
    if (problem->x == NULL)
        return -ENOMEM;
    for (int i = 0; i < problem->m; i++) {
        // One token is all zeros, some are large, and all have an outlier.
        const double scale = i == 4 ? 0 : i % 3 == 2 ? 1000 : 1;
        float *x = problem->x + (size_t)i * problem->x_stride;
        for (int k = 0; k < problem->columns + X_PADDING; k++)
            x[k] = k < problem->columns ? (float)(scale * (draw_unit(state) - draw_unit(state))) : NAN;
        x[draw(state) % (uint64_t)problem->columns] *= 4;
    }
    if (problem->format.type != WEIGHT_QUANTIZED || problem->format.bits > 8)
        return 0;
    const int status = quantize_x(problem, 0, &problem->x_codes);
    return status != 0 || problem->format.group == 0 ? status : quantize_x(problem, problem->format.group, &problem->x_groups);
}

static void draw_floats(struct linear_problem *problem, uint64_t *state) {
    const size_t count = (size_t)problem->rows * (size_t)problem->columns;
    for (size_t i = 0; i < count; i++)
        problem->weights[i] = (float)((draw_unit(state) - draw_unit(state)) / 8);
}

int linear_problem_create(const struct weight_format *format, int rows, int columns, int m, bool uneven, uint64_t seed,
                          struct linear_problem *problem) {
    uint64_t state = seed;
    char reason[160];
    *problem = (struct linear_problem){.format = *format, .rows = rows, .columns = columns, .m = m};
    if (packed_check_shape(format, rows, columns, reason, sizeof(reason)) != 0)
        return -EINVAL;
    const size_t count = (size_t)rows * (size_t)columns;
    int status = -ENOMEM;
    problem->weights = allocate(count, sizeof(float));
    if (problem->weights == NULL)
        goto out;
    draw_floats(problem, &state);
    if (format->store != STORE_DENSE) {
        problem->mask = allocate(count, 1);
        if (problem->mask == NULL)
            goto out;
        draw_mask(problem, uneven, &state);
    }
    status = format->type == WEIGHT_QUANTIZED ? draw_quantized(problem, &state) : 0;
    if (status == 0)
        status = draw_x(problem, &state);
    if (status == 0)
        status = packed_create(format, rows, columns, problem->weights,
                               format->type == WEIGHT_QUANTIZED ? &problem->quantized : NULL, problem->mask,
                               &problem->packed);
out:
    if (status != 0)
        linear_problem_free(problem);
    return status;
}

void linear_problem_free(struct linear_problem *problem) {
    packed_free(problem->packed);
    free(problem->quantized.codes);
    free(problem->quantized.scales);
    free(problem->quantized.zero_points);
    free(problem->mask);
    free(problem->weights);
    free(problem->x);
    quantized_rows_free(&problem->x_codes);
    quantized_rows_free(&problem->x_groups);
    for (int activation = 0; activation < ACTIVATION_COUNT; activation++) {
        free(problem->expected[activation]);
        free(problem->magnitude[activation]);
    }
    free(problem->expected_rounded);
    *problem = (struct linear_problem){0};
}

// The weight as the format holds it, from what was given to the packer: the reference owes nothing to the packed layout.
static double true_weight(const struct linear_problem *problem, int row, int column, int *code, double *scale) {
    const struct weight_format *format = &problem->format;
    const size_t at = (size_t)row * (size_t)problem->columns + (size_t)column;
    const bool absent = problem->mask != NULL && !problem->mask[at];
    if (format->type != WEIGHT_QUANTIZED) {
        const float weight = absent ? 0 : problem->weights[at];
        return format->type == WEIGHT_F32 ? weight : bfloat16_to_float(float_to_bfloat16(weight));
    }
    const int group = format->group > 0 ? format->group : problem->columns;
    const size_t scale_at = (size_t)row * (size_t)(problem->columns / group) + (size_t)(column / group);
    const int zero = format->asymmetric ? problem->quantized.zero_points[scale_at] : 0;
    *code = absent ? 0 : problem->quantized.codes[at] - zero;
    *scale = problem->quantized.scales[scale_at];
    return *code * *scale;
}

// One output, with codes of x that have one scale or one for each group of the weights.
static void expect_codes(struct linear_problem *problem, enum activation activation, const int *codes, const double *scales, int i,
                         int row) {
    const struct quantized_rows *x = linear_problem_codes(problem, activation);
    const int group = problem->format.group > 0 ? problem->format.group : problem->columns, width = problem->columns / x->groups;
    const int8_t *x_codes = x->codes + (size_t)i * (size_t)problem->columns;
    const float *x_scales = x->scales + (size_t)i * (size_t)x->groups;
    const size_t at = (size_t)i * (size_t)problem->rows + (size_t)row;
    double sum = 0, magnitude = 0;
    for (int k0 = 0; k0 < problem->columns; k0 += group) {
        double products = 0; // of integers: exact
        for (int k = k0; k < k0 + group; k++)
            products += x_codes[k] * codes[k];
        const double scaled = products * scales[k0] * x_scales[k0 / width];
        sum += scaled;
        magnitude += fabs(scaled);
    }
    problem->expected[activation][at] = sum;
    problem->magnitude[activation][at] = magnitude;
}

static void expect_output(struct linear_problem *problem, const double *weights, const int *codes, const double *scales,
                          int i, int row) {
    const size_t at = (size_t)i * (size_t)problem->rows + (size_t)row;
    const float *x = problem->x + (size_t)i * problem->x_stride;
    double sum = 0, magnitude = 0;
    for (int k = 0; k < problem->columns; k++) {
        sum += x[k] * weights[k];
        magnitude += fabs(x[k] * weights[k]);
    }
    problem->expected[ACTIVATION_F32][at] = sum;
    problem->magnitude[ACTIVATION_F32][at] = magnitude;
    sum = magnitude = 0;
    double rounded = 0;
    for (int k = 0; k < problem->columns; k++) {
        const double value = bfloat16_to_float(float_to_bfloat16(x[k])), product = value * weights[k];
        sum += product;
        magnitude += fabs(product);
        rounded += value * bfloat16_to_float(float_to_bfloat16((float)weights[k]));
    }
    problem->expected[ACTIVATION_BF16][at] = sum;
    problem->magnitude[ACTIVATION_BF16][at] = magnitude;
    problem->expected_rounded[at] = rounded;
    for (enum activation activation = 0; activation < ACTIVATION_COUNT; activation++) {
        const struct quantized_rows *x_codes = linear_problem_codes(problem, activation);
        if (x_codes != NULL && x_codes->codes != NULL)
            expect_codes(problem, activation, codes, scales, i, row);
    }
}

int linear_problem_expect(struct linear_problem *problem) {
    const size_t count = (size_t)problem->m * (size_t)problem->rows, k = (size_t)problem->columns;
    for (int activation = 0; activation < ACTIVATION_COUNT; activation++) {
        problem->expected[activation] = allocate(count, sizeof(double));
        problem->magnitude[activation] = allocate(count, sizeof(double));
    }
    problem->expected_rounded = allocate(count, sizeof(double));
    double *weights = allocate(k, sizeof(double)), *scales = allocate(k, sizeof(double));
    int *codes = allocate(k, sizeof(int));
    int status = -ENOMEM;
    bool complete = problem->expected_rounded != NULL && weights != NULL && scales != NULL && codes != NULL;
    for (int activation = 0; activation < ACTIVATION_COUNT; activation++)
        complete &= problem->expected[activation] != NULL && problem->magnitude[activation] != NULL;
    if (!complete)
        goto out;
    for (int row = 0; row < problem->rows; row++) {
        for (int column = 0; column < problem->columns; column++)
            weights[column] = true_weight(problem, row, column, &codes[column], &scales[column]);
        for (int i = 0; i < problem->m; i++)
            expect_output(problem, weights, codes, scales, i, row);
    }
    status = 0;
out:
    free(weights);
    free(scales);
    free(codes);
    return status;
}

double linear_problem_operations(const struct linear_problem *problem, int m) {
    return 2.0 * (double)packed_present(problem->packed) * m;
}

const struct quantized_rows *linear_problem_codes(const struct linear_problem *problem, enum activation activation) {
    return activation == ACTIVATION_Q8 ? &problem->x_codes : activation == ACTIVATION_Q8G ? &problem->x_groups : NULL;
}

double linear_problem_bytes(const struct linear_problem *problem, enum activation activation, int m) {
    const struct quantized_rows *codes = linear_problem_codes(problem, activation);
    const double k = problem->columns;
    const double x = codes != NULL ? k + 4 * codes->groups + k / TILE_COLUMNS * 4 : 4 * k;
    return (double)packed_bytes(problem->packed) + m * (x + 4.0 * problem->rows);
}

// How far a kernel may be from the reference, per unit of the sum of magnitudes: roundings in a chain × 2⁻²⁴ (Higham, Accuracy and
// Stability of Numerical Algorithms, equation 3.5).
static double tolerance(const struct linear_problem *problem, const struct kernel *kernel, enum activation activation) {
    const double unit = 0x1p-24;
    const int group = problem->format.group > 0 ? problem->format.group : problem->columns;
    if (kernel->provider != PROVIDER_OWN) {
        // A library adds in any order, and may round the activations to bf16 beside bf16 weights.
        const double rounding = problem->format.type == WEIGHT_BF16 ? 0x1p-8 : 0;
        return rounding + (problem->columns + 4) * unit;
    }
    if (activation_quantized(activation)) // groups, and: sum to float, scale, activation scale, output
        return (problem->columns / group + 4) * unit;
    if (activation == ACTIVATION_BF16 && kernel->activation == activation) // matrix tiles: columns one after the other, pairs in two roundings
        return (problem->columns + 4) * unit;
    // Within a tile, tiles, and: weight to f32, scale, output, products that are not fused.
    return (TILE_COLUMNS + problem->columns / TILE_COLUMNS + 4) * unit;
}

enum { CANARIES = 16 };
static const float canary = -7777.25f;

static int compare(const struct linear_problem *problem, const struct kernel *kernel, enum activation activation, int m, const float *y,
                   size_t stride, char *message, size_t message_size) {
    const double relative = tolerance(problem, kernel, activation);
    for (int i = 0; i < m; i++) {
        for (size_t row = 0; row < stride; row++) {
            const float got = y[(size_t)i * stride + row];
            if (row >= (size_t)problem->rows) {
                if (got == canary)
                    continue;
                snprintf(message, message_size, "wrote %g beyond the %d outputs of token %d", got, problem->rows, i);
                return -EIO;
            }
            const size_t at = (size_t)i * (size_t)problem->rows + row;
            const double want = problem->expected[activation][at];
            // Rounding a weight to bf16, to nearest, changes it by up to 2⁻⁸ of itself, and an output by up to 2⁻⁸ of its magnitude: more than
            // a column that was forgotten may change it by. So matrix tiles are compared with what these very weights give, unless the tokens
            // were too few for tiles.
            const bool rounds = activation == ACTIVATION_BF16 && kernel->activation == activation && kernel->provider == PROVIDER_OWN;
            const double rounded = rounds ? problem->expected_rounded[at] : want, error = fmin(fabs(got - want), fabs(got - rounded));
            const double allowed = relative * problem->magnitude[activation][at] + 0x1p-140;
            if (!(error <= allowed) || !isfinite(got)) { // fmin() would take a number for a NaN
                snprintf(message, message_size,
                         "y[%d][%zu] is %.9g, the reference says %.9g (error %.3g, tolerance %.3g)", i, row, got, rounded,
                         error, allowed);
                return -EIO;
            }
        }
    }
    return 0;
}

int linear_problem_check(const struct linear_problem *problem, const struct kernel *kernel, enum activation activation, int m, int slices,
                         char *message, size_t message_size) {
    const size_t stride = (size_t)problem->rows + CANARIES, count = (size_t)m * stride;
    const size_t scratch_bytes = linear_scratch_bytes(problem->rows, problem->columns, m);
    float *y = allocate(count, sizeof(float));
    uint8_t *scratch = allocate(scratch_bytes + 64, 1);
    int status = -ENOMEM;
    if (y == NULL || scratch == NULL) {
        snprintf(message, message_size, "out of memory");
        goto out;
    }
    for (size_t i = 0; i < count; i++)
        y[i] = canary;
    memset(scratch, 0xff, scratch_bytes + 64); // NaN, if it were read
    const int panels = (problem->rows + PACKED_PANEL_ROWS - 1) / PACKED_PANEL_ROWS;
    for (int slice = slices - 1; slice >= 0; slice--) {
        const int end = panels * (slice + 1) / slices * PACKED_PANEL_ROWS;
        const struct linear_call call = {.weights = problem->packed,
                                         .activation = activation,
                                         .x = problem->x,
                                         .x_codes = linear_problem_codes(problem, activation),
                                         .x_stride = problem->x_stride,
                                         .y = y,
                                         .y_stride = stride,
                                         .m = m,
                                         .begin = panels * slice / slices * PACKED_PANEL_ROWS,
                                         .end = end < problem->rows ? end : problem->rows,
                                         .scratch = scratch};
        if (call.begin < call.end)
            ((linear_function *)kernel->function)(&call);
        for (size_t i = 0; i < count; i++) {
            if (i % stride < (size_t)call.begin && y[i] != canary) {
                snprintf(message, message_size, "slice [%d, %d) wrote to output %zu", call.begin, call.end, i % stride);
                status = -EIO;
                goto out;
            }
        }
    }
    status = compare(problem, kernel, activation, m, y, stride, message, message_size);
    for (size_t i = scratch_bytes; status == 0 && i < scratch_bytes + 64; i++) {
        if (scratch[i] != 0xff) {
            snprintf(message, message_size, "wrote beyond its scratch");
            status = -EIO;
        }
    }
out:
    free(y);
    free(scratch);
    return status;
}
