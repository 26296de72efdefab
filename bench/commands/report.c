// SPDX-License-Identifier: MIT
// llmsweep report: renders stored runs.
#include "bench/report/report.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "bench/commands/commands.h"

static const char usage[] =
    "usage: llmsweep report RUN [RUN…]\n"
    "       llmsweep report RUN -o DIR\n"
    "  RUN      the folder of a run, such as results/RUN\n"
    "  -o DIR   where the report goes; RUN/report unless said. Its index.html is a page that needs nothing else; every plot lies\n"
    "           beside it as .svg, .png and .pdf\n"
    "What was found is printed as text, the page's place after it.\n";

static int render(const char *run, const char *output) {
    char error[4400], directory[4000];
    snprintf(directory, sizeof directory, "%s", run);
    for (size_t length = strlen(directory); length > 1 && directory[length - 1] == '/';)
        directory[--length] = '\0';
    int result = report_render(directory, output, stdout, error, sizeof error);
    if (result) {
        fflush(stdout);
        fprintf(stderr, "llmsweep: report: %s\n", error);
        return result == -ENOENT || result == -EINVAL || result == -ENOTDIR || result == -EACCES || result == -EROFS ? 2 : 3;
    }
    printf(output ? "\n%s/index.html\n" : "\n%s/report/index.html\n", output ? output : directory);
    return 0;
}

// 0 all rendered, 2 wrong usage, a folder without a run, a broken file or no gnuplot, 3 a report that cannot be written.
int command_report(int argc, char **argv) {
    static const struct option options[] = {{"output", required_argument, NULL, 'o'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *output = NULL;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "o:h", options, NULL)) != -1;) {
        if (option == 'o') {
            output = optarg;
            continue;
        }
        fputs(usage, option == 'h' ? stdout : stderr);
        return option == 'h' ? 0 : 2;
    }
    if (optind == argc || (output && optind + 1 != argc)) {
        fprintf(stderr, "llmsweep: report: %s\n%s",
                optind == argc ? "name the folder of a run, such as results/RUN" : "-o takes the report of one run only", usage);
        return 2;
    }
    int code = 0;
    for (; !code && optind < argc; optind++)
        code = render(argv[optind], output);
    return code;
}
