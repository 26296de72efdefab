// SPDX-License-Identifier: MIT
// llmsweep kernels --prune: the speed of the bitmask store against the prune ratio, beside the dense store of the same weights, and the
// ratio from which on pruning is faster.
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

// The two by turns, so that what the machine does meanwhile meets both.
static int compare(struct kernel_bench *dense, struct kernel_bench *sparse, struct point *point, char *error, size_t error_size) {
    struct kernel_bench_result of_dense, of_sparse;
    double speeds[VISITS];
    int status = 0;
    for (int i = 0; i < VISITS && status == 0; i++) {
        double dense_ns, sparse_ns;
        status = kernel_bench_visit(dense, &dense_ns, error, error_size);
        if (status == 0)
            status = kernel_bench_visit(sparse, &sparse_ns, error, error_size);
        if (status == 0)
            speeds[i] = dense_ns / sparse_ns;
    }
    if (status != 0 || (status = kernel_bench_result(dense, &of_dense)) != 0 || (status = kernel_bench_result(sparse, &of_sparse)) != 0)
        return status;
    point->bytes = of_dense.bytes / of_sparse.bytes;
    status = stats_quantile(speeds, VISITS, 0.5, &point->speed);
    if (status == 0)
        printf("%-32s %5.1f%% %11.0f %11.0f %8.2f %8.2f %9.0f%% %s %.1f GB/s\n", of_sparse.shape, 100 * point->pruned, of_dense.ns.estimate,
               of_sparse.ns.estimate, point->speed, point->bytes, 100 * point->speed / point->bytes,
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

static int sweep(const struct kernels_request *request, struct kernel_bencher *bencher, const char *base, const char *shape, char *error,
                 size_t error_size) {
    struct kernel_bench *dense = NULL, *sparse = NULL;
    const struct kernel *of_dense = NULL, *of_sparse = NULL;
    struct point points[RATIOS];
    int status = open_format(request, bencher, base, shape, &of_dense, &dense, error, error_size);
    for (int i = 0; i < RATIOS && status == 0; i++) {
        char word[48];
        points[i].pruned = ratios[i];
        snprintf(word, sizeof(word), "%s+s%g", base, 100 * ratios[i]);
        status = open_format(request, bencher, word, shape, &of_sparse, &sparse, error, error_size);
        if (status == 0)
            status = compare(dense, sparse, &points[i], error, error_size);
        kernel_bench_close(sparse);
        sparse = NULL;
    }
    kernel_bench_close(dense);
    if (status != 0)
        return status;
    bool never, never_bytes;
    const double speed = break_even(points, false, &never), bytes = break_even(points, true, &never_bytes);
    printf("%s %s: pruning is faster from %s%.1f%% on; fewer bytes from %s%.1f%% on (%s beside %s)\n\n", base, shape, never ? "above " : "",
           100 * speed, never_bytes ? "above " : "", 100 * bytes, of_sparse->name, of_dense->name);
    return 0;
}

int kernels_prune(const struct kernels_request *request) {
    static const char *const bases[] = {"q8g32", "q4g32", "bf16"};
    struct kernel_bench_options options = request->bench;
    struct kernel_bencher *bencher;
    char error[512] = "";
    options.visits = VISITS * RATIOS; // of the dense store
    options.all_visits = true;
    options.sampler.max_time *= RATIOS;
    if (kernel_bencher_open(&bencher, &options, error, sizeof(error)) != 0) {
        fprintf(stderr, "llmsweep: kernels: %s\n", error);
        return 3;
    }
    printf("%-32s %6s %11s %11s %8s %8s %10s\n", "weights", "pruned", "dense ns", "sparse ns", "speed ×", "bytes ×", "of bytes");
    const int tokens = request->token_count > 0 ? request->token_count : 1, matrices = request->matrix_count > 0 ? request->matrix_count : 1;
    int status = 0;
    for (int i = 0; i < matrices * tokens * 3 && status == 0; i++) {
        const int base = i % 3, t = i / 3 % tokens, m = i / 3 / tokens;
        char shape[64];
        if (request->format != NULL && base > 0)
            continue;
        snprintf(shape, sizeof(shape), "%dx%d m%d", request->matrix_count > 0 ? request->matrices[m].rows : 2048,
                 request->matrix_count > 0 ? request->matrices[m].columns : 5632, request->token_count > 0 ? request->tokens[t] : 1);
        status = sweep(request, bencher, request->format != NULL ? request->format : bases[base], shape, error, sizeof(error));
    }
    kernel_bencher_close(bencher);
    if (status != 0)
        fprintf(stderr, "llmsweep: kernels: %s\n", error);
    return status == 0 ? 0 : status == -EINVAL ? 2 : 3;
}
