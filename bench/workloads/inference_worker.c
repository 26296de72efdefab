// SPDX-License-Identifier: MIT
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compress/calibrated_variant.h"
#include "bench/model/corpus.h"
#include "bench/model/engine.h"
#include "bench/model/tokenizer.h"
#include "bench/quality/quality.h"
#include "bench/workloads/inference.h"
#include "harness/clock.h"
#include "harness/comm.h"

// A model with the text that it is judged on.
struct loaded_model {
    char path[WORKLOAD_VALUE];
    struct model model;
    int32_t *ids; // (id_count) of the text; NULL without a tokenizer
    size_t id_count;
    struct quality_baseline *baseline; // of the unpruned f32 cell; NULL until it is needed
};

// What prepare builds, kept for later visits.
struct kept_variant {
    char key[WORKLOAD_VALUE + 128];
    struct variant *variant;
    const struct loaded_model *model;
    uint64_t used; // when, by the state's count of uses
};

// Timed tokens that were found right.
struct verified_cell {
    char name[17];
    uint64_t hash;
    bool exact;
};

struct inference_state {
    const struct settings *settings;
    const struct worker_context *context;
    struct layout layout;
    struct loaded_model **models;
    size_t model_count;
    struct kept_variant *kept;
    size_t kept_count;
    uint64_t uses;
    struct verified_cell *verified;
    size_t verified_count;
    // The prepared cell
    char name[17];
    struct inference_cell cell;
    struct loaded_model *model;
    struct variant *variant;
    struct engine *engine;
    int32_t *prompts;   // (batch, prompt): of a shorter sequence, its length of them
    int *lengths;       // (batch)
    uint64_t prompt_tokens; // of all sequences
    int32_t *generated; // (gen, batch): the last run's
    int32_t *first;     // (gen, batch): the first run's since prepare
    uint64_t *step_ns;  // (gen − 1)
    size_t runs, differing;
    double sent_bytes, comm_seconds, run_seconds; // over the timed runs since prepare, this rank
};

int inference_open(const struct settings *settings, const char *layout, const struct worker_context *context, void **state, char *error,
                   size_t error_size) {
    struct inference_state *made = calloc(1, sizeof *made);
    if (!made) {
        snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    made->settings = settings;
    made->context = context;
    *state = made;
    return layout_parse(layout, &made->layout, error, error_size);
}

static void drop_cell(struct inference_state *state) {
    engine_close(state->engine);
    free(state->prompts);
    free(state->lengths);
    free(state->generated);
    free(state->first);
    free(state->step_ns);
    state->engine = NULL;
    state->prompts = state->generated = state->first = NULL;
    state->lengths = NULL;
    state->step_ns = NULL;
    *state->name = '\0';
}

void inference_release(void *opaque) {
    struct inference_state *state = opaque;
    drop_cell(state);
    for (size_t i = 0; i < state->kept_count; i++)
        variant_free(state->kept[i].variant);
    state->kept_count = 0;
    state->variant = NULL;
}

static void free_model(struct loaded_model *model) {
    quality_baseline_free(model->baseline);
    model_free(&model->model);
    free(model->ids);
    free(model);
}

void inference_close(void *opaque) {
    struct inference_state *state = opaque;
    inference_release(state);
    for (size_t i = 0; i < state->model_count; i++)
        free_model(state->models[i]);
    free(state->models);
    free(state->kept);
    free(state->verified);
    free(state);
}

// ---------------------------------------------------------------------------------------------------------------------
// Models and variants

static size_t model_bytes(const struct loaded_model *model) {
    return (model->model.stored ? 0 : model->model.parameter_count * sizeof(float)) + (model->baseline ? quality_baseline_bytes(model->baseline) : 0);
}

static size_t kept_bytes(const struct inference_state *state, const struct variant *but) {
    size_t bytes = 0;
    for (size_t i = 0; i < state->kept_count; i++)
        bytes += state->kept[i].variant == but ? 0 : state->kept[i].variant->weight_bytes;
    for (size_t i = 0; i < state->model_count; i++)
        bytes += state->models[i]->baseline ? quality_baseline_bytes(state->models[i]->baseline) : 0;
    return bytes;
}

static void drop_variant(struct inference_state *state, size_t index) {
    variant_free(state->kept[index].variant);
    state->kept[index] = state->kept[--state->kept_count];
}

// Makes room within the budget: the variants that were not used for the longest time go first, and models that nothing needs.
static void make_room(struct inference_state *state, const struct loaded_model *next) {
    double budget = settings_number(state->settings, "memory_budget");
    for (;;) {
        size_t bytes = kept_bytes(state, NULL), oldest = 0;
        for (size_t i = 0; i < state->model_count; i++)
            bytes += model_bytes(state->models[i]);
        if ((double)bytes <= budget || (!state->kept_count && state->model_count <= 1))
            return;
        if (state->kept_count) {
            for (size_t i = 1; i < state->kept_count; i++)
                if (state->kept[i].used < state->kept[oldest].used)
                    oldest = i;
            drop_variant(state, oldest);
            continue;
        }
        size_t other = state->models[0] == next ? 1 : 0;
        free_model(state->models[other]);
        state->models[other] = state->models[--state->model_count];
    }
}

static int load_text(struct inference_state *state, struct loaded_model *model, char *error, size_t error_size) {
    const char *text = settings_text(state->settings, "text");
    size_t tokens = (size_t)settings_number(state->settings, "quality_tokens");
    uint64_t hash;
    if (!model->model.tokenizer || model->model.shape_only)
        return 0;
    return corpus_heldout(&model->model, *text ? text : NULL, tokens > TOKENS_MIN ? tokens : TOKENS_MIN, &model->ids, &model->id_count,
                          &hash, error, error_size);
}

static int find_model(struct inference_state *state, const char *path, struct loaded_model **found, char *error, size_t error_size) {
    for (size_t i = 0; i < state->model_count; i++)
        if (!strcmp(state->models[i]->path, path)) {
            *found = state->models[i];
            return 0;
        }
    make_room(state, NULL);
    struct loaded_model **grown = realloc(state->models, (state->model_count + 1) * sizeof *grown);
    if (grown)
        state->models = grown;
    struct loaded_model *made = grown ? calloc(1, sizeof *made) : NULL;
    if (!made) {
        snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    snprintf(made->path, sizeof made->path, "%s", path);
    int result = model_open(&made->model, path, error, error_size);
    if (!result)
        result = load_text(state, made, error, error_size);
    if (result) {
        free_model(made);
        return result;
    }
    state->models[state->model_count++] = *found = made;
    return 0;
}

static int find_variant(struct inference_state *state, const char *key, struct loaded_model *model, const struct variant_recipe *recipe,
                        struct variant **found, char *error, size_t error_size) {
    state->uses++;
    for (size_t i = 0; i < state->kept_count; i++)
        if (!strcmp(state->kept[i].key, key)) {
            state->kept[i].used = state->uses;
            *found = state->kept[i].variant;
            return 0;
        }
    make_room(state, model);
    struct kept_variant *grown = realloc(state->kept, (state->kept_count + 1) * sizeof *grown);
    if (!grown) {
        snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    state->kept = grown;
    const char *text = settings_text(state->settings, "text"), *calibration = settings_text(state->settings, "calibration_text");
    const struct calibration_source source = {*calibration ? calibration : NULL,
                                              (size_t)settings_number(state->settings, "calibration_tokens"), *text ? text : NULL,
                                              (size_t)settings_number(state->settings, "quality_tokens")};
    if (!state->context->oversubscribed) { // threads touch first what they will read: they are placed before anything is packed
        struct team *team;
        int placed = team_create(&team, state->layout.threads, worker_bind, (void *)state->context, error, error_size);
        if (placed)
            return placed;
        team_free(team);
    }
    int result = variant_obtain(found, &model->model, recipe, &state->layout, &source, state->context->world,
                                state->context->oversubscribed ? NULL : worker_bind, (void *)state->context, error, error_size);
    if (result)
        return result;
    model_release(&model->model);
    malloc_trim(0); // what it was made with is not the cells'
    grown[state->kept_count] = (struct kept_variant){.variant = *found, .model = model, .used = state->uses};
    snprintf(grown[state->kept_count++].key, sizeof grown->key, "%s", key);
    return 0;
}

static int open_engine(struct inference_state *state, const struct variant *variant, enum activation activation, struct kv_format kv,
                       enum provider provider, int batch, int positions, struct engine **engine, char *error, size_t error_size) {
    struct engine_options options = {
        .provider = provider,
        .activation = activation,
        .kv = kv,
        .max_batch = batch,
        .max_context = positions,
        .bind = state->context->oversubscribed ? NULL : worker_bind,
        .bind_context = (void *)state->context,
    };
    return engine_open(engine, variant, state->context->world, &options, error, error_size);
}

// Text of the model's own kind, a different piece for each sequence behind what they share; where there is no text, tokens at random.
static void fill_prompts(struct inference_state *state) {
    const struct loaded_model *model = state->model;
    uint64_t random = 1;
    state->prompt_tokens = 0;
    for (int sequence = 0; sequence < state->cell.batch; sequence++) {
        state->lengths[sequence] = state->cell.lengths[sequence % state->cell.length_count];
        state->prompt_tokens += (uint64_t)state->lengths[sequence];
        for (int i = 0; i < state->cell.prompt; i++) {
            int32_t *token = &state->prompts[(size_t)sequence * (size_t)state->cell.prompt + (size_t)i];
            random = random * 6364136223846793005u + 1442695040888963407u;
            if (sequence > 0 && i < state->cell.prefix)
                *token = state->prompts[i];
            else if (model->id_count)
                *token = model->ids[((size_t)sequence * 389 + (size_t)i) % model->id_count];
            else
                *token = (int32_t)((random >> 33) % (uint64_t)model->model.config.vocab);
        }
    }
}

void inference_leave(void *opaque, const struct cell *next) {
    struct inference_state *state = opaque;
    if (strcmp(state->name, next->name))
        drop_cell(state);
}

int inference_prepare(void *opaque, const struct cell *cell, char *error, size_t error_size) {
    struct inference_state *state = opaque;
    struct inference_cell read;
    char key[WORKLOAD_VALUE + 128];
    isa_limit(ISA_COUNT - 1);
    int result = inference_cell_read(cell, &read, error, error_size);
    if (result)
        return result;
    isa_limit(read.isa);
    if (state->engine && !strcmp(state->name, cell->name))
        return 0;
    drop_cell(state);
    state->cell = read;
    result = find_model(state, read.model, &state->model, error, error_size);
    state->cell.model = result ? "" : state->model->path; // the cell's own text ends with the command that brought it
    snprintf(key, sizeof key, "%s|%s|%s", cell->value[AXIS_MODEL], cell->value[AXIS_PRUNE], cell->value[AXIS_FORMAT]);
    if (!result)
        result = find_variant(state, key, state->model, &read.recipe, &state->variant, error, error_size);
    if (!result)
        result = open_engine(state, state->variant, read.activation, read.kv, read.provider, read.batch, read.prompt + read.gen, &state->engine,
                             error, error_size);
    size_t batch = (size_t)read.batch, gen = (size_t)read.gen;
    state->prompts = malloc(batch * (size_t)read.prompt * sizeof *state->prompts);
    state->lengths = malloc(batch * sizeof *state->lengths);
    state->generated = calloc(batch * gen, sizeof *state->generated);
    state->first = calloc(batch * gen, sizeof *state->first);
    state->step_ns = calloc(gen, sizeof *state->step_ns);
    if (!result && !(state->prompts && state->lengths && state->generated && state->first && state->step_ns)) {
        snprintf(error, error_size, "out of memory");
        result = -ENOMEM;
    }
    if (result) {
        drop_cell(state);
        return result;
    }
    fill_prompts(state);
    snprintf(state->name, sizeof state->name, "%s", cell->name);
    state->runs = state->differing = 0;
    state->sent_bytes = state->comm_seconds = state->run_seconds = 0;
    return 0;
}

// ---------------------------------------------------------------------------------------------------------------------
// One run

// Decode step by step, so that each has its time; the stages of a pipeline work on several steps at once only within one call.
static int decode(struct inference_state *state, size_t *steps, char *error, size_t error_size) {
    int batch = state->cell.batch, count = state->cell.gen - 1, result = 0;
    int stride = state->layout.pipeline > 1 ? count : 1;
    *steps = 0;
    for (int step = 0; step < count && !result; step += stride) {
        uint64_t start = clock_now();
        int32_t *row = state->generated + (size_t)step * (size_t)batch;
        result = engine_decode(state->engine, row, stride, row + batch, NULL, error, error_size);
        state->step_ns[(*steps)++] = (clock_now() - start) / (uint64_t)stride;
    }
    return result;
}

// This rank's own sequences, of a run against the first one.
static bool same_tokens(const struct inference_state *state) {
    struct layout_range own = engine_sequences(state->engine);
    for (int step = 0; step < state->cell.gen; step++)
        for (int i = own.begin; i < own.end; i++) {
            size_t at = (size_t)step * (size_t)state->cell.batch + (size_t)i;
            if (state->generated[at] != state->first[at])
                return false;
        }
    return true;
}

int inference_sample(void *opaque, const struct phase_hooks *hooks, struct sample *sample, char *error, size_t error_size) {
    struct inference_state *state = opaque;
    struct comm_group *world = state->context->world;
    size_t batch = (size_t)state->cell.batch, tokens = batch * (size_t)state->cell.gen;
    uint64_t prompt_work = state->prompt_tokens, decode_work = batch * (size_t)(state->cell.gen - 1);
    comm_barrier(world);
    struct comm_traffic before = comm_traffic();
    if (hooks)
        hooks->begin(hooks->context, 0);
    uint64_t start = clock_now();
    int result = engine_prefill_lengths(state->engine, state->prompts, state->cell.batch, state->cell.prompt, state->lengths,
                                        state->cell.prefix, state->generated, NULL, error, error_size);
    uint64_t middle = clock_now();
    if (hooks)
        hooks->end(hooks->context, 0, prompt_work), hooks->begin(hooks->context, 1);
    uint64_t again = hooks ? clock_now() : middle;
    if (!result)
        result = decode(state, &sample->steps, error, error_size);
    uint64_t end = clock_now();
    if (hooks)
        hooks->end(hooks->context, 1, decode_work);
    struct comm_traffic after = comm_traffic();
    if (result)
        return result;
    // Replicas do not wait for each other: a phase takes as long as the slowest rank's.
    uint64_t slowest[] = {middle - start, end - again};
    comm_all_reduce_max_u64(world, slowest, 2);
    sample->phase[0].start_ns = start;
    sample->phase[0].ns = slowest[0];
    sample->phase[0].work = prompt_work;
    sample->phase[1].start_ns = again;
    sample->phase[1].ns = slowest[1];
    sample->phase[1].work = decode_work;
    sample->step_ns = state->step_ns;
    if (!state->runs++)
        memcpy(state->first, state->generated, tokens * sizeof *state->first);
    else if (!same_tokens(state))
        state->differing++;
    if (!hooks) {
        state->sent_bytes += (double)(after.bytes_sent - before.bytes_sent);
        state->comm_seconds += after.seconds - before.seconds;
        state->run_seconds += (double)(end - start) / 1e9;
    }
    return 0;
}

// ---------------------------------------------------------------------------------------------------------------------
// What is said of it

static struct verified_cell *find_verified(struct inference_state *state, uint64_t hash) {
    for (size_t i = 0; i < state->verified_count; i++)
        if (!strcmp(state->verified[i].name, state->name) && state->verified[i].hash == hash)
            return &state->verified[i];
    return NULL;
}

int inference_verify(void *opaque, const char *known_output, struct record *facts, char *error, size_t error_size) {
    struct inference_state *state = opaque;
    size_t tokens = (size_t)state->cell.batch * (size_t)state->cell.gen;
    if (!state->runs)
        return 0;
    uint64_t differing = state->differing;
    comm_all_reduce_max_u64(state->context->world, &differing, 1);
    if (differing) {
        snprintf(error, error_size, "diverged: %llu of %zu timed runs gave other tokens than the first", (unsigned long long)differing,
                 state->runs);
        return -EBADMSG;
    }
    engine_collect(state->engine, state->generated, state->cell.gen);
    uint64_t hash = engine_hash_tokens(state->generated, tokens);
    char text[20];
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    record_set(facts, "tokens_hash", "%s", text);
    struct verified_cell *known = find_verified(state, hash);
    if (!known && known_output && !strcmp(known_output, text)) {
        record_set(facts, "verified", "same");
        return 0;
    }
    if (!known) {
        struct engine_gap gap;
        int result = engine_verify_tokens(state->engine, state->prompts, state->cell.batch, state->cell.prompt, state->lengths,
                                          state->generated, state->cell.gen, &gap, error, error_size);
        if (result)
            return result;
        if (!engine_gap_explained(state->engine, &gap)) {
            snprintf(error, error_size, "diverged: timed tokens are up to %.3g, in the mean %.3g standard deviations below the largest logits of a check%s",
                     gap.worst, gap.mean, state->cell.activation != ACTIVATION_F32 ? " (act = f32 rounds less)" : "");
            return -EBADMSG;
        }
        struct verified_cell *grown = realloc(state->verified, (state->verified_count + 1) * sizeof *grown);
        if (!grown) {
            snprintf(error, error_size, "out of memory");
            return -ENOMEM;
        }
        state->verified = grown;
        known = &grown[state->verified_count++];
        *known = (struct verified_cell){.hash = hash, .exact = gap.worst == 0};
        snprintf(known->name, sizeof known->name, "%s", state->name);
    }
    record_set(facts, "verified", "%s", known->exact ? "exact" : "tolerance");
    return 0;
}

int inference_facts(void *opaque, struct record *facts, char *error, size_t error_size) {
    struct inference_state *state = opaque;
    const struct model_config *config = &state->model->model.config;
    const struct variant *variant = state->variant;
    struct engine_memory memory = engine_memory_total(state->engine);
    // Sums over the shards and replicas. Rounded to whole numbers, since every rank must have the same.
    uint64_t sums[] = {variant->weights, variant->block_weights, variant->pruned_weights, (uint64_t)state->sent_bytes};
    uint64_t share = state->run_seconds > 0 ? (uint64_t)(state->comm_seconds / state->run_seconds * 1e9) : 0;
    comm_all_reduce_sum_u64(state->context->world, sums, 4);
    comm_all_reduce_max_u64(state->context->world, &share, 1);
    double replicas = state->layout.data, batch = state->cell.batch, weights = (double)sums[0] / replicas;
    // A sequence's keys and values, up to the middle of what is generated.
    double positions = state->cell.prompt_mean + state->cell.gen / 2.0, cache = 0;
    for (int i = 0; i < state->cell.length_count; i++)
        cache += config->layers * kv_cache_read_bytes(&state->cell.kv, config->kv_heads, config->head_dim,
                                                      state->cell.lengths[i] + state->cell.gen / 2.0) / state->cell.length_count;
    double attention = 4.0 * config->layers * config->heads * config->head_dim * positions;
    record_real(facts, "sparsity", sums[1] ? (double)sums[2] / (double)sums[1] : 0);
    record_real(facts, "bits_per_weight", (double)memory.weight_bytes * 8 / (double)sums[0]);
    record_set(facts, "weight_bytes", "%.0f", (double)memory.weight_bytes / replicas);
    record_set(facts, "kv_bytes", "%zu", memory.kv_bytes);
    record_set(facts, "buffer_bytes", "%zu", memory.workspace_bytes);
    record_set(facts, "bytes_per_token", "%.0f", (double)memory.weight_bytes / batch + cache);
    record_set(facts, "flops_per_token", "%.0f", 2 * (weights - (double)sums[2] / replicas) + attention);
    record_set(facts, "kernel", "%s", engine_linear_kernel(state->engine));
    record_set(facts, "working_set", "%.0f", (double)memory.weight_bytes + cache * batch);
    record_set(facts, "kept_bytes", "%zu", kept_bytes(state, variant));
    if (state->context->ranks > 1 && state->runs) {
        record_real(facts, "bytes_sent", (double)sums[3] / (double)state->runs / (batch * state->cell.gen));
        record_real(facts, "comm_share", (double)share / 1e9);
    }
    if (state->context->oversubscribed)
        record_set(facts, "note", "oversubscribed");
    (void)error;
    (void)error_size;
    return 0;
}

// ---------------------------------------------------------------------------------------------------------------------
// Quality

static int measure(struct inference_state *state, const struct variant *variant, enum activation activation, struct kv_format kv,
                   enum provider provider, struct quality_baseline **baseline_out, struct quality_result *result, char *error, size_t error_size) {
    const int window = quality_window(&state->model->model.config), batch = quality_windows_at_once(&state->layout);
    struct quality_settings settings = {.window = window, .max_tokens = (int)settings_number(state->settings, "quality_tokens")};
    struct engine *engine = NULL;
    int code = open_engine(state, variant, activation, kv, provider, batch, window, &engine, error, error_size);
    if (!code)
        code = quality_measure(engine, state->model->ids, state->model->id_count, tokenizer_bos(state->model->model.tokenizer), &settings,
                               baseline_out ? NULL : state->model->baseline, baseline_out, result, error, error_size);
    engine_close(engine);
    return code;
}

static int make_baseline(struct inference_state *state, char *error, size_t error_size) {
    struct variant_recipe recipe;
    struct variant *variant;
    struct quality_result result;
    int code = recipe_parse("none", NULL, "f32", &recipe, error, error_size);
    // Not a kept variant: finding room for one could drop the one that is being judged.
    if (!code)
        code = variant_create(&variant, &state->model->model, &recipe, &state->layout, state->context->rank, error, error_size);
    if (code)
        return code;
    code = measure(state, variant, ACTIVATION_F32, (struct kv_format){.type = KV_F32}, PROVIDER_OWN, &state->model->baseline, &result, error, error_size);
    variant_free(variant);
    model_release(&state->model->model);
    malloc_trim(0); // its memory is not the judged cell's
    return code;
}

int inference_quality(void *opaque, struct record *facts, char *error, size_t error_size) {
    struct inference_state *state = opaque;
    struct quality_result result;
    int code = state->model->baseline ? 0 : make_baseline(state, error, error_size);
    if (!code)
        code = measure(state, state->variant, state->cell.activation, state->cell.kv, state->cell.provider, NULL, &result, error, error_size);
    if (code)
        return code;
    record_set(facts, "quality_tokens", "%d", result.tokens);
    record_real(facts, "ppl", result.ppl);
    record_real(facts, "ppl_se", result.ppl_se);
    record_real(facts, "dlnppl", result.dlnppl);
    record_real(facts, "dlnppl_se", result.dlnppl_se);
    record_real(facts, "kld", result.kld);
    record_real(facts, "kld_se", result.kld_se);
    record_real(facts, "kld_p99", result.kld_p99);
    record_real(facts, "top1", result.top1);
    record_real(facts, "flips", result.flips);
    return 0;
}
