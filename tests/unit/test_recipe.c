// SPDX-License-Identifier: MIT
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "bench/compress/recipe.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
static char reason[256];

static void test_words(void **state) {
    (void)state;
    const struct {
        const char *word, *canonical, *method;
        double ratio;
    } words[] = {
        {"none", "none", "none", 0},
        {"0%", "none", "none", 0},
        {"50%", "50%", "magnitude", .5},
        {"0.5", "50%", "magnitude", .5},
        {"1", "100%", "magnitude", 1},
        {"12.5%", "12.5%", "magnitude", .125},
        {"66.7%", "66.7%", "magnitude", .667},
        {"global:75%", "global:75%", "magnitude_global", .75},
        {"2:4", "2:4", "n:m", .5},
        {"1:4", "1:4", "n:m", .25},
        {"4:8", "4:8", "n:m", .5},
        {"b16x4:50%", "b16x4:50%", "block", .5},
        {"b2x2max:0.9", "b2x2max:90%", "block", .9},
        {"global:b16x4:50%", "global:b16x4:50%", "block_global", .5},
        {"t0.02", "t0.02", "threshold", 0},
        {"wanda:0.5", "wanda:50%", "wanda", .5},
        {"wanda:2:4", "wanda:2:4", "wanda", .5},
        {"sparsegpt:4:8", "sparsegpt:4:8", "sparsegpt", .5},
        {"gradient:75%", "gradient:75%", "gradient", .75},
        {"wanda:0%", "none", "none", 0},
    };
    for (size_t i = 0; i < COUNT(words); i++) {
        struct variant_recipe recipe = {0}, again = {0};
        char word[48], method[48];
        if (recipe_parse_prune(words[i].word, &recipe, reason, sizeof reason))
            fail_msg("%s", reason);
        recipe_prune_name(&recipe, word, sizeof word);
        assert_string_equal(word, words[i].canonical);
        recipe_method_name(&recipe, method, sizeof method);
        assert_string_equal(method, words[i].method);
        assert_true(fabs(recipe.ratio - words[i].ratio) < 1e-12);
        assert_int_equal(recipe_parse_prune(word, &again, reason, sizeof reason), 0);
        // The canonical word says the same: field by field through its names, since padding may hold anything.
        char again_word[48], again_method[48];
        recipe_prune_name(&again, again_word, sizeof again_word);
        recipe_method_name(&again, again_method, sizeof again_method);
        assert_string_equal(again_word, word);
        assert_string_equal(again_method, method);
        assert_true(again.ratio == recipe.ratio && again.scope == recipe.scope);
    }
}

static void test_fields(void **state) {
    (void)state;
    struct variant_recipe recipe = {.format = {.type = WEIGHT_QUANTIZED, .bits = 5}};
    assert_int_equal(recipe_parse_prune("b16x4max:30%", &recipe, reason, sizeof reason), 0);
    assert_int_equal(recipe.method, PRUNE_BLOCK);
    assert_int_equal(recipe.block_rows, 16);
    assert_int_equal(recipe.block_columns, 4);
    assert_int_equal(recipe.pooling, POOL_MAXIMUM);
    assert_int_equal(recipe.format.bits, 5);
    assert_int_equal(recipe_parse_prune("2:4", &recipe, reason, sizeof reason), 0);
    assert_int_equal(recipe.n, 2);
    assert_int_equal(recipe.m, 4);
    assert_int_equal(recipe.block_rows, 0);
    assert_int_equal(recipe_parse_prune("t1e-3", &recipe, reason, sizeof reason), 0);
    assert_true(recipe.threshold == 1e-3);
}

static void test_refused(void **state) {
    (void)state;
    const struct {
        const char *word, *says;
    } words[] = {{"", "known: none"},
                 {"wanda", "known: none"},
                 {"wanda:b16x4:50%", "takes a ratio or n:m"},
                 {"global:wanda:50%", "takes a ratio or n:m"},
                 {"sparsegpt:t0.1", "takes a ratio or n:m"},
                 {"half", "known: none"},
                 {"50", "did you mean 50%"},
                 {"150%", "outside"},
                 {"-5%", "outside"},
                 {"1.5", "did you mean 1.5%"},
                 {"nan%", "known: none"},
                 {"0x1%", "known: none"},
                 {"50%%", "known: none"},
                 {"4:4", "1 <= n < m"},
                 {"0:4", "1 <= n < m"},
                 {"2:4x", "known: none"},
                 {"2:99", "1 <= n < m"},
                 {"b16x4", "known: none"},
                 {"b0x4:50%", "rows and columns"},
                 {"b16x4:", "known: none"},
                 {"b16x4:2000%", "outside"},
                 {"global:2:4", "can be global"},
                 {"global:none", "can be global"},
                 {"t", "known: none"},
                 {"t-1", "known: none"},
                 {"tinf", "known: none"},
                 {"1e400", "known: none"}};
    for (size_t i = 0; i < COUNT(words); i++) {
        struct variant_recipe recipe = {.ratio = 7}, before = recipe;
        if (recipe_parse_prune(words[i].word, &recipe, reason, sizeof reason) != -EINVAL)
            fail_msg("'%s' was taken", words[i].word);
        if (!strstr(reason, words[i].says) || !strstr(reason, words[i].word))
            fail_msg("'%s': %s", words[i].word, reason);
        assert_memory_equal(&recipe, &before, sizeof recipe);
    }
}

static void test_scope(void **state) {
    (void)state;
    struct variant_recipe recipe = {0};
    recipe_parse_prune("50%", &recipe, reason, sizeof reason);
    assert_int_equal(recipe_parse_scope("global", &recipe, reason, sizeof reason), 0);
    assert_int_equal(recipe.scope, SCOPE_GLOBAL);
    assert_int_equal(recipe_parse_scope("tensor", &recipe, reason, sizeof reason), 0);
    assert_int_equal(recipe.scope, SCOPE_TENSOR);
    assert_int_equal(recipe_parse_scope("layer", &recipe, reason, sizeof reason), -EINVAL);
    recipe_parse_prune("2:4", &recipe, reason, sizeof reason);
    assert_int_equal(recipe_parse_scope("global", &recipe, reason, sizeof reason), 0);
    assert_int_equal(recipe.scope, SCOPE_TENSOR);
}

static void test_store_follows(void **state) {
    (void)state;
    const struct {
        const char *prune, *format, *stored, *pruned;
    } recipes[] = {
        {"none", "q8g32", "q8g32", "none"},
        {"50%", "f32", "f32+s50", "50%"},
        {"global:75%", "q4g32", "q4g32+s75", "global:75%"},
        {"2:4", "q8g32", "q8g32+2:4", "2:4"},
        {"4:8", "q4c", "q4c+4:8", "4:8"},
        {"1:3", "f32", "f32+s33.3333", "1:3"},
        {"b16x4:50%", "q8t", "q8t+b16x4", "b16x4:50%"},
        {"b2x2:50%", "q8g32a", "q8g32a+s50", "b2x2:50%"},
        {"t0.01", "f32", "f32+s0", "t0.01"},
        {"none", "q4g32+s50", "q4g32+s50", "50%"},
        {"none", "q4g32+2:4", "q4g32+2:4", "2:4"},
        {"2:4", "q4g32+2:4", "q4g32+2:4", "2:4"},
        {"2:4", "q4g32+s50", "q4g32+s50", "2:4"},
        {"b16x4:60%", "f32+b16x4", "f32+b16x4", "b16x4:60%"},
    };
    for (size_t i = 0; i < COUNT(recipes); i++) {
        struct variant_recipe recipe;
        char word[48];
        if (recipe_parse(recipes[i].prune, NULL, recipes[i].format, &recipe, reason, sizeof reason))
            fail_msg("%s", reason);
        weight_format_name(&recipe.format, word, sizeof word);
        assert_string_equal(word, recipes[i].stored);
        recipe_prune_name(&recipe, word, sizeof word);
        assert_string_equal(word, recipes[i].pruned);
    }
    const char *contradictions[][2] = {{"50%", "q4g32+2:4"},      {"60%", "q4g32+s50"},  {"4:8", "q4g32+2:4"},
                                       {"b2x2:50%", "f32+b16x4"}, {"none", "f32+b16x4"}, {"50%", "q9g32"}};
    for (size_t i = 0; i < COUNT(contradictions); i++) {
        struct variant_recipe recipe;
        if (recipe_parse(contradictions[i][0], NULL, contradictions[i][1], &recipe, reason, sizeof reason) != -EINVAL)
            fail_msg("%s and %s were taken", contradictions[i][0], contradictions[i][1]);
        assert_non_null(strstr(reason, contradictions[i][1]));
    }
}

static void test_per_tensor_word(void **state) {
    (void)state;
    struct weight_format format;
    char word[48];
    assert_int_equal(weight_format_parse("q6ta+s50", &format, reason, sizeof reason), 0);
    assert_true(format.per_tensor && format.group == 0 && format.asymmetric && format.bits == 6);
    weight_format_name(&format, word, sizeof word);
    assert_string_equal(word, "q6ta+s50");
    assert_int_equal(weight_format_parse("q6c", &format, reason, sizeof reason), 0);
    assert_false(format.per_tensor);
}

static void test_quantizers(void **state) {
    (void)state;
    const struct {
        const char *prune, *word, *canonical, *method;
        bool calibrated;
    } words[] = {
        {"none", "gptq", "gptq:q4g128", "gptq", true},
        {"none", "awq", "awq:q4g128a", "awq", true},
        {"none", "hqq", "hqq:q4g64a", "hqq", false},
        {"wanda:50%", "awq:q3g64a", "awq:q3g64a+s50", "wanda+awq", true},
        {"2:4", "gptq:q4c", "gptq:q4c+2:4", "n:m+gptq", true},
        {"sparsegpt:2:4", "f32", "f32+2:4", "sparsegpt", true},
        {"50%", "q4g32", "q4g32+s50", "magnitude", false},
    };
    for (size_t i = 0; i < COUNT(words); i++) {
        struct variant_recipe recipe, again = {0};
        char word[48];
        if (recipe_parse(words[i].prune, NULL, words[i].word, &recipe, reason, sizeof reason))
            fail_msg("%s", reason);
        recipe_format_name(&recipe, word, sizeof word);
        assert_string_equal(word, words[i].canonical);
        assert_int_equal(recipe_parse_format(word, &again, reason, sizeof reason), 0);
        assert_int_equal(again.quantizer, recipe.quantizer);
        recipe_method_name(&recipe, word, sizeof word);
        assert_string_equal(word, words[i].method);
        assert_int_equal(recipe_is_calibrated(&recipe), words[i].calibrated);
    }
    const char *refused[] = {"gptq:f32", "awq:q16g32", "gptq:q4t", "gptqq4", "rtn:q4g32"};
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct variant_recipe recipe = {0};
        if (recipe_parse_format(refused[i], &recipe, reason, sizeof reason) != -EINVAL)
            fail_msg("%s: %s", refused[i], reason);
    }
    struct variant_recipe recipe;
    assert_int_equal(recipe_parse("global:50%", NULL, "gptq", &recipe, reason, sizeof reason), -EINVAL);
    assert_non_null(strstr(reason, "global"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words), cmocka_unit_test(test_fields),        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_scope), cmocka_unit_test(test_store_follows), cmocka_unit_test(test_per_tensor_word),
        cmocka_unit_test(test_quantizers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
