// SPDX-License-Identifier: MIT
#include "harness/run_store.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/clock.h"
#include "harness/csv.h"

static const char *const sample_columns[] = {"cell", "phase", "index", "ns", "tokens", "t_start", "round"};
static const char *const counter_columns[] = {"cell", "phase", "event", "value", "status", "reason", "tokens"};
enum { SAMPLE_COLUMNS = 7, COUNTER_COLUMNS = 7, JOURNAL_LIMIT = 1 << 30 };

static char *path_in(const struct run_store *store, const char *name) {
    char *path = NULL;
    return asprintf(&path, "%s/%s", store->directory, name) < 0 ? NULL : path;
}

// "a/b/c", made as mkdir -p does.
static int make_folder(const char *directory, char *error, size_t error_size) {
    char *path = strdup(directory);
    int result = path ? 0 : -ENOMEM;
    for (char *at = path; !result && at; ) {
        at = strchr(at + 1, '/');
        if (at)
            *at = '\0';
        if (mkdir(path, 0777) && errno != EEXIST)
            result = -errno;
        if (at)
            *at = '/';
    }
    struct stat status;
    if (!result && !stat(directory, &status) && !S_ISDIR(status.st_mode))
        result = -ENOTDIR;
    if (!result && access(directory, W_OK | X_OK))
        result = -errno;
    free(path);
    if (result)
        snprintf(error, error_size, "%s: cannot write results there: %s; choose another folder with -o", directory, strerror(-result));
    return result;
}

static int open_table(struct run_store *store, struct table **table, const char *name, const char *const *columns, size_t count,
                      char *error, size_t error_size) {
    char *path = path_in(store, name);
    bool torn = false;
    int result = path ? table_open(table, path, columns, count, &torn, error, error_size) : -ENOMEM;
    store->dropped_torn |= torn;
    free(path);
    return result;
}

static int open_tables(struct run_store *store, char *error, size_t error_size) {
    const struct workload *workload = store->workload;
    int result = open_table(store, &store->cells, "cells.csv", workload->columns, workload->column_count, error, error_size);
    if (!result)
        result = open_table(store, &store->samples, "samples.csv", sample_columns, SAMPLE_COLUMNS, error, error_size);
    if (!result)
        result = open_table(store, &store->counters, "counters.csv", counter_columns, COUNTER_COLUMNS, error, error_size);
    if (!result)
        result = open_table(store, &store->journal, "journal.jsonl", NULL, 0, error, error_size);
    return result;
}

static int begin(struct run_store *store, const struct plan *plan, const char *directory) {
    *store = (struct run_store){.workload = plan->workload, .directory = strdup(directory)};
    store->sample_index = calloc(plan->count + 1, sizeof *store->sample_index);
    return store->directory && store->sample_index ? 0 : -ENOMEM;
}

int run_store_create(struct run_store *store, const struct plan *plan, const char *directory, json_t *run, char *error,
                     size_t error_size) {
    *error = '\0';
    int result = begin(store, plan, directory);
    if (!result)
        result = make_folder(directory, error, error_size);
    char *path = result ? NULL : path_in(store, "run.json");
    if (path && !access(path, F_OK)) {
        snprintf(error, error_size, "%s: holds a run already; finish it with --resume, or choose another folder with -o", directory);
        result = -EEXIST;
    }
    free(path);
    if (!result) {
        store->run = json_incref(run);
        result = run_store_save(store, error, error_size);
    }
    if (!result)
        result = open_tables(store, error, error_size);
    if (result && !*error)
        snprintf(error, error_size, "%s: %s", directory, strerror(-result));
    if (result)
        run_store_close(store);
    return result;
}

// ---------------------------------------------------------------------------------------------------------------------

static int append_samples(struct run_store *store, size_t cell, const json_t *line, char *error, size_t error_size) {
    const json_t *samples = json_object_get(line, "samples");
    const char *name = json_string_value(json_object_get(line, "name"));
    size_t count = json_array_size(samples), phases = (size_t)store->workload->phase_count;
    struct record *rows = calloc(count * phases + 1, sizeof *rows);
    if (!rows)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const json_t *sample = json_array_get(samples, i);
        for (size_t phase = 0; phase < phases; phase++) {
            struct record *row = &rows[i * phases + phase];
            record_set(row, "cell", "%s", name);
            record_set(row, "phase", "%s", store->workload->phases[phase]);
            record_set(row, "index", "%zu", store->sample_index[cell]);
            record_set(row, "t_start", "%.6f", json_number_value(json_array_get(sample, phase * 3)));
            record_set(row, "ns", "%lld", (long long)json_integer_value(json_array_get(sample, phase * 3 + 1)));
            record_set(row, "tokens", "%lld", (long long)json_integer_value(json_array_get(sample, phase * 3 + 2)));
            record_set(row, "round", "%lld", (long long)json_integer_value(json_object_get(line, "round")));
        }
        store->sample_index[cell]++;
    }
    int result = count ? table_append(store->samples, rows, count * phases, error, error_size) : 0;
    for (size_t i = 0; i < count * phases; i++)
        record_free(&rows[i]);
    free(rows);
    return result;
}

static int append_counters(struct run_store *store, const json_t *line, char *error, size_t error_size) {
    const json_t *counters = json_object_get(line, "counters");
    const char *name = json_string_value(json_object_get(line, "name"));
    size_t count = json_array_size(counters);
    struct record *rows = calloc(count + 1, sizeof *rows);
    if (!rows)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        record_set(&rows[i], "cell", "%s", name);
        record_from_json(&rows[i], json_array_get(counters, i));
    }
    int result = count ? table_append(store->counters, rows, count, error, error_size) : 0;
    for (size_t i = 0; i < count; i++)
        record_free(&rows[i]);
    free(rows);
    return result;
}

static int append_visit(struct run_store *store, size_t cell, const json_t *line, char *error, size_t error_size) {
    int result = append_samples(store, cell, line, error, error_size);
    return result ? result : append_counters(store, line, error, error_size);
}

static bool is_visit(const json_t *line) {
    const char *event = json_string_value(json_object_get(line, "event"));
    return event && !strcmp(event, "visited");
}

int run_store_journal(struct run_store *store, const struct plan *plan, size_t cell, const json_t *line, char *error, size_t error_size) {
    (void)plan;
    int result = table_append_json(store->journal, line, error, error_size);
    if (!result && is_visit(line))
        result = append_visit(store, cell, line, error, error_size);
    // Syncing each visit would cost more than a visit; what a crash of the machine loses is a second of it.
    double now = (double)clock_now() / 1e9;
    if (!result && now - store->synced > 1) {
        store->synced = now;
        result = run_store_sync(store, error, error_size);
    }
    return result;
}

// ---------------------------------------------------------------------------------------------------------------------

static size_t find_cell(const struct plan *plan, const char *name) {
    for (size_t i = 0; name && i < plan->count; i++)
        if (!strcmp(plan->cells[i].cell.name, name))
            return i;
    return plan->count;
}

// Hands out the journal's lines and writes samples.csv and counters.csv anew from them.
static int replay(struct run_store *store, const struct plan *plan, void (*visited)(void *context, const json_t *line), void *context,
                  char *error, size_t error_size) {
    char *path = path_in(store, "journal.jsonl"), *line = NULL;
    FILE *file = path ? fopen(path, "re") : NULL;
    size_t room = 0, number = 0;
    int result = file ? 0 : -errno;
    while (!result && getline(&line, &room, file) > 0) {
        json_error_t wrong;
        json_t *value = json_loads(line, 0, &wrong);
        number++;
        if (!value) {
            snprintf(error, error_size, "%s:%zu: %s; cut the file off before this line to go on from there", path, number, wrong.text);
            result = -EINVAL;
            break;
        }
        size_t cell = find_cell(plan, json_string_value(json_object_get(value, "name")));
        if (is_visit(value) && cell < plan->count)
            result = append_visit(store, cell, value, error, error_size);
        if (!result)
            visited(context, value);
        json_decref(value);
    }
    if (file)
        fclose(file);
    free(line);
    free(path);
    return result;
}

static int load_run(struct run_store *store, const char *plan_hash, char *error, size_t error_size) {
    char *path = path_in(store, "run.json");
    json_error_t wrong;
    int result = path ? 0 : -ENOMEM;
    if (!result && access(path, R_OK)) {
        result = -errno;
        snprintf(error, error_size, "%s: no run to resume there: %s", store->directory, strerror(-result));
    } else if (!result && !(store->run = json_load_file(path, 0, &wrong))) {
        snprintf(error, error_size, "%s:%d: %s", path, wrong.line, wrong.text);
        result = -EINVAL;
    }
    const char *hash = json_string_value(json_object_get(json_object_get(store->run, "spec"), "hash"));
    if (!result && (!hash || strcmp(hash, plan_hash))) {
        snprintf(error, error_size,
                 "%s: was begun with another spec, model, text or settings; run it as it was, or begin a new run with another -o",
                 store->directory);
        result = -EINVAL;
    }
    free(path);
    return result;
}

int run_store_resume(struct run_store *store, const struct plan *plan, const char *directory, const char *plan_hash,
                     void (*visited)(void *context, const json_t *line), void *context, char *error, size_t error_size) {
    *error = '\0';
    int result = begin(store, plan, directory);
    if (!result)
        result = load_run(store, plan_hash, error, error_size);
    if (!result)
        result = make_folder(directory, error, error_size);
    static const char *const remade[] = {"samples.csv", "counters.csv"};
    for (size_t i = 0; i < 2 && !result; i++) {
        char *path = path_in(store, remade[i]);
        if (!path || (truncate(path, 0) && errno != ENOENT)) {
            result = path ? -errno : -ENOMEM;
            snprintf(error, error_size, "%s/%s: %s", directory, remade[i], strerror(-result));
        }
        free(path);
    }
    if (!result)
        result = open_tables(store, error, error_size);
    if (!result)
        result = replay(store, plan, visited, context, error, error_size);
    if (result && !*error)
        snprintf(error, error_size, "%s: %s", directory, strerror(-result));
    if (result)
        run_store_close(store);
    return result;
}

int run_store_rows(struct run_store *store, void (*done)(void *context, const char *name, enum cell_status status), void *context,
                   char *error, size_t error_size) {
    char *path = path_in(store, "cells.csv");
    struct csv_table table;
    int result = path ? csv_table_read(path, &table, error, error_size) : -ENOMEM;
    free(path);
    if (result)
        return result;
    int name = csv_table_column(&table, "cell"), status = csv_table_column(&table, "status");
    for (size_t i = 0; i < table.rows; i++) {
        enum cell_status parsed;
        if (!cell_status_parse(csv_table_field(&table, i, status), &parsed))
            done(context, csv_table_field(&table, i, name), parsed);
    }
    csv_table_free(&table);
    return 0;
}

// ---------------------------------------------------------------------------------------------------------------------

int run_store_row(struct run_store *store, const struct record *row, char *error, size_t error_size) {
    int result = table_append(store->cells, row, 1, error, error_size);
    return result ? result : table_sync(store->cells, error, error_size);
}

int run_store_sync(struct run_store *store, char *error, size_t error_size) {
    struct table *tables[] = {store->journal, store->samples, store->counters, store->cells};
    int result = 0;
    for (size_t i = 0; i < 4 && !result; i++)
        if (tables[i])
            result = table_sync(tables[i], error, error_size);
    return result;
}

int run_store_save(struct run_store *store, char *error, size_t error_size) {
    char *path = path_in(store, "run.json"), *text = json_dumps(store->run, JSON_INDENT(2));
    int result = path && text ? file_replace(path, text, strlen(text), error, error_size) : -ENOMEM;
    free(text);
    free(path);
    return result;
}

void run_store_close(struct run_store *store) {
    table_close(store->cells);
    table_close(store->samples);
    table_close(store->counters);
    table_close(store->journal);
    json_decref(store->run);
    free(store->directory);
    free(store->sample_index);
    *store = (struct run_store){0};
}
