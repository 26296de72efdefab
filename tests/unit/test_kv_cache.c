// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "bench/model/kv_cache.h"
#include "bench/model/team.h"

static void test_layout_in_memory(void **unused)
{
    (void)unused;
    enum { LAYERS = 2, SEQUENCES = 3, HEADS = 2, SIZE = 16, POSITIONS = 37 };
    struct kv_cache cache;
    assert_int_equal(kv_cache_create(&cache, LAYERS, SEQUENCES, HEADS, SIZE, POSITIONS), 0);
    assert_int_equal(cache.positions, 48);
    assert_int_equal(cache.bytes, 2 * 4 * LAYERS * SEQUENCES * HEADS * SIZE * 48);
    assert_int_equal(cache.bytes, kv_cache_size(LAYERS, SEQUENCES, HEADS, SIZE, POSITIONS));
    // a different number for every place, read back from all of them after all were written
    for (int pass = 0; pass < 2; pass++)
        for (int layer = 0; layer < LAYERS; layer++)
            for (int sequence = 0; sequence < SEQUENCES; sequence++)
                for (int head = 0; head < HEADS; head++)
                    for (int position = 0; position < POSITIONS; position++) {
                        float key[SIZE], value[SIZE];
                        const int place = ((layer * SEQUENCES + sequence) * HEADS + head) * POSITIONS + position;
                        for (int d = 0; d < SIZE; d++) {
                            key[d] = (float)(place * SIZE + d);
                            value[d] = -key[d] - 1;
                        }
                        if (pass == 0) {
                            kv_cache_store(&cache, layer, sequence, head, position, key, value);
                            continue;
                        }
                        const float *panel = kv_cache_keys(&cache, layer, sequence, head) + position / 16 * SIZE * 16;
                        for (int d = 0; d < SIZE; d++) {
                            assert_true(panel[d * 16 + position % 16] == key[d]);
                            assert_true(kv_cache_values(&cache, layer, sequence, head)[position * SIZE + d] == value[d]);
                        }
                    }
    kv_cache_free(&cache);
    assert_null(cache.keys);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout_in_memory),
        cmocka_unit_test(test_team),
        cmocka_unit_test(test_team_that_cannot_be_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
