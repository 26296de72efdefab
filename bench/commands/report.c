// SPDX-License-Identifier: MIT
// llmsweep report: renders stored runs.
#include "bench/report/report.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

int command_report(int argc, char **argv);

static const char usage[] =
    "usage: llmsweep report RUN [RUN…]\n"
    "  RUN   the folder of a run, such as results/RUN; its report goes to RUN/report/index.html, a page that needs nothing else,\n"
    "        with every plot as .svg, .png and .pdf beside it\n"
    "What was found is printed as text, the page's place after it.\n";

// 0 all rendered, 2 wrong usage, a folder without a run, a broken file or no gnuplot, 3 a report that cannot be written.
int command_report(int argc, char **argv) {
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        fputs(usage, option == 'h' ? stdout : stderr);
        return option == 'h' ? 0 : 2;
    }
    if (optind == argc) {
        fprintf(stderr, "llmsweep: report: name the folder of a run, such as results/RUN\n%s", usage);
        return 2;
    }
    for (; optind < argc; optind++) {
        char error[4400], directory[4000];
        snprintf(directory, sizeof directory, "%s", argv[optind]);
        for (size_t length = strlen(directory); length > 1 && directory[length - 1] == '/';)
            directory[--length] = '\0';
        int result = report_render(directory, stdout, error, sizeof error);
        if (result) {
            fflush(stdout);
            fprintf(stderr, "llmsweep: %s\n", error);
            return result == -ENOENT || result == -EINVAL || result == -ENOTDIR ? 2 : 3;
        }
        printf("\n%s/report/index.html\n", directory);
    }
    return 0;
}
