// SPDX-License-Identifier: MIT
// Perplexity, divergence and agreement: the statistics against numbers worked out by hand, the measurement against the plain formulas
// over the reference's logits.
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/model/reference.h"
#include "bench/quality/quality.h"

enum { VOCAB = 96, WINDOW = 32, WINDOWS = 5, SCORED = WINDOW - 1 - WINDOW / 2, BOS = 1 };

static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%.12g is not %.12g within %g", got, want, tolerance);
}

static void test_statistics_by_hand(void **unused)
{
    (void)unused;
    // losses 1 2 3 4: mean 2.5, sample variance 5/3, error √(5/3/4); against 1 1 3 3: differences 0 1 0 1, mean ½, variance 1/3
    const float loss[] = { 1, 2, 3, 4 }, baseline[] = { 1, 1, 3, 3 }, kld[] = { 0, 0.1f, 0.2f, 0.5f }, same[] = { 1, 1, 0, 1 },
                flipped[] = { 0, 0, 0, 1 };
    struct quality_result result;
    quality_statistics(&(struct quality_tokens){ 4, loss, baseline, kld, same, flipped }, &result);
    assert_int_equal(result.tokens, 4);
    assert_near(result.ppl, 12.182493960703473, 1e-9);
    assert_near(result.ppl_se, 12.182493960703473 * 0.645497224367903, 1e-9);
    assert_near(result.dlnppl, 0.5, 1e-12);
    assert_near(result.dlnppl_se, 0.288675134594813, 1e-12);
    assert_near(result.kld, 0.2, 1e-8);
    assert_near(result.kld_se, 0.108012344973464, 1e-8); // variance (.04+.01+0+.09)/3, over 4
    assert_near(result.kld_p99, 0.5, 1e-8);
    assert_near(result.top1, 0.75, 1e-12);
    assert_near(result.top1_se, 0.25, 1e-12); // √(¾·¼/3)
    assert_near(result.flips, 0.25, 1e-12);
    quality_statistics(&(struct quality_tokens){ 4, loss, NULL, NULL, NULL, NULL }, &result);
    assert_near(result.ppl, 12.182493960703473, 1e-9);
    assert_true(isnan(result.kld) && isnan(result.dlnppl) && isnan(result.top1) && isnan(result.flips));

    // the 99th percentile of 1 … 200 is the 198th value
    float many[200], zero[200] = { 0 };
    for (int i = 0; i < 200; i++)
        many[i] = (float)((i * 37) % 200 + 1);
    quality_statistics(&(struct quality_tokens){ 200, many, zero, many, zero, zero }, &result);
    assert_near(result.kld_p99, 198, 0);
    // the ranks of the median are 100 ± √50, and 198 ± √1.98 of the percentile
    assert_near(result.kld_median, 100, 0);
    assert_near(result.kld_median_se, (108 - 92) / 2.0, 0);
    assert_near(result.kld_p99_se, (200 - 196) / 2.0, 0);
    assert_near(result.kld_max, 200, 0);
}

static void make_model(struct model *model, float scale)
{
    const struct model_config config = { .name = "tiny", .vocab = VOCAB, .d_model = 64, .layers = 2, .heads = 4, .kv_heads = 2,
                                         .head_dim = 16, .ffn = 128, .context = WINDOW, .rope_theta = 10000, .norm_eps = 1e-5f,
                                         .rope_style = ROPE_INTERLEAVED, .tied_embeddings = false };
    assert_int_equal(model_allocate(model, &config), 0);
    model_randomize(model, 9);
    for (int layer = 0; layer < config.layers; layer++)
        for (enum layer_matrix which = 0; which < LAYER_MATRICES; which++) {
            int out, in;
            model_matrix_shape(&config, which, &out, &in);
            for (int i = 0; i < out * in; i++)
                model->layers[layer].matrix[which][i] *= 4;
        }
    for (int i = 0; i < VOCAB * 64; i++)
        model->output[i] *= scale;
}

struct setup {
    struct variant *variant;
    struct engine *engine;
};

static struct setup open_setup(const struct model *model, const char *prune, const char *format)
{
    struct setup setup;
    struct variant_recipe recipe;
    char error[256] = "";
    const struct layout layout = { 1, 1, 1, 2 };
    if (recipe_parse(prune, NULL, format, &recipe, error, sizeof(error)) != 0 ||
        variant_create(&setup.variant, model, &recipe, &layout, 0, error, sizeof(error)) != 0)
        fail_msg("%s", error);
    const struct engine_options options = { .max_batch = 2, .max_context = WINDOW };
    if (engine_open(&setup.engine, setup.variant, comm_world(), &options, error, sizeof(error)) != 0)
        fail_msg("%s", error);
    return setup;
}

static void close_setup(struct setup *setup)
{
    engine_close(setup->engine);
    variant_free(setup->variant);
}

static void make_text(int32_t *tokens)
{
    unsigned seed = 3;
    for (int i = 0; i < WINDOWS * WINDOW + 7; i++) {
        seed = seed * 1103515245u + 12345u;
        tokens[i] = (int32_t)(seed >> 8) % VOCAB;
    }
}

static void log_probabilities(const float *logits, double *out)
{
    double sum = 0, largest = (double)logits[0];
    for (int i = 1; i < VOCAB; i++)
        largest = fmax(largest, (double)logits[i]);
    for (int i = 0; i < VOCAB; i++)
        sum += exp((double)logits[i] - largest);
    for (int i = 0; i < VOCAB; i++)
        out[i] = (double)logits[i] - largest - log(sum);
}

static int top(const double *log_p)
{
    int best = 0;
    for (int i = 1; i < VOCAB; i++)
        best = log_p[i] > log_p[best] ? i : best;
    return best;
}

// The model whose weights are those that the variant computes with: compressed, and read back.
static void unpack_into(struct model *model, const struct variant *variant)
{
    for (int layer = 0; layer < model->config.layers; layer++)
        for (int which = 0; which < LAYER_MATRICES; which++)
            packed_unpack(variant->matrix[layer][which], model->layers[layer].matrix[which]);
    packed_unpack(variant->output, model->output);
}

static void test_measurement_against_formulas(void **unused)
{
    (void)unused;
    int32_t text[WINDOWS * WINDOW + 7];
    make_text(text);
    struct model model, compressed;
    make_model(&model, 8);
    assert_int_equal(model_clone(&compressed, &model), 0);
    struct setup base = open_setup(&model, "none", "f32"), small = open_setup(&model, "25%", "q4g32");
    unpack_into(&compressed, small.variant);

    double loss = 0, base_loss = 0, kld = 0;
    int same = 0, flipped = 0;
    static float logits[WINDOW * VOCAB], base_logits[WINDOW * VOCAB];
    for (int window = 0; window < WINDOWS; window++) {
        int32_t ids[WINDOW];
        memcpy(ids, text + window * WINDOW, sizeof(ids));
        ids[0] = BOS;
        assert_int_equal(model_reference_logits(&model, ids, WINDOW, base_logits), 0);
        assert_int_equal(model_reference_logits(&compressed, ids, WINDOW, logits), 0);
        for (int position = WINDOW / 2; position < WINDOW - 1; position++) {
            double log_p[VOCAB], base_log_p[VOCAB];
            log_probabilities(logits + position * VOCAB, log_p);
            log_probabilities(base_logits + position * VOCAB, base_log_p);
            const int truth = ids[position + 1];
            loss -= log_p[truth];
            base_loss -= base_log_p[truth];
            for (int i = 0; i < VOCAB; i++)
                kld += exp(base_log_p[i]) * (base_log_p[i] - log_p[i]);
            same += top(log_p) == top(base_log_p);
            flipped += (top(log_p) == truth) != (top(base_log_p) == truth);
        }
    }
    const double count = WINDOWS * SCORED;

    char error[256] = "";
    struct quality_baseline *baseline;
    struct quality_result result, base_result;
    const struct quality_settings settings = { .window = WINDOW };
    assert_int_equal(quality_measure(base.engine, text, WINDOWS * WINDOW + 7, BOS, &settings, NULL, &baseline, &base_result, error, sizeof(error)), 0);
    assert_int_equal(base_result.tokens, WINDOWS * SCORED);
    assert_near(base_result.ppl / exp(base_loss / count), 1, 1e-5);
    assert_near(quality_baseline_result(baseline)->ppl, base_result.ppl, 0);
    assert_int_equal(quality_measure(small.engine, text, WINDOWS * WINDOW + 7, BOS, &settings, baseline, NULL, &result, error, sizeof(error)), 0);
    assert_near(result.ppl / exp(loss / count), 1, 1e-5);
    assert_near(result.dlnppl, (loss - base_loss) / count, 1e-5);
    assert_true(kld / count > 0.001); // else the next line would show nothing
    assert_near(result.kld, kld / count, 1e-5);
    assert_near(result.top1, same / count, 1e-6);
    assert_near(result.flips, flipped / count, 1e-6);
    assert_true(result.top1 < 1 && result.dlnppl_se > 0 && result.kld_p99 > result.kld);

    // the baseline is at no distance from itself
    assert_int_equal(quality_measure(base.engine, text, WINDOWS * WINDOW, BOS, &settings, baseline, NULL, &result, error, sizeof(error)), 0);
    assert_near(result.dlnppl, 0, 1e-9);
    assert_near(result.kld, 0, 1e-7);
    assert_near(result.top1, 1, 0);
    assert_near(result.flips, 0, 0);

    // a baseline of another text is refused
    text[40]++;
    assert_int_equal(quality_measure(base.engine, text, WINDOWS * WINDOW, BOS, &settings, baseline, NULL, &result, error, sizeof(error)), -EINVAL);
    quality_baseline_free(baseline);
    close_setup(&base);
    close_setup(&small);
    model_free(&model);
    model_free(&compressed);
}

static void test_what_is_refused(void **unused)
{
    (void)unused;
    int32_t text[WINDOWS * WINDOW + 7];
    make_text(text);
    struct model model;
    make_model(&model, 1);
    struct setup setup = open_setup(&model, "none", "f32");
    char error[256] = "";
    struct quality_result result = { .ppl = -1 };
    const struct quality_settings settings = { .window = WINDOW };
    assert_int_equal(quality_measure(setup.engine, text, WINDOW - 1, BOS, &settings, NULL, NULL, &result, error, sizeof(error)), -EINVAL);
    assert_non_null(strstr(error, "window"));
    close_setup(&setup);

    model.layers[1].attention_norm[3] = NAN;
    setup = open_setup(&model, "none", "f32");
    assert_int_equal(quality_measure(setup.engine, text, 2 * WINDOW, BOS, &settings, NULL, NULL, &result, error, sizeof(error)), -EDOM);
    assert_true(result.ppl == -1);
    close_setup(&setup);
    model_free(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statistics_by_hand),
        cmocka_unit_test(test_measurement_against_formulas),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
