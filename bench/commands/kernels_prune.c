// SPDX-License-Identifier: MIT
// llmsweep kernels --prune: the speed of the bitmask store against the prune ratio, beside the dense store of the same weights, the
// ratio from which on pruning is faster, and what the sparse kernel takes where nothing has to be waited for: a core's part of the time.
#include "bench/commands/kernels_command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "harness/stats.h"

enum { VISITS = 5 }; // of either store, by turns

// The fraction pruned; the dense weights are stored as a bitmask, too, at 0.
static const double ratios[] = {0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 0.9};
enum { RATIOS = sizeof(ratios) / sizeof(*ratios) };

struct point {
    double pruned, speed, bytes; // dense time and bytes ÷ sparse ones
    double core;                 // sparse time a row with weights in second-level cache ÷ that of all rows
};

enum { NEAR_BYTES = 448 << 10 }; // of dense weights, a thread: within a second-level cache
static const double core_bound = 0.9; // of the time: from here on fewer bytes hardly make it less

// A matrix that is pruned and timed, and the rows of one like it that is near the cores.
struct matrix_case {
    const char *base;
    int rows, near_rows, columns, tokens;
};

// What takes turns: the dense and the sparse weights, and a part of the sparse ones that stays in second-level caches.
enum { DENSE, SPARSE, NEAR, TURNS };
struct turns {
    struct kernel_bencher *bencher, *near_bencher;
    struct kernel_bench *bench[TURNS];
};

// Opens the kernel that is picked for the format. A kernel that is wrong is not timed.
static int open_format(const struct kernels_request *request, struct kernel_bencher *bencher, const char *word, const char *shape,
                       const struct kernel **picked, struct kernel_bench **bench, char *error, size_t error_size) {
    struct weight_format format;
    char full[80];
    size_t comparisons;
    int status = weight_format_parse(word, &format, error, error_size);
    if (status != 0)
        return status;
    const enum activation activation = activation_automatic(&format); // as a model of these weights would have
    const struct kernel *kernel = kernel_linear(&format, activation, PROVIDER_OWN, error, error_size);
    if (kernel == NULL)
        return -ENOTSUP;
    if (kernel != *picked)
        status = kernels_check_one(request, kernel, &comparisons, error, error_size);
    *picked = kernel;
    snprintf(full, sizeof(full), "%s %s %s", word, activation_name(activation), shape);
    return status != 0 ? status : kernel_bench_open(bench, bencher, kernel, full, error, error_size);
}

// As many rows as are near, a whole number of panels a thread.
static int near_rows(const struct kernels_request *request, const char *base, int columns) {
    struct weight_format format;
    char reason[256];
    const int step = PACKED_PANEL_ROWS * request->bench.threads;
    if (weight_format_parse(base, &format, reason, sizeof(reason)) != 0)
        return step; // what opens the format says so
    const int steps = (int)(NEAR_BYTES / ((double)columns * format.bits / 8) / PACKED_PANEL_ROWS);
    return step * (steps < 1 ? 1 : steps);
}

// By turns, so that what the machine does meanwhile meets all.
static int compare(struct turns *turns, double near_share, struct point *point, char *error, size_t error_size) {
    struct kernel_bench_result of_dense, of_sparse;
    double speeds[VISITS], cores[VISITS];
    int status = 0;
    for (int i = 0; i < VISITS; i++) {
        double ns[TURNS];
        for (int t = 0; t < TURNS && status == 0; t++)
            status = kernel_bench_visit(turns->bench[t], &ns[t], error, error_size);
        if (status != 0)
            return status;
        speeds[i] = ns[DENSE] / ns[SPARSE];
        cores[i] = ns[NEAR] / near_share / ns[SPARSE];
    }
    if ((status = kernel_bench_result(turns->bench[DENSE], &of_dense)) != 0 || (status = kernel_bench_result(turns->bench[SPARSE], &of_sparse)) != 0)
        return status;
    point->bytes = of_dense.bytes / of_sparse.bytes;
    status = stats_quantile(speeds, VISITS, 0.5, &point->speed);
    if (status == 0)
        status = stats_quantile(cores, VISITS, 0.5, &point->core);
    if (status == 0)
        printf("%-32s %5.1f%% %11.0f %11.0f %8.2f %8.2f %9.0f%% %9.0f%% %s %.1f GB/s\n", of_sparse.shape, 100 * point->pruned,
               of_dense.ns.estimate, of_sparse.ns.estimate, point->speed, point->bytes, 100 * point->speed / point->bytes, 100 * point->core,
               of_sparse.cold ? "cold" : "hot", of_sparse.bandwidth);
    fflush(stdout);
    return status;
}

// Where a line through the points first reaches 1; above the last point, its own ratio and `beyond`.
static double break_even(const struct point points[RATIOS], bool of_bytes, bool *beyond) {
    *beyond = false;
    for (int i = 0; i < RATIOS; i++) {
        const double here = of_bytes ? points[i].bytes : points[i].speed;
        if (!(here >= 1))
            continue;
        if (i == 0)
            return points[0].pruned;
        const double before = of_bytes ? points[i - 1].bytes : points[i - 1].speed;
        return points[i - 1].pruned + (points[i].pruned - points[i - 1].pruned) * (1 - before) / (here - before);
    }
    *beyond = true;
    return points[RATIOS - 1].pruned;
}

// The first ratio from which on a core's work alone takes most of the time; 2 where none is.
static double core_from(const struct point points[RATIOS]) {
    int first = RATIOS;
    while (first > 0 && points[first - 1].core >= core_bound)
        first--;
    return first < RATIOS ? points[first].pruned : 2;
}

static int sweep(const struct kernels_request *request, struct turns *turns, const struct matrix_case *at, char *error, size_t error_size) {
    const struct kernel *of_dense = NULL, *of_sparse = NULL;
    struct point points[RATIOS];
    char shape[64], near_shape[64];
    snprintf(shape, sizeof(shape), "%dx%d m%d", at->rows, at->columns, at->tokens);
    snprintf(near_shape, sizeof(near_shape), "%dx%d m%d", at->near_rows, at->columns, at->tokens);
    int status = open_format(request, turns->bencher, at->base, shape, &of_dense, &turns->bench[DENSE], error, error_size);
    for (int i = 0; i < RATIOS && status == 0; i++) {
        char word[48];
        points[i].pruned = ratios[i];
        snprintf(word, sizeof(word), "%s+s%g", at->base, 100 * ratios[i]);
        status = open_format(request, turns->bencher, word, shape, &of_sparse, &turns->bench[SPARSE], error, error_size);
        if (status == 0)
            status = open_format(request, turns->near_bencher, word, near_shape, &of_sparse, &turns->bench[NEAR], error, error_size);
        if (status == 0)
            status = compare(turns, (double)at->near_rows / at->rows, &points[i], error, error_size);
        for (int t = SPARSE; t < TURNS; t++) {
            kernel_bench_close(turns->bench[t]);
            turns->bench[t] = NULL;
        }
    }
    kernel_bench_close(turns->bench[DENSE]);
    turns->bench[DENSE] = NULL;
    if (status != 0)
        return status;
    bool never, never_bytes;
    const double speed = break_even(points, false, &never), bytes = break_even(points, true, &never_bytes), core = core_from(points);
    printf("%s %s: pruning is faster from %s%.1f%% on; fewer bytes from %s%.1f%% on (%s beside %s)\n", at->base, shape,
           never ? "above " : "", 100 * speed, never_bytes ? "above " : "", 100 * bytes, of_sparse->name, of_dense->name);
    if (core <= 1)
        printf("%s %s: from %.1f%% on a core's work takes %.0f%% and more of the time: there fewer bytes hardly help\n", at->base, shape,
               100 * core, 100 * core_bound);
    printf("\n");
    return 0;
}

// The cases in order: formats, then tokens, then matrices.
static int run_cases(const struct kernels_request *request, struct turns *turns, char *error, size_t error_size) {
    static const char *const bases[] = {"q8g32", "q4g32", "bf16"};
    const int formats = request->format != NULL ? 1 : 3, tokens = request->token_count > 0 ? request->token_count : 1;
    const int matrices = request->matrix_count > 0 ? request->matrix_count : 1;
    int status = 0;
    for (int i = 0; i < matrices * tokens * formats && status == 0; i++) {
        const int t = i / formats % tokens, m = i / formats / tokens;
        struct matrix_case at = {.base = request->format != NULL ? request->format : bases[i % formats],
                                 .rows = request->matrix_count > 0 ? request->matrices[m].rows : 2048,
                                 .columns = request->matrix_count > 0 ? request->matrices[m].columns : 5632,
                                 .tokens = request->token_count > 0 ? request->tokens[t] : 1};
        at.near_rows = near_rows(request, at.base, at.columns);
        status = sweep(request, turns, &at, error, error_size);
    }
    return status;
}

int kernels_prune(const struct kernels_request *request) {
    struct kernel_bench_options options = request->bench;
    struct turns turns = {0};
    char error[512] = "";
    options.visits = VISITS * RATIOS; // of the dense store
    options.all_visits = true;
    options.sampler.max_time *= RATIOS;
    int opened = kernel_bencher_open(&turns.bencher, &options, error, sizeof(error));
    options.cache = KERNEL_CACHE_HOT;
    if (opened == 0)
        opened = kernel_bencher_open(&turns.near_bencher, &options, error, sizeof(error));
    int status = 0;
    if (opened == 0) {
        printf("%-32s %6s %11s %11s %8s %8s %10s %10s\n", "weights", "pruned", "dense ns", "sparse ns", "speed ×", "bytes ×", "of bytes",
               "core alone");
        status = run_cases(request, &turns, error, sizeof(error));
    }
    kernel_bencher_close(turns.near_bencher);
    kernel_bencher_close(turns.bencher);
    if (opened != 0 || status != 0)
        fprintf(stderr, "llmsweep: kernels: %s\n", error);
    return opened != 0 ? 3 : status == 0 ? 0 : status == -EINVAL ? 2 : 3;
}
