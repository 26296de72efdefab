// SPDX-License-Identifier: MIT
// llmsweep eval: how good a model is on a text, and what compression costs it.
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/commands/commands.h"
#include "bench/commands/model_session.h"
#include "bench/compress/recipe.h"
#include "bench/model/corpus.h"
#include "bench/model/tokenizer.h"
#include "bench/quality/choice.h"
#include "bench/quality/quality.h"

enum { TASK_BATCH = 4, TASK_ITEMS = 400 };

static const char usage[] =
    "usage: llmsweep eval MODEL [--text FILE | --task TASK] [options]\n"
    "  MODEL            a GGUF file, such as bench/models/embedded.gguf\n"
    "  --text FILE      a text; without it, the glosses that the embedded model was not trained on\n"
    "  --tokens N       of the text that are used (16384); 0 = all\n"
    "  --task TASK      multiple choice instead of a text: a JSONL file of {\"context\": \"…\", \"choices\": [\"…\", …], \"answer\": 0},\n"
    "                   or wordnet (which word does this gloss explain?), wordnet-endings (how does it go on?)\n"
    "  --items N        of a wordnet task (400)\n"
    "  --baseline W     what is compared with: a format such as f32 or q8g32, or another model's file (f32, where MODEL is compressed)\n"
    SESSION_HELP
    "  --json           print JSON\n"
    "Scored as llama.cpp does: windows of 512 tokens, the second half of each. The baseline comes first and MODEL is compared with it token\n"
    "by token; +- is one standard error.\n";

struct request {
    const char *text, *task, *baseline;
    size_t tokens, items;
    bool json;
};

// What a model says of the text or the task.
struct answers {
    struct quality_baseline *record; // of the baseline only
    struct quality_result quality;
    struct choice_verdicts verdicts;
    double bits;
    size_t bytes;
};

// What is read: one of the two.
struct material {
    int32_t *tokens;
    size_t count;
    uint64_t text_hash;
    struct choice_task task;
};

// ---------------------------------------------------------------------------------------------------------------------
// Printing

static void set_real(json_t *to, const char *name, double value)
{
    json_object_set_new(to, name, isfinite(value) ? json_real(value) : json_null());
}

static void json_what(json_t *to, const struct model_session *session)
{
    char prune[64], format[64], method[64], kv[32];
    kv_format_name(&session->kv, kv, sizeof(kv));
    recipe_prune_name(&session->recipe, prune, sizeof(prune));
    recipe_format_name(&session->recipe, format, sizeof(format));
    recipe_method_name(&session->recipe, method, sizeof(method));
    json_object_set_new(to, "model", json_string(session->model.config.name));
    json_object_set_new(to, "prune", json_string(prune));
    json_object_set_new(to, "format", json_string(format));
    json_object_set_new(to, "method", json_string(method));
    json_object_set_new(to, "act", json_string(activation_name(session->activation)));
    json_object_set_new(to, "kv", json_string(kv));
}

static void json_quality(json_t *to, const struct material *material, const struct quality_result *result)
{
    char hash[20];
    snprintf(hash, sizeof(hash), "%016" PRIx64, material->text_hash);
    json_object_set_new(to, "window", json_integer(QUALITY_WINDOW));
    json_object_set_new(to, "text_hash", json_string(hash));
    json_object_set_new(to, "tokens", json_integer(result->tokens));
    const struct {
        const char *name;
        double value;
    } fields[] = { { "ppl", result->ppl },
                   { "ppl_se", result->ppl_se },
                   { "dlnppl", result->dlnppl },
                   { "dlnppl_se", result->dlnppl_se },
                   { "kld", result->kld },
                   { "kld_se", result->kld_se },
                   { "kld_median", result->kld_median },
                   { "kld_median_se", result->kld_median_se },
                   { "kld_p99", result->kld_p99 },
                   { "kld_p99_se", result->kld_p99_se },
                   { "kld_max", result->kld_max },
                   { "top1", result->top1 },
                   { "top1_se", result->top1_se },
                   { "flips", result->flips },
                   { "flips_se", result->flips_se } };
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
        set_real(to, fields[i].name, fields[i].value);
}

static void text_quality(const struct quality_result *baseline, const struct quality_result *result)
{
    if (baseline != NULL)
        printf("perplexity, baseline      %.4f +- %.4f\n", baseline->ppl, baseline->ppl_se);
    printf("perplexity                %.4f +- %.4f   (%d tokens scored)\n", result->ppl, result->ppl_se, result->tokens);
    if (baseline == NULL)
        return;
    printf("change of ln perplexity   %+.5f +- %.5f\n", result->dlnppl, result->dlnppl_se);
    printf("KL divergence             %.5f +- %.5f nats\n", result->kld, result->kld_se);
    printf("  median                  %.5f +- %.5f\n", result->kld_median, result->kld_median_se);
    printf("  99th percentile         %.4f +- %.4f\n", result->kld_p99, result->kld_p99_se);
    printf("  largest                 %.4f\n", result->kld_max);
    printf("same likeliest token      %.2f%% +- %.2f%%\n", 100 * result->top1, 100 * result->top1_se);
    printf("flips                     %.2f%% +- %.2f%%\n", 100 * result->flips, 100 * result->flips_se);
}

// Accuracy by one of the two scores, and against the baseline where there is one.
static void print_accuracy(json_t *to, const char *name, const bool *before, const bool *now, size_t count)
{
    double accuracy, error;
    char field[40];
    choice_accuracy(now, count, &accuracy, &error);
    if (to != NULL) {
        snprintf(field, sizeof(field), "accuracy_%s", name);
        set_real(to, field, accuracy);
        snprintf(field, sizeof(field), "accuracy_%s_se", name);
        set_real(to, field, error);
    } else
        printf("accuracy, %-15s %.2f%% +- %.2f%%\n", name, 100 * accuracy, 100 * error);
    if (before == NULL)
        return;
    struct choice_comparison comparison;
    choice_accuracy(before, count, &accuracy, &error);
    choice_compare(before, now, count, &comparison);
    if (to != NULL) {
        snprintf(field, sizeof(field), "baseline_%s", name);
        set_real(to, field, accuracy);
        snprintf(field, sizeof(field), "lost_%s", name);
        json_object_set_new(to, field, json_integer((json_int_t)comparison.lost));
        snprintf(field, sizeof(field), "won_%s", name);
        json_object_set_new(to, field, json_integer((json_int_t)comparison.won));
        snprintf(field, sizeof(field), "mcnemar_p_%s", name);
        set_real(to, field, comparison.p);
    } else
        printf("  baseline                %.2f%% +- %.2f%%; %zu lost, %zu won, McNemar p = %.3g\n", 100 * accuracy, 100 * error, comparison.lost,
               comparison.won, comparison.p);
}

static void print_answers(const struct model_session *session, const struct request *request, const struct material *material,
                          const struct answers *baseline, const struct answers *now)
{
    json_t *root = request->json ? json_object() : NULL;
    if (root != NULL) {
        json_what(root, session);
        json_object_set_new(root, "weight_bytes", json_integer((json_int_t)now->bytes));
        set_real(root, "bits_per_weight", now->bits);
    }
    if (material->tokens != NULL) {
        if (root != NULL)
            json_quality(root, material, &now->quality);
        else
            text_quality(baseline != NULL ? &baseline->quality : NULL, &now->quality);
    } else {
        if (root != NULL) {
            json_object_set_new(root, "task", json_string(material->task.name));
            json_object_set_new(root, "items", json_integer((json_int_t)material->task.count));
        } else
            printf("%s, %zu items\n", material->task.name, material->task.count);
        print_accuracy(root, "normalised", baseline != NULL ? baseline->verdicts.normalised : NULL, now->verdicts.normalised, material->task.count);
        print_accuracy(root, "raw", baseline != NULL ? baseline->verdicts.raw : NULL, now->verdicts.raw, material->task.count);
    }
    if (root != NULL) {
        json_dumpf(root, stdout, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
        putchar('\n');
    } else
        printf("weights                   %.3f MB, %.2f bits each\n", (double)now->bytes / 1e6, now->bits);
    json_decref(root);
}

// ---------------------------------------------------------------------------------------------------------------------

static int read_material(const struct model_session *session, const struct request *request, struct material *material)
{
    char error[512] = "";
    int status;
    *material = (struct material){ 0 };
    if (session->model.tokenizer == NULL)
        return session_fail("eval", -EINVAL, "this model has no tokenizer; use a GGUF file that holds one");
    if (request->task == NULL)
        status = corpus_heldout(&session->model, request->text, request->tokens > 0 ? request->tokens : SIZE_MAX, &material->tokens,
                                &material->count, &material->text_hash, error, sizeof(error));
    else if (strncmp(request->task, "wordnet", 7) == 0 && strchr(request->task, '.') == NULL)
        status = choice_task_wordnet(&material->task, request->task, request->items, error, sizeof(error));
    else
        status = choice_task_read(&material->task, request->task, error, sizeof(error));
    return status == 0 ? 0 : session_fail("eval", status, error);
}

static void free_material(struct material *material)
{
    free(material->tokens);
    choice_task_free(&material->task);
}

static int ask(struct model_session *session, const struct variant_recipe *recipe, const struct material *material, const struct answers *baseline,
               bool record, struct answers *answers)
{
    char error[512] = "";
    const int batch = material->tokens != NULL ? quality_windows_at_once(&session->layout) : TASK_BATCH * session->layout.data;
    const int positions = quality_window(&session->model.config), bos = tokenizer_bos(session->model.tokenizer);
    int status, code = session_open(session, "eval", recipe, batch, positions);
    if (code != 0)
        return code;
    if (material->tokens != NULL)
        status = quality_measure(session->engine, material->tokens, material->count, bos, &(struct quality_settings){ .window = positions },
                                 baseline != NULL ? baseline->record : NULL, record ? &answers->record : NULL, &answers->quality, error,
                                 sizeof(error));
    else
        status = choice_measure(session->engine, session->model.tokenizer, bos, positions, batch, &material->task, &answers->verdicts, error,
                                sizeof(error));
    if (status != 0)
        return session_fail("eval", status, error);
    answers->bits = engine_bits_per_weight(session->engine);
    answers->bytes = engine_memory_total(session->engine).weight_bytes;
    return 0;
}

// Another model, whose text is the same tokens.
static int open_other(struct model_session *other, const char *path, const struct request *request, const struct material *material)
{
    char error[512] = "";
    const int status = model_load(&other->model, path, error, sizeof(error));
    if (status != 0)
        return session_fail("eval", status, error);
    if (material->tokens == NULL)
        return 0;
    struct material same;
    const int code = read_material(other, request, &same);
    if (code != 0)
        return code;
    const bool equal = same.count == material->count && memcmp(same.tokens, material->tokens, same.count * sizeof(*same.tokens)) == 0;
    free_material(&same);
    return equal ? 0 : session_fail("eval", -EINVAL, "the baseline cuts the text into other tokens, so that nothing can be compared token by token");
}

static int ask_baseline(const struct model_session *session, const struct request *request, const struct material *material,
                        struct answers *answers)
{
    struct model_session original = *session;
    struct variant_recipe plain;
    char error[512] = "";
    const char *word = request->baseline != NULL ? request->baseline : "f32";
    const bool other = strchr(word, '/') != NULL || strstr(word, ".gguf") != NULL;
    int code = 0;
    original.variant = NULL;
    original.engine = NULL;
    original.provider = PROVIDER_OWN;
    original.kv = (struct kv_format){ 0 };
    if (recipe_parse("none", NULL, other ? "f32" : word, &plain, error, sizeof(error)) != 0)
        return session_fail("eval", -EINVAL, error);
    if (plain.format.type != WEIGHT_QUANTIZED || plain.format.bits > 8)
        original.activation = ACTIVATION_F32;
    if (other) {
        original.model = (struct model){ 0 };
        code = open_other(&original, word, request, material);
    }
    if (code == 0)
        code = ask(&original, &plain, material, NULL, true, answers);
    engine_close(original.engine);
    variant_free(original.variant);
    if (other)
        model_free(&original.model);
    return code;
}

static int run(struct model_session *session, const struct request *request)
{
    struct material material;
    struct answers before = { 0 }, now = { 0 };
    int code = read_material(session, request, &material);
    const bool compressed = session->recipe.method != PRUNE_NONE || session->recipe.format.type != WEIGHT_F32 ||
                            session->activation != ACTIVATION_F32 || session->kv.type != KV_F32;
    const bool compared = compressed || request->baseline != NULL;
    session->calibration.scored_text = request->text;
    session->calibration.scored_tokens = request->tokens;
    if (code == 0 && compared)
        code = ask_baseline(session, request, &material, &before);
    if (code == 0)
        code = ask(session, &session->recipe, &material, compared ? &before : NULL, false, &now);
    if (code == 0 && comm_rank(comm_world()) == 0)
        print_answers(session, request, &material, compared ? &before : NULL, &now);
    quality_baseline_free(before.record);
    choice_verdicts_free(&before.verdicts);
    choice_verdicts_free(&now.verdicts);
    free_material(&material);
    return code;
}

// A whole number from 0 on; -1 where it is none.
static long count_of(const char *text)
{
    char *end;
    errno = 0;
    const long count = strtol(text, &end, 10);
    return end == text || *end != '\0' || errno != 0 || count < 0 ? -1 : count;
}

int command_eval(int argc, char **argv)
{
    static const struct option table[] = { SESSION_OPTIONS,
                                           { "text", required_argument, NULL, 't' },
                                           { "tokens", required_argument, NULL, 'n' },
                                           { "task", required_argument, NULL, 'k' },
                                           { "items", required_argument, NULL, 'i' },
                                           { "baseline", required_argument, NULL, 'b' },
                                           { "json", no_argument, NULL, 'j' },
                                           { "help", no_argument, NULL, 'h' },
                                           { 0 } };
    struct session_options options = { 0 };
    struct request request = { 0 };
    long tokens = 16384, items = TASK_ITEMS;
    const char *bad = NULL;
    optind = 1;
    for (int letter; (letter = getopt_long(argc, argv, "h", table, NULL)) != -1;) {
        if (session_option(&options, letter, optarg))
            continue;
        switch (letter) {
        case 't': request.text = optarg; break;
        case 'n': tokens = count_of(optarg); break;
        case 'k': request.task = optarg; break;
        case 'i': items = count_of(optarg); break;
        case 'b': request.baseline = optarg; break;
        case 'j': request.json = true; break;
        case 'h': fputs(usage, stdout); return 0;
        default: fputs(usage, stderr); return 2;
        }
    }
    if (tokens < 0)
        bad = "--tokens wants a count, 0 for all";
    else if (items < 1)
        bad = "--items wants a count from 1 on";
    else if (request.task != NULL && request.text != NULL)
        bad = "takes a text or a task, not both";
    else if (optind + 1 != argc)
        bad = "names one model";
    if (bad != NULL) {
        fprintf(stderr, "llmsweep: eval: %s\n%s", bad, usage);
        return 2;
    }
    request.tokens = (size_t)tokens;
    request.items = (size_t)items;
    options.model_path = argv[optind];
    struct model_session session;
    int code = session_load(&session, "eval", &options, &argc, &argv);
    if (code != 0)
        return code;
    code = run(&session, &request);
    session_close(&session);
    return code;
}
