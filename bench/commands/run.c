// SPDX-License-Identifier: MIT
// llmsweep run: runs a sweep, records it, and says what was found.
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench/commands/commands.h"
#include "bench/commands/summary.h"
#include "bench/commands/sweep.h"
#include "bench/workloads/inference.h"
#include "harness/runner.h"

static const char usage[] = "usage: llmsweep run SPEC [-o DIR] [--resume] [--set KEY=VALUE]… [--report] [--quiet]\n"
                            "  -o DIR           where results go (default results/<date>-<spec>-<machine>)\n"
                            "  --resume         go on with the interrupted run in DIR\n"
                            "  --set KEY=VALUE  over what the spec says of a setting or an axis\n"
                            "  --report         write DIR/report/ at the end\n"
                            "  --quiet          no progress\n"
                            "examples: llmsweep run bench/specs/smoke.ini\n"
                            "          llmsweep run bench/specs/default.ini --set layout=t1,t2 --set max_time=5s -o results/threads\n";

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
    (void)number;
    interrupted = 1;
}

static void catch_signals(void) {
    struct sigaction stop = {.sa_handler = on_signal}; // without SA_RESTART, so that waiting ends
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); // a file that may not grow is an error like a full disk
}

// results/20240131-174502-smoke-<machine>
static int default_folder(const struct loaded_sweep *sweep, const char *spec, char **directory) {
    char slug[64], date[32];
    time_t now = time(NULL);
    struct tm utc;
    const char *base = strrchr(spec, '/') ? strrchr(spec, '/') + 1 : spec, *dot = strrchr(base, '.');
    topology_slug(sweep->topology, slug, sizeof slug);
    gmtime_r(&now, &utc);
    strftime(date, sizeof date, "%Y%m%d-%H%M%S", &utc);
    return asprintf(directory, "results/%s-%.*s-%s", date, dot ? (int)(dot - base) : (int)strlen(base), base, slug) < 0 ? -ENOMEM : 0;
}

static int save_topology(void *context, const char *directory, char *error, size_t error_size) {
    const struct loaded_sweep *sweep = context;
    char *path;
    int result = 0;
    if (asprintf(&path, "%s/topology.xml", directory) < 0) {
        snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    if (access(path, F_OK))
        result = topology_save_xml(sweep->topology, path, error, error_size);
    free(path);
    return result;
}

static int exit_code(int code) {
    switch (code) {
    case 0:
        return 0;
    case -EINTR:
        return 130;
    case -EEXIST:
    case -EINVAL:
    case -EACCES:
    case -EPERM:
    case -EROFS:
    case -ENOTDIR:
    case -ENOENT:
        return 2;
    default:
        return 3;
    }
}

struct run_arguments {
    const char *spec, *directory;
    struct sweep_overrides overrides;
    bool resume, report, quiet;
};

static int run_sweep(const struct run_arguments *arguments, struct loaded_sweep *sweep, const char *directory) {
    char program[4096], error[1200];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = '\0';
    const char *const worker[] = {program, "worker"};
    json_t *about = sweep_about(sweep, &arguments->overrides);
    struct runner_options options = {
        .directory = directory,
        .resume = arguments->resume,
        .worker = worker,
        .worker_words = 2,
        .about = about,
        .messages = arguments->quiet ? NULL : stderr,
        .ready = save_topology,
        .ready_context = sweep,
        .interrupted = &interrupted,
    };
    struct runner_result result;
    catch_signals();
    int code = runner_run(&sweep->plan, &options, &result, error, sizeof error);
    json_decref(about);
    if (code == -EINTR)
        fprintf(stderr, "llmsweep: %s; go on with: llmsweep run %s -o %s --resume\n", error, arguments->spec, directory);
    else if (code)
        fprintf(stderr, "llmsweep: %s\n", error);
    if (!code && (code = summary_print(directory, &result, error, sizeof error)))
        fprintf(stderr, "llmsweep: %s\n", error);
    return exit_code(code);
}

static int read_arguments(int argc, char **argv, struct run_arguments *arguments) {
    static const struct option options[] = {{"output", required_argument, NULL, 'o'}, {"resume", no_argument, NULL, 'r'},
                                            {"set", required_argument, NULL, 's'},    {"report", no_argument, NULL, 'p'},
                                            {"quiet", no_argument, NULL, 'q'},        {"help", no_argument, NULL, 'h'},
                                            {0}};
    *arguments = (struct run_arguments){0};
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "o:h", options, NULL)) != -1;)
        switch (option) {
        case 'o':
            arguments->directory = optarg;
            break;
        case 'r':
            arguments->resume = true;
            break;
        case 's':
            if (sweep_override(&arguments->overrides, optarg))
                return fprintf(stderr, "llmsweep: run: too many --set\n"), 2;
            break;
        case 'p':
            arguments->report = true;
            break;
        case 'q':
            arguments->quiet = true;
            break;
        case 'h':
            fputs(usage, stdout);
            sweep_print_keys();
            return -1;
        default:
            fputs(usage, stderr);
            return 2;
        }
    if (optind + 1 != argc || (arguments->resume && !arguments->directory)) {
        fprintf(stderr, "llmsweep: run: %s\n%s", optind + 1 == argc ? "--resume needs -o DIR, the folder of the run" : "name one spec", usage);
        return 2;
    }
    arguments->spec = argv[optind];
    return 0;
}

// A sweep of which nothing can run is a mistake of its spec. Names the line of the layouts, which it mostly is.
static bool has_cells_to_run(const struct loaded_sweep *sweep, const char *path) {
    const struct plan *plan = &sweep->plan;
    for (size_t i = 0; i < plan->count; i++)
        if (plan->cells[i].status != CELL_SKIPPED) // want of memory is a finding, and gets its rows
            return true;
    const struct plan_cell *first = &plan->cells[0];
    char line[20] = "", label[512];
    if (first->sweep->axes[AXIS_LAYOUT].line)
        snprintf(line, sizeof line, ":%d", first->sweep->axes[AXIS_LAYOUT].line);
    plan_cell_label(plan, &first->cell, label, sizeof label);
    fprintf(stderr, "llmsweep: %s%s: none of %zu cells can run here; %s: %s (llmsweep plan %s lists them)\n", path, line, plan->count, label,
            first->reason, path);
    return false;
}

int command_run(int argc, char **argv) {
    struct run_arguments arguments;
    struct loaded_sweep sweep;
    char error[1200], *directory = NULL;
    int code = read_arguments(argc, argv, &arguments);
    if (code)
        return code < 0 ? 0 : code;
    if (sweep_load(&sweep, arguments.spec, &arguments.overrides, true, error, sizeof error)) {
        fprintf(stderr, "llmsweep: %s\n", error);
        return 2;
    }
    if (!has_cells_to_run(&sweep, arguments.spec)) {
        sweep_free(&sweep);
        return 2;
    }
    if (arguments.directory ? !(directory = strdup(arguments.directory)) : default_folder(&sweep, arguments.spec, &directory)) {
        fprintf(stderr, "llmsweep: out of memory\n");
        sweep_free(&sweep);
        return 3;
    }
    code = run_sweep(&arguments, &sweep, directory);
    bool launcher_missing = sweep.plan.launcher_missing;
    if (code == 0)
        printf("results: %s\n", directory);
    fflush(stdout);
    if (code == 0 && arguments.report) {
        char *report[] = {"report", directory, NULL};
        code = command_report(2, report);
    }
    if (code == 0 && launcher_missing) {
        fprintf(stderr, "llmsweep: layouts of several ranks were skipped: %s\n", sweep.launcher_reason);
        code = 2;
    }
    sweep_free(&sweep);
    free(directory);
    return code;
}
