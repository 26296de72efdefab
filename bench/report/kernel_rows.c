// SPDX-License-Identifier: MIT
#include "bench/report/kernel_rows.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report/text.h"

struct kernel_row *kernel_rows(const struct report_run *run, size_t *count) {
    const struct csv_table *t = &run->kernel_table;
    struct kernel_row *rows = t->rows ? calloc(t->rows, sizeof *rows) : NULL;
    *count = 0;
    for (size_t i = 0; rows && i < t->rows; i++) {
#define TEXT(name)   csv_table_field(t, i, csv_table_column(t, name))
#define NUMBER(name) csv_table_number(t, i, csv_table_column(t, name))
        struct kernel_row row = {.name = TEXT("kernel"), .op = TEXT("op"), .isa = TEXT("isa"), .shape = TEXT("shape"),
                                 .provider = TEXT("provider"), .arithmetic = TEXT("arithmetic"), .row = i,
                                 .cold = strcmp(TEXT("cache"), "hot") != 0, .noisy = !strcmp(TEXT("status"), "noisy"),
                                 .ns = NUMBER("median_ns"), .lo = NUMBER("lo"), .hi = NUMBER("hi"), .gops = NUMBER("gops"),
                                 .gbs = NUMBER("gbs"), .share = NUMBER("roof_fraction"), .bandwidth = NUMBER("bandwidth_gbs"),
                                 .peak = NUMBER("peak_gops")};
        if (!(row.ns > 0) || !(row.share > 0) || !(row.gops > 0) || !(row.gbs > 0))
            continue;
        // Without a word on which roof is the lower, it is the one that the share was taken of.
        const double roof = NUMBER("roof");
        row.memory_bound = *TEXT("bound") ? !strcmp(TEXT("bound"), "bandwidth")
                                          : fabs(row.gbs / roof - row.share) < fabs(row.gops / roof - row.share);
        if (isnan(row.bandwidth) && row.memory_bound)
            row.bandwidth = roof;
        if (isnan(row.peak) && !row.memory_bound)
            row.peak = roof;
        rows[(*count)++] = row;
    }
    if (!*count) {
        free(rows);
        rows = NULL;
    }
    return rows;
}

void kernel_row_figures(const struct kernel_row *row, char *text, size_t size) {
    char a[64], b[64], c[64];
    int used = snprintf(text, size, "%.80s\n%.80s, %s\n%s ns (%s–%s)", row->name, row->shape, row->cold ? "cold" : "hot",
                        number_text(row->ns, a, sizeof a), number_text(row->lo, b, sizeof b), number_text(row->hi, c, sizeof c));
    snprintf(text + used, size - (size_t)used, "\n%s GOP/s, %s GB/s\n%.0f%% of its roof (%s)%s", number_text(row->gops, a, sizeof a),
             number_text(row->gbs, b, sizeof b), row->share * 100, row->memory_bound ? "bandwidth" : "arithmetic",
             row->noisy ? "\nnoisy" : "");
}

// ---------------------------------------------------------------------------------------------------------------------
// Sentences

static int compare_shares(const void *a, const void *b) {
    const double x = ((const struct kernel_row *)a)->share, y = ((const struct kernel_row *)b)->share;
    return (x > y) - (x < y);
}

static bool is_own(const struct kernel_row *row) {
    return !*row->provider || !strcmp(row->provider, "own");
}

static bool is_scalar(const struct kernel_row *row) {
    return !strcmp(row->isa, "scalar");
}

static void say_rows(FILE *out, struct kernel_row *rows, size_t count, bool memory) {
    size_t kept = 0, near = 0;
    for (size_t i = 0; i < count; i++)
        if (rows[i].memory_bound == memory && is_own(&rows[i]) && !is_scalar(&rows[i]))
            kept++;
    struct kernel_row *some = kept ? calloc(kept, sizeof *some) : NULL;
    if (!some)
        return;
    kept = 0;
    for (size_t i = 0; i < count; i++)
        if (rows[i].memory_bound == memory && is_own(&rows[i]) && !is_scalar(&rows[i])) {
            some[kept++] = rows[i];
            near += rows[i].share >= 0.75;
        }
    qsort(some, kept, sizeof *some, compare_shares);
    size_t last = kept - 1; // what is above its roof was disturbed, and is no best
    while (last > 0 && some[last].share > 1.02)
        last--;
    const struct kernel_row *best = &some[last], *middle = &some[kept / 2];
    fprintf(out, "\n- where %s bounds, %zu of %zu timings reach three quarters of the roof; half of them reach %.0f%% or more; the best is %s (%s) at %.0f%%",
            memory ? "reading bytes" : "arithmetic", near, kept, middle->share * 100, best->name, best->shape, best->share * 100);
    free(some);
}

static void say_kernels(FILE *out, struct kernel_row *rows, size_t count) {
    size_t kernels = 0, noisy = 0, over = 0;
    for (size_t i = 0; i < count; i++) {
        kernels += !i || strcmp(rows[i].name, rows[i - 1].name) != 0;
        noisy += rows[i].noisy;
        over += is_own(&rows[i]) && rows[i].share > 1.02;
    }
    fprintf(out, "%zu kernels were timed by themselves, %zu timings, each beside its own roof. Of ours, scalar references left aside:", kernels, count);
    say_rows(out, rows, count, true);
    say_rows(out, rows, count, false);
    if (noisy)
        fprintf(out, "\n- %zu of the timings %s noisy (interval wider than ±5%%)", noisy, noisy == 1 ? "is" : "are");
    if (over)
        fprintf(out, "\n- %zu %s above the roof: there the kernel or the roof was disturbed", over, over == 1 ? "is" : "are");
}

int findings_kernels(const struct report_run *run, struct findings *findings) {
    size_t count, size;
    struct kernel_row *rows = kernel_rows(run, &count);
    *findings = (struct findings){0};
    if (!rows)
        return 0;
    char *text = NULL;
    FILE *out = open_memstream(&text, &size);
    findings->list = calloc(1, sizeof *findings->list);
    if (out)
        say_kernels(out, rows, count);
    free(rows);
    if (!out || fclose(out) || !findings->list) {
        free(text);
        free(findings->list);
        findings->list = NULL;
        return -ENOMEM;
    }
    findings->list[findings->count++] = (struct finding){"Kernels by themselves", text};
    return 0;
}
