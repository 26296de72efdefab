// SPDX-License-Identifier: MIT
// Calibrated compression: the solvers against brute force and against simpler methods on the same activations, the pass over the text
// against the reference, and the file that keeps the result.
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench/compress/activation_aware.h"
#include "bench/compress/calibrate_internal.h"
#include "bench/compress/prune.h"
#include "bench/compress/quantize.h"
#include "bench/compress/reconstruct.h"
#include "bench/model/reference.h"
#include "bench/model/train_rows.h"
#include "bench/model/variant.h"
#include "kernels/blas.h"

enum { ROWS = 48, COLUMNS = 256, TOKENS = 768, GROUP = 64 };
static char error[300];
static uint64_t random_state = 7;

static float uniform(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(random_state >> 33) / 2147483648.0 - 0.5);
}

static float bell(void)
{
    return uniform() + uniform() + uniform() + uniform();
}

// Weights, and the hessian of activations whose channels differ in size and hang together, as a model's do.
struct problem {
    float weights[ROWS * COLUMNS], changed[ROWS * COLUMNS], hessian[COLUMNS * COLUMNS], squares[COLUMNS], magnitudes[COLUMNS];
    uint8_t mask[ROWS * COLUMNS];
};

static struct problem *make_problem(uint64_t seed)
{
    struct problem *problem = calloc(1, sizeof(*problem));
    float *x = malloc(TOKENS * COLUMNS * sizeof(*x)), size[COLUMNS];
    assert_true(problem != NULL && x != NULL);
    random_state = seed;
    for (int c = 0; c < COLUMNS; c++)
        size[c] = expf(2 * bell()) * (c % 37 == 0 ? 8 : 1);
    for (int i = 0; i < TOKENS; i++) {
        float common = bell();
        for (int c = 0; c < COLUMNS; c++) {
            if (c % 16 == 0)
                common = bell();
            x[i * COLUMNS + c] = size[c] * (0.7f * bell() + 0.7f * common);
            problem->squares[c] += x[i * COLUMNS + c] * x[i * COLUMNS + c];
            problem->magnitudes[c] += fabsf(x[i * COLUMNS + c]) / TOKENS;
        }
    }
    blas_sgemm(true, false, COLUMNS, COLUMNS, TOKENS, 1, x, COLUMNS, x, COLUMNS, 0, problem->hessian, COLUMNS);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        problem->weights[i] = 0.05f * bell();
    memset(problem->mask, 1, sizeof(problem->mask));
    memcpy(problem->changed, problem->weights, sizeof(problem->weights));
    free(x);
    return problem;
}

static double error_of(const struct problem *problem)
{
    return layer_error(problem->weights, problem->changed, ROWS, COLUMNS, problem->hessian);
}

static void test_inverse_factor(void **unused)
{
    (void)unused;
    struct problem *problem = make_problem(1);
    enum { N = 40 };
    double h[N * N], u[N * N];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            u[i * N + j] = h[i * N + j] = (double)problem->hessian[i * COLUMNS + j] + (i == j);
    assert_int_equal(blas_inverse_factor(N, u), 0);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double identity = 0; // h · Uᵀ · U
            for (int k = 0; k < N; k++)
                for (int l = 0; l < N; l++)
                    identity += h[i * N + k] * u[l * N + k] * u[l * N + j];
            if (!(fabs(identity - (i == j)) <= 1e-6))
                fail_msg("h·UᵀU at %d, %d is %g", i, j, identity);
            if (j < i)
                assert_true(u[i * N + j] == 0);
        }
    double negative[4] = { 1, 2, 2, 1 };
    assert_int_equal(blas_inverse_factor(2, negative), -EDOM);
    free(problem);
}

// The first weight dropped, the others as free as they can be: least squares, solved by hand for two columns.
static void test_reconstruct_by_hand(void **unused)
{
    (void)unused;
    // H = [[4, 2], [2, 3]]: without w₀ the best w₁ is w₁ + w₀·H₀₁/H₁₁
    const float hessian[] = { 4, 2, 2, 3 };
    float weights[] = { 0.5f, 3, 0.25f, -2 };
    uint8_t mask[] = { 0, 1, 0, 1 };
    const struct reconstruction how = { .block = 128 };
    assert_int_equal(reconstruct(&how, 2, 2, hessian, weights, mask, NULL, error, sizeof(error)), 0);
    const double expected[] = { 0, 3 + 0.5 * 2 / 3, 0, -2 + 0.25 * 2 / 3 };
    for (int i = 0; i < 4; i++)
        if (!(fabs((double)weights[i] - expected[i]) <= 1e-6))
            fail_msg("weight %d is %g, not %g", i, (double)weights[i], expected[i]);
}

static double magnitude_error(struct problem *problem, int n, int m, double ratio)
{
    const struct prune_tensor tensor = { problem->weights, ROWS, COLUMNS, problem->mask };
    const int status = n ? prune_n_of_m(&tensor, n, m, error, sizeof(error)) : prune_magnitude(&tensor, 1, ratio, NULL, error, sizeof(error));
    assert_int_equal(status, 0);
    memcpy(problem->changed, problem->weights, sizeof(problem->weights));
    prune_apply(problem->changed, problem->mask, ROWS * COLUMNS);
    return error_of(problem);
}

static double wanda_error(struct problem *problem, int n, int m, double ratio)
{
    const struct variant_recipe recipe = { .method = n ? PRUNE_N_OF_M : PRUNE_MAGNITUDE, .n = n, .m = m, .ratio = ratio,
                                           .criterion = CRITERION_WANDA };
    memset(problem->mask, 1, sizeof(problem->mask));
    assert_int_equal(prune_wanda(&recipe, problem->weights, ROWS, COLUMNS, problem->squares, problem->changed, problem->mask, error,
                                 sizeof(error)), 0);
    memcpy(problem->changed, problem->weights, sizeof(problem->weights));
    prune_apply(problem->changed, problem->mask, ROWS * COLUMNS);
    return error_of(problem);
}

static double sparsegpt_error(struct problem *problem, int n, int m, double ratio, struct quantized_matrix *codes)
{
    const struct reconstruction how = { .ratio = ratio, .n = n, .m = m, .bits = codes != NULL ? 4 : 0, .group = GROUP, .damp = 0.01, .block = 128 };
    memset(problem->mask, 1, sizeof(problem->mask));
    memcpy(problem->changed, problem->weights, sizeof(problem->weights));
    assert_int_equal(reconstruct(&how, ROWS, COLUMNS, problem->hessian, problem->changed, problem->mask, codes, error, sizeof(error)), 0);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        if (!problem->mask[i])
            assert_true(problem->changed[i] == 0);
    return error_of(problem);
}

static void test_pruning_order(void **unused)
{
    (void)unused;
    const struct {
        int n, m;
        double ratio;
    } cases[] = { { 0, 0, 0.5 }, { 0, 0, 0.25 }, { 2, 4, 0.5 }, { 4, 8, 0.5 } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct problem *problem = make_problem(11 + i);
        const double magnitude = magnitude_error(problem, cases[i].n, cases[i].m, cases[i].ratio);
        const double wanda = wanda_error(problem, cases[i].n, cases[i].m, cases[i].ratio);
        const double sparsegpt = sparsegpt_error(problem, cases[i].n, cases[i].m, cases[i].ratio, NULL);
        if (!(sparsegpt < wanda && wanda < magnitude))
            fail_msg("%d:%d %g: SparseGPT %g, Wanda %g, magnitude %g", cases[i].n, cases[i].m, cases[i].ratio, sparsegpt, wanda, magnitude);
        const double sparsity = prune_sparsity(problem->mask, ROWS * COLUMNS);
        assert_true(fabs(sparsity - cases[i].ratio) < 1e-3);
        for (int at = 0; cases[i].n && at < ROWS * COLUMNS; at += cases[i].m) {
            int kept = 0;
            for (int j = 0; j < cases[i].m; j++)
                kept += problem->mask[at + j];
            assert_int_equal(kept, cases[i].m - cases[i].n);
        }
        free(problem);
    }
}

static double nearest_error(struct problem *problem, int bits, int group, bool asymmetric)
{
    struct quantized_matrix codes;
    assert_int_equal(quantize_matrix(problem->weights, ROWS, COLUMNS, bits, group, asymmetric, &codes, error, sizeof(error)), 0);
    quantize_dequantize(&codes, problem->changed);
    quantized_matrix_free(&codes);
    return error_of(problem);
}

static void test_quantizers_beat_nearest(void **unused)
{
    (void)unused;
    const struct {
        int bits, group;
        bool asymmetric;
    } cases[] = { { 4, 64, false }, { 4, 128, true }, { 3, 32, true }, { 2, 32, true }, { 4, 0, false } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const int bits = cases[i].bits, group = cases[i].group;
        const bool asymmetric = cases[i].asymmetric;
        struct problem *problem = make_problem(31 + i);
        const double nearest = nearest_error(problem, bits, group, asymmetric);

        struct quantized_matrix codes;
        const struct reconstruction how = { .bits = bits, .group = group, .asymmetric = asymmetric, .damp = 0.1, .block = 128 };
        memcpy(problem->changed, problem->weights, sizeof(problem->weights));
        assert_int_equal(reconstruct(&how, ROWS, COLUMNS, problem->hessian, problem->changed, NULL, &codes, error, sizeof(error)), 0);
        const double gptq = error_of(problem);
        float *again = malloc(sizeof(problem->weights));
        quantize_dequantize(&codes, again);
        assert_memory_equal(again, problem->changed, sizeof(problem->weights)); // what is stored is what was judged
        free(again);
        quantized_matrix_free(&codes);

        assert_int_equal(quantize_half_quadratic(problem->weights, NULL, ROWS, COLUMNS, bits, group, asymmetric, &codes, error, sizeof(error)), 0);
        struct quantized_matrix rounded;
        assert_int_equal(quantize_matrix(problem->weights, ROWS, COLUMNS, bits, group, asymmetric, &rounded, error, sizeof(error)), 0);
        float *near = malloc(sizeof(problem->weights));
        quantize_dequantize(&codes, problem->changed);
        quantize_dequantize(&rounded, near);
        const int size = group ? group : COLUMNS;
        for (int first = 0; first < ROWS * COLUMNS; first += size) { // never worse, whatever the group
            double fitted = 0, plain = 0;
            for (int j = first; j < first + size; j++) {
                fitted += pow((double)problem->weights[j] - (double)problem->changed[j], 2);
                plain += pow((double)problem->weights[j] - (double)near[j], 2);
            }
            if (!(fitted <= plain * (1 + 1e-6)))
                fail_msg("group at %d: HQQ leaves %g, rounding %g", first, fitted, plain);
        }
        free(near);
        quantized_matrix_free(&rounded);
        const double hqq = error_of(problem);
        quantized_matrix_free(&codes);

        const struct awq_format format = { bits, group, asymmetric };
        const struct awq_matrix matrix = { problem->weights, ROWS };
        float scales[COLUMNS], *scaled = malloc(sizeof(problem->weights)), *hessian = malloc(sizeof(problem->hessian));
        assert_int_equal(awq_search_scales(&format, &matrix, 1, COLUMNS, problem->hessian, problem->magnitudes, NULL, COLUMNS, scales), 0);
        for (int j = 0; j < ROWS * COLUMNS; j++)
            scaled[j] = problem->weights[j] * scales[j % COLUMNS];
        for (int j = 0; j < COLUMNS * COLUMNS; j++)
            hessian[j] = problem->hessian[j] / (scales[j / COLUMNS] * scales[j % COLUMNS]);
        assert_int_equal(awq_quantize(&format, scaled, ROWS, COLUMNS, hessian, true, &codes, error, sizeof(error)), 0);
        for (int j = 0; j < ROWS * COLUMNS; j++)
            problem->changed[j] = scaled[j] / scales[j % COLUMNS];
        const double awq = error_of(problem);
        quantized_matrix_free(&codes);
        free(scaled);
        free(hessian);

        if (!(gptq < nearest && hqq < nearest && awq < nearest))
            fail_msg("%d bits, group %d: nearest %g, GPTQ %g, HQQ %g, AWQ %g", bits, group, nearest, gptq, hqq, awq);
        free(problem);
    }
}

static void test_joint(void **unused)
{
    (void)unused;
    struct problem *problem = make_problem(51);
    struct quantized_matrix codes;
    const double joint = sparsegpt_error(problem, 0, 0, 0.5, &codes);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        if (!problem->mask[i])
            assert_int_equal(codes.codes[i], 0);
    quantized_matrix_free(&codes);
    // one behind the other: pruned, then rounded to nearest
    sparsegpt_error(problem, 0, 0, 0.5, NULL);
    assert_int_equal(quantize_matrix(problem->changed, ROWS, COLUMNS, 4, GROUP, false, &codes, error, sizeof(error)), 0);
    quantize_dequantize(&codes, problem->changed);
    quantized_matrix_free(&codes);
    const double after = error_of(problem);
    if (!(joint < after))
        fail_msg("joint %g, one after the other %g", joint, after);
    free(problem);
}

static void test_refused(void **unused)
{
    (void)unused;
    struct problem *problem = make_problem(61);
    struct quantized_matrix codes;
    struct reconstruction how = { .bits = 4, .group = 96, .damp = 0.1, .block = 128 };
    assert_int_equal(reconstruct(&how, ROWS, COLUMNS, problem->hessian, problem->changed, NULL, &codes, error, sizeof(error)), -EINVAL);
    assert_non_null(strstr(error, "96"));
    how.group = 64;
    problem->changed[5] = NAN;
    assert_int_equal(reconstruct(&how, ROWS, COLUMNS, problem->hessian, problem->changed, NULL, &codes, error, sizeof(error)), -EINVAL);
    problem->changed[5] = 0;
    problem->hessian[0] = NAN;
    assert_int_equal(reconstruct(&how, ROWS, COLUMNS, problem->hessian, problem->changed, NULL, &codes, error, sizeof(error)), -EDOM);
    free(problem);
}

// ---------------------------------------------------------------------------------------------------------------------
// A whole model

enum { VOCAB = 64, WINDOW = 24, WINDOWS = 12 };

static void make_model(struct model *model, int kind)
{
    struct model_config config = { .name = "tiny", .vocab = VOCAB, .d_model = 64, .layers = 3, .heads = 4, .kv_heads = 2, .head_dim = 16,
                                   .ffn = 128, .context = WINDOW, .rope_theta = 10000, .norm_eps = 1e-5f, .rope_style = ROPE_INTERLEAVED };
    if (kind == 1)
        config.architecture = ARCHITECTURE_QWEN2, config.rope_style = ROPE_HALVES, config.qkv_bias = true;
    if (kind == 2) {
        config.architecture = ARCHITECTURE_GEMMA3, config.rope_style = ROPE_HALVES, config.qk_norm = config.post_norms = true;
        config.gate = GATE_GELU, config.embedding_scale = 8, config.attention_scale = 0.2f;
        config.window = WINDOW, config.window_period = 2, config.window_rope_theta = 1000;
    }
    assert_int_equal(model_allocate(model, &config), 0);
    model_randomize(model, 3);
    random_state = 5;
    // rather larger than at the start of training, so that layers matter
    for (size_t i = 0; i < model->parameter_count; i++)
        model->storage[i] = model->storage[i] == 1 ? 1 + 0.2f * bell() : 6 * model->storage[i];
    for (int layer = 0; kind == 1 && layer < config.layers; layer++)
        for (int i = 0; i < 32; i++)
            model->layers[layer].q_bias[i] = bell(), model->layers[layer].k_bias[i] = bell(), model->layers[layer].v_bias[i] = bell();
    model_hash(model);
}

static struct calibration make_text(int32_t *tokens)
{
    random_state = 17;
    for (int i = 0; i < WINDOW * WINDOWS; i++)
        tokens[i] = (int32_t)((uniform() + 0.5f) * (VOCAB - 1));
    return (struct calibration){ .tokens = tokens, .count = WINDOW * WINDOWS, .window = WINDOW, .bos = 1, .threads = 2 };
}

static void get_layer(const struct model *model, int index, struct layer_copy *layer)
{
    const struct layer_weights *weights = &model->layers[index];
    *layer = (struct layer_copy){ .attention_norm = weights->attention_norm, .ffn_norm = weights->ffn_norm, .v_bias = weights->v_bias,
                                  .source = weights, .index = index };
    for (int which = 0; which < LAYER_MATRICES; which++)
        layer->matrix[which] = weights->matrix[which];
}

static void test_forward_is_the_reference(void **unused)
{
    (void)unused;
    for (int kind = 0; kind < 3; kind++) {
        struct model model = { 0 };
        struct layer_forward *forward;
        int32_t tokens[WINDOW * WINDOWS], ids[WINDOW];
        make_model(&model, kind);
        const struct calibration text = make_text(tokens);
        const int d = model.config.d_model;
        assert_int_equal(layer_forward_create(&forward, &model, &text, error, sizeof(error)), 0);
        for (int layer = 0; layer < model.config.layers; layer++) {
            struct layer_copy copy;
            get_layer(&model, layer, &copy);
            layer_forward_run(forward, &copy, NULL, true);
        }
        float *logits = malloc(WINDOW * VOCAB * sizeof(*logits)), normed[64];
        for (int window = 0; window < WINDOWS; window += WINDOWS - 1) {
            memcpy(ids, tokens + window * WINDOW, sizeof(ids));
            ids[0] = 1;
            assert_int_equal(model_reference_logits(&model, ids, WINDOW, logits), 0);
            for (int i = 0; i < WINDOW; i++) {
                rms_norm_row(normed, layer_forward_stream(forward) + (size_t)(window * WINDOW + i) * (size_t)d, model.final_norm, d, 1e-5f);
                for (int v = 0; v < VOCAB; v++) {
                    const float got = dot_row(normed, model.output + v * d, d), wanted = logits[i * VOCAB + v];
                    if (!(fabsf(got - wanted) <= 2e-4f * (1 + fabsf(wanted))))
                        fail_msg("kind %d: logit %d of token %d in window %d is %g, not %g", kind, v, i, window, (double)got, (double)wanted);
                }
            }
        }
        free(logits);
        layer_forward_free(forward);
        model_free(&model);
    }
}

static void parse(const char *prune, const char *format, struct variant_recipe *recipe)
{
    if (recipe_parse(prune, NULL, format, recipe, error, sizeof(error)))
        fail_msg("%s", error);
}

// Scaled norms and matrices are the same function as before, if nothing is rounded much.
static void test_scaling_keeps_the_function(void **unused)
{
    (void)unused;
    for (int kind = 0; kind < 2; kind++) {
        struct model model = { 0 };
        struct calibrated *made;
        struct variant_recipe recipe;
        int32_t tokens[WINDOW * WINDOWS];
        make_model(&model, kind);
        const struct calibration text = make_text(tokens);
        parse("none", "awq:q8g32", &recipe);
        if (calibrate(&made, &model, &recipe, &text, error, sizeof(error)))
            fail_msg("%s", error);
        struct model scaled;
        assert_int_equal(model_clone(&scaled, &model), 0);
        bool any_scaled = false;
        for (int layer = 0; layer < model.config.layers; layer++) {
            const size_t d = (size_t)model.config.d_model;
            for (int which = 0; which < LAYER_MATRICES; which++)
                quantize_dequantize(&made->matrix[layer][which].codes, scaled.layers[layer].matrix[which]);
            any_scaled = any_scaled || memcmp(made->model.layers[layer].ffn_norm, model.layers[layer].ffn_norm, d * sizeof(float)) != 0;
            memcpy(scaled.layers[layer].attention_norm, made->model.layers[layer].attention_norm, d * sizeof(float));
            memcpy(scaled.layers[layer].ffn_norm, made->model.layers[layer].ffn_norm, d * sizeof(float));
            if (kind == 1)
                memcpy(scaled.layers[layer].v_bias, made->model.layers[layer].v_bias, 32 * sizeof(float));
        }
        assert_true(any_scaled);
        float *before = malloc(2 * WINDOW * VOCAB * sizeof(*before)), *after = before + WINDOW * VOCAB;
        assert_int_equal(model_reference_logits(&model, tokens, WINDOW, before), 0);
        assert_int_equal(model_reference_logits(&scaled, tokens, WINDOW, after), 0);
        double off = 0, size = 0;
        for (int i = 0; i < WINDOW * VOCAB; i++) {
            off += ((double)after[i] - (double)before[i]) * ((double)after[i] - (double)before[i]);
            size += (double)before[i] * (double)before[i];
        }
        if (!(sqrt(off / size) < 0.05)) // of 8 bits; a scale forgotten is off by much more
            fail_msg("kind %d: logits are %g off", kind, sqrt(off / size));
        free(before);
        model_free(&scaled);
        calibrated_free(made);
        model_free(&model);
    }
}

static void assert_same_matrix(const struct compressed_matrix *a, const struct compressed_matrix *b, int rows, int columns)
{
    const size_t count = (size_t)rows * (size_t)columns;
    assert_true((a->mask == NULL) == (b->mask == NULL) && (a->weights == NULL) == (b->weights == NULL));
    assert_true((a->codes.codes == NULL) == (b->codes.codes == NULL));
    if (a->mask)
        assert_memory_equal(a->mask, b->mask, count);
    if (a->weights)
        assert_memory_equal(a->weights, b->weights, count * sizeof(float));
    if (!a->codes.codes)
        return;
    const size_t entries = (size_t)rows * (size_t)(a->codes.group ? columns / a->codes.group : 1);
    assert_memory_equal(a->codes.codes, b->codes.codes, count * sizeof(int16_t));
    assert_memory_equal(a->codes.scales, b->codes.scales, entries * sizeof(float));
    assert_true((a->codes.zero_points == NULL) == (b->codes.zero_points == NULL));
    if (a->codes.zero_points)
        assert_memory_equal(a->codes.zero_points, b->codes.zero_points, entries);
}

static void test_every_recipe_packs_and_is_kept(void **unused)
{
    (void)unused;
    const struct {
        const char *prune, *format;
        double sparsity;
    } recipes[] = { { "wanda:50%", "f32", .5 },        { "wanda:2:4", "q8g32", .5 },     { "sparsegpt:50%", "f32", .5 },
                    { "sparsegpt:2:4", "q4g32", .5 },  { "gradient:50%", "f32", .5 },    { "gradient:2:4", "bf16", .5 },
                    { "none", "gptq:q4g32", 0 },       { "none", "gptq:q3g64a", 0 },     { "none", "awq:q4g32a", 0 },
                    { "none", "hqq:q4g64a", 0 },       { "sparsegpt:50%", "gptq:q4g32a", .5 }, { "wanda:25%", "awq:q4g32", .25 },
                    { "50%", "gptq:q4g32", .5 },       { "wanda:50%", "hqq:q4g32a", .5 } };
    char folder[] = "/tmp/llmsweep-calibrate-XXXXXX", nested[64];
    assert_non_null(mkdtemp(folder));
    snprintf(nested, sizeof(nested), "%s/a/b", folder);
    struct model model = { 0 };
    int32_t tokens[WINDOW * WINDOWS];
    make_model(&model, 0);
    const struct calibration text = make_text(tokens);
    const struct layout layout = { 1, 1, 1, 1 };
    for (size_t i = 0; i < sizeof(recipes) / sizeof(*recipes); i++) {
        struct calibrated *made = NULL, *read = NULL;
        struct variant_recipe recipe;
        struct variant *variant;
        parse(recipes[i].prune, recipes[i].format, &recipe);
        if (!recipe_is_calibrated(&recipe)) {
            if (variant_create(&variant, &model, &recipe, &layout, 0, error, sizeof(error)))
                fail_msg("%s %s: %s", recipes[i].prune, recipes[i].format, error);
        } else {
            assert_int_equal(variant_create(&variant, &model, &recipe, &layout, 0, error, sizeof(error)), -EINVAL);
            assert_int_equal(calibrated_find(&read, nested, &model, &recipe, &text, error, sizeof(error)), -ENOENT);
            if (calibrate(&made, &model, &recipe, &text, error, sizeof(error)) ||
                calibrated_keep(made, nested, &text, error, sizeof(error)) ||
                calibrated_find(&read, nested, &model, &recipe, &text, error, sizeof(error)))
                fail_msg("%s %s: %s", recipes[i].prune, recipes[i].format, error);
            for (int layer = 0; layer < model.config.layers; layer++)
                for (enum layer_matrix which = 0; which < LAYER_MATRICES; which++) {
                    int rows, columns;
                    model_matrix_shape(&model.config, which, &rows, &columns);
                    assert_same_matrix(&made->matrix[layer][which], &read->matrix[layer][which], rows, columns);
                }
            calibrated_free(made);
            if (variant_create_calibrated(&variant, read, &layout, 0, error, sizeof(error)))
                fail_msg("%s %s: %s", recipes[i].prune, recipes[i].format, error);
        }
        const double sparsity = (double)variant->pruned_weights / (double)variant->block_weights;
        if (!(fabs(sparsity - recipes[i].sparsity) < 0.01))
            fail_msg("%s %s: %g of the weights are gone", recipes[i].prune, recipes[i].format, sparsity);
        variant_free(variant);
    }
    char command[128];
    snprintf(command, sizeof(command), "for f in %s/*; do truncate -s -1 $f; done", nested);
    assert_int_equal(system(command), 0);
    struct variant_recipe recipe;
    struct calibrated *read;
    parse("none", "gptq:q4g32", &recipe);
    assert_int_equal(calibrated_find(&read, nested, &model, &recipe, &text, error, sizeof(error)), -EINVAL);
    assert_non_null(strstr(error, "damaged"));
    snprintf(command, sizeof(command), "rm -r %s", folder);
    assert_int_equal(system(command), 0);
    model_free(&model);
}

// Wanda's masks as calibrate() makes them, against ranks by hand: 4×4, activations of known size.
static void test_wanda_by_hand(void **unused)
{
    (void)unused;
    // ‖x‖: 1 2 3 4. |w|·‖x‖ of row 0: 4 6 6.3 4.4; row 1: 1 1 6 2; row 2: .8 1 1.2 .4; row 3: 5 4 9 12
    const float weights[] = { -4, 3, 2.1f, 1.1f, 1, -.5f, 2, .5f, .8f, .5f, -.4f, .1f, 5, 2, -3, 3 };
    const float squares[] = { 1, 4, 9, 16 };
    const uint8_t expected[] = { 0, 1, 1, 0, 0, 0, 1, 1, 0, 1, 1, 0, 0, 0, 1, 1 };
    uint8_t mask[16];
    float importance[16];
    struct variant_recipe recipe = { 0 };
    const char *words[] = { "wanda:50%", "wanda:2:4" };
    for (int i = 0; i < 2; i++) {
        assert_int_equal(recipe_parse_prune(words[i], &recipe, error, sizeof(error)), 0);
        memset(mask, 1, sizeof(mask));
        assert_int_equal(prune_wanda(&recipe, weights, 4, 4, squares, importance, mask, error, sizeof(error)), 0);
        assert_memory_equal(mask, expected, sizeof(expected));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inverse_factor),         cmocka_unit_test(test_reconstruct_by_hand),
        cmocka_unit_test(test_wanda_by_hand),          cmocka_unit_test(test_pruning_order),
        cmocka_unit_test(test_quantizers_beat_nearest), cmocka_unit_test(test_joint),
        cmocka_unit_test(test_refused),                cmocka_unit_test(test_forward_is_the_reference),
        cmocka_unit_test(test_scaling_keeps_the_function), cmocka_unit_test(test_every_recipe_packs_and_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
