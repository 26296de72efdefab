// SPDX-License-Identifier: MIT
// llmsweep export: stored runs in the forms that other programs read.
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "bench/commands/commands.h"
#include "bench/compare/compare.h"
#include "bench/export/export.h"
#include "harness/settings.h"

static void print_usage(FILE *out) {
    fputs("usage: llmsweep export RUN [RUN…] --format FORM [-o FILE]\n"
          "Writes a stored run (a folder such as results/RUN) in a form that other programs read.\n"
          "  --format FORM\n", out);
    for (size_t i = 0; i < export_form_count; i++)
        fprintf(out, "    %-32s %s%s\n", export_forms[i].name, export_forms[i].help, export_forms[i].several ? " (takes several runs, oldest first)" : "");
    fputs("  -o FILE        where to write; standard output unless said\n"
          "examples:\n"
          "  llmsweep export results/monday --format google-benchmark -o monday.json\n"
          "  llmsweep export results/2026* --format otava -o history.csv\n", out);
}

static int complain(const char *what) {
    fprintf(stderr, "llmsweep: export: %s\n", what);
    return 2;
}

static int find_form(const char *name, const struct export_form **form) {
    const char *known[32];
    char reason[700];
    for (size_t i = 0; i < export_form_count; i++) {
        known[i] = export_forms[i].name;
        if (!strcmp(known[i], name)) {
            *form = &export_forms[i];
            return 0;
        }
    }
    word_unknown("form", name, known, export_form_count, reason, sizeof reason);
    return complain(reason);
}

static int write_runs(const struct export_form *form, const struct report_run *runs, size_t count, const char *path) {
    FILE *out = path ? fopen(path, "w") : stdout;
    if (!out) {
        fprintf(stderr, "llmsweep: export: %s: %s\n", path, strerror(errno));
        return 2;
    }
    int result = form->write(runs, count, out);
    if ((path ? fclose(out) : fflush(out)) && !result)
        result = -errno;
    if (result)
        fprintf(stderr, "llmsweep: export: %s: %s\n", path ? path : "standard output", strerror(-result));
    return result ? 3 : 0;
}

int command_export(int argc, char **argv) {
    static const struct option options[] = {{"format", required_argument, NULL, 'f'}, {"output", required_argument, NULL, 'o'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *path = NULL, *name = NULL;
    const struct export_form *form;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "o:h", options, NULL)) != -1;) {
        if (option == 'f') {
            name = optarg;
        } else if (option == 'o') {
            path = optarg;
        } else {
            print_usage(option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    }
    size_t count = (size_t)(argc - optind), loaded = 0;
    if (!count)
        return complain("name the folder of a run, such as results/RUN");
    if (!name)
        return complain("--format is missing (--help lists the forms)");
    int code = find_form(name, &form);
    if (code)
        return code;
    if (count > 1 && !form->several)
        return complain("this form takes one run");
    struct report_run *runs = calloc(count, sizeof *runs);
    char error[4400];
    size_t timed = 0;
    if (!runs)
        return complain("not enough memory"), 3;
    for (; loaded < count && !code; loaded++) {
        int result = report_run_load(argv[optind + (int)loaded], &runs[loaded], error, sizeof error);
        if (!result)
            result = compare_check_twins(&runs[loaded], error, sizeof error);
        if (result) {
            fprintf(stderr, "llmsweep: export: %s\n", error);
            code = result == -ENOMEM ? 3 : 2;
        }
        for (size_t i = 0; i < runs[loaded].cell_count; i++)
            timed += runs[loaded].cells[i].timed;
    }
    // JUnit and Markdown show cells that failed; in the others nothing would be left.
    if (!code && !timed && strcmp(name, "junit") && strcmp(name, "markdown")) {
        fprintf(stderr, "llmsweep: export: no cell of %s has a speed\n", argv[optind]);
        code = 2;
    }
    if (!code)
        code = write_runs(form, runs, count, path);
    for (size_t i = 0; i < loaded; i++)
        report_run_free(&runs[i]);
    free(runs);
    return code;
}
