// SPDX-License-Identifier: MIT
// llmsweep kernels --bench: every kernel on the shapes of its op.
#include "bench/commands/kernels_command.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/csv.h"
#include "harness/progress.h"
#include "kernels/linear/linear_op.h"

struct item {
    const struct kernel *kernel;
    char shape[80];
};

struct work {
    struct item *items;
    size_t count, capacity;
};

struct output {
    FILE *csv;
    json_t *rows;    // NULL: a table is printed
    size_t timed, noisy;
};

// ---------------------------------------------------------------------------------------------------------------------
// What is to be timed

// A linear kernel's shape begins with the weights' format: the one asked for, or the first that it computes.
static int add(struct work *work, const struct kernel *kernel, const struct kernels_request *request, const char *shape) {
    if (work->count == work->capacity) {
        const size_t capacity = work->capacity ? 2 * work->capacity : 256;
        struct item *grown = realloc(work->items, capacity * sizeof(*grown));
        if (grown == NULL)
            return -ENOMEM;
        work->items = grown;
        work->capacity = capacity;
    }
    struct item *item = &work->items[work->count++];
    item->kernel = kernel;
    const char *format = request->format, *activations = request->activations;
    if (format == NULL && kernel->op == OP_LINEAR)
        format = linear_first_format(kernel);
    if (format != NULL)
        snprintf(item->shape, sizeof(item->shape), "%s %s%s%s", format, activations ? activations : "", activations ? " " : "", shape);
    else
        snprintf(item->shape, sizeof(item->shape), "%s", shape);
    return 0;
}

// The op's own shapes: the first, which is of a decode step, and the last, of prefill; all of them when the request is --full.
static int add_shapes(struct work *work, const struct kernels_request *request, const struct kernel *kernel) {
    const struct op_descriptor *op = op_find(kernel->op);
    // A scalar kernel is there to be compared with; what it takes for many tokens nobody needs to know.
    const bool scalar = kernel->isa == ISA_SCALAR && kernel->provider == PROVIDER_OWN;
    for (int i = 0; op->shapes[i] != NULL; i++) {
        const bool last = op->shapes[i + 1] == NULL;
        if (!request->full && i > 0 && (!last || scalar))
            continue;
        const int status = add(work, kernel, request, op->shapes[i]);
        if (status != 0)
            return status;
    }
    return 0;
}

// The matrices and token counts that the command line names.
static int add_matrices(struct work *work, const struct kernels_request *request, const struct kernel *kernel) {
    static const int quick[] = {1, 128}, full[] = {1, 2, 4, 8, 32, 128, 512};
    const int *tokens = request->token_count > 0 ? request->tokens : request->full ? full : quick;
    const int token_count = request->token_count > 0 ? request->token_count
                            : request->full          ? (int)(sizeof(full) / sizeof(*full))
                                                     : (int)(sizeof(quick) / sizeof(*quick));
    const int matrices = request->matrix_count > 0 ? request->matrix_count : 1;
    int status = 0;
    for (int i = 0; i < matrices; i++)
        for (int t = 0; t < token_count && status == 0; t++) {
            char shape[64];
            snprintf(shape, sizeof(shape), "%dx%d m%d", request->matrix_count > 0 ? request->matrices[i].rows : 2048,
                     request->matrix_count > 0 ? request->matrices[i].columns : 5632, tokens[t]);
            status = add(work, kernel, request, shape);
        }
    return status;
}

static int plan_work(struct work *work, const struct kernels_request *request) {
    const bool matrices = request->matrix_count > 0 || request->token_count > 0 || request->format != NULL || request->activations != NULL;
    size_t count;
    const struct kernel *const *all = kernel_all(&count);
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++) {
        if (!kernels_wanted(request, all[i]) || all[i]->isa > isa_current() || (matrices && all[i]->op != OP_LINEAR))
            continue;
        if (op_find(all[i]->op) != NULL)
            status = matrices ? add_matrices(work, request, all[i]) : add_shapes(work, request, all[i]);
    }
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------
// Rows

static const char csv_header[] = "kernel,op,isa,shape,cache,median_ns,lo,hi,gops,gbs,roof,roof_fraction,checked,status,bound,threads,samples,"
                                 "bandwidth_gbs,peak_gops,provider,note,arithmetic\n";

static const char *note(const struct kernel_bench_result *result, const struct kernel *kernel) {
    if (!(result->roof_fraction > 1.02))
        return "";
    // The libraries know instructions that our ladder has no step for.
    return kernel->provider != PROVIDER_OWN && !result->memory_bound ? "above the peak of vector instructions: uses matrix units"
                                                                      : "above its roof: one of the two was disturbed";
}

static const char *arithmetic_name(const struct kernel *kernel) {
    static const char *const names[] = {
        [ARITHMETIC_F32] = "f32", [ARITHMETIC_BF16] = "bf16", [ARITHMETIC_INT16] = "int16", [ARITHMETIC_INT8] = "int8"};
    return names[op_find(kernel->op)->arithmetic(kernel)];
}

static void write_csv(const struct output *output, const struct kernels_request *request, const struct kernel *kernel,
                      const struct kernel_bench_result *result) {
    FILE *csv = output->csv;
    if (csv == NULL)
        return;
    fprintf(csv, "%s,%s,%s,", kernel->name, op_find(kernel->op)->name, isa_name(kernel->isa));
    csv_write_field(csv, result->shape);
    fprintf(csv, ",%s,%.1f,%.1f,%.1f,%.4g,%.4g,%.4g,%.4f,yes,%s,%s,%d,%zu,%.4g,%.4g,%s,", result->cold ? "cold" : "hot",
            result->ns.estimate, result->ns.lo, result->ns.hi, result->gops, result->gbs, result->roof, result->roof_fraction,
            result->noisy ? "noisy" : "ok", result->memory_bound ? "bandwidth" : "compute", request->bench.threads, result->samples,
            result->bandwidth, result->peak, provider_name(kernel->provider));
    csv_write_field(csv, note(result, kernel));
    fprintf(csv, ",%s\n", arithmetic_name(kernel));
    fflush(csv);
}

static int add_json(struct output *output, const struct kernels_request *request, const struct kernel *kernel,
                    const struct kernel_bench_result *result) {
    json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:b, s:s, s:s, s:i, s:I, s:f, s:f, s:s, s:s, s:s}",
                            "kernel", kernel->name, "op", op_find(kernel->op)->name, "isa", isa_name(kernel->isa), "shape", result->shape,
                            "cache", result->cold ? "cold" : "hot", "median_ns", result->ns.estimate, "lo", result->ns.lo, "hi",
                            result->ns.hi, "gops", result->gops, "gbs", result->gbs, "roof", result->roof, "roof_fraction",
                            result->roof_fraction, "checked", 1, "status", result->noisy ? "noisy" : "ok", "bound",
                            result->memory_bound ? "bandwidth" : "compute", "threads", request->bench.threads, "samples",
                            (json_int_t)result->samples, "bandwidth_gbs", result->bandwidth, "peak_gops", result->peak, "provider",
                            provider_name(kernel->provider), "note", note(result, kernel), "arithmetic", arithmetic_name(kernel));
    return json_array_append_new(output->rows, row);
}

static void print_heading(void) {
    printf("%-34s %-32s %-4s %11s %6s %8s %8s %14s %6s\n", "kernel", "shape", "", "median ns", "± %", "GOP/s", "GB/s", "roof", "share");
}

static void print_row(const struct kernel *kernel, const struct kernel_bench_result *result) {
    printf("%-34s %-32s %-4s %11.0f %6.1f %8.1f %8.2f %9.1f %-4s %5.1f%%%s%s%s\n", kernel->name, result->shape,
           result->cold ? "cold" : "hot", result->ns.estimate, 50 * (result->ns.hi - result->ns.lo) / result->ns.estimate, result->gops,
           result->gbs, result->roof, result->memory_bound ? "GB/s" : "GOPS", 100 * result->roof_fraction, result->noisy ? " noisy" : "",
           *note(result, kernel) ? " " : "", note(result, kernel));
    fflush(stdout);
}

// ---------------------------------------------------------------------------------------------------------------------

// 0 timed, -ENOTSUP left out (the kernel does not compute that), or the error.
static int time_item(const struct item *item, struct kernel_bencher *bencher, struct kernel_bench_result *result, char *error,
                     size_t error_size) {
    struct kernel_bench *bench;
    int status = kernel_bench_open(&bench, bencher, item->kernel, item->shape, error, error_size);
    while (status == 0 && !kernel_bench_done(bench))
        status = kernel_bench_visit(bench, NULL, error, error_size);
    if (status == 0)
        status = kernel_bench_result(bench, result);
    kernel_bench_close(bench);
    return status;
}

static int time_all(const struct kernels_request *request, const struct work *work, struct output *output) {
    struct kernel_bencher *bencher;
    struct progress progress;
    char message[512] = "";
    int code = 0, verdict = 0;
    if (kernel_bencher_open(&bencher, &request->bench, message, sizeof(message)) != 0) {
        fprintf(stderr, "llmsweep: kernels: %s\n", message);
        return 3;
    }
    progress_begin(&progress, stderr, (double)work->count, work->count);
    for (size_t i = 0; i < work->count && code != 2; i++) {
        const struct item *item = &work->items[i];
        size_t comparisons;
        progress_step(&progress, (double)i, i, item->kernel->name);
        if (i == 0 || work->items[i - 1].kernel != item->kernel) { // a kernel that is wrong is never timed
            verdict = kernels_check_one(request, item->kernel, &comparisons, message, sizeof(message));
            if (verdict != 0) {
                progress_note(&progress, "llmsweep: kernels: not timed: %s", message);
                code = 3;
            }
        }
        if (verdict != 0)
            continue;
        struct kernel_bench_result result;
        const int status = time_item(item, bencher, &result, message, sizeof(message));
        if (status != 0 && status != -ENOTSUP) {
            progress_note(&progress, "llmsweep: kernels: %s", message);
            code = status == -EINVAL ? 2 : 3;
        }
        if (status != 0)
            continue;
        progress_end(&progress);
        if (output->rows == NULL)
            print_row(item->kernel, &result);
        else if (add_json(output, request, item->kernel, &result) != 0)
            code = 3;
        write_csv(output, request, item->kernel, &result);
        output->timed++;
        output->noisy += result.noisy;
    }
    progress_end(&progress);
    kernel_bencher_close(bencher);
    return code;
}

static int finish(struct output *output, const struct kernels_request *request, int code) {
    if (output->timed == 0 && code == 0) {
        fprintf(stderr, "llmsweep: kernels: no kernel matches '%s', computes %s and is at most %s\n",
                request->filter != NULL ? request->filter : "*", request->format != NULL ? request->format : "anything",
                isa_name(isa_current()));
        code = 2;
    }
    if (output->rows != NULL && output->timed > 0 &&
        (json_dumpf(output->rows, stdout, JSON_INDENT(1)) != 0 || putchar('\n') == EOF || fflush(stdout) != 0)) {
        fprintf(stderr, "llmsweep: kernels: the rows cannot be printed\n");
        code = 3;
    }
    if (output->csv != NULL && (ferror(output->csv) | fclose(output->csv)) != 0) {
        fprintf(stderr, "llmsweep: kernels: cannot write %s: %s\n", request->csv, strerror(errno));
        code = 3;
    }
    if (output->timed > 0)
        fprintf(stderr, "%zu timed, %zu of them noisy\n", output->timed, output->noisy);
    json_decref(output->rows);
    return code;
}

int kernels_bench(const struct kernels_request *request) {
    struct output output = {.rows = request->json ? json_array() : NULL};
    struct work work = {0};
    int code = plan_work(&work, request) == 0 ? 0 : 3;
    if (request->csv != NULL && code == 0) {
        output.csv = fopen(request->csv, "w");
        if (output.csv == NULL) {
            fprintf(stderr, "llmsweep: kernels: cannot write %s: %s\n", request->csv, strerror(errno));
            code = 3;
        } else
            fputs(csv_header, output.csv);
    }
    if (output.rows == NULL && code == 0 && work.count > 0)
        print_heading();
    if (code == 0)
        code = time_all(request, &work, &output);
    code = finish(&output, request, code);
    free(work.items);
    return code;
}
