// SPDX-License-Identifier: MIT
// The plots of kernels.csv: bars against the roof, and the roofline of all kernels.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report/draft.h"
#include "bench/report/kernel_rows.h"

static struct kernel_row *gather(struct draft *d, size_t *count) {
    struct kernel_row *rows = kernel_rows(d->run, count);
    if (!d->run->kernel_table.rows)
        draft_leave_out(d, "no kernel was benchmarked by itself in this run (llmsweep kernels --bench does that)");
    else if (!rows)
        draft_leave_out(d, "no kernel's share of its roof is in kernels.csv");
    return rows;
}

// ---------------------------------------------------------------------------------------------------------------------
// Block 0: position, kernel. Block 1: share of the roof in % where bytes bound, bounds, position; block 2: where arithmetic does.
struct bars {
    const char *name, *op;
    double share[2][3]; // by bound: share, lo, hi
};

static double most(const struct bars *bars) {
    return fmax(bars->share[0][0], bars->share[1][0]);
}

static int compare_bars(const void *a, const void *b) {
    const struct bars *x = a, *y = b;
    const int op = strcmp(x->op, y->op);
    if (op)
        return op;
    const double p = most(x), q = most(y);
    return p > q ? -1 : p < q ? 1 : strcmp(x->name, y->name);
}

static void add_bar(struct bars *bars, size_t *count, const struct kernel_row *row, bool *several) {
    size_t k = 0;
    while (k < *count && strcmp(bars[k].name, row->name))
        k++;
    if (k == *count)
        bars[(*count)++] = (struct bars){row->name, row->op, {{NAN, NAN, NAN}, {NAN, NAN, NAN}}};
    double *share = bars[k].share[!row->memory_bound];
    if (!isnan(share[0])) { // one timing a bound: the first
        *several = true;
        return;
    }
    share[0] = 100 * row->share;
    share[1] = row->hi > 0 ? share[0] * row->ns / row->hi : share[0]; // a longer time is a smaller share
    share[2] = row->lo > 0 ? share[0] * row->ns / row->lo : share[0];
}

void plot_kernels(struct draft *d) {
    size_t row_count, count = 0;
    struct kernel_row *rows = gather(d, &row_count);
    struct bars *bars = rows ? calloc(row_count, sizeof *bars) : NULL;
    bool several = false;
    double highest = 0;
    for (size_t i = 0; bars && i < row_count; i++) {
        add_bar(bars, &count, &rows[i], &several);
        highest = fmax(highest, 100 * rows[i].share);
    }
    if (rows && !bars)
        draft_leave_out(d, "there was not enough memory");
    if (!count)
        goto out;
    qsort(bars, count, sizeof *bars, compare_bars);
    if (several)
        draft_caption(d, "Of each kernel the first timing under each roof; kernels.csv has all.");
    if (highest > 125)
        draft_caption(d, "Bars at the right edge go on, up to %.0f%%: a disturbed measurement, or a library that uses instructions which the roof does not.", highest);
    draft_write_name(d->data, "kernels");
    for (size_t k = 0; k < count; k++)
        draft_write_label(d->data, k, bars[k].name);
    for (int bound = 0; bound < 2; bound++) {
        draft_end_block(d->data);
        draft_write_name(d->data, bound ? "bound by arithmetic (many tokens)" : "bound by reading (few tokens)");
        for (size_t k = 0; k < count; k++)
            DRAFT_WRITE(d->data, bars[k].share[bound][0], bars[k].share[bound][1], bars[k].share[bound][2], (double)k);
    }
    char variable[64];
    snprintf(variable, sizeof variable, "height = %zu", 110 + 17 * count);
    draft_add_variable(d, variable);
out:
    free(bars);
    free(rows);
}

// ---------------------------------------------------------------------------------------------------------------------
// A block a roof (`roofs` of them): the ends of its line, x and y. Then a block a family: operations per byte, GOP/s, lo, hi, row.
static const char *const families[] = {"f32, bf16 activations", "8-bit activations", "sparse weights", "attention", "other ops",
                                       "libraries"};
enum { FAMILIES = sizeof families / sizeof *families };

static int family(const struct kernel_row *row) {
    if (strstr(row->name, "_openblas") || strstr(row->name, "_onednn"))
        return 5;
    if (!strcmp(row->op, "attention"))
        return 3;
    if (strcmp(row->op, "linear"))
        return 4;
    if (strstr(row->name, "mask_") || strstr(row->name, "block_"))
        return 2;
    return strncmp(row->name, "linear_q8", 9) ? 0 : 1;
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// The median of a figure over the rows that `use` allows; NAN when there is none.
static double median(const struct kernel_row *rows, size_t count, double (*use)(const struct kernel_row *row, const char *word), const char *word) {
    double *values = calloc(count, sizeof *values), result = NAN;
    size_t used = 0;
    for (size_t i = 0; values && i < count; i++) {
        const double value = use(&rows[i], word);
        if (value > 0)
            values[used++] = value;
    }
    if (used) {
        qsort(values, used, sizeof *values, compare_doubles);
        result = values[used / 2];
    }
    free(values);
    return result;
}

static double bandwidth_of(const struct kernel_row *row, const char *cache) {
    return row->cold == !strcmp(cache, "cold") && row->memory_bound ? row->bandwidth : NAN;
}

static double peak_of(const struct kernel_row *row, const char *arithmetic) {
    return !strcmp(row->arithmetic, arithmetic) ? row->peak : NAN;
}

struct ceiling {
    double value;
    char label[80];
};

static void write_roof(FILE *data, const char *label, double x0, double y0, double x1, double y1) {
    draft_write_name(data, label);
    DRAFT_WRITE(data, x0, y0);
    DRAFT_WRITE(data, x1, y1);
    draft_end_block(data);
}

// Writes the lines and returns how many.
static size_t write_roofs(struct draft *d, const struct kernel_row *rows, size_t count) {
    static const struct { const char *word, *text; } kinds[] = {
        {"int8", "int8 dot"}, {"int16", "int16 dot"}, {"bf16", "bf16 dot"}, {"f32", "f32 FMA"}, {"", "arithmetic"}};
    struct ceiling peaks[sizeof kinds / sizeof *kinds], slopes[2];
    size_t peak_count = 0, slope_count = 0;
    double least_x = INFINITY, most_x = 0, highest = 0, fastest = 0;
    for (size_t i = 0; i < count; i++) {
        least_x = fmin(least_x, rows[i].gops / rows[i].gbs / 2);
        most_x = fmax(most_x, rows[i].gops / rows[i].gbs * 2);
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const double value = median(rows, count, peak_of, kinds[i].word);
        if (!(value > 0))
            continue;
        snprintf(peaks[peak_count].label, sizeof peaks->label, "%s %.0f GOP/s", kinds[i].text, value);
        peaks[peak_count++].value = value;
        highest = fmax(highest, value);
    }
    for (int cold = 1; cold >= 0; cold--) {
        const double value = median(rows, count, bandwidth_of, cold ? "cold" : "hot");
        if (!(value > 0) || !(highest > 0))
            continue;
        snprintf(slopes[slope_count].label, sizeof slopes->label, "%s %.*f GB/s", cold ? "memory" : "caches", value < 99.5,
                 value);
        slopes[slope_count++].value = value;
        fastest = fmax(fastest, value);
        most_x = fmax(most_x, 2 * highest / value);
    }
    for (size_t i = 0; i < slope_count; i++)
        write_roof(d->data, slopes[i].label, least_x, least_x * slopes[i].value, highest / slopes[i].value, highest);
    for (size_t i = 0; i < peak_count; i++)
        write_roof(d->data, peaks[i].label, fastest > 0 ? peaks[i].value / fastest : least_x, peaks[i].value, most_x, peaks[i].value);
    return slope_count + peak_count;
}

void plot_kernel_roofline(struct draft *d) {
    size_t count;
    struct kernel_row *rows = gather(d, &count);
    if (!rows)
        return;
    const size_t roofs = write_roofs(d, rows, count);
    size_t written = 0;
    for (int f = 0; f < FAMILIES; f++) {
        bool any = false;
        for (size_t i = 0; i < count; i++) {
            if (family(&rows[i]) != f)
                continue;
            if (!any) {
                if (written++)
                    draft_end_block(d->data);
                draft_write_name(d->data, families[f]);
            }
            any = true;
            DRAFT_WRITE(d->data, rows[i].gops / rows[i].gbs, rows[i].gops, rows[i].gops * rows[i].ns / rows[i].hi,
                        rows[i].gops * rows[i].ns / rows[i].lo, (double)rows[i].row);
        }
    }
    char variable[64];
    snprintf(variable, sizeof variable, "roofs = %zu", roofs);
    draft_add_variable(d, variable);
    draft_caption(d, "Roofs are medians of what was measured between the samples; hover over a point for its kernel.");
    free(rows);
}
