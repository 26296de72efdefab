// SPDX-License-Identifier: MIT
// llmsweep eval: how good a model is on a text, and what compression costs it.
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/commands/commands.h"
#include "bench/commands/model_session.h"
#include "bench/compress/recipe.h"
#include "bench/model/corpus.h"
#include "bench/model/tokenizer.h"
#include "bench/quality/quality.h"

enum { WINDOW = 512, BATCH = 4 };

static const char usage[] =
    "usage: llmsweep eval MODEL [--text FILE] [options]\n"
    "  MODEL            a GGUF file, such as bench/models/embedded.gguf\n"
    "  --text FILE      a text; without it, the glosses that the embedded model was not trained on\n"
    "  --tokens N       of the text that are used (16384); 0 = all\n" SESSION_HELP
    "  --json           print JSON\n"
    "Scored as llama.cpp does: windows of 512 tokens, the second half of each. With --format or --prune, the model as it is comes first and\n"
    "the compressed one is compared with it token by token; +- is one standard error.\n";

static void json_number(const char *name, double value)
{
    if (isfinite(value))
        printf(", \"%s\": %.9g", name, value);
    else
        printf(", \"%s\": null", name);
}

static void print_json(const struct model_session *session, const struct quality_result *result, uint64_t text_hash, double bits, size_t bytes)
{
    char prune[64], format[64];
    recipe_prune_name(&session->recipe, prune, sizeof(prune));
    weight_format_name(&session->recipe.format, format, sizeof(format));
    printf("{\"model\": \"%s\", \"prune\": \"%s\", \"format\": \"%s\", \"act\": \"%s\", \"window\": %d, \"text_hash\": \"%016" PRIx64
           "\", \"tokens\": %d, \"weight_bytes\": %zu",
           session->model.config.name, prune, format, activation_name(session->activation), WINDOW, text_hash, result->tokens, bytes);
    const struct {
        const char *name;
        double value;
    } fields[] = { { "bits_per_weight", bits },        { "ppl", result->ppl },         { "ppl_se", result->ppl_se },
                   { "dlnppl", result->dlnppl },       { "dlnppl_se", result->dlnppl_se }, { "kld", result->kld },
                   { "kld_se", result->kld_se },       { "kld_p99", result->kld_p99 }, { "top1", result->top1 },
                   { "top1_se", result->top1_se },     { "flips", result->flips },     { "flips_se", result->flips_se } };
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
        json_number(fields[i].name, fields[i].value);
    puts("}");
}

static void print_text(const struct quality_result *baseline, const struct quality_result *result, double bits, size_t bytes)
{
    if (baseline != NULL)
        printf("perplexity, as it is      %.4f +- %.4f\n", baseline->ppl, baseline->ppl_se);
    printf("perplexity                %.4f +- %.4f   (%d tokens scored)\n", result->ppl, result->ppl_se, result->tokens);
    if (baseline != NULL) {
        printf("change of ln perplexity   %+.5f +- %.5f\n", result->dlnppl, result->dlnppl_se);
        printf("KL divergence             %.5f +- %.5f nats (99th percentile %.4f)\n", result->kld, result->kld_se, result->kld_p99);
        printf("same likeliest token      %.2f%% +- %.2f%%\n", 100 * result->top1, 100 * result->top1_se);
        printf("flips                     %.2f%% +- %.2f%%\n", 100 * result->flips, 100 * result->flips_se);
    }
    printf("weights                   %.3f MB, %.2f bits each\n", (double)bytes / 1e6, bits);
}

static int run(struct model_session *session, const char *text, size_t max_tokens, bool json)
{
    const char *command = "eval";
    const struct model *model = &session->model;
    char error[512] = "";
    if (model->tokenizer == NULL)
        return session_fail(command, -EINVAL, "this model has no tokenizer; use a GGUF file that holds one");
    int32_t *tokens = NULL;
    size_t count = 0;
    uint64_t text_hash = 0;
    int status = corpus_heldout(model, text, max_tokens > 0 ? max_tokens : SIZE_MAX, &tokens, &count, &text_hash, error, sizeof(error));
    if (status != 0)
        return session_fail(command, status, error);
    const struct quality_settings settings = { .window = WINDOW };
    const int batch = BATCH * session->layout.data, bos = tokenizer_bos(model->tokenizer);
    const bool compressed = session->recipe.method != PRUNE_NONE || session->recipe.format.type != WEIGHT_F32 ||
                            session->activation != ACTIVATION_F32;
    struct quality_baseline *baseline = NULL;
    struct quality_result result;
    int code = 0;
    if (compressed) {
        struct model_session original = *session;
        original.activation = ACTIVATION_F32;
        original.provider = PROVIDER_OWN;
        struct variant_recipe plain;
        recipe_parse("none", NULL, "f32", &plain, error, sizeof(error));
        code = session_open(&original, command, &plain, batch, WINDOW);
        if (code == 0) {
            struct quality_result unused;
            status = quality_measure(original.engine, tokens, count, bos, &settings, NULL, &baseline, &unused, error, sizeof(error));
            code = status == 0 ? 0 : session_fail(command, status, error);
        }
        engine_close(original.engine);
        variant_free(original.variant);
    }
    if (code == 0)
        code = session_open(session, command, &session->recipe, batch, WINDOW);
    if (code == 0) {
        status = quality_measure(session->engine, tokens, count, bos, &settings, baseline, NULL, &result, error, sizeof(error));
        code = status == 0 ? 0 : session_fail(command, status, error);
    }
    if (code == 0) {
        const double bits = engine_bits_per_weight(session->engine);
        const size_t bytes = engine_memory_total(session->engine).weight_bytes;
        if (comm_rank(comm_world()) == 0) {
            if (json)
                print_json(session, &result, text_hash, bits, bytes);
            else
                print_text(baseline != NULL ? quality_baseline_result(baseline) : NULL, &result, bits, bytes);
        }
    }
    quality_baseline_free(baseline);
    free(tokens);
    return code;
}

int command_eval(int argc, char **argv)
{
    static const struct option table[] = { SESSION_OPTIONS,
                                           { "text", required_argument, NULL, 't' },
                                           { "tokens", required_argument, NULL, 'n' },
                                           { "json", no_argument, NULL, 'j' },
                                           { "help", no_argument, NULL, 'h' },
                                           { 0 } };
    struct session_options options = { 0 };
    const char *text = NULL, *bad = NULL;
    long tokens = 16384;
    bool json = false;
    optind = 1;
    for (int letter; (letter = getopt_long(argc, argv, "h", table, NULL)) != -1;) {
        if (session_option(&options, letter, optarg))
            continue;
        switch (letter) {
        case 't': text = optarg; break;
        case 'n': {
            char *end;
            errno = 0;
            tokens = strtol(optarg, &end, 10);
            if (end == optarg || *end != '\0' || errno != 0 || tokens < 0)
                bad = "--tokens wants a count, 0 for all";
            break;
        }
        case 'j': json = true; break;
        case 'h': fputs(usage, stdout); return 0;
        default: fputs(usage, stderr); return 2;
        }
    }
    if (bad == NULL && optind + 1 != argc)
        bad = "names one model";
    if (bad != NULL) {
        fprintf(stderr, "llmsweep: eval: %s\n%s", bad, usage);
        return 2;
    }
    options.model_path = argv[optind];
    struct model_session session;
    int code = session_load(&session, "eval", &options, &argc, &argv);
    if (code != 0)
        return code;
    code = run(&session, text, (size_t)tokens, json);
    session_close(&session);
    return code;
}
