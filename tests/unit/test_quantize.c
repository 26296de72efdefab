// SPDX-License-Identifier: MIT
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bench/compress/quantize.h"

enum { ROWS = 48, COLUMNS = 256, SIZE = ROWS * COLUMNS };
static char error[256];

static uint64_t lcg = 99;
static double uniform(void) {
    lcg = lcg * 6364136223846793005u + 1442695040888963407u;
    return (double)(lcg >> 33) / 2147483648.0;
}

// Weights with rows of very different size, outliers, a row of zeros, rows of one sign and without a zero, and every
// third weight pruned elsewhere.
static void fill(float *weights) {
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++) {
            double w = ldexp(uniform() + uniform() - 1, r % 24 - 18);
            if (r % 7 == 3)
                w = fabs(w);
            if (r % 7 == 4)
                w = -fabs(w);
            if (c == r * 5 % COLUMNS)
                w *= 30;
            weights[r * COLUMNS + c] = (r == 9 || (c % 3 == 1 && r % 7 != 3)) ? 0 : (float)w;
        }
}

// Written anew: the float whose f16 bit pattern this is.
static double f16_value(unsigned bits) {
    unsigned exponent = bits >> 10, mantissa = bits & 1023;
    return exponent ? ldexp(1024 + mantissa, (int)exponent - 25) : ldexp(mantissa, -24);
}

static void test_round_up_f16(void **state) {
    (void)state;
    for (unsigned bits = 0; bits < 0x7bff; bits++) {
        double here = f16_value(bits), next = f16_value(bits + 1);
        assert_true((double)quantize_round_up_f16(here) == here);
        assert_true((double)quantize_round_up_f16(here + (next - here) / 1000) == next);
        assert_true((double)quantize_round_up_f16(next - (next - here) / 1000) == next);
    }
    assert_true((double)quantize_round_up_f16(65504) == 65504);
    assert_true(isinf(quantize_round_up_f16(65505)));
    assert_true((double)quantize_round_up_f16(1e-30) == ldexp(1, -24));
}

static bool is_f16(double x) {
    return (double)quantize_round_up_f16(x) == x;
}

static void test_code(void **state) {
    (void)state;
    assert_int_equal(quantize_code(1.234, 0.1, -127, 127), 12);
    assert_int_equal(quantize_code(-1.234, 0.1, -127, 127), -12);
    assert_int_equal(quantize_code(0.25, 0.1, -127, 127), 2); // ties to even
    assert_int_equal(quantize_code(99, 0.1, -127, 127), 127);
    assert_int_equal(quantize_code(-99, 0.1, -127, 127), -127);
    assert_int_equal(quantize_code(1, 0, -7, 7), 0);
}

// int4 asymmetric: s = (max − min)/15. The numbers are chosen so that the scale is an f16 number.
static void test_asymmetric_by_hand(void **state) {
    (void)state;
    float weights[32] = {-.625f, 1.25f, 0, .5f, -.0625f};
    struct quantized_matrix q;
    assert_int_equal(quantize_matrix(weights, 1, 32, 4, 32, true, &q, error, sizeof error), 0);
    assert_true(q.scales[0] == .125f);
    assert_int_equal(q.zero_points[0], 5);
    assert_int_equal(q.codes[0], 0);
    assert_int_equal(q.codes[1], 15);
    assert_int_equal(q.codes[2], 5);
    assert_int_equal(q.codes[3], 9);
    assert_int_equal(q.codes[4], 5); // −0.5 steps, to even
    quantized_matrix_free(&q);
}

static void test_symmetric_by_hand(void **state) {
    (void)state;
    float weights[32] = {-1.75f, 1.25f, 0, .3f};
    struct quantized_matrix q;
    assert_int_equal(quantize_matrix(weights, 1, 32, 4, QUANTIZE_CHANNEL, false, &q, error, sizeof error), 0);
    assert_true(q.scales[0] == .25f);
    assert_null(q.zero_points);
    assert_int_equal(q.codes[0], -7);
    assert_int_equal(q.codes[1], 5);
    assert_int_equal(q.codes[2], 0);
    assert_int_equal(q.codes[3], 1);
    quantized_matrix_free(&q);
}

// The scale that the definition asks for, of the weights that share it.
static double exact_scale(const float *weights, int bits, int group, bool asymmetric, int i) {
    int size = group == QUANTIZE_TENSOR ? SIZE : group == QUANTIZE_CHANNEL ? COLUMNS : group;
    double low = 0, high = 0;
    for (int j = i / size * size; j < i / size * size + size; j++) {
        low = fmin(low, (double)weights[j]);
        high = fmax(high, (double)weights[j]);
    }
    return asymmetric ? (high - low) / (pow(2, bits) - 1) : fmax(-low, high) / (pow(2, bits - 1) - 1);
}

static void check_matrix(const float *weights, int bits, int group, bool asymmetric) {
    struct quantized_matrix q;
    assert_int_equal(quantize_matrix(weights, ROWS, COLUMNS, bits, group, asymmetric, &q, error, sizeof error), 0);
    assert_int_equal(q.group, group == QUANTIZE_TENSOR ? 0 : group);
    static float back[SIZE];
    quantize_dequantize(&q, back);
    int size = q.group ? q.group : COLUMNS;
    int low = asymmetric ? 0 : 1 - (1 << (bits - 1)), high = asymmetric ? (1 << bits) - 1 : -low;
    for (int i = 0; i < SIZE; i++) {
        double scale = (double)q.scales[i / size], exact = exact_scale(weights, bits, group, asymmetric, i);
        int zero = asymmetric ? q.zero_points[i / size] : 0;
        double value = scale * (q.codes[i] - zero);
        if (!(fabs((double)weights[i] - value) <= scale / 2 * (1 + 1e-9)))
            fail_msg("%d bits, group %d, weight %d: %g became %g with scale %g", bits, group, i, (double)weights[i],
                     value, scale);
        assert_true(is_f16(scale));
        assert_true(scale >= exact && scale <= exact * (1 + 0x1p-10) + 0x1p-24);
        assert_in_range(q.codes[i] - low, 0, high - low);
        assert_true(back[i] == (float)value);
        if (weights[i] == 0)
            assert_true(back[i] == 0 && q.codes[i] == zero);
    }
    quantized_matrix_free(&q);
}

static void test_every_format(void **state) {
    (void)state;
    static float weights[SIZE];
    fill(weights);
    const int bits[] = {16, 8, 6, 5, 4, 3, 2}, groups[] = {QUANTIZE_TENSOR, QUANTIZE_CHANNEL, 32, 64, 128};
    for (size_t b = 0; b < sizeof bits / sizeof *bits; b++)
        for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
            for (int asymmetric = 0; asymmetric < 2; asymmetric++)
                if (!asymmetric || bits[b] <= 8)
                    check_matrix(weights, bits[b], groups[g], asymmetric);
}

static void test_per_tensor_is_one_scale(void **state) {
    (void)state;
    static float weights[SIZE];
    fill(weights);
    struct quantized_matrix q;
    assert_int_equal(quantize_matrix(weights, ROWS, COLUMNS, 8, QUANTIZE_TENSOR, true, &q, error, sizeof error), 0);
    for (int r = 1; r < ROWS; r++)
        assert_true(q.scales[r] == q.scales[0] && q.zero_points[r] == q.zero_points[0]);
    quantized_matrix_free(&q);
}

static void test_refused(void **state) {
    (void)state;
    static float weights[SIZE];
    struct quantized_matrix q;
    assert_int_equal(quantize_matrix(weights, ROWS, COLUMNS, 7, 32, false, &q, error, sizeof error), -EINVAL);
    assert_int_equal(quantize_matrix(weights, ROWS, COLUMNS, 8, 48, false, &q, error, sizeof error), -EINVAL);
    assert_int_equal(quantize_matrix(weights, ROWS, 96, 8, 64, false, &q, error, sizeof error), -EINVAL);
    assert_non_null(strstr(error, "96 columns"));
    assert_int_equal(quantize_matrix(weights, ROWS, COLUMNS, 16, 32, true, &q, error, sizeof error), -EINVAL);
    weights[777] = NAN;
    assert_int_equal(quantize_matrix(weights, ROWS, COLUMNS, 8, 32, false, &q, error, sizeof error), -EINVAL);
    assert_int_equal(quantize_matrix(weights, ROWS, COLUMNS, 8, QUANTIZE_TENSOR, true, &q, error, sizeof error),
                     -EINVAL);
    weights[777] = 1e9f;
    assert_int_equal(quantize_matrix(weights, ROWS, COLUMNS, 8, 32, false, &q, error, sizeof error), -ERANGE);
    assert_non_null(strstr(error, "f16"));
    assert_null(q.codes);
    assert_int_equal(quantize_matrix(weights, ROWS, COLUMNS, 16, 32, false, &q, error, sizeof error), 0);
    quantized_matrix_free(&q);
}

static void fill_activations(float *x) {
    fill(x);
    x[5 * COLUMNS] = -1e-42f; // a row of denormals
    for (int c = 1; c < COLUMNS; c++)
        x[5 * COLUMNS + c] = 3e-44f * (float)(c % 5);
}

static void test_activations(void **state) {
    (void)state;
    static float x[SIZE], fake[SIZE], back[SIZE];
    static int8_t codes[SIZE];
    float scales[ROWS];
    fill_activations(x);
    memcpy(fake, x, sizeof x);
    quantize_activations(x, ROWS, COLUMNS, codes, scales);
    quantize_activations_back(codes, scales, ROWS, COLUMNS, back);
    quantize_activations_fake(fake, ROWS, COLUMNS);
    assert_memory_equal(fake, back, sizeof back);
    for (int r = 0; r < ROWS; r++) {
        int largest = 0;
        for (int c = 0; c < COLUMNS; c++) {
            int i = r * COLUMNS + c;
            if (r != 5)
                assert_true(fabs((double)x[i] - (double)back[i]) <= (double)scales[r] / 2 * 1.0001);
            largest = abs(codes[i]) > largest ? abs(codes[i]) : largest;
        }
        assert_int_equal(largest, r == 5 || r == 9 ? 0 : 127);
    }
    for (int i = 0; i < 2; i++) {
        x[COLUMNS + 3] = i ? INFINITY : NAN;
        quantize_activations(x, 2, COLUMNS, codes, scales);
        assert_true(isnan(scales[1]) && !isnan(scales[0]));
        memcpy(fake, x, sizeof x);
        quantize_activations_fake(fake, 2, COLUMNS);
        assert_true(isnan(fake[COLUMNS + 200]) && !isnan(fake[200]));
    }
}

// The numbers that are judged are those that are timed: every kernel that quantizes rows gives the same bits.
static void test_activations_of_kernels(void **state) {
    (void)state;
    static float x[SIZE];
    static int8_t codes[SIZE];
    float scales[ROWS];
    fill_activations(x);
    quantize_activations(x, ROWS, COLUMNS, codes, scales);
    struct quantized_rows rows;
    assert_int_equal(quantized_rows_create(ROWS, COLUMNS, 0, &rows), 0);
    size_t count, tried = 0;
    const struct kernel *const *kernels = kernel_all(&count);
    for (size_t k = 0; k < count; k++) {
        if (kernels[k]->op != OP_QUANTIZE_ROWS || kernels[k]->isa > isa_detect())
            continue;
        struct quantize_rows_call call = {.x = x, .x_stride = COLUMNS, .out = &rows, .begin = 0, .end = ROWS};
        ((quantize_rows_function *)kernels[k]->function)(&call);
        assert_memory_equal(rows.codes, codes, sizeof codes);
        assert_memory_equal(rows.scales, scales, sizeof scales);
        tried++;
    }
    assert_true(tried > 0);
    quantized_rows_free(&rows);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_up_f16),
        cmocka_unit_test(test_code),
        cmocka_unit_test(test_asymmetric_by_hand),
        cmocka_unit_test(test_symmetric_by_hand),
        cmocka_unit_test(test_every_format),
        cmocka_unit_test(test_per_tensor_is_one_scale),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_activations), cmocka_unit_test(test_activations_of_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
