// SPDX-License-Identifier: MIT
// Models of the hub's form, written here from models in memory, are the same models when they are opened; damaged ones are refused.
#include <errno.h>
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

#include "bench/model/gguf.h"
#include "bench/model/gguf_names.h"
#include "bench/model/model.h"
#include "bench/model/reference.h"

static char folder[] = "/tmp/llmsweep-XXXXXX", error[400];

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_text(const char *name, const char *text)
{
    FILE *file = fopen(in_folder(name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void make_model(struct model *model, enum architecture architecture)
{
    struct model_config config = {.name = "tiny", .vocab = 40, .d_model = 32, .layers = 2, .heads = 4, .kv_heads = 2, .head_dim = 16, .ffn = 64,
                                  .context = 64, .rope_theta = 5000, .norm_eps = 1e-6f, .rope_style = ROPE_HALVES, .tied_embeddings = true};
    config.architecture = architecture;
    config.qkv_bias = architecture == ARCHITECTURE_QWEN2;
    config.qk_norm = architecture == ARCHITECTURE_QWEN3 || architecture == ARCHITECTURE_GEMMA3;
    if (architecture >= ARCHITECTURE_GEMMA) {
        config.gate = GATE_GELU;
        config.embedding_scale = sqrtf(32);
    }
    if (architecture == ARCHITECTURE_GEMMA2 || architecture == ARCHITECTURE_GEMMA3) {
        config.post_norms = true;
        config.attention_scale = 1 / sqrtf(24);
        config.window = 8;
        config.window_period = architecture == ARCHITECTURE_GEMMA2 ? 2 : 6;
    }
    if (architecture == ARCHITECTURE_GEMMA2) {
        config.attention_cap = 50;
        config.output_cap = 30;
    }
    if (architecture == ARCHITECTURE_GEMMA3)
        config.window_rope_theta = 10000;
    assert_int_equal(model_allocate(model, &config), 0);
    model_randomize(model, 9);
    for (size_t i = 0; i < model->parameter_count; i++)
        model->storage[i] *= 3;
    const int count = gguf_weight_count(&config);
    for (int i = 0; i < count; i++) { // norms that differ, by numbers that a sum with 1 keeps
        const struct gguf_weight w = gguf_weight_at(&config, i);
        for (int k = 0; !w.out && k < w.in; k++)
            (*gguf_weight_pointer(model, &w))[k] = 1 + (float)((k + i) % 9) / 16;
    }
}

// Gemma's norms are written as what they are above 1.
static void write_values(FILE *file, const struct model *model, const struct gguf_weight *w)
{
    const float *values = *gguf_weight_pointer((struct model *)model, w), less = model->config.architecture >= ARCHITECTURE_GEMMA && !w->out ? 1 : 0;
    for (size_t i = 0; i < (size_t)w->in * (size_t)(w->out ? w->out : 1); i++) {
        const float value = values[i] - less;
        fwrite(&value, sizeof value, 1, file);
    }
}

// Tensors first … of every `step` into one file.
static void write_tensors(struct model *model, const char *name, int first, int step)
{
    char header[16384] = "{";
    size_t length = 1, offset = 0;
    const int count = gguf_weight_count(&model->config);
    for (int i = first; i < count; i += step) {
        const struct gguf_weight w = gguf_weight_at(&model->config, i);
        const size_t bytes = 4 * (size_t)w.in * (size_t)(w.out ? w.out : 1);
        length += (size_t)snprintf(header + length, sizeof header - length, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", i > first ? "," : "",
                                   w.hub_name);
        length += w.out ? (size_t)snprintf(header + length, sizeof header - length, "%d,", w.out) : 0;
        length += (size_t)snprintf(header + length, sizeof header - length, "%d],\"data_offsets\":[%zu,%zu]}", w.in, offset, offset + bytes);
        offset += bytes;
    }
    header[length++] = '}';
    const uint64_t written = length;
    FILE *file = fopen(in_folder(name), "wb");
    assert_non_null(file);
    fwrite(&written, 8, 1, file);
    fwrite(header, 1, length, file);
    for (int i = first; i < count; i += step) {
        const struct gguf_weight w = gguf_weight_at(&model->config, i);
        write_values(file, model, &w);
    }
    fclose(file);
}

static void write_config(const struct model *model)
{
    const bool gemma = model->config.architecture >= ARCHITECTURE_GEMMA;
    char text[600];
    snprintf(text, sizeof text,
             "{\"model_type\":\"%s\",\"hidden_size\":32,\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
             "\"head_dim\":16,\"intermediate_size\":64,\"max_position_embeddings\":64,\"rope_theta\":5000.0,\"rms_norm_eps\":1e-6,"
             "\"hidden_act\":\"%s\"%s}",
             model->config.architecture == ARCHITECTURE_GEMMA3 ? "gemma3_text" : model_architecture_name(model->config.architecture),
             gemma ? "gelu_pytorch_tanh" : "silu", model->config.window ? ",\"query_pre_attn_scalar\":24,\"sliding_window\":8" : gemma ? "" : ",\"tie_word_embeddings\":true");
    write_text("config.json", text);
}

// The configuration shows in what is computed: scales, caps, windows (of fewer positions than there are), both rotations.
static void assert_same_logits(const struct model *expected_of, const struct model *got_of, float tolerance)
{
    enum { POSITIONS = 12 };
    static float expected[POSITIONS * 40], got[POSITIONS * 40];
    int32_t ids[POSITIONS];
    for (int i = 0; i < POSITIONS; i++)
        ids[i] = i * 7 % 40;
    assert_int_equal(model_reference_logits(expected_of, ids, POSITIONS, expected), 0);
    assert_int_equal(model_reference_logits(got_of, ids, POSITIONS, got), 0);
    for (int i = 0; i < POSITIONS * 40; i++)
        if (!(fabsf(got[i] - expected[i]) <= tolerance))
            fail_msg("%s: logit %d is %g and not %g", model_architecture_name(expected_of->config.architecture), i, (double)got[i], (double)expected[i]);
}

static void assert_same_model(struct model *model, const char *path)
{
    struct model back;
    if (model_load(&back, path, error, sizeof error))
        fail_msg("%s", error);
    assert_int_equal(back.config.architecture, model->config.architecture);
    assert_int_equal(back.config.rope_style, ROPE_HALVES);
    assert_int_equal(back.parameter_count, model->parameter_count);
    assert_memory_equal(back.storage, model->storage, model->parameter_count * sizeof(float));
    assert_same_logits(model, &back, 0);
    model_free(&back);
}

static void models_are_the_same_from_one_file_or_several(void **state)
{
    (void)state;
    for (enum architecture each = 0; each < ARCHITECTURES; each++) {
        struct model model;
        make_model(&model, each);
        write_config(&model);
        write_tensors(&model, "model.safetensors", 0, 1);
        assert_same_model(&model, folder);
        assert_same_model(&model, in_folder("model.safetensors"));
        unlink(in_folder("model.safetensors"));
        write_tensors(&model, "a.safetensors", 0, 2);
        write_tensors(&model, "b.safetensors", 1, 2);
        write_text("model.safetensors.index.json", "{\"weight_map\":{\"x\":\"b.safetensors\",\"y\":\"a.safetensors\",\"z\":\"b.safetensors\"}}");
        assert_same_model(&model, folder);
        write_text("model.safetensors.index.json", "{\"weight_map\":{\"x\":\"b.safetensors\"}}");
        assert_true(model_load(&model, folder, error, sizeof error) < 0);
        assert_non_null(strstr(error, "lacks"));
        unlink(in_folder("model.safetensors.index.json"));
        model_free(&model);
    }
}

// The hub's Llama rotates halves, GGUF's pairs: rows change places on the way, and the model stays the same.
static void models_of_the_hub_become_some_of_gguf(void **state)
{
    (void)state;
    struct model model, back;
    for (enum architecture each = 0; each < ARCHITECTURES; each++) {
        make_model(&model, each);
        if (model.config.attention_scale > 0) { // as if heads were 24 wide
            assert_int_equal(gguf_write_model(in_folder("x.gguf"), &model, TENSOR_F32, error, sizeof error), -ENOTSUP);
            assert_non_null(strstr(error, "which GGUF has no key for"));
            model.config.attention_scale = 0.25f;
        }
        assert_int_equal(gguf_write_model(in_folder("x.gguf"), &model, TENSOR_F32, error, sizeof error), 0);
        assert_int_equal(model_load(&back, in_folder("x.gguf"), error, sizeof error), 0);
        assert_int_equal(back.config.rope_style, each == ARCHITECTURE_LLAMA ? ROPE_INTERLEAVED : ROPE_HALVES);
        assert_same_logits(&model, &back, each == ARCHITECTURE_LLAMA ? 1e-5f : 0);
        model_free(&model);
        model_free(&back);
        unlink(in_folder("x.gguf"));
    }
    unlink(in_folder("x.gguf"));
}

// 40 tokens, one a byte, and a pattern of our own.
static void a_tokenizer_that_gguf_cannot_name_is_refused(void **state)
{
    (void)state;
    struct model model;
    char text[1200] = "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a-f]+|[0-9]{1,5}\"},"
                      "\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]},"
                      "\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{";
    for (int i = 0; i < 40; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s\"%c\":%d", i ? "," : "", '0' + i, i);
    strcat(text, "}}}");
    make_model(&model, ARCHITECTURE_LLAMA);
    write_config(&model);
    write_tensors(&model, "model.safetensors", 0, 1);
    model_free(&model);
    write_text("tokenizer.json", text);
    if (model_open(&model, folder, error, sizeof error))
        fail_msg("%s", error);
    assert_non_null(model.tokenizer);
    assert_int_equal(gguf_write_model(in_folder("x.gguf"), &model, TENSOR_F32, error, sizeof error), -ENOTSUP);
    assert_non_null(strstr(error, "a pattern that has no name in GGUF"));
    assert_null(strchr(error, '\n'));
    assert_int_equal(access(in_folder("x.gguf"), F_OK), -1);
    model_free(&model);
    unlink(in_folder("tokenizer.json"));
    unlink(in_folder("model.safetensors"));
}

static void assert_refused(const char *header, const char *complaint)
{
    struct model model;
    const uint64_t length = strlen(header);
    FILE *file = fopen(in_folder("model.safetensors"), "wb");
    fwrite(&length, 8, 1, file);
    fputs(header, file);
    fclose(file);
    const int rc = model_open(&model, folder, error, sizeof error);
    if (rc >= 0 || strchr(error, '\n') || !strstr(error, complaint))
        fail_msg("rc %d, expected '%s', got '%s'", rc, complaint, error);
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    struct model model;
    make_model(&model, ARCHITECTURE_LLAMA);
    write_config(&model);
    model_free(&model);
    assert_refused("{\"a\"", "JSON");
    assert_refused("[]", "no object");
    assert_refused("{\"a\":1,\"a\":2}", "duplicate");
    assert_refused("{\"a\":{\"dtype\":\"F32\"}}", "lacks its dtype");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", "absurd");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2147483647,2147483647,2147483647],\"data_offsets\":[0,0]}}", "absurd");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "beyond");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", "beyond");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,0]}}", "do not fit");
    assert_refused("{}", "embed_tokens");
    write_text("model.safetensors", "\xff\xff\xff\xff\xff\xff\xff\xff and more");
    assert_true(model_open(&model, folder, error, sizeof error) < 0);
    assert_non_null(strstr(error, "not a safetensors file"));
    unlink(in_folder("model.safetensors"));
    assert_int_equal(model_open(&model, folder, error, sizeof error), -ENOENT);
    write_text("model.safetensors.index.json", "{\"weight_map\":{\"x\":\"../../etc/passwd\"}}");
    assert_true(model_open(&model, folder, error, sizeof error) < 0);
    assert_non_null(strstr(error, "of this folder"));
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"config.json", "model.safetensors.index.json", "a.safetensors", "b.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(in_folder(names[i]));
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_are_the_same_from_one_file_or_several),
        cmocka_unit_test(models_of_the_hub_become_some_of_gguf),
        cmocka_unit_test(a_tokenizer_that_gguf_cannot_name_is_refused),
        cmocka_unit_test(damaged_files_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
