// SPDX-License-Identifier: MIT
#include "bench/workloads/kernels.h"

#include <errno.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/clock.h"
#include "harness/roof.h"

enum { COPIES_LIMIT = 4096, VISITS_LIMIT = 64, LEAST_VISIT_SAMPLES = 2 };

// Below this many operations a byte, and above this many bytes, a call is one that a model makes on data that left the caches.
static const double cold_intensity = 24, cold_bytes = 1 << 20;

struct kernel_bencher {
    struct kernel_bench_options options;
    struct roof_bench *memory;            // opened by the first cold problem
    struct roof_bench *peaks[2][ROOF_PEAKS]; // of vectors, and of all there is; opened by the first kernel of that arithmetic
    unsigned opened;                         // problems so far
};

struct kernel_bench {
    struct kernel_bencher *bencher;
    const struct kernel *kernel;
    const struct op_descriptor *op;
    struct op_problem *problem;
    struct sampler sampler;
    struct roof_bench *hot; // a working set of this problem's size
    char shape[80];
    bool cold;
    size_t copies, next, visit_samples;
    uint64_t repetitions;
    unsigned settled; // what `opened` was when all copies were last read
    int visits;
    double bandwidths[VISITS_LIMIT], peaks[VISITS_LIMIT];
};

struct kernel_bench_options kernel_bench_defaults(void) {
    struct kernel_bench_options options = {
        .threads = 1, .seed = 20, .visits = 3, .roof_seconds = 0.02, .sampler = sampler_defaults()};
    options.sampler.max_time = 0.15;
    options.sampler.max_warmup_time = 0.1;
    return options;
}

// ---------------------------------------------------------------------------------------------------------------------
// What is shared

int kernel_bencher_open(struct kernel_bencher **out, const struct kernel_bench_options *options, char *error, size_t error_size) {
    if (options->threads < 1 || options->visits < 1 || options->visits > VISITS_LIMIT) {
        snprintf(error, error_size, "threads must be 1 or more, visits 1 to %d", VISITS_LIMIT);
        return -EINVAL;
    }
    const int status = sampler_check(&options->sampler, error, error_size);
    if (status != 0)
        return status;
    int got = 0;
#pragma omp parallel num_threads(options->threads)
    {
#pragma omp single
        got = omp_get_num_threads();
        if (got == options->threads && options->bind != NULL)
            options->bind(omp_get_thread_num(), options->bind_context);
    }
    if (got != options->threads) {
        snprintf(error, error_size, "asked for %d threads and got %d: raise OMP_THREAD_LIMIT", options->threads, got);
        return -EAGAIN;
    }
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    (*out)->options = *options;
    return 0;
}

void kernel_bencher_close(struct kernel_bencher *bencher) {
    if (bencher == NULL)
        return;
    roof_close(bencher->memory);
    for (int i = 0; i < ROOF_PEAKS; i++) {
        roof_close(bencher->peaks[0][i]);
        roof_close(bencher->peaks[1][i]);
    }
    free(bencher);
}

static struct roof_request roof_request(const struct kernel_bencher *bencher) {
    const struct kernel_bench_options *options = &bencher->options;
    return (struct roof_request){.threads = options->threads,
                                 .isa = (enum roof_isa)isa_current(),
                                 .seconds = options->roof_seconds,
                                 .cache_bytes = options->cache_bytes,
                                 .bind = options->bind,
                                 .context = options->bind_context};
}

// ---------------------------------------------------------------------------------------------------------------------
// The roof

static int sample_bandwidth(struct kernel_bench *bench, double *bandwidth, char *error, size_t error_size) {
    struct kernel_bencher *bencher = bench->bencher;
    struct roof_request request = roof_request(bencher);
    struct roof_bench **reader = bench->cold ? &bencher->memory : &bench->hot;
    struct roof roof;
    int status = 0;
    if (bench->cold)
        request.stream_bytes = bencher->options.cache_bytes * 9 / 2;
    else
        request.hot_bytes = (size_t)bench->op->bytes(bench->problem);
    if (*reader == NULL)
        status = roof_open(reader, &request, error, error_size);
    if (status == 0)
        status = roof_sample(*reader, &roof, error, error_size);
    if (status == 0)
        *bandwidth = bench->cold ? roof.stream.estimate : roof.hot.estimate;
    return status;
}

// A kernel of ours that is below the step of matrix tiles is measured by what vectors can do.
static int sample_peak(struct kernel_bench *bench, enum roof_peak peak, double *operations, char *error, size_t error_size) {
    struct roof_request request = roof_request(bench->bencher);
    const bool tiles = bench->kernel->provider != PROVIDER_OWN || bench->kernel->isa >= ISA_AMX;
    struct roof_bench **sampled = &bench->bencher->peaks[tiles][peak];
    struct roof roof;
    int status = 0;
    request.peaks = true;
    request.only = 1u << peak;
    if (!tiles && request.isa > ROOF_AVX512BF16)
        request.isa = ROOF_AVX512BF16;
    if (*sampled == NULL)
        status = roof_open(sampled, &request, error, error_size);
    if (status == 0)
        status = roof_sample(*sampled, &roof, error, error_size);
    if (status == 0)
        *operations = peak == ROOF_PEAK_FP32 ? roof.fp32.estimate : peak == ROOF_PEAK_INT8 ? roof.int8.estimate : roof.bf16.estimate;
    return status;
}

// What the instruction set in force could compute. bf16 may as well be widened to f32, where that is the faster way or the only one.
static int sample_arithmetic(struct kernel_bench *bench, double *operations, char *error, size_t error_size) {
    const enum op_arithmetic arithmetic = bench->op->arithmetic(bench->kernel);
    double fp32 = NAN, other = NAN;
    int status = 0;
    if (arithmetic == ARITHMETIC_INT8 || arithmetic == ARITHMETIC_INT16)
        status = sample_peak(bench, ROOF_PEAK_INT8, &other, error, error_size);
    else if (arithmetic == ARITHMETIC_BF16)
        status = sample_peak(bench, ROOF_PEAK_BF16, &other, error, error_size);
    if (arithmetic == ARITHMETIC_INT16)
        other /= 2; // vpdpwssd has half the products of vpdpbusd
    if (status == 0 && (isnan(other) || arithmetic == ARITHMETIC_BF16))
        status = sample_peak(bench, ROOF_PEAK_FP32, &fp32, error, error_size);
    *operations = fmax(fp32, other);
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------
// The problem

static int run(void *context, uint64_t repetitions) {
    struct kernel_bench *bench = context;
    const struct op_descriptor *op = bench->op;
    const int parts = bench->bencher->options.threads;
    const size_t first = bench->next;
#pragma omp parallel num_threads(parts)
    {
        const int part = omp_get_thread_num();
        for (uint64_t r = 0; r < repetitions; r++) {
            const int copy = (int)((first + r) % bench->copies);
            for (int phase = 0; phase < op->phases; phase++) {
                op->run(bench->problem, copy, phase, part, parts);
#pragma omp barrier
            }
        }
    }
    bench->next = (first + repetitions) % bench->copies;
    return 0;
}

// How many copies of what a call reads make it cold; 1 where it is to be hot.
static int choose_copies(struct kernel_bench *bench, char *error, size_t error_size) {
    const struct kernel_bench_options *options = &bench->bencher->options;
    const double bytes = bench->op->bytes(bench->problem), operations = bench->op->operations(bench->problem);
    const double total = 4.0 * (double)options->cache_bytes + bytes, copies = floor(total / bytes) + 1;
    const bool possible =
        options->cache_bytes > 0 && total <= (double)options->memory_bytes / 2 && copies <= (double)COPIES_LIMIT;
    bench->cold = options->cache == KERNEL_CACHE_COLD ||
                  (options->cache == KERNEL_CACHE_AUTO && possible && bytes >= cold_bytes && operations < cold_intensity * bytes);
    if (bench->cold && !possible) {
        snprintf(error, error_size,
                 "%s: cold data needs %.0f MB in copies of %.3g MB, more than four times the last-level cache; free memory is %.0f MB and "
                 "at most %d copies are made (a larger shape takes fewer)",
                 bench->shape, total / 1e6, bytes / 1e6, (double)options->memory_bytes / 1e6, COPIES_LIMIT);
        return -EINVAL;
    }
    bench->copies = bench->cold ? (size_t)copies : 1;
    return 0;
}

static int set_up(struct kernel_bench *bench, const char *shape, char *error, size_t error_size) {
    const uint64_t seed = bench->bencher->options.seed;
    int status = bench->op->setup(bench->kernel, shape, 1, seed, &bench->problem, error, error_size);
    if (status == 0)
        status = choose_copies(bench, error, error_size);
    if (status == 0 && bench->copies > 1) {
        bench->op->free(bench->problem);
        bench->problem = NULL;
        status = bench->op->setup(bench->kernel, shape, (int)bench->copies, seed, &bench->problem, error, error_size);
    }
    return status;
}

// Times two calls, to fit repetitions, warm-up and the length of a visit to the time that there is.
static int prepare_sampler(struct kernel_bench *bench, char *error, size_t error_size) {
    struct sampler_options sampler = bench->bencher->options.sampler;
    const int visits = bench->bencher->options.visits;
    double ns = 0;
    for (int i = 0; i < 2; i++) {
        const uint64_t begin = clock_now();
        run(bench, 1);
        ns = fmax((double)(clock_now() - begin), 1);
        if (ns * 1e-9 > sampler.max_time)
            break;
    }
    bench->repetitions = sampler_repetitions(ns);
    const double sample = ns * 1e-9 * (double)bench->repetitions;
    if (sample > sampler.max_time / 20)
        sampler.max_warmup = 1;
    const double limit = fmin(ceil(sampler.max_time / visits / sample), ceil((double)sampler.max_samples / visits));
    bench->visit_samples = (size_t)fmax(limit, LEAST_VISIT_SAMPLES);
    if (bench->bencher->options.all_visits) {
        sampler.max_time = 1e6;
        sampler.max_samples = bench->visit_samples * (size_t)visits + 1;
        sampler.min_samples = 1;
        sampler.ci = 1e-9;
    }
    return sampler_init(&bench->sampler, &sampler, error, error_size);
}

int kernel_bench_open(struct kernel_bench **out, struct kernel_bencher *bencher, const struct kernel *kernel, const char *shape, char *error,
                      size_t error_size) {
    *out = NULL;
    const struct op_descriptor *op = op_find(kernel->op);
    if (op == NULL || kernel->isa > isa_detect()) {
        snprintf(error, error_size, "%s: %s", kernel->name, op == NULL ? "its op describes no problems" : "not on this machine");
        return -ENOTSUP;
    }
    struct kernel_bench *bench = calloc(1, sizeof(*bench));
    if (bench == NULL) {
        snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    bench->bencher = bencher;
    bench->kernel = kernel;
    bench->op = op;
    snprintf(bench->shape, sizeof(bench->shape), "%s", shape);
    int status = set_up(bench, shape, error, error_size);
    if (status == 0)
        status = prepare_sampler(bench, error, error_size);
    if (status != 0) {
        kernel_bench_close(bench);
        return status;
    }
    bencher->opened++;
    *out = bench;
    return 0;
}

void kernel_bench_close(struct kernel_bench *bench) {
    if (bench == NULL)
        return;
    if (bench->problem != NULL)
        bench->op->free(bench->problem);
    roof_close(bench->hot);
    sampler_free(&bench->sampler);
    free(bench);
}

bool kernel_bench_done(const struct kernel_bench *bench) {
    return bench->sampler.state == SAMPLER_DONE || bench->visits >= bench->bencher->options.visits;
}

int kernel_bench_visit(struct kernel_bench *bench, double *visit_ns, char *error, size_t error_size) {
    if (kernel_bench_done(bench)) {
        snprintf(error, error_size, "%s: all visits are over", bench->shape);
        return -EALREADY;
    }
    const size_t before = bench->sampler.count;
    // See touch_stream() in roof.c: the first pass over memory after other memory was set up may be slower.
    if (bench->cold && bench->settled != bench->bencher->opened) {
        run(bench, bench->copies);
        bench->settled = bench->bencher->opened;
    }
    int status = sample_bandwidth(bench, &bench->bandwidths[bench->visits], error, error_size);
    if (status == 0)
        status = sample_arithmetic(bench, &bench->peaks[bench->visits], error, error_size);
    if (status != 0)
        return status;
    bench->visits++;
    status = sampler_run(&bench->sampler, bench->visit_samples, run, bench, &bench->repetitions, NULL);
    double median = NAN;
    if (status == 0)
        status = stats_quantile(bench->sampler.samples + before, bench->sampler.count - before, 0.5, &median);
    if (status != 0)
        snprintf(error, error_size, "%s: sampling failed: %s", bench->kernel->name, strerror(-status));
    else if (visit_ns != NULL)
        *visit_ns = median / (double)bench->repetitions;
    return status;
}

int kernel_bench_result(const struct kernel_bench *bench, struct kernel_bench_result *result) {
    const struct sampler *sampler = &bench->sampler;
    const double each = 1.0 / (double)bench->repetitions;
    double bandwidth, peak;
    if (sampler->count == 0 || stats_quantile(bench->bandwidths, (size_t)bench->visits, 0.5, &bandwidth) != 0 ||
        stats_quantile(bench->peaks, (size_t)bench->visits, 0.5, &peak) != 0)
        return -EINVAL;
    *result = (struct kernel_bench_result){.cold = bench->cold,
                                           .ns = {.estimate = sampler->median.estimate * each,
                                                  .lo = sampler->median.lo * each,
                                                  .hi = sampler->median.hi * each,
                                                  .coverage = sampler->median.coverage},
                                           .samples = sampler->count,
                                           .noisy = sampler->is_noisy,
                                           .operations = bench->op->operations(bench->problem),
                                           .bytes = bench->op->bytes(bench->problem),
                                           .bandwidth = bandwidth / 1e9,
                                           .peak = peak / 1e9};
    snprintf(result->shape, sizeof(result->shape), "%s", bench->shape);
    result->gops = result->operations / result->ns.estimate;
    result->gbs = result->bytes / result->ns.estimate;
    const double memory_ns = result->bytes / result->bandwidth, arithmetic_ns = result->operations / result->peak;
    result->memory_bound = memory_ns > arithmetic_ns;
    result->roof = result->memory_bound ? result->bandwidth : result->peak;
    result->roof_fraction = fmax(memory_ns, arithmetic_ns) / result->ns.estimate;
    return 0;
}
