// SPDX-License-Identifier: MIT
#include "bench/workloads/inference.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/model/corpus.h"
#include "bench/model/engine.h"
#include "bench/model/shape.h"
#include "bench/quality/quality.h"
#include "bench/workloads/workloads.h"
#include "harness/roof.h"
#include "harness/stats.h"

static const struct setting settings[] = {
    {"text", SETTING_TEXT, "", 0, 0, NULL, false, false, "a text to measure quality on; empty: WordNet's held-out glosses"},
    {"quality_tokens", SETTING_INTEGER, "8192", 0, 1e9, NULL, true, false,
     "tokens of it to use; 0: no quality is measured"},
    {"calibration_text", SETTING_TEXT, "", 0, 0, NULL, false, false,
     "a text for wanda, sparsegpt, gradient, gptq and awq; empty: text behind the scored tokens, or glosses that are not scored"},
    {"calibration_tokens", SETTING_INTEGER, "8192", 512, 1e9, NULL, false, false, "tokens of it to use"},
};

// As results/README.md has them; new ones go to the end.
static const char *const columns[] = {
    "cell", "status", "reason", "model", "method", "prune_ratio", "sparsity", "format", "bits_per_weight", "act",
    "kv", "batch", "prompt", "gen", "layout", "ranks", "threads", "provider", "isa", "device", "prefill_tps",
    "prefill_tps_lo", "prefill_tps_hi", "decode_tps", "decode_tps_lo", "decode_tps_hi", "ttft_ms_p50",
    "ttft_ms_p90", "ttft_ms_p99", "itl_ms_p50", "itl_ms_p90", "itl_ms_p99", "samples", "warmup", "weight_bytes",
    "kv_bytes", "peak_rss_bytes", "ppl", "ppl_se", "dlnppl", "dlnppl_se", "kld", "kld_se", "kld_p99", "top1",
    "flips", "bytes_per_token", "flops_per_token", "roof_tps", "roof_fraction", "steal_pct", "ctx_switches",
    "freq_mhz", "load", "status_noise", "prune", "stop", "rounds", "verified", "tokens_hash", "quality_tokens",
    "quality_layout", "cores", "bytes_sent", "comm_share", "peak_rank_rss_bytes", "roof_gbs", "roof_note", "kernel",
    "note",
    "weights_hash",
    "text_hash",
    "power_watts",
    "prefix",
    "huge_page_bytes",
    "buffer_bytes",
    "program_bytes",
};

// ---------------------------------------------------------------------------------------------------------------------
// The plan: dimensions and hashes of the models that take part.

struct known_model {
    char path[WORKLOAD_VALUE];
    struct model_config config;
    uint64_t weights_hash, text_hash;
    bool has_quality;
};

struct inference_plan {
    const struct machine_limits *limits;
    const char *text; // NULL: the glosses
    const char *calibration_text;
    size_t quality_tokens;
    double calibration_tokens;
    struct known_model *models;
    size_t count;
};

static int plan_open(const struct settings *given, const struct machine_limits *limits, void **plan, char *error, size_t error_size) {
    struct inference_plan *made = calloc(1, sizeof *made);
    if (!made) {
        snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    made->limits = limits;
    made->text = *settings_text(given, "text") ? settings_text(given, "text") : NULL;
    made->quality_tokens = (size_t)settings_number(given, "quality_tokens");
    made->calibration_text = settings_text(given, "calibration_text");
    made->calibration_tokens = settings_number(given, "calibration_tokens");
    *plan = made;
    return 0;
}

static void plan_close(void *plan) {
    struct inference_plan *inference = plan;
    free(inference->models);
    free(inference);
}

static bool has_suffix(const char *text, const char *suffix) {
    size_t length = strlen(text), end = strlen(suffix);
    return length >= end && !strcmp(text + length - end, suffix);
}

static uint64_t hash_config(const struct model_config *config) {
    char text[400];
    int length = snprintf(text, sizeof text, "%d %d %d %d %d %d %d %d %.9g %.9g %d %d", config->vocab, config->d_model, config->layers,
                          config->heads, config->kv_heads, config->head_dim, config->ffn, config->context, (double)config->rope_theta,
                          (double)config->norm_eps, config->rope_style, config->tied_embeddings);
    uint64_t hash = 0xcbf29ce484222325;
    for (int i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3;
    return hash;
}

// What a process that may load whole models and texts tells one that must stay small.
struct inspection {
    int result;
    struct known_model model;
    char error[512];
};

static void inspect_here(const struct inference_plan *plan, struct inspection *found) {
    struct model model = {0};
    found->result = model_open(&model, found->model.path, found->error, sizeof found->error);
    if (found->result)
        return;
    found->model.config = model.config;
    found->model.weights_hash = model.weights_hash;
    found->model.has_quality = plan->quality_tokens && model.tokenizer && !model.shape_only;
    if (found->model.has_quality) {
        int32_t *ids = NULL;
        size_t count;
        found->result = corpus_heldout(&model, plan->text, TOKENS_MIN, &ids, &count, &found->model.text_hash, found->error,
                                       sizeof found->error);
        free(ids);
        size_t window = (size_t)quality_window(&model.config);
        if (!found->result && count < window) {
            found->result = -EINVAL;
            snprintf(found->error, sizeof found->error, "%s: %zu tokens are too short a text to measure quality on; it needs %zu",
                     plan->text ? plan->text : "the held-out glosses", count, window);
        }
    }
    model_free(&model);
}

// In a child: the driver's memory stays small, and a hostile file costs the child only.
static void inspect(const struct inference_plan *plan, struct inspection *found) {
    int ends[2];
    size_t got = 0;
    if (pipe(ends)) {
        found->result = -errno;
        snprintf(found->error, sizeof found->error, "%s: %s", found->model.path, strerror(errno));
        return;
    }
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        inspect_here(plan, found);
        ssize_t wrote = write(ends[1], found, sizeof *found);
        _exit(wrote == (ssize_t)sizeof *found ? 0 : 1);
    }
    close(ends[1]);
    for (ssize_t part = 1; child > 0 && part > 0 && got < sizeof *found; got += part > 0 ? (size_t)part : 0)
        part = read(ends[0], (char *)found + got, sizeof *found - got);
    close(ends[0]);
    int status = 0;
    if (child > 0)
        waitpid(child, &status, 0);
    if (got == sizeof *found)
        return;
    found->result = -EIO;
    snprintf(found->error, sizeof found->error, "%s: the process that looked into it %s %d", found->model.path,
             WIFSIGNALED(status) ? "was killed by signal" : "ended with code", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static const struct known_model *find_model(const struct inference_plan *plan, const char *path) {
    for (size_t i = 0; i < plan->count; i++)
        if (!strcmp(plan->models[i].path, path))
            return &plan->models[i];
    return NULL;
}

static int identity(void *state, const struct cell *cell, struct record *identity_record, char *error, size_t error_size) {
    struct inference_plan *plan = state;
    const char *path = cell->value[AXIS_MODEL];
    const struct known_model *model = find_model(plan, path);
    if (!model) {
        struct inspection found = {0};
        snprintf(found.model.path, sizeof found.model.path, "%s", path);
        if (has_suffix(path, ".ini")) {
            found.result = shape_read(&found.model.config, path, found.error, sizeof found.error);
            found.model.weights_hash = hash_config(&found.model.config);
        } else
            inspect(plan, &found);
        if (found.result) {
            snprintf(error, error_size, "%s", found.error);
            return found.result;
        }
        struct known_model *grown = realloc(plan->models, (plan->count + 1) * sizeof *grown);
        if (!grown) {
            snprintf(error, error_size, "out of memory");
            return -ENOMEM;
        }
        plan->models = grown;
        grown[plan->count] = found.model;
        model = &grown[plan->count++];
    }
    record_set(identity_record, "weights_hash", "%016" PRIx64, model->weights_hash);
    if (model->has_quality)
        record_set(identity_record, "text_hash", "%016" PRIx64, model->text_hash);
    // Only where it matters: a cell that reads no such text is the same cell whatever it says.
    struct variant_recipe recipe;
    char reason[256];
    if (!recipe_parse(cell->value[AXIS_PRUNE], NULL, cell->value[AXIS_FORMAT], &recipe, reason, sizeof reason) &&
        recipe_is_calibrated(&recipe))
        record_set(identity_record, "calibration", "%.0f %s", plan->calibration_tokens, plan->calibration_text);
    return 0;
}

// Whether prompts of these lengths with this prefix can be a batch, and would be another one than without.
static bool batch_refused(const struct cell *cell, const struct inference_cell *read, char *reason, size_t reason_size) {
    int shortest = read->prompt;
    for (int i = 0; i < read->length_count; i++)
        shortest = read->lengths[i] < shortest ? read->lengths[i] : shortest;
    if (read->batch % read->length_count)
        snprintf(reason, reason_size, "batch %d is no multiple of the %d lengths of prompt %s", read->batch, read->length_count,
                 cell->value[AXIS_PROMPT]);
    else if (read->prefix >= shortest)
        snprintf(reason, reason_size, "prefix %d leaves nothing of a prompt of %d tokens", read->prefix, shortest);
    else if (read->prefix && read->batch == read->layout.data)
        snprintf(reason, reason_size, "prefix %d: with one sequence%s there is none to share it with", read->prefix,
                 read->layout.data > 1 ? " a replica" : "");
    else
        return false;
    return true;
}

static enum cell_status legal(void *state, const struct cell *cell, char *reason, size_t reason_size) {
    const struct inference_plan *plan = state;
    const struct known_model *model = find_model(plan, cell->value[AXIS_MODEL]);
    struct inference_cell read;
    char why[300] = "";
    if (inference_cell_read(cell, &read, reason, reason_size))
        return CELL_SKIPPED;
    if (layout_check(&read.layout, &model->config, &read.recipe.format, read.batch, reason, reason_size))
        return CELL_SKIPPED;
    if (read.prompt + read.gen > model->config.context) {
        snprintf(reason, reason_size, "prompt %d and gen %d are more than the model's context of %d", read.prompt, read.gen,
                 model->config.context);
        return CELL_SKIPPED;
    }
    if (batch_refused(cell, &read, reason, reason_size))
        return CELL_SKIPPED;
    if (read.isa > isa_detect()) {
        snprintf(reason, reason_size, "this CPU has no %s (it goes up to %s)", isa_name(read.isa), isa_name(isa_detect()));
        return CELL_SKIPPED;
    }
    if (read.kv.window >= read.prompt + read.gen) {
        snprintf(reason, reason_size, "kv %s keeps the newest %d tokens in f32, and prompt %d and gen %d are not more: nothing would be %s",
                 cell->value[AXIS_KV], read.kv.window, read.prompt, read.gen, kv_type_name(read.kv.type));
        return CELL_SKIPPED;
    }
    enum isa before = isa_current();
    isa_limit(read.isa);
    const struct kernel *kernel = kernel_linear(&read.recipe.format, read.activation, read.provider, why, sizeof why);
    isa_limit(before);
    if (!kernel) {
        snprintf(reason, reason_size, "%s", why);
        return CELL_UNSUPPORTED;
    }
    return CELL_OK;
}

// Rates that a core of today reaches or beats, for estimates only. Memory at 10 GB/s; a weight packed in 20 ns, or drawn at random in 15.
// Arithmetic of many tokens at once by what the CPU has; of few, unpacking the weights takes its share: a quarter of it remains for one.
static double core_flops(const struct inference_cell *read, double tokens) {
    static const double f32[ISA_COUNT] = {[ISA_SCALAR] = 2e9, [ISA_AVX2] = 40e9, [ISA_AVX512] = 90e9, [ISA_AVX512VNNI] = 90e9,
                                          [ISA_AVX512BF16] = 90e9, [ISA_AMX] = 90e9};
    static const double q8[ISA_COUNT] = {[ISA_SCALAR] = 2e9, [ISA_AVX2] = 60e9, [ISA_AVX512] = 90e9, [ISA_AVX512VNNI] = 150e9,
                                         [ISA_AVX512BF16] = 150e9, [ISA_AMX] = 250e9};
    return (read->activation == ACTIVATION_F32 ? f32 : q8)[read->isa] * tokens / (tokens + 3);
}

static void estimate(void *state, const struct cell *cell, struct estimate *result) {
    const struct inference_plan *plan = state;
    const struct known_model *model = find_model(plan, cell->value[AXIS_MODEL]);
    struct inference_cell read;
    struct engine_estimate engine;
    char reason[256];
    *result = (struct estimate){0};
    if (inference_cell_read(cell, &read, reason, sizeof reason))
        return;
    engine_estimate(&model->config, &read.recipe, &read.kv, &read.layout, read.batch, read.prompt, read.gen, &engine);
    result->bytes = (uint64_t)engine.peak_bytes;
    engine_estimate(&model->config, &read.recipe, &read.kv, &read.layout, read.batch, (int)lround(read.prompt_mean), read.gen, &engine);
    double computed = 1 - read.prefix / read.prompt_mean * (1 - (double)read.layout.data / read.batch);
    double cores = fmin(plan->limits->cores, layout_ranks(&read.layout) * read.layout.threads);
    double local = (double)read.batch / read.layout.data;
    double step = fmax(engine.bytes_per_token * read.batch / (10e9 * cores),
                       engine.flops_per_token * read.batch / (core_flops(&read, local) * cores));
    double weights = (double)model->config.layers * (4.0 * model->config.d_model * model->config.d_model +
                                                     3.0 * model->config.d_model * model->config.ffn) +
                     (double)model->config.vocab * model->config.d_model;
    result->sample_seconds = engine.prefill_flops * computed / (core_flops(&read, local * read.prompt_mean) * cores) + step * (read.gen - 1);
    // 4 FLOP a weight and token for two passes, as much for the hessians
    double calibration = recipe_is_calibrated(&read.recipe) ? weights * 8 * plan->calibration_tokens / (50e9 * cores) : 0;
    result->prepare_seconds = weights * 20e-9 + calibration + (has_suffix(cell->value[AXIS_MODEL], ".ini") ? weights * 15e-9 : 0);
    result->quality_seconds = model->has_quality ? (double)plan->quality_tokens * engine.flops_per_token / (core_flops(&read, QUALITY_WINDOW) * cores) : 0;
    if (has_suffix(cell->value[AXIS_MODEL], ".ini")) // random weights are nowhere but in each rank's memory
        result->bytes += (uint64_t)layout_ranks(&read.layout) * 4 * model_parameter_count(&model->config);
    result->variant_bytes = (uint64_t)engine.weight_bytes;
}

static void describe(void *state, const struct cell *cell, struct record *row) {
    const struct known_model *model = find_model(state, cell->value[AXIS_MODEL]);
    struct inference_cell read;
    char reason[256], word[80];
    record_set(row, "model", "%s", model->config.name);
    bool known = !inference_cell_read(cell, &read, reason, sizeof reason);
    if (known) {
        recipe_method_name(&read.recipe, word, sizeof word);
        record_set(row, "method", "%s", word);
        record_real(row, "prune_ratio", read.recipe.ratio);
        recipe_format_name(&read.recipe, word, sizeof word);
    }
    record_set(row, "format", "%s", known ? word : cell->value[AXIS_FORMAT]);
    record_set(row, "act", "%s", cell->value[AXIS_ACT]);
    record_set(row, "kv", "%s", cell->value[AXIS_KV]);
    record_set(row, "batch", "%s", cell->value[AXIS_BATCH]);
    record_set(row, "prompt", "%s", cell->value[AXIS_PROMPT]);
    record_set(row, "prefix", "%s", cell->value[AXIS_PREFIX]);
    record_set(row, "gen", "%s", cell->value[AXIS_GEN]);
    record_set(row, "layout", "%s", cell->value[AXIS_LAYOUT]);
    if (known) {
        record_set(row, "ranks", "%d", layout_ranks(&read.layout));
        record_set(row, "threads", "%d", read.layout.threads);
    }
    record_set(row, "provider", "%s", cell->value[AXIS_PROVIDER]);
    record_set(row, "isa", "%s", known ? isa_name(read.isa) : cell->value[AXIS_ISA]);
    record_set(row, "device", "%s", cell->value[AXIS_DEVICE]);
    record_set(row, "prune", "%s", cell->value[AXIS_PRUNE]);
    record_set(row, "weights_hash", "%016" PRIx64, model->weights_hash);
    if (model->has_quality)
        record_set(row, "text_hash", "%016" PRIx64, model->text_hash);
}

static void layout_of(const struct cell *cell, const char **word, int *ranks, int *threads) {
    struct layout layout = {1, 1, 1, 1};
    char reason[256];
    *word = cell->value[AXIS_LAYOUT];
    layout_parse(*word, &layout, reason, sizeof reason);
    *ranks = layout_ranks(&layout);
    *threads = layout.threads;
}

static void variant_key(const struct cell *cell, char *key, size_t size) {
    snprintf(key, size, "%s|%s|%s", cell->value[AXIS_MODEL], cell->value[AXIS_PRUNE], cell->value[AXIS_FORMAT]);
}

static void quality_key(void *state, const struct cell *cell, char *key, size_t size) {
    const struct known_model *model = find_model(state, cell->value[AXIS_MODEL]);
    *key = '\0';
    if (model->has_quality)
        snprintf(key, size, "%s|%s|%s|%s|%s|%s|%s", cell->value[AXIS_MODEL], cell->value[AXIS_PRUNE], cell->value[AXIS_FORMAT],
                 cell->value[AXIS_ACT], cell->value[AXIS_KV], cell->value[AXIS_PROVIDER], cell->value[AXIS_ISA]);
}

// Everything but the layout, which changes no token but where two logits are all but equal.
static void output_key(const struct cell *cell, char *key, size_t size) {
    size_t at = 0;
    for (int i = 0; i < INFERENCE_AXES && at < size; i++)
        if (i != AXIS_LAYOUT)
            at += (size_t)snprintf(key + at, size - at, "%s|", cell->value[i]);
}

// ---------------------------------------------------------------------------------------------------------------------
// Columns from samples

static double rate_columns(const struct sample_set *samples, int phase, const char *name, struct record *row) {
    double *rates = malloc((samples->count + 1) * sizeof *rates);
    struct stats_interval interval;
    char column[40];
    double half_width = INFINITY;
    for (size_t i = 0; rates && i < samples->count; i++)
        rates[i] = (double)samples->phase[phase].work[i] * 1e9 / (double)samples->phase[phase].ns[i];
    if (rates && !stats_median_ci(rates, samples->count, 0.95, &interval)) {
        record_real(row, name, interval.estimate);
        snprintf(column, sizeof column, "%s_lo", name);
        record_real(row, column, interval.lo);
        snprintf(column, sizeof column, "%s_hi", name);
        record_real(row, column, interval.hi);
        if (interval.coverage >= 0.95 - 1e-9)
            half_width = (interval.hi - interval.lo) / 2 / interval.estimate;
    }
    free(rates);
    return half_width;
}

static void percentile_columns(const uint64_t *ns, size_t count, const char *name, struct record *row) {
    static const int percents[] = {50, 90, 99};
    double *milliseconds = malloc((count + 1) * sizeof *milliseconds), value;
    char column[40];
    for (size_t i = 0; milliseconds && i < count; i++)
        milliseconds[i] = (double)ns[i] / 1e6;
    for (int i = 0; i < 3 && milliseconds; i++) {
        snprintf(column, sizeof column, "%s_p%d", name, percents[i]);
        if (!stats_quantile(milliseconds, count, percents[i] / 100.0, &value))
            record_real(row, column, value);
    }
    free(milliseconds);
}

static void roof_columns(const struct inference_plan *plan, const struct inference_cell *read, const struct measured_roof *roof,
                         struct record *row) {
    double bytes = record_number(row, "bytes_per_token"), operations = record_number(row, "flops_per_token");
    double bandwidth = isfinite(roof->hot) ? roof->hot : roof->stream;
    // Products of bf16 are tiles', and elsewhere f32's.
    bool tiles = read->activation == ACTIVATION_BF16 && read->isa >= ISA_AMX;
    double peak = activation_quantized(read->activation) ? roof->int8 : tiles ? fmax(roof->bf16, roof->fp32) : roof->fp32;
    double limit = roof_tokens_per_second(bandwidth, peak, bytes, operations), reached = record_number(row, "decode_tps") / limit;
    if (!isfinite(limit))
        return;
    double working_set = record_number(row, "working_set");
    bool cached = plan->limits->cache_bytes && working_set <= (double)plan->limits->cache_bytes;
    record_real(row, "roof_tps", limit);
    record_real(row, "roof_fraction", reached);
    record_real(row, "roof_gbs", bandwidth / 1e9);
    record_set(row, "roof_note", "%s%s%s", cached ? "cache:" : "", bandwidth / bytes <= peak / operations ? "bandwidth" : "compute",
               reached > 1.02 ? " over" : "");
}

static void summarise(void *state, const struct cell *cell, const struct sample_set *samples, const struct measured_roof *roof,
                      struct record *row, double *half_width) {
    struct inference_cell read;
    char reason[256];
    double prefill = rate_columns(samples, 0, "prefill_tps", row), decode = rate_columns(samples, 1, "decode_tps", row);
    percentile_columns(samples->phase[0].ns, samples->count, "ttft_ms", row);
    percentile_columns(samples->step_ns, samples->steps, "itl_ms", row);
    if (!inference_cell_read(cell, &read, reason, sizeof reason))
        roof_columns(state, &read, roof, row);
    *half_width = fmax(prefill, decode);
}

const struct workload inference_workload = {
    .name = "inference",
    .help = "prefill and decode of a language model",
    .axes = inference_axes,
    .axis_count = INFERENCE_AXES,
    .later_axes = 1u << AXIS_PREFIX,
    .settings = settings,
    .setting_count = sizeof settings / sizeof *settings,
    .columns = columns,
    .column_count = sizeof columns / sizeof *columns,
    .phases = {"prefill", "decode"},
    .phase_count = 2,
    .plan_open = plan_open,
    .plan_close = plan_close,
    .settle = inference_settle,
    .identity = identity,
    .legal = legal,
    .estimate = estimate,
    .describe = describe,
    .layout = layout_of,
    .variant_key = variant_key,
    .quality_key = quality_key,
    .output_key = output_key,
    .output_column = "tokens_hash",
    .summarise = summarise,
    .open = inference_open,
    .close = inference_close,
    .leave = inference_leave,
    .prepare = inference_prepare,
    .sample = inference_sample,
    .verify = inference_verify,
    .facts = inference_facts,
    .quality = inference_quality,
    .release = inference_release,
};
