// SPDX-License-Identifier: MIT
// The plots of what a model's cells were measured at.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report/draft.h"
#include "bench/report/findings.h"
#include "bench/report/text.h"

// ---------------------------------------------------------------------------------------------------------------------
// x: ratio in %, other: n:m and methods beside the line. Columns: x speed lo hi ppl lo hi cell other.
static void write_prune_line(struct draft *d, const struct report_cell *cell, bool other) {
    struct figure quality = draft_perplexity(cell);
    double ratio = draft_unpruned(cell) ? 0 : !isnan(cell->prune_ratio) ? cell->prune_ratio : cell->sparsity;
    DRAFT_WRITE(d->data, ratio * 100, cell->speed.value, cell->speed.lo, cell->speed.hi, quality.value, quality.lo, quality.hi,
          (double)cell->row, other);
}

void plot_prune(struct draft *d) {
    unsigned free_axes = 1u << AXIS_PRUNE | 1u << AXIS_VARIANT;
    const struct report_cell *slice = report_slice(d->run, d->model, ALL_AXES & ~free_axes, 0, draft_pruned);
    size_t count;
    const struct report_cell **cells = draft_gather(d, slice, free_axes, NULL, AXIS_VARIANT, AXIS_PRUNE, &count);
    if (!cells || !slice || draft_distinct(cells, count, AXIS_PRUNE) < 2) {
        draft_leave_out(d, "no two pruning ratios were timed with all else equal");
        free(cells);
        return;
    }
    draft_fixed_caption(d, slice, ALL_AXES & ~free_axes);
    // The method that most cells have gets the lines; n:m has no ratio to vary and is always a point.
    const char *method = "";
    size_t most = 0;
    for (size_t i = 0; i < count; i++) {
        size_t same = 0;
        for (size_t j = 0; j < count; j++)
            same += draft_pruned(cells[j]) && !strcmp(cells[j]->method, cells[i]->method) && strcmp(cells[j]->method, "n:m");
        if (draft_pruned(cells[i]) && same > most)
            most = same, method = cells[i]->method;
    }
    size_t series = 0;
    const char *others = NULL; // what the stars are
    for (size_t i = 0; i < count;) {
        size_t end = i;
        while (end < count && !strcmp(cells[end]->axis[AXIS_VARIANT], cells[i]->axis[AXIS_VARIANT]))
            end++;
        if (++series <= DRAFT_SERIES) {
            draft_write_name(d->data, cells[i]->axis[AXIS_VARIANT]);
            for (int other = 0; other < 2; other++)
                for (size_t j = i; j < end; j++)
                    if ((draft_pruned(cells[j]) && strcmp(cells[j]->method, method)) == other) {
                        write_prune_line(d, cells[j], other);
                        if (other)
                            others = others && strcmp(others, cells[j]->axis[AXIS_PRUNE]) ? "other patterns" : cells[j]->axis[AXIS_PRUNE];
                    }
            draft_end_block(d->data);
        }
        i = end;
    }
    if (others) {
        char plain[64], variable[80];
        plain_text(others, plain, sizeof plain);
        snprintf(variable, sizeof variable, "others = '%s'", plain);
        draft_add_variable(d, variable);
        if (*method)
            draft_caption(d, "Lines: %s pruning; stars: %s.", method, others);
    }
    draft_note_series(d, series);
    draft_note_quality(d, draft_some_quality(cells, count));
    free(cells);
}

// ---------------------------------------------------------------------------------------------------------------------
// Block 0: position, label. Then a block a pruning: position speed lo hi ppl lo hi cell.
void plot_bits(struct draft *d) {
    unsigned free_axes = 1u << AXIS_PRUNE | 1u << AXIS_VARIANT;
    const struct report_cell *slice = report_slice(d->run, d->model, ALL_AXES & ~free_axes, 0, NULL);
    size_t count;
    const struct report_cell **cells = draft_gather(d, slice, free_axes, NULL, AXIS_PRUNE, AXIS_VARIANT, &count);
    const struct report_cell **first = calloc(count + 1, sizeof *first);
    size_t *positions = calloc(count + 1, sizeof *positions);
    size_t places = cells && first && positions ? draft_place(cells, count, AXIS_VARIANT, first, positions) : 0;
    if (places < 2) {
        draft_leave_out(d, "no two weight formats were timed with all else equal");
    } else {
        draft_fixed_caption(d, slice, ALL_AXES & ~free_axes);
        draft_write_name(d->data, "formats");
        for (size_t p = 0; p < places; p++)
            draft_write_label(d->data, p, first[p]->axis[AXIS_VARIANT]);

        draft_end_block(d->data);
        size_t series = 0;
        for (size_t i = 0; i < count; i++) {
            if (!i || strcmp(cells[i]->axis[AXIS_PRUNE], cells[i - 1]->axis[AXIS_PRUNE])) {
                if (++series > DRAFT_SERIES)
                    break;
                if (i)
                    draft_end_block(d->data);
                draft_write_name(d->data, draft_unpruned(cells[i]) ? "unpruned" : cells[i]->axis[AXIS_PRUNE]);
            }
            struct figure quality = draft_perplexity(cells[i]);
            DRAFT_WRITE(d->data, (double)positions[i], cells[i]->speed.value, cells[i]->speed.lo, cells[i]->speed.hi, quality.value,
                  quality.lo, quality.hi, (double)cells[i]->row);
        }
        draft_note_series(d, draft_distinct(cells, count, AXIS_PRUNE));
        draft_note_quality(d, draft_some_quality(cells, count));
    }
    free(cells);
    free(first);
    free(positions);
}

// ---------------------------------------------------------------------------------------------------------------------
// A block a format: batch speed lo hi cell ideal.
void plot_batch(struct draft *d) {
    unsigned free_axes = 1u << AXIS_PRUNE | 1u << AXIS_VARIANT | 1u << AXIS_BATCH;
    const struct report_cell *slice = report_slice(d->run, d->model, ALL_AXES & ~free_axes, 0, draft_unpruned);
    size_t count;
    const struct report_cell **cells = draft_gather(d, slice, free_axes, draft_unpruned, AXIS_VARIANT, AXIS_BATCH, &count);
    if (!cells || draft_distinct(cells, count, AXIS_BATCH) < 2) {
        draft_leave_out(d, "no two batch sizes were timed with all else equal (unpruned)");
        free(cells);
        return;
    }
    char where[256];
    report_slice_label(d->run, slice, ALL_AXES & ~free_axes, where, sizeof where);
    draft_caption(d, "Shown: unpruned%s%s. Thin dotted lines: batch × the speed at the smallest batch.", *where ? ", " : "", where);
    size_t series = 0;
    const struct report_cell *first = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct report_cell *cell = cells[i];
        if (!first || strcmp(cell->axis[AXIS_VARIANT], first->axis[AXIS_VARIANT])) {
            if (++series > DRAFT_SERIES)
                break;
            if (first)
                draft_end_block(d->data);
            draft_write_name(d->data, cell->axis[AXIS_VARIANT]);
            first = cell;
        }
        DRAFT_WRITE(d->data, cell->batch, cell->speed.value, cell->speed.lo, cell->speed.hi, (double)cell->row,
                    first->speed.value * cell->batch / first->batch);
    }
    draft_note_series(d, draft_distinct(cells, count, AXIS_VARIANT));
    free(cells);
}

// ---------------------------------------------------------------------------------------------------------------------
// Block 0: position, layout. Then a block a format: position speed lo hi efficiency lo hi communication cell.
void plot_layout(struct draft *d) {
    unsigned free_axes = 1u << AXIS_PRUNE | 1u << AXIS_VARIANT | 1u << AXIS_LAYOUT;
    const struct report_cell *slice = report_slice(d->run, d->model, ALL_AXES & ~free_axes, LARGEST_BATCH, draft_unpruned);
    size_t count;
    const struct report_cell **cells = draft_gather(d, slice, free_axes, draft_unpruned, AXIS_VARIANT, AXIS_LAYOUT, &count);
    const struct report_cell **first = calloc(count + 1, sizeof *first);
    size_t *positions = calloc(count + 1, sizeof *positions);
    size_t places = cells && first && positions ? draft_place(cells, count, AXIS_LAYOUT, first, positions) : 0;
    if (places < 2) {
        draft_leave_out(d, "no two layouts were timed with all else equal (unpruned)");
    } else {
        bool communication = false;
        char where[256];
        report_slice_label(d->run, slice, ALL_AXES & ~free_axes, where, sizeof where);
        draft_write_name(d->data, "layouts");
        for (size_t p = 0; p < places; p++)
            draft_write_label(d->data, p, first[p]->axis[AXIS_LAYOUT]);

        size_t series = 0, begin = 0;
        for (size_t i = 0; i < count; i++) {
            if (!i || strcmp(cells[i]->axis[AXIS_VARIANT], cells[i - 1]->axis[AXIS_VARIANT])) {
                if (++series > DRAFT_SERIES)
                    break;
                draft_end_block(d->data);
                draft_write_name(d->data, cells[i]->axis[AXIS_VARIANT]);
                begin = i; // sorted: the layout with the fewest threads comes first
            }
            const struct report_cell *cell = cells[i], *base = cells[begin];
            bool comparable = !strcmp(base->axis[AXIS_LAYOUT], first[0]->axis[AXIS_LAYOUT]);
            struct figure ratio = figure_ratio(cell->speed, base->speed);
            double share = comparable ? 100 * base->ranks * base->threads / (cell->ranks * cell->threads) : NAN;
            if (cell == base)
                ratio.lo = ratio.hi = ratio.value;
            communication |= cell->comm_share > 0;
            DRAFT_WRITE(d->data, (double)positions[i], cell->speed.value, cell->speed.lo, cell->speed.hi, ratio.value * share,
                  ratio.lo * share, ratio.hi * share, cell->comm_share * 100, (double)cell->row);
        }
        draft_caption(d, "Shown: unpruned%s%s. Efficiency: speed ÷ (speed of %s × times as many threads).%s", *where ? ", " : "", where,
                 first[0]->axis[AXIS_LAYOUT], communication ? "" : " The run says nothing about time in communication.");
        draft_note_series(d, draft_distinct(cells, count, AXIS_VARIANT));
        draft_add_variable(d, communication ? "communication = 1" : "communication = 0");
    }
    free(cells);
    free(first);
    free(positions);
}

// ---------------------------------------------------------------------------------------------------------------------
// Block 0: the front's corners, then a block a format: change of perplexity in % with bounds, speed lo hi, cell, on the front.
static bool has_quality(const struct report_cell *cell) {
    return !isnan(cell->dlnppl);
}

static bool dominated(const struct report_cell *cell, const struct report_cell **cells, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct report_cell *other = cells[i];
        if (other->speed.value >= cell->speed.value && other->dlnppl <= cell->dlnppl &&
            (other->speed.value > cell->speed.value || other->dlnppl < cell->dlnppl))
            return true;
    }
    return false;
}

static int compare_quality(const void *a, const void *b) {
    double x = (*(const struct report_cell *const *)a)->dlnppl, y = (*(const struct report_cell *const *)b)->dlnppl;
    return (x > y) - (x < y);
}

static double increase(double dlnppl) {
    return 100 * (exp(dlnppl) - 1);
}

void plot_pareto(struct draft *d) {
    unsigned free_axes = 1u << AXIS_PRUNE | 1u << AXIS_VARIANT | 1u << AXIS_LAYOUT | 1u << AXIS_KV | 1u << AXIS_DEVICE;
    const struct report_cell *slice = report_slice(d->run, d->model, ALL_AXES & ~free_axes, 0, has_quality);
    size_t count, corners = 0;
    const struct report_cell **cells = draft_gather(d, slice, free_axes, has_quality, AXIS_VARIANT, AXIS_PRUNE, &count);
    const struct report_cell **front = calloc(count + 1, sizeof *front);
    if (!cells || !front || count < 2) {
        draft_leave_out(d, d->run->models[d->model].quality ? "fewer than two cells have a perplexity paired with unpruned f32"
                                                      : "quality was not measured for this model");
    } else {
        draft_fixed_caption(d, slice, ALL_AXES & ~free_axes);
        draft_caption(d, "On the front (line, large points) nothing is both faster and better. Changes under 0.1%% are drawn at 0.1%%.");
        for (size_t i = 0; i < count; i++)
            if (!dominated(cells[i], cells, count))
                front[corners++] = cells[i];
        qsort(front, corners, sizeof *front, compare_quality);
        draft_write_name(d->data, "front");
        for (size_t i = 0; i < corners; i++)
            DRAFT_WRITE(d->data, increase(front[i]->dlnppl), front[i]->speed.value);
        size_t series = 0;
        for (size_t i = 0; i < count; i++) {
            const struct report_cell *cell = cells[i];
            if (!i || strcmp(cell->axis[AXIS_VARIANT], cells[i - 1]->axis[AXIS_VARIANT])) {
                if (++series > DRAFT_SERIES)
                    break;
                draft_end_block(d->data);
                draft_write_name(d->data, cell->axis[AXIS_VARIANT]);
            }
            double half = isnan(cell->dlnppl_se) ? 0 : 1.96 * cell->dlnppl_se;
            DRAFT_WRITE(d->data, increase(cell->dlnppl), increase(cell->dlnppl - half), increase(cell->dlnppl + half), cell->speed.value,
                  cell->speed.lo, cell->speed.hi, (double)cell->row, !dominated(cell, cells, count));
        }
        draft_note_series(d, draft_distinct(cells, count, AXIS_VARIANT));
    }
    free(cells);
    free(front);
}

// ---------------------------------------------------------------------------------------------------------------------
// Block 0: prunings; block 1: formats; block 2: format, pruning, speed, perplexity, cell.
void plot_heatmap(struct draft *d) {
    unsigned free_axes = 1u << AXIS_PRUNE | 1u << AXIS_VARIANT;
    const struct report_cell *slice = report_slice(d->run, d->model, ALL_AXES & ~free_axes, 0, draft_pruned);
    size_t count;
    const struct report_cell **cells = draft_gather(d, slice, free_axes, NULL, AXIS_PRUNE, AXIS_VARIANT, &count);
    const struct report_cell **rows = calloc(count + 1, sizeof *rows), **columns = calloc(count + 1, sizeof *columns);
    size_t *row = calloc(count + 1, sizeof *row), *column = calloc(count + 1, sizeof *column);
    bool memory = cells && rows && columns && row && column;
    size_t row_count = memory ? draft_place(cells, count, AXIS_PRUNE, rows, row) : 0;
    size_t column_count = memory ? draft_place(cells, count, AXIS_VARIANT, columns, column) : 0;
    if (row_count < 2 || column_count < 2) {
        draft_leave_out(d, "it needs two prunings and two formats that were timed with all else equal");
    } else {
        draft_fixed_caption(d, slice, ALL_AXES & ~free_axes);
        draft_write_name(d->data, "prunings");
        for (size_t i = 0; i < row_count; i++)
            draft_write_label(d->data, i, draft_unpruned(rows[i]) ? "unpruned" : rows[i]->axis[AXIS_PRUNE]);

        draft_end_block(d->data);
        draft_write_name(d->data, "formats");
        for (size_t i = 0; i < column_count; i++)
            draft_write_label(d->data, i, columns[i]->axis[AXIS_VARIANT]);

        draft_end_block(d->data);
        draft_write_name(d->data, "cells");
        for (size_t i = 0; i < count; i++)
            DRAFT_WRITE(d->data, (double)column[i], (double)row[i], cells[i]->speed.value, cells[i]->ppl, (double)cells[i]->row);
        bool quality = draft_some_quality(cells, count);
        char variable[96];
        snprintf(variable, sizeof variable, "quality = %d; height = %zu", quality,
                 (quality ? 2 : 1) * (90 + 34 * (row_count < 14 ? row_count : 14)));
        draft_add_variable(d, variable);
    }
    free(cells);
    free(rows);
    free(columns);
    free(row);
    free(column);
}
