// SPDX-License-Identifier: MIT
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bench/model/kv_cache.h"
#include "bench/model/team.h"

enum { LAYERS = 2, SEQUENCES = 3, HEADS = 2, SIZE = 80, POSITIONS = 101 };

// A different number for every place, of about the same size within a position.
static void number(int layer, int sequence, int head, int position, float *key, float *value)
{
    const int place = ((layer * SEQUENCES + sequence) * HEADS + head) * POSITIONS + position;
    for (int d = 0; d < SIZE; d++) {
        key[d] = (float)(((place * SIZE + d) * 37 % 1009) - 504) * (float)(1 + place % 7);
        value[d] = -key[d] - 1;
    }
}

// How far a number may be from what was stored, where `most` is the largest of its group.
static double allowed(enum kv_type type, double x, double most)
{
    switch (type) {
    case KV_F32: return 0;
    case KV_BF16: return fabs(x) * 0x1p-8;
    case KV_Q8: return most / 127 * 0.5 * 1.001 + most * 0x1p-10;
    default: return most / 8 * 1.005; // the extreme of the other sign is cut by up to a step
    }
}

static void assert_stored(enum kv_type type, const float *got, const float *want)
{
    for (int d = 0; d < SIZE; d++) {
        double most = 0;
        for (int i = d / ATTENTION_GROUP * ATTENTION_GROUP; i < SIZE && i / ATTENTION_GROUP == d / ATTENTION_GROUP; i++)
            most = fmax(most, fabs((double)want[i]));
        if (!(fabs((double)got[d] - (double)want[d]) <= allowed(type, (double)want[d], most)))
            fail_msg("%s: [%d] is %g, %g was stored", kv_type_name(type), d, (double)got[d], (double)want[d]);
    }
}

// Everything that a query at `position` sees, in the order of positions, from `first`'s panel on.
static void assert_seen(const struct kv_cache *cache, int layer, int sequence, int head, int position, int first, int cut)
{
    struct kv_piece pieces[32];
    const int most = kv_cache_most_pieces(cache, cut, 32);
    const int count = kv_cache_pieces(cache, layer, sequence, head, position, 1, first, cut, 0, 32, pieces);
    int at = first / 16 * 16;
    assert_true(count >= 1 && count <= most && count <= 32);
    for (int i = 0; i < count; i++) {
        const size_t panel = attention_panel_bytes(pieces[i].kv, SIZE);
        assert_int_equal(pieces[i].begin % 16, 0);
        assert_true(cut == 0 || pieces[i].end - pieces[i].begin <= cut);
        assert_true(pieces[i].first_position + 1 >= pieces[i].end);
        for (int p = pieces[i].begin; p < pieces[i].end; p++, at++) {
            float key[SIZE], value[SIZE], stored_key[SIZE], stored_value[SIZE];
            const size_t place = (size_t)(p / 16) * panel;
            attention_load(pieces[i].kv, SIZE, p % 16, (const char *)pieces[i].keys + place, (const char *)pieces[i].values + place, key, value);
            number(layer, sequence, head, at, stored_key, stored_value);
            assert_stored(pieces[i].kv, key, stored_key);
            assert_stored(pieces[i].kv, value, stored_value);
            // of a window, at least the newest are exact
            assert_true(pieces[i].kv == KV_F32 || cache->format.window == 0 || at < position - cache->format.window);
            assert_true(pieces[i].kv != KV_F32 || cache->format.type == KV_F32 || at >= position / 16 * 16 - cache->format.window);
        }
        struct kv_piece one;
        assert_true(kv_cache_pieces(cache, layer, sequence, head, position, 1, first, cut, i, 1, &one) == count);
        assert_true(one.kv == pieces[i].kv && one.keys == pieces[i].keys && one.values == pieces[i].values && one.begin == pieces[i].begin &&
                    one.end == pieces[i].end && one.first_position == pieces[i].first_position);
    }
    assert_int_equal(at, position + 1);
}

static void test_layout_in_memory(void **unused)
{
    (void)unused;
    static const char *const words[] = { "f32", "bf16", "q8", "q4", "q8w16", "q4w48", "q8w128" };
    for (size_t w = 0; w < sizeof(words) / sizeof(*words); w++) {
        struct kv_format format;
        struct kv_cache cache;
        char reason[200], name[32];
        assert_int_equal(kv_format_parse(words[w], &format, reason, sizeof(reason)), 0);
        kv_format_name(&format, name, sizeof(name));
        assert_string_equal(name, words[w]);
        assert_int_equal(kv_cache_create(&cache, &format, LAYERS, SEQUENCES, HEADS, SIZE, POSITIONS), 0);
        assert_int_equal(cache.positions, 112);
        assert_int_equal(cache.bytes, kv_cache_size(&format, LAYERS, SEQUENCES, HEADS, SIZE, POSITIONS));
        for (int position = 0; position < POSITIONS; position++) {
            for (int i = 0; i < LAYERS * SEQUENCES * HEADS; i++) {
                float key[SIZE], value[SIZE];
                number(i / HEADS / SEQUENCES, i / HEADS % SEQUENCES, i % HEADS, position, key, value);
                kv_cache_store(&cache, i / HEADS / SEQUENCES, i / HEADS % SEQUENCES, i % HEADS, position, key, value);
            }
            for (int i = 0; i < LAYERS * SEQUENCES * HEADS; i++)
                for (int cut = 0; cut <= 32; cut += 16)
                    assert_seen(&cache, i / HEADS / SEQUENCES, i / HEADS % SEQUENCES, i % HEADS, position, i == 3 ? position / 2 : 0, cut);
        }
        kv_cache_free(&cache);
        assert_null(cache.memory);
    }
}

static void test_sizes(void **unused)
{
    (void)unused;
    const struct kv_format f32 = { KV_F32, 0 }, bf16 = { KV_BF16, 0 }, q8 = { KV_Q8, 0 }, q4 = { KV_Q4, 0 }, q4w32 = { KV_Q4, 32 };
    const size_t numbers = 2u * LAYERS * SEQUENCES * HEADS * 64 * 112; // heads of 64: one scale of 16 bits for each
    assert_int_equal(kv_cache_size(&f32, LAYERS, SEQUENCES, HEADS, 64, POSITIONS), numbers * 4);
    assert_int_equal(kv_cache_size(&bf16, LAYERS, SEQUENCES, HEADS, 64, POSITIONS), numbers * 2);
    assert_int_equal(kv_cache_size(&q8, LAYERS, SEQUENCES, HEADS, 64, POSITIONS), numbers + numbers / 64 * 2);
    assert_int_equal(kv_cache_size(&q4, LAYERS, SEQUENCES, HEADS, 64, POSITIONS), numbers / 2 + numbers / 64 * 2);
    // 48 positions as f32, 64 as codes
    assert_int_equal(kv_cache_size(&q4w32, LAYERS, SEQUENCES, HEADS, 64, POSITIONS), numbers * 4 * 3 / 7 + (numbers / 2 + numbers / 32) * 4 / 7);
    assert_true(kv_cache_read_bytes(&q8, HEADS, 64, 160) == 2.0 * HEADS * 160 * 66);
    assert_true(kv_cache_read_bytes(&q4w32, HEADS, 64, 1000) > kv_cache_read_bytes(&q4, HEADS, 64, 1000));
}

static void test_words_that_are_refused(void **unused)
{
    (void)unused;
    static const char *const words[][2] = { { "q5", "known:" },   { "", "known:" },        { "f32w32", "no window" }, { "bf16w128", "no window" },
                                            { "q8w", "multiple" }, { "q8w20", "multiple" }, { "q8w0", "multiple" },    { "q8w-16", "multiple" },
                                            { "q8w16x", "multiple" }, { "q4w99999999999", "multiple" }, { "q80", "known:" } };
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        struct kv_format format;
        char reason[200] = "";
        assert_int_equal(kv_format_parse(words[i][0], &format, reason, sizeof(reason)), -EINVAL);
        if (strstr(reason, words[i][1]) == NULL)
            fail_msg("'%s': %s", words[i][0], reason);
    }
}

// What is not a number does not become one.
static void test_not_finite(void **unused)
{
    (void)unused;
    for (enum kv_type type = 0; type < KV_TYPES; type++)
        for (int which = 0; which < 3; which++) {
            uint8_t keys[16 * SIZE * 4], values[16 * SIZE * 4];
            float key[SIZE] = { 0 }, value[SIZE] = { 0 }, back[SIZE], back_value[SIZE];
            key[3] = which == 0 ? NAN : which == 1 ? INFINITY : 1e30f;
            value[70] = -key[3];
            attention_store(type, SIZE, 5, key, value, keys, values);
            attention_load(type, SIZE, 5, keys, values, back, back_value);
            const bool fits = which == 2 && type <= KV_BF16;
            assert_true(fits ? isfinite(back[3]) : !isfinite(back[3]));
            assert_true(fits ? isfinite(back_value[70]) : !isfinite(back_value[70]));
            assert_true(back[79] == 0 && back_value[0] == 0); // the other group's
        }
}

static void test_copy(void **unused)
{
    (void)unused;
    static const char *const words[] = { "f32", "q4", "q8w32" };
    for (size_t w = 0; w < 3; w++)
        for (int length = 1; length < POSITIONS; length += 33) {
            struct kv_format format;
            struct kv_cache cache;
            char reason[200];
            float key[SIZE], value[SIZE];
            assert_int_equal(kv_format_parse(words[w], &format, reason, sizeof(reason)), 0);
            assert_int_equal(kv_cache_create(&cache, &format, LAYERS, SEQUENCES, HEADS, SIZE, POSITIONS), 0);
            for (int p = 0; p < length; p++)
                for (int i = 0; i < LAYERS * HEADS; i++) {
                    number(i / HEADS, 2, i % HEADS, p, key, value);
                    kv_cache_store(&cache, i / HEADS, 1, i % HEADS, p, key, value);
                }
            kv_cache_copy(&cache, 1, 2, length);
            for (int i = 0; i < LAYERS * HEADS; i++)
                assert_seen(&cache, i / HEADS, 2, i % HEADS, length - 1, 0, 0);
            kv_cache_free(&cache);
        }
}

// Threads that meet at barriers never see a neighbour's old value.
enum { THREADS = 5, ROUNDS = 2000 };
static int written[THREADS], mismatches[THREADS];

static void meet(struct team_member *self, void *context)
{
    (void)context;
    for (int round = 1; round <= ROUNDS; round++) {
        written[self->thread] = round;
        team_barrier(self);
        mismatches[self->thread] += written[(self->thread + 1) % self->threads] != round;
        team_barrier(self);
    }
}

static int bound[THREADS];

static int bind_thread(void *context, int thread)
{
    (void)context;
    bound[thread]++;
    return 0;
}

static void test_team(void **unused)
{
    (void)unused;
    struct team *team;
    char error[200] = "";
    assert_int_equal(team_create(&team, THREADS, bind_thread, NULL, error, sizeof(error)), 0);
    assert_int_equal(team_threads(team), THREADS);
    team_run(team, meet, NULL);
    team_run(team, meet, NULL);
    for (int i = 0; i < THREADS; i++) {
        assert_true(bound[i] > 0);
        assert_int_equal(mismatches[i], 0);
        assert_int_equal(written[i], ROUNDS);
    }
    team_free(team);
}

static int refuse(void *context, int thread)
{
    (void)context;
    return thread == 1 ? -22 : 0;
}

static void test_team_that_cannot_be_bound(void **unused)
{
    (void)unused;
    struct team *team;
    char error[200] = "";
    assert_int_equal(team_create(&team, 2, refuse, NULL, error, sizeof(error)), -22);
    assert_null(team);
    assert_true(error[0] != '\0');
}

// Whole blocks, few of them, and no shorter for a longer cache.
static void test_length_of_pieces(void **unused)
{
    (void)unused;
    assert_int_equal(attention_piece(1), 256);
    assert_int_equal(attention_piece(2048), 256);
    assert_int_equal(attention_piece(2049), 512);
    assert_int_equal(attention_piece(16384), 2048);
    for (int positions = 1, before = 0; positions < 40000; positions++) {
        const int piece = attention_piece(positions);
        assert_int_equal(piece % ATTENTION_LEAST_PIECE, 0);
        assert_true(piece >= before && (positions + piece - 1) / piece <= ATTENTION_MOST_PIECES);
        before = piece;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_length_of_pieces),
        cmocka_unit_test(test_layout_in_memory),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_words_that_are_refused),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_team),
        cmocka_unit_test(test_team_that_cannot_be_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
