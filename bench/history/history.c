// SPDX-License-Identifier: MIT
#include "bench/history/history.h"

#include <errno.h>
#include <fnmatch.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/compare/compare.h"
#include "bench/compare/document.h"
#include "bench/export/export.h"
#include "bench/report/text.h"
#include "harness/records.h"

static const char *const columns[] = {"time", "machine", "commit", "name", "tps", "lo", "hi", "status", "weights_hash", "ppl", "text_hash"};
enum { COLUMNS = sizeof columns / sizeof *columns };

// ---------------------------------------------------------------------------------------------------------------------
// Adding

static bool has_run(const struct csv_table *table, const char *machine, const char *commit, const char *time) {
    int m = csv_table_column(table, "machine"), c = csv_table_column(table, "commit"), t = csv_table_column(table, "time");
    for (size_t row = 0; row < table->rows; row++)
        if (!strcmp(csv_table_field(table, row, m), machine) && !strcmp(csv_table_field(table, row, c), commit) && !strcmp(csv_table_field(table, row, t), time))
            return true;
    return false;
}

static int check_new(const char *path, const char *machine, const char *commit, const char *time, char *error, size_t error_size) {
    struct csv_table table = {0};
    if (access(path, F_OK))
        return 0;
    int result = csv_table_read(path, &table, error, error_size);
    if (!result && has_run(&table, machine, commit, time)) {
        snprintf(error, error_size, "%s: has the run of %s at %s already", path, commit, time);
        result = -EEXIST;
    }
    csv_table_free(&table);
    return result;
}

int history_add(const char *path, const struct report_run *run, size_t *added, char *error, size_t error_size) {
    const char *machine = report_run_text(run, "machine", "slug"), *commit = report_run_text(run, "program", "commit"), *time = report_run_text(run, NULL, "started");
    *added = 0;
    if (!*machine || !*commit || !*time) {
        snprintf(error, error_size, "%s: run.json does not say the machine, the commit and when it started; a history needs all three", run->directory);
        return -EINVAL;
    }
    int result = check_new(path, machine, commit, time, error, error_size);
    if (!result)
        result = compare_check_twins(run, error, error_size);
    struct record *records = calloc(run->cell_count * COMPARE_PHASES + 1, sizeof *records);
    struct table *table = NULL;
    if (!result && !records) {
        snprintf(error, error_size, "not enough memory");
        result = -ENOMEM;
    }
    for (size_t i = 0; i < run->cell_count && !result; i++)
        for (int phase = 0; phase < COMPARE_PHASES; phase++) {
            const struct report_cell *cell = &run->cells[i];
            struct figure speed = phase == COMPARE_PREFILL ? cell->prefill : cell->decode;
            char name[512];
            if (!cell->timed || !(speed.value > 0))
                continue;
            struct record *record = &records[(*added)++];
            export_name(run, cell, compare_phase_names[phase], name, sizeof name);
            record_set(record, "time", "%s", time);
            record_set(record, "machine", "%s", machine);
            record_set(record, "commit", "%s", commit);
            record_set(record, "name", "%s", name);
            record_real(record, "tps", speed.value);
            record_real(record, "lo", speed.lo);
            record_real(record, "hi", speed.hi);
            record_set(record, "status", "%s", cell->status);
            record_set(record, "weights_hash", "%s", cell->weights_hash);
            if (cell->ppl > 0)
                record_real(record, "ppl", cell->ppl);
            record_set(record, "text_hash", "%s", cell->text_hash);
        }
    if (!result && !*added) {
        snprintf(error, error_size, "%s: no cell has a speed", run->directory);
        result = -EINVAL;
    }
    bool torn;
    if (!result)
        result = table_open(&table, path, columns, COLUMNS, &torn, error, error_size);
    if (!result)
        result = table_append(table, records, *added, error, error_size);
    if (!result)
        result = table_sync(table, error, error_size);
    if (table)
        table_close(table);
    for (size_t i = 0; records && i < run->cell_count * COMPARE_PHASES; i++)
        record_free(&records[i]);
    free(records);
    return result;
}

// ---------------------------------------------------------------------------------------------------------------------
// Reading

struct entry {
    const char *machine, *name, *time, *commit;
    double tps, lo, hi;
    size_t row;
};

static int by_series(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    int order = strcmp(x->machine, y->machine);
    if (!order)
        order = strcmp(x->name, y->name);
    if (!order)
        order = strcmp(x->time, y->time); // ISO 8601 in UTC sorts by time
    return order ? order : (x->row > y->row) - (x->row < y->row);
}

static int read_entries(struct history *history, const char *machine, const char *filter, struct entry **entries, size_t *count) {
    const struct csv_table *t = &history->table;
    int at[COLUMNS];
    for (int c = 0; c < COLUMNS; c++)
        at[c] = csv_table_column(t, columns[c]);
    *count = 0;
    *entries = calloc(t->rows + 1, sizeof **entries);
    if (!*entries)
        return -ENOMEM;
    for (size_t row = 0; row < t->rows; row++) {
        struct entry entry = {csv_table_field(t, row, at[1]), csv_table_field(t, row, at[3]), csv_table_field(t, row, at[0]), csv_table_field(t, row, at[2]),
                              csv_table_number(t, row, at[4]), csv_table_number(t, row, at[5]), csv_table_number(t, row, at[6]), row};
        if (!(entry.tps > 0) || (machine && strcmp(entry.machine, machine)) || (filter && fnmatch(filter, entry.name, 0)))
            continue;
        (*entries)[(*count)++] = entry;
    }
    qsort(*entries, *count, sizeof **entries, by_series);
    return 0;
}

static int take_series(struct history_series *series, const struct entry *entries, size_t count, const struct change_options *options) {
    *series = (struct history_series){.machine = entries->machine, .name = entries->name, .count = count};
    series->commits = calloc(count, sizeof *series->commits);
    series->times = calloc(count, sizeof *series->times);
    series->values = calloc(count, sizeof *series->values);
    series->lo = calloc(count, sizeof *series->lo);
    series->hi = calloc(count, sizeof *series->hi);
    series->points = calloc(count, sizeof *series->points);
    if (!series->commits || !series->times || !series->values || !series->lo || !series->hi || !series->points)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        series->commits[i] = entries[i].commit;
        series->times[i] = entries[i].time;
        series->values[i] = entries[i].tps;
        series->lo[i] = isnan(entries[i].lo) ? entries[i].tps : entries[i].lo;
        series->hi[i] = isnan(entries[i].hi) ? entries[i].tps : entries[i].hi;
    }
    return change_points_find(series->values, count, options, series->points, &series->point_count);
}

int history_load(const char *path, const char *machine, const char *filter, const struct change_options *options, struct history *history, char *error, size_t error_size) {
    *history = (struct history){0};
    int result = csv_table_read(path, &history->table, error, error_size);
    if (result == -ENOENT)
        snprintf(error, error_size, "%s: no such file; llmsweep history add RUN begins one", path);
    if (result)
        return result;
    for (int c = 0; c < 5; c++)
        if (csv_table_column(&history->table, columns[c]) < 0) {
            snprintf(error, error_size, "%s: no column '%s'; this is not a history", path, columns[c]);
            return -EINVAL;
        }
    struct entry *entries;
    size_t count;
    result = read_entries(history, machine, filter, &entries, &count);
    if (!result && !(history->series = calloc(count + 1, sizeof *history->series)))
        result = -ENOMEM;
    for (size_t begin = 0, end; begin < count && !result; begin = end) {
        for (end = begin + 1; end < count && !strcmp(entries[end].machine, entries[begin].machine) && !strcmp(entries[end].name, entries[begin].name); end++)
            ;
        result = take_series(&history->series[history->count++], entries + begin, end - begin, options);
    }
    free(entries);
    if (!result && !history->count) {
        snprintf(error, error_size, "%s: no series%s%s%s%s", path, machine ? " of machine " : "", machine ? machine : "", filter ? " with a name like " : "",
                 filter ? filter : "");
        return -EINVAL;
    }
    if (result)
        snprintf(error, error_size, "%s: not enough memory", path);
    return result;
}

void history_free(struct history *history) {
    for (size_t s = 0; s < history->count; s++) {
        struct history_series *series = &history->series[s];
        free(series->commits);
        free(series->times);
        free(series->values);
        free(series->lo);
        free(series->hi);
        free(series->points);
    }
    free(history->series);
    csv_table_free(&history->table);
    *history = (struct history){0};
}

// ---------------------------------------------------------------------------------------------------------------------
// Writing

struct seen_point {
    const struct history_series *series;
    const struct change_point *point;
};

static int newest_first(const void *a, const void *b) {
    const struct seen_point *x = a, *y = b;
    int order = strcmp(y->series->times[y->point->index], x->series->times[x->point->index]);
    return order ? order : strcmp(x->series->name, y->series->name);
}

static int fill(struct document *document, const struct history *history, bool all) {
    size_t total = 0, flat = 0;
    for (size_t s = 0; s < history->count; s++) {
        total += history->series[s].point_count;
        flat += !history->series[s].point_count;
    }
    struct seen_point *points = calloc(total + 1, sizeof *points);
    if (!points)
        return -ENOMEM;
    total = 0;
    for (size_t s = 0; s < history->count; s++)
        for (size_t i = 0; i < history->series[s].point_count; i++)
            points[total++] = (struct seen_point){&history->series[s], &history->series[s].points[i]};
    qsort(points, total, sizeof *points, newest_first);
    document_paragraph(document, "%zu series, %zu of them without a change. Change points are advisory: they say where the level of a series moved, not why.", history->count,
                       flat);
    if (total)
        document_table(document, 7, (const char *[]){"commit", "time", "change", "before", "after", "series", "machine"}, 1u << 2 | 1u << 3 | 1u << 4);
    for (size_t i = 0; i < total; i++) {
        const struct history_series *series = points[i].series;
        const struct change_point *point = points[i].point;
        char change[64], text[80], before[64], after[64], commit[64];
        snprintf(commit, sizeof commit, "%.12s", series->commits[point->index]);
        snprintf(text, sizeof text, "%s%s", change_text(point->after / point->before, change, sizeof change), point->drift ? " (drift)" : "");
        document_row(document, (const char *[]){commit, series->times[point->index], text, number_text(point->before, before, sizeof before),
                                                number_text(point->after, after, sizeof after), series->name, series->machine});
    }
    if (all && flat) {
        document_heading(document, 3, "Without a change");
        for (size_t s = 0; s < history->count; s++)
            if (!history->series[s].point_count)
                document_item(document, "%s (%s, %zu measurements)", history->series[s].name, history->series[s].machine, history->series[s].count);
    }
    free(points);
    return 0;
}

static int write_document(const struct history *history, bool all, enum document_form form, FILE *out) {
    struct document *document = document_new();
    int result = document ? fill(document, history, all) : -ENOMEM;
    if (!result)
        result = document_write(document, form, out);
    document_free(document);
    return result;
}

int history_write_text(const struct history *history, bool all, FILE *out) {
    return write_document(history, all, DOCUMENT_TEXT, out);
}

int history_write_html(const struct history *history, FILE *out) {
    return write_document(history, false, DOCUMENT_HTML, out);
}

int history_write_json(const struct history *history, FILE *out) {
    json_t *root = json_array();
    for (size_t s = 0; s < history->count; s++) {
        const struct history_series *series = &history->series[s];
        json_t *values = json_array(), *points = json_array();
        for (size_t i = 0; i < series->count; i++)
            json_array_append_new(values, json_pack("{s:s, s:s, s:f}", "time", series->times[i], "commit", series->commits[i], "tps", series->values[i]));
        for (size_t i = 0; i < series->point_count; i++) {
            const struct change_point *p = &series->points[i];
            json_array_append_new(points, json_pack("{s:i, s:s, s:f, s:f, s:f, s:b}", "index", (int)p->index, "commit", series->commits[p->index], "before", p->before, "after",
                                                    p->after, "p", p->p, "drift", p->drift));
        }
        json_array_append_new(root, json_pack("{s:s, s:s, s:o, s:o}", "machine", series->machine, "name", series->name, "values", values, "change_points", points));
    }
    int result = json_dumpf(root, out, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) || fputc('\n', out) == EOF ? -EIO : 0;
    json_decref(root);
    return result;
}
