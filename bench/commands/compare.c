// SPDX-License-Identifier: MIT
// llmsweep compare: stored runs side by side.
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/commands/commands.h"
#include "bench/compare/write.h"

enum { RUNS = 26 }; // they are lettered

static const char usage[] =
    "usage: llmsweep compare A B [C…] [--by KEY[,KEY]] [--format FORM] [-o FILE]\n"
    "       llmsweep compare A --by KEY[,KEY]\n"
    "Joins the cells of stored runs (folders such as results/RUN) by everything that a cell is, and says for each how B's speed and quality\n"
    "compare with A's; every further run is compared with A. What differs in the environments comes first.\n"
    "  --by KEYS      side by side by machine, run, commit, threads, ranks, isa, model, prune, format, act, provider, kv, batch, prompt, gen,\n"
    "                 layout or device; with several keys, by their combinations\n"
    "  --format FORM  text (default), markdown, csv, json, html\n"
    "  -o FILE        where to write; standard output unless said\n"
    "  --all          list every cell, not only those that changed (html always does)\n"
    "  --threshold P  a change below this is of no interest (default 5%)\n"
    "  --watts W,W…   power of each run's machine in watts, for tokens per joule; measured power is used where runs have it\n"
    "  --cost C,C…    price of an hour of each run's machine, for tokens per unit of money\n"
    "examples:\n"
    "  llmsweep compare results/monday results/tuesday\n"
    "  llmsweep compare results/big results/small --by machine,threads --watts 280,65 --format html -o compare.html\n"
    "  llmsweep compare results/monday --by format\n"
    "To judge a commit, use llmsweep gate: it runs both versions in pairs on one machine.\n";

static int complain(const char *what) {
    fprintf(stderr, "llmsweep: compare: %s\n", what);
    return 2;
}

// "65,120": one positive number a run. NULL after a complaint.
static double *parse_list(const char *option, const char *text, size_t count) {
    double *values = calloc(count, sizeof *values);
    const char *at = text;
    for (size_t i = 0; values && i < count; i++) {
        char *end;
        values[i] = strtod(at, &end);
        if (end == at || !(values[i] > 0) || !isfinite(values[i]) || (i + 1 < count ? *end != ',' : *end != '\0')) {
            fprintf(stderr, "llmsweep: compare: %s '%s': give %zu positive number%s, one a run, with commas between\n", option, text, count,
                    count == 1 ? "" : "s");
            free(values);
            return NULL;
        }
        at = end + 1;
    }
    return values;
}

static int write_output(const struct compare_output *output, const char *form, const char *path) {
    char error[4400] = "";
    FILE *out = path ? fopen(path, "w") : stdout;
    if (!out) {
        fprintf(stderr, "llmsweep: compare: %s: %s\n", path, strerror(errno));
        return 2;
    }
    int result;
    if (!strcmp(form, "csv"))
        result = compare_write_csv(output, out);
    else if (!strcmp(form, "json"))
        result = compare_write_json(output, out);
    else if (!strcmp(form, "html"))
        result = compare_write_page(output, out, error, sizeof error);
    else
        result = compare_write_document(output, !strcmp(form, "markdown") ? DOCUMENT_MARKDOWN : DOCUMENT_TEXT, out);
    if ((path ? fclose(out) : fflush(out)) && !result)
        result = -errno;
    if (!result)
        return 0;
    fprintf(stderr, "llmsweep: compare: %s\n", *error ? error : strerror(-result));
    return result == -ENOENT ? 2 : 3;
}

struct arguments {
    const char *by, *form, *path, *watts, *cost;
    bool all;
    struct compare_options options;
};

// 0, 2 after a complaint, -1 after help.
static int parse_arguments(int argc, char **argv, struct arguments *arguments) {
    enum { OPTION_BY = 256, OPTION_FORMAT, OPTION_ALL, OPTION_THRESHOLD, OPTION_WATTS, OPTION_COST };
    static const struct option options[] = {{"by", required_argument, NULL, OPTION_BY},
                                            {"format", required_argument, NULL, OPTION_FORMAT},
                                            {"all", no_argument, NULL, OPTION_ALL},
                                            {"threshold", required_argument, NULL, OPTION_THRESHOLD},
                                            {"watts", required_argument, NULL, OPTION_WATTS},
                                            {"cost", required_argument, NULL, OPTION_COST},
                                            {"output", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    *arguments = (struct arguments){.form = "text", .options = compare_defaults};
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "o:h", options, NULL)) != -1;) {
        char *end;
        double percent;
        switch (option) {
        case OPTION_BY:
            arguments->by = optarg;
            break;
        case OPTION_FORMAT:
            arguments->form = optarg;
            break;
        case OPTION_ALL:
            arguments->all = true;
            break;
        case OPTION_THRESHOLD:
            percent = strtod(optarg, &end);
            if (end == optarg || !(percent > 0 && percent < 100) || (*end && strcmp(end, "%")))
                return complain("--threshold takes a percentage above 0 and below 100, such as 5%");
            arguments->options.threshold = percent / 100;
            break;
        case OPTION_WATTS:
            arguments->watts = optarg;
            break;
        case OPTION_COST:
            arguments->cost = optarg;
            break;
        case 'o':
            arguments->path = optarg;
            break;
        default:
            fputs(usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? -1 : 2;
        }
    }
    static const char *const forms[] = {"text", "markdown", "csv", "json", "html"};
    bool known = false;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        known |= !strcmp(arguments->form, forms[i]);
    if (!known)
        return complain("--format takes text, markdown, csv, json or html");
    int runs = argc - optind;
    if (runs < 1 || (runs == 1 && !arguments->by))
        return complain("name the folders of at least two runs, or of one with --by KEY (--help says more)");
    if (runs > RUNS)
        return complain("at most 26 runs at once");
    if ((arguments->watts || arguments->cost) && !arguments->by)
        return complain("--watts and --cost belong to --by, such as --by machine");
    return 0;
}

int command_compare(int argc, char **argv) {
    struct arguments arguments;
    int code = parse_arguments(argc, argv, &arguments);
    if (code)
        return code < 0 ? 0 : code;
    size_t count = (size_t)(argc - optind), loaded = 0, compared = 0;
    struct report_run runs[RUNS] = {{0}};
    struct comparison comparisons[RUNS] = {{0}};
    struct by_table by = {0};
    struct by_options by_options = {.keys = arguments.by};
    char error[4400] = "";
    int result = 0;
    for (; loaded < count && !result; loaded++) {
        result = report_run_load(argv[optind + (int)loaded], &runs[loaded], error, sizeof error);
        if (!result)
            result = compare_check_twins(&runs[loaded], error, sizeof error);
        if (!result && !runs[loaded].cell_count) {
            snprintf(error, sizeof error, "%s: the run has no cells", argv[optind + (int)loaded]);
            result = -EINVAL;
        }
    }
    for (; compared + 1 < count && !result; compared++)
        result = compare_runs(&runs[0], &runs[compared + 1], &arguments.options, &comparisons[compared], error, sizeof error);
    if (!result && arguments.watts && !(by_options.watts = parse_list("--watts", arguments.watts, count)))
        code = 2;
    if (!result && !code && arguments.cost && !(by_options.cost = parse_list("--cost", arguments.cost, count)))
        code = 2;
    if (!result && !code && arguments.by)
        result = by_build(runs, count, &by_options, &by, error, sizeof error);
    if (result) {
        fprintf(stderr, "llmsweep: compare: %s\n", error);
        code = result == -ENOMEM ? 3 : 2;
    }
    if (!code) {
        struct compare_output output = {.runs = runs, .run_count = count, .comparisons = comparisons, .by = arguments.by ? &by : NULL, .all = arguments.all};
        code = write_output(&output, arguments.form, arguments.path);
    }
    by_free(&by);
    free(by_options.watts);
    free(by_options.cost);
    for (size_t i = 0; i < compared; i++)
        compare_free(&comparisons[i]);
    for (size_t i = 0; i < loaded; i++)
        report_run_free(&runs[i]);
    return code;
}
