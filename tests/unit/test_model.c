// SPDX-License-Identifier: MIT
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench/model/gguf_names.h"
#include "bench/model/model.h"
#include "bench/model/reference.h"
#include "bench/model/shape.h"
#include "bench/model/train_pass.h"

static struct model_config small_config(bool tied, enum rope_style style)
{
    return (struct model_config){.name = "small",
                                 .vocab = 53,
                                 .d_model = 24,
                                 .layers = 3,
                                 .heads = 6,
                                 .kv_heads = 2,
                                 .head_dim = 8,
                                 .ffn = 40,
                                 .context = 128,
                                 .rope_theta = 10000,
                                 .norm_eps = 1e-5f,
                                 .rope_style = style,
                                 .tied_embeddings = tied};
}

// Every float of the storage belongs to exactly one tensor, and the list of names says so too.
static void tensors_tile_the_storage(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        const struct model_config config = small_config(tied, ROPE_INTERLEAVED);
        struct model model;
        assert_int_equal(model_allocate(&model, &config), 0);
        size_t next = 0;
        for (int i = 0; i < gguf_weight_count(&config); i++) {
            const struct gguf_weight w = gguf_weight_at(&config, i);
            assert_int_equal(w.offset, next);
            next += (size_t)w.in * (size_t)(w.out ? w.out : 1);
        }
        assert_int_equal(next, model.parameter_count);
        assert_int_equal(next, model_parameter_count(&config));
        assert_ptr_equal(model.embedding, model.storage);
        assert_int_equal(model.output == model.embedding, tied);
        const struct gguf_weight down = gguf_weight_at(&config, 1 + 2 * 9 + 7);
        assert_string_equal(down.name, "blk.2.ffn_down.weight");
        assert_ptr_equal(model.layers[2].matrix[LAYER_DOWN], model.storage + down.offset);
        assert_ptr_equal(model.final_norm, model.storage + gguf_weight_at(&config, 1 + 3 * 9).offset);
        model_free(&model);
        model_free(&model); // a freed model may be freed again
    }
}

static void random_weights_have_the_right_spread(void **state)
{
    (void)state;
    struct model_config config = small_config(false, ROPE_INTERLEAVED);
    config.d_model = 96;
    struct model a, b;
    assert_int_equal(model_allocate(&a, &config), 0);
    assert_int_equal(model_allocate(&b, &config), 0);
    model_randomize(&a, 7);
    model_randomize(&b, 7);
    assert_memory_equal(a.storage, b.storage, a.parameter_count * sizeof(float));
    assert_true(a.weights_hash == b.weights_hash);
    const struct {
        const float *values;
        int count;
        double deviation;
    } cases[] = {{a.embedding, 53 * 96, 0.02},
                 {a.output, 53 * 96, 0.02},
                 {a.layers[1].matrix[LAYER_Q], 48 * 96, 0.02},
                 {a.layers[2].matrix[LAYER_DOWN], 40 * 96, 0.02 / sqrt(6)}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double sum = 0, squares = 0;
        for (int k = 0; k < cases[i].count; k++) {
            sum += (double)cases[i].values[k];
            squares += (double)cases[i].values[k] * (double)cases[i].values[k];
        }
        const double deviation = sqrt(squares / cases[i].count), error = 1 / sqrt(cases[i].count);
        assert_true(fabs(deviation / cases[i].deviation - 1) <= 4 * error);
        assert_true(fabs(sum / cases[i].count) <= 4 * cases[i].deviation * error);
    }
    assert_true(a.layers[0].ffn_norm[5] == 1 && a.final_norm[0] == 1);
    model_randomize(&b, 8);
    assert_true(a.weights_hash != b.weights_hash);
    model_free(&a);
    model_free(&b);
}

static void a_clone_is_equal_and_apart(void **state)
{
    (void)state;
    const struct model_config config = small_config(true, ROPE_INTERLEAVED);
    struct model model, clone;
    assert_int_equal(model_allocate(&model, &config), 0);
    model_randomize(&model, 1);
    assert_int_equal(model_clone(&clone, &model), 0);
    assert_true(clone.weights_hash == model.weights_hash);
    assert_ptr_equal(clone.output, clone.embedding);
    const float before = model.layers[1].matrix[LAYER_UP][3];
    clone.layers[1].matrix[LAYER_UP][3] += 1;
    assert_true(model.layers[1].matrix[LAYER_UP][3] == before);
    model_hash(&clone);
    assert_true(clone.weights_hash != model.weights_hash);
    model_free(&clone);
    model_free(&model);
}

static void bad_dimensions_are_refused(void **state)
{
    (void)state;
    char reason[128];
    struct model_config config = small_config(true, ROPE_INTERLEAVED);
    assert_int_equal(model_config_check(&config, reason, sizeof reason), 0);
    const struct {
        size_t offset;
        int value;
        const char *reason;
    } cases[] = {
        {offsetof(struct model_config, vocab), 0, "vocab"},
        {offsetof(struct model_config, d_model), -1, "d_model"},
        {offsetof(struct model_config, layers), 1 << 20, "layers"},
        {offsetof(struct model_config, kv_heads), 4, "kv_heads"},
        {offsetof(struct model_config, head_dim), 7, "head_dim"},
        {offsetof(struct model_config, ffn), INT32_MAX, "ffn"},
        {offsetof(struct model_config, context), 0, "context"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_config bad = config;
        struct model model;
        memcpy((char *)&bad + cases[i].offset, &cases[i].value, sizeof(int));
        assert_true(model_config_check(&bad, reason, sizeof reason) < 0);
        assert_non_null(strstr(reason, cases[i].reason));
        assert_true(model_allocate(&model, &bad) < 0);
    }
    config.rope_theta = NAN;
    assert_true(model_config_check(&config, reason, sizeof reason) < 0);
    config = small_config(true, ROPE_INTERLEAVED);
    config.norm_eps = NAN;
    assert_true(model_config_check(&config, reason, sizeof reason) < 0);
}

// The plain forward against the trainer's, which shares no line with it; and a hand-made check of causality.
static void reference_agrees_with_the_trainers_forward(void **state)
{
    (void)state;
    enum { LENGTH = 100 };
    for (int variant = 0; variant < 4; variant++) {
        const struct model_config config = small_config(variant & 1, variant & 2 ? ROPE_HALVES : ROPE_INTERLEAVED);
        struct model model;
        struct train_pass *pass;
        assert_int_equal(model_allocate(&model, &config), 0);
        model_randomize(&model, 11);
        for (size_t i = 0; i < model.parameter_count; i++)
            model.storage[i] *= 4; // scores far enough apart that a wrong rotation shows
        assert_int_equal(train_pass_create(&pass, &config, 1, LENGTH), 0);
        int32_t ids[LENGTH];
        for (int i = 0; i < LENGTH; i++)
            ids[i] = (i * 31 + i / 7) % config.vocab;
        float *logits = malloc(sizeof *logits * LENGTH * (size_t)config.vocab);
        assert_int_equal(model_reference_logits(&model, ids, LENGTH, logits), 0);
        const float *fast = train_forward(pass, &model, ids, 0, 0);
        double worst = 0, largest = 0;
        for (int i = 0; i < LENGTH * config.vocab; i++) {
            const double error = fabs((double)fast[i] - (double)logits[i]);
            worst = error > worst || isnan(error) ? error : worst;
            largest = fmax(largest, fabs((double)logits[i]));
        }
        assert_true(largest > 0.1);
        assert_true(worst <= 2e-5 * largest);
        const float kept = logits[5 * config.vocab];
        ids[6] = (ids[6] + 1) % config.vocab; // what comes later changes nothing before
        assert_int_equal(model_reference_logits(&model, ids, LENGTH, logits), 0);
        assert_true(logits[5 * config.vocab] == kept);
        ids[0] = config.vocab;
        assert_true(model_reference_logits(&model, ids, LENGTH, logits) < 0);
        assert_true(model_reference_logits(&model, ids, config.context + 1, logits) < 0);
        free(logits);
        train_pass_free(pass);
        model_free(&model);
    }
}

// Published sizes of the models whose dimensions we use. Qwen2.5 also has 27,648 biases, which are left out.
static void shapes_have_the_published_sizes(void **state)
{
    (void)state;
    const struct {
        const char *path;
        size_t parameters;
    } known[] = {
        {"bench/models/shapes/smollm2-135m.ini", 134515008},
        {"bench/models/shapes/smollm2-360m.ini", 361821120},
        {"bench/models/shapes/qwen2.5-0.5b.ini", 494032768 - 27648},
        {"bench/models/shapes/tinyllama-1.1b.ini", 1100048384},
        {"bench/models/shapes/llama-3.2-1b.ini", 1235814400},
        {"bench/models/shapes/llama-3-8b.ini", 8030261248},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct model_config config;
        char error[300] = "";
        if (shape_read(&config, known[i].path, error, sizeof error))
            fail_msg("%s", error);
        assert_int_equal(model_parameter_count(&config), known[i].parameters);
    }
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static const char small_shape[] =
    "[model]\nvocab = 64\nd_model = 32\nlayers = 2\nheads = 4\nkv_heads = 2\nhead_dim = 8\n"
    "ffn = 48\ncontext = 64\ntied_embeddings = yes\n";

static void a_shape_becomes_a_model(void **state)
{
    (void)state;
    char path[] = "/tmp/llmsweep-XXXXXX.ini", error[300] = "";
    close(mkstemps(path, 4));
    write_file(path, small_shape);
    struct model a, b;
    assert_int_equal(model_load(&a, path, error, sizeof error), 0);
    assert_int_equal(model_load(&b, path, error, sizeof error), 0);
    assert_true(a.shape_only);
    assert_null(a.tokenizer);
    assert_int_equal(a.config.ffn, 48);
    assert_true(a.weights_hash == b.weights_hash && a.weights_hash);
    assert_memory_equal(a.config.name, "llmsweep-", 9); // from the file's name
    model_free(&a);
    model_free(&b);

    const struct {
        const char *line, *complaint;
    } bad[] = {{"heads = none", ":11: heads = 'none'"},
               {"head = 4", ":11: unknown key 'head'"},
               {"ffn = 0", ":11: ffn"},
               {"rope_style = spiral", "interleaved or halves"},
               {"kv_heads = 3", "kv_heads"},
               {"nonsense", ":11:"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[600];
        snprintf(text, sizeof text, "%s%s\n", small_shape, bad[i].line);
        write_file(path, text);
        assert_true(model_load(&a, path, error, sizeof error) < 0);
        assert_non_null(strstr(error, bad[i].complaint));
        assert_non_null(strstr(error, path));
        assert_null(strchr(error, '\n'));
    }
    write_file(path, "[model]\nvocab = 64\n");
    assert_true(model_load(&a, path, error, sizeof error) < 0);
    assert_non_null(strstr(error, "lacks d_model"));
    unlink(path);
    assert_true(model_load(&a, path, error, sizeof error) < 0);
    assert_non_null(strstr(error, "No such file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_tile_the_storage),
        cmocka_unit_test(random_weights_have_the_right_spread),
        cmocka_unit_test(a_clone_is_equal_and_apart),
        cmocka_unit_test(bad_dimensions_are_refused),
        cmocka_unit_test(reference_agrees_with_the_trainers_forward),
        cmocka_unit_test(shapes_have_the_published_sizes),
        cmocka_unit_test(a_shape_becomes_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
