// SPDX-License-Identifier: MIT
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/clock.h"
#include "harness/runner_state.h"
#include "harness/stats.h"

static const char *const roof_names[ROOF_FIGURES] = {"stream", "hot", "fp32", "int8", "bf16"};

static int grow(struct growing *list, uint64_t value) {
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 8;
        uint64_t *grown = realloc(list->value, room * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        list->value = grown;
        list->room = room;
    }
    list->value[list->count++] = value;
    return 0;
}

static uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

// ---------------------------------------------------------------------------------------------------------------------

// Where quality is computed: on the fewest ranks, then on the most threads, since the result is the same.
static bool better_judge(const struct worker_handle *a, const struct worker_handle *b) {
    return a->ranks != b->ranks ? a->ranks < b->ranks : a->threads > b->threads;
}

static int find_judgement(struct runner *runner, size_t cell) {
    char key[1024];
    struct cell_state *state = &runner->cells[cell];
    runner->workload->quality_key(runner->plan->state, &state->plan->cell, key, sizeof key);
    state->judgement = -1;
    if (!*key)
        return 0;
    for (size_t i = 0; i < runner->judgement_count; i++)
        if (!strcmp(runner->judgements[i].key, key)) {
            struct judgement *known = &runner->judgements[i];
            if (better_judge(&runner->workers[state->worker], &runner->workers[known->worker]))
                known->worker = state->worker;
            state->judgement = (int)i;
            return 0;
        }
    struct judgement *grown = realloc(runner->judgements, (runner->judgement_count + 1) * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    runner->judgements = grown;
    state->judgement = (int)runner->judgement_count;
    grown[runner->judgement_count++] = (struct judgement){.key = strdup(key), .worker = state->worker};
    return grown[state->judgement].key ? 0 : -ENOMEM;
}

static int find_output(struct runner *runner, size_t cell) {
    char key[2048];
    struct cell_state *state = &runner->cells[cell];
    state->output = -1;
    if (!runner->workload->output_key)
        return 0;
    runner->workload->output_key(&state->plan->cell, key, sizeof key);
    for (size_t i = 0; i < runner->output_count && state->output < 0; i++)
        if (!strcmp(runner->outputs[i].key, key))
            state->output = (int)i;
    if (state->output >= 0)
        return 0;
    struct output *grown = realloc(runner->outputs, (runner->output_count + 1) * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    runner->outputs = grown;
    grown[runner->output_count] = (struct output){.key = strdup(key)};
    state->output = (int)runner->output_count++;
    return grown[state->output].key ? 0 : -ENOMEM;
}

int runner_cells_create(struct runner *runner) {
    char **keys = calloc(runner->plan->count + 1, sizeof *keys);
    size_t key_count = 0;
    int result = keys ? 0 : -ENOMEM;
    for (size_t i = 0; i < runner->plan->count && !result; i++) {
        struct cell_state *state = &runner->cells[i];
        char key[1024];
        state->plan = &runner->plan->cells[i];
        state->judgement = state->output = -1;
        if (state->plan->status != CELL_OK)
            continue;
        runner->workload->variant_key(&state->plan->cell, key, sizeof key);
        state->variant = 0;
        while (state->variant < key_count && strcmp(keys[state->variant], key))
            state->variant++;
        if (state->variant == key_count && !(keys[key_count++] = strdup(key)))
            result = -ENOMEM;
        if (!result)
            result = find_judgement(runner, i);
        if (!result)
            result = find_output(runner, i);
    }
    for (size_t i = 0; keys && i < key_count; i++)
        free(keys[i]);
    free(keys);
    return result;
}

static void free_samples(struct cell_state *state) {
    for (int phase = 0; phase < WORKLOAD_PHASES; phase++) {
        free(state->ns[phase].value);
        free(state->work[phase].value);
        state->ns[phase] = state->work[phase] = (struct growing){0};
    }
    free(state->steps.value);
    state->steps = (struct growing){0};
}

void runner_cells_free(struct runner *runner) {
    for (size_t i = 0; runner->cells && i < runner->plan->count; i++) {
        free_samples(&runner->cells[i]);
        record_free(&runner->cells[i].facts);
        for (int figure = 0; figure < ROOF_FIGURES; figure++)
            free(runner->cells[i].roof[figure].value);
    }
    for (size_t i = 0; i < runner->judgement_count; i++) {
        free(runner->judgements[i].key);
        free(runner->judgements[i].reason);
        free(runner->judgements[i].layout);
        record_free(&runner->judgements[i].facts);
    }
    for (size_t i = 0; i < runner->output_count; i++) {
        free(runner->outputs[i].key);
        free(runner->outputs[i].value);
    }
    free(runner->outputs);
    free(runner->cells);
    free(runner->judgements);
}

size_t runner_find_cell(const struct runner *runner, const char *name) {
    size_t i = 0;
    while (i < runner->plan->count && (!name || strcmp(runner->plan->cells[i].cell.name, name)))
        i++;
    return i;
}

// ---------------------------------------------------------------------------------------------------------------------

static void merge_extreme(struct record *into, const struct record *from, const char *name, bool add) {
    double before = record_number(into, name), now = record_number(from, name);
    if (isfinite(before) && isfinite(now))
        now = add ? before + now : fmax(before, now);
    else if (!isfinite(now))
        now = before;
    record_real(into, name, now);
}

// Facts of a later visit replace those of an earlier one; what describes the machine's state adds up.
static void merge_facts(struct cell_state *state, const struct record *facts) {
    static const char *const largest[] = {"steal_pct", "load", "peak_rss_bytes", "peak_rank_rss_bytes", "comm_share"};
    struct record merged = {0};
    record_merge(&merged, &state->facts);
    for (size_t i = 0; i < facts->count; i++)
        record_set(&merged, facts->fields[i].name, "%s", facts->fields[i].value);
    for (size_t i = 0; i < sizeof largest / sizeof *largest; i++) {
        record_unset(&merged, largest[i]);
        record_real(&merged, largest[i], record_number(&state->facts, largest[i]));
        merge_extreme(&merged, facts, largest[i], false);
    }
    record_real(&merged, "ctx_switches", record_number(&state->facts, "ctx_switches"));
    merge_extreme(&merged, facts, "ctx_switches", true);
    double before = record_number(&state->facts, "freq_mhz"), now = record_number(facts, "freq_mhz");
    if (isfinite(before) && isfinite(now))
        record_real(&merged, "freq_mhz", (before * (double)state->visits + now) / (double)(state->visits + 1));
    const char *noise_before = record_get(&state->facts, "status_noise"), *noise = record_get(facts, "status_noise");
    if (noise_before && noise && strcmp(noise_before, noise))
        record_set(&merged, "status_noise", "%.200s; %.200s", noise_before, noise);
    record_free(&state->facts);
    state->facts = merged;
}

static int absorb_visit(struct runner *runner, struct cell_state *state, const json_t *line) {
    const json_t *samples = json_object_get(line, "samples"), *steps = json_object_get(line, "steps");
    int result = 0;
    for (size_t i = 0; i < json_array_size(samples) && !result; i++)
        for (int phase = 0; phase < runner->workload->phase_count && !result; phase++) {
            const json_t *sample = json_array_get(samples, i);
            result = grow(&state->ns[phase], (uint64_t)json_integer_value(json_array_get(sample, (size_t)phase * 3 + 1)));
            if (!result)
                result = grow(&state->work[phase], (uint64_t)json_integer_value(json_array_get(sample, (size_t)phase * 3 + 2)));
        }
    for (size_t i = 0; i < json_array_size(steps) && !result; i++)
        result = grow(&state->steps, (uint64_t)json_integer_value(json_array_get(steps, i)));
    for (int figure = 0; figure < ROOF_FIGURES && !result; figure++) {
        const json_t *value = json_object_get(json_object_get(line, "roof"), roof_names[figure]);
        if (value)
            result = grow(&state->roof[figure], bits_of(json_number_value(value)));
    }
    struct record facts = {0};
    record_from_json(&facts, json_object_get(line, "facts"));
    merge_facts(state, &facts);
    if (state->output >= 0 && !runner->outputs[state->output].value && record_get(&facts, runner->workload->output_column))
        runner->outputs[state->output].value = strdup(record_get(&facts, runner->workload->output_column));
    record_free(&facts);
    const char *stop = json_string_value(json_object_get(line, "stop"));
    if (stop && *stop)
        snprintf(state->stop, sizeof state->stop, "%s", stop);
    state->warmup += (size_t)json_integer_value(json_object_get(line, "warmup"));
    state->visits++;
    return state->facts.failed ? -ENOMEM : result;
}

static int absorb_judgement(struct runner *runner, const json_t *line) {
    const char *key = json_string_value(json_object_get(line, "key")), *layout = json_string_value(json_object_get(line, "layout"));
    for (size_t i = 0; key && i < runner->judgement_count; i++)
        if (!strcmp(runner->judgements[i].key, key)) {
            struct judgement *judgement = &runner->judgements[i];
            record_from_json(&judgement->facts, json_object_get(line, "facts"));
            free(judgement->layout);
            judgement->layout = strdup(layout ? layout : "");
            judgement->known = true;
            return judgement->facts.failed || !judgement->layout ? -ENOMEM : 0;
        }
    return 0;
}

int runner_absorb(struct runner *runner, const json_t *line) {
    const char *event = json_string_value(json_object_get(line, "event"));
    if (event && !strcmp(event, "judged"))
        return absorb_judgement(runner, line);
    size_t cell = runner_find_cell(runner, json_string_value(json_object_get(line, "name")));
    if (!event || strcmp(event, "visited") || cell == runner->plan->count)
        return 0;
    return absorb_visit(runner, &runner->cells[cell], line);
}

// ---------------------------------------------------------------------------------------------------------------------

static double middle(const struct growing *list) {
    double *values = malloc((list->count + 1) * sizeof *values), median = NAN;
    if (values && list->count) {
        memcpy(values, list->value, list->count * sizeof *values);
        if (stats_quantile(values, list->count, 0.5, &median))
            median = NAN;
    }
    free(values);
    return median;
}

int runner_empty_row(struct runner *runner, size_t cell, enum cell_status status, const char *reason, struct record *row) {
    *row = (struct record){0};
    record_set(row, "cell", "%s", runner->plan->cells[cell].cell.name);
    record_set(row, "status", "%s", cell_status_name(status));
    if (*reason)
        record_set(row, "reason", "%s", reason);
    runner->workload->describe(runner->plan->state, &runner->plan->cells[cell].cell, row);
    return row->failed ? -ENOMEM : 0;
}

// A phase reads the clock at both of its ends, and a step twice more.
static void note_sample_overhead(struct runner *runner, const struct sample_set *samples) {
    const double steps = samples->count ? (double)samples->steps / (double)samples->count : 0;
    const double reading = clock_cost().read_ns * 2 * (runner->workload->phase_count + steps);
    for (size_t i = 0; i < samples->count; i++) {
        double ns = 0;
        for (int phase = 0; phase < runner->workload->phase_count; phase++)
            ns += (double)samples->phase[phase].ns[i];
        if (reading > runner->sample_overhead * ns)
            runner->sample_overhead = reading / ns;
    }
}

int runner_cell_row(struct runner *runner, size_t cell, struct record *row) {
    struct cell_state *state = &runner->cells[cell];
    struct sample_set samples = {.count = state->ns[0].count, .step_ns = state->steps.value, .steps = state->steps.count};
    for (int phase = 0; phase < runner->workload->phase_count; phase++) {
        samples.phase[phase].ns = state->ns[phase].value;
        samples.phase[phase].work = state->work[phase].value;
    }
    note_sample_overhead(runner, &samples);
    double figures[ROOF_FIGURES], half_width = INFINITY;
    for (int figure = 0; figure < ROOF_FIGURES; figure++)
        figures[figure] = middle(&state->roof[figure]);
    struct measured_roof roof = {figures[0], figures[1], figures[2], figures[3], figures[4]};
    int result = runner_empty_row(runner, cell, CELL_OK, "", row);
    if (result)
        return result;
    record_merge(row, &state->facts);
    if (state->judgement >= 0) {
        record_merge(row, &runner->judgements[state->judgement].facts);
        record_set(row, "quality_layout", "%s", runner->judgements[state->judgement].layout);
    }
    record_set(row, "samples", "%zu", samples.count);
    record_set(row, "warmup", "%zu", state->warmup);
    record_set(row, "rounds", "%zu", state->visits);
    record_set(row, "stop", "%s", state->stop);
    runner->workload->summarise(runner->plan->state, &state->plan->cell, &samples, &roof, row, &half_width);
    if (!(half_width <= 0.05)) {
        record_set(row, "status", "%s", cell_status_name(CELL_NOISY));
        if (isfinite(half_width))
            record_set(row, "reason", "an interval is \302\261%.1f%% wide, more than 5%%", half_width * 100);
        else
            record_set(row, "reason", "%zu samples are too few for a 95%% interval", samples.count);
    }
    free_samples(state);
    return row->failed ? -ENOMEM : 0;
}
