// SPDX-License-Identifier: MIT
// Multiple choice: reading tasks, verdicts against the reference's likelihoods, McNemar against numbers worked out by hand.
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench/model/reference.h"
#include "bench/model/tokenizer.h"
#include "bench/quality/choice.h"

static char error[512];

static int read_text(struct choice_task *task, const char *text)
{
    char path[] = "/tmp/llmsweep-choice-XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text));
    close(file);
    const int status = choice_task_read(task, path, error, sizeof(error));
    unlink(path);
    return status;
}

static void test_reading(void **unused)
{
    (void)unused;
    struct choice_task task;
    assert_int_equal(read_text(&task, "{\"context\": \"The sky is\", \"choices\": [\" blue\", \" made\"], \"answer\": 0}\n\n"
                                      "{\"context\": \"\\u00fcber\", \"choices\": [\"a\", \"b\", \"c\"], \"answer\": 2, \"more\": 1}\n"), 0);
    assert_int_equal(task.count, 2);
    assert_string_equal(task.items[0].choices[1], " made");
    assert_string_equal(task.items[1].context, "\xc3\xbc" "ber");
    assert_int_equal(task.items[1].answer, 2);
    choice_task_free(&task);
    const char *wrong[][2] = {
        { "{\"context\": \"x\", \"choices\": [\"a\", \"b\"], \"answer\": 2}", ":1: \"answer\"" },
        { "{\"context\": \"x\", \"choices\": [\"a\", \"b\"], \"answer\": -1}", ":1: \"answer\"" },
        { "{\"context\": \"x\", \"choices\": [\"a\"], \"answer\": 0}", "\"choices\"" },
        { "{\"context\": \"x\", \"choices\": [\"a\", \"\"], \"answer\": 0}", "\"choices\"" },
        { "{\"context\": \"x\", \"choices\": [\"a\", 3], \"answer\": 0}", "\"choices\"" },
        { "{\"choices\": [\"a\", \"b\"], \"answer\": 0}", "\"context\"" },
        { "\n\n{\"context\": ", ":3:" },
        { "[]", "\"context\"" },
        { "\n", "holds no items" },
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        assert_int_equal(read_text(&task, wrong[i][0]), -EINVAL);
        if (strstr(error, wrong[i][1]) == NULL)
            fail_msg("'%s' gives '%s', which does not say '%s'", wrong[i][0], error, wrong[i][1]);
    }
    assert_int_equal(choice_task_read(&task, "/no/such/file.jsonl", error, sizeof(error)), -ENOENT);
}

static void test_wordnet(void **unused)
{
    (void)unused;
    const char *names[] = { "wordnet", "wordnet-endings" };
    for (int i = 0; i < 2; i++) {
        struct choice_task task, again;
        int answers[4] = { 0 };
        if (choice_task_wordnet(&task, names[i], 300, error, sizeof(error)) != 0)
            fail_msg("%s", error);
        assert_int_equal(choice_task_wordnet(&again, names[i], 300, error, sizeof(error)), 0);
        assert_int_equal(task.count, 300);
        for (size_t item = 0; item < task.count; item++) {
            assert_string_equal(task.items[item].context, again.items[item].context);
            assert_int_equal(task.items[item].count, 4);
            answers[task.items[item].answer]++;
            for (int j = 0; j < 4; j++) {
                assert_string_equal(task.items[item].choices[j], again.items[item].choices[j]);
                for (int k = 0; k < j; k++)
                    assert_string_not_equal(task.items[item].choices[j], task.items[item].choices[k]);
            }
        }
        for (int j = 0; j < 4; j++)
            assert_in_range(answers[j], 40, 110);
        choice_task_free(&task);
        choice_task_free(&again);
    }
    struct choice_task task;
    assert_int_equal(choice_task_wordnet(&task, "wordnets", 10, error, sizeof(error)), -EINVAL);
}

static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%.12g is not %.12g within %g", got, want, tolerance);
}

static void test_statistics(void **unused)
{
    (void)unused;
    // 12 items: 9 lost, 2 won, 1 right in both: 2·(1 + 11 + 55)/2¹¹
    bool before[12] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1 }, after[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1 };
    struct choice_comparison comparison;
    choice_compare(before, after, 12, &comparison);
    assert_int_equal(comparison.lost, 9);
    assert_int_equal(comparison.won, 2);
    assert_near(comparison.p, 2 * 67.0 / 2048, 1e-12);
    choice_compare(before, before, 12, &comparison);
    assert_near(comparison.p, 1, 0);
    choice_compare(before, after, 2, &comparison); // 2 : 0
    assert_near(comparison.p, 0.5, 1e-12);
    double accuracy, standard_error;
    choice_accuracy(after, 12, &accuracy, &standard_error);
    assert_near(accuracy, 0.25, 1e-12);
    assert_near(standard_error, sqrt(0.25 * 0.75 / 11), 1e-12);
}

// Verdicts of the embedded model, from the reference's logits.
static void test_verdicts(void **unused)
{
    (void)unused;
    enum { ITEMS = 6, POSITIONS = 96 };
    struct model model = { 0 };
    struct choice_task task;
    struct choice_verdicts verdicts;
    struct variant *variant;
    struct engine *engine;
    struct variant_recipe recipe;
    const struct layout layout = { 1, 1, 1, 1 };
    assert_int_equal(model_load(&model, "bench/models/embedded.gguf", error, sizeof(error)), 0);
    assert_int_equal(choice_task_wordnet(&task, "wordnet-endings", ITEMS, error, sizeof(error)), 0);
    assert_int_equal(recipe_parse("none", NULL, "f32", &recipe, error, sizeof(error)), 0);
    assert_int_equal(variant_create(&variant, &model, &recipe, &layout, 0, error, sizeof(error)), 0);
    const struct engine_options options = { .max_batch = 4, .max_context = POSITIONS };
    assert_int_equal(engine_open(&engine, variant, comm_world(), &options, error, sizeof(error)), 0);
    const int bos = tokenizer_bos(model.tokenizer), vocab = model.config.vocab;
    if (choice_measure(engine, model.tokenizer, bos, POSITIONS, 4, &task, &verdicts, error, sizeof(error)) != 0)
        fail_msg("%s", error);
    float *logits = malloc((size_t)POSITIONS * (size_t)vocab * sizeof(*logits));
    for (size_t item = 0; item < ITEMS; item++) {
        int raw = -1, normalised = -1;
        double best_raw = -INFINITY, best_normalised = -INFINITY;
        for (int choice = 0; choice < 4; choice++) {
            char text[400];
            int32_t *alone, *ids, with_bos[POSITIONS] = { bos };
            size_t alone_count, count;
            snprintf(text, sizeof(text), "%s%s", task.items[item].context, task.items[item].choices[choice]);
            assert_int_equal(tokenizer_encode(model.tokenizer, task.items[item].context, strlen(task.items[item].context), &alone, &alone_count), 0);
            assert_int_equal(tokenizer_encode(model.tokenizer, text, strlen(text), &ids, &count), 0);
            memcpy(with_bos + 1, ids, count * sizeof(*ids));
            assert_int_equal(model_reference_logits(&model, with_bos, (int)count, logits), 0);
            double sum = 0;
            for (size_t i = alone_count; i < count; i++) { // endings begin with a space, where words end: the context's tokens stay
                assert_memory_equal(alone, ids, alone_count * sizeof(*ids));
                const float *row = logits + i * (size_t)vocab; // of the token before it
                double total = 0;
                for (int v = 0; v < vocab; v++)
                    total += exp((double)row[v]);
                sum += (double)row[ids[i]] - log(total);
            }
            const double each = sum / (double)strlen(task.items[item].choices[choice]);
            if (sum > best_raw)
                best_raw = sum, raw = choice;
            if (each > best_normalised)
                best_normalised = each, normalised = choice;
            free(alone);
            free(ids);
        }
        if (verdicts.raw[item] != (raw == task.items[item].answer) || verdicts.normalised[item] != (normalised == task.items[item].answer))
            fail_msg("item %zu: the reference chooses %d and %d, the answer is %d, the verdicts are %d and %d", item, raw, normalised,
                     task.items[item].answer, verdicts.raw[item], verdicts.normalised[item]);
    }
    free(logits);
    choice_verdicts_free(&verdicts);
    assert_int_equal(choice_measure(engine, model.tokenizer, bos, 8, 4, &task, &verdicts, error, sizeof(error)), -EINVAL);
    assert_non_null(strstr(error, "item 1"));
    engine_close(engine);
    variant_free(variant);
    choice_task_free(&task);
    model_free(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_reading), cmocka_unit_test(test_wordnet), cmocka_unit_test(test_statistics),
                                        cmocka_unit_test(test_verdicts) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
