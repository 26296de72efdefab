// SPDX-License-Identifier: MIT
// Models of the hub's form, written here from models in memory, are the same models when they are opened; damaged ones are refused.
#include <errno.h>
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
    config.qk_norm = architecture == ARCHITECTURE_QWEN3;
    assert_int_equal(model_allocate(model, &config), 0);
    model_randomize(model, 9);
    for (size_t i = 0; i < model->parameter_count; i++)
        model->storage[i] *= 3;
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
        fwrite(*gguf_weight_pointer(model, &w), 4, (size_t)w.in * (size_t)(w.out ? w.out : 1), file);
    }
    fclose(file);
}

static void write_config(const struct model *model)
{
    char text[600];
    snprintf(text, sizeof text,
             "{\"model_type\":\"%s\",\"hidden_size\":32,\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
             "\"head_dim\":16,\"intermediate_size\":64,\"max_position_embeddings\":64,\"rope_theta\":5000.0,\"rms_norm_eps\":1e-6,"
             "\"hidden_act\":\"silu\",\"tie_word_embeddings\":true}",
             model_architecture_name(model->config.architecture));
    write_text("config.json", text);
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
    model_free(&back);
}

static void models_are_the_same_from_one_file_or_several(void **state)
{
    (void)state;
    static const enum architecture all[] = {ARCHITECTURE_LLAMA, ARCHITECTURE_QWEN2, ARCHITECTURE_QWEN3};
    for (int i = 0; i < 3; i++) {
        struct model model;
        make_model(&model, all[i]);
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
static void a_llama_of_the_hub_becomes_one_of_gguf(void **state)
{
    (void)state;
    struct model model, back;
    static float expected[12 * 40], got[12 * 40];
    int32_t ids[12];
    for (int i = 0; i < 12; i++)
        ids[i] = i * 7 % 40;
    make_model(&model, ARCHITECTURE_LLAMA);
    assert_int_equal(gguf_write_model(in_folder("x.gguf"), &model, TENSOR_F32, error, sizeof error), 0);
    assert_int_equal(model_load(&back, in_folder("x.gguf"), error, sizeof error), 0);
    assert_int_equal(back.config.rope_style, ROPE_INTERLEAVED);
    assert_int_equal(model_reference_logits(&model, ids, 12, expected), 0);
    assert_int_equal(model_reference_logits(&back, ids, 12, got), 0);
    for (int i = 0; i < 12 * 40; i++)
        assert_true(got[i] - expected[i] <= 1e-5f && expected[i] - got[i] <= 1e-5f);
    model_free(&model);
    model_free(&back);
    unlink(in_folder("x.gguf"));
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
        cmocka_unit_test(a_llama_of_the_hub_becomes_one_of_gguf),
        cmocka_unit_test(damaged_files_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
