// SPDX-License-Identifier: MIT
// llmsweep peers: what others compute the same with, in the same minutes.
#include "bench/commands/commands.h"
#include "bench/commands/peers_command.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/model/model.h"
#include "bench/workloads/peers.h"
#include "harness/comm.h"
#include "harness/topology.h"

static const char usage[] =
    "usage: llmsweep peers [--llama-bench PATH] [options]\n"
    "  --llama-bench PATH   of llama.cpp or a relative (the environment's LLAMA_BENCH; else the one on PATH); llama-quantize must stand beside it\n"
    "  --against LIST       our format = their type, … (q8g32=Q8_0,q8g32=Q8_0_R8,q4g32=Q4_0,q4g32=Q4_0_R8); a type that the peer's quantizer\n"
    "                       does not know is left out\n"
    "  --threads LIST       (1,2, as far as there are cores)\n"
    "  --pairs N            ours, theirs, theirs, ours, … (6, the fewest that give a 95% interval)\n"
    "  --layers N           of the model, whose other dimensions are TinyLlama's: d 2048, ffn 5632 (6)\n"
    "  --act W              activations of ours, q8g or q8: codes of 8 bits with a scale for each group, as theirs, or a scale a token; bf16 or\n"
    "                       f32, which are rounded less than theirs (q8g)\n"
    "  --prompt N --gen N   tokens of a prefill; tokens of a decode from an empty cache (512, 64)\n"
    "  --no-libraries       leave out OpenBLAS and oneDNN\n"
    "  --no-models          leave out llama-bench\n"
    "  --json               instead of tables\n"
    "Ratios are ours over theirs, median of the pairs with its 95% interval; above 1 ours is faster. Keys and values are f16 on their side, bf16 on ours. Nothing is judged by the exit code.\n"
    "example: LLAMA_BENCH=~/llama.cpp/build/bin/llama-bench llmsweep peers --threads 1 --against q4g32=Q4_0\n";

static int complain(const char *error) {
    fprintf(stderr, "llmsweep: peers: %s\n", error);
    return 3;
}

static int wrong(const char *problem, const char *value) {
    fprintf(stderr, "llmsweep: peers: %s '%s' (llmsweep peers --help says more)\n", problem, value);
    return 2;
}

// ---------------------------------------------------------------------------------------------------------------------
// Finding the peer

// A program on PATH; the caller frees. NULL when there is none.
static char *on_path(const char *name) {
    const char *path = getenv("PATH");
    char *copy = path ? strdup(path) : NULL, *rest = copy, *found = NULL;
    for (char *folder; copy && !found && (folder = strsep(&rest, ":")) != NULL;) {
        if (asprintf(&found, "%s/%s", *folder ? folder : ".", name) < 0)
            found = NULL;
        if (found && access(found, X_OK)) {
            free(found);
            found = NULL;
        }
    }
    free(copy);
    return found;
}

// The program beside another; the caller frees. NULL when there is none.
static char *beside(const char *path, const char *name) {
    const char *slash = strrchr(path, '/');
    char *found;
    if (asprintf(&found, "%.*s/%s", slash ? (int)(slash - path) : 1, slash ? path : ".", name) < 0)
        return NULL;
    if (!access(found, X_OK))
        return found;
    free(found);
    return NULL;
}

// ---------------------------------------------------------------------------------------------------------------------
// Whole models

static void print_result(const struct peers_request *request, const char *format, const char *type, int threads,
                         const struct peer_result *result) {
    static const char *const phases[] = {"prefill", "decode"};
    for (int phase = 0; phase < PEER_PHASES; phase++) {
        const struct stats_interval *ours = &result->phase[phase].ours, *theirs = &result->phase[phase].theirs,
                                    *ratio = &result->phase[phase].ratio;
        const double gbs = ours->estimate * result->phase[phase].bytes / 1e9, gops = ours->estimate * result->phase[phase].operations / 1e9;
        if (request->json) {
            json_array_append_new(
                request->json,
                json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:f, s:f, s:f, s:f, s:f, s:i, s:f, s:f, s:f, s:f, s:f}", "kind", "model", "phase",
                          phases[phase], "ours", format, "act", activation_name(request->activation), "theirs", type, "build", result->build, "threads", threads, "ours_tps",
                          ours->estimate, "theirs_tps", theirs->estimate, "ratio", ratio->estimate, "ratio_lo", ratio->lo, "ratio_hi",
                          ratio->hi, "pairs", (int)result->pairs, "gbs", gbs, "gops", gops, "bandwidth_gbs",
                          result->phase[phase].bandwidth / 1e9, "peak_gops", result->phase[phase].peak / 1e9, "ours_roof_fraction",
                          result->phase[phase].roof_fraction));
            continue;
        }
        printf("%-7s %-8s %-8s %2d %10.1f %10.1f %7.2f [%.2f, %.2f] %7.1f %s of %.1f %5.0f%%\n", phases[phase], format, type, threads,
               ours->estimate, theirs->estimate, ratio->estimate, ratio->lo, ratio->hi, phase == PEER_PREFILL ? gops : gbs,
               phase == PEER_PREFILL ? "GOP/s" : "GB/s",
               (phase == PEER_PREFILL ? result->phase[phase].peak : result->phase[phase].bandwidth) / 1e9,
               100 * result->phase[phase].roof_fraction);
    }
    fflush(stdout);
}

static int compare_models(const struct peers_request *request) {
    struct model_config config = {.name = "peers", .vocab = 2048, .d_model = 2048, .layers = request->layers, .heads = 32, .kv_heads = 4,
                                  .head_dim = 64, .ffn = 5632, .context = 16384, .rope_theta = 10000, .norm_eps = 1e-5f,
                                  .rope_style = ROPE_INTERLEAVED};
    const struct peers_options options = {.prompt = request->prompt, .gen = request->gen, .pairs = request->pairs, .limit = 300,
                                          .activation = request->activation};
    const struct peer peer = {request->llama_bench, request->llama_quantize};
    struct peers *peers;
    char error[600] = "";
    if (peers_open(&peers, &config, &options, error, sizeof error))
        return complain(error);
    if (!request->json)
        printf("%s, d 2048, ffn 5632, %d layers, %d pairs, activations of ours %s\n%-7s %-8s %-8s %2s %10s %10s %7s %-13s %7s\n", request->llama_bench, request->layers,
               request->pairs, activation_name(request->activation), "models", "ours", "theirs", "t", "ours t/s", "theirs t/s", "ratio", " 95%", "ours, of the roof");
    int code = 0;
    char *rest = request->against;
    for (char *pair; !code && (pair = strsep(&rest, ",")) != NULL;) {
        char *type = strchr(pair, '=');
        struct weight_format format;
        if (!type || type[1] == '\0') {
            code = wrong("--against takes pairs such as q8g32=Q8_0, not", pair);
            break;
        }
        *type++ = '\0';
        if (weight_format_parse(pair, &format, error, sizeof error)) {
            complain(error);
            code = 2;
        }
        for (int t = 0; t < request->thread_count && !code; t++) {
            struct peer_result result;
            const int status = peers_compare(peers, &peer, pair, type, request->threads[t], &result, error, sizeof error);
            if (!status)
                print_result(request, pair, type, request->threads[t], &result);
            else if (status == -ENOTSUP)
                fprintf(stderr, "llmsweep: peers: left out: %s\n", error);
            else
                code = complain(error);
            if (status)
                break;
        }
    }
    peers_close(peers);
    return code;
}

// ---------------------------------------------------------------------------------------------------------------------

static bool read_threads(const char *text, struct peers_request *request) {
    char copy[64], *rest = copy;
    snprintf(copy, sizeof copy, "%s", text);
    request->thread_count = 0;
    for (char *word; (word = strsep(&rest, ",")) != NULL;)
        if (request->thread_count == PEERS_THREADS_LIMIT || !command_number(word, 1, 4096, &request->threads[request->thread_count++]))
            return false;
    return true;
}

enum { LLAMA_BENCH = 256, AGAINST, ACT, THREADS, PAIRS, LAYERS, PROMPT, GEN, NO_LIBRARIES, NO_MODELS, JSON, HELP };

// 0, or the exit code + 1 when the command is over.
static int take_option(struct peers_request *request, int option) {
    switch (option) {
    case LLAMA_BENCH:
        request->llama_bench = optarg;
        return access(optarg, X_OK) ? 1 + wrong("not a program:", optarg) : 0;
    case AGAINST:
        request->against = optarg;
        return 0;
    case ACT:
        return !activation_parse(optarg, &request->activation) ? 0 : 1 + wrong("not q8g, q8, bf16 or f32:", optarg);
    case THREADS:
        return read_threads(optarg, request) ? 0 : 1 + wrong("not up to 8 thread counts such as 1,2:", optarg);
    case PAIRS:
        return command_number(optarg, 1, PEER_PAIRS_LIMIT / 2, &request->pairs) ? 0 : 1 + wrong("not 1 to 50 pairs:", optarg);
    case LAYERS:
        return command_number(optarg, 1, 1000, &request->layers) ? 0 : 1 + wrong("not 1 to 1000 layers:", optarg);
    case PROMPT:
        return command_number(optarg, 1, 16000, &request->prompt) ? 0 : 1 + wrong("not 1 to 16000 tokens:", optarg);
    case GEN:
        return command_number(optarg, 1, 16000, &request->gen) ? 0 : 1 + wrong("not 1 to 16000 tokens:", optarg);
    case NO_LIBRARIES:
        request->libraries = false;
        return 0;
    case NO_MODELS:
        request->models = false;
        return 0;
    case JSON:
        request->json = json_array();
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

static int run(struct peers_request *request) {
    const struct topology_source source = {.no_devices = true};
    struct kernel_bench_options options = kernel_bench_defaults();
    struct topology *topology;
    char error[512];
    int code = 0;
    if (topology_load(&source, &topology, error, sizeof error))
        return complain(error);
    const int cores = topology_summary(topology)->usable_cores;
    if (!request->thread_count)
        for (int threads = 1; threads <= 2 && threads <= cores; threads++)
            request->threads[request->thread_count++] = threads;
    if (!topology_last_level_cache(topology, NULL, 0, &options.cache_bytes))
        options.cache_bytes = 0;
    options.memory_bytes = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    if (request->libraries)
        code = peers_libraries(request, options);
    if (!code && request->models && request->llama_bench)
        code = compare_models(request);
    else if (!code && request->models)
        fprintf(stderr, "llmsweep: peers: no llama-bench on PATH or in LLAMA_BENCH, so only libraries were compared\n");
    if (request->json && (json_dumpf(request->json, stdout, JSON_INDENT(1)) || putchar('\n') == EOF))
        code = complain("the rows cannot be printed");
    topology_free(topology);
    return code;
}

int command_peers(int argc, char **argv) {
    static const struct option options[] = {{"llama-bench", required_argument, NULL, LLAMA_BENCH},
                                            {"act", required_argument, NULL, ACT},
                                            {"against", required_argument, NULL, AGAINST},
                                            {"threads", required_argument, NULL, THREADS},
                                            {"pairs", required_argument, NULL, PAIRS},
                                            {"layers", required_argument, NULL, LAYERS},
                                            {"prompt", required_argument, NULL, PROMPT},
                                            {"gen", required_argument, NULL, GEN},
                                            {"no-libraries", no_argument, NULL, NO_LIBRARIES},
                                            {"no-models", no_argument, NULL, NO_MODELS},
                                            {"json", no_argument, NULL, JSON},
                                            {"help", no_argument, NULL, HELP},
                                            {0}};
    char against[] = "q8g32=Q8_0,q8g32=Q8_0_R8,q4g32=Q4_0,q4g32=Q4_0_R8";
    struct peers_request request = {
        .against = against, .pairs = 6, .layers = 6, .prompt = 512, .gen = 64, .activation = ACTIVATION_Q8G, .models = true, .libraries = true};
    char *found = NULL, *quantize = NULL, error[256];
    int code = 0;
    optind = 1;
    for (int option; !code && (option = getopt_long(argc, argv, "h", options, NULL)) != -1;)
        code = take_option(&request, option);
    if (!code && optind < argc)
        code = 1 + wrong("takes no argument besides its options:", argv[optind]);
    if (code) {
        json_decref(request.json);
        return code - 1;
    }
    const char *named = getenv("LLAMA_BENCH");
    if (!request.llama_bench && named && *named)
        request.llama_bench = named;
    if (!request.llama_bench)
        request.llama_bench = found = on_path("llama-bench");
    char *path = request.llama_bench ? realpath(request.llama_bench, NULL) : NULL; // it will run in another folder
    if (request.llama_bench && !path)
        code = wrong("no such program:", request.llama_bench);
    request.llama_bench = path;
    if (path)
        request.llama_quantize = quantize = beside(request.llama_bench, "llama-quantize");
    if (!code)
        code = comm_start(&argc, &argv, error, sizeof error) ? complain(error) : run(&request);
    comm_stop();
    json_decref(request.json);
    free(path);
    free(found);
    free(quantize);
    return code;
}
