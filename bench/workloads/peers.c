// SPDX-License-Identifier: MIT
#include "bench/workloads/peers.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/model/engine.h"
#include "bench/model/gguf.h"
#include "bench/model/model.h"
#include "bench/workloads/peers_process.h"
#include "harness/clock.h"
#include "harness/records.h"
#include "harness/roof.h"

enum { MODEL_SEED = 20 };

struct peers {
    struct peers_options options;
    struct model model;
    char folder[512];
};

void peers_close(struct peers *peers) {
    if (!peers)
        return;
    if (*peers->folder)
        folder_remove(peers->folder);
    model_free(&peers->model);
    free(peers);
}

static int write_model(struct peers *peers, char *error, size_t error_size) {
    const char *under = getenv("TMPDIR");
    char folder[sizeof peers->folder], path[PATH_MAX];
    if (snprintf(folder, sizeof folder, "%s/llmsweep-peers-XXXXXX", under && *under ? under : "/tmp") >= (int)sizeof folder ||
        !mkdtemp(folder) || !realpath(folder, path)) {
        const int code = errno ? errno : ENAMETOOLONG;
        snprintf(error, error_size, "no folder for models: %s (set TMPDIR to one with some gigabytes)", strerror(code));
        return -code;
    }
    if (snprintf(peers->folder, sizeof peers->folder, "%s", path) >= (int)sizeof peers->folder) {
        snprintf(error, error_size, "%s: the path is too long", under);
        *peers->folder = '\0';
        return -ENAMETOOLONG;
    }
    snprintf(path, sizeof path, "%s/f16.gguf", peers->folder);
    return gguf_write_model(path, &peers->model, TENSOR_F16, error, error_size);
}

int peers_open(struct peers **out, const struct model_config *config, const struct peers_options *options, char *error, size_t error_size) {
    *out = NULL;
    if (options->pairs < 1 || options->pairs > PEER_PAIRS_LIMIT || options->prompt < 1 || options->gen < 1 ||
        options->prompt > config->context || options->gen >= config->context) {
        snprintf(error, error_size, "pairs are 1 to %d, prompt and gen 1 to %d", PEER_PAIRS_LIMIT, config->context - 1);
        return -EINVAL;
    }
    struct peers *peers = calloc(1, sizeof *peers);
    int result = peers ? 0 : -ENOMEM;
    if (!result) {
        peers->options = *options;
        result = model_allocate(&peers->model, config);
    }
    if (result) {
        snprintf(error, error_size, "no memory for the model");
    } else {
        model_randomize(&peers->model, MODEL_SEED);
        peers->model.shape_only = true;
        result = write_model(peers, error, error_size);
    }
    if (result) {
        peers_close(peers);
        return result;
    }
    *out = peers;
    return 0;
}

// ---------------------------------------------------------------------------------------------------------------------
// Theirs

// The model in the peer's type, made by its own quantizer the first time.
static int type_path(const struct peers *peers, const struct peer *peer, const char *type, char *path, size_t size, char *error,
                     size_t error_size) {
    char from[600], *output = NULL;
    snprintf(from, sizeof from, "%s/f16.gguf", peers->folder);
    if (!strcmp(type, "F16")) {
        snprintf(path, size, "%s", from);
        return 0;
    }
    snprintf(path, size, "%s/%s.gguf", peers->folder, type);
    if (!access(path, R_OK))
        return 0;
    if (!peer->quantize) {
        snprintf(error, error_size, "no llama-quantize beside %s, so it has no %s", peer->bench, type);
        return -ENOTSUP;
    }
    const char *const arguments[] = {peer->quantize, "--pure", from, path, type, NULL};
    const int result = peer_process_run(arguments, peers->folder, peers->options.limit, &output, error, error_size);
    free(output);
    if (result)
        unlink(path);
    return result == -ECHILD ? -ENOTSUP : result;
}

static int time_theirs(const struct peers *peers, const struct peer *peer, const char *path, int threads, struct peer_speeds *speeds,
                       char *error, size_t error_size) {
    char prompt[16], gen[16], team[16], *output = NULL;
    snprintf(prompt, sizeof prompt, "%d", peers->options.prompt);
    snprintf(gen, sizeof gen, "%d", peers->options.gen);
    snprintf(team, sizeof team, "%d", threads);
    // One repetition: the pairs are the repetitions. It warms up by itself.
    const char *const arguments[] = {peer->bench, "-m", path, "-p", prompt, "-n", gen, "-t", team, "-r", "1", "-o", "json", NULL};
    int result = peer_process_run(arguments, peers->folder, peers->options.limit, &output, error, error_size);
    if (!result)
        result = peer_speeds_parse(output, speeds, error, error_size);
    free(output);
    return result;
}

// ---------------------------------------------------------------------------------------------------------------------
// Ours

struct own {
    struct variant *variant;
    struct engine *engine;
    int32_t *tokens; // (prompt or gen + 1)
};

static void close_own(struct own *own) {
    engine_close(own->engine);
    variant_free(own->variant);
    free(own->tokens);
}

static int open_own(const struct peers *peers, const char *format, int threads, struct own *own, char *error, size_t error_size) {
    const struct peers_options *options = &peers->options;
    const int positions = options->prompt > options->gen ? options->prompt : options->gen;
    struct variant_recipe recipe;
    struct layout layout;
    char word[16];
    snprintf(word, sizeof word, "t%d", threads);
    int result = recipe_parse("none", NULL, format, &recipe, error, error_size);
    if (!result)
        result = layout_parse(word, &layout, error, error_size);
    if (!result)
        result = variant_create(&own->variant, &peers->model, &recipe, &layout, 0, error, error_size);
    const enum activation automatic = result ? ACTIVATION_F32 : activation_automatic(&recipe.format);
    const bool asked = automatic == ACTIVATION_Q8G || !activation_quantized(options->activation);
    // their cache is f16: bf16 is as wide
    const struct engine_options engine = {.activation = asked ? options->activation : automatic,
                                          .kv = {.type = KV_BF16},
                                          .max_batch = 1,
                                          .max_context = positions + 1};
    if (!result)
        result = engine_open(&own->engine, own->variant, comm_world(), &engine, error, error_size);
    own->tokens = calloc((size_t)positions + 2, sizeof *own->tokens);
    if (!result && !own->tokens) {
        snprintf(error, error_size, "out of memory");
        result = -ENOMEM;
    }
    for (int i = 0; !result && i < positions; i++)
        own->tokens[i] = (int32_t)((uint32_t)i * 2654435761u % (uint32_t)peers->model.config.vocab);
    return result;
}

// Like the peer: a prompt by itself; then `gen` steps of one token from an empty cache (whose first is a prompt of one).
static int run_own(const struct peers *peers, struct own *own, double speeds[PEER_PHASES], char *error, size_t error_size) {
    const struct peers_options *options = &peers->options;
    int32_t next;
    const uint64_t start = clock_now();
    int result = engine_prefill(own->engine, own->tokens, 1, options->prompt, &next, NULL, error, error_size);
    const uint64_t middle = clock_now();
    if (!result)
        result = engine_prefill(own->engine, own->tokens, 1, 1, &next, NULL, error, error_size);
    for (int step = 1; step < options->gen && !result; step++)
        result = engine_decode(own->engine, &next, 1, &next, NULL, error, error_size);
    const uint64_t end = clock_now();
    speeds[PEER_PREFILL] = options->prompt / clock_seconds(start, middle);
    speeds[PEER_DECODE] = options->gen / clock_seconds(middle, end);
    return result;
}

// ---------------------------------------------------------------------------------------------------------------------
// In turns

struct samples {
    double ours[PEER_PHASES][PEER_PAIRS_LIMIT], theirs[PEER_PHASES][PEER_PAIRS_LIMIT];
    double bandwidth[PEER_PAIRS_LIMIT], peak[PEER_PAIRS_LIMIT];
};

static int sample_own(const struct peers *peers, struct own *own, struct roof_bench *bench, int pair, struct samples *samples, char *error,
                      size_t error_size) {
    double speeds[PEER_PHASES];
    struct roof roof;
    int result = run_own(peers, own, speeds, error, error_size); // as the peer does, once to warm up
    if (!result)
        result = run_own(peers, own, speeds, error, error_size);
    if (!result)
        result = roof_sample(bench, &roof, error, error_size);
    if (result)
        return result;
    for (int phase = 0; phase < PEER_PHASES; phase++)
        samples->ours[phase][pair] = speeds[phase];
    samples->bandwidth[pair] = roof.hot.estimate;
    // Products of bf16 are tiles', and elsewhere f32's.
    const enum activation activation = peers->options.activation;
    const bool tiles = activation == ACTIVATION_BF16 && isa_current() >= ISA_AMX;
    samples->peak[pair] = activation_quantized(activation) ? roof.int8.estimate : tiles ? fmax(roof.bf16.estimate, roof.fp32.estimate) : roof.fp32.estimate;
    return 0;
}

static int sample_theirs(const struct peers *peers, const struct peer *peer, const char *path, int threads, int pair, struct samples *samples,
                         struct peer_result *result, char *error, size_t error_size) {
    struct peer_speeds speeds;
    const int code = time_theirs(peers, peer, path, threads, &speeds, error, error_size);
    if (code)
        return code;
    samples->theirs[PEER_PREFILL][pair] = speeds.prefill;
    samples->theirs[PEER_DECODE][pair] = speeds.decode;
    snprintf(result->build, sizeof result->build, "%s", speeds.build);
    return 0;
}

static int summarize(const struct peers *peers, const struct own *own, const char *format, const struct samples *samples,
                     struct peer_result *result) {
    const struct peers_options *options = &peers->options;
    const size_t n = (size_t)options->pairs;
    struct variant_recipe recipe;
    struct layout layout;
    struct engine_estimate estimate;
    char why[128];
    double ratios[PEER_PAIRS_LIMIT], bandwidth, peak;
    int code = recipe_parse("none", NULL, format, &recipe, why, sizeof why);
    if (!code)
        code = layout_parse("t1", &layout, why, sizeof why);
    if (!code)
        code = stats_quantile(samples->bandwidth, n, 0.5, &bandwidth);
    if (!code)
        code = stats_quantile(samples->peak, n, 0.5, &peak);
    if (!code)
        engine_estimate(&peers->model.config, &recipe, &(struct kv_format){KV_BF16, 0}, &layout, 1, options->prompt, options->gen, &estimate);
    for (int phase = 0; phase < PEER_PHASES && !code; phase++) {
        for (size_t i = 0; i < n; i++)
            ratios[i] = samples->ours[phase][i] / samples->theirs[phase][i];
        code = stats_median_ci(samples->ours[phase], n, 0.95, &result->phase[phase].ours);
        if (!code)
            code = stats_median_ci(samples->theirs[phase], n, 0.95, &result->phase[phase].theirs);
        if (!code)
            code = stats_median_ci(ratios, n, 0.95, &result->phase[phase].ratio);
        if (code)
            break;
        const bool prefill = phase == PEER_PREFILL;
        result->phase[phase].operations = prefill ? estimate.prefill_flops / options->prompt : estimate.flops_per_token;
        result->phase[phase].bytes = prefill ? (double)own->variant->weight_bytes / options->prompt : estimate.bytes_per_token;
        result->phase[phase].bandwidth = bandwidth;
        result->phase[phase].peak = peak;
        result->phase[phase].roof_fraction =
            result->phase[phase].ours.estimate /
            roof_tokens_per_second(bandwidth, peak, result->phase[phase].bytes, result->phase[phase].operations);
    }
    result->pairs = n;
    return code;
}

int peers_compare(struct peers *peers, const struct peer *peer, const char *format, const char *type, int threads, struct peer_result *result,
                  char *error, size_t error_size) {
    struct own own = {0};
    struct roof_bench *roof = NULL;
    char path[600];
    *result = (struct peer_result){0};
    struct samples *samples = calloc(1, sizeof *samples);
    int code = samples ? type_path(peers, peer, type, path, sizeof path, error, error_size) : -ENOMEM;
    if (!code)
        code = open_own(peers, format, threads, &own, error, error_size);
    if (!code) {
        const struct roof_request request = {.threads = threads,
                                             .isa = (enum roof_isa)isa_current(),
                                             .hot_bytes = own.variant->weight_bytes,
                                             .peaks = true,
                                             .only = activation_quantized(peers->options.activation) ? 1u << ROOF_PEAK_INT8 : 1u << ROOF_PEAK_BF16 | 1u << ROOF_PEAK_FP32,
                                             .seconds = 0.05};
        code = roof_open(&roof, &request, error, error_size);
    }
    for (int pair = 0; pair < peers->options.pairs && !code; pair++) {
        const bool ours_first = pair % 2 == 0;
        if (ours_first)
            code = sample_own(peers, &own, roof, pair, samples, error, error_size);
        if (!code)
            code = sample_theirs(peers, peer, path, threads, pair, samples, result, error, error_size);
        if (!ours_first && !code)
            code = sample_own(peers, &own, roof, pair, samples, error, error_size);
    }
    if (!code && (code = summarize(peers, &own, format, samples, result)))
        snprintf(error, error_size, "%s against %s: no usable figures", format, type);
    roof_close(roof);
    close_own(&own);
    free(samples);
    return code;
}
