// SPDX-License-Identifier: MIT
// llmsweep plan: lists a sweep's cells, the impossible ones with their reason, and what the rest will take.
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "bench/commands/commands.h"
#include "bench/commands/sweep.h"

static const char usage[] = "usage: llmsweep plan SPEC [--json] [--set KEY=VALUE]…\n"
                            "  --json           as JSON\n"
                            "  --set KEY=VALUE  over what the spec says of a setting or an axis\n"
                            "  --keys           list all axes and settings\n"
                            "example: llmsweep plan bench/specs/default.ini --set batch=1-32*2\n";

static void print_duration(double seconds, char *text, size_t size) {
    if (seconds < 120)
        snprintf(text, size, "%.1f s", seconds);
    else if (seconds < 7200)
        snprintf(text, size, "%.0f min", seconds / 60);
    else
        snprintf(text, size, "%.1f h", seconds / 3600);
}

static void print_plan(const struct plan *plan) {
    char label[400], duration[32];
    for (size_t i = 0; i < plan->count; i++) {
        const struct plan_cell *cell = &plan->cells[i];
        plan_cell_label(plan, &cell->cell, label, sizeof label);
        if (cell->status == CELL_OK)
            printf("%s  %7.2f s %9.1f MB  %s\n", cell->cell.name, plan_cell_seconds(cell), (double)cell->estimate.bytes / 1e6, label);
        else
            printf("%s  %-20s  %s: %s\n", cell->cell.name, cell_status_name(cell->status), label, cell->reason);
    }
    print_duration(plan->seconds, duration, sizeof duration);
    printf("%zu cells, %zu to run: at most about %s, %.1f MB for the largest\n", plan->count, plan->runnable, duration,
           (double)plan->bytes / 1e6);
}

int command_plan(int argc, char **argv) {
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"set", required_argument, NULL, 's'}, {"keys", no_argument, NULL, 'k'},
        {"help", no_argument, NULL, 'h'}, {0}};
    struct sweep_overrides overrides = {0};
    bool as_json = false;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;)
        switch (option) {
        case 'j':
            as_json = true;
            break;
        case 's':
            if (sweep_override(&overrides, optarg))
                return fprintf(stderr, "llmsweep: plan: too many --set\n"), 2;
            break;
        case 'k':
        case 'h':
            fputs(usage, stdout);
            sweep_print_keys();
            return 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    if (optind + 1 != argc) {
        fprintf(stderr, "llmsweep: plan: name one spec\n%s", usage);
        return 2;
    }
    struct loaded_sweep sweep;
    char error[1200];
    if (sweep_load(&sweep, argv[optind], &overrides, false, error, sizeof error)) {
        fprintf(stderr, "llmsweep: %s\n", error);
        return 2;
    }
    int code = 0;
    if (as_json) {
        json_t *json = plan_json(&sweep.plan);
        if (!json || json_dumpf(json, stdout, JSON_INDENT(1)) || putchar('\n') == EOF)
            code = 3;
        json_decref(json);
    } else
        print_plan(&sweep.plan);
    if (fflush(stdout))
        code = 3;
    if (code)
        fprintf(stderr, "llmsweep: plan: cannot write the plan to stdout\n");
    sweep_free(&sweep);
    return code;
}
