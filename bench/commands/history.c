// SPDX-License-Identifier: MIT
// llmsweep history: speeds over time, and where they changed.
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "bench/commands/commands.h"
#include "bench/history/history.h"

static const char usage[] =
    "usage: llmsweep history add RUN [RUN…] [--file FILE]\n"
    "       llmsweep history show [--file FILE] [--machine SLUG] [--filter GLOB] [--format FORM] [-o FILE] [--all]\n"
    "add appends the speeds of stored runs to a CSV, keyed by machine and commit; show finds the change points of every series in it.\n"
    "  --file FILE    the history (default results/baselines/history.csv)\n"
    "  --machine SLUG only this machine's series\n"
    "  --filter GLOB  only series whose name fits, such as 'decode/*/q8g32/*'\n"
    "  --format FORM  text (default), json, or html: a page of trend plots with the change points marked\n"
    "  --p P          a change point's p must be below (default 0.001)\n"
    "  --window N     measurements that are looked at together (default 50)\n"
    "  --least P      leave out changes below this percentage (default 0)\n"
    "  --all          list series without a change too\n"
    "examples:\n"
    "  llmsweep history add results/20260101-120000-default-*\n"
    "  llmsweep history show --format html -o history.html\n"
    "A change point is a hint for people: the level moved at that commit or between it and the one before. exit codes as everywhere: 0 done, 2 wrong\n"
    "usage or input, 3 the program itself failed.\n";

static int complain(const char *what) {
    fprintf(stderr, "llmsweep: history: %s\n", what);
    return 2;
}

static int fail(int result, const char *error) {
    fprintf(stderr, "llmsweep: history: %s\n", error);
    return result == -ENOMEM || result == -EIO || result == -ENOSPC ? 3 : 2;
}

struct arguments {
    const char *file, *machine, *filter, *form, *output;
    bool all;
    struct change_options options;
};

static int add(const struct arguments *arguments, int count, char **runs) {
    if (!count)
        return complain("add: name the folder of a run, such as results/RUN");
    for (int i = 0; i < count; i++) {
        struct report_run run;
        char error[4400];
        size_t added;
        int result = report_run_load(runs[i], &run, error, sizeof error);
        if (!result)
            result = history_add(arguments->file, &run, &added, error, sizeof error);
        report_run_free(&run);
        if (result)
            return fail(result, error);
        printf("%s: %zu figures of %s\n", arguments->file, added, runs[i]);
    }
    return 0;
}

static int show(const struct arguments *arguments) {
    struct history history;
    char error[4400] = "";
    int result = history_load(arguments->file, arguments->machine, arguments->filter, &arguments->options, &history, error, sizeof error);
    if (result) {
        history_free(&history);
        return fail(result, error);
    }
    FILE *out = arguments->output ? fopen(arguments->output, "w") : stdout;
    if (!out) {
        snprintf(error, sizeof error, "%s: %s", arguments->output, strerror(errno));
        history_free(&history);
        return fail(-EINVAL, error);
    }
    if (!strcmp(arguments->form, "json"))
        result = history_write_json(&history, out);
    else if (!strcmp(arguments->form, "html"))
        result = history_write_page(&history, out, error, sizeof error);
    else
        result = history_write_text(&history, arguments->all, out);
    if ((arguments->output ? fclose(out) : fflush(out)) && !result)
        result = -EIO;
    history_free(&history);
    return result ? fail(result, *error ? error : strerror(-result)) : 0;
}

int command_history(int argc, char **argv) {
    enum { FILE_OPTION = 256, MACHINE, FILTER, FORMAT, P, WINDOW, LEAST, ALL };
    static const struct option options[] = {{"file", required_argument, NULL, FILE_OPTION}, {"machine", required_argument, NULL, MACHINE},
                                            {"filter", required_argument, NULL, FILTER},    {"format", required_argument, NULL, FORMAT},
                                            {"p", required_argument, NULL, P},              {"window", required_argument, NULL, WINDOW},
                                            {"least", required_argument, NULL, LEAST},      {"all", no_argument, NULL, ALL},
                                            {"output", required_argument, NULL, 'o'},       {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct arguments arguments = {.file = "results/baselines/history.csv", .form = "text", .options = change_defaults};
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "o:h", options, NULL)) != -1;) {
        char *end = "";
        switch (option) {
        case FILE_OPTION:
            arguments.file = optarg;
            break;
        case MACHINE:
            arguments.machine = optarg;
            break;
        case FILTER:
            arguments.filter = optarg;
            break;
        case FORMAT:
            arguments.form = optarg;
            break;
        case P:
            arguments.options.p = strtod(optarg, &end);
            if (end == optarg || *end || !(arguments.options.p > 0 && arguments.options.p < 1))
                return complain("--p takes a probability above 0 and below 1");
            break;
        case WINDOW:
            arguments.options.window = strtoul(optarg, &end, 10);
            if (end == optarg || *end || arguments.options.window < 10 || arguments.options.window > 100000)
                return complain("--window takes a number from 10 on");
            break;
        case LEAST:
            arguments.options.magnitude = strtod(optarg, &end) / 100;
            if (end == optarg || (*end && strcmp(end, "%")) || !(arguments.options.magnitude >= 0 && arguments.options.magnitude < 1))
                return complain("--least takes a percentage, such as 2%");
            break;
        case ALL:
            arguments.all = true;
            break;
        case 'o':
            arguments.output = optarg;
            break;
        default:
            fputs(usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    }
    if (optind == argc)
        return complain("say add or show (--help says more)");
    if (strcmp(arguments.form, "text") && strcmp(arguments.form, "json") && strcmp(arguments.form, "html"))
        return complain("--format takes text, json or html");
    const char *what = argv[optind++];
    if (!strcmp(what, "add"))
        return add(&arguments, argc - optind, argv + optind);
    if (!strcmp(what, "show"))
        return optind < argc ? complain("show takes options only") : show(&arguments);
    return complain("say add or show (--help says more)");
}
