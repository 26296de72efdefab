// SPDX-License-Identifier: MIT
// llmsweep roof: what this machine can read and compute at best, now.
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/roof.h"
#include "kernels/kernel.h"
#include "harness/topology.h"

int command_roof(int argc, char **argv);

static const char usage[] =
    "usage: llmsweep roof [--threads N] [--working-set MB] [--isa STEP] [--seconds S] [--json]\n"
    "  --threads N       one thread a core; default: all usable cores\n"
    "  --working-set MB  that is read again and again, all threads together (1 MB a thread)\n"
    "  --isa STEP        the highest of: " ISA_WORDS "\n"
    "  --seconds S       for each figure (0.2)\n"
    "  --json            as JSON, in bytes/s and operations/s\n"
    "Medians with their 95% intervals. A multiply-add counts as two operations.\n";

struct roof_command {
    struct roof_request request;
    struct topology *topology;
    struct placement placement;
    uint64_t cache_bytes;
    bool as_json;
};

// A whole positive number, or a positive one with decimals.
static bool parse_number(const char *text, bool whole, double *number) {
    char *end;
    errno = 0;
    *number = strtod(text, &end);
    return end != text && !*end && !errno && *number > 0 && *number < 1e9 && (!whole || *number == floor(*number));
}

static int wrong(const char *problem, const char *value) {
    fprintf(stderr, "llmsweep: roof: %s '%s'\n%s", problem, value, usage);
    return 2;
}

// 0, or the exit code + 1 when the command is over.
static int parse_options(struct roof_command *command, int argc, char **argv) {
    static const struct option options[] = {{"threads", required_argument, NULL, 't'},
                                            {"working-set", required_argument, NULL, 'w'},
                                            {"isa", required_argument, NULL, 'i'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct roof_request *request = &command->request;
    double number;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;)
        switch (option) {
        case 't':
            if (!parse_number(optarg, true, &number) || number > 4096)
                return 1 + wrong("--threads takes a number of 1..4096, not", optarg);
            request->threads = (int)number;
            break;
        case 'w':
            if (!parse_number(optarg, false, &number))
                return 1 + wrong("--working-set takes megabytes, not", optarg);
            request->hot_bytes = (size_t)(number * 1e6);
            break;
        case 'i':
            if (roof_isa_parse(optarg, &request->isa))
                return 1 + wrong("unknown --isa", optarg);
            break;
        case 's':
            if (!parse_number(optarg, false, &request->seconds) || request->seconds > 60)
                return 1 + wrong("--seconds takes a time of up to 60, not", optarg);
            break;
        case 'j':
            command->as_json = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return 1;
        default:
            fputs(usage, stderr);
            return 1 + 2;
        }
    return optind < argc ? 1 + wrong("no argument is taken besides the options:", argv[optind]) : 0;
}

static void bind_thread(int thread, void *context) {
    const struct roof_command *command = context;
    char error[256];
    if (topology_bind_thread(command->topology, command->placement.pus[thread], error, sizeof error))
        fprintf(stderr, "llmsweep: roof: thread %d is not bound: %s\n", thread, error);
}

// Fills what the options left open from what the machine has.
static int place(struct roof_command *command, char *error, size_t error_size) {
    struct topology_source source = {0};
    struct roof_request *request = &command->request;
    if (topology_load(&source, &command->topology, error, error_size))
        return 3;
    if (!request->threads)
        request->threads = topology_summary(command->topology)->usable_cores;
    if (topology_place(command->topology, 1, request->threads, 0, &command->placement, error, error_size))
        return 2;
    size_t threads = (size_t)request->threads;
    if (!topology_last_level_cache(command->topology, command->placement.pus, threads, &command->cache_bytes))
        command->cache_bytes = 0;
    request->cache_bytes = (size_t)command->cache_bytes;
    // Where the machine does not tell its cache, as much as the largest ones of today's servers ask for.
    request->stream_bytes = command->cache_bytes ? command->cache_bytes * 9 / 2 : (size_t)1 << 30;
    double limit = topology_summary(command->topology)->memory_limit_bytes / 2;
    if ((double)request->stream_bytes > limit)
        request->stream_bytes = (size_t)limit;
    if (!request->hot_bytes)
        request->hot_bytes = threads << 20;
    request->bind = bind_thread;
    request->context = command;
    return 0;
}

static void print_figure(const char *name, const struct stats_interval *figure, const char *unit, const char *note) {
    if (isnan(figure->estimate))
        printf("%-24s %10s %-8s %s\n", name, "-", "", "no such instruction");
    else
        printf("%-24s %10.1f %-8s [%.1f, %.1f]%s\n", name, figure->estimate / 1e9, unit, figure->lo / 1e9,
               figure->hi / 1e9, note);
}

static void print_text(const struct roof_command *command, const struct roof *roof) {
    char placed[4096], note[160];
    placement_format(&command->placement, placed, sizeof placed);
    printf("%d thread%s on PU %s, up to %s\n", roof->threads, roof->threads == 1 ? "" : "s",
           strchr(placed, ':') ? strchr(placed, ':') + 1 : placed, roof_isa_name(roof->isa));
    double cache = (double)command->cache_bytes / 1e6, stream = (double)roof->stream_bytes / 1e6;
    if (roof->stream_large_enough)
        snprintf(note, sizeof note, "  %.0f MB, over 4x the last-level cache of %.0f MB", stream, cache);
    else if (cache > 0)
        snprintf(note, sizeof note, "  %.0f MB, NOT over 4x the last-level cache of %.0f MB", stream, cache);
    else
        snprintf(note, sizeof note, "  %.0f MB; the machine does not tell its caches", stream);
    print_figure("read, memory", &roof->stream, "GB/s", note);
    snprintf(note, sizeof note, "  %.3g MB again and again", (double)roof->hot_bytes / 1e6);
    print_figure("read, working set", &roof->hot, "GB/s", note);
    print_figure("fp32 multiply-add", &roof->fp32, "GFLOP/s", "");
    print_figure("int8 dot product", &roof->int8, "GOP/s", "");
    print_figure("bf16 dot product", &roof->bf16, "GFLOP/s", "");
}

static json_t *figure_json(const struct stats_interval *figure) {
    if (isnan(figure->estimate))
        return json_null();
    return json_pack("{s:f, s:f, s:f}", "median", figure->estimate, "lo", figure->lo, "hi", figure->hi);
}

static int print_json(const struct roof_command *command, const struct roof *roof) {
    json_t *json = json_pack(
        "{s:i, s:s, s:I, s:I, s:I, s:b, s:o, s:o, s:o, s:o, s:o}", "threads", roof->threads, "isa",
        roof_isa_name(roof->isa), "stream_bytes", (json_int_t)roof->stream_bytes, "working_set_bytes",
        (json_int_t)roof->hot_bytes, "last_level_cache_bytes", (json_int_t)command->cache_bytes, "stream_large_enough",
        roof->stream_large_enough, "stream", figure_json(&roof->stream), "working_set", figure_json(&roof->hot), "fp32",
        figure_json(&roof->fp32), "int8", figure_json(&roof->int8), "bf16", figure_json(&roof->bf16));
    int code = !json || json_dumpf(json, stdout, JSON_INDENT(2)) || putchar('\n') == EOF;
    json_decref(json);
    return code;
}

// 0 printed, 2 wrong usage or more threads than cores, 3 no memory, or an output that cannot be written.
int command_roof(int argc, char **argv) {
    struct roof_command command = {.request = {.isa = roof_isa_detect(), .peaks = true, .seconds = 0.2}};
    int code = parse_options(&command, argc, argv);
    if (code)
        return code - 1;
    char error[512] = "";
    struct roof roof;
    code = place(&command, error, sizeof error);
    if (!code && roof_measure(&command.request, &roof, error, sizeof error))
        code = 3;
    if (code) {
        fprintf(stderr, "llmsweep: roof: %s\n", error);
        goto out;
    }
    int failed = 0;
    if (command.as_json)
        failed = print_json(&command, &roof);
    else
        print_text(&command, &roof);
    if (failed || fflush(stdout)) {
        fprintf(stderr, "llmsweep: roof: the figures cannot be printed\n");
        code = 3;
    }
out:
    placement_free(&command.placement);
    topology_free(command.topology);
    return code;
}
