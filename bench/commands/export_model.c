// SPDX-License-Identifier: MIT
// llmsweep export-model: a pruned or quantized model as a GGUF file for other programs.
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/commands/commands.h"
#include "bench/compress/calibrated_variant.h"
#include "bench/model/gguf.h"
#include "bench/model/gguf_file.h"

static const char usage[] =
    "usage: llmsweep export-model MODEL -o FILE.gguf [options]\n"
    "  MODEL            a GGUF file, or a folder with config.json and safetensors\n"
    "  -o FILE          the file to write\n"
    "  --format W       weight format that the weights are brought to first: f32 bf16 q8g32 q4g32 q3g64 … (f32)\n"
    "                   or gptq:q4g32, awq:q4g128a, hqq:q4g64a\n"
    "  --prune W        none, 50%, 2:4, b16x4:50% … (none); wanda:50%, sparsegpt:2:4, gradient:50%\n"
    "  --prune-scope W  tensor or global (tensor)\n"
    "  --type T         how the file stores matrices: f32, f16, q8_0 or q4_0 (f16; with q4_0, embedding and output matrix are q8_0)\n"
    "  --calibration-text F  what gptq, awq, wanda, sparsegpt and gradient read (glosses that are not scored)\n"
    "  --threads N      that calibrate (1)\n"
    "Vocabulary, chat template and all else that a GGUF file says of its model is kept. The weights are those that the kernels compute\n"
    "with: f32 keeps them to the bit, q8_0 keeps q8g32's and q4_0 keeps q4g32's; other pairs round once more.\n";

struct options {
    const char *model, *output, *format, *prune, *scope, *calibration_text;
    int threads;
    enum tensor_type type;
};

static int parse_type(const char *word, enum tensor_type *type)
{
    static const struct {
        const char *word;
        enum tensor_type type;
    } known[] = {{"f32", TENSOR_F32}, {"f16", TENSOR_F16}, {"q8_0", TENSOR_Q8_0}, {"q4_0", TENSOR_Q4_0}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!strcmp(word, known[i].word)) {
            *type = known[i].type;
            return 0;
        }
    }
    return -EINVAL;
}

static bool same_file(const char *a, const char *b)
{
    struct stat first, second;
    return !stat(a, &first) && !stat(b, &second) && first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

static bool is_gguf(const char *path)
{
    const size_t length = strlen(path);
    return length > 5 && !strcmp(path + length - 5, ".gguf");
}

static int export_model(const struct options *options, char *error, size_t error_size)
{
    struct model model = {0};
    struct gguf_file source = {0};
    struct variant *variant = NULL;
    struct variant_recipe recipe;
    struct layout layout;
    char word[16];
    snprintf(word, sizeof word, "t%d", options->threads);
    int status = recipe_parse(options->prune ? options->prune : "none", options->scope, options->format ? options->format : "f32", &recipe,
                              error, error_size);
    if (!status)
        status = layout_parse(word, &layout, error, error_size);
    const bool changed = !status && (recipe.method != PRUNE_NONE || recipe.format.type != WEIGHT_F32);
    if (!status)
        status = model_open(&model, options->model, error, error_size);
    if (!status && is_gguf(options->model))
        status = gguf_open(&source, options->model, error, error_size);
    if (!status && changed)
        status = layout_check(&layout, &model.config, &recipe.format, 1, error, error_size);
    const struct calibration_source calibration = {.text = options->calibration_text};
    if (!status && changed)
        status = variant_obtain(&variant, &model, &recipe, &layout, &calibration, comm_world(), NULL, NULL, error, error_size);
    // calibration may have scaled vectors, too: those are in the variant's own model
    const struct gguf_contents contents = {.model = variant ? variant->model : &model, .variant = variant,
                                           .source = source.map ? &source : NULL, .type = options->type};
    if (!status)
        status = gguf_write(options->output, &contents, error, error_size);
    variant_free(variant);
    gguf_close(&source);
    model_free(&model);
    return status;
}

int command_export_model(int argc, char **argv)
{
    static const struct option table[] = {{"output", required_argument, NULL, 'o'},      {"format", required_argument, NULL, 'F'},
                                          {"prune", required_argument, NULL, 'P'},       {"prune-scope", required_argument, NULL, 'S'},
                                          {"type", required_argument, NULL, 'T'},        {"help", no_argument, NULL, 'h'},
                                          {"calibration-text", required_argument, NULL, 'C'}, {"threads", required_argument, NULL, 'N'},
                                          {0}};
    struct options options = {.type = TENSOR_F16, .threads = 1};
    const char *bad = NULL;
    optind = 1;
    for (int letter; (letter = getopt_long(argc, argv, "o:h", table, NULL)) != -1;) {
        switch (letter) {
        case 'o': options.output = optarg; break;
        case 'F': options.format = optarg; break;
        case 'P': options.prune = optarg; break;
        case 'S': options.scope = optarg; break;
        case 'C': options.calibration_text = optarg; break;
        case 'N':
            if (!command_number(optarg, 1, 100000, &options.threads))
                bad = "--threads wants a number, 1 or more";
            break;
        case 'T':
            if (parse_type(optarg, &options.type))
                bad = "--type is f32, f16, q8_0 or q4_0";
            break;
        case 'h': fputs(usage, stdout); return 0;
        default: fputs(usage, stderr); return 2;
        }
    }
    if (!bad && optind + 1 != argc)
        bad = "names one model";
    if (!bad && !options.output)
        bad = "needs -o FILE.gguf";
    if (bad) {
        fprintf(stderr, "llmsweep: export-model: %s\n%s", bad, usage);
        return 2;
    }
    options.model = argv[optind];
    if (same_file(options.model, options.output)) {
        fprintf(stderr, "llmsweep: export-model: %s is the model itself: give another file to write\n", options.output);
        return 2;
    }
    char error[512] = "";
    const int status = export_model(&options, error, sizeof error);
    if (status) {
        fprintf(stderr, "llmsweep: export-model: %s\n", error);
        return status == -ENOMEM || status == -EIO || status == -ENOSPC ? 3 : 2;
    }
    printf("%s\n", options.output);
    return 0;
}
