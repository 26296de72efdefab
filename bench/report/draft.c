// SPDX-License-Identifier: MIT
#include "bench/report/draft.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report/text.h"

void draft_leave_out(struct draft *d, const char *why) {
    snprintf(d->plot->missing, sizeof d->plot->missing, "%s", why);
}

bool draft_unpruned(const struct report_cell *cell) {
    return !strcmp(cell->axis[AXIS_PRUNE], "none");
}
bool draft_pruned(const struct report_cell *cell) {
    return !draft_unpruned(cell);
}

void draft_write_name(FILE *data, const char *name) {
    char plain[112];
    plain_text(name, plain, sizeof plain);
    fprintf(data, "\"%s\"\n", plain);
}

void draft_write_label(FILE *data, size_t position, const char *label) {
    char plain[112];
    plain_text(label, plain, sizeof plain);
    fprintf(data, "%zu,\"%s\"\n", position, plain);
}

void draft_end_block(FILE *data) {
    fputs("\n\n", data);
}

void draft_write_values(FILE *data, const double *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (isfinite(values[i]))
            fprintf(data, "%s%.9g", i ? "," : "", values[i]);
        else
            fprintf(data, "%sNaN", i ? "," : "");
    fputc('\n', data);
}

struct figure draft_perplexity(const struct report_cell *cell) {
    double relative = !isnan(cell->dlnppl_se) ? cell->dlnppl_se : cell->ppl_se / cell->ppl;
    double half = isnan(relative) ? 0 : 1.96 * relative;
    return (struct figure){cell->ppl, cell->ppl * exp(-half), cell->ppl * exp(half)};
}

void draft_add_variable(struct draft *d, const char *assignment) {
    size_t used = strlen(d->plot->variables);
    snprintf(d->plot->variables + used, sizeof d->plot->variables - used, "%s; ", assignment);
}

void draft_caption(struct draft *d, const char *format, ...) {
    size_t used = strlen(d->plot->caption);
    if (used && used + 1 < sizeof d->plot->caption)
        d->plot->caption[used++] = ' ';
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(d->plot->caption + used, sizeof d->plot->caption - used, format, arguments);
    va_end(arguments);
}

void draft_fixed_caption(struct draft *d, const struct report_cell *cell, unsigned fixed) {
    char where[256];
    report_slice_label(d->run, cell, fixed, where, sizeof where);
    if (*where)
        draft_caption(d, "Shown: %s.", where);
}

void draft_note_quality(struct draft *d, bool quality) {
    draft_add_variable(d, quality ? "quality = 1" : "quality = 0; height = 360");
    if (!quality)
        draft_caption(d, "Quality was not measured for these cells, so only speed is drawn.");
}

void draft_note_series(struct draft *d, size_t series) {
    if (series > DRAFT_SERIES)
        draft_caption(d, "The first %d of %zu series are drawn.", DRAFT_SERIES, series);
}

static enum report_axis sort_series, sort_position;
static int compare_cells(const void *a, const void *b) {
    const struct report_cell *x = *(const struct report_cell *const *)a, *y = *(const struct report_cell *const *)b;
    int result = report_axis_compare(x, y, sort_series);
    if (!result)
        result = report_axis_compare(x, y, sort_position);
    return result ? result : (x->row > y->row) - (x->row < y->row);
}

const struct report_cell **draft_gather(struct draft *d, const struct report_cell *slice, unsigned free_axes,
                                         bool (*use)(const struct report_cell *), enum report_axis series,
                                         enum report_axis position, size_t *count) {
    const struct report_cell **cells = calloc(d->run->cell_count + 1, sizeof *cells);
    *count = 0;
    for (size_t i = 0; cells && slice && i < d->run->cell_count; i++) {
        const struct report_cell *cell = &d->run->cells[i];
        if (cell->timed && (!use || use(cell)) && report_cells_match(cell, slice, free_axes))
            cells[(*count)++] = cell;
    }
    sort_series = series;
    sort_position = position;
    if (cells)
        qsort(cells, *count, sizeof *cells, compare_cells);
    return cells;
}

size_t draft_distinct(const struct report_cell **cells, size_t count, enum report_axis axis) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        size_t j = 0;
        while (j < i && strcmp(cells[i]->axis[axis], cells[j]->axis[axis]))
            j++;
        found += j == i;
    }
    return found;
}

size_t draft_place(const struct report_cell **cells, size_t count, enum report_axis axis, const struct report_cell **first,
                    size_t *positions) {
    size_t places = 0;
    for (size_t i = 0; i < count; i++) {
        size_t p = 0;
        while (p < places && strcmp(first[p]->axis[axis], cells[i]->axis[axis]))
            p++;
        if (p < places)
            continue;
        for (p = places++; p > 0 && report_axis_compare(cells[i], first[p - 1], axis) < 0; p--)
            first[p] = first[p - 1];
        first[p] = cells[i];
    }
    for (size_t i = 0; i < count; i++)
        for (size_t p = 0; p < places; p++)
            if (!strcmp(first[p]->axis[axis], cells[i]->axis[axis]))
                positions[i] = p;
    return places;
}

bool draft_some_quality(const struct report_cell **cells, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (cells[i]->ppl > 0)
            return true;
    return false;
}
