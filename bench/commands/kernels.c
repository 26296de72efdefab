// SPDX-License-Identifier: MIT
// llmsweep kernels: lists, checks and times single kernels.
#include "bench/commands/commands.h"
#include "bench/workloads/kernels.h"

#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/csv.h"
#include "harness/topology.h"
#include "kernels/linear/linear_op.h"

static const char usage[] =
    "usage: llmsweep kernels [--list | --check | --bench] [options]\n"
    "  --list            every kernel that was built, and which are picked here (the default)\n"
    "  --check           compare each linear kernel with its reference on every format that it computes\n"
    "  --bench           check, then time the linear kernels\n"
    "  --filter GLOB     only kernels whose name matches, such as 'linear_q8_q4*'\n"
    "  --isa STEP        scalar, avx2, avx512, avx512vnni or avx512bf16: nothing above it\n"
    "  --seed N          of the problems (20)\n"
    "  --format WORD     time this weight format (default: the first that the kernel computes)\n"
    "  --shape NxK       outputs and inputs of the matrix that is timed (2048x2048)\n"
    "  --tokens M,M,…    tokens at once (1,8,64)\n"
    "  --threads N       (1)\n"
    "  --cache hot|cold  the same weights again and again, or copies of more than four times the last-level cache "
    "(hot)\n"
    "  --time SECONDS    at most, for the samples of one line (1)\n"
    "  --csv FILE        also write kernels.csv\n";

static const char *const op_names[OP_COUNT] = {
    [OP_LINEAR] = "linear", [OP_QUANTIZE_ROWS] = "quantize_rows", [OP_RMSNORM] = "rmsnorm", [OP_ROPE] = "rope",
    [OP_SWIGLU] = "swiglu", [OP_ATTENTION] = "attention",         [OP_SOFTMAX] = "softmax",
};

enum { TOKENS_LIMIT = 16 };
enum action { LIST, CHECK, BENCH };

struct request {
    enum action action;
    const char *filter, *csv;
    struct kernel_bench_options bench;
    int tokens[TOKENS_LIMIT], token_count;
};

static bool wanted(const struct request *request, const struct kernel *kernel) {
    return request->filter == NULL || fnmatch(request->filter, kernel->name, 0) == 0;
}

static void list(const struct request *request) {
    size_t count, formats;
    const struct kernel *const *all = kernel_all(&count);
    printf("%-36s %-14s %-11s %-9s %s\n", "kernel", "op", "isa", "provider", "reads");
    for (size_t i = 0; i < count; i++) {
        if (wanted(request, all[i]))
            printf("%-36s %-14s %-11s %-9s %s%s\n", all[i]->name, op_names[all[i]->op], isa_name(all[i]->isa),
                   provider_name(all[i]->provider), all[i]->layout,
                   all[i]->isa > isa_current() ? " [not on this machine or limit]" : "");
    }
    printf("\nPicked up to %s:\n", isa_name(isa_current()));
    const char *const *words = linear_formats(&formats);
    for (size_t i = 0; i < formats; i++) {
        for (int activation = ACTIVATION_F32; activation <= ACTIVATION_Q8; activation++) {
            struct weight_format format;
            char why[256];
            if (weight_format_parse(words[i], &format, why, sizeof(why)) != 0)
                continue;
            const struct kernel *kernel =
                kernel_linear(&format, (enum activation)activation, PROVIDER_OWN, why, sizeof(why));
            if (kernel == NULL || wanted(request, kernel))
                printf("%-14s %-4s %s\n", words[i], activation_name((enum activation)activation), why);
        }
    }
}

// 0 passed; 1 failed; 2 there is no check here.
static int check(const struct request *request, const struct kernel *kernel, bool quiet) {
    char message[512];
    size_t comparisons;
    if (kernel->op != OP_LINEAR)
        return 2;
    const int status = linear_check_kernel(kernel, request->bench.seed, &comparisons, message, sizeof(message));
    if (status != 0) {
        printf("%-36s FAILED %s\n", kernel->name, message);
        return 1;
    }
    if (!quiet)
        printf("%-36s ok, %zu comparisons\n", kernel->name, comparisons);
    return 0;
}

static int check_all(const struct request *request) {
    size_t count, checked = 0, failed = 0, elsewhere = 0;
    const struct kernel *const *all = kernel_all(&count);
    for (size_t i = 0; i < count; i++) {
        if (!wanted(request, all[i]) || all[i]->isa > isa_current())
            continue;
        const int verdict = check(request, all[i], false);
        checked += verdict != 2;
        failed += verdict == 1;
        elsewhere += verdict == 2;
    }
    printf("%zu kernels checked, %zu failed; %zu of other ops are checked by `make test`\n", checked, failed,
           elsewhere);
    if (checked == 0) {
        fprintf(stderr, "llmsweep: kernels: no linear kernel matches '%s' up to %s\n",
                request->filter ? request->filter : "*", isa_name(isa_current()));
        return 2;
    }
    return failed > 0;
}

static void write_csv_row(FILE *csv, const struct kernel *kernel, const struct request *request,
                          const struct kernel_bench_result *result) {
    if (csv == NULL)
        return;
    fprintf(csv, "%s,%s,%s,", kernel->name, op_names[kernel->op], isa_name(kernel->isa));
    csv_write_field(csv, result->shape);
    fprintf(csv, ",%s,%.1f,%.1f,%.1f,%.4g,%.4g,%.4g,%.4f,yes\n", request->bench.cold ? "cold" : "hot",
            result->ns.estimate, result->ns.lo, result->ns.hi, result->gops, result->gbs, result->roof,
            result->roof_fraction);
}

static int bench_one(const struct request *request, const struct kernel *kernel, FILE *csv, size_t *timed) {
    for (int t = 0; t < request->token_count; t++) {
        struct kernel_bench_options options = request->bench;
        struct kernel_bench_result result;
        char error[512] = "";
        options.tokens = request->tokens[t];
        const int status = kernel_bench(kernel, &options, &result, error, sizeof(error));
        if (status == -ENOTSUP)
            return 0;
        if (status != 0) {
            fprintf(stderr, "llmsweep: kernels: %s\n", error);
            return status == -EINVAL ? 2 : 3;
        }
        printf("%-36s %-28s %11.0f %11.0f %11.0f %5zu %9.1f %8.2f %9.1f %-4s %5.1f%%%s%s\n", kernel->name, result.shape,
               result.ns.estimate, result.ns.lo, result.ns.hi, result.samples, result.gops, result.gbs, result.roof,
               result.memory_bound ? "GB/s" : "GOPS", 100 * result.roof_fraction, result.noisy ? " noisy" : "",
               result.roof_fraction > 1.02 ? " above its roof: one of the two was disturbed" : "");
        fflush(stdout);
        write_csv_row(csv, kernel, request, &result);
        (*timed)++;
    }
    return 0;
}

static int larger(int a, int b) { return a > b ? a : b; }

static int bench_all(const struct request *request) {
    int code = 0;
    size_t count;
    const struct kernel *const *all = kernel_all(&count);
    FILE *csv = NULL;
    if (request->csv != NULL) {
        csv = fopen(request->csv, "w");
        if (csv == NULL) {
            fprintf(stderr, "llmsweep: kernels: cannot write %s: %s\n", request->csv, strerror(errno));
            return 3;
        }
        fputs("kernel,op,isa,shape,cache,median_ns,lo,hi,gops,gbs,roof,roof_fraction,checked\n", csv);
    }
    printf("%-36s %-28s %11s %11s %11s %5s %9s %8s %14s %6s\n", "kernel", "shape", "median ns", "lo 95%", "hi 95%", "n",
           "GOP/s", "GB/s", "roof", "share");
    size_t timed = 0;
    for (size_t i = 0; i < count && code < 2; i++) {
        if (all[i]->op != OP_LINEAR || all[i]->isa > isa_current() || !wanted(request, all[i]))
            continue;
        if (check(request, all[i], true) != 0) // a kernel that is wrong is never timed
            code = 1;
        else
            code = larger(code, bench_one(request, all[i], csv, &timed));
    }
    if (timed == 0 && code == 0) {
        fprintf(stderr, "llmsweep: kernels: no linear kernel matches '%s', computes %s and is at most %s\n",
                request->filter != NULL ? request->filter : "*",
                request->bench.format != NULL ? request->bench.format : "anything", isa_name(isa_current()));
        code = 2;
    }
    if (csv != NULL && fclose(csv) != 0) {
        fprintf(stderr, "llmsweep: kernels: cannot write %s: %s\n", request->csv, strerror(errno));
        code = 3;
    }
    return code;
}

static bool read_count(const char *text, int highest, int *value) {
    char *end;
    const long number = strtol(text, &end, 10);
    *value = (int)number;
    return end != text && *end == '\0' && number >= 1 && number <= highest;
}

static bool read_tokens(const char *text, struct request *request) {
    request->token_count = 0;
    for (char *end; request->token_count < TOKENS_LIMIT; text = end + 1) {
        const long number = strtol(text, &end, 10);
        if (end == text || number < 1 || number > 65536)
            return false;
        request->tokens[request->token_count++] = (int)number;
        if (*end == '\0')
            return true;
        if (*end != ',')
            return false;
    }
    return false;
}

static bool read_shape(const char *text, struct kernel_bench_options *bench) {
    char after;
    return sscanf(text, "%dx%d%c", &bench->rows, &bench->columns, &after) == 2 && bench->rows >= 1 &&
           bench->columns >= 1;
}

static int wrong(const char *problem, const char *value) {
    fprintf(stderr, "llmsweep: kernels: %s '%s'\n%s", problem, value, usage);
    return 2;
}

static void read_machine(struct kernel_bench_options *bench) {
    const struct topology_source source = {.no_devices = true};
    struct topology *topology;
    char error[256];
    if (topology_load(&source, &topology, error, sizeof(error)) == 0) {
        if (!topology_last_level_cache(topology, NULL, 0, &bench->cache_bytes))
            bench->cache_bytes = 0;
        topology_free(topology);
    }
    bench->memory_bytes = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

// 0 done, 1 a check failed, 2 wrong usage or input, 3 a file or memory could not be had.
int command_kernels(int argc, char **argv) {
    enum { ISA = 256, SEED, FORMAT, SHAPE, TOKENS, THREADS, CACHE, TIME, CSV, FILTER, HELP };
    static const struct option options[] = {{"list", no_argument, NULL, LIST},
                                            {"check", no_argument, NULL, CHECK},
                                            {"bench", no_argument, NULL, BENCH},
                                            {"filter", required_argument, NULL, FILTER},
                                            {"isa", required_argument, NULL, ISA},
                                            {"seed", required_argument, NULL, SEED},
                                            {"format", required_argument, NULL, FORMAT},
                                            {"shape", required_argument, NULL, SHAPE},
                                            {"tokens", required_argument, NULL, TOKENS},
                                            {"threads", required_argument, NULL, THREADS},
                                            {"cache", required_argument, NULL, CACHE},
                                            {"time", required_argument, NULL, TIME},
                                            {"csv", required_argument, NULL, CSV},
                                            {"help", no_argument, NULL, HELP},
                                            {0}};
    struct request request = {
        .bench = {.rows = 2048, .columns = 2048, .threads = 1, .seed = 20, .sampler = sampler_defaults()},
        .tokens = {1, 8, 64},
        .token_count = 3};
    request.bench.sampler.max_time = 1;
    enum isa isa;
    struct weight_format format;
    char reason[256], *end;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;)
        switch (option) {
        case LIST:
        case CHECK:
        case BENCH:
            request.action = (enum action)option;
            break;
        case FILTER:
            request.filter = optarg;
            break;
        case ISA:
            if (isa_parse(optarg, &isa) != 0)
                return wrong("unknown instruction set (known: scalar avx2 avx512 avx512vnni avx512bf16)", optarg);
            isa_limit(isa);
            break;
        case SEED:
            request.bench.seed = strtoull(optarg, NULL, 10);
            break;
        case FORMAT:
            if (weight_format_parse(optarg, &format, reason, sizeof(reason)) != 0) {
                fprintf(stderr, "llmsweep: kernels: %s\n", reason);
                return 2;
            }
            request.bench.format = optarg;
            break;
        case SHAPE:
            if (!read_shape(optarg, &request.bench))
                return wrong("not a shape such as 2048x2048:", optarg);
            break;
        case TOKENS:
            if (!read_tokens(optarg, &request))
                return wrong("not up to 16 token counts such as 1,8,64:", optarg);
            break;
        case THREADS:
            if (!read_count(optarg, 4096, &request.bench.threads))
                return wrong("not a number of threads:", optarg);
            break;
        case CACHE:
            if (strcmp(optarg, "hot") != 0 && strcmp(optarg, "cold") != 0)
                return wrong("not hot or cold:", optarg);
            request.bench.cold = strcmp(optarg, "cold") == 0;
            break;
        case TIME:
            request.bench.sampler.max_time = strtod(optarg, &end);
            if (!(request.bench.sampler.max_time > 0) || *end != '\0')
                return wrong("not a time in seconds:", optarg);
            break;
        case CSV:
            request.csv = optarg;
            break;
        case 'h':
        case HELP:
            fputs(usage, stdout);
            return 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    if (optind < argc)
        return wrong("takes no argument besides its options:", argv[optind]);
    switch (request.action) {
    case CHECK:
        return check_all(&request);
    case BENCH:
        read_machine(&request.bench);
        return bench_all(&request);
    default:
        list(&request);
        return 0;
    }
}
