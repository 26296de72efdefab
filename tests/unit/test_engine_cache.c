// SPDX-License-Identifier: MIT
// The engine through every kind of cache: with it as without it, and every sequence of a batch as alone.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/compress/recipe.h"
#include "bench/model/engine.h"

enum { VOCAB = 200, CONTEXT = 640 };

static struct model model;

static void make_model(int window, float cap)
{
    const struct model_config config = { .name = "tiny", .vocab = VOCAB, .d_model = 128, .layers = 2, .heads = 4, .kv_heads = 2,
                                         .head_dim = 80, .ffn = 256, .context = CONTEXT, .rope_theta = 10000, .norm_eps = 1e-5f,
                                         .rope_style = ROPE_HALVES, .tied_embeddings = false };
    assert_int_equal(model_allocate(&model, &config), 0);
    model_randomize(&model, 42);
    model.config.window = window;
    model.config.window_period = 2;
    model.config.attention_cap = cap;
    for (int layer = 0; layer < config.layers; layer++)
        for (enum layer_matrix which = 0; which < LAYER_MATRICES; which++) {
            int out, in;
            model_matrix_shape(&config, which, &out, &in);
            for (int i = 0; i < out * in; i++)
                model.layers[layer].matrix[which][i] *= 4;
        }
    model_hash(&model);
}

static void make_tokens(int32_t *tokens, int count, unsigned seed)
{
    for (int i = 0; i < count; i++) {
        seed = seed * 1103515245u + 12345u;
        tokens[i] = (int32_t)(seed >> 8) % VOCAB;
    }
}

static char error[256];

static void check(int status)
{
    if (status != 0)
        fail_msg("status %d: %s", status, error);
}

static struct variant *variant;

static struct engine *open_engine(const char *layout_word, const char *kv, int batch, int max_rows)
{
    struct layout layout;
    struct variant_recipe recipe;
    struct engine *engine;
    struct engine_options options = { .max_batch = batch, .max_context = CONTEXT, .max_rows = max_rows };
    check(layout_parse(layout_word, &layout, error, sizeof(error)));
    check(recipe_parse("none", NULL, "f32", &recipe, error, sizeof(error)));
    check(kv_format_parse(kv, &options.kv, error, sizeof(error)));
    check(variant_create(&variant, &model, &recipe, &layout, 0, error, sizeof(error)));
    check(engine_open(&engine, variant, comm_world(), &options, error, sizeof(error)));
    return engine;
}

static void close_engine(struct engine *engine)
{
    engine_close(engine);
    variant_free(variant);
}

// |a − b| over the largest |b|.
static double row_error(const float *a, const float *b)
{
    double worst = 0, largest = 0;
    for (int i = 0; i < VOCAB; i++) {
        const double difference = fabs((double)a[i] - (double)b[i]);
        if (!(difference <= worst))
            worst = difference;
        largest = fmax(largest, fabs((double)b[i]));
    }
    return worst / largest;
}

static float whole[CONTEXT * VOCAB], exact[CONTEXT * VOCAB];

static void collect(void *context, int sequence, int position, const float *logits)
{
    (void)sequence;
    memcpy((float *)context + (size_t)position * VOCAB, logits, VOCAB * sizeof(float));
}

// Long enough for several pieces of the cache, so that threads share a sequence.
static void test_cached_as_uncached(void **unused)
{
    (void)unused;
    enum { PROMPT = 531, STEPS = 30 };
    static const struct { const char *kv; double loss, bytes; } kinds[] = {
        // how far from f32, and of its size
        { "f32", 0, 1 }, { "bf16", 0.02, 0.5 }, { "q8", 0.08, 0.2625 }, { "q4", 0.8, 0.1375 }, { "q8w32", 0.08, 0.318 }, { "q4w128", 0.8, 0.3316 },
    };
    static const char *const layouts[] = { "t1", "t2", "t3" }; // heads shared out evenly, and not
    static int32_t tokens[PROMPT + STEPS];
    static float logits[VOCAB];
    make_tokens(tokens, PROMPT + STEPS, 3);
    for (int special = 0; special < 2; special++) {
        make_model(special ? 300 : 0, special ? 3 : 0);
        for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++)
            for (int l = 0; l < 3; l++) {
                struct engine *engine = open_engine(layouts[l], kinds[k].kv, 1, 0);
                const double bytes = (double)engine_memory(engine).kv_bytes / (2.0 * 2 * 2 * 80 * CONTEXT * 4);
                if (!(fabs(bytes - kinds[k].bytes) < 0.01))
                    fail_msg("%s takes %g of an f32 cache", kinds[k].kv, bytes);
                check(engine_score(engine, tokens, 1, PROMPT + STEPS, 0, collect, whole, error, sizeof(error)));
                if (k == 0 && l == 0)
                    memcpy(exact, whole, sizeof(exact));
                double loss = 0, worst = 0;
                for (int p = 0; p < PROMPT + STEPS; p++)
                    loss = fmax(loss, row_error(whole + p * VOCAB, exact + p * VOCAB));
                int32_t next, token;
                check(engine_prefill(engine, tokens, 1, PROMPT, &next, logits, error, sizeof(error)));
                for (int step = 0; step < STEPS; step++) {
                    worst = fmax(worst, row_error(logits, whole + (PROMPT - 1 + step) * VOCAB));
                    token = tokens[PROMPT + step];
                    check(engine_decode(engine, &token, 1, &next, logits, error, sizeof(error)));
                }
                print_message("%-6s %s: %.2g from f32, decode %.2g from prefill\n", kinds[k].kv, layouts[l], loss, worst);
                // a rounding in f32 may make a code the next one
                if (!(worst <= (k < 1 ? 2e-5 : kinds[k].loss / 4)))
                    fail_msg("%s %s: decode is %g from prefill", kinds[k].kv, layouts[l], worst);
                if (!(loss <= kinds[k].loss + 2e-5))
                    fail_msg("%s %s: %g from f32", kinds[k].kv, layouts[l], loss);
                if (k >= 1 && !(loss > 0))
                    fail_msg("%s gives what f32 gives", kinds[k].kv);
                close_engine(engine);
            }
        model_free(&model);
    }
}

// The check of timed tokens finds these right, and one of the shortest sequence's wrong when it is changed.
static void verify(struct engine *engine, const int32_t *prompts, int batch, int stride, const int *lengths, int32_t *tokens, int steps)
{
    struct engine_gap gap;
    int shortest = 0;
    for (int i = 0; i < batch; i++)
        shortest = lengths[i] < lengths[shortest] ? i : shortest;
    check(engine_verify_tokens(engine, prompts, batch, stride, lengths, tokens, steps, &gap, error, sizeof(error)));
    assert_true(gap.worst >= 0 && engine_gap_explained(engine, &gap));
    int32_t *last = &tokens[(steps - 1) * batch + shortest];
    *last = (*last + 1) % VOCAB;
    check(engine_verify_tokens(engine, prompts, batch, stride, lengths, tokens, steps, &gap, error, sizeof(error)));
    assert_false(engine_gap_explained(engine, &gap));
    *last = (*last + VOCAB - 1) % VOCAB;
}

// Sequences of different lengths, with and without a shared beginning: the same logits as each alone, bit for bit.
static void test_lengths(void **unused)
{
    (void)unused;
    enum { BATCH = 5, LONGEST = 300, STEPS = 25 };
    static const int lengths[BATCH] = { 300, 45, 300, 41, 299 };
    static const char *const kinds[] = { "f32", "q8", "q4w32" };
    static const char *const layouts[] = { "t1", "t2", "t3" };
    static int32_t tokens[BATCH * LONGEST], next[(STEPS + 1) * BATCH], alone[STEPS + 1];
    static float logits[BATCH * VOCAB], last[BATCH * VOCAB], own[VOCAB];
    make_model(0, 0);
    for (int k = 0; k < 3; k++)
        for (int l = 0; l < 3; l++)
            for (int shared = 0; shared <= 40; shared += 20) {
                for (int i = 0; i < BATCH; i++) {
                    make_tokens(tokens + i * LONGEST, LONGEST, (unsigned)i + 9);
                    memcpy(tokens + i * LONGEST, tokens, (size_t)shared * sizeof(*tokens));
                }
                struct engine *engine = open_engine(layouts[l], kinds[k], BATCH, 64);
                check(engine_prefill_lengths(engine, tokens, BATCH, LONGEST, lengths, shared, next, logits, error, sizeof(error)));
                assert_int_equal(engine_position(engine), LONGEST);
                check(engine_decode(engine, next, STEPS, next + BATCH, last, error, sizeof(error)));
                verify(engine, tokens, BATCH, LONGEST, lengths, next, STEPS + 1);
                close_engine(engine);
                engine = open_engine(layouts[l], kinds[k], 1, 64);
                for (int i = 0; i < BATCH; i++) {
                    check(engine_prefill(engine, tokens + i * LONGEST, 1, lengths[i], alone, own, error, sizeof(error)));
                    if (memcmp(own, logits + i * VOCAB, sizeof(own)) != 0)
                        fail_msg("%s %s shared %d: prompt %d of a batch differs by %g from alone", kinds[k], layouts[l], shared, i,
                                 row_error(logits + i * VOCAB, own));
                    check(engine_decode(engine, alone, STEPS, alone + 1, own, error, sizeof(error)));
                    for (int step = 0; step <= STEPS; step++)
                        assert_int_equal(next[step * BATCH + i], alone[step]);
                    assert_memory_equal(own, last + i * VOCAB, sizeof(own));
                }
                close_engine(engine);
            }
    model_free(&model);
}

static void test_what_is_refused(void **unused)
{
    (void)unused;
    static int32_t tokens[2 * 100], next[2];
    static const int lengths[2] = { 100, 30 };
    make_model(0, 0);
    make_tokens(tokens, 200, 1);
    struct engine *engine = open_engine("t1", "f32", 2, 0);
    assert_int_equal(engine_prefill_lengths(engine, tokens, 2, 90, lengths, 0, next, NULL, error, sizeof(error)), -22); // longer than a row
    assert_int_equal(engine_prefill_lengths(engine, tokens, 2, 100, lengths, 30, next, NULL, error, sizeof(error)), -22); // nothing behind it
    assert_int_equal(engine_prefill_lengths(engine, tokens, 2, 100, lengths, 5, next, NULL, error, sizeof(error)), -22); // not the same
    memcpy(tokens + 100, tokens, 5 * sizeof(*tokens));
    check(engine_prefill_lengths(engine, tokens, 2, 100, lengths, 5, next, NULL, error, sizeof(error)));
    close_engine(engine);
    model_free(&model);
}

int main(int argc, char **argv)
{
    if (comm_start(&argc, &argv, error, sizeof(error)) != 0) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cached_as_uncached),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_what_is_refused),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    comm_stop();
    return failed;
}
