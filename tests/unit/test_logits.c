// SPDX-License-Identifier: MIT
// Logits of one prompt beside llama.cpp's, which computed tests/data/embedded.logits from the same file in f32.
// By hand for any other model: test_logits MODEL.gguf LOGITS, a file of that form (tests/data/README.md says how to make one).
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/compress/recipe.h"
#include "bench/model/engine.h"
#include "bench/model/tokenizer.h"

static const char *model_path = "bench/models/embedded.gguf", *logits_path = "tests/data/embedded.logits";
static const double tolerance = 2e-4; // rounding of sums in another order moves these by 6e-6
static char error[512];

static void check(int status)
{
    if (status != 0)
        fail_msg("status %d: %s", status, error);
}

// The prompt's ids; the file's own must be the same.
static int32_t *read_prompt(FILE *file, const struct tokenizer *tokenizer, size_t *count)
{
    char *line = NULL;
    size_t room = 0;
    int32_t *ids;
    ssize_t length = getline(&line, &room, file);
    assert_true(length > 6 && strncmp(line, "text ", 5) == 0);
    assert_int_equal(tokenizer_encode_text(tokenizer, line + 5, (size_t)length - 6, TOKENIZER_DOCUMENT, &ids, count), 0);
    length = getline(&line, &room, file);
    assert_true(length > 7 && strncmp(line, "tokens ", 7) == 0);
    char *at = line + 7;
    for (size_t i = 0; i < *count; i++)
        assert_int_equal(ids[i], strtol(at, &at, 10));
    assert_int_equal(*at, '\n');
    free(line);
    return ids;
}

static void test_as_reference(void **unused)
{
    (void)unused;
    struct model model;
    struct layout layout;
    struct variant_recipe recipe;
    struct variant *variant;
    struct engine *engine;
    check(model_open(&model, model_path, error, sizeof(error)));
    FILE *file = fopen(logits_path, "r");
    assert_non_null(file);
    size_t count;
    int32_t *ids = read_prompt(file, model.tokenizer, &count), next;
    float *logits = calloc((size_t)model.config.vocab, sizeof(*logits));
    check(layout_parse("t2", &layout, error, sizeof(error)));
    check(recipe_parse("none", NULL, "f32", &recipe, error, sizeof(error)));
    check(variant_create(&variant, &model, &recipe, &layout, 0, error, sizeof(error)));
    const struct engine_options options = { .max_batch = 1, .max_context = (int)count };
    check(engine_open(&engine, variant, comm_world(), &options, error, sizeof(error)));
    check(engine_prefill(engine, ids, 1, (int)count, &next, logits, error, sizeof(error)));
    int token, compared = 0;
    double expected, worst = 0;
    while (fscanf(file, "%d %lf", &token, &expected) == 2) {
        assert_in_range(token, 0, model.config.vocab - 1);
        const double difference = fabs((double)logits[token] - expected);
        if (!(difference <= worst))
            worst = difference;
        compared++;
    }
    fclose(file);
    print_message("%d logits behind %zu tokens: largest difference %.2g\n", compared, count, worst);
    assert_true(compared >= 64);
    if (!(worst <= tolerance))
        fail_msg("a logit is %g from the reference's (%g allowed)", worst, tolerance);
    engine_close(engine);
    variant_free(variant);
    free(logits);
    free(ids);
    model_free(&model);
}

int main(int argc, char **argv)
{
    if (comm_start(&argc, &argv, error, sizeof(error)) != 0) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    if (argc == 3) {
        model_path = argv[1];
        logits_path = argv[2];
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_as_reference) };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    comm_stop();
    return failed;
}
