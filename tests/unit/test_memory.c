// SPDX-License-Identifier: MIT
// What a cell takes beside its packed weights when its model comes from a file: never a whole copy of it in f32, in no format.
#include <fcntl.h>
#include <malloc.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench/compress/recipe.h"
#include "bench/model/engine.h"
#include "bench/model/gguf.h"
#include "harness/clock.h"

enum { BATCH = 2, PROMPT = 32, STEPS = 4 };
static const double spare = 0.05, small_things = 2 << 20;  // bytes: a megabyte of rows while they are packed, a huge page in part
static const double on_the_way = 10 * 384 * 1024; // one of the largest block matrices, where it is pruned: f32, codes, two masks

static char folder[] = "/tmp/llmsweep-XXXXXX", path[64], error[512];
static size_t weights;

static void check(int status)
{
    if (status != 0)
        fail_msg("status %d: %s", status, error);
}

// "VmHWM": the largest resident set since it was reset; "VmRSS": the present one. Bytes.
static double resident(const char *which)
{
    char line[256];
    double kilobytes = NAN;
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof(line), status) != NULL)
        if (strncmp(line, which, strlen(which)) == 0)
            kilobytes = strtod(line + strlen(which) + 1, NULL);
    if (status != NULL)
        fclose(status);
    return kilobytes * 1024;
}

static bool reset_peak(void)
{
    const int file = open("/proc/self/clear_refs", O_WRONLY);
    const bool done = file >= 0 && write(file, "5", 1) == 1;
    if (file >= 0)
        close(file);
    return done;
}

// 31 million weights, 62 MB in the file and 123 MB in f32. The largest matrix is a twentieth of what 4 bits take.
static int write_file(void **unused)
{
    (void)unused;
    const struct model_config config = { .name = "memory", .vocab = 12288, .d_model = 384, .layers = 16, .heads = 6, .kv_heads = 3, .head_dim = 64,
                                         .ffn = 1024, .context = 128, .rope_theta = 10000, .norm_eps = 1e-5f, .tied_embeddings = true };
    struct model model;
    if (mkdtemp(folder) == NULL || model_allocate(&model, &config) != 0)
        return -1;
    model_randomize(&model, 1);
    weights = model.parameter_count;
    snprintf(path, sizeof(path), "%s/memory.gguf", folder);
    const int status = gguf_write_model(path, &model, TENSOR_F16, error, sizeof(error));
    model_free(&model);
    return status;
}

static int remove_file(void **unused)
{
    (void)unused;
    unlink(path);
    return rmdir(folder);
}

static void run_cell(const char *prune, const char *format, bool judged)
{
    struct model model;
    struct layout layout;
    struct variant_recipe recipe;
    struct variant *variant;
    struct engine *engine;
    static int32_t tokens[BATCH * PROMPT], next[STEPS * BATCH];
    for (int i = 0; i < BATCH * PROMPT; i++)
        tokens[i] = i * 97 % 12288;
    malloc_trim(0);
    if (!reset_peak())
        skip(); // not allowed here
    const double before = resident("VmRSS:");
    const uint64_t start = clock_now();
    check(model_open(&model, path, error, sizeof(error)));
    const double seconds = clock_seconds(start, clock_now());
    check(layout_parse("t2", &layout, error, sizeof(error)));
    check(recipe_parse(prune, NULL, format, &recipe, error, sizeof(error)));
    check(variant_create(&variant, &model, &recipe, &layout, 0, error, sizeof(error)));
    const struct engine_options options = { .activation = recipe.format.type == WEIGHT_QUANTIZED ? ACTIVATION_Q8 : ACTIVATION_F32, .max_batch = BATCH,
                                            .max_context = PROMPT + STEPS, .max_rows = BATCH * PROMPT };
    check(engine_open(&engine, variant, comm_world(), &options, error, sizeof(error)));
    check(engine_prefill(engine, tokens, BATCH, PROMPT, next, NULL, error, sizeof(error)));
    check(engine_decode(engine, next, STEPS - 1, next + BATCH, NULL, error, sizeof(error)));
    const double peak = resident("VmHWM:") - before;
    const struct engine_memory memory = engine_memory(engine);
    const double allowed = (1 + spare) * (double)memory.weight_bytes + (double)(memory.kv_bytes + memory.workspace_bytes) + small_things +
                           (recipe.method != PRUNE_NONE ? on_the_way : 0);
    print_message("%-4s %-7s: %5.1f MB packed, %4.1f cache and buffers, %5.1f at most (%.1f allowed); opened at %.1f GB/s\n", prune, format,
                  (double)memory.weight_bytes / 1e6, (double)(memory.kv_bytes + memory.workspace_bytes) / 1e6, peak / 1e6, allowed / 1e6,
                  (double)weights * 2 / seconds / 1e9);
    engine_close(engine);
    variant_free(variant);
    model_free(&model);
    if (judged && !(peak <= allowed))
        fail_msg("%s %s took %.1f MB where %.1f MB are packed: %.1f allowed", prune, format, peak / 1e6, (double)memory.weight_bytes / 1e6,
                 allowed / 1e6);
}

static void test_peak(void **unused)
{
    (void)unused;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); // shadow memory counts
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    skip();
#endif
#endif
    run_cell("none", "q4g64", false); // what a library keeps after its first use is not the cell's
    run_cell("none", "q4g64", true);
    run_cell("none", "q8g32", true);
    run_cell("none", "q2g32a", true);
    run_cell("none", "bf16", true);
    run_cell("none", "f32", true);
    run_cell("50%", "q4g64", true);
    run_cell("2:4", "f32", true);
    run_cell("global:50%", "q4g64", true);
    run_cell("global:b16x4:50%", "f32", true);
}

// Rows of the embedding are copied out of the file: after all of them were read, none of its pages is this process's.
static void test_embedding(void **unused)
{
    (void)unused;
    struct model model;
    static float row[384], expected[384];
    check(model_open(&model, path, error, sizeof(error)));
    const struct tensor embedding = model_embedding(&model);
    assert_true((double)embedding.rows * (double)tensor_row_bytes(&embedding) > 8e6);
    model_read_embedding(&model, 0, row); // what reading itself needs
    const double before = resident("RssFile:");
    for (int token = 0; token < embedding.rows; token++)
        model_read_embedding(&model, token, row);
    const double grown = resident("RssFile:") - before;
    if (!(grown < 1e6))
        fail_msg("%.1f MB of the file are in memory after its embedding was read", grown / 1e6);
    for (int token = 0; token < embedding.rows; token += 97) {
        model_read_embedding(&model, token, row);
        tensor_read_rows(&embedding, token, 1, expected);
        assert_memory_equal(row, expected, sizeof(row));
    }
    assert_true(resident("RssFile:") - before > 1e6); // these were read where they are mapped
    model_release(&model);
    assert_true(resident("RssFile:") - before < 1e6);
    model_free(&model);
}

int main(int argc, char **argv)
{
    if (comm_start(&argc, &argv, error, sizeof(error)) != 0) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_peak), cmocka_unit_test(test_embedding) };
    const int failed = cmocka_run_group_tests(tests, write_file, remove_file);
    comm_stop();
    return failed;
}
