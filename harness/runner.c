// SPDX-License-Identifier: MIT
#include "harness/runner.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "harness/clock.h"
#include "harness/runner_state.h"

double runner_now(void) {
    return (double)clock_now() / 1e9;
}

static uint64_t random_next(uint64_t *state) { // splitmix64 (Steele, Lea & Flood 2014)
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

void runner_plan_hash(const struct plan *plan, char *hash, size_t size) {
    uint64_t value = 0xcbf29ce484222325;
    for (size_t i = 0; i < plan->count; i++)
        for (const char *at = plan->cells[i].cell.name; *at; at++)
            value = (value ^ (unsigned char)*at) * 0x100000001b3;
    const struct settings *settings = plan->spec->settings;
    for (size_t i = 0; i < settings_count(settings); i++)
        for (const char *at = settings_value(settings, i); *at; at++)
            value = (value ^ (unsigned char)*at) * 0x100000001b3;
    snprintf(hash, size, "%016" PRIx64, value);
}

// ---------------------------------------------------------------------------------------------------------------------
// The order of a round: batches of one variant and layout follow each other, so that what prepare builds is used at once; the batches
// are shuffled, and the cells within each.

struct place_in_round {
    size_t cell;
    uint64_t batch, within;
};

static int compare_places(const void *a, const void *b) {
    const struct place_in_round *x = a, *y = b;
    if (x->batch != y->batch)
        return x->batch < y->batch ? -1 : 1;
    if (x->within != y->within)
        return x->within < y->within ? -1 : 1;
    return x->cell < y->cell ? -1 : x->cell > y->cell;
}

static struct place_in_round *order_round(const struct runner *runner, size_t round, size_t *count) {
    uint64_t seed = (uint64_t)settings_number(runner->plan->spec->settings, "seed");
    struct place_in_round *places = calloc(runner->plan->count + 1, sizeof *places);
    *count = 0;
    for (size_t i = 0; places && i < runner->plan->count; i++) {
        const struct cell_state *state = &runner->cells[i];
        if (state->finished || state->plan->status != CELL_OK)
            continue;
        uint64_t batch = seed ^ (round << 48) ^ ((uint64_t)state->worker << 32) ^ state->variant, within = batch ^ (i << 16) ^ 1;
        places[(*count)++] = (struct place_in_round){i, random_next(&batch), random_next(&within)};
    }
    if (places)
        qsort(places, *count, sizeof *places, compare_places);
    return places;
}

// ---------------------------------------------------------------------------------------------------------------------

static json_t *cell_values(const struct runner *runner, size_t cell) {
    json_t *values = json_array();
    for (size_t i = 0; i < runner->workload->axis_count; i++)
        json_array_append_new(values, json_string(runner->plan->cells[cell].cell.value[i]));
    return values;
}

static int finish_with(struct runner *runner, size_t cell, struct record *row, char *error, size_t error_size) {
    int result = row->failed ? -ENOMEM : run_store_row(&runner->store, row, error, error_size);
    record_free(row);
    runner->cells[cell].finished = result == 0;
    runner->finished += result == 0;
    return result;
}

static int finish_empty(struct runner *runner, size_t cell, enum cell_status status, const char *reason, char *error,
                        size_t error_size) {
    struct record row;
    char label[400];
    runner_empty_row(runner, cell, status, reason, &row);
    if (runner->plan->cells[cell].status == CELL_OK) {
        plan_cell_label(runner->plan, &runner->plan->cells[cell].cell, label, sizeof label);
        progress_note(&runner->progress, "%s: %s: %s", cell_status_name(status), label, reason);
    }
    return finish_with(runner, cell, &row, error, error_size);
}

static double number_in(const json_t *line, const char *name) {
    return json_number_value(json_object_get(json_object_get(line, "seconds"), name));
}

static void account(struct runner_times *times, const json_t *line) {
    times->prepare += number_in(line, "prepare");
    times->warmup += number_in(line, "warmup");
    times->samples += number_in(line, "samples");
    times->verify += number_in(line, "verify");
    times->counters += number_in(line, "counters");
    times->roof += number_in(line, "roof");
    times->quality += number_in(line, "quality");
}

static double limit_seconds(const struct runner *runner, size_t cell) {
    const struct plan_cell *planned = &runner->plan->cells[cell];
    return settings_number(planned->sweep->settings, "timeout") + 4 * planned->estimate.prepare_seconds +
           4 * plan_cell_seconds(planned) + 4 * planned->estimate.quality_seconds;
}

// Quality of the cell's variant where it is not known yet. 0 also when it could not be had: then the cell has its row.
static int judge(struct runner *runner, size_t cell, const char *label, char *error, size_t error_size) {
    struct judgement *judgement = &runner->judgements[runner->cells[cell].judgement];
    enum cell_status status;
    char reason[500] = "";
    json_t *reply;
    json_t *command = json_pack("{s:s, s:s, s:o}", "do", "quality", "name", runner->plan->cells[cell].cell.name, "cell",
                                cell_values(runner, cell));
    judgement->attempts++;
    int result = runner_ask(runner, runner->cells[cell].worker, command, limit_seconds(runner, cell), label, &reply, &status, reason,
                            sizeof reason);
    json_decref(command);
    if (result == -EINTR)
        return result;
    if (result) {
        char whole[600];
        snprintf(whole, sizeof whole, "quality: %s", reason);
        free(judgement->reason);
        judgement->reason = strdup(whole);
        return finish_empty(runner, cell, status, whole, error, error_size);
    }
    account(&runner->times, reply);
    json_object_set_new(reply, "key", json_string(judgement->key));
    json_object_set_new(reply, "layout", json_string(runner->workers[runner->cells[cell].worker].layout));
    result = run_store_journal(&runner->store, runner->plan, cell, reply, error, error_size);
    if (!result)
        result = runner_absorb(runner, reply);
    json_decref(reply);
    runner->done += runner->plan->cells[cell].estimate.quality_seconds;
    return result;
}

// The cell through which a judgement's own worker computes it: one that is still to be visited there, else the one that asks.
static size_t judging_cell(const struct runner *runner, size_t asking) {
    const int wanted = runner->cells[asking].judgement;
    for (size_t i = 0; i < runner->plan->count; i++) {
        const struct cell_state *state = &runner->cells[i];
        if (state->judgement == wanted && state->plan->status == CELL_OK && !state->finished && state->worker == runner->judgements[wanted].worker)
            return i;
    }
    return asking;
}

static json_t *sampling_settings(const struct settings *settings) {
    static const char *const names[] = {"ci",         "min_samples", "max_samples", "max_time",
                                        "warmup_min", "warmup_max",  "warmup_time", "warmup_half"};
    json_t *object = json_object();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        json_object_set_new(object, names[i], json_real(settings_number(settings, names[i])));
    return object;
}

// The same threads in another layout have the same roof: it is measured once a round for all of them.
static struct round_roof *find_roof(struct runner *runner, size_t cell) {
    const struct worker_handle *worker = &runner->workers[runner->cells[cell].worker];
    int threads = worker->ranks * worker->threads;
    size_t i = 0;
    while (i < runner->roof_count && runner->roofs[i].threads != threads)
        i++;
    if (i == runner->roof_count)
        runner->roofs[runner->roof_count++] = (struct round_roof){threads, json_object()};
    return &runner->roofs[i];
}

static void forget_roofs(struct runner *runner) {
    for (size_t i = 0; i < runner->roof_count; i++)
        json_decref(runner->roofs[i].figures);
    runner->roof_count = 0;
}

static json_t *visit_command(struct runner *runner, size_t cell, size_t round, bool final) {
    const struct settings *own = runner->plan->cells[cell].sweep->settings, *settings = runner->plan->spec->settings;
    const struct cell_state *state = &runner->cells[cell];
    const char *output = state->output >= 0 ? runner->outputs[state->output].value : NULL;
    return json_pack("{s:s, s:s, s:o, s:I, s:I, s:I, s:b, s:o, s:s, s:I, s:f, s:O, s:s*}", "do", "visit", "name",
                     runner->plan->cells[cell].cell.name, "cell", cell_values(runner, cell), "round", (json_int_t)round, "rounds",
                     (json_int_t)settings_number(settings, "rounds"), "have", (json_int_t)runner->cells[cell].ns[0].count, "final",
                     final, "sampling", sampling_settings(own), "counters", settings_text(own, "counters"), "cache_bytes",
                     (json_int_t)runner->plan->limits.cache_bytes, "roof_seconds", settings_number(settings, "roof_time"), "roof",
                     find_roof(runner, cell)->figures, "output", output);
}

static int finish_cell(struct runner *runner, size_t cell, const char *label, char *error, size_t error_size) {
    struct cell_state *state = &runner->cells[cell];
    struct judgement *judgement = state->judgement >= 0 ? &runner->judgements[state->judgement] : NULL;
    // In a run of one round another layout's cell may be the first of the variant: the judgement's own worker is asked all the same. It
    // may fail at it: two tries, then it is the rows' own failure.
    while (judgement && !judgement->known && judgement->attempts < 2) {
        int result = judge(runner, judgement->attempts ? cell : judging_cell(runner, cell), label, error, error_size);
        if (result || state->finished)
            return result;
    }
    if (judgement && !judgement->known)
        return finish_empty(runner, cell, CELL_FAILED, judgement->reason ? judgement->reason : "quality: not known", error, error_size);
    struct record row;
    int result = runner_cell_row(runner, cell, &row);
    if (result) {
        record_free(&row);
        return result;
    }
    return finish_with(runner, cell, &row, error, error_size);
}

static int visit(struct runner *runner, size_t cell, size_t round, bool final, char *error, size_t error_size) {
    struct cell_state *state = &runner->cells[cell];
    struct judgement *judgement = state->judgement >= 0 ? &runner->judgements[state->judgement] : NULL;
    enum cell_status status;
    char label[400], reason[500] = "";
    json_t *reply;
    int result = 0;
    plan_cell_label(runner->plan, &state->plan->cell, label, sizeof label);
    progress_step(&runner->progress, runner->done, runner->finished, label);
    if (judgement && !judgement->known && !judgement->attempts && judgement->worker == state->worker) {
        result = judge(runner, cell, label, error, error_size);
        if (result || state->finished)
            return result;
    }
    json_t *command = visit_command(runner, cell, round, final);
    result = runner_ask(runner, state->worker, command, limit_seconds(runner, cell), label, &reply, &status, reason, sizeof reason);
    json_decref(command);
    runner->done += plan_cell_seconds(state->plan) / settings_number(runner->plan->spec->settings, "rounds");
    if (result == -EINTR)
        return result;
    if (result)
        return finish_empty(runner, cell, status, reason, error, error_size);
    account(&runner->times, reply);
    json_object_update(find_roof(runner, cell)->figures, json_object_get(reply, "roof"));
    result = run_store_journal(&runner->store, runner->plan, cell, reply, error, error_size);
    if (!result)
        result = runner_absorb(runner, reply);
    json_decref(reply);
    return result || !final ? result : finish_cell(runner, cell, label, error, error_size);
}

static int run_rounds(struct runner *runner, char *error, size_t error_size) {
    size_t rounds = (size_t)settings_number(runner->plan->spec->settings, "rounds"), count;
    int result = 0;
    for (size_t round = 0; round < rounds && !result; round++) {
        struct place_in_round *places = order_round(runner, round, &count);
        if (!places)
            return -ENOMEM;
        bool final = round + 1 == rounds;
        forget_roofs(runner);
        for (size_t i = 0; i < count && !result; i++) {
            // A resumed run has been through some of its rounds; the last visit is made again if the row was not written.
            if (runner->cells[places[i].cell].visits > round && !final)
                continue;
            result = *runner->options->interrupted ? -EINTR : visit(runner, places[i].cell, round, final, error, error_size);
        }
        free(places);
    }
    return result;
}

// ---------------------------------------------------------------------------------------------------------------------

static void take_line(void *context, const json_t *line) {
    runner_absorb(context, line);
}

static void take_row(void *context, const char *name, enum cell_status status) {
    struct runner *runner = context;
    (void)status;
    size_t cell = runner_find_cell(runner, name);
    if (cell < runner->plan->count && !runner->cells[cell].finished) {
        runner->cells[cell].finished = true;
        runner->finished++;
    }
}

static json_t *timestamp(void) {
    char text[32];
    time_t seconds = time(NULL);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return json_string(text);
}

static json_t *describe_run(const struct plan *plan, json_t *about) {
    json_t *run = json_pack("{s:i}", "schema", RECORDS_SCHEMA), *settings = json_object();
    char hash[20];
    runner_plan_hash(plan, hash, sizeof hash);
    json_object_update(run, about);
    json_t *spec = json_object_get(run, "spec");
    if (!spec) {
        spec = json_object();
        json_object_set_new(run, "spec", spec);
    }
    json_object_set_new(spec, "file", json_string(plan->spec->path));
    json_object_set_new(spec, "text", json_string(plan->spec->text));
    json_object_set_new(spec, "hash", json_string(hash));
    for (size_t i = 0; i < settings_count(plan->spec->settings); i++)
        json_object_set_new(settings, settings_row(plan->spec->settings, i)->name,
                            json_string(settings_value(plan->spec->settings, i)));
    json_object_set_new(run, "settings", settings);
    json_object_set_new(run, "seed", json_integer((json_int_t)settings_number(plan->spec->settings, "seed")));
    json_object_set_new(run, "identity", record_json(&plan->identity));
    json_object_set_new(run, "started", timestamp());
    json_object_set_new(run, "workers", json_object());
    return run;
}

static double peak_bytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss * 1024;
}

static void count_row(void *context, const char *name, enum cell_status status) {
    struct runner_result *result = context;
    (void)name;
    result->by_status[status]++;
    result->rows++;
}

// Each layout's roof in every round, as its first cell has it, for run.json; the cells' rows have their own.
static json_t *describe_roofs(const struct runner *runner) {
    static const char *const names[ROOF_FIGURES] = {"stream", "hot", "fp32", "int8", "bf16"};
    json_t *layouts = json_object();
    for (size_t i = 0; i < runner->plan->count; i++) {
        const struct cell_state *state = &runner->cells[i];
        if (state->plan->status != CELL_OK || !state->roof[0].count)
            continue;
        const char *word = runner->workers[state->worker].layout;
        if (json_object_get(layouts, word))
            continue;
        json_t *figures = json_object();
        for (int figure = 0; figure < ROOF_FIGURES; figure++) {
            json_t *rounds = json_array();
            for (size_t j = 0; figure != 1 && j < state->roof[figure].count; j++) {
                double value;
                memcpy(&value, &state->roof[figure].value[j], sizeof value);
                json_array_append_new(rounds, json_real(value));
            }
            if (figure != 1)
                json_object_set_new(figures, names[figure], rounds);
            else
                json_decref(rounds);
        }
        json_object_set_new(layouts, word, figures);
    }
    return layouts;
}

static int save_run(struct runner *runner, struct runner_result *result, bool finished, char *error, size_t error_size) {
    const struct runner_times *times = &result->times;
    double timed = times->warmup + times->samples + times->quality;
    json_t *run = runner->store.run, *cells = json_object();
    json_object_set_new(cells, "planned", json_integer((json_int_t)result->planned));
    for (int status = 0; status < CELL_STATUSES; status++)
        json_object_set_new(cells, cell_status_name((enum cell_status)status), json_integer((json_int_t)result->by_status[status]));
    json_object_set_new(run, "cells", cells);
    json_object_set_new(run, "roofs", describe_roofs(runner));
    json_object_set_new(run, "elapsed", json_real(runner->time_before + times->wall));
    json_object_set_new(run, "overhead",
                        json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "wall", times->wall, "warmup", times->warmup,
                                  "samples", times->samples, "quality", times->quality, "verify", times->verify, "prepare", times->prepare,
                                  "counters", times->counters, "roof", times->roof, "launch", times->launch, "share",
                                  times->wall > 0 ? timed / times->wall : 0, "driver_peak_bytes", result->driver_peak_bytes,
                                  "sample_overhead", runner->sample_overhead));
    if (finished)
        json_object_set_new(run, "finished", timestamp());
    return run_store_save(&runner->store, error, error_size);
}

static int open_store(struct runner *runner, char *error, size_t error_size) {
    const struct runner_options *options = runner->options;
    int result;
    if (options->resume) {
        char hash[20];
        runner_plan_hash(runner->plan, hash, sizeof hash);
        result = run_store_resume(&runner->store, runner->plan, options->directory, hash, take_line, runner, error, error_size);
        if (!result)
            result = run_store_rows(&runner->store, take_row, runner, error, error_size);
        if (!result)
            runner->time_before = json_number_value(json_object_get(runner->store.run, "elapsed"));
        return result;
    }
    json_t *run = describe_run(runner->plan, options->about);
    result = run_store_create(&runner->store, runner->plan, options->directory, run, error, error_size);
    json_decref(run);
    return result;
}

int runner_run(const struct plan *plan, const struct runner_options *options, struct runner_result *result, char *error,
               size_t error_size) {
    struct runner runner = {.plan = plan, .workload = plan->workload, .options = options, .started = runner_now()};
    *result = (struct runner_result){.planned = plan->count};
    *error = '\0';
    runner.cells = calloc(plan->count + 1, sizeof *runner.cells);
    int code = runner.cells ? runner_workers_create(&runner) : -ENOMEM;
    if (!code)
        code = runner_cells_create(&runner);
    runner.roofs = calloc(plan->count + 1, sizeof *runner.roofs);
    if (!code && !runner.roofs)
        code = -ENOMEM;
    if (!code)
        code = open_store(&runner, error, error_size);
    if (code)
        goto out;
    if (options->ready && (code = options->ready(options->ready_context, options->directory, error, error_size)))
        goto out;
    progress_begin(&runner.progress, options->messages, plan->seconds, plan->count);
    if (runner.store.dropped_torn)
        progress_note(&runner.progress, "a torn last line was dropped");
    for (size_t i = 0; i < plan->count && !code; i++)
        if (plan->cells[i].status != CELL_OK && !runner.cells[i].finished)
            code = finish_empty(&runner, i, plan->cells[i].status, plan->cells[i].reason, error, error_size);
    for (size_t i = 0; i < plan->count; i++)
        if (runner.cells[i].finished && plan->cells[i].status == CELL_OK)
            runner.done += plan_cell_seconds(&plan->cells[i]);
    if (!code)
        code = run_rounds(&runner, error, error_size);
    progress_end(&runner.progress);
    if (code == -EINTR)
        snprintf(error, error_size, "interrupted with %zu of %zu cells recorded", runner.finished, plan->count);
    result->torn = runner.store.dropped_torn;
    result->times = runner.times;
    result->times.wall = runner_now() - runner.started;
    result->driver_peak_bytes = peak_bytes();
    char ignored[400];
    // After a full disk this may fail, too; the error that is told is the first.
    int synced = run_store_sync(&runner.store, code ? ignored : error, code ? sizeof ignored : error_size);
    if (!run_store_rows(&runner.store, count_row, result, ignored, sizeof ignored)) {
        int saved = save_run(&runner, result, code == 0, code || synced ? ignored : error, code || synced ? sizeof ignored : error_size);
        code = code ? code : synced ? synced : saved;
    }
out:
    forget_roofs(&runner);
    free(runner.roofs);
    runner_workers_free(&runner, code != 0);
    runner_cells_free(&runner);
    run_store_close(&runner.store);
    if (code && !*error)
        snprintf(error, error_size, "%s: %s", options->directory, strerror(-code));
    return code;
}
