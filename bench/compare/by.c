// SPDX-License-Identifier: MIT
#include "bench/compare/by.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/settings.h"

// What a group is told apart by. A key takes its own part out, and those that follow from it.
enum group_part {
    PART_MODEL, PART_PRUNE, PART_FORMAT, PART_ACT, PART_PROVIDER, PART_KV, PART_BATCH, PART_PROMPT, PART_PREFIX, PART_GEN, PART_LAYOUT,
    PART_DEVICE, PARTS
};
static const char *const part_names[PARTS] = {"model", "prune", "format", "act", "provider", "kv", "batch", "prompt", "prefix", "gen", "layout", "device"};

static const char *part_text(const struct report_cell *cell, enum group_part part) {
    static const enum report_axis axes[PARTS] = {[PART_PRUNE] = AXIS_PRUNE, [PART_KV] = AXIS_KV, [PART_BATCH] = AXIS_BATCH, [PART_PROMPT] = AXIS_PROMPT,
                                                 [PART_PREFIX] = AXIS_PREFIX, [PART_GEN] = AXIS_GEN, [PART_LAYOUT] = AXIS_LAYOUT, [PART_DEVICE] = AXIS_DEVICE};
    switch (part) {
    case PART_MODEL:
        return cell->model;
    case PART_FORMAT:
        return cell->format;
    case PART_ACT:
        return cell->act;
    case PART_PROVIDER:
        return cell->provider;
    default:
        return cell->axis[axes[part]];
    }
}

#define BIT(part) (1u << (part))
static const struct key {
    const char *name;
    unsigned removes;
} keys[] = {
    {"run", 0},
    {"machine", 0},
    {"commit", 0},
    {"threads", BIT(PART_LAYOUT)},
    {"ranks", BIT(PART_LAYOUT)},
    {"isa", 0},
    {"model", BIT(PART_MODEL)},
    {"prune", BIT(PART_PRUNE) | BIT(PART_FORMAT)}, // the format's word has the store; its base is put back
    {"format", BIT(PART_FORMAT) | BIT(PART_ACT)},
    {"act", BIT(PART_ACT)},
    {"provider", BIT(PART_PROVIDER)},
    {"kv", BIT(PART_KV)},
    {"batch", BIT(PART_BATCH)},
    {"prompt", BIT(PART_PROMPT)},
    {"prefix", BIT(PART_PREFIX)},
    {"gen", BIT(PART_GEN)},
    {"layout", BIT(PART_LAYOUT)},
    {"device", BIT(PART_DEVICE)},
};
enum { KEYS = sizeof keys / sizeof *keys };

static const char *json_text(const struct report_run *run, const char *object, const char *key) {
    const char *text = report_run_text(run, object, key);
    return *text ? text : "not recorded";
}

static void key_text(const struct key *key, const struct report_run *run, const struct report_cell *cell, char *text, size_t size) {
    int threads = (int)(cell->ranks * cell->threads);
    if (!strcmp(key->name, "run"))
        compare_run_name(run, text, size);
    else if (!strcmp(key->name, "machine"))
        snprintf(text, size, "%s", json_text(run, "machine", "slug"));
    else if (!strcmp(key->name, "commit"))
        snprintf(text, size, "%.12s", json_text(run, "program", "commit"));
    else if (!strcmp(key->name, "threads"))
        snprintf(text, size, "%d thread%s", threads, threads == 1 ? "" : "s");
    else if (!strcmp(key->name, "ranks"))
        snprintf(text, size, "%d rank%s", (int)cell->ranks, cell->ranks == 1 ? "" : "s");
    else if (!strcmp(key->name, "isa"))
        snprintf(text, size, "%s", cell->isa);
    else if (!strcmp(key->name, "prune"))
        snprintf(text, size, "%s", cell->axis[AXIS_PRUNE]);
    else
        for (int part = 0; part < PARTS; part++)
            if (!strcmp(key->name, part_names[part])) {
                // The store, behind "+", is what pruning asked for: groups tell that apart.
                const char *value = part_text(cell, (enum group_part)part);
                bool format = part == PART_FORMAT;
                snprintf(text, size, "%s%s%.*s", format ? "" : key->name, format ? "" : " ", (int)(format ? strcspn(value, "+") : strlen(value)), value);
            }
}

static int parse_keys(const char *words, const struct key *chosen[BY_KEYS], size_t *count, char *error, size_t error_size) {
    *count = 0;
    while (*words) {
        char word[32];
        size_t length = strcspn(words, ","), k = 0;
        snprintf(word, sizeof word, "%.*s", (int)length, words);
        while (k < KEYS && strcmp(keys[k].name, word))
            k++;
        if (k == KEYS || *count == BY_KEYS) {
            const char *known[KEYS];
            for (size_t i = 0; i < KEYS; i++)
                known[i] = keys[i].name;
            if (k == KEYS)
                word_unknown("key of --by", word, known, KEYS, error, error_size);
            else
                snprintf(error, error_size, "--by takes at most %d keys", BY_KEYS);
            return -EINVAL;
        }
        chosen[(*count)++] = &keys[k];
        words += length + (words[length] == ',');
    }
    if (!*count)
        snprintf(error, error_size, "--by needs a key, such as machine, threads or format");
    return *count ? 0 : -EINVAL;
}

// ---------------------------------------------------------------------------------------------------------------------
// The table

struct placed {
    const struct report_cell *cell;
    size_t run, value, group;
};

static void group_label(const struct report_cell *cell, unsigned removed, bool keep_base, char *label, size_t size) {
    size_t used = 0;
    *label = '\0';
    for (int part = 0; part < PARTS; part++) {
        const char *text = part_text(cell, (enum group_part)part), *name = part_names[part];
        bool named = part == PART_MODEL || part == PART_FORMAT || part == PART_PRUNE;
        int length = (int)strlen(text);
        if (part == PART_FORMAT && keep_base)
            length = (int)strcspn(text, "+");
        else if (removed & BIT(part))
            continue;
        if (part == PART_PRUNE)
            text = strcmp(text, "none") ? text : "unpruned", length = (int)strlen(text);
        if (used < size)
            used += (size_t)snprintf(label + used, size - used, "%s%s%s%.*s", used ? ", " : "", named ? "" : name, named ? "" : " ", length, text);
    }
}

// Parts that are the same in every group are not worth a word in each label.
static unsigned constant_parts(const struct placed *placed, size_t count) {
    unsigned constant = 0;
    for (int part = 0; part < PARTS; part++) {
        bool same = count > 0;
        for (size_t i = 1; i < count && same; i++)
            same = !strcmp(part_text(placed[0].cell, (enum group_part)part), part_text(placed[i].cell, (enum group_part)part));
        if (same && part != PART_FORMAT)
            constant |= BIT(part);
    }
    return constant;
}

static int find_name(struct by_table *table, const char *name, size_t *index) {
    for (*index = 0; *index < table->value_count; ++*index)
        if (!strcmp(table->values[*index].name, name))
            return 0;
    struct by_value *grown = realloc(table->values, (table->value_count + 1) * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    table->values = grown;
    grown[table->value_count] = (struct by_value){.relative = NAN, .per_core = NAN, .per_watt = NAN, .per_cost = NAN};
    snprintf(grown[table->value_count++].name, sizeof grown->name, "%s", name);
    return 0;
}

static int find_group(struct by_table *table, size_t room, const char *label, size_t *index) {
    for (*index = 0; *index < table->group_count; ++*index)
        if (!strcmp(table->groups[*index].label, label))
            return 0;
    if (table->group_count == room)
        return -ENOMEM;
    snprintf(table->groups[table->group_count++].label, sizeof table->groups->label, "%s", label);
    return 0;
}

// Geometric means over the groups.
static void summarise(struct by_table *table, const struct by_options *options, const size_t *run_of) {
    for (size_t v = 0; v < table->value_count; v++) {
        struct by_value *value = &table->values[v];
        double relative = 0, core = 0, watt = 0, cost = 0;
        for (size_t g = 0; g < table->group_count; g++) {
            const struct report_cell *cell = table->groups[g].cells[v], *first = table->groups[g].cells[0];
            if (!cell)
                continue;
            size_t run = run_of[g * table->value_count + v];
            value->cells++;
            core += log(cell->speed.value / (cell->ranks * cell->threads));
            watt += log(cell->speed.value / (options->watts ? options->watts[run] : cell->power_watts));
            cost += log(cell->speed.value * 3600 / (options->cost ? options->cost[run] : NAN));
            if (first) {
                relative += log(cell->speed.value / first->speed.value);
                value->common++;
            }
        }
        if (value->common)
            value->relative = exp(relative / (double)value->common);
        if (value->cells) {
            value->per_core = exp(core / (double)value->cells);
            value->per_watt = exp(watt / (double)value->cells);
            value->per_cost = exp(cost / (double)value->cells);
        }
    }
}

int by_build(const struct report_run *runs, size_t run_count, const struct by_options *options, struct by_table *table, char *error,
             size_t error_size) {
    const struct key *chosen[BY_KEYS];
    size_t keys_count, count = 0, total = 0;
    unsigned removed = 0;
    bool keep_base = false, tells_runs = false;
    *table = (struct by_table){.run_count = run_count, .runs = runs};
    int result = parse_keys(options->keys, chosen, &keys_count, error, error_size);
    if (result)
        return result;
    for (size_t k = 0; k < keys_count; k++) {
        removed |= chosen[k]->removes;
        keep_base |= !strcmp(chosen[k]->name, "prune");
        tells_runs |= !strcmp(chosen[k]->name, "run") || !strcmp(chosen[k]->name, "machine") || !strcmp(chosen[k]->name, "commit");
    }
    for (size_t k = 0; k < keys_count; k++)
        keep_base &= strcmp(chosen[k]->name, "format") != 0;
    for (size_t r = 0; r < run_count; r++)
        total += runs[r].cell_count;
    struct placed *placed = calloc(total + 1, sizeof *placed);
    size_t *run_of = NULL;
    if (!placed) {
        result = -ENOMEM;
        goto out;
    }
    for (size_t r = 0; r < run_count; r++)
        for (size_t i = 0; i < runs[r].cell_count; i++)
            if (runs[r].cells[i].timed)
                placed[count++] = (struct placed){.cell = &runs[r].cells[i], .run = r};
    if (!count) {
        snprintf(error, error_size, "no cell of %s has a speed", run_count == 1 ? "the run" : "the runs");
        result = -EINVAL;
        goto out;
    }
    unsigned hidden = removed | constant_parts(placed, count);
    table->groups = calloc(count, sizeof *table->groups);
    if (!table->groups)
        result = -ENOMEM;
    for (size_t i = 0; i < count && !result; i++) {
        char name[160] = "", label[400];
        // Two runs of one machine are not mixed: the key says which.
        if (run_count > 1 && !tells_runs)
            compare_run_name(&runs[placed[i].run], name, sizeof name);
        for (size_t k = 0; k < keys_count; k++) {
            size_t used = strlen(name);
            char text[120] = "";
            key_text(chosen[k], &runs[placed[i].run], placed[i].cell, text, sizeof text);
            snprintf(name + used, sizeof name - used, "%s%s", used ? ", " : "", text);
        }
        group_label(placed[i].cell, hidden, keep_base, label, sizeof label);
        result = find_name(table, name, &placed[i].value);
        if (!result)
            result = find_group(table, count, label, &placed[i].group);
    }
    if (!result)
        run_of = calloc(table->group_count * table->value_count + 1, sizeof *run_of);
    if (!run_of)
        result = -ENOMEM;
    for (size_t g = 0; g < table->group_count && !result; g++)
        if (!(table->groups[g].cells = calloc(table->value_count, sizeof *table->groups[g].cells)))
            result = -ENOMEM;
    for (size_t i = 0; i < count && !result; i++) {
        const struct report_cell **at = &table->groups[placed[i].group].cells[placed[i].value];
        if (*at && (*at)->speed.value >= placed[i].cell->speed.value)
            continue;
        *at = placed[i].cell;
        run_of[placed[i].group * table->value_count + placed[i].value] = placed[i].run;
    }
    if (!result)
        summarise(table, options, run_of);
    for (int part = 0; part < PARTS; part++)
        if (removed & BIT(part)) {
            size_t used = strlen(table->dropped);
            snprintf(table->dropped + used, sizeof table->dropped - used, "%s%s", used ? ", " : "", part_names[part]);
        }
out:
    if (result == -ENOMEM)
        snprintf(error, error_size, "not enough memory");
    free(placed);
    free(run_of);
    return result;
}

void by_free(struct by_table *table) {
    for (size_t g = 0; table->groups && g < table->group_count; g++)
        free(table->groups[g].cells);
    free(table->groups);
    free(table->values);
    *table = (struct by_table){0};
}
