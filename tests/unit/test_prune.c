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

#include "bench/compress/prune.h"
#include "bench/compress/schedule.h"

enum { LARGEST = 4096 };
static char error[256];
static uint8_t mask[LARGEST];

static struct prune_tensor tensor(const float *weights, int rows, int columns) {
    memset(mask, 1, sizeof mask);
    return (struct prune_tensor){weights, rows, columns, mask};
}

// "1101": which weights stay.
static void assert_mask(const uint8_t *actual, const char *expected) {
    for (size_t i = 0; expected[i]; i++)
        if (actual[i] != (uint8_t)(expected[i] - '0'))
            fail_msg("weight %zu: mask %d, expected %c (of %s)", i, actual[i], expected[i], expected);
}

static size_t kept(const uint8_t *of, size_t count) {
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += of[i];
    return sum;
}

static uint64_t lcg = 12345;
static float random_weight(void) {
    lcg = lcg * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(lcg >> 33) / 2147483648.0 - 0.5);
}

static void test_keep_count(void **state) {
    (void)state;
    assert_int_equal(prune_keep_count(10, 0.2), 8);
    assert_int_equal(prune_keep_count(100, 0.9999), 1);
    assert_int_equal(prune_keep_count(5, 0.5), 2); // 2.5 to even
    assert_int_equal(prune_keep_count(7, 0.5), 4); // 3.5 to even
    assert_int_equal(prune_keep_count(7, 1), 1);
    assert_int_equal(prune_keep_count(0, 0.5), 0);
}

static void test_magnitude(void **state) {
    (void)state;
    float weights[10], threshold;
    for (int i = 0; i < 10; i++)
        weights[i] = (float)((i % 2 ? -1 : 1) * (i + 1));
    struct prune_tensor t = tensor(weights, 2, 5);
    assert_int_equal(prune_magnitude(&t, 1, 0.2, &threshold, error, sizeof error), 0);
    assert_true(threshold == 3);
    assert_mask(mask, "0011111111");

    float hundred[100];
    for (int i = 0; i < 100; i++)
        hundred[i] = (float)((i * 37) % 100);
    t = tensor(hundred, 10, 10);
    assert_int_equal(prune_magnitude(&t, 1, 0.9999, NULL, error, sizeof error), 0);
    assert_int_equal(kept(mask, 100), 1);
    assert_true(mask[27] == 1 && hundred[27] == 99);
}

static void test_ties_stay(void **state) {
    (void)state;
    const float weights[] = {1, -2, 2, 2, -2, 3};
    struct prune_tensor t = tensor(weights, 1, 6);
    assert_int_equal(prune_magnitude(&t, 1, 0.5, NULL, error, sizeof error), 0);
    assert_mask(mask, "011111");
}

static int descending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

// The radix selection against sorting, on weights of all sizes down to denormals.
static void test_threshold_is_kth_largest(void **state) {
    (void)state;
    static float weights[LARGEST], sorted[LARGEST];
    for (int i = 0; i < LARGEST; i++) {
        weights[i] = ldexpf(random_weight(), -(i % 140));
        sorted[i] = fabsf(weights[i]);
    }
    qsort(sorted, LARGEST, sizeof *sorted, descending);
    for (int percent = 0; percent <= 100; percent += 7) {
        float threshold;
        struct prune_tensor t = tensor(weights, 64, 64);
        assert_int_equal(prune_magnitude(&t, 1, percent / 100.0, &threshold, error, sizeof error), 0);
        float expected = sorted[prune_keep_count(LARGEST, percent / 100.0) - 1];
        if (threshold != expected)
            fail_msg("%d%%: threshold %g, expected %g", percent, (double)threshold, (double)expected);
    }
}

struct shown {
    const struct prune_tensor *tensors;
    float room[40 * 48];
    int looks;
};

// One matrix at a time, at the same place: the one before is gone.
static int show(void *context, size_t index, struct prune_tensor *tensor) {
    struct shown *shown = context;
    const struct prune_tensor *from = &shown->tensors[index];
    memset(shown->room, 0xff, sizeof shown->room);
    memcpy(shown->room, from->importance, (size_t)from->rows * (size_t)from->columns * sizeof *shown->room);
    *tensor = (struct prune_tensor){.importance = shown->room, .rows = from->rows, .columns = from->columns};
    shown->looks++;
    return shown->looks < 1000 ? 0 : -EIO;
}

static void test_one_at_a_time(void **state) {
    (void)state;
    enum { TENSORS = 3 };
    static float weights[TENSORS][40 * 48];
    static uint8_t together[TENSORS][40 * 48], alone[TENSORS][40 * 48];
    static const char *const words[] = {"global:50%", "global:3%", "global:99.99%", "global:b16x4:50%", "global:b8x8max:75%"};
    struct prune_tensor tensors[TENSORS];
    struct shown shown = {.tensors = tensors};
    float threshold;
    for (size_t word = 0; word < sizeof words / sizeof *words; word++) {
        struct variant_recipe recipe = {0};
        assert_int_equal(recipe_parse_prune(words[word], &recipe, error, sizeof error), 0);
        for (int t = 0; t < TENSORS; t++) {
            tensors[t] = (struct prune_tensor){weights[t], 40 - 7 * t, 48, together[t]};
            for (int i = 0; i < 40 * 48; i++) // some of them the same
                weights[t][i] = (float)((i * 7919 + t * 31) % 701 - 350) * (t == 1 ? 3 : 1);
            memset(together[t], 1, sizeof together[t]);
            memset(alone[t], 1, sizeof alone[t]);
        }
        assert_int_equal(prune_tensors(&recipe, tensors, TENSORS, error, sizeof error), 0);
        assert_int_equal(prune_find(&recipe, TENSORS, show, &shown, &threshold, error, sizeof error), 0);
        for (int t = 0; t < TENSORS; t++) {
            struct prune_tensor one = tensors[t];
            one.mask = alone[t];
            assert_int_equal(prune_at(&recipe, &one, threshold, error, sizeof error), 0);
        }
        assert_memory_equal(alone, together, sizeof alone);
        assert_true(prune_sparsity(together[0], 40 * 48) > 0);
    }
    struct variant_recipe recipe = {.method = PRUNE_MAGNITUDE, .scope = SCOPE_GLOBAL, .ratio = .5};
    weights[2][5] = NAN;
    assert_int_equal(prune_find(&recipe, TENSORS, show, &shown, &threshold, error, sizeof error), -EINVAL);
    assert_non_null(strstr(error, "matrix 2, row 0, column 5"));
    assert_non_null(strstr(error, "finite"));
    shown.looks = 1000; // reading fails
    assert_int_equal(prune_find(&recipe, TENSORS, show, &shown, &threshold, error, sizeof error), -EIO);
}

static void test_global(void **state) {
    (void)state;
    const float small[] = {.1f, .2f, .3f, .4f}, large[] = {1, 2, 3, 4};
    uint8_t masks[2][4];
    memset(masks, 1, sizeof masks);
    struct prune_tensor both[] = {{small, 2, 2, masks[0]}, {large, 2, 2, masks[1]}};
    struct variant_recipe recipe = {.method = PRUNE_MAGNITUDE, .ratio = 0.5, .scope = SCOPE_GLOBAL};
    assert_int_equal(prune_tensors(&recipe, both, 2, error, sizeof error), 0);
    assert_mask(masks[0], "0000");
    assert_mask(masks[1], "1111");
    memset(masks, 1, sizeof masks);
    recipe.scope = SCOPE_TENSOR;
    assert_int_equal(prune_tensors(&recipe, both, 2, error, sizeof error), 0);
    assert_mask(masks[0], "0011");
    assert_mask(masks[1], "0011");
}

static void test_threshold(void **state) {
    (void)state;
    const float weights[] = {1, .5f, .2f, .8f, .3f, .1f, .6f, .4f, 0};
    struct prune_tensor t = tensor(weights, 3, 3);
    struct variant_recipe recipe = {.method = PRUNE_THRESHOLD, .threshold = 0.3};
    assert_int_equal(prune_tensors(&recipe, &t, 1, error, sizeof error), 0);
    assert_mask(mask, "110110110");
    const float sevens[] = {.7f, -.7f, .69f};
    t = tensor(sevens, 1, 3);
    assert_int_equal(prune_threshold(&t, 0.7, error, sizeof error), 0);
    assert_mask(mask, "110");
}

static void test_n_of_m(void **state) {
    (void)state;
    const float weights[] = {.25f, -1.33f, .43f, -.11f, .47f, .92f, -.13f, -2.23f};
    struct prune_tensor t = tensor(weights, 1, 8);
    assert_int_equal(prune_n_of_m(&t, 2, 4, error, sizeof error), 0);
    assert_mask(mask, "01100101");
    t = tensor(weights, 1, 8);
    assert_int_equal(prune_n_of_m(&t, 4, 8, error, sizeof error), 0);
    assert_mask(mask, "01001101");
    // Equal weights still lose exactly two, the later ones.
    const float equal[] = {1, 1, 1, 1};
    t = tensor(equal, 1, 4);
    assert_int_equal(prune_n_of_m(&t, 2, 4, error, sizeof error), 0);
    assert_mask(mask, "1100");
    // What is gone counts: a second time changes nothing, and one that is gone leaves one to drop.
    assert_int_equal(prune_n_of_m(&t, 2, 4, error, sizeof error), 0);
    assert_mask(mask, "1100");
    t = tensor(weights, 1, 4);
    mask[1] = 0;
    assert_int_equal(prune_n_of_m(&t, 2, 4, error, sizeof error), 0);
    assert_mask(mask, "1010");
    t = tensor(weights, 2, 3);
    assert_int_equal(prune_n_of_m(&t, 2, 4, error, sizeof error), -EINVAL);
    assert_non_null(strstr(error, "4 divides"));
}

static void test_block(void **state) {
    (void)state;
    const float weights[] = {.1f, .1f, .2f, .2f, .1f, -.1f, .2f, .2f, .3f, .3f, .4f, .4f, -.3f, .3f, .4f, .4f};
    for (int pooling = POOL_AVERAGE; pooling <= POOL_MAXIMUM; pooling++) {
        struct prune_tensor t = tensor(weights, 4, 4);
        assert_int_equal(prune_block(&t, 1, 2, 2, pooling, 0.5, error, sizeof error), 0);
        assert_mask(mask, "0000000011111111");
    }
    // A block with one large weight: kept by its maximum, dropped by its mean.
    const float peaked[] = {0, 0, .5f, .5f, 0, 1, .5f, .5f};
    struct prune_tensor t = tensor(peaked, 2, 4);
    assert_int_equal(prune_block(&t, 1, 2, 2, POOL_MAXIMUM, 0.5, error, sizeof error), 0);
    assert_mask(mask, "11001100");
    t = tensor(peaked, 2, 4);
    assert_int_equal(prune_block(&t, 1, 2, 2, POOL_AVERAGE, 0.5, error, sizeof error), 0);
    assert_mask(mask, "00110011");
    // Blocks that stick out are pooled over what exists: 3 columns in blocks of 2.
    const float ragged[] = {1, 1, 1.5f, 1, 1, 1.5f};
    t = tensor(ragged, 2, 3);
    assert_int_equal(prune_block(&t, 1, 2, 2, POOL_AVERAGE, 0.5, error, sizeof error), 0);
    assert_mask(mask, "001001");
}

static void test_packed_block(void **state) {
    (void)state;
    static float weights[32 * 16];
    for (size_t i = 0; i < 32 * 16; i++)
        weights[i] = (float)(1 + (i / (16 * 16)) * 4 + (i % 16) / 4);
    struct prune_tensor t = tensor(weights, 32, 16);
    struct variant_recipe recipe = {.method = PRUNE_BLOCK, .ratio = 0.75, .block_rows = 16, .block_columns = 4};
    assert_int_equal(prune_tensors(&recipe, &t, 1, error, sizeof error), 0);
    for (size_t i = 0; i < 32 * 16; i++)
        assert_int_equal(mask[i], i >= 16 * 16 && i % 16 >= 8);
    assert_true(prune_sparsity(mask, 32 * 16) == 0.75);
}

static void test_repeated(void **state) {
    (void)state;
    static float weights[1024];
    for (int i = 0; i < 1024; i++)
        weights[i] = random_weight();
    struct prune_tensor t = tensor(weights, 32, 32);
    for (int time = 0; time < 2; time++)
        assert_int_equal(prune_magnitude(&t, 1, 0.5, NULL, error, sizeof error), 0);
    assert_true(prune_sparsity(mask, 1024) == 0.75);
    uint8_t twice[1024];
    memcpy(twice, mask, sizeof twice);
    t = tensor(weights, 32, 32);
    assert_int_equal(prune_magnitude(&t, 1, 0.75, NULL, error, sizeof error), 0);
    assert_memory_equal(mask, twice, sizeof twice);
    static float pruned[1024];
    prune_copy(pruned, weights, mask, 1024);
    for (int i = 0; i < 1024; i++)
        assert_true(pruned[i] == (mask[i] ? weights[i] : 0));
    assert_int_equal(prune_dropped(mask, 1024), 768);
    t = tensor(pruned, 32, 32);
    for (int time = 0; time < 2; time++)
        assert_int_equal(prune_block(&t, 1, 4, 4, POOL_AVERAGE, 0.5, error, sizeof error), 0);
    assert_true(prune_sparsity(mask, 1024) == 0.75);
}

static void test_not_finite(void **state) {
    (void)state;
    float weights[] = {1, 2, NAN, 4};
    struct variant_recipe recipes[] = {
        {.method = PRUNE_MAGNITUDE, .ratio = 0.5},
        {.method = PRUNE_THRESHOLD, .threshold = 1},
        {.method = PRUNE_N_OF_M, .n = 2, .m = 4},
        {.method = PRUNE_BLOCK, .ratio = 0.5, .block_rows = 1, .block_columns = 2},
    };
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) {
        struct prune_tensor t = tensor(weights, 1, 4);
        assert_int_equal(prune_tensors(&recipes[i], &t, 1, error, sizeof error), -EINVAL);
        assert_non_null(strstr(error, "column 2"));
        assert_mask(mask, "1111");
    }
}

static void test_gradient(void **state) {
    (void)state;
    // A large weight that the loss does not depend on goes before a small one that it does.
    const float weights[] = {4, -.5f, .1f, 2}, first[] = {0, .5f, -1, .2f}, second[] = {.01f, .5f, 1, -.1f};
    float importance[4] = {0};
    prune_gradient_importance(weights, first, 4, importance);
    prune_gradient_importance(weights, second, 4, importance);
    const double expected[] = {.04, .5, .2, .6};
    for (int i = 0; i < 4; i++)
        assert_true(fabs((double)importance[i] - expected[i]) < 1e-6);
    struct prune_tensor t = tensor(importance, 1, 4);
    assert_int_equal(prune_magnitude(&t, 1, 0.5, NULL, error, sizeof error), 0);
    assert_mask(mask, "0101");
}

// |w·g| is what removing w changes the loss by, to first order: L = ½Σ(wᵢxᵢ − y)² by differences.
static void test_gradient_predicts_loss(void **state) {
    (void)state;
    enum { N = 64 };
    float weights[N], gradients[N], importance[N] = {0};
    double x[N], target = 0, output = 0;
    for (int i = 0; i < N; i++) {
        weights[i] = 0.01f * random_weight();
        x[i] = (double)random_weight();
        output += (double)weights[i] * x[i];
    }
    target = output + 1;
    for (int i = 0; i < N; i++)
        gradients[i] = (float)((output - target) * x[i]);
    prune_gradient_importance(weights, gradients, N, importance);
    for (int i = 0; i < N; i++) {
        double without = output - (double)weights[i] * x[i];
        double change = fabs((without - target) * (without - target) - (output - target) * (output - target)) / 2;
        assert_true(fabs(change - (double)importance[i]) <= 0.01 * change + 1e-9);
    }
}

static void test_schedule(void **state) {
    (void)state;
    struct prune_schedule schedule = {SCHEDULE_POLYNOMIAL, .2, .8, 100, 110, 3, 2};
    assert_int_equal(schedule_check(&schedule, error, sizeof error), 0);
    const struct {
        long step;
        double ratio;
        bool prunes;
    } expected[] = {{99, .2, false},    {100, .2, true}, {102, .4928, true}, {103, .5942, false},
                    {105, .725, false}, {110, .8, true}, {112, .8, false}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_true(fabs(schedule_ratio(&schedule, expected[i].step) - expected[i].ratio) < 1e-12);
        assert_int_equal(schedule_prunes(&schedule, expected[i].step), expected[i].prunes);
    }
    struct prune_schedule constant = {SCHEDULE_CONSTANT, 0, .5, 0, -1, 0, 100};
    assert_int_equal(schedule_check(&constant, error, sizeof error), 0);
    assert_true(schedule_ratio(&constant, 12345) == .5);
    assert_true(schedule_prunes(&constant, 300) && !schedule_prunes(&constant, 301));
    schedule.end = 100;
    assert_int_equal(schedule_check(&schedule, error, sizeof error), -EINVAL);
    constant.final = NAN;
    assert_int_equal(schedule_check(&constant, error, sizeof error), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_count),
        cmocka_unit_test(test_magnitude),
        cmocka_unit_test(test_ties_stay),
        cmocka_unit_test(test_threshold_is_kth_largest),
        cmocka_unit_test(test_global),
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_threshold),
        cmocka_unit_test(test_n_of_m),
        cmocka_unit_test(test_block),
        cmocka_unit_test(test_packed_block),
        cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_gradient_predicts_loss),
        cmocka_unit_test(test_schedule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
