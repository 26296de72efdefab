// SPDX-License-Identifier: MIT
// llmsweep kernels: lists, checks and times single kernels.
#include "bench/commands/commands.h"
#include "bench/commands/kernels_command.h"

#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/model/model.h"
#include "bench/model/shape.h"
#include "harness/topology.h"
#include "kernels/linear/linear_op.h"

static const char usage[] =
    "usage: llmsweep kernels [--list | --check | --bench | --prune] [options]\n"
    "  --list            every kernel that was built, and which are picked here and why (the default)\n"
    "  --check           compare each kernel with its op's reference, at shapes around the edges of its tiles\n"
    "  --bench           check, then time the kernels beside the roof of this machine\n"
    "  --prune           time the bitmask store of q8g32, q4g32 and bf16 (or --format) at nine prune ratios beside the dense store, by turns,\n"
    "                    and what of the time a core takes where weights are near: from 90% on fewer bytes hardly help\n"
    "options of all\n"
    "  --filter GLOB     only kernels whose name matches, such as 'linear_q8_q4*'\n"
    "  --isa STEP        the highest of " ISA_WORDS " (LLMSWEEP_ISA does so, too)\n"
    "  --seed N          of the problems (20)\n"
    "options of --bench, and of --prune all but --quick, --full, --csv and --json\n"
    "  --quick, --full   two shapes a kernel (a few minutes; the default), or all shapes of its op (an hour)\n"
    "  --threads N       (1)\n"
    "  --cache WORD      hot: the same data again and again; cold: copies of more than four times the last-level cache in turn; auto: cold "
    "where few operations meet many bytes (auto)\n"
    "  --time SECONDS    at most, for the samples of one line (0.15; 1 with --full)\n"
    "  --csv FILE        also write kernels.csv; in a run's folder, its report shows them\n"
    "  --json            rows as JSON instead of a table\n"
    "of the linear kernels only, and then no others are timed:\n"
    "  --shapes LIST     matrices as outputs x inputs, 2048x5632,4096x4096, or files of dimensions, bench/models/shapes/llama-3-8b.ini\n"
    "  --tokens M,M,…    tokens at once (1,128; with --full 1,2,4,8,32,128,512)\n"
    "  --format WORD     of the weights (the first that the kernel computes)\n"
    "  --act WORD        activations: those of the kernel's name, or q8g in kernels of q8 (a scale for each group of the weights), bf16 in kernels of f32\n"
    "examples: llmsweep kernels --bench --csv results/mine/kernels.csv\n"
    "          llmsweep kernels --bench --filter '*_q4_*' --shapes 4096x14336 --tokens 1,32,512 --threads 2\n"
    "          LLMSWEEP_ISA=avx2 llmsweep kernels --list\n"
    "Medians with their 95% intervals. Exit codes: 0 done, 1 --check found a wrong kernel, 2 wrong usage, 3 a kernel was wrong and so not timed, "
    "or the harness failed.\n";

static const char *const op_names[OP_COUNT] = {
    [OP_LINEAR] = "linear", [OP_QUANTIZE_ROWS] = "quantize_rows", [OP_RMSNORM] = "rmsnorm", [OP_ROPE] = "rope",
    [OP_SWIGLU] = "swiglu", [OP_ATTENTION] = "attention",         [OP_SOFTMAX] = "softmax",
};

enum action { LIST, CHECK, BENCH, PRUNE };

bool kernels_wanted(const struct kernels_request *request, const struct kernel *kernel) {
    return request->filter == NULL || fnmatch(request->filter, kernel->name, 0) == 0;
}

static void list(const struct kernels_request *request) {
    size_t count, formats;
    const struct kernel *const *all = kernel_all(&count);
    printf("%-36s %-14s %-11s %-9s %s\n", "kernel", "op", "isa", "provider", "reads");
    for (size_t i = 0; i < count; i++) {
        if (kernels_wanted(request, all[i]))
            printf("%-36s %-14s %-11s %-9s %s%s\n", all[i]->name, op_names[all[i]->op], isa_name(all[i]->isa),
                   provider_name(all[i]->provider), all[i]->layout,
                   all[i]->isa > isa_current() ? " [not on this machine or limit]" : "");
    }
    const enum isa detected = isa_detect(), allowed = isa_current();
    printf("\nThis CPU has %s; ", isa_name(detected));
    if (allowed < detected)
        printf("LLMSWEEP_ISA or --isa allows %s. ", isa_name(allowed));
    printf("Picked, the highest step of a kernel that computes it:\n");
    for (enum op op = 0; op < OP_COUNT; op++) {
        const struct kernel *kernel = op == OP_LINEAR ? NULL : kernel_pick(op);
        if (kernel != NULL && kernels_wanted(request, kernel))
            printf("%-19s %s: %s\n", op_names[op], kernel->name, kernel->layout);
    }
    const char *const *words = linear_formats(&formats);
    for (size_t i = 0; i < formats; i++) {
        for (int activation = 0; activation < ACTIVATION_COUNT; activation++) {
            struct weight_format format;
            char why[256];
            if (weight_format_parse(words[i], &format, why, sizeof(why)) != 0)
                continue;
            const struct kernel *kernel =
                kernel_linear(&format, (enum activation)activation, PROVIDER_OWN, why, sizeof(why));
            const bool listed = kernel != NULL ? kernels_wanted(request, kernel) : activation != ACTIVATION_Q8G;
            if (listed)
                printf("%-14s %-4s %s\n", words[i], activation_name((enum activation)activation), why);
        }
    }
}

int kernels_check_one(const struct kernels_request *request, const struct kernel *kernel, size_t *comparisons, char *message,
                      size_t message_size) {
    const struct op_descriptor *op = op_find(kernel->op);
    if (op == NULL) {
        snprintf(message, message_size, "%s: its op has no reference", kernel->name);
        return -ENOTSUP;
    }
    snprintf(message, message_size, "%s: cannot be checked", kernel->name);
    return op->check(kernel, request->bench.seed, comparisons, message, message_size);
}

static int check_all(const struct kernels_request *request) {
    size_t count, checked = 0, failed = 0;
    const struct kernel *const *all = kernel_all(&count);
    for (size_t i = 0; i < count; i++) {
        char message[512];
        size_t comparisons = 0;
        if (!kernels_wanted(request, all[i]) || all[i]->isa > isa_current())
            continue;
        const int status = kernels_check_one(request, all[i], &comparisons, message, sizeof(message));
        if (status == 0)
            printf("%-36s ok, %zu comparisons\n", all[i]->name, comparisons);
        else if (status == -ENOTSUP)
            continue;
        else
            printf("%-36s FAILED %s\n", all[i]->name, message);
        fflush(stdout);
        checked++;
        failed += status != 0;
    }
    if (checked == 0) {
        fprintf(stderr, "llmsweep: kernels: no kernel matches '%s' up to %s\n", request->filter ? request->filter : "*",
                isa_name(isa_current()));
        return 2;
    }
    printf("%zu kernels checked, %zu failed\n", checked, failed);
    return failed > 0;
}

static bool read_tokens(const char *text, struct kernels_request *request) {
    request->token_count = 0;
    for (char *end; request->token_count < KERNELS_TOKENS_LIMIT; text = end + 1) {
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

static bool add_matrix(struct kernels_request *request, int rows, int columns) {
    for (int i = 0; i < request->matrix_count; i++)
        if (request->matrices[i].rows == rows && request->matrices[i].columns == columns)
            return true;
    if (request->matrix_count == KERNELS_MATRICES_LIMIT)
        return false;
    request->matrices[request->matrix_count].rows = rows;
    request->matrices[request->matrix_count++].columns = columns;
    return true;
}

// The different matrices of a model's block.
static bool add_model(struct kernels_request *request, const char *path, char *error, size_t error_size) {
    struct model_config config;
    if (shape_read(&config, path, error, error_size) != 0)
        return false;
    for (int which = 0; which < LAYER_MATRICES; which++) {
        int rows, columns;
        model_matrix_shape(&config, (enum layer_matrix)which, &rows, &columns);
        if (!add_matrix(request, rows, columns)) {
            snprintf(error, error_size, "%s: more than %d matrices", path, KERNELS_MATRICES_LIMIT);
            return false;
        }
    }
    return true;
}

// A comma between each two of them: NxK, or a file of dimensions.
static bool read_shapes(char *list, struct kernels_request *request, char *error, size_t error_size) {
    char *rest = list;
    for (char *word; (word = strsep(&rest, ",")) != NULL;) {
        int rows, columns;
        char after;
        const size_t length = strlen(word);
        if (length > 4 && strcmp(word + length - 4, ".ini") == 0) {
            if (!add_model(request, word, error, error_size))
                return false;
        } else if (sscanf(word, "%dx%d%c", &rows, &columns, &after) != 2 || rows < 1 || columns < 1 || !add_matrix(request, rows, columns)) {
            snprintf(error, error_size, "'%s' is not a shape such as 2048x5632 (outputs x inputs), nor a file of dimensions (.ini)", word);
            return false;
        }
    }
    return true;
}

static int wrong(const char *problem, const char *value) {
    fprintf(stderr, "llmsweep: kernels: %s '%s' (llmsweep kernels --help says more)\n", problem, value);
    return 2;
}

static int complain(const char *error) {
    fprintf(stderr, "llmsweep: kernels: %s\n", error);
    return 2;
}

// ---------------------------------------------------------------------------------------------------------------------
// The machine

struct placed {
    struct topology *topology;
    struct placement placement;
};

static void bind_thread(int thread, void *context) {
    const struct placed *placed = context;
    char error[256];
    if (topology_bind_thread(placed->topology, placed->placement.pus[thread], error, sizeof(error)) != 0)
        fprintf(stderr, "llmsweep: kernels: thread %d is not bound: %s\n", thread, error);
}

static int bench(struct kernels_request *request, int (*measure)(const struct kernels_request *request)) {
    const struct topology_source source = {.no_devices = true};
    struct kernel_bench_options *options = &request->bench;
    struct placed placed = {0};
    char error[512];
    if (topology_load(&source, &placed.topology, error, sizeof(error)) != 0) {
        complain(error);
        return 3;
    }
    int code = 2;
    if (topology_place(placed.topology, 1, options->threads, 0, &placed.placement, error, sizeof(error)) != 0) {
        complain(error);
        goto out;
    }
    if (!topology_last_level_cache(placed.topology, placed.placement.pus, (size_t)options->threads, &options->cache_bytes))
        options->cache_bytes = 0;
    options->memory_bytes = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    options->bind = bind_thread;
    options->bind_context = &placed;
    code = measure(request);
out:
    placement_free(&placed.placement);
    topology_free(placed.topology);
    return code;
}

// ---------------------------------------------------------------------------------------------------------------------
enum { ISA = 256, SEED, FORMAT, ACT, SHAPES, TOKENS, THREADS, CACHE, TIME, CSV, FILTER, QUICK, FULL, JSON, HELP };

// 0, or the exit code + 1 when the command is over.
static int take_option(struct kernels_request *request, enum action *action, int option) {
    static const char *const caches[] = {"auto", "hot", "cold"};
    struct weight_format format;
    enum activation activation;
    enum isa isa;
    char error[512], *end;
    switch (option) {
    case LIST:
    case CHECK:
    case BENCH:
    case PRUNE:
        *action = (enum action)option;
        return 0;
    case FILTER:
        request->filter = optarg;
        return 0;
    case ISA:
        if (isa_parse(optarg, &isa) != 0)
            return 1 + wrong("unknown instruction set (known: " ISA_WORDS ")", optarg);
        isa_limit(isa);
        return 0;
    case SEED:
        request->bench.seed = strtoull(optarg, &end, 10);
        return *end == '\0' && end != optarg ? 0 : 1 + wrong("not a seed:", optarg);
    case FORMAT:
        request->format = optarg;
        return weight_format_parse(optarg, &format, error, sizeof(error)) == 0 ? 0 : 1 + complain(error);
    case ACT:
        request->activations = optarg;
        return activation_parse(optarg, &activation) == 0 ? 0 : 1 + wrong("unknown activations (known: " ACTIVATION_WORDS ")", optarg);
    case SHAPES:
        return read_shapes(optarg, request, error, sizeof(error)) ? 0 : 1 + complain(error);
    case TOKENS:
        return read_tokens(optarg, request) ? 0 : 1 + wrong("not up to 16 token counts such as 1,8,64:", optarg);
    case THREADS:
        return command_number(optarg, 1, 4096, &request->bench.threads) ? 0 : 1 + wrong("not a number of threads:", optarg);
    case CACHE:
        for (int i = 0; i < 3; i++)
            if (strcmp(optarg, caches[i]) == 0) {
                request->bench.cache = (enum kernel_cache)i;
                return 0;
            }
        return 1 + wrong("not hot, cold or auto:", optarg);
    case TIME:
        request->bench.sampler.max_time = strtod(optarg, &end);
        return request->bench.sampler.max_time > 0 && *end == '\0' ? 0 : 1 + wrong("not a time in seconds:", optarg);
    case CSV:
        request->csv = optarg;
        return 0;
    case QUICK:
    case FULL:
        request->full = option == FULL;
        return 0;
    case JSON:
        request->json = true;
        return 0;
    case 'h':
    case HELP:
        fputs(usage, stdout);
        return 1;
    default:
        fputs(usage, stderr);
        return 1 + 2;
    }
}

int command_kernels(int argc, char **argv) {
    static const struct option options[] = {{"list", no_argument, NULL, LIST},
                                            {"check", no_argument, NULL, CHECK},
                                            {"bench", no_argument, NULL, BENCH},
                                            {"prune", no_argument, NULL, PRUNE},
                                            {"filter", required_argument, NULL, FILTER},
                                            {"isa", required_argument, NULL, ISA},
                                            {"seed", required_argument, NULL, SEED},
                                            {"format", required_argument, NULL, FORMAT},
                                            {"act", required_argument, NULL, ACT},
                                            {"shapes", required_argument, NULL, SHAPES},
                                            {"tokens", required_argument, NULL, TOKENS},
                                            {"threads", required_argument, NULL, THREADS},
                                            {"cache", required_argument, NULL, CACHE},
                                            {"time", required_argument, NULL, TIME},
                                            {"csv", required_argument, NULL, CSV},
                                            {"quick", no_argument, NULL, QUICK},
                                            {"full", no_argument, NULL, FULL},
                                            {"json", no_argument, NULL, JSON},
                                            {"help", no_argument, NULL, HELP},
                                            {0}};
    struct kernels_request request = {.bench = kernel_bench_defaults()};
    const double quick_time = request.bench.sampler.max_time;
    enum action action = LIST;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        const int code = take_option(&request, &action, option);
        if (code != 0)
            return code - 1;
    }
    if (optind < argc)
        return wrong("takes no argument besides its options:", argv[optind]);
    if (request.full && request.bench.sampler.max_time == quick_time)
        request.bench.sampler.max_time = 1;
    switch (action) {
    case CHECK:
        return check_all(&request);
    case BENCH:
        return bench(&request, kernels_bench);
    case PRUNE:
        if (request.csv != NULL || request.json || request.filter != NULL)
            return wrong("--prune takes neither --csv, --json nor --filter:", request.csv != NULL ? "--csv" : request.json ? "--json" : "--filter");
        return bench(&request, kernels_prune);
    default:
        list(&request);
        return 0;
    }
}
