// SPDX-License-Identifier: MIT
#include "harness/plan.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/topology.h"

enum { CELLS_MAX = 1000000 };

// ---------------------------------------------------------------------------------------------------------------------
// FNV-1a with MurmurHash3's finalizer: short keys that differ in one letter spread over all bits.

static uint64_t hash_text(uint64_t hash, const char *text) {
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
    return (hash ^ 0xff) * 0x100000001b3; // an end that no text holds
}

static uint64_t hash_finish(uint64_t hash) {
    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccd;
    hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53;
    return hash ^ hash >> 33;
}

// A set of texts, open addressing; remembers which keys were met.
struct text_set {
    char **slots;
    size_t room, count;
};

static int set_add(struct text_set *set, const char *text, bool *fresh) {
    if (set->count * 2 >= set->room) {
        struct text_set larger = {.room = set->room ? set->room * 4 : 256};
        larger.slots = calloc(larger.room, sizeof *larger.slots);
        if (!larger.slots)
            return -ENOMEM;
        for (size_t i = 0; i < set->room; i++)
            if (set->slots[i]) {
                size_t at = hash_finish(hash_text(0, set->slots[i])) & (larger.room - 1);
                while (larger.slots[at])
                    at = (at + 1) & (larger.room - 1);
                larger.slots[at] = set->slots[i];
                larger.count++;
            }
        free(set->slots);
        *set = larger;
    }
    size_t at = hash_finish(hash_text(0, text)) & (set->room - 1);
    for (; set->slots[at]; at = (at + 1) & (set->room - 1))
        if (!strcmp(set->slots[at], text)) {
            *fresh = false;
            return 0;
        }
    *fresh = true;
    set->count++;
    return (set->slots[at] = strdup(text)) ? 0 : -ENOMEM;
}

static void set_free(struct text_set *set) {
    for (size_t i = 0; i < set->room; i++)
        free(set->slots[i]);
    free(set->slots);
}

// ---------------------------------------------------------------------------------------------------------------------

static int name_cell(struct plan *plan, struct plan_cell *cell, char *error, size_t error_size) {
    struct record identity = {0};
    int result = plan->workload->identity(plan->state, &cell->cell, &identity, error, error_size);
    uint64_t hash = hash_text(0xcbf29ce484222325, plan->workload->name);
    for (size_t i = 0; i < plan->workload->axis_count; i++) {
        const struct axis *axis = &plan->workload->axes[i];
        if (!axis->by_identity && !(plan->workload->later_axes >> i & 1 && !strcmp(cell->cell.value[i], axis->fallback))) {
            hash = hash_text(hash, axis->name);
            hash = hash_text(hash, cell->cell.value[i]);
        }
    }
    for (size_t i = 0; i < identity.count; i++) {
        hash = hash_text(hash, identity.fields[i].name);
        hash = hash_text(hash, identity.fields[i].value);
    }
    const struct settings *settings = cell->sweep->settings;
    for (size_t i = 0; i < settings_count(settings); i++)
        if (settings_row(settings, i)->defines) {
            hash = hash_text(hash, settings_row(settings, i)->name);
            hash = hash_text(hash, settings_value(settings, i));
        }
    snprintf(cell->cell.name, sizeof cell->cell.name, "%016" PRIx64, hash_finish(hash));
    // Kept by what they are about: several models have several of each.
    for (size_t i = 0; i < identity.count && !result; i++)
        if (!record_get(&plan->identity, identity.fields[i].name))
            record_set(&plan->identity, identity.fields[i].name, "%s", identity.fields[i].value);
        else if (!strstr(record_get(&plan->identity, identity.fields[i].name), identity.fields[i].value)) {
            char *joined = NULL;
            if (asprintf(&joined, "%s %s", record_get(&plan->identity, identity.fields[i].name), identity.fields[i].value) < 0)
                result = -ENOMEM;
            else
                record_set(&plan->identity, identity.fields[i].name, "%s", joined), free(joined);
        }
    if (!result && (identity.failed || plan->identity.failed))
        result = -ENOMEM;
    record_free(&identity);
    return result;
}

// Whether the machine can hold the layout. What was found is kept: placing costs more than everything else about a cell.
static enum cell_status judge_layout(struct plan *plan, const struct cell *cell, char *reason, size_t reason_size) {
    const char *word;
    int ranks, threads;
    plan->workload->layout(cell, &word, &ranks, &threads);
    for (size_t i = 0; i < plan->layout_count; i++)
        if (!strcmp(plan->layouts[i].word, word)) {
            snprintf(reason, reason_size, "%s", plan->layouts[i].reason);
            return *reason ? CELL_SKIPPED : CELL_OK;
        }
    struct plan_layout *grown = realloc(plan->layouts, (plan->layout_count + 1) * sizeof *grown);
    if (!grown) {
        snprintf(reason, reason_size, "out of memory");
        return CELL_SKIPPED;
    }
    plan->layouts = grown;
    struct plan_layout *layout = &grown[plan->layout_count++];
    *layout = (struct plan_layout){.word = word, .ranks = ranks, .threads = threads};
    if (ranks > 1 && plan->limits.no_launcher) {
        snprintf(layout->reason, sizeof layout->reason, "%s", plan->limits.no_launcher);
        plan->launcher_missing = true;
    } else if (plan->limits.topology) {
        struct placement placement = {0};
        char why[256] = "";
        unsigned flags = plan->limits.oversubscribe ? PLACE_OVERSUBSCRIBE : 0;
        if (topology_place(plan->limits.topology, ranks, threads, flags, &placement, why, sizeof why))
            snprintf(layout->reason, sizeof layout->reason, "%s: %s", word, why);
        else
            placement_free(&placement);
    }
    return judge_layout(plan, cell, reason, reason_size);
}

static int judge_cell(struct plan *plan, struct plan_cell *cell) {
    char reason[512] = "";
    cell->status = plan->workload->legal(plan->state, &cell->cell, reason, sizeof reason);
    if (cell->status == CELL_OK)
        cell->status = judge_layout(plan, &cell->cell, reason, sizeof reason);
    if (cell->status == CELL_OK) {
        plan->workload->estimate(plan->state, &cell->cell, &cell->estimate);
        if (cell->estimate.bytes > plan->limits.memory_bytes) {
            cell->status = CELL_OOM;
            snprintf(reason, sizeof reason, "needs about %.2f GB of memory, %.2f GB may be used", (double)cell->estimate.bytes / 1e9,
                     (double)plan->limits.memory_bytes / 1e9);
        }
    }
    if (cell->status == CELL_OK)
        return 0;
    cell->reason = strdup(reason);
    return cell->reason ? 0 : -ENOMEM;
}

double plan_cell_seconds(const struct plan_cell *cell) {
    const struct settings *settings = cell->sweep->settings;
    double each = cell->estimate.sample_seconds, rounds = settings_number(settings, "rounds");
    double least = settings_number(settings, "min_samples") * each, most = settings_number(settings, "max_samples") * each;
    double timed = fmin(most, fmax(least, settings_number(settings, "max_time")));
    // One full warm-up, then short ones; one pass for the counters.
    double warm = fmax(settings_number(settings, "warmup_min") * each,
                       fmin(settings_number(settings, "warmup_time"), 3 * each));
    return timed + rounds * warm + each;
}

static int add_cell(struct plan *plan, const struct sweep *sweep, const size_t *place, struct text_set *names, char *error,
                    size_t error_size) {
    struct plan_cell *cell = &plan->cells[plan->count];
    bool fresh;
    *cell = (struct plan_cell){.sweep = sweep};
    for (size_t i = 0; i < plan->workload->axis_count; i++)
        cell->cell.value[i] = sweep->axes[i].value[place[sweep->group[i]]];
    if (plan->workload->settle)
        plan->workload->settle(&cell->cell);
    int result = name_cell(plan, cell, error, error_size);
    if (result || (result = set_add(names, cell->cell.name, &fresh)) || !fresh)
        return result;
    plan->count++; // from here on plan_free frees its reason
    result = judge_cell(plan, cell);
    plan->runnable += cell->status == CELL_OK;
    if (cell->estimate.bytes > plan->bytes && cell->status == CELL_OK)
        plan->bytes = cell->estimate.bytes;
    return result;
}

// The first axis turns slowest, as one reads a table.
static int multiply_sweep(struct plan *plan, const struct sweep *sweep, struct text_set *names, char *error, size_t error_size) {
    size_t place[WORKLOAD_AXES] = {0}, axes = plan->workload->axis_count;
    double product = 1;
    for (size_t i = 0; i < axes; i++)
        product *= sweep->group[i] == (int)i ? (double)sweep->axes[i].count : 1;
    if (product + (double)plan->count > CELLS_MAX) {
        snprintf(error, error_size, "%s: %.3g cells are more than the %d that one run may have; use zip, or several specs",
                 plan->spec->path, product + (double)plan->count, CELLS_MAX);
        return -EINVAL;
    }
    struct plan_cell *grown = realloc(plan->cells, (plan->count + (size_t)product) * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    plan->cells = grown;
    for (;;) {
        int result = add_cell(plan, sweep, place, names, error, error_size);
        if (result)
            return result;
        size_t i = axes;
        while (i-- > 0) {
            if (sweep->group[i] != (int)i)
                continue;
            if (++place[i] < sweep->axes[i].count)
                break;
            place[i] = 0;
        }
        if (i == (size_t)-1)
            return 0;
    }
}

struct planned_judgement {
    char *key;
    double seconds;
};

static int compare_judgements(const void *a, const void *b) {
    const struct planned_judgement *x = a, *y = b;
    const int order = strcmp(x->key, y->key);
    return order ? order : (x->seconds > y->seconds) - (x->seconds < y->seconds);
}

// Quality is computed once for all cells of a key, in the quickest of their layouts. Frees the keys.
static double judging_seconds(struct planned_judgement *judgements, size_t count) {
    double seconds = 0;
    if (count)
        qsort(judgements, count, sizeof *judgements, compare_judgements);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(judgements[i].key, judgements[i - 1].key))
            seconds += judgements[i].seconds;
    for (size_t i = 0; i < count; i++)
        free(judgements[i].key);
    return seconds;
}

static int sum_up(struct plan *plan) {
    struct text_set built = {0};
    struct planned_judgement *judgements = calloc(plan->count + 1, sizeof *judgements);
    size_t judgement_count = 0;
    int result = judgements ? 0 : -ENOMEM;
    for (size_t i = 0; i < plan->count && !result; i++) {
        const struct plan_cell *cell = &plan->cells[i];
        char variant[1024], key[1024], both[2048];
        const char *word;
        int ranks, threads;
        bool fresh;
        for (size_t axis = 0; axis < plan->workload->axis_count; axis++)
            if (strcmp(cell->cell.value[axis], plan->cells[0].cell.value[axis]))
                plan->differing |= 1u << axis;
        if (cell->status != CELL_OK)
            continue;
        plan->seconds += plan_cell_seconds(cell);
        plan->workload->layout(&cell->cell, &word, &ranks, &threads);
        plan->workload->variant_key(&cell->cell, variant, sizeof variant);
        snprintf(both, sizeof both, "%s %s", word, variant);
        result = set_add(&built, both, &fresh);
        plan->seconds += !result && fresh ? cell->estimate.prepare_seconds : 0;
        plan->workload->quality_key(plan->state, &cell->cell, key, sizeof key);
        if (!result && *key) {
            judgements[judgement_count] = (struct planned_judgement){strdup(key), cell->estimate.quality_seconds};
            result = judgements[judgement_count].key ? 0 : -ENOMEM;
            judgement_count += !result;
        }
    }
    plan->seconds += judging_seconds(judgements, judgement_count);
    free(judgements);
    set_free(&built);
    return result;
}

int plan_make(struct plan *plan, const struct spec *spec, const struct machine_limits *limits, char *error, size_t error_size) {
    struct text_set names = {0};
    *plan = (struct plan){.spec = spec, .workload = spec->workload, .limits = *limits};
    *error = '\0';
    int result = spec->workload->plan_open(spec->settings, &plan->limits, &plan->state, error, error_size);
    for (size_t i = 0; i < spec->sweep_count && !result; i++)
        result = multiply_sweep(plan, &spec->sweeps[i], &names, error, error_size);
    if (!result)
        result = sum_up(plan);
    set_free(&names);
    if (result) {
        if (!*error)
            snprintf(error, error_size, "%s: %s", spec->path, strerror(-result));
        plan_free(plan);
    }
    return result;
}

void plan_free(struct plan *plan) {
    for (size_t i = 0; i < plan->count; i++)
        free(plan->cells[i].reason);
    free(plan->cells);
    free(plan->layouts);
    record_free(&plan->identity);
    if (plan->state)
        plan->workload->plan_close(plan->state);
    *plan = (struct plan){0};
}

void plan_cell_label(const struct plan *plan, const struct cell *cell, char *label, size_t size) {
    size_t at = 0;
    *label = '\0';
    for (size_t i = 0; i < plan->workload->axis_count && at < size; i++)
        if (plan->differing >> i & 1)
            at += (size_t)snprintf(label + at, size - at, "%s%s=%s", at ? " " : "", plan->workload->axes[i].name, cell->value[i]);
    if (!at && plan->count)
        snprintf(label, size, "the only cell");
}

json_t *plan_json(const struct plan *plan) {
    json_t *cells = json_array();
    for (size_t i = 0; i < plan->count; i++) {
        const struct plan_cell *cell = &plan->cells[i];
        json_t *axes = json_object();
        for (size_t j = 0; j < plan->workload->axis_count; j++)
            json_object_set_new(axes, plan->workload->axes[j].name, json_string(cell->cell.value[j]));
        json_t *row = json_pack("{s:s, s:s, s:o}", "cell", cell->cell.name, "status",
                                cell->status == CELL_OK ? "planned" : cell_status_name(cell->status), "axes", axes);
        if (cell->reason)
            json_object_set_new(row, "reason", json_string(cell->reason));
        if (cell->status == CELL_OK) {
            json_object_set_new(row, "seconds", json_real(plan_cell_seconds(cell)));
            json_object_set_new(row, "bytes", json_integer((json_int_t)cell->estimate.bytes));
        }
        json_array_append_new(cells, row);
    }
    return json_pack("{s:s, s:s, s:I, s:I, s:f, s:I, s:o}", "spec", plan->spec->path, "workload", plan->workload->name, "planned",
                     (json_int_t)plan->count, "runnable", (json_int_t)plan->runnable, "seconds", plan->seconds, "bytes",
                     (json_int_t)plan->bytes, "cells", cells);
}
