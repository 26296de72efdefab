// SPDX-License-Identifier: MIT
// The engine against the plainly written reference, and every layout against one rank.
//
//   test_engine             one rank: threads, batches, chunks, caches, kernels
//   mpirun … test_engine LAYOUT…   each rank also computes alone what the layout must give (tests/e2e/layouts.sh)
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/compress/recipe.h"
#include "bench/model/engine.h"
#include "bench/model/gguf_names.h"
#include "bench/model/reference.h"

enum { VOCAB = 200, PROMPT = 37, STEPS = 12, CONTEXT = 80 };

static void check(int status, const char *error)
{
    if (status != 0) {
        fprintf(stderr, "status %d: %s\n", status, error);
        fflush(stderr);
        if (comm_size(comm_world()) > 1)
            comm_abort(1);
        fail_msg("status %d: %s", status, error);
    }
}

// Weights large enough for attention to matter and for the best tokens to stand apart.
static void make_model(struct model *model, enum rope_style style, bool tied)
{
    const struct model_config config = { .name = "tiny", .vocab = VOCAB, .d_model = 128, .layers = 4, .heads = 16, .kv_heads = 8,
                                         .head_dim = 32, .ffn = 256, .context = CONTEXT, .rope_theta = 10000, .norm_eps = 1e-5f,
                                         .rope_style = style, .tied_embeddings = tied };
    assert_int_equal(model_allocate(model, &config), 0);
    model_randomize(model, 42);
    for (int layer = 0; layer < config.layers; layer++)
        for (enum layer_matrix which = 0; which < LAYER_MATRICES; which++) {
            int out, in;
            model_matrix_shape(&config, which, &out, &in);
            for (int i = 0; i < out * in; i++)
                model->layers[layer].matrix[which][i] *= 4;
        }
    model_hash(model);
}

// The same with what Qwen and Gemma add; each addition is a bit.
enum { BIAS = 1, QK_NORM = 2, POST_NORMS = 4, GELU = 8, CAPS = 16, WINDOW = 32, ROTATIONS = 64, SCALES = 128, ADDITIONS = 8, ALL = 255 };

static void make_special_model(struct model *model, int additions)
{
    struct model_config config = { .name = "special", .vocab = VOCAB, .d_model = 128, .layers = 4, .heads = 16, .kv_heads = 8,
                                   .head_dim = 32, .ffn = 256, .context = CONTEXT, .rope_theta = 10000, .norm_eps = 1e-5f,
                                   .rope_style = ROPE_HALVES, .tied_embeddings = true };
    config.qkv_bias = additions & BIAS;
    config.qk_norm = additions & QK_NORM;
    config.post_norms = additions & POST_NORMS;
    config.gate = additions & GELU ? GATE_GELU : GATE_SILU;
    config.attention_cap = additions & CAPS ? 3 : 0;
    config.output_cap = additions & CAPS ? 2 : 0;
    config.window = additions & WINDOW ? 9 : 0;
    config.window_period = 3;
    config.window_rope_theta = additions & WINDOW ? 100 : 0;
    config.rope_factors = additions & ROTATIONS;
    config.rope_scale = additions & ROTATIONS ? 4 : 0;
    config.embedding_scale = additions & SCALES ? 3 : 0;
    config.attention_scale = additions & SCALES ? 0.3f : 0;
    assert_int_equal(model_allocate(model, &config), 0);
    model_randomize(model, 43);
    for (size_t i = 0; i < model->parameter_count; i++)
        model->storage[i] *= 4; // and norms, biases and factors that are not all the same
    for (int i = 0; i < gguf_weight_count(&config); i++) {
        const struct gguf_weight w = gguf_weight_at(&config, i);
        for (int k = 0; k < w.in && !w.out; k++)
            model->storage[w.offset + (size_t)k] *= 0.25f + 0.05f * (float)(k % 7);
    }
    model_hash(model);
}

static void make_tokens(int32_t *tokens, int count, unsigned seed)
{
    for (int i = 0; i < count; i++) {
        seed = seed * 1103515245u + 12345u;
        tokens[i] = (int32_t)(seed >> 8) % VOCAB;
    }
}

struct setup {
    struct variant *variant;
    struct engine *engine;
};

struct choice {
    const char *layout, *prune, *format;
    enum activation activation;
    enum provider provider;
    int batch, max_rows;
};

static struct setup open_setup(const struct model *model, struct comm_group *group, int rank, const struct choice *choice)
{
    struct setup setup;
    struct layout layout;
    struct variant_recipe recipe;
    char error[256] = "";
    check(layout_parse(choice->layout, &layout, error, sizeof(error)), error);
    check(recipe_parse(choice->prune ? choice->prune : "none", NULL, choice->format ? choice->format : "f32", &recipe, error, sizeof(error)),
          error);
    check(layout_check(&layout, &model->config, &recipe.format, choice->batch, error, sizeof(error)), error);
    check(variant_create(&setup.variant, model, &recipe, &layout, rank, error, sizeof(error)), error);
    const struct engine_options options = { .provider = choice->provider, .activation = choice->activation, .max_batch = choice->batch,
                                            .max_context = CONTEXT, .max_rows = choice->max_rows };
    check(engine_open(&setup.engine, setup.variant, group, &options, error, sizeof(error)), error);
    return setup;
}

static void close_setup(struct setup *setup)
{
    engine_close(setup->engine);
    variant_free(setup->variant);
}

// |a − b| over the largest |b| of the row.
static double row_error(const float *a, const float *b, int count)
{
    double worst = 0, largest = 0;
    for (int i = 0; i < count; i++) {
        const double error = fabs((double)a[i] - (double)b[i]);
        if (!(error <= worst))
            worst = error;
        largest = fmax(largest, fabs((double)b[i]));
    }
    return worst / largest;
}

static void assert_rows_close(const float *a, const float *b, int rows, double tolerance, const char *what)
{
    for (int row = 0; row < rows; row++) {
        const double error = row_error(a + (size_t)row * VOCAB, b + (size_t)row * VOCAB, VOCAB);
        if (!(error <= tolerance)) {
            fprintf(stderr, "%s: row %d differs by %g of its largest logit (allowed: %g)\n", what, row, error, tolerance);
            if (comm_size(comm_world()) > 1)
                comm_abort(1);
            fail_msg("%s", what);
        }
    }
}

struct collected {
    float *logits; // (batch, length, VOCAB)
    int length;
};

static void collect(void *context, int sequence, int position, const float *logits)
{
    struct collected *collected = context;
    memcpy(collected->logits + ((size_t)sequence * (size_t)collected->length + (size_t)position) * VOCAB, logits, VOCAB * sizeof(float));
}

static void score(struct engine *engine, const int32_t *tokens, int batch, int length, float *logits)
{
    char error[256] = "";
    struct collected collected = { logits, length };
    for (int i = 0; i < batch * length * VOCAB; i++)
        logits[i] = NAN;
    check(engine_score(engine, tokens, batch, length, 0, collect, &collected, error, sizeof(error)), error);
}

static float expected[4 * CONTEXT * VOCAB], got[4 * CONTEXT * VOCAB];

static void test_reference(void **unused)
{
    (void)unused;
    int32_t tokens[PROMPT];
    make_tokens(tokens, PROMPT, 1);
    for (int tied = 0; tied < 2; tied++)
        for (int style = 0; style < 2; style++) {
            struct model model;
            make_model(&model, style ? ROPE_HALVES : ROPE_INTERLEAVED, tied != 0);
            assert_int_equal(model_reference_logits(&model, tokens, PROMPT, expected), 0);
            static const char *const layouts[] = { "t1", "t2", "t3", "t8" };
            for (int l = 0; l < 4; l++)
                for (int max_rows = 5; max_rows <= 256; max_rows += 251) {
                    struct setup setup = open_setup(&model, comm_world(), 0, &(struct choice){ layouts[l], .batch = 1, .max_rows = max_rows });
                    score(setup.engine, tokens, 1, PROMPT, got);
                    assert_rows_close(got, expected, PROMPT, 1e-4, layouts[l]);
                    close_setup(&setup);
                }
            model_free(&model);
        }
}

static void test_additions(void **unused)
{
    (void)unused;
    static float plain[PROMPT * VOCAB];
    int32_t tokens[PROMPT];
    make_tokens(tokens, PROMPT, 7);
    struct model model;
    make_special_model(&model, 0);
    assert_int_equal(model_reference_logits(&model, tokens, PROMPT, plain), 0);
    model_free(&model);
    for (int i = 0; i <= ADDITIONS; i++) {
        char what[40];
        make_special_model(&model, i < ADDITIONS ? 1 << i : ALL);
        assert_int_equal(model_reference_logits(&model, tokens, PROMPT, expected), 0);
        // each of them matters, or else this test would not see it
        assert_true(row_error(plain + (PROMPT - 1) * VOCAB, expected + (PROMPT - 1) * VOCAB, VOCAB) > 1e-2);
        static const char *const layouts[] = { "t1", "t2", "t3" };
        for (int l = 0; l < 3; l++) {
            snprintf(what, sizeof(what), "addition %d, %s", i, layouts[l]);
            struct setup setup = open_setup(&model, comm_world(), 0, &(struct choice){ layouts[l], .batch = 1, .max_rows = l == 1 ? 5 : 0 });
            score(setup.engine, tokens, 1, PROMPT, got);
            assert_rows_close(got, expected, PROMPT, 2e-4, what);
            close_setup(&setup);
        }
        model_free(&model);
    }
}

// Every instruction set's kernels, through the whole model.
static void test_instruction_sets(void **unused)
{
    (void)unused;
    int32_t tokens[PROMPT];
    make_tokens(tokens, PROMPT, 2);
    struct model model;
    make_model(&model, ROPE_INTERLEAVED, false);
    assert_int_equal(model_reference_logits(&model, tokens, PROMPT, expected), 0);
    for (enum isa isa = ISA_SCALAR; isa <= isa_detect(); isa++) {
        isa_limit(isa);
        struct setup setup = open_setup(&model, comm_world(), 0, &(struct choice){ "t1", .batch = 1 });
        score(setup.engine, tokens, 1, PROMPT, got);
        assert_rows_close(got, expected, PROMPT, 1e-4, isa_name(isa));
        close_setup(&setup);
    }
    isa_limit(isa_detect());
    model_free(&model);
}

static void test_decode_equals_prefill(void **unused)
{
    (void)unused;
    struct model model;
    make_model(&model, ROPE_HALVES, false);
    enum { BATCH = 3 };
    int32_t prompts[BATCH * PROMPT], next[STEPS * BATCH], whole[BATCH * (PROMPT + STEPS)];
    static float logits[BATCH * VOCAB];
    char error[256] = "";
    make_tokens(prompts, BATCH * PROMPT, 3);
    struct setup setup = open_setup(&model, comm_world(), 0, &(struct choice){ "t2", .batch = BATCH });
    check(engine_prefill(setup.engine, prompts, BATCH, PROMPT, next, logits, error, sizeof(error)), error);
    static float steps[STEPS][BATCH * VOCAB];
    memcpy(steps[0], logits, sizeof(logits));
    for (int step = 1; step < STEPS; step++)
        check(engine_decode(setup.engine, next + (step - 1) * BATCH, 1, next + step * BATCH, steps[step], error, sizeof(error)), error);
    assert_int_equal(engine_position(setup.engine), PROMPT + STEPS - 1);
    for (int s = 0; s < BATCH; s++) {
        memcpy(whole + s * (PROMPT + STEPS), prompts + s * PROMPT, PROMPT * sizeof(*whole));
        for (int step = 0; step < STEPS; step++)
            whole[s * (PROMPT + STEPS) + PROMPT + step] = next[step * BATCH + s];
    }
    score(setup.engine, whole, BATCH, PROMPT + STEPS, got);
    for (int step = 0; step < STEPS; step++)
        for (int s = 0; s < BATCH; s++)
            assert_rows_close(steps[step] + s * VOCAB, got + (s * (PROMPT + STEPS) + PROMPT - 1 + step) * VOCAB, 1, 1e-5, "cached decode");

    // one call of several steps gives the same tokens as several calls
    int32_t again[STEPS * BATCH];
    check(engine_prefill(setup.engine, prompts, BATCH, PROMPT, again, NULL, error, sizeof(error)), error);
    check(engine_decode(setup.engine, again, STEPS - 1, again + BATCH, NULL, error, sizeof(error)), error);
    assert_memory_equal(again, next, sizeof(next));

    struct engine_gap gap;
    check(engine_verify_tokens(setup.engine, prompts, BATCH, PROMPT, NULL, next, STEPS, &gap, error, sizeof(error)), error);
    assert_true(gap.worst >= 0 && engine_gap_explained(setup.engine, &gap));
    next[7 * BATCH + 1] = (next[7 * BATCH + 1] + 1) % VOCAB;
    check(engine_verify_tokens(setup.engine, prompts, BATCH, PROMPT, NULL, next, STEPS, &gap, error, sizeof(error)), error);
    assert_false(engine_gap_explained(setup.engine, &gap));
    close_setup(&setup);

    // a batch is its sequences one by one
    setup = open_setup(&model, comm_world(), 0, &(struct choice){ "t1", .batch = 1 });
    for (int s = 0; s < BATCH; s++) {
        int32_t alone[STEPS];
        check(engine_prefill(setup.engine, prompts + s * PROMPT, 1, PROMPT, alone, NULL, error, sizeof(error)), error);
        check(engine_decode(setup.engine, alone, STEPS - 1, alone + 1, NULL, error, sizeof(error)), error);
        for (int step = 0; step < STEPS; step++)
            assert_int_equal(alone[step], again[step * BATCH + s]);
    }
    close_setup(&setup);
    model_free(&model);
}

static void test_formats(void **unused)
{
    (void)unused;
    static const struct {
        const char *prune, *format;
        enum activation activation;
        double tolerance; // of the largest logit; what the format itself costs, measured and doubled
        double most_bits;
    } cases[] = {
        { "none", "f32", ACTIVATION_F32, 1e-5, 33 },      { "none", "bf16", ACTIVATION_F32, 0.05, 17 },
        { "none", "q8g32", ACTIVATION_F32, 0.05, 9 },     { "none", "q8g32", ACTIVATION_Q8, 0.10, 9 },
        { "none", "bf16", ACTIVATION_BF16, 0.05, 17 },    { "none", "q8g32", ACTIVATION_Q8G, 0.06, 9 },
        { "none", "q4g64a", ACTIVATION_Q8G, 0.60, 5 },    { "none", "q8g32", ACTIVATION_BF16, 0.06, 9 },
        { "2:4", "f32", ACTIVATION_BF16, 2, 26 },         { "b16x4:50%", "q8g32", ACTIVATION_BF16, 2, 8 },
        { "none", "q4g32", ACTIVATION_F32, 0.60, 5 },     { "none", "q16c", ACTIVATION_F32, 1e-3, 18 },
        { "1%", "f32", ACTIVATION_F32, 0.05, 33 },        { "2:4", "f32", ACTIVATION_F32, 2, 26 },
        { "50%", "q8g32", ACTIVATION_F32, 2, 7 },         { "b16x4:50%", "q8g32", ACTIVATION_F32, 2, 8 },
        { "global:50%", "q4g32", ACTIVATION_Q8, 2, 5 },
    };
    struct model model;
    make_model(&model, ROPE_INTERLEAVED, false);
    int32_t tokens[PROMPT];
    make_tokens(tokens, PROMPT, 4);
    assert_int_equal(model_reference_logits(&model, tokens, PROMPT, expected), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct setup setup = open_setup(&model, comm_world(), 0,
                                        &(struct choice){ "t2", cases[i].prune, cases[i].format, cases[i].activation, .batch = 1 });
        score(setup.engine, tokens, 1, PROMPT, got);
        char what[128];
        snprintf(what, sizeof(what), "%s %s, activations %s", cases[i].prune, cases[i].format, activation_name(cases[i].activation));
        assert_rows_close(got, expected, PROMPT, cases[i].tolerance, what);
        if (!(engine_bits_per_weight(setup.engine) <= cases[i].most_bits))
            fail_msg("%s stores %g bits a weight", what, engine_bits_per_weight(setup.engine));
        if (strncmp(cases[i].prune, "50%", 3) == 0)
            assert_true(fabs(engine_sparsity(setup.engine) - 0.5) < 1e-3);

        // the plan's estimate of the same cell
        struct engine_estimate estimate;
        engine_estimate(&model.config, &setup.variant->recipe, &(struct kv_format){ KV_F32, 0 }, &setup.variant->layout, 1, PROMPT, CONTEXT - PROMPT, &estimate);
        const struct engine_memory memory = engine_memory_total(setup.engine);
        if (!(fabs(estimate.weight_bytes / (double)memory.weight_bytes - 1) <= 0.05))
            fail_msg("%s: %g bytes of weights were estimated, %zu are stored", what, estimate.weight_bytes, memory.weight_bytes);
        assert_true(fabs(estimate.kv_bytes / (double)memory.kv_bytes - 1) <= 0.05);
        close_setup(&setup);
    }
    model_free(&model);
}

// What the engine is asked for reaches the kernels of f32, which round if told to: most logits change, few of them by much.
static void test_rounded_activations(void **unused)
{
    (void)unused;
    struct model model;
    make_model(&model, ROPE_INTERLEAVED, false);
    int32_t tokens[PROMPT];
    make_tokens(tokens, PROMPT, 4);
    assert_int_equal(model_reference_logits(&model, tokens, PROMPT, expected), 0);
    struct setup setup = open_setup(&model, comm_world(), 0, &(struct choice){ "t2", "none", "f32", ACTIVATION_BF16, .batch = 1 });
    score(setup.engine, tokens, 1, PROMPT, got);
    assert_rows_close(got, expected, PROMPT, 0.05, "f32, activations bf16");
    int changed = 0;
    for (int i = 0; i < PROMPT * VOCAB; i++)
        changed += fabsf(got[i] - expected[i]) > 1e-4f * fabsf(expected[i]);
    assert_true(changed > PROMPT * VOCAB / 2);
    close_setup(&setup);
    model_free(&model);
}

static void test_providers(void **unused)
{
    (void)unused;
    struct model model;
    make_model(&model, ROPE_INTERLEAVED, false);
    int32_t tokens[PROMPT];
    make_tokens(tokens, PROMPT, 5);
    assert_int_equal(model_reference_logits(&model, tokens, PROMPT, expected), 0);
    for (enum provider provider = PROVIDER_OWN; provider < PROVIDER_COUNT; provider++) {
        struct setup setup = open_setup(&model, comm_world(), 0, &(struct choice){ "t2", .provider = provider, .batch = 1 });
        score(setup.engine, tokens, 1, PROMPT, got);
        assert_rows_close(got, expected, PROMPT, 1e-4, provider_name(provider));
        close_setup(&setup);
    }
    model_free(&model);
}

static void test_what_is_refused(void **unused)
{
    (void)unused;
    struct model model;
    make_model(&model, ROPE_INTERLEAVED, false);
    struct setup setup = open_setup(&model, comm_world(), 0, &(struct choice){ "t2", .batch = 2 });
    int32_t tokens[2 * CONTEXT], next[2 * CONTEXT];
    char error[256] = "";
    make_tokens(tokens, 2 * CONTEXT, 6);
    assert_int_equal(engine_decode(setup.engine, tokens, 1, next, NULL, error, sizeof(error)), -EINVAL); // nothing to go on with
    assert_int_equal(engine_prefill(setup.engine, tokens, 3, 10, next, NULL, error, sizeof(error)), -EINVAL);
    assert_int_equal(engine_prefill(setup.engine, tokens, 1, CONTEXT + 1, next, NULL, error, sizeof(error)), -EINVAL);
    tokens[5] = VOCAB;
    assert_int_equal(engine_prefill(setup.engine, tokens, 1, 10, next, NULL, error, sizeof(error)), -EINVAL);
    assert_non_null(strstr(error, "vocabulary"));
    tokens[5] = 0;
    check(engine_prefill(setup.engine, tokens, 1, CONTEXT, next, NULL, error, sizeof(error)), error);
    assert_int_equal(engine_decode(setup.engine, next, 1, next, NULL, error, sizeof(error)), -EINVAL); // the cache is full
    close_setup(&setup);

    // a NaN in a weight must not end as a token
    model.layers[2].matrix[LAYER_UP][77] = NAN;
    setup = open_setup(&model, comm_world(), 0, &(struct choice){ "t2", .batch = 1 });
    assert_int_equal(engine_prefill(setup.engine, tokens, 1, 10, next, NULL, error, sizeof(error)), -EDOM);
    assert_int_equal(engine_score(setup.engine, tokens, 1, 10, 0, collect, &(struct collected){ got, 10 }, error, sizeof(error)), -EDOM);
    close_setup(&setup);
    model_free(&model);
}

// ---------------------------------------------------------------------------------------------------------------------
// Several ranks

static void compare_layout(const struct model *model, const struct choice *choice, double tolerance)
{
    const int batch = choice->batch, rank = comm_rank(comm_world());
    struct choice alone_choice = *choice;
    alone_choice.layout = "t1";
    int32_t *prompts = malloc((size_t)(batch * PROMPT) * sizeof(int32_t));
    int32_t *alone_next = calloc((size_t)(batch * STEPS), sizeof(int32_t)), *next = calloc((size_t)(batch * STEPS), sizeof(int32_t));
    float *alone_logits = malloc((size_t)(2 * batch * VOCAB) * sizeof(float)), *logits = malloc((size_t)(2 * batch * VOCAB) * sizeof(float));
    make_tokens(prompts, batch * PROMPT, 7);
    char error[256] = "";

    struct comm_group *self = comm_split(comm_world(), rank, 0);
    struct setup alone = open_setup(model, self, 0, &alone_choice);
    struct setup setup = open_setup(model, comm_world(), rank, choice);
    const struct comm_traffic before = comm_traffic();
    struct setup *setups[2] = { &alone, &setup };
    for (int i = 0; i < 2; i++) {
        struct engine *engine = setups[i]->engine;
        int32_t *tokens = i ? next : alone_next;
        float *rows = i ? logits : alone_logits;
        check(engine_prefill(engine, prompts, batch, PROMPT, tokens, rows, error, sizeof(error)), error);
        check(engine_decode(engine, tokens, 1, tokens + batch, NULL, error, sizeof(error)), error);
        check(engine_decode(engine, tokens + batch, STEPS - 2, tokens + 2 * batch, rows + batch * VOCAB, error, sizeof(error)), error);
    }
    const struct layout_range mine = engine_sequences(setup.engine);
    for (int s = mine.begin; s < mine.end; s++) {
        assert_rows_close(logits + s * VOCAB, alone_logits + s * VOCAB, 1, tolerance, "prefill");
        assert_rows_close(logits + (batch + s) * VOCAB, alone_logits + (batch + s) * VOCAB, 1, tolerance, "decode");
    }
    engine_collect(setup.engine, next, STEPS);
    if (memcmp(next, alone_next, (size_t)(batch * STEPS) * sizeof(int32_t)) != 0) {
        fprintf(stderr, "rank %d of %s: other tokens than one rank\n", rank, choice->layout);
        comm_abort(1);
    }
    struct engine_gap gap;
    check(engine_verify_tokens(setup.engine, prompts, batch, PROMPT, NULL, next, STEPS, &gap, error, sizeof(error)), error);
    if (!engine_gap_explained(setup.engine, &gap)) {
        fprintf(stderr, "%s: a generated token is %g below the largest logit\n", choice->layout, gap.worst);
        comm_abort(1);
    }
    const struct layout *layout = &setup.variant->layout;
    if (layout->tensor > 1 && comm_traffic().bytes_sent == before.bytes_sent)
        comm_abort(1);
    // shards of one replica add up to the whole, the padding of their panels aside
    const struct engine_memory memory = engine_memory_total(setup.engine);
    const double whole = (double)engine_memory(alone.engine).weight_bytes;
    if (!(fabs((double)memory.weight_bytes / layout->data / whole - 1) < 0.10)) {
        fprintf(stderr, "%s stores %zu bytes, one rank %g\n", choice->layout, memory.weight_bytes, whole);
        comm_abort(1);
    }
    if (!(engine_sparsity(setup.engine) == engine_sparsity(alone.engine)))
        comm_abort(1);
    close_setup(&setup);
    close_setup(&alone);
    comm_group_free(self);
    free(prompts), free(alone_next), free(next), free(alone_logits), free(logits);
}

static int run_layouts(int count, char **layouts)
{
    struct model model, special;
    make_model(&model, ROPE_INTERLEAVED, false);
    make_special_model(&special, ALL);
    for (int i = 0; i < count; i++) {
        struct layout layout;
        char error[256] = "";
        check(layout_parse(layouts[i], &layout, error, sizeof(error)), error);
        const int batch = 2 * layout.data * layout.pipeline - layout.data * (layout.pipeline > 1); // uneven micro-batches
        compare_layout(&model, &(struct choice){ layouts[i], .batch = batch }, 1e-4);
        compare_layout(&model, &(struct choice){ layouts[i], .batch = layout.data, .max_rows = 16 }, 1e-4);
        compare_layout(&model, &(struct choice){ layouts[i], "none", "q8g32", .batch = batch }, 1e-4);
        compare_layout(&model, &(struct choice){ layouts[i], "global:50%", "q4g32", .batch = batch }, 1e-4);
        compare_layout(&special, &(struct choice){ layouts[i], .batch = batch, .max_rows = 16 }, 1e-4);
        comm_barrier(comm_world());
        if (comm_rank(comm_world()) == 0)
            printf("%s: the same tokens as one rank\n", layouts[i]);
    }
    model_free(&model);
    model_free(&special);
    return 0;
}

int main(int argc, char **argv)
{
    char error[256] = "";
    if (comm_start(&argc, &argv, error, sizeof(error)) != 0) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    if (argc > 1) {
        const int status = run_layouts(argc - 1, argv + 1);
        comm_stop();
        return status;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_additions),
        cmocka_unit_test(test_instruction_sets),
        cmocka_unit_test(test_decode_equals_prefill),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_rounded_activations),
        cmocka_unit_test(test_providers),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
