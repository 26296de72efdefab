// SPDX-License-Identifier: MIT
// samples.csv by cell and phase.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare/compare.h"
#include "harness/stats.h"

struct entry {
    const char *cell, *phase;
    size_t row;
    double rate, round;
};

struct compare_samples {
    struct entry *entries; // sorted by cell, phase, row
    double *rates, *rounds; // in the same order
    size_t count;
};

static int same_key(const struct entry *a, const char *cell, const char *phase) {
    int order = strcmp(a->cell, cell);
    return order ? order : strcmp(a->phase, phase);
}

static int by_key(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    int order = same_key(x, y->cell, y->phase);
    return order ? order : (x->row > y->row) - (x->row < y->row);
}

int compare_samples_open(const struct report_run *run, struct compare_samples **samples) {
    const struct csv_table *table = &run->sample_table;
    struct compare_samples *opened = calloc(1, sizeof *opened);
    *samples = NULL;
    if (!opened)
        return -ENOMEM;
    opened->entries = calloc(table->rows + 1, sizeof *opened->entries);
    opened->rates = calloc(table->rows + 1, sizeof *opened->rates);
    opened->rounds = calloc(table->rows + 1, sizeof *opened->rounds);
    if (!opened->entries || !opened->rates || !opened->rounds) {
        compare_samples_free(opened);
        return -ENOMEM;
    }
    int cell = csv_table_column(table, "cell"), phase = csv_table_column(table, "phase");
    int ns = csv_table_column(table, "ns"), tokens = csv_table_column(table, "tokens"), round = csv_table_column(table, "round");
    for (size_t row = 0; row < table->rows; row++) {
        double rate = csv_table_number(table, row, tokens) * 1e9 / csv_table_number(table, row, ns);
        if (isfinite(rate) && rate > 0)
            opened->entries[opened->count++] = (struct entry){csv_table_field(table, row, cell), csv_table_field(table, row, phase), row, rate,
                                                                csv_table_number(table, row, round)};
    }
    qsort(opened->entries, opened->count, sizeof *opened->entries, by_key);
    for (size_t i = 0; i < opened->count; i++) {
        opened->rates[i] = opened->entries[i].rate;
        opened->rounds[i] = opened->entries[i].round;
    }
    *samples = opened;
    return 0;
}

const double *compare_samples_find(const struct compare_samples *samples, const char *cell, const char *phase, size_t *count) {
    size_t low = 0, high = samples->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (same_key(&samples->entries[middle], cell, phase) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    size_t end = low;
    while (end < samples->count && !same_key(&samples->entries[end], cell, phase))
        end++;
    *count = end - low;
    return end > low ? samples->rates + low : NULL;
}

int compare_samples_drift(const struct compare_samples *samples, const char *cell, const char *phase, double *drift) {
    size_t count;
    const double *rates = compare_samples_find(samples, cell, phase, &count), *rounds = rates ? samples->rounds + (rates - samples->rates) : NULL;
    double lowest = INFINITY, highest = 0, median;
    size_t seen = 0;
    *drift = NAN;
    // A round's samples lie together: they are in the order in which they were taken.
    for (size_t begin = 0, end; begin < count; begin = end) {
        for (end = begin; end < count && rounds[end] == rounds[begin]; end++)
            ;
        if (end == begin)
            return 0; // no rounds were recorded
        int result = stats_quantile(rates + begin, end - begin, 0.5, &median);
        if (result)
            return result;
        lowest = fmin(lowest, median);
        highest = fmax(highest, median);
        seen++;
    }
    if (seen > 1)
        *drift = log(highest / lowest);
    return 0;
}

void compare_samples_free(struct compare_samples *samples) {
    if (!samples)
        return;
    free(samples->entries);
    free(samples->rates);
    free(samples->rounds);
    free(samples);
}
