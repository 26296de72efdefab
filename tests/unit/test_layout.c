// SPDX-License-Identifier: MIT
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bench/model/layout.h"

static const struct model_config config = { .name = "m", .vocab = 4100, .d_model = 256, .layers = 6, .heads = 8, .kv_heads = 4,
                                            .head_dim = 32, .ffn = 768, .context = 512, .rope_theta = 10000, .norm_eps = 1e-5f };

static void test_words(void **unused)
{
    (void)unused;
    static const struct {
        const char *word, *canonical;
        struct layout layout;
    } good[] = {
        { "t1", "t1", { 1, 1, 1, 1 } },          { "1", "t1", { 1, 1, 1, 1 } },
        { "t2", "t2", { 1, 1, 1, 2 } },          { "dp2", "dp2", { 2, 1, 1, 1 } },
        { "tp2.t4", "tp2.t4", { 1, 2, 1, 4 } },  { "t4.pp3.dp2.tp1", "dp2.pp3.t4", { 2, 1, 3, 4 } },
        { "dp2.tp2.t1", "dp2.tp2", { 2, 2, 1, 1 } },
    };
    char word[64], reason[200];
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        struct layout layout;
        assert_int_equal(layout_parse(good[i].word, &layout, reason, sizeof(reason)), 0);
        assert_memory_equal(&layout, &good[i].layout, sizeof(layout));
        layout_name(&layout, word, sizeof(word));
        assert_string_equal(word, good[i].canonical);
    }
    static const char *const bad[] = { "", "t", "2", "t0", "t-1", "dp2tp2", "dp2.", ".dp2", "dp2.dp3", "xp2", "t2 ", "t99999999999", "dp60000.tp60000" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct layout layout;
        reason[0] = '\0';
        if (layout_parse(bad[i], &layout, reason, sizeof(reason)) != -EINVAL)
            fail_msg("'%s' was taken for a layout", bad[i]);
        assert_true(strlen(reason) > 0 && strchr(reason, '\n') == NULL);
    }
}

static void test_places(void **unused)
{
    (void)unused;
    const struct layout layout = { 2, 3, 2, 1 };
    assert_int_equal(layout_ranks(&layout), 12);
    for (int rank = 0; rank < 12; rank++) {
        const struct layout_place place = layout_place(&layout, rank);
        assert_int_equal((place.data * 2 + place.pipeline) * 3 + place.tensor, rank);
        assert_in_range(place.data, 0, 1);
        assert_in_range(place.pipeline, 0, 1);
        assert_in_range(place.tensor, 0, 2);
    }
}

// Parts follow each other, cover all, begin at multiples of the unit, and differ by at most one unit.
static void check_split(int count, int unit, int parts)
{
    int at = 0, smallest = count, largest = 0;
    for (int part = 0; part < parts; part++) {
        const struct layout_range range = layout_split(count, unit, parts, part);
        assert_int_equal(range.begin, at);
        assert_true(range.begin % unit == 0 || range.begin == count);
        assert_true(range.end >= range.begin);
        at = range.end;
        const int length = range.end - range.begin;
        smallest = length < smallest ? length : smallest;
        largest = length > largest ? length : largest;
    }
    assert_int_equal(at, count);
    assert_true(largest - smallest < 2 * unit);
}

static void test_splits(void **unused)
{
    (void)unused;
    for (int count = 0; count < 200; count += 7)
        for (int parts = 1; parts < 20; parts++) {
            check_split(count, 1, parts);
            check_split(count, 16, parts);
        }
    int at = 0;
    for (int stage = 0; stage < 4; stage++) { // 6 layers over 4 stages: 2 2 1 1
        const struct layout_range layers = layout_stage_layers(&(struct layout){ 1, 1, 4, 1 }, &config, stage);
        assert_int_equal(layers.begin, at);
        assert_int_equal(layers.end - layers.begin, stage < 2 ? 2 : 1);
        at = layers.end;
    }
    assert_int_equal(at, 6);
}

static void test_legality(void **unused)
{
    (void)unused;
    static const struct {
        struct layout layout;
        int batch;
        const char *format, *reason; // NULL: legal
    } cases[] = {
        { { 1, 1, 1, 8 }, 1, "q4g32", NULL },
        { { 2, 2, 3, 1 }, 4, "q8g64", NULL },
        { { 1, 4, 1, 1 }, 1, "q8g64", NULL },
        { { 2, 1, 1, 1 }, 1, "f32", "batch 1 cannot be split over 2 replicas" },
        { { 2, 1, 1, 1 }, 3, "f32", "batch 3 cannot be split over 2 replicas" },
        { { 1, 1, 7, 1 }, 1, "f32", "6 layers cannot be split over 7 pipeline stages" },
        { { 1, 3, 1, 1 }, 1, "f32", "8 heads cannot be split over 3 tensor-parallel ranks" },
        { { 1, 8, 1, 1 }, 1, "f32", "4 key/value heads cannot be split over 8 tensor-parallel ranks" },
        { { 1, 4, 1, 1 }, 1, "q4g128", "64 input columns of o for each of 4 tensor-parallel ranks are not a multiple of 128" },
        { { 1, 1, 1, 1 }, 0, "f32", "batch 0 is not a positive number" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct weight_format format;
        char reason[300] = "";
        assert_int_equal(weight_format_parse(cases[i].format, &format, reason, sizeof(reason)), 0);
        const int status = layout_check(&cases[i].layout, &config, &format, cases[i].batch, reason, sizeof(reason));
        if (cases[i].reason == NULL) {
            if (status != 0)
                fail_msg("case %zu was refused: %s", i, reason);
        } else {
            assert_int_equal(status, -EINVAL);
            assert_string_equal(reason, cases[i].reason);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_legality),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
