// SPDX-License-Identifier: MIT
// Packing: words, shapes, identity of codes, bytes, counts; and the quantization of activations, alike on every instruction set.
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/linear/linear_op.h"
#include "kernels/pack/float16.h"
#include "kernels/pack/packed.h"

static struct weight_format parse(const char *word) {
    struct weight_format format;
    char reason[256];
    if (weight_format_parse(word, &format, reason, sizeof(reason)) != 0)
        fail_msg("%s", reason);
    return format;
}

static void test_words(void **state) {
    (void)state;
    size_t count;
    const char *const *words = linear_formats(&count);
    char name[64];
    for (size_t i = 0; i < count; i++) {
        const struct weight_format format = parse(words[i]);
        weight_format_name(&format, name, sizeof(name));
        assert_string_equal(name, words[i]);
    }
    struct weight_format format = parse("q4g128a+s62.5");
    assert_int_equal(format.bits, 4);
    assert_int_equal(format.group, 128);
    assert_true(format.asymmetric);
    assert_int_equal(format.store, STORE_BITMASK);
    assert_true(format.sparsity == 0.625);
    weight_format_name(&format, name, sizeof(name));
    assert_string_equal(name, "q4g128a+s62.5");
}

static void test_bad_words(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "q9",
                                      "q4",
                                      "q4g",
                                      "q4g0",
                                      "q4g33",
                                      "q4ga",
                                      "q16g32a",
                                      "f16",
                                      "f32a",
                                      "f32+",
                                      "q4c+s",
                                      "q4c+s-5",
                                      "q4c+s101",
                                      "q4c+snan",
                                      "q4c+2:3",
                                      "q4c+4:4",
                                      "q4c+b16x5",
                                      "q4c+b16x4x",
                                      "q4g32 ",
                                      "q4c+0:4",
                                      "Q4c",
                                      "q4g99999999999999999999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct weight_format format;
        char reason[256] = "";
        assert_int_not_equal(weight_format_parse(bad[i], &format, reason, sizeof(reason)), 0);
        assert_non_null(strstr(reason, "known:"));
    }
    struct weight_format format;
    char reason[256];
    weight_format_parse("q4k", &format, reason, sizeof(reason));
    assert_non_null(strstr(reason, "did you mean 'q4c'?"));
    weight_format_parse("fp32", &format, reason, sizeof(reason));
    assert_non_null(strstr(reason, "did you mean 'f32'?"));
}

static void test_shapes(void **state) {
    (void)state;
    static const struct {
        const char *word;
        int rows, columns;
        const char *reason; // NULL: fits
    } cases[] = {
        {"f32", 1, 32, NULL},
        {"f32", 5, 48, "multiple of 32"},
        {"q4g128", 16, 64, "multiple of 128, the group"},
        {"q4g128", 16, 128, NULL},
        {"f32", 0, 32, "must be 1 or more"},
        {"q3g32+s50", 16, 32, NULL},
        {"q3g32+b16x4", 16, 32, "block store holds"},
        {"q8c", 1, 65536, NULL},
        {"q8c", 1, 65536 + 32, "one scale a row"},
        {"q16g32+2:4", 16, 32, "sparse stores hold"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct weight_format format = parse(cases[i].word);
        char reason[160];
        const int status = packed_check_shape(&format, cases[i].rows, cases[i].columns, reason, sizeof(reason));
        assert_int_equal(status == 0, cases[i].reason == NULL);
        if (cases[i].reason != NULL)
            assert_non_null(strstr(reason, cases[i].reason));
    }
}

static bool is_zero_weight(const struct linear_problem *problem, size_t at, size_t scale_at) {
    if (problem->mask != NULL && !problem->mask[at])
        return true;
    if (problem->format.type != WEIGHT_QUANTIZED)
        return problem->weights[at] == 0;
    return problem->quantized.codes[at] == (problem->format.asymmetric ? problem->quantized.zero_points[scale_at] : 0);
}

// What was packed comes back bit for bit, and what is absent comes back as zero.
static void test_identity(void **state) {
    (void)state;
    size_t formats;
    const char *const *words = linear_formats(&formats);
    for (size_t f = 0; f < formats; f++) {
        const struct weight_format format = parse(words[f]);
        const int rows = 35, columns = 3 * (format.group > 32 ? format.group : 32);
        const int group = format.group > 0 ? format.group : columns;
        struct linear_problem problem;
        assert_int_equal(linear_problem_create(&format, rows, columns, 1, true, 77 + f, &problem), 0);
        const size_t count = (size_t)rows * (size_t)columns;
        float *back = malloc(count * sizeof(float));
        assert_non_null(back);
        packed_unpack(problem.packed, back);
        size_t zeros = 0;
        for (size_t at = 0; at < count; at++) {
            const size_t scale_at =
                at / (size_t)columns * (size_t)(columns / group) + at % (size_t)columns / (size_t)group;
            float want = 0;
            if (is_zero_weight(&problem, at, scale_at))
                zeros++;
            else if (format.type == WEIGHT_F32)
                want = problem.weights[at];
            else if (format.type == WEIGHT_BF16)
                want = bfloat16_to_float(float_to_bfloat16(problem.weights[at]));
            else
                want = (float)(problem.quantized.codes[at] -
                               (format.asymmetric ? problem.quantized.zero_points[scale_at] : 0)) *
                       problem.quantized.scales[scale_at];
            if (!(back[at] == want))
                fail_msg("%s: weight %zu is %.9g, packed %.9g", words[f], at, back[at], want);
        }
        assert_true(fabs(packed_sparsity(problem.packed) - (double)zeros / (double)count) < 1e-12);
        assert_true(packed_present(problem.packed) >= count - zeros && packed_present(problem.packed) <= count);
        assert_true(format.store != STORE_DENSE || packed_present(problem.packed) == count);
        free(back);
        linear_problem_free(&problem);
    }
}

// Bytes of a tile of the dense store, eight bits wide, in which something is present.
static size_t bytes_with_any(const struct linear_problem *problem) {
    enum { TILE = 32, CHUNK = 4 };
    const int bits = problem->format.bits, fields = 8 / bits;
    size_t count = 0;
    for (int row = 0; row < problem->rows; row++) {
        for (int column = 0; column < problem->columns; column++) {
            if (column % TILE % (CHUNK * fields) >= CHUNK)
                continue; // of each byte, the column of its first field
            bool any = false;
            for (int field = 0; field < fields; field++)
                any |= problem->mask[(size_t)row * (size_t)problem->columns + (size_t)(column + CHUNK * field)] != 0;
            count += any;
        }
    }
    return count;
}

static void test_stores(void **state) {
    (void)state;
    static const struct {
        const char *word;
        enum sparse_store store;
    } cases[] = {{"q4g32", STORE_DENSE},         {"q4g32+s50", STORE_BITMASK},  {"q4g32+s75", STORE_BYTEMASK}, {"q8g32+s75", STORE_BITMASK},
                 {"bf16+s90", STORE_BITMASK},    {"q3c+s90", STORE_BITMASK},    {"q2c+s50", STORE_BYTEMASK},    {"q2c+s75", STORE_BYTEMASK},
                 {"q4c+2:4", STORE_BITMASK},     {"q4c+6:8", STORE_BYTEMASK},   {"q4g32+b16x4", STORE_BLOCK},  {"f32", STORE_DENSE}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct weight_format format = parse(cases[i].word);
        if (weight_store(&format) != cases[i].store)
            fail_msg("%s lies as %d", cases[i].word, weight_store(&format));
    }
}

// The bytes of a store are those of its formula, plus padding: ((1 − s)·b + 1)/8 a weight for a bitmask.
static void test_bytes(void **state) {
    (void)state;
    static const struct {
        const char *word;
        double bits; // a weight
    } cases[] = {{"f32", 32},
                 {"bf16", 16},
                 {"q16g32", 16 + 32.0 / 32},
                 {"q8g32", 8 + 16.0 / 32},
                 {"q6g64", 6 + 16.0 / 64},
                 {"q5g32", 5.5},
                 {"q4g32", 4.5},
                 {"q4g32a", 4 + 24.0 / 32},
                 {"q4g128", 4 + 16.0 / 128},
                 {"q3g32", 3.5},
                 {"q2c", 2},
                 {"f32+s75", .25 * 32 + 1},
                 {"bf16+s50", .5 * 16 + 1},
                 {"q8g32+s50", .5 * 8 + 1 + .5},
                 {"q8g32+s75", .25 * 8 + 1 + .5},
                 {"q4g128+s50", .5 * 4 + 1 + .125},
                 {"q3c+s90", .1 * 3 + 1},
                 {"q4g32+s75", 4 / 8.0 + .5},
                 {"q2c+s90", 2 / 8.0},
                 {"q4g128a+6:8", 4 / 8.0 + 24.0 / 128},
                 {"q4c+2:4", 3},
                 {"q8c+4:8", 5},
                 {"q8c+b16x4", .5 * 8 + 1 / 64.0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct weight_format format = parse(cases[i].word);
        struct linear_problem problem;
        assert_int_equal(linear_problem_create(&format, 256, 1024, 1, false, 5, &problem), 0);
        const double present = (double)packed_present(problem.packed) / (256 * 1024.0);
        double bits = cases[i].bits;
        if (weight_store(&format) == STORE_BYTEMASK) // counted, since masks are drawn
            bits += 8.0 * (double)bytes_with_any(&problem) / (256 * 1024);
        else if (format.store == STORE_BITMASK)
            bits += (present - (1 - format.sparsity)) * format.bits;
        if (format.store == STORE_BLOCK)
            bits += (present - .5) * format.bits;
        const double expected = bits * 256 * 1024 / 8, bytes = (double)packed_bytes(problem.packed);
        // A panel's sections start at multiples of 64, its offset takes 8; of a bitmask of 4 or 2-bit codes the longest field says how many bytes a tile takes.
        const double sections =
            16 * (4 * 64.0 + 8) + 64 + (weight_store(&format) == STORE_BITMASK && format.bits < 8 ? 256 * 1024 / 64.0 : 0);
        if (!(bytes >= expected - 1 && bytes <= expected + sections))
            fail_msg("%s: %.0f bytes, the formula says %.0f to %.0f", cases[i].word, bytes, expected,
                     expected + sections);
        linear_problem_free(&problem);
    }
}

static void test_refusals(void **state) {
    (void)state;
    enum { ROWS = 16, COLUMNS = 32 };
    static int16_t codes[ROWS * COLUMNS];
    static float scales[ROWS], weights[ROWS * COLUMNS];
    for (int i = 0; i < ROWS; i++)
        scales[i] = 0.5f;
    struct quantized_matrix quantized = {
        .rows = ROWS, .columns = COLUMNS, .bits = 4, .group = 32, .codes = codes, .scales = scales};
    struct packed_matrix *packed;
    struct weight_format format = parse("q4g32");
    assert_int_equal(packed_create(&format, ROWS, COLUMNS, NULL, &quantized, NULL, &packed), 0);
    packed_free(packed);
    codes[40] = 8; // of −7 … 7
    assert_int_not_equal(packed_create(&format, ROWS, COLUMNS, NULL, &quantized, NULL, &packed), 0);
    codes[40] = 0;
    scales[3] = 0.1f; // not an f16
    assert_int_not_equal(packed_create(&format, ROWS, COLUMNS, NULL, &quantized, NULL, &packed), 0);
    scales[3] = weight_scale_round(4, 0.1f);
    assert_int_equal(packed_create(&format, ROWS, COLUMNS, NULL, &quantized, NULL, &packed), 0);
    packed_free(packed);
    scales[3] = NAN;
    assert_int_not_equal(packed_create(&format, ROWS, COLUMNS, NULL, &quantized, NULL, &packed), 0);
    // 2:4 with three of four present.
    format = parse("f32+2:4");
    weights[4] = weights[5] = weights[6] = 1;
    assert_int_not_equal(packed_create(&format, ROWS, COLUMNS, weights, NULL, NULL, &packed), 0);
    weights[5] = 0;
    assert_int_equal(packed_create(&format, ROWS, COLUMNS, weights, NULL, NULL, &packed), 0);
    assert_int_equal(packed_present(packed), 2);
    packed_free(packed);
}

static void test_float16(void **state) {
    (void)state;
    for (uint32_t half = 0; half < 0x10000; half++) {
        const float value = float16_to_float((uint16_t)half);
        if ((half & 0x7fff) > 0x7c00) {
            assert_true(isnan(value));
            assert_true(isnan(float16_to_float(float_to_float16(value))));
            continue;
        }
        assert_int_equal(float_to_float16(value), half);
        if ((half & 0x7fff) >= 0x7bff)
            continue;
        // Halfway to the next rounds to the even one of the two, a little more or less to the nearer.
        const float next = float16_to_float((uint16_t)(half + 1)), middle = (value + next) / 2;
        assert_int_equal(float_to_float16(middle), half + (half & 1));
        assert_int_equal(float_to_float16(nextafterf(middle, value)), half);
        assert_int_equal(float_to_float16(nextafterf(middle, next)), half + 1);
    }
    assert_int_equal(float_to_float16(65519.99f), 0x7bff);
    assert_int_equal(float_to_float16(65520.0f), 0x7c00);
    assert_true(float16_to_float(0x3555) == 0x1.554p-2f);
    assert_int_equal(float_to_bfloat16(1.00390625f), 0x3f80); // tie to even
    assert_int_equal(float_to_bfloat16(nextafterf(1.00390625f, 2)), 0x3f81);
}

static void check_codes(const struct quantized_rows *rows, const float *x, size_t stride) {
    const int width = rows->columns / rows->groups;
    for (int i = 0; i < rows->rows * rows->groups; i++) {
        const int row = i / rows->groups, first = i % rows->groups * width;
        float largest = 0;
        for (int k = first; k < first + width; k++)
            largest = fmaxf(largest, fabsf(x[(size_t)row * stride + (size_t)k]));
        // of several groups, the nearest with 22 bits
        if (rows->groups > 1)
            assert_true(fabsf(rows->scales[i] - largest / 127.0f) <= 0x1p-22f * rows->scales[i] && (float_bits(rows->scales[i]) & 3) == 0);
        else
            assert_true(rows->scales[i] == largest / 127.0f);
        for (int tile = first / 32; tile < (first + width) / 32; tile++) {
            int sum = 0;
            for (int k = tile * 32; k < tile * 32 + 32; k++) {
                const int code = rows->codes[(size_t)row * (size_t)rows->columns + (size_t)k];
                const double exact = largest > 0 ? x[(size_t)row * stride + (size_t)k] / (largest / 127.0) : 0;
                if (!(fabs(code - exact) <= 0.5001))
                    fail_msg("row %d: code %d is %d, the value is %g steps", row, k, code, exact);
                sum += code;
            }
            assert_int_equal(rows->sums[row * (rows->columns / 32) + tile], sum);
        }
    }
}

// With one scale a row, or one for each `group` columns.
static void check_quantize_rows(int group) {
    enum { ROWS = 37, COLUMNS = 384, STRIDE = COLUMNS + 5 };
    static float x[ROWS * STRIDE];
    srand(3);
    for (int i = 0; i < ROWS * STRIDE; i++)
        x[i] = i % STRIDE < COLUMNS ? ((float)rand() / (float)RAND_MAX - 0.5f) * (i / STRIDE % 5 == 0 ? 1000 : 1) : NAN;
    memset(x + 3 * STRIDE, 0, COLUMNS * sizeof(float)); // a row of zeros
    struct quantized_rows plain, other;
    assert_int_equal(quantized_rows_create(ROWS, COLUMNS, group, &plain), 0);
    assert_int_equal(quantized_rows_create(ROWS, COLUMNS, group, &other), 0);
    struct quantize_rows_call call = {.x = x, .x_stride = STRIDE, .out = &plain, .begin = 0, .end = ROWS};
    ((quantize_rows_function *)kernel_find("quantize_rows_scalar")->function)(&call);
    check_codes(&plain, x, STRIDE);
    const int groups = plain.groups, touched = 35 / (COLUMNS / groups);
    assert_int_equal(groups, group > 0 ? COLUMNS / group : 1);
    size_t count;
    const struct kernel *const *all = kernel_all(&count);
    call.out = &other;
    for (size_t i = 0; i < count; i++) {
        if (all[i]->op != OP_QUANTIZE_ROWS || all[i]->isa > isa_detect())
            continue;
        memset(other.codes, 0x55, ROWS * COLUMNS);
        for (int part = 0; part < 3; part++) {
            call.begin = ROWS * part / 3;
            call.end = ROWS * (part + 1) / 3;
            ((quantize_rows_function *)all[i]->function)(&call);
        }
        assert_memory_equal(other.codes, plain.codes, ROWS * COLUMNS);
        assert_memory_equal(other.sums, plain.sums, ROWS * COLUMNS / 32 * sizeof(int32_t));
        assert_memory_equal(other.scales, plain.scales, (size_t)(ROWS * groups) * sizeof(float));
        // What is not finite stays visible, and touches no other row and no other group.
        static float bad[2 * STRIDE];
        memcpy(bad, x, sizeof(bad));
        call.x = bad;
        call.begin = 0;
        call.end = 2;
        bad[35] = NAN;
        ((quantize_rows_function *)all[i]->function)(&call);
        for (int scale = 0; scale < 2 * groups; scale++)
            assert_true(scale == touched ? isnan(other.scales[scale]) : other.scales[scale] == plain.scales[scale]);
        bad[35] = -INFINITY;
        ((quantize_rows_function *)all[i]->function)(&call);
        assert_true(isnan(other.scales[touched]));
        bad[35] = 1e-36f; // vanishing beside the others, and alone
        ((quantize_rows_function *)all[i]->function)(&call);
        assert_true(other.scales[touched] > 0);
        for (int k = 0; k < COLUMNS; k++)
            bad[k] = 1e-36f;
        ((quantize_rows_function *)all[i]->function)(&call);
        assert_true(other.scales[touched] == 0);
        call.x = x;
    }
    quantized_rows_free(&plain);
    quantized_rows_free(&other);
}

static void test_quantize_rows(void **state) {
    (void)state;
    struct quantized_rows none;
    for (int group = 0; group <= 128; group = group == 0 ? 32 : 2 * group)
        check_quantize_rows(group);
    assert_int_equal(quantized_rows_create(1, 96, 64, &none), -EINVAL);
    assert_int_equal(quantized_rows_create(1, 96, 48, &none), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),    cmocka_unit_test(test_bad_words),     cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_identity), cmocka_unit_test(test_bytes),         cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_float16),  cmocka_unit_test(test_quantize_rows),  cmocka_unit_test(test_stores),
    };
    return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
