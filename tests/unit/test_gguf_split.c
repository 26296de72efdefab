// SPDX-License-Identifier: MIT
// A model whose GGUF file is split in several, as llama.cpp's gguf-split does, is the model of the whole file; wrong parts are named.
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
#include "bench/model/gguf_file.h"
#include "bench/model/gguf_put.h"
#include "bench/model/model.h"

enum { PARTS = 3 };

static char folder[] = "/tmp/llmsweep-XXXXXX", error[400];

static const char *in_folder(const char *name)
{
    static char path[2][128];
    static int turn;
    snprintf(path[turn ^= 1], sizeof path[0], "%s/%s", folder, name);
    return path[turn];
}

static const char *part_name(int part)
{
    char name[64];
    snprintf(name, sizeof name, "m-%05d-of-%05d.gguf", part + 1, PARTS);
    return in_folder(name);
}

static void put_key(FILE *out, const char *name, enum gguf_value_type type, uint32_t value)
{
    gguf_put_text(out, name, strlen(name));
    gguf_put_u32(out, type);
    gguf_put(out, &value, type == GGUF_VALUE_UINT16 ? 2 : 4);
}

// Tensors part, part + PARTS, … of the whole file. Only the first part has the model's keys.
static void write_part(const struct gguf_file *whole, int part, int says, int of)
{
    FILE *out = fopen(part_name(part), "wb");
    assert_non_null(out);
    const uint64_t keys = part ? 0 : whole->key_count;
    gguf_put(out, "GGUF", 4);
    gguf_put_u32(out, 3);
    gguf_put_u64(out, (whole->tensor_count + PARTS - 1 - (size_t)part) / PARTS);
    gguf_put_u64(out, keys + 3);
    put_key(out, "split.no", GGUF_VALUE_UINT16, (uint32_t)says);
    put_key(out, "split.count", GGUF_VALUE_UINT16, (uint32_t)of);
    put_key(out, "split.tensors.count", GGUF_VALUE_INT32, (uint32_t)whole->tensor_count);
    for (size_t i = 0; i < keys; i++) {
        const struct gguf_key *key = &whole->keys[i];
        gguf_put_text(out, key->name.text, key->name.bytes);
        gguf_put_u32(out, key->type);
        if (key->type == GGUF_VALUE_ARRAY) {
            gguf_put_u32(out, key->element_type);
            gguf_put_u64(out, key->count);
        }
        gguf_put(out, key->value, key->bytes);
    }
    uint64_t offset = 0;
    for (size_t i = (size_t)part; i < whole->tensor_count; i += PARTS) {
        const struct gguf_tensor *tensor = &whole->tensors[i];
        gguf_put_text(out, tensor->name.text, tensor->name.bytes);
        gguf_put_u32(out, tensor->dimensions);
        for (uint32_t d = 0; d < tensor->dimensions; d++)
            gguf_put_u64(out, tensor->size[d]);
        gguf_put_u32(out, tensor->type);
        gguf_put_u64(out, offset);
        offset += (tensor->size[0] * tensor->size[1] * sizeof(float) + GGUF_ALIGNMENT - 1) / GGUF_ALIGNMENT * GGUF_ALIGNMENT;
    }
    for (size_t i = (size_t)part; i < whole->tensor_count; i += PARTS) {
        while (ftello(out) % GGUF_ALIGNMENT)
            fputc(0, out);
        gguf_put(out, whole->tensors[i].data, whole->tensors[i].size[0] * whole->tensors[i].size[1] * sizeof(float));
    }
    assert_int_equal(fclose(out), 0);
}

static struct model model;
static struct gguf_file whole;

static int write_whole(void **state)
{
    (void)state;
    const struct model_config config = {.name = "tiny", .vocab = 40, .d_model = 32, .layers = 2, .heads = 4, .kv_heads = 2, .head_dim = 8, .ffn = 48,
                                        .context = 64, .rope_theta = 10000, .norm_eps = 1e-5f};
    if (!mkdtemp(folder) || model_allocate(&model, &config))
        return -1;
    model_randomize(&model, 5);
    return gguf_write_model(in_folder("whole.gguf"), &model, TENSOR_F32, error, sizeof error) ||
           gguf_open(&whole, in_folder("whole.gguf"), error, sizeof error);
}

static int remove_all(void **state)
{
    (void)state;
    gguf_close(&whole);
    model_free(&model);
    unlink(in_folder("whole.gguf"));
    unlink(in_folder("other.gguf"));
    for (int part = 0; part < PARTS; part++)
        unlink(part_name(part));
    return rmdir(folder);
}

static void write_parts(void)
{
    for (int part = 0; part < PARTS; part++)
        write_part(&whole, part, part, PARTS);
}

static void refused(const char *path, const char *complaint)
{
    struct model back;
    const int rc = model_open(&back, path, error, sizeof error);
    if (rc >= 0 || strchr(error, '\n') || !strstr(error, complaint))
        fail_msg("rc %d, expected '%s', got '%s'", rc, complaint, error);
}

static void parts_are_the_whole(void **state)
{
    (void)state;
    struct model back;
    write_parts();
    if (model_load(&back, part_name(0), error, sizeof error))
        fail_msg("%s", error);
    assert_int_equal(back.parameter_count, model.parameter_count);
    assert_memory_equal(back.storage, model.storage, model.parameter_count * sizeof(float));
    model_free(&back);
    // opened, matrices lie in three mapped files
    if (model_open(&back, part_name(0), error, sizeof error))
        fail_msg("%s", error);
    assert_int_equal(back.file_count, PARTS);
    model_free(&back);
}

static void wrong_parts_are_named(void **state)
{
    (void)state;
    write_parts();
    refused(part_name(1), "give the first part, whose name ends in -00001-of-00003.gguf");
    assert_int_equal(rename(part_name(0), in_folder("other.gguf")), 0);
    refused(in_folder("other.gguf"), "give the first part");
    write_parts();
    unlink(part_name(2));
    refused(part_name(0), "m-00003-of-00003.gguf");
    write_parts();
    write_part(&whole, 2, 1, PARTS);
    refused(part_name(0), "m-00003-of-00003.gguf: says that it is part 2 of 3, not 3 of 3");
    write_part(&whole, 2, 2, 4);
    refused(part_name(0), "says that it is part 3 of 4");
    write_part(&whole, 2, 2, PARTS);
    write_part(&whole, 0, 0, 1); // is thought to be all
    refused(part_name(0), "lacks a matrix token_embd.weight");
    write_parts();
    assert_int_equal(truncate(part_name(1), 900), 0);
    refused(part_name(0), "m-00002-of-00003.gguf");
}

// The second part again as the third.
static void twice_the_same_tensor(void **state)
{
    (void)state;
    write_parts();
    struct gguf_file again = whole;
    again.tensors = malloc(whole.tensor_count * sizeof *again.tensors);
    memcpy(again.tensors, whole.tensors, whole.tensor_count * sizeof *again.tensors);
    for (size_t i = 2; i < whole.tensor_count; i += PARTS)
        again.tensors[i] = whole.tensors[i - 1];
    write_part(&again, 2, 2, PARTS);
    free(again.tensors);
    refused(part_name(0), "two tensors have the same name");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_the_whole),
        cmocka_unit_test(wrong_parts_are_named),
        cmocka_unit_test(twice_the_same_tensor),
    };
    return cmocka_run_group_tests(tests, write_whole, remove_all);
}
