// SPDX-License-Identifier: MIT
// The plots that hold a run against its machine: roofline, counters.
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report/draft.h"
#include "harness/counters_events.h"
#include "kernels/kernel.h"

// ---------------------------------------------------------------------------------------------------------------------
// Block 0: the roofs, x y dx dy label. Then a block a format: operations per byte, GOP/s with bounds, cell.
static bool has_intensity(const struct report_cell *cell) {
    return cell->decode.value > 0 && cell->bytes_per_token > 0 && cell->flops_per_token > 0;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// The median over the rounds of one figure in run.json's "roofs", of a layout, in 10⁹/s. NAN when there is none.
static double measured_roof(const struct report_run *run, const char *layout, const char *name) {
    double values[512];
    size_t count = 0, index;
    json_t *value, *rounds = json_object_get(json_object_get(json_object_get(run->json, "roofs"), layout), name);
    json_array_foreach(rounds, index, value) {
        if (count < sizeof values / sizeof *values && json_number_value(value) > 0)
            values[count++] = json_number_value(value) / 1e9;
    }
    qsort(values, count, sizeof *values, compare_doubles);
    return count ? values[count / 2] : NAN;
}

struct extent {
    double least_x, most_x, ridge_x;
};

static void write_slope(FILE *data, double gbs, double peak, struct extent *extent) {
    double ridge = peak / gbs;
    extent->ridge_x = fmax(extent->ridge_x, ridge);
    fprintf(data, "%.9g,%.9g,%.9g,%.9g,\"%.*f GB/s\"\n", extent->least_x, extent->least_x * gbs, ridge - extent->least_x,
            peak - extent->least_x * gbs, gbs < 99.5, gbs);
}

void plot_roofline(struct draft *d) {
    unsigned free_axes = 1u << AXIS_PRUNE | 1u << AXIS_VARIANT | 1u << AXIS_BATCH;
    const struct report_cell *slice = report_slice(d->run, d->model, ALL_AXES & ~free_axes, 0, has_intensity);
    size_t count;
    const struct report_cell **cells = draft_gather(d, slice, free_axes, has_intensity, AXIS_VARIANT, AXIS_BATCH, &count);
    if (!cells || !count) {
        draft_leave_out(d, "no cell has bytes and operations per token");
        free(cells);
        return;
    }
    draft_fixed_caption(d, slice, ALL_AXES & ~free_axes);
    struct extent extent = {INFINITY, 0, 0};
    double slow = INFINITY, fast = 0, inferred = 0;
    for (size_t i = 0; i < count; i++) {
        double x = cells[i]->flops_per_token / cells[i]->bytes_per_token;
        extent.least_x = fmin(extent.least_x, x / 2);
        extent.most_x = fmax(extent.most_x, x * 2);
        if (cells[i]->roof_gbs > 0) {
            slow = fmin(slow, cells[i]->roof_gbs);
            fast = fmax(fast, cells[i]->roof_gbs);
        }
        if (strstr(cells[i]->roof_note, "compute"))
            inferred = fmax(inferred, cells[i]->roof_tps * cells[i]->flops_per_token / 1e9);
    }
    bool integer = false, floating = false;
    for (size_t i = 0; i < count; i++) {
        enum activation activation;
        const bool codes = !activation_parse(cells[i]->act, &activation) && activation_quantized(activation);
        integer |= codes;
        floating |= !codes;
    }
    struct {
        const char *key, *label;
        bool used; // some cell computes so
        double value;
    } peaks[] = {{"fp32", "f32 peak", floating, NAN}, {"int8", "int8 peak", integer, NAN}};
    enum { PEAKS = sizeof peaks / sizeof *peaks };
    double most = 0;
    for (size_t i = 0; i < PEAKS; i++) {
        if (!peaks[i].used)
            continue;
        peaks[i].value = measured_roof(d->run, slice->axis[AXIS_LAYOUT], peaks[i].key);
        most = fmax(most, peaks[i].value);
    }
    if (!(most > 0) && inferred > 0) {
        peaks[0].label = "peak of compute-bound cells";
        peaks[0].value = most = inferred;
    }
    draft_write_name(d->data, "roofs");
    bool slopes = fast > 0 && most > 0;
    if (slopes) {
        write_slope(d->data, fast, most, &extent);
        if (slow < 0.8 * fast)
            write_slope(d->data, slow, most, &extent);
        extent.most_x = fmax(extent.most_x, extent.ridge_x * 2);
    }
    for (size_t i = 0; i < PEAKS; i++)
        if (peaks[i].value > 0) {
            double from = fast > 0 ? peaks[i].value / fast : extent.least_x;
            fprintf(d->data, "%.9g,%.9g,%.9g,0,\"%s %.0f GOP/s\"\n", from, peaks[i].value, fmax(extent.most_x - from, from * 0.1),
                    peaks[i].label, peaks[i].value);
        }
    if (!slopes)
        draft_caption(d, "The run has no %s, so %s drawn.", most > 0 ? "bandwidth" : "arithmetic peaks",
                      most > 0 ? "only the peaks are" : "no roof is");
    else if (slow < 0.8 * fast)
        draft_caption(d, "Two bandwidths: working sets of different size were read at different speed (caches).");
    size_t series = 0;
    for (size_t i = 0; i < count; i++) {
        const struct report_cell *cell = cells[i];
        if (!i || strcmp(cell->axis[AXIS_VARIANT], cells[i - 1]->axis[AXIS_VARIANT])) {
            if (++series > DRAFT_SERIES)
                break;
            draft_end_block(d->data);
            draft_write_name(d->data, cell->axis[AXIS_VARIANT]);
        }
        double giga = cell->flops_per_token / 1e9;
        DRAFT_WRITE(d->data, cell->flops_per_token / cell->bytes_per_token, cell->decode.value * giga, cell->decode.lo * giga,
                    cell->decode.hi * giga, (double)cell->row);
    }
    draft_note_series(d, draft_distinct(cells, count, AXIS_VARIANT));
    free(cells);
}

// ---------------------------------------------------------------------------------------------------------------------
// Block 0: position, label of each row. Block 1: value, position, cell. Block 2: median, position.
struct counter_row {
    const char *label, *counter; // harness/counters.h's name of what is counted
    const char *per;             // divided by that counter; NULL: by tokens
    double scale;
};
static const struct counter_row counter_rows[] = {
    {"instructions per cycle", "instructions", "cycles", 1},
    {"instructions per token", "instructions", NULL, 1},
    {"L1 data misses per token", "l1d_misses", NULL, 1},
    {"L2 misses per token", "l2_misses", NULL, 1},
    {"L3 misses per token", "l3_misses", NULL, 1},
    {"branch misses per token", "branch_misses", NULL, 1},
    {"stalled cycles per token", "stalled_cycles", NULL, 1},
    {"CPU time per token (µs)", "task_clock", NULL, 1e-3},
    {"page faults per 1000 tokens", "page_faults", NULL, 1e3},
    {"context switches per 1000 tokens", "context_switches", NULL, 1e3},
    {"migrations per 1000 tokens", "cpu_migrations", NULL, 1e3},
};
enum { COUNTER_ROWS = sizeof counter_rows / sizeof *counter_rows };

// True for the counter's own name and for every event of PAPI's that stands for it.
static bool is_event(const char *event, const char *counter) {
    const char *const *candidate = event_candidates(counter);
    if (!strcmp(event, counter))
        return true;
    for (; candidate && *candidate; candidate++)
        if (!strcmp(event, *candidate))
            return true;
    return false;
}

struct counter_table {
    const struct csv_table *table;
    int cell, phase, event, value, status, tokens;
};

static bool counted(const struct counter_table *c, size_t row) {
    const char *status = csv_table_field(c->table, row, c->status);
    return !strcmp(status, "ok") || !strcmp(status, "multiplexed");
}

// The count of the same cell and phase, near the given row: its rows stand together in the file.
static double sibling(const struct counter_table *c, size_t row, const char *counter) {
    const char *cell = csv_table_field(c->table, row, c->cell), *phase = csv_table_field(c->table, row, c->phase);
    size_t from = row > 256 ? row - 256 : 0, to = row + 256 < c->table->rows ? row + 256 : c->table->rows;
    for (size_t i = from; i < to; i++)
        if (is_event(csv_table_field(c->table, i, c->event), counter) && counted(c, i) &&
            !strcmp(csv_table_field(c->table, i, c->cell), cell) && !strcmp(csv_table_field(c->table, i, c->phase), phase))
            return csv_table_number(c->table, i, c->value);
    return NAN;
}

static const struct report_cell *cell_of(const struct draft *d, const char *id, size_t *hint) {
    for (size_t i = 0; i < d->run->cell_count; i++) {
        size_t at = (*hint + i) % d->run->cell_count;
        if (!strcmp(d->run->cells[at].id, id)) {
            *hint = at;
            return d->run->cells[at].model_index == d->model ? &d->run->cells[at] : NULL;
        }
    }
    return NULL;
}

struct point {
    double value;
    size_t cell;
};

static size_t counter_points(const struct draft *d, const struct counter_table *c, const struct counter_row *kind,
                             struct point *points) {
    size_t count = 0, hint = 0;
    for (size_t row = 0; row < c->table->rows; row++) {
        if (!is_event(csv_table_field(c->table, row, c->event), kind->counter) || !counted(c, row) ||
            strcmp(csv_table_field(c->table, row, c->phase), d->run->speed_name))
            continue;
        const struct report_cell *cell = cell_of(d, csv_table_field(c->table, row, c->cell), &hint);
        double per = kind->per ? sibling(c, row, kind->per) : csv_table_number(c->table, row, c->tokens);
        double value = csv_table_number(c->table, row, c->value) / per * kind->scale;
        if (cell && isfinite(value))
            points[count++] = (struct point){value, cell->row};
    }
    return count;
}

static int compare_points(const void *a, const void *b) {
    return compare_doubles(&((const struct point *)a)->value, &((const struct point *)b)->value);
}

void plot_counters(struct draft *d) {
    const struct csv_table *t = &d->run->counter_table;
    struct counter_table c = {t, csv_table_column(t, "cell"), csv_table_column(t, "phase"), csv_table_column(t, "event"),
                              csv_table_column(t, "value"), csv_table_column(t, "status"), csv_table_column(t, "tokens")};
    struct point *points = calloc(t->rows + 1, sizeof *points);
    char *values = NULL, *medians = NULL;
    size_t values_size, medians_size, rows = 0;
    FILE *value_block = open_memstream(&values, &values_size), *median_block = open_memstream(&medians, &medians_size);
    if (!points || !value_block || !median_block) {
        draft_leave_out(d, "there was not enough memory");
        goto out;
    }
    draft_write_name(d->data, "rows");
    for (size_t kind = 0; kind < COUNTER_ROWS; kind++) {
        size_t count = counter_points(d, &c, &counter_rows[kind], points);
        if (!count)
            continue;
        fprintf(d->data, "%zu,\"%s\"\n", rows, counter_rows[kind].label);
        for (size_t i = 0; i < count; i++)
            DRAFT_WRITE(value_block, points[i].value, (double)rows + 0.26 * sin((double)i * 2.4), (double)points[i].cell);
        qsort(points, count, sizeof *points, compare_points);
        DRAFT_WRITE(median_block, count % 2 ? points[count / 2].value : (points[count / 2 - 1].value + points[count / 2].value) / 2,
                    (double)rows);
        rows++;
    }
    if (!rows) {
        draft_leave_out(d, t->columns ? "no counter counted in the phase that is compared" : "the run has no counters.csv");
        goto out;
    }
    fflush(value_block);
    fflush(median_block);
    fprintf(d->data, "\n\n\"values\"\n%s\n\n\"medians\"\n%s", values, medians);
    char variable[64];
    snprintf(variable, sizeof variable, "height = %zu", 110 + 42 * rows);
    draft_add_variable(d, variable);
    draft_caption(d, "Each dot is a cell (%s phase), counted in passes of their own; bars mark medians. The scale is logarithmic; "
                  "zeros stand at the left edge.", d->run->speed_name);
out:
    if (value_block)
        fclose(value_block);
    if (median_block)
        fclose(median_block);
    free(values);
    free(medians);
    free(points);
}
