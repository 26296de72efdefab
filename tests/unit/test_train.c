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
#include <omp.h>

#include "bench/model/gguf_names.h"
#include "bench/model/model.h"
#include "bench/model/train_loop.h"
#include "bench/model/train_pass.h"
#include "kernels/blas.h"
#include "kernels/loss/cross_entropy.h"
#include "kernels/optimizer/adamw.h"

static char folder[] = "/tmp/llmsweep-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static uint32_t random_state = 2024;

// Uniform in −1…1.
static double next_random(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (double)(random_state >> 8) * 0x1p-23 - 1;
}

static void loss_is_minus_log_probability(void **state)
{
    (void)state;
    enum { VOCAB = 67 };
    float logits[VOCAB], gradient[VOCAB];
    for (int round = 0; round < 50; round++) {
        const double spread = round < 40 ? 8 : 80; // the last rows are nearly one-hot
        const int target = round % VOCAB;
        double sum = 0, max = -1e9;
        for (int i = 0; i < VOCAB; i++) {
            logits[i] = gradient[i] = (float)(spread * next_random());
            max = fmax(max, (double)logits[i]);
        }
        for (int i = 0; i < VOCAB; i++)
            sum += exp((double)logits[i] - max);
        const double expected = log(sum) + max - (double)logits[target];
        assert_true(fabs(cross_entropy_row(logits, VOCAB, target) - expected) <= 1e-6 * (1 + expected));
        assert_true(fabs(cross_entropy_gradient_row(gradient, VOCAB, target, 0.5f) - expected) <=
                    1e-6 * (1 + expected));
        for (int i = 0; i < VOCAB; i++) {
            const double exact = 0.5 * (exp((double)logits[i] - max) / sum - (i == target));
            assert_true(fabs((double)gradient[i] - exact) <= 1e-6);
        }
    }
}

// Against the update written out in double, over several steps, with clipping and decay.
static void adamw_follows_its_definition(void **state)
{
    (void)state;
    enum { COUNT = 37 };
    float w[COUNT], g[COUNT], m[COUNT] = {0}, v[COUNT] = {0};
    double dw[COUNT], dm[COUNT] = {0}, dv[COUNT] = {0};
    struct adamw adamw = {.learning_rate = 0.01f,
                          .beta1 = 0.9f,
                          .beta2 = 0.95f,
                          .epsilon = 1e-8f,
                          .weight_decay = 0.1f,
                          .gradient_scale = 0.25f};
    const double rate = (double)adamw.learning_rate, b1 = (double)adamw.beta1, b2 = (double)adamw.beta2;
    for (int i = 0; i < COUNT; i++)
        dw[i] = (double)(w[i] = (float)next_random());
    for (adamw.step = 1; adamw.step <= 5; adamw.step++) {
        for (int i = 0; i < COUNT; i++) {
            g[i] = (float)next_random();
            const double gradient = 0.25 * (double)g[i];
            dm[i] = b1 * dm[i] + (1 - b1) * gradient;
            dv[i] = b2 * dv[i] + (1 - b2) * gradient * gradient;
            const double first = dm[i] / (1 - pow(b1, (double)adamw.step)),
                         second = dv[i] / (1 - pow(b2, (double)adamw.step));
            dw[i] -= rate * ((double)adamw.weight_decay * dw[i] + first / (sqrt(second) + 1e-8));
        }
        adamw_step(&adamw, w, g, m, v, COUNT);
    }
    for (int i = 0; i < COUNT; i++)
        assert_true(fabs((double)w[i] - dw[i]) <= 1e-6);
    assert_true(fabs(sum_of_squares(g, COUNT) - sum_of_squares(g, 20) - sum_of_squares(g + 20, 17)) <= 1e-5);
}

enum { SEQUENCES = 2, LENGTH = 70, ROWS = SEQUENCES * LENGTH, VOCAB = 37 }; // attention works in blocks of 64 queries

struct setup {
    struct model model, gradient;
    struct train_pass *pass;
    int32_t ids[ROWS], targets[ROWS];
};

static void set_up(struct setup *s, bool tied, enum rope_style style)
{
    const struct model_config config = {.name = "tiny",
                                        .vocab = VOCAB,
                                        .d_model = 16,
                                        .layers = 2,
                                        .heads = 4,
                                        .kv_heads = 2,
                                        .head_dim = 6,
                                        .ffn = 20,
                                        .context = 128,
                                        .rope_theta = 100,
                                        .norm_eps = 1e-5f,
                                        .rope_style = style,
                                        .tied_embeddings = tied};
    assert_int_equal(model_allocate(&s->model, &config), 0);
    assert_int_equal(model_allocate(&s->gradient, &config), 0);
    assert_int_equal(train_pass_create(&s->pass, &config, SEQUENCES, LENGTH), 0);
    model_randomize(&s->model, 1);
    for (int i = 0; i < gguf_weight_count(&config); i++) {
        const struct gguf_weight w = gguf_weight_at(&config, i);
        for (int k = 0; k < w.in * (w.out ? w.out : 1); k++) // larger weights, so that every path matters; norms off 1
            s->model.storage[w.offset + (size_t)k] *= w.out ? (i ? 12 : 20) : (float)(1 + 0.3 * next_random());
    }
    for (int i = 0; i < ROWS; i++) {
        s->ids[i] = (i * 7 + i / 5) % VOCAB;
        s->targets[i] = (i * 11 + 3) % VOCAB;
    }
}

static void tear_down(struct setup *s)
{
    train_pass_free(s->pass);
    model_free(&s->gradient);
    model_free(&s->model);
}

static double loss_at(struct setup *s, float *weights, const float *kept, const float *direction, int count,
                      double step)
{
    for (int i = 0; i < count; i++)
        weights[i] = (float)((double)kept[i] + step * (double)direction[i]);
    train_forward(s->pass, &s->model, s->ids, 0.1f, 5);
    return train_loss(s->pass, s->targets);
}

// The loss's slope along a direction by central differences, the h² term removed (Richardson).
static double slope(struct setup *s, float *weights, const float *direction, int count)
{
    float *kept = malloc((size_t)count * sizeof *kept);
    memcpy(kept, weights, (size_t)count * sizeof *kept);
    const double h = 4e-3;
    const double wide =
        (loss_at(s, weights, kept, direction, count, 2 * h) - loss_at(s, weights, kept, direction, count, -2 * h)) /
        (4 * h);
    const double narrow =
        (loss_at(s, weights, kept, direction, count, h) - loss_at(s, weights, kept, direction, count, -h)) / (2 * h);
    memcpy(weights, kept, (size_t)count * sizeof *kept);
    free(kept);
    return (4 * narrow - wide) / 3;
}

// Every tensor, along its gradient and along random directions mixed in: a part that is left out of the gradient is
// at right angles to it and shows only along the latter. Dropout is on: its mask follows from the seed.
static void gradients_are_the_losss_slopes(void **state)
{
    (void)state;
    for (int variant = 0; variant < 4; variant++) {
        struct setup s;
        set_up(&s, variant & 1, variant & 2 ? ROPE_HALVES : ROPE_INTERLEAVED);
        const struct model_config *config = &s.model.config;
        train_forward(s.pass, &s.model, s.ids, 0.1f, 5);
        const double loss = train_loss(s.pass, s.targets);
        assert_true(fabs(train_loss_gradient(s.pass, s.targets) - loss) <= 1e-6 * loss);
        train_backward(s.pass, &s.model, s.ids, &s.gradient);
        for (int i = 0; i < gguf_weight_count(config); i++) {
            const struct gguf_weight w = gguf_weight_at(config, i);
            const int count = w.in * (w.out ? w.out : 1);
            const float *gradient = s.gradient.storage + w.offset;
            const double length = sqrt(sum_of_squares(gradient, (size_t)count));
            assert_true(length > 1e-3);
            for (int trial = 0; trial < 3; trial++) {
                float *direction = malloc((size_t)count * sizeof *direction);
                double expected = 0;
                for (int k = 0; k < count; k++) {
                    direction[k] =
                        (float)((double)gradient[k] / length + (trial ? next_random() * sqrt(3.0 / count) : 0));
                    expected += (double)direction[k] * (double)gradient[k];
                }
                const double measured = slope(&s, s.model.storage + w.offset, direction, count);
                if (!(fabs(measured - expected) <= 2e-3 * length))
                    fail_msg("%s, variant %d: slope %.6f, gradient says %.6f (length %.6f)", w.name, variant, measured,
                             expected, length);
                free(direction);
            }
        }
        tear_down(&s);
    }
}

static void set_threads(int threads)
{
    omp_set_num_threads(threads);
    blas_set_threads(threads);
}

// A second backward pass adds to the first; three threads find what one does.
static void gradients_add_up_whatever_the_threads(void **state)
{
    (void)state;
    struct setup one, three;
    set_up(&one, true, ROPE_INTERLEAVED);
    set_threads(3);
    set_up(&three, true, ROPE_INTERLEAVED);
    memcpy(three.model.storage, one.model.storage, one.model.parameter_count * sizeof(float));
    for (int pass = 0; pass < 2; pass++) {
        train_forward(three.pass, &three.model, three.ids, 0.1f, 5);
        train_loss_gradient(three.pass, three.targets);
        train_backward(three.pass, &three.model, three.ids, &three.gradient);
    }
    set_threads(1);
    train_forward(one.pass, &one.model, one.ids, 0.1f, 5);
    train_loss_gradient(one.pass, one.targets);
    train_backward(one.pass, &one.model, one.ids, &one.gradient);
    double difference = 0;
    for (size_t i = 0; i < one.model.parameter_count; i++)
        difference += pow((double)three.gradient.storage[i] - 2 * (double)one.gradient.storage[i], 2);
    assert_true(sqrt(difference / sum_of_squares(three.gradient.storage, one.model.parameter_count)) <= 1e-5);
    tear_down(&one);
    tear_down(&three);
}

static void dropout_silences_its_share(void **state)
{
    (void)state;
    struct setup s;
    set_up(&s, true, ROPE_INTERLEAVED);
    enum { LOGITS = ROWS * VOCAB };
    float *plain = malloc(LOGITS * sizeof *plain);
    memcpy(plain, train_forward(s.pass, &s.model, s.ids, 0, 5), LOGITS * sizeof *plain);
    assert_memory_equal(plain, train_forward(s.pass, &s.model, s.ids, 0, 6),
                        LOGITS * sizeof *plain); // rate 0: the seed is nothing
    float *first = malloc(LOGITS * sizeof *first);
    memcpy(first, train_forward(s.pass, &s.model, s.ids, 0.5f, 5), LOGITS * sizeof *first);
    assert_memory_equal(first, train_forward(s.pass, &s.model, s.ids, 0.5f, 5), LOGITS * sizeof *first);
    assert_memory_not_equal(first, plain, LOGITS * sizeof *first);
    assert_memory_not_equal(first, train_forward(s.pass, &s.model, s.ids, 0.5f, 6), LOGITS * sizeof *first);
    free(plain);
    free(first);
    tear_down(&s);
}

static void the_schedule_warms_up_and_falls(void **state)
{
    (void)state;
    const struct train_spec spec = {.learning_rate = 1e-3, .final_learning_rate = 1e-4, .warmup = 10};
    assert_true(fabs(train_learning_rate(&spec, 0, 110) - 1e-4) < 1e-12);
    assert_true(fabs(train_learning_rate(&spec, 9, 110) - 1e-3) < 1e-12);
    assert_true(fabs(train_learning_rate(&spec, 10, 110) - 1e-3) < 1e-12);
    assert_true(fabs(train_learning_rate(&spec, 60, 110) - 5.5e-4) < 1e-12); // half-way down the cosine
    assert_true(fabs(train_learning_rate(&spec, 110, 110) - 1e-4) < 1e-12);
}

// A small world: paragraphs of a few sentence forms. Enough to learn from within seconds.
static void write_text(const char *path)
{
    static const char *const who[] = {"a bird", "the old horse", "a small boat", "the river", "a child", "the wind"};
    static const char *const does[] = {"crosses", "sees", "follows", "leaves", "finds"};
    static const char *const what[] = {"the hill", "a bridge", "the quiet town", "an open field"};
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 1500; i++)
        fprintf(file, "%s %s %s; \"%s %s %s\"\n\n", who[i % 6], does[i / 2 % 5], what[i / 3 % 4], who[i / 5 % 6],
                does[i / 7 % 5], what[i / 11 % 4]);
    fclose(file);
}

static struct train_spec small_spec(const char *name)
{
    struct train_spec spec = {.model = {.name = "small",
                                        .vocab = 320,
                                        .d_model = 32,
                                        .layers = 2,
                                        .heads = 4,
                                        .kv_heads = 2,
                                        .head_dim = 8,
                                        .ffn = 64,
                                        .context = 64,
                                        .rope_theta = 10000,
                                        .norm_eps = 1e-5f,
                                        .tied_embeddings = true},
                              .format = "f32",
                              .sequences = 4,
                              .length = 32,
                              .epochs = 0.4,
                              .learning_rate = 5e-3,
                              .final_learning_rate = 1e-4,
                              .beta1 = 0.9,
                              .beta2 = 0.95,
                              .epsilon = 1e-8,
                              .weight_decay = 0.1,
                              .clip = 1,
                              .dropout = 0.1,
                              .warmup = 10,
                              .evaluate_every = 20,
                              .evaluate_windows = 8,
                              .seed = 3};
    snprintf(spec.text, sizeof spec.text, "%s/text", folder);
    snprintf(spec.output, sizeof spec.output, "%s/%s.gguf", folder, name);
    snprintf(spec.curve, sizeof spec.curve, "%s/%s.csv", folder, name);
    snprintf(spec.checkpoint, sizeof spec.checkpoint, "%s/%s.checkpoint", folder, name);
    write_text(spec.text);
    return spec;
}

struct watcher {
    long stop_at; // 0: never
    double first_perplexity, last_perplexity;
};

static int watch(void *context, const struct train_report *r)
{
    struct watcher *w = context;
    if (isfinite(r->heldout_perplexity)) {
        if (w->first_perplexity == 0)
            w->first_perplexity = r->heldout_perplexity;
        w->last_perplexity = r->heldout_perplexity;
    }
    return w->stop_at && r->step >= w->stop_at;
}

static char *read_whole(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *bytes = (size_t)ftell(file);
    rewind(file);
    char *text = calloc(*bytes + 1, 1);
    assert_int_equal(fread(text, 1, *bytes, file), *bytes);
    fclose(file);
    return text;
}

static void training_learns_and_resumes(void **state)
{
    (void)state;
    char error[400] = "";
    struct watcher whole = {0}, first_half = {.stop_at = 40}, second_half = {0};
    const struct train_spec straight = small_spec("straight"), broken = small_spec("broken");
    if (train_run(&straight, false, watch, &whole, error, sizeof error))
        fail_msg("%s", error);
    assert_true(whole.last_perplexity < 0.5 * whole.first_perplexity);
    assert_true(whole.last_perplexity > 1);
    assert_int_not_equal(access(straight.checkpoint, F_OK), 0); // finished: nothing to resume

    assert_int_equal(train_run(&broken, false, watch, &first_half, error, sizeof error), -EINTR);
    assert_non_null(strstr(error, "--resume"));
    struct train_spec changed = broken;
    changed.learning_rate *= 2;
    assert_true(train_run(&changed, true, watch, &second_half, error, sizeof error) < 0);
    assert_non_null(strstr(error, "another spec"));
    if (train_run(&broken, true, watch, &second_half, error, sizeof error))
        fail_msg("%s", error);
    assert_true(fabs(second_half.last_perplexity / whole.last_perplexity - 1) <= 1e-4);

    // Interrupted or not: the same weights (up to the order of sums) and the same rows of the curve.
    struct model a, b;
    assert_int_equal(model_load(&a, straight.output, error, sizeof error), 0);
    assert_int_equal(model_load(&b, broken.output, error, sizeof error), 0);
    for (size_t i = 0; i < a.parameter_count; i++)
        assert_true(fabs((double)a.storage[i] - (double)b.storage[i]) <= 1e-3);
    model_free(&a);
    model_free(&b);
    size_t bytes;
    char *curve = read_whole(broken.curve, &bytes), *reference = read_whole(straight.curve, &bytes);
    assert_memory_equal(
        curve, "step,epoch,tokens,learning_rate,train_loss,gradient_norm,heldout_loss,heldout_perplexity,seconds\n20,",
        99);
    int rows = 0, reference_rows = 0;
    for (const char *p = curve; (p = strchr(p, '\n')); p++)
        rows++;
    for (const char *p = reference; (p = strchr(p, '\n')); p++)
        reference_rows++;
    assert_int_equal(rows, reference_rows);
    double last = 0;
    for (const char *p = strchr(curve, '\n') + 1; *p;
         p = strchr(p, '\n') + 1) { // time goes on where it was interrupted
        double seconds = 0;
        assert_int_equal(sscanf(p, "%*d,%*f,%*d,%*f,%*f,%*f,%*f,%*f,%lf", &seconds), 1);
        assert_true(seconds > last - 0.05); // the file keeps tenths
        last = seconds;
    }
    free(curve);
    free(reference);
    assert_true(train_run(&broken, true, watch, &second_half, error, sizeof error) < 0);
    assert_non_null(strstr(error, "no checkpoint"));
}

static void damaged_checkpoints_are_refused(void **state)
{
    (void)state;
    char error[400] = "";
    struct watcher watcher = {.stop_at = 20};
    const struct train_spec spec = small_spec("damaged");
    assert_int_equal(train_run(&spec, false, watch, &watcher, error, sizeof error), -EINTR);
    size_t bytes;
    char *whole = read_whole(spec.checkpoint, &bytes);
    FILE *file = fopen(spec.checkpoint, "wb");
    fwrite(whole, 1, bytes / 2, file);
    fclose(file);
    assert_true(train_run(&spec, true, watch, &watcher, error, sizeof error) < 0);
    assert_non_null(strstr(error, "truncated"));
    file = fopen(spec.checkpoint, "wb");
    fputs("nonsense", file);
    fclose(file);
    assert_true(train_run(&spec, true, watch, &watcher, error, sizeof error) < 0);
    assert_non_null(strstr(error, "not a training checkpoint"));
    free(whole);
}

static void specs_are_checked(void **state)
{
    (void)state;
    static struct train_spec spec;
    char error[400] = "", path[64];
    if (train_spec_read(&spec, "bench/specs/train.ini", error, sizeof error))
        fail_msg("%s", error);
    assert_string_equal(spec.model.name, "llmsweep-gloss-6m");
    assert_string_equal(spec.output, "bench/models/embedded.gguf");
    snprintf(path, sizeof path, "%s/spec.ini", folder);
    static const char model[] =
        "[model]\nvocab = 320\nd_model = 32\nlayers = 2\nheads = 4\nkv_heads = 2\nhead_dim = 8\nffn = 64\n"
        "context = 64\n[training]\n";
    const struct {
        const char *line, *complaint;
    } cases[] = {{"sequences = 0", "sequences = 0"},
                 {"length = 65", "length = 65"},
                 {"length = many", ":11: 'many'"},
                 {"lenght = 32", ":11: unknown key 'lenght'"},
                 {"dropout = 1", "dropout"},
                 {"epochs = nan", "'nan'"},
                 {"length = 64\n[output]\nformat = q4", "unknown format 'q4'"},
                 {"[text]\ntxt = x", ":12: unknown key 'txt' in [text]"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FILE *file = fopen(path, "w");
        fprintf(file, "%s%s\n", model, cases[i].line);
        fclose(file);
        assert_int_equal(train_spec_read(&spec, path, error, sizeof error), -EINVAL);
        if (!strstr(error, cases[i].complaint) || !strstr(error, path) || strchr(error, '\n'))
            fail_msg("expected '%s', got '%s'", cases[i].complaint, error);
    }
    struct train_spec text = small_spec("short");
    FILE *file = fopen(text.text, "w");
    fputs("too short\n", file);
    fclose(file);
    assert_int_equal(train_run(&text, false, NULL, NULL, error, sizeof error), -EINVAL);
    assert_non_null(strstr(error, "too short"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_is_minus_log_probability),
        cmocka_unit_test(adamw_follows_its_definition),
        cmocka_unit_test(gradients_are_the_losss_slopes),
        cmocka_unit_test(gradients_add_up_whatever_the_threads),
        cmocka_unit_test(dropout_silences_its_share),
        cmocka_unit_test(the_schedule_warms_up_and_falls),
        cmocka_unit_test(training_learns_and_resumes),
        cmocka_unit_test(damaged_checkpoints_are_refused),
        cmocka_unit_test(specs_are_checked),
    };
    set_threads(1); // on these sizes more threads only wait for each other
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
