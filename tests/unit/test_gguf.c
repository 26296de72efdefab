// SPDX-License-Identifier: MIT
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

#include "bench/model/bpe_train.h"
#include "bench/model/corpus.h"
#include "bench/model/gguf.h"
#include "bench/model/half.h"
#include "bench/model/model.h"
#include "bench/model/tokenizer.h"

static char folder[] = "/tmp/llmsweep-XXXXXX";
static char path[64], other_path[64];

struct bytes {
    uint8_t *data;
    size_t count;
};

static struct bytes read_file(const char *from)
{
    FILE *file = fopen(from, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    struct bytes b = {.count = (size_t)ftell(file)};
    rewind(file);
    b.data = malloc(b.count + 1);
    assert_int_equal(fread(b.data, 1, b.count, file), b.count);
    fclose(file);
    return b;
}

static void write_bytes(const char *to, const uint8_t *data, size_t count)
{
    FILE *file = fopen(to, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, count, file), count);
    fclose(file);
}

static void make_model(struct model *model, bool tied)
{
    const struct model_config config = {.name = "tiny",
                                        .vocab = 270,
                                        .d_model = 16,
                                        .layers = 2,
                                        .heads = 4,
                                        .kv_heads = 2,
                                        .head_dim = 4,
                                        .ffn = 24,
                                        .context = 32,
                                        .rope_theta = 500000,
                                        .norm_eps = 1e-6f,
                                        .tied_embeddings = tied};
    struct document documents[] = {{"the cat sat on the mat, the cat that sat", 40, false}};
    const struct corpus corpus = {.documents = documents, .count = 1, .source = "test"};
    char error[200];
    assert_int_equal(model_allocate(model, &config), 0);
    assert_int_equal(bpe_train(&model->tokenizer, &corpus, 270, error, sizeof error), 0);
    model_randomize(model, 3);
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    snprintf(other_path, sizeof other_path, "%s/other.gguf", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    unlink(other_path);
    return rmdir(folder);
}

// Against the definition: the nearest of all halves, found by arithmetic in double; ties to the even fraction.
static void halves_round_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        const float value = half_to_float((uint16_t)h);
        const int exponent = h >> 10 & 31, fraction = h & 0x3ff;
        if (exponent == 31) {
            assert_true(fraction ? isnan(value) : isinf(value));
            assert_true(fraction ? isnan(half_to_float(float_to_half(value))) : float_to_half(value) == h);
            continue;
        }
        const double magnitude = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
        assert_true((double)value == (h & 0x8000 ? -magnitude : magnitude));
        assert_int_equal(float_to_half(value), h);
    }
    for (uint32_t h = 0; h < 0x7bff; h++) { // between neighbours: below, at and above the middle
        const double low = (double)half_to_float((uint16_t)h), high = (double)half_to_float((uint16_t)(h + 1));
        const float middle = (float)((low + high) / 2); // exact: a half's middle has 12 bits
        assert_int_equal(float_to_half(nextafterf(middle, 0)), h);
        assert_int_equal(float_to_half(nextafterf(middle, 1e9f)), h + 1);
        assert_int_equal(float_to_half(middle), h % 2 ? h + 1 : h);
        assert_int_equal(float_to_half(-middle), 0x8000 | (h % 2 ? h + 1 : h));
    }
    assert_int_equal(float_to_half(65519.99f), 0x7bff); // the largest half is 65504
    assert_int_equal(float_to_half(65520.0f), 0x7c00);
    assert_int_equal(float_to_half(1e30f), 0x7c00);
    assert_int_equal(float_to_half(1e-10f), 0);
}

static void models_survive_the_file(void **state)
{
    (void)state;
    char error[300];
    for (int variant = 0; variant < 4; variant++) {
        struct model model, back;
        make_model(&model, variant & 1);
        const enum tensor_type type = variant & 2 ? TENSOR_F16 : TENSOR_F32;
        assert_int_equal(gguf_write_model(path, &model, type, error, sizeof error), 0);
        if (model_load(&back, path, error, sizeof error))
            fail_msg("%s", error);
        assert_string_equal(back.config.name, "tiny");
        assert_int_equal(back.config.tied_embeddings, variant & 1);
        assert_int_equal(back.config.vocab, 270);
        assert_int_equal(back.config.kv_heads, 2);
        assert_int_equal(back.config.ffn, 24);
        assert_int_equal(back.config.context, 32);
        assert_true(back.config.rope_theta == 500000 && back.config.norm_eps == 1e-6f);
        assert_int_equal(back.parameter_count, model.parameter_count);
        for (size_t i = 0; i < model.parameter_count; i++) {
            const float value = model.storage[i];
            assert_true(back.storage[i] == (type == TENSOR_F16 ? half_to_float(float_to_half(value)) : value));
        }
        assert_int_equal(back.weights_hash == model.weights_hash, type == TENSOR_F32);
        static const char text[] = "the cat \xff sat\n";
        int32_t *ids, *back_ids;
        size_t count, back_count;
        assert_int_equal(tokenizer_encode(model.tokenizer, text, sizeof text, &ids, &count), 0);
        assert_int_equal(tokenizer_encode(back.tokenizer, text, sizeof text, &back_ids, &back_count), 0);
        assert_true(count < sizeof text); // merges are at work
        assert_int_equal(back_count, count);
        assert_memory_equal(back_ids, ids, count * sizeof *ids);
        assert_int_equal(tokenizer_bos(back.tokenizer), 269);
        free(ids);
        free(back_ids);
        model_free(&back);
        model_free(&model);
    }
}

static uint64_t number_at(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    for (int i = bytes; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

// The bytes as the format's description has them, found without our reader.
static void the_file_is_laid_out_as_described(void **state)
{
    (void)state;
    struct model model;
    char error[300];
    make_model(&model, true);
    assert_int_equal(gguf_write_model(path, &model, TENSOR_F16, error, sizeof error), 0);
    const struct bytes b = read_file(path);
    assert_memory_equal(b.data, "GGUF\3\0\0\0", 8);
    assert_int_equal(number_at(b.data + 8, 8), 1 + 2 * 9 + 1); // tensors
    assert_int_equal(number_at(b.data + 16, 8), 25);           // keys
    static const uint8_t first_key[] = "\x14\0\0\0\0\0\0\0general.architecture\x08\0\0\0\5\0\0\0\0\0\0\0llama";
    assert_memory_equal(b.data + 24, first_key, sizeof first_key - 1);
    // "blk.1.ffn_down.weight" is (16, 24): two dimensions, the inner one (24) first, F16, an offset that 32 divides.
    static const char name[] = "blk.1.ffn_down.weight";
    const uint8_t *entry = memmem(b.data, b.count, name, sizeof name - 1);
    assert_non_null(entry);
    entry += sizeof name - 1;
    assert_int_equal(number_at(entry, 4), 2);
    assert_int_equal(number_at(entry + 4, 8), 24);
    assert_int_equal(number_at(entry + 12, 8), 16);
    assert_int_equal(number_at(entry + 20, 4), 1);
    const uint64_t offset = number_at(entry + 24, 8);
    assert_int_equal(offset % 32, 0);
    // The data starts at the first multiple of 32 after the last tensor's entry; row 0 comes first.
    const uint8_t *last = memmem(b.data, b.count, "output_norm.weight", 18);
    const size_t data = ((size_t)(last + 18 + 4 + 8 + 4 + 8 - b.data) + 31) / 32 * 32;
    for (int i = 0; i < 24; i++)
        assert_int_equal(number_at(b.data + data + offset + 2 * (size_t)i, 2),
                         float_to_half(model.layers[1].matrix[LAYER_DOWN][i]));
    free(b.data);
    model_free(&model);
}

// Loading must fail with one line that names the file, and leave the model alone.
static void assert_refused(const uint8_t *data, size_t count, const char *complaint)
{
    char error[300] = "";
    struct model model;
    memset(&model, 0x5a, sizeof model);
    const struct model before = model;
    write_bytes(other_path, data, count);
    const int rc = gguf_open_model(&model, other_path, error, sizeof error);
    if (rc >= 0 || !strstr(error, other_path) || strchr(error, '\n') || (complaint && !strstr(error, complaint)))
        fail_msg("rc %d, expected '%s', got '%s'", rc, complaint ? complaint : "", error);
    assert_memory_equal(&model, &before, sizeof model);
}

// The file with some bytes replaced; the place is given by the text that stands before it.
static void assert_patched_refused(const struct bytes *good, const char *after, size_t skip, const void *patch,
                                   size_t patch_bytes, const char *complaint)
{
    uint8_t *data = malloc(good->count);
    memcpy(data, good->data, good->count);
    uint8_t *at = memmem(data, good->count, after, strlen(after));
    assert_non_null(at);
    memcpy(at + strlen(after) + skip, patch, patch_bytes);
    assert_refused(data, good->count, complaint);
    free(data);
}

static struct bytes make_file(void)
{
    struct model model;
    char error[300];
    make_model(&model, true);
    assert_int_equal(gguf_write_model(path, &model, TENSOR_F16, error, sizeof error), 0);
    model_free(&model);
    return read_file(path);
}

static void truncated_files_are_refused(void **state)
{
    (void)state;
    const struct bytes b = make_file();
    for (size_t count = 0; count < b.count; count += count < 700 ? 1 : 97)
        assert_refused(b.data, count, NULL);
    assert_refused(b.data, b.count - 65, "truncated"); // into the last tensor's data
    free(b.data);
}

static void hostile_files_are_refused(void **state)
{
    (void)state;
    const struct bytes b = make_file();
    const uint64_t huge = UINT64_MAX, large = (uint64_t)1 << 62, aligned = (uint64_t)1 << 40;
    const uint32_t none = 0, many = 5, type = 16, blocks = 8, nested = 9;
    assert_patched_refused(&b, "GGUF", 0, "\4\0\0\0", 4, "version 4");
    assert_patched_refused(&b, "GGUF", 0, "\0\0\0\3", 4, "version");
    assert_patched_refused(&b, "GGUF", 4, &huge, 8, "absurd number");
    assert_patched_refused(&b, "GGUF", 12, &huge, 8, "absurd number");
    assert_patched_refused(&b, "general.architecture", 4, &huge, 8, "string");  // a string's length
    assert_patched_refused(&b, "tokenizer.ggml.tokens", 8, &huge, 8, "longer"); // an array's count
    assert_patched_refused(&b, "tokenizer.ggml.tokens", 8, &large, 8, "longer");
    assert_patched_refused(&b, "tokenizer.ggml.tokens", 4, &nested, 4, "array of arrays");
    assert_patched_refused(&b, "tokenizer.ggml.token_type", 8, &large, 8, "longer");
    assert_patched_refused(&b, "token_embd.weight", 0, &none, 4, "dimensions");
    assert_patched_refused(&b, "token_embd.weight", 0, &many, 4, "dimensions");
    assert_patched_refused(&b, "token_embd.weight", 4, &huge, 8, "dimensions");
    assert_patched_refused(&b, "token_embd.weight", 4, &large, 8, "dimensions");
    assert_patched_refused(&b, "token_embd.weight", 20, &type, 4, "type 16 (IQ2_XXS)");
    assert_patched_refused(&b, "token_embd.weight", 20, &blocks, 4, "whole number of its type's blocks");
    assert_patched_refused(&b, "blk.1.ffn_up.weight", 24, &huge, 8, "aligned");
    assert_patched_refused(&b, "blk.1.ffn_up.weight", 24, &aligned, 8, "beyond");
    assert_patched_refused(&b, "blk.1.attn_v", (size_t)-1, "k", 1, "same name"); // a second attn_k
    assert_patched_refused(&b, "blk.1.attn_norm", 0, "_", 1, "lacks the tensor");
    assert_patched_refused(&b, "llama.context_length", 4, &none, 4, "context_length");
    assert_patched_refused(&b, "llama.block_count", 4, &many, 4, "lacks the tensor");
    assert_patched_refused(&b, "llama.embedding_length", 4, &many, 4, "token_embd.weight");
    assert_patched_refused(&b, "llama.attention.head_count_kv", 4, "\3\0\0", 4, "kv_heads");
    assert_patched_refused(&b, "general.alignment", 4, "\7\0\0", 4, "alignment");
    assert_patched_refused(&b, "llama.rope.dimension_count", 4, "\2\0\0", 4, "2 of 4");
    assert_patched_refused(&b, "llama.rope.freq_base", 4, "\0\0\xc0\x7f", 4, "rope_theta"); // not a number
    assert_patched_refused(&b, "general.architecture", 12, "mamba", 5, "'mamba'");
    assert_patched_refused(&b, "general.architecture", 12, "m\nm\33a", 5, "'m?m?a'"); // a name is repeated, what it does to a terminal is not
    static const uint8_t space[] = " ";
    assert_patched_refused(&b, "tokenizer.ggml.merges", 4 + 4 + 8 + 8, space, 1, "merge 0");
    assert_refused((const uint8_t *)"a text, not a model, and long enough", 36, "not a GGUF file");
    free(b.data);
}

// Any damaged byte of the header either still makes a model or is refused; never a crash (run under the sanitizers
// too).
static void damaged_headers_never_crash(void **state)
{
    (void)state;
    const struct bytes b = make_file();
    const uint8_t *last = memmem(b.data, b.count, "output_norm.weight", 18);
    const size_t header = (size_t)(last - b.data) + 50;
    uint32_t random = 99;
    int refused = 0;
    for (int round = 0; round < 1500; round++) {
        uint8_t *data = malloc(b.count);
        memcpy(data, b.data, b.count);
        for (int k = 0; k < 1 + round % 3; k++) {
            random = random * 1664525u + 1013904223u;
            const size_t at = (random >> 4) % header;
            random = random * 1664525u + 1013904223u;
            data[at] = (uint8_t)(random >> 16);
        }
        char error[300] = "";
        struct model model;
        write_bytes(other_path, data, b.count);
        if (!gguf_open_model(&model, other_path, error, sizeof error)) {
            model_free(&model);
        } else {
            refused++;
            assert_true(*error && !strchr(error, '\n'));
        }
        free(data);
    }
    assert_true(refused > 100);
    free(b.data);
}

static void unreadable_places_are_named(void **state)
{
    (void)state;
    struct model model;
    char error[300] = "";
    assert_int_equal(gguf_open_model(&model, "/nonexistent/model.gguf", error, sizeof error), -ENOENT);
    assert_non_null(strstr(error, "/nonexistent/model.gguf"));
    assert_int_equal(gguf_open_model(&model, folder, error, sizeof error), -EISDIR);
    make_model(&model, true);
    assert_true(gguf_write_model("/nonexistent/model.gguf", &model, TENSOR_F16, error, sizeof error) < 0);
    assert_non_null(strstr(error, "/nonexistent/model.gguf"));
    assert_true(gguf_write_model("/dev/full/x", &model, TENSOR_F16, error, sizeof error) < 0);
    assert_int_equal(gguf_write_model(path, &model, TENSOR_Q4_K, error, sizeof error), -ENOTSUP);
    assert_int_equal(gguf_write_model(path, &model, TENSOR_Q8_0, error, sizeof error), -EINVAL); // rows of 16
    assert_non_null(strstr(error, "Q8_0 blocks"));
    model_free(&model);
}

// The file in the repository: what others rely on.
static void the_embedded_model_loads(void **state)
{
    (void)state;
    struct model model;
    char error[300];
    if (model_load(&model, "bench/models/embedded.gguf", error, sizeof error))
        fail_msg("%s", error);
    assert_string_equal(model.config.name, "llmsweep-gloss-6m");
    assert_int_equal(model.parameter_count, 5770496);
    assert_false(model.shape_only);
    assert_non_null(model.tokenizer);
    assert_int_equal(tokenizer_vocab(model.tokenizer), 4096);
    assert_int_equal(tokenizer_bos(model.tokenizer), 4095);
    for (enum layer_matrix m = 0; m < LAYER_MATRICES; m++) {
        int out, in;
        model_matrix_shape(&model.config, m, &out, &in);
        assert_true(out % 128 == 0 && in % 128 == 0);
    }
    assert_true(model.config.heads % 4 == 0 && model.config.kv_heads % 4 == 0);
    model_free(&model);
    const struct bytes b = read_file("bench/models/embedded.gguf");
    assert_true(b.count <= 12000000);
    free(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_round_to_nearest_even),      cmocka_unit_test(models_survive_the_file),
        cmocka_unit_test(the_file_is_laid_out_as_described), cmocka_unit_test(truncated_files_are_refused),
        cmocka_unit_test(hostile_files_are_refused),         cmocka_unit_test(damaged_headers_never_crash),
        cmocka_unit_test(unreadable_places_are_named),       cmocka_unit_test(the_embedded_model_loads),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
