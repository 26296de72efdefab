// SPDX-License-Identifier: MIT
#include "bench/report/run.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/records.h"

static const char *const axis_names[AXIS_COUNT] = {"prune", "format", "kv", "batch", "prompt", "prefix", "gen", "layout", "device"};

const char *report_axis_name(enum report_axis axis) {
    return axis_names[axis];
}

// ---------------------------------------------------------------------------------------------------------------------
// Cells
static struct figure read_figure(const struct csv_table *table, size_t row, const char *name) {
    char column[32];
    struct figure figure = {csv_table_number(table, row, csv_table_column(table, name)), NAN, NAN};
    snprintf(column, sizeof column, "%s_lo", name);
    figure.lo = csv_table_number(table, row, csv_table_column(table, column));
    snprintf(column, sizeof column, "%s_hi", name);
    figure.hi = csv_table_number(table, row, csv_table_column(table, column));
    if (!(figure.value > 0))
        figure.value = figure.lo = figure.hi = NAN;
    if (!(figure.lo <= figure.value))
        figure.lo = figure.value;
    if (!(figure.hi >= figure.value))
        figure.hi = figure.value;
    return figure;
}

// The word in front of the store: "q4g32" of "q4g32+2:4".
static size_t base_length(const char *format) {
    return strcspn(format, "+");
}

static double nominal_bits(const char *format) {
    const char *digits = format + strcspn(format, "0123456789");
    double bits = strtod(digits, NULL);
    return bits > 0 ? bits : NAN;
}

// Grows by doubling elsewhere; here the size is known: every cell makes at most two labels.
enum { LABEL_SIZE = 112 };

static const char *prune_label(const struct report_cell *cell, const char *word, char *label) {
    if (*word)
        return word;
    if (!*cell->method || !strcmp(cell->method, "none"))
        return "none";
    if (!strcmp(cell->method, "n:m") && strchr(cell->format, '+'))
        return strchr(cell->format, '+') + 1;
    if (!strcmp(cell->method, "magnitude"))
        snprintf(label, LABEL_SIZE, "%.3g%%", cell->prune_ratio * 100);
    else
        snprintf(label, LABEL_SIZE, "%.60s %.3g%%", cell->method, cell->prune_ratio * 100);
    return label;
}

// Of "32|128"; NAN where there is no number.
static double mean_length(const char *word) {
    double sum = 0;
    int count = 0;
    for (char *end; *word; word = *end == '|' ? end + 1 : end, count++) {
        sum += strtod(word, &end);
        if (end == word)
            return NAN;
    }
    return sum / count;
}

static void read_cell(struct report_run *run, size_t row, struct report_cell *cell) {
    const struct csv_table *t = &run->cell_table;
#define TEXT(name) csv_table_field(t, row, csv_table_column(t, name))
#define NUMBER(name) csv_table_number(t, row, csv_table_column(t, name))
    *cell = (struct report_cell){
        .id = TEXT("cell"), .status = TEXT("status"), .reason = TEXT("reason"), .model = TEXT("model"),
        .method = TEXT("method"), .format = TEXT("format"), .act = TEXT("act"), .provider = TEXT("provider"),
        .isa = TEXT("isa"), .roof_note = TEXT("roof_note"), .kernel = TEXT("kernel"), .note = TEXT("note"), .row = row,
        .weights_hash = TEXT("weights_hash"), .text_hash = TEXT("text_hash"),
        .prune_ratio = NUMBER("prune_ratio"), .sparsity = NUMBER("sparsity"), .bits_per_weight = NUMBER("bits_per_weight"),
        .batch = NUMBER("batch"), .ranks = NUMBER("ranks"), .threads = NUMBER("threads"),
        .ttft_ms = NUMBER("ttft_ms_p50"), .itl_ms = NUMBER("itl_ms_p50"), .weight_bytes = NUMBER("weight_bytes"),
        .peak_rss_bytes = NUMBER("peak_rss_bytes"), .ppl = NUMBER("ppl"), .ppl_se = NUMBER("ppl_se"),
        .dlnppl = NUMBER("dlnppl"), .dlnppl_se = NUMBER("dlnppl_se"), .kld = NUMBER("kld"), .top1 = NUMBER("top1"),
        .bytes_per_token = NUMBER("bytes_per_token"), .flops_per_token = NUMBER("flops_per_token"),
        .roof_tps = NUMBER("roof_tps"), .roof_fraction = NUMBER("roof_fraction"), .roof_gbs = NUMBER("roof_gbs"),
        .comm_share = NUMBER("comm_share"), .power_watts = NUMBER("power_watts"),
    };
    cell->axis[AXIS_KV] = TEXT("kv");
    cell->axis[AXIS_BATCH] = TEXT("batch");
    cell->axis[AXIS_PROMPT] = TEXT("prompt");
    cell->axis[AXIS_PREFIX] = *TEXT("prefix") ? TEXT("prefix") : "0"; // a run of before there was that column
    cell->prompt = mean_length(cell->axis[AXIS_PROMPT]);
    cell->axis[AXIS_GEN] = TEXT("gen");
    cell->axis[AXIS_LAYOUT] = TEXT("layout");
    cell->axis[AXIS_DEVICE] = TEXT("device");
    cell->axis[AXIS_PRUNE] = prune_label(cell, TEXT("prune"), run->storage + row * 2 * LABEL_SIZE);
#undef TEXT
#undef NUMBER
    if (!(cell->ppl > 0))
        cell->ppl = NAN;
    cell->bits = nominal_bits(cell->format);
    cell->prefill = read_figure(t, row, "prefill_tps");
    cell->decode = read_figure(t, row, "decode_tps");
}

static bool same_base(const struct report_cell *a, const struct report_cell *b) {
    size_t length = base_length(a->format);
    return length == base_length(b->format) && !strncmp(a->format, b->format, length);
}

// The instruction set follows from the kernel unless the sweep asked for several: then one kernel's cells differ by it.
static void name_variants(struct report_run *run) {
    for (size_t i = 0; i < run->cell_count; i++) {
        struct report_cell *cell = &run->cells[i];
        bool act = false, provider = false, isa = false;
        for (size_t j = 0; j < run->cell_count; j++) {
            const struct report_cell *other = &run->cells[j];
            if (other->model_index != cell->model_index || !same_base(cell, other))
                continue;
            act |= strcmp(cell->act, other->act) != 0;
            provider |= strcmp(cell->provider, other->provider) != 0;
            isa |= strcmp(cell->isa, other->isa) != 0 && *cell->isa && *other->isa && !strcmp(cell->act, other->act) &&
                   !strcmp(cell->provider, other->provider) && report_cells_match(cell, other, 1u << AXIS_VARIANT);
        }
        char *label = run->storage + (i * 2 + 1) * LABEL_SIZE;
        snprintf(label, LABEL_SIZE, "%.*s%s%.16s%s%.16s%s%.16s", (int)base_length(cell->format), cell->format,
                 act ? " act " : "", act ? cell->act : "", provider ? " " : "", provider ? cell->provider : "",
                 isa ? " " : "", isa ? cell->isa : "");
        cell->axis[AXIS_VARIANT] = label;
    }
}

static int find_models(struct report_run *run) {
    run->models = calloc(run->cell_count + 1, sizeof *run->models);
    if (!run->models)
        return -ENOMEM;
    for (size_t i = 0; i < run->cell_count; i++) {
        size_t m = 0;
        while (m < run->model_count && strcmp(run->models[m].name, run->cells[i].model))
            m++;
        if (m == run->model_count)
            run->models[run->model_count++].name = run->cells[i].model;
        run->cells[i].model_index = (int)m;
        run->models[m].cells++;
    }
    return 0;
}

// Cells stand by model: the first of a model is compared with the rest.
static void find_varying(struct report_run *run) {
    const struct report_cell *first = run->cells;
    for (size_t i = 0; i < run->cell_count; i++) {
        const struct report_cell *cell = &run->cells[i];
        if (cell->model_index != first->model_index)
            first = cell;
        for (int axis = 0; axis < AXIS_COUNT; axis++)
            run->models[cell->model_index].varies[axis] |= strcmp(first->axis[axis], cell->axis[axis]) != 0;
    }
}

// Rows are written as cells finish; a reader wants them in order.
static int compare_cells(const void *a, const void *b) {
    static const enum report_axis order[] = {AXIS_VARIANT, AXIS_PRUNE, AXIS_KV, AXIS_BATCH, AXIS_PROMPT, AXIS_PREFIX, AXIS_GEN, AXIS_LAYOUT, AXIS_DEVICE};
    const struct report_cell *x = a, *y = b;
    int result = x->model_index - y->model_index;
    for (size_t i = 0; !result && i < sizeof order / sizeof *order; i++)
        result = report_axis_compare(x, y, order[i]);
    return result ? result : (x->row > y->row) - (x->row < y->row);
}

static int build(struct report_run *run) {
    const struct csv_table *table = &run->cell_table;
    run->cell_count = table->rows;
    run->cells = calloc(table->rows + 1, sizeof *run->cells);
    run->storage = calloc(table->rows + 1, 2 * LABEL_SIZE);
    if (!run->cells || !run->storage)
        return -ENOMEM;
    bool any_decode = false;
    for (size_t i = 0; i < table->rows; i++) {
        read_cell(run, i, &run->cells[i]);
        any_decode |= run->cells[i].decode.value > 0;
    }
    if (find_models(run))
        return -ENOMEM;
    run->speed_name = any_decode || !table->rows ? "decode" : "prefill";
    for (size_t i = 0; i < table->rows; i++) {
        struct report_cell *cell = &run->cells[i];
        cell->speed = any_decode ? cell->decode : cell->prefill;
        cell->timed = (!strcmp(cell->status, "ok") || !strcmp(cell->status, "noisy")) && cell->speed.value > 0;
        run->models[cell->model_index].timed += cell->timed;
        run->models[cell->model_index].quality |= cell->timed && cell->ppl > 0;
    }
    name_variants(run);
    qsort(run->cells, run->cell_count, sizeof *run->cells, compare_cells);
    for (size_t i = 0; i < run->cell_count; i++)
        run->cells[i].row = i;
    find_varying(run);
    return 0;
}

static int check_columns(const struct csv_table *table, const char *name, char *error, size_t error_size) {
    const char *needed[] = {"cell", "status", "model", "format", "batch", "layout", "decode_tps"};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (csv_table_column(table, needed[i]) < 0) {
            snprintf(error, error_size, "%s: no column '%s'; this is not the cells.csv of a run", name, needed[i]);
            return -EINVAL;
        }
    return 0;
}

int report_run_parse(const char *cells_csv, struct report_run *run, char *error, size_t error_size) {
    *run = (struct report_run){.directory = ""};
    int result = csv_table_parse(cells_csv, strlen(cells_csv), "cells.csv", &run->cell_table, error, error_size);
    if (!result)
        result = check_columns(&run->cell_table, "cells.csv", error, error_size);
    run->torn = run->cell_table.torn;
    return result ? result : build(run);
}

int report_run_load(const char *directory, struct report_run *run, char *error, size_t error_size) {
    *run = (struct report_run){.directory = directory};
    char path[4096];
    snprintf(path, sizeof path, "%s/cells.csv", directory);
    int result = csv_table_read(path, &run->cell_table, error, error_size);
    if (result == -ENOENT || result == -ENOTDIR)
        snprintf(error, error_size, "%s: no such file; give the folder of a run, such as results/RUN", path);
    if (!result)
        result = check_columns(&run->cell_table, path, error, error_size);
    struct {
        const char *name;
        struct csv_table *table;
    } optional[] = {{"counters.csv", &run->counter_table}, {"kernels.csv", &run->kernel_table}, {"samples.csv", &run->sample_table}};
    for (size_t i = 0; !result && i < sizeof optional / sizeof *optional; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, optional[i].name);
        if (access(path, F_OK) == 0)
            result = csv_table_read(path, optional[i].table, error, error_size);
        run->torn |= optional[i].table->torn;
    }
    if (result)
        return result;
    run->torn |= run->cell_table.torn;
    snprintf(path, sizeof path, "%s/run.json", directory);
    json_error_t problem;
    run->json = json_load_file(path, 0, &problem);
    if (!run->json)
        snprintf(run->json_note, sizeof run->json_note, "run.json:%d: %s", problem.line > 0 ? problem.line : 1, problem.text);
    long long schema = json_integer_value(json_object_get(run->json, "schema"));
    if (schema > RECORDS_SCHEMA) {
        snprintf(error, error_size, "%s: schema %lld, and this program knows those up to %d; take a newer llmsweep", path, schema,
                 RECORDS_SCHEMA);
        return -EINVAL;
    }
    result = build(run);
    if (result)
        snprintf(error, error_size, "%s: not enough memory", directory);
    return result;
}

const char *report_run_text(const struct report_run *run, const char *object, const char *key) {
    const json_t *from = object ? json_object_get(run->json, object) : run->json;
    const char *text = json_string_value(json_object_get(from, key));
    return text ? text : "";
}

void report_run_free(struct report_run *run) {
    csv_table_free(&run->cell_table);
    csv_table_free(&run->counter_table);
    csv_table_free(&run->kernel_table);
    csv_table_free(&run->sample_table);
    json_decref(run->json);
    free(run->cells);
    free(run->models);
    free(run->storage);
    *run = (struct report_run){0};
}

// ---------------------------------------------------------------------------------------------------------------------
// Comparing
static bool agree(const struct report_cell *a, const struct report_cell *b, unsigned axes) {
    for (int axis = 0; axis < AXIS_COUNT; axis++)
        if (axes & 1u << axis && a->axis[axis] != b->axis[axis] && strcmp(a->axis[axis], b->axis[axis]))
            return false;
    return a->model_index == b->model_index;
}

bool report_cells_match(const struct report_cell *a, const struct report_cell *b, unsigned except) {
    // Called while variants are still being named: they are excepted then.
    return agree(a, b, ((1u << AXIS_COUNT) - 1) & ~except);
}

bool report_axis_varies(const struct report_run *run, int model, enum report_axis axis) {
    return run->models[model].varies[axis];
}

static int order(double a, double b) {
    return a < b ? -1 : a > b ? 1 : isnan(a) - isnan(b);
}

int report_axis_compare(const struct report_cell *a, const struct report_cell *b, enum report_axis axis) {
    int result = 0;
    switch (axis) {
    case AXIS_PRUNE:
        result = !!strcmp(a->axis[axis], "none") - !!strcmp(b->axis[axis], "none");
        if (!result)
            result = !strcmp(a->method, "n:m") - !strcmp(b->method, "n:m");
        if (!result)
            result = strcmp(a->method, b->method);
        if (!result)
            result = order(a->prune_ratio, b->prune_ratio);
        break;
    case AXIS_VARIANT:
        result = order(b->bits, a->bits);
        break;
    case AXIS_LAYOUT:
        result = order(a->ranks * a->threads, b->ranks * b->threads);
        if (!result)
            result = order(a->ranks, b->ranks);
        break;
    default:
        result = order(strtod(a->axis[axis], NULL), strtod(b->axis[axis], NULL));
    }
    return result ? result : strcmp(a->axis[axis], b->axis[axis]);
}

const struct report_cell *report_slice(const struct report_run *run, int model, unsigned fixed, unsigned flags,
                                       bool (*use)(const struct report_cell *cell)) {
    const struct report_cell **seen = calloc(run->cell_count + 1, sizeof *seen);
    size_t *counts = calloc(run->cell_count + 1, sizeof *counts), groups = 0, most = 0;
    const struct report_cell *best = NULL;
    if (!seen || !counts)
        goto out;
    for (size_t i = 0; i < run->cell_count; i++) {
        const struct report_cell *cell = &run->cells[i];
        if (cell->model_index != model || !cell->timed || (use && !use(cell)))
            continue;
        size_t g = 0;
        while (g < groups && !agree(seen[g], cell, fixed))
            g++;
        if (g == groups)
            seen[groups++] = cell;
        if (++counts[g] > most)
            most = counts[g];
    }
    for (size_t g = 0; g < groups; g++) {
        const struct report_cell *cell = seen[g];
        if ((double)counts[g] < 0.7 * (double)most)
            continue;
        int better = best ? order(cell->batch, best->batch) : -1;
        if (flags & LARGEST_BATCH && best)
            better = -better;
        if (!better)
            better = order(cell->ranks, best->ranks);
        if (!better)
            better = order(best->threads, cell->threads);
        if (better < 0)
            best = cell;
    }
out:
    free(seen);
    free(counts);
    return best;
}

// ---------------------------------------------------------------------------------------------------------------------
// Labels
static void append_axis(const struct report_cell *cell, enum report_axis axis, char *text, size_t size) {
    size_t used = strlen(text);
    if (axis == AXIS_PRUNE && strcmp(cell->axis[axis], "none") && strchr(cell->axis[axis], '%'))
        snprintf(text + used, size - used, "%s%s pruned", used ? ", " : "", cell->axis[axis]);
    else if (axis == AXIS_PRUNE)
        snprintf(text + used, size - used, "%s%s", used ? ", " : "",
                 strcmp(cell->axis[axis], "none") ? cell->axis[axis] : "unpruned");
    else
        snprintf(text + used, size - used, "%s%s%s%s", used ? ", " : "", axis == AXIS_VARIANT ? "" : axis_names[axis],
                 axis == AXIS_VARIANT ? "" : " ", cell->axis[axis]);
}

void report_slice_label(const struct report_run *run, const struct report_cell *cell, unsigned fixed, char *text, size_t size) {
    *text = '\0';
    for (int axis = 0; axis < AXIS_COUNT; axis++)
        if (fixed & 1u << axis && report_axis_varies(run, cell->model_index, (enum report_axis)axis))
            append_axis(cell, (enum report_axis)axis, text, size);
}

void report_cell_label(const struct report_run *run, const struct report_cell *cell, char *text, size_t size) {
    *text = '\0';
    append_axis(cell, AXIS_VARIANT, text, size);
    if (report_axis_varies(run, cell->model_index, AXIS_PRUNE))
        append_axis(cell, AXIS_PRUNE, text, size);
    size_t used = strlen(text);
    char rest[256];
    report_slice_label(run, cell, ((1u << AXIS_COUNT) - 1) & ~(1u << AXIS_VARIANT | 1u << AXIS_PRUNE), rest, sizeof rest);
    if (*rest)
        snprintf(text + used, size - used, ", %s", rest);
}
