// SPDX-License-Identifier: MIT
#include "bench/workloads/kernels.h"

#include <errno.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/roof.h"
#include "kernels/linear/linear_op.h"

enum { COPIES_LIMIT = 4096 };

// A problem with its buffers, ready to be timed.
struct bench {
    const struct kernel *kernel;
    struct linear_problem problem;
    struct packed_matrix **weights; // (copies); the first is the problem's own
    size_t copies, next;
    float *y;
    size_t scratch_bytes;
    uint8_t *scratch; // (threads)
    int threads;
};

const char *kernel_bench_format(const struct kernel *kernel) {
    size_t count;
    const char *const *words = linear_formats(&count);
    for (size_t i = 0; i < count; i++) {
        struct weight_format format;
        char reason[256];
        if (weight_format_parse(words[i], &format, reason, sizeof(reason)) == 0 &&
            kernel_computes(kernel, &format, kernel->activation))
            return words[i];
    }
    return NULL;
}

// Bandwidth and the peak of the kernel's arithmetic, per second.
static int measure_roof(const struct kernel *kernel, const struct kernel_bench_options *options, double bytes,
                        double *bandwidth, double *peak, char *error, size_t error_size) {
    struct roof_request request = {.threads = options->threads,
                                   .isa = (enum roof_isa)isa_current(),
                                   .peaks = true,
                                   .seconds = 0.05,
                                   .cache_bytes = options->cache_bytes};
    if (options->cold)
        request.stream_bytes = options->cache_bytes * 4 + ((size_t)1 << 20);
    else
        request.hot_bytes = (size_t)bytes;
    struct roof roof;
    const int status = roof_measure(&request, &roof, error, error_size);
    if (status == 0) {
        *bandwidth = options->cold ? roof.stream.estimate : roof.hot.estimate;
        *peak = kernel->activation == ACTIVATION_Q8 ? roof.int8.estimate : roof.fp32.estimate;
    }
    return status;
}

// One thread's slice of the output rows: whole panels.
static void run_slice(struct bench *bench, const struct packed_matrix *weights, int thread) {
    const struct linear_problem *problem = &bench->problem;
    const int panels = (problem->rows + PACKED_PANEL_ROWS - 1) / PACKED_PANEL_ROWS;
    const int end = panels * (thread + 1) / bench->threads * PACKED_PANEL_ROWS;
    const struct linear_call call = {.weights = weights,
                                     .x = problem->x,
                                     .x_codes = &problem->x_codes,
                                     .x_stride = problem->x_stride,
                                     .y = bench->y,
                                     .y_stride = (size_t)problem->rows,
                                     .m = problem->m,
                                     .begin = panels * thread / bench->threads * PACKED_PANEL_ROWS,
                                     .end = end < problem->rows ? end : problem->rows,
                                     .scratch = bench->scratch + (size_t)thread * bench->scratch_bytes};
    if (call.begin < call.end)
        ((linear_function *)bench->kernel->function)(&call);
}

static int run(void *context, uint64_t repetitions) {
    struct bench *bench = context;
    const size_t first = bench->next;
#pragma omp parallel num_threads(bench->threads)
    for (uint64_t r = 0; r < repetitions; r++) {
        run_slice(bench, bench->weights[(first + r) % bench->copies], omp_get_thread_num());
#pragma omp barrier
    }
    bench->next = (first + repetitions) % bench->copies;
    return 0;
}

static void bench_free(struct bench *bench) {
    for (size_t i = 1; bench->weights != NULL && i < bench->copies; i++)
        packed_free(bench->weights[i]);
    free(bench->weights);
    free(bench->y);
    free(bench->scratch);
    linear_problem_free(&bench->problem);
}

static int make_copies(struct bench *bench, const struct kernel_bench_options *options, char *error,
                       size_t error_size) {
    const double bytes = (double)packed_bytes(bench->problem.packed);
    size_t wanted = 1;
    if (options->cold) {
        const double total = 4.0 * (double)options->cache_bytes + bytes;
        wanted = (size_t)(total / bytes) + 1;
        if (options->cache_bytes == 0 || total > (double)options->memory_bytes / 2 || wanted > COPIES_LIMIT) {
            snprintf(error, error_size,
                     "cold weights need %.0f MB in copies of %.3g MB, more than four times the last-level cache; free "
                     "memory is %.0f MB "
                     "and at most %d copies are made (a larger --shape takes fewer)",
                     total / 1e6, bytes / 1e6, (double)options->memory_bytes / 1e6, COPIES_LIMIT);
            return -EINVAL;
        }
    }
    bench->weights = calloc(wanted, sizeof(*bench->weights));
    if (bench->weights == NULL)
        return -ENOMEM;
    bench->weights[0] = bench->problem.packed;
    for (bench->copies = 1; bench->copies < wanted; bench->copies++) {
        const int status = packed_copy(bench->problem.packed, &bench->weights[bench->copies]);
        if (status != 0)
            return status;
    }
    return 0;
}

static int prepare(struct bench *bench, const struct kernel_bench_options *options, const char *word, char *error,
                   size_t error_size) {
    struct weight_format format;
    int status = weight_format_parse(word, &format, error, error_size);
    if (status == 0)
        status = packed_check_shape(&format, options->rows, options->columns, error, error_size);
    if (status != 0)
        return status;
    if (!kernel_computes(bench->kernel, &format, bench->kernel->activation)) {
        snprintf(error, error_size, "%s does not compute %s", bench->kernel->name, word);
        return -ENOTSUP;
    }
    snprintf(error, error_size, "no memory for %d × %d %s", options->rows, options->columns, word);
    status = linear_problem_create(&format, options->rows, options->columns, options->tokens, false, options->seed,
                                   &bench->problem);
    if (status == 0)
        status = packed_prepare(bench->problem.packed, bench->kernel->provider);
    if (status == 0)
        status = make_copies(bench, options, error, error_size);
    if (status != 0)
        return status;
    bench->threads = options->threads;
    bench->scratch_bytes = (linear_scratch_bytes(options->rows, options->columns, options->tokens) + 63) / 64 * 64;
    bench->y = aligned_alloc(64, ((size_t)options->rows * (size_t)options->tokens * sizeof(float) + 63) / 64 * 64);
    bench->scratch = aligned_alloc(64, bench->scratch_bytes * (size_t)options->threads);
    return bench->y != NULL && bench->scratch != NULL ? 0 : -ENOMEM;
}

static void fill_result(const struct bench *bench, const struct sampler *sampler, uint64_t repetitions,
                        const char *word, double bandwidth, double peak, struct kernel_bench_result *result) {
    const struct linear_problem *problem = &bench->problem;
    const double each = 1.0 / (double)repetitions;
    const double operations = linear_problem_operations(problem, problem->m);
    const double bytes = linear_problem_bytes(problem, bench->kernel, problem->m);
    snprintf(result->shape, sizeof(result->shape), "%s %dx%d m%d", word, problem->rows, problem->columns, problem->m);
    result->ns = (struct stats_interval){.estimate = sampler->median.estimate * each,
                                         .lo = sampler->median.lo * each,
                                         .hi = sampler->median.hi * each,
                                         .coverage = sampler->median.coverage};
    result->samples = sampler->count;
    result->noisy = sampler->is_noisy;
    result->gops = operations / result->ns.estimate;
    result->gbs = bytes / result->ns.estimate;
    result->bandwidth = bandwidth / 1e9;
    result->peak = peak / 1e9;
    const double memory_ns = bytes / result->bandwidth, arithmetic_ns = operations / result->peak;
    result->memory_bound = memory_ns > arithmetic_ns;
    result->roof = result->memory_bound ? result->bandwidth : result->peak;
    result->roof_fraction = fmax(memory_ns, arithmetic_ns) / result->ns.estimate;
}

int kernel_bench(const struct kernel *kernel, const struct kernel_bench_options *options,
                 struct kernel_bench_result *result, char *error, size_t error_size) {
    if (kernel->op != OP_LINEAR) {
        snprintf(error, error_size, "%s: only linear kernels have a benchmark", kernel->name);
        return -ENOTSUP;
    }
    const char *word = options->format != NULL ? options->format : kernel_bench_format(kernel);
    if (word == NULL || options->tokens < 1 || options->threads < 1) {
        snprintf(error, error_size, "%s: nothing to time", kernel->name);
        return -EINVAL;
    }
    struct bench bench = {.kernel = kernel};
    struct sampler sampler = {0};
    uint64_t repetitions = 0;
    double bandwidth, peak;
    int status = prepare(&bench, options, word, error, error_size);
    if (status == 0)
        status = sampler_init(&sampler, &options->sampler, error, error_size);
    if (status == 0) {
        status = sampler_visit(&sampler, 0);
        if (status == 0)
            status = sampler_run(&sampler, 0, run, &bench, &repetitions, NULL);
        if (status != 0)
            snprintf(error, error_size, "%s: sampling failed: %s", kernel->name, strerror(-status));
    }
    if (status == 0)
        status = measure_roof(kernel, options, linear_problem_bytes(&bench.problem, kernel, options->tokens),
                              &bandwidth, &peak, error, error_size);
    if (status == 0)
        fill_result(&bench, &sampler, repetitions, word, bandwidth, peak, result);
    sampler_free(&sampler);
    bench_free(&bench);
    return status;
}
