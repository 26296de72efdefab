// SPDX-License-Identifier: MIT
#include "bench/commands/summary.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/csv.h"

enum column { STATUS, MODEL, PRUNE, FORMAT, BATCH, LAYOUT, PREFILL, DECODE, LOW, HIGH, BYTES, PPL, DLNPPL, FRACTION, COLUMNS };
static const char *const names[COLUMNS] = {"status",       "model",        "prune",        "format", "batch",  "layout",       "prefill_tps",
                                           "decode_tps",   "decode_tps_lo", "decode_tps_hi", "weight_bytes", "ppl", "dlnppl",
                                           "roof_fraction"};

// A loss of quality that most would accept: perplexity up by 5%.
static const double small_loss = 0.05;

struct view {
    struct csv_table table;
    int column[COLUMNS];
};

static const char *text(const struct view *view, size_t row, enum column column) {
    return csv_table_field(&view->table, row, view->column[column]);
}
static double number(const struct view *view, size_t row, enum column column) {
    return csv_table_number(&view->table, row, view->column[column]);
}

static bool has_figures(const struct view *view, size_t row) {
    return !strcmp(text(view, row, STATUS), "ok") || !strcmp(text(view, row, STATUS), "noisy");
}

static bool same_group(const struct view *view, size_t a, size_t b) {
    return !strcmp(text(view, a, MODEL), text(view, b, MODEL)) && !strcmp(text(view, a, BATCH), text(view, b, BATCH));
}

static bool is_baseline(const struct view *view, size_t row) {
    return !strcmp(text(view, row, PRUNE), "none") && !strcmp(text(view, row, FORMAT), "f32");
}

enum choice { CHOOSE_BASELINE, CHOOSE_CLOSE, CHOOSE_FASTEST };

static bool fits(const struct view *view, size_t row, enum choice choice) {
    return choice == CHOOSE_FASTEST || (choice == CHOOSE_BASELINE ? is_baseline(view, row) : number(view, row, DLNPPL) <= small_loss);
}

// The fastest row of the group that `first` is in; rows when there is none.
static size_t choose(const struct view *view, size_t first, enum choice choice) {
    size_t best = view->table.rows;
    for (size_t i = first; i < view->table.rows; i++)
        if (has_figures(view, i) && same_group(view, i, first) && fits(view, i, choice) &&
            (best == view->table.rows || number(view, i, DECODE) > number(view, best, DECODE)))
            best = i;
    return best;
}

static void print_row(const struct view *view, size_t row, const char *what, double baseline) {
    char speedup[16] = "", loss[16] = "";
    double half = (number(view, row, HIGH) - number(view, row, LOW)) / 2 / number(view, row, DECODE);
    if (isfinite(baseline))
        snprintf(speedup, sizeof speedup, "%.2fx", number(view, row, DECODE) / baseline);
    if (isfinite(number(view, row, DLNPPL)))
        snprintf(loss, sizeof loss, "%+.1f%%", expm1(number(view, row, DLNPPL)) * 100);
    printf("  %-5s %-12s %-12s %-14s %-8s %10.0f %10.0f %5.1f%% %7s %8.1f %8s%s\n", text(view, row, BATCH), what, text(view, row, PRUNE),
           text(view, row, FORMAT), text(view, row, LAYOUT), number(view, row, PREFILL), number(view, row, DECODE), half * 100, speedup,
           number(view, row, BYTES) / 1e6, loss, strcmp(text(view, row, STATUS), "noisy") ? "" : "  noisy");
}

static void print_group(const struct view *view, size_t first) {
    size_t none = view->table.rows;
    size_t baseline = choose(view, first, CHOOSE_BASELINE), close = choose(view, first, CHOOSE_CLOSE), fastest = choose(view, first, CHOOSE_FASTEST);
    double speed = baseline < none ? number(view, baseline, DECODE) : NAN;
    if (baseline < none)
        print_row(view, baseline, "f32", speed);
    if (close < none && close != baseline)
        print_row(view, close, "ppl < +5%", speed);
    if (fastest != close && fastest != baseline)
        print_row(view, fastest, "fastest", speed);
}

// The row with the smallest batch above `batch` of the model that row `first` is of.
static size_t next_batch(const struct view *view, size_t first, double batch) {
    size_t next = view->table.rows;
    for (size_t i = first; i < view->table.rows; i++)
        if (has_figures(view, i) && !strcmp(text(view, i, MODEL), text(view, first, MODEL)) && number(view, i, BATCH) > batch &&
            (next == view->table.rows || number(view, i, BATCH) < number(view, next, BATCH)))
            next = i;
    return next;
}

static size_t first_of_group(const struct view *view, size_t row) {
    size_t first = 0;
    while (!has_figures(view, first) || !same_group(view, first, row))
        first++;
    return first;
}

static void print_groups(const struct view *view) {
    for (size_t i = 0; i < view->table.rows; i++) {
        bool seen = !has_figures(view, i);
        for (size_t j = 0; j < i && !seen; j++)
            seen = has_figures(view, j) && !strcmp(text(view, j, MODEL), text(view, i, MODEL));
        if (seen)
            continue;
        printf("\n%s\n  %-5s %-12s %-12s %-14s %-8s %10s %10s %6s %7s %8s %8s\n", text(view, i, MODEL), "batch", "", "prune", "format",
               "layout", "prefill/s", "decode/s", "\302\261", "speed", "MB", "ppl");
        for (size_t row = next_batch(view, i, 0); row < view->table.rows; row = next_batch(view, i, number(view, row, BATCH)))
            print_group(view, first_of_group(view, row));
    }
}

static void print_times(const struct runner_result *result) {
    const struct runner_times *times = &result->times;
    double timed = times->warmup + times->samples + times->quality;
    if (!(times->wall > 0))
        return;
    printf("\n%.1f s: %.0f%% in warm-up (%.1f s), timed samples (%.1f s) and quality (%.1f s);\n"
           "  the rest: preparation %.1f s, verification %.1f s, counters %.1f s, roofs %.1f s, starting workers %.1f s\n"
           "driver: peak resident set %.1f MB\n",
           times->wall, timed / times->wall * 100, times->warmup, times->samples, times->quality, times->prepare, times->verify,
           times->counters, times->roof, times->launch, result->driver_peak_bytes / 1e6);
}

int summary_print(const char *directory, const struct runner_result *result, char *error, size_t error_size) {
    struct view view;
    char path[4096];
    snprintf(path, sizeof path, "%s/cells.csv", directory);
    int code = csv_table_read(path, &view.table, error, error_size);
    if (code)
        return code;
    for (int i = 0; i < COLUMNS; i++)
        view.column[i] = csv_table_column(&view.table, names[i]);
    print_groups(&view);
    printf("\n%zu of %zu cells:", result->rows, result->planned);
    for (int status = 0; status < CELL_STATUSES; status++)
        if (result->by_status[status])
            printf(" %zu %s", result->by_status[status], cell_status_name((enum cell_status)status));
    printf("\n");
    print_times(result);
    csv_table_free(&view.table);
    return 0;
}
