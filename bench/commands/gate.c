// SPDX-License-Identifier: MIT
// llmsweep gate: judges a change by pairs of runs on this machine.
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "bench/commands/commands.h"
#include "bench/compare/document.h"
#include "bench/gate/baseline.h"
#include "bench/gate/gate.h"

static const char usage[] =
    "usage: llmsweep gate --base REV|DIR [--head REV|DIR] [--spec SPEC] [options]\n"
    "       llmsweep gate --baseline FILE|DIR [--head REV|DIR] [--spec SPEC] [options]\n"
    "Builds both versions in folders of their own, runs the spec in random ABBA blocks of fresh processes (base, head, base again), and says of every\n"
    "cell whether its speed or its quality changed. REV is a git revision, DIR the folder of a build or of sources.\n"
    "  --base REV|DIR   what to compare with, such as main, HEAD~1, ../release\n"
    "  --head REV|DIR   what is judged (default: the working tree)\n"
    "  --baseline WHAT  instead of pairs: one run against stored runs of this very machine, a history (results/baselines/history.csv) or a folder of runs;\n"
    "                   three are needed, and what they differ by among themselves cannot be seen\n"
    "  --spec SPEC      the cells (default bench/specs/gate.ini)\n"
    "  --quality-spec S those whose quality is compared (default: the cells of SPEC; without --spec bench/specs/gate-quality.ini)\n"
    "  --set KEY=VALUE  over what the spec says, for both\n"
    "  --pairs N        blocks of the first set (default 12); three times as many follow for the figures that may have changed\n"
    "  --time T         for pairs and second look together, such as 8m (default) or 300s\n"
    "  --threshold P    a change of speed below this is of no interest (default 1.5%)\n"
    "  --quality P      a rise of perplexity below this is of no interest (default 0.1%)\n"
    "  --no-second-look judge by one set of pairs, as many as the number of cells needs\n"
    "  --witness        also count instructions with Valgrind, at AVX2 on one thread: what executes more is named, as a hint (exit code 4 at most)\n"
    "  --witness-only   count instructions, run no pairs: seconds instead of minutes, and no verdict on speed\n"
    "  --witness-spec S what is counted (default bench/specs/witness.ini)\n"
    "  --witness-limit P more instructions by less than this are of no interest (default 0.5%)\n"
    "  -o DIR           where builds, surveys and results go (default results/gate-<date>); DIR/gate.md, gate.json, pairs.csv\n"
    "  --format FORM    text (default), markdown or json on standard output\n"
    "  --quiet          no progress\n"
    "exit codes: 0 no regression; 1 slower, worse or broken; 2 wrong usage; 3 the gate itself failed; 4 nothing but ambiguous figures or more instructions\n"
    "example: llmsweep gate --base origin/main\n";

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
    (void)number;
    interrupted = 1;
}

static int complain(const char *what) {
    fprintf(stderr, "llmsweep: gate: %s\n", what);
    return 2;
}

enum { SETTINGS = 16 };
struct arguments {
    struct gate_options options;
    const char *overrides[SETTINGS], *form, *baseline;
    char folder[128];
};

// "2%" or "2" as 0.02.
static bool read_percent(const char *text, double *value) {
    char *end;
    *value = strtod(text, &end) / 100;
    return end != text && *value > 0 && *value < 1 && (!*end || !strcmp(end, "%"));
}

static bool read_seconds(const char *text, double *seconds) {
    char *end;
    *seconds = strtod(text, &end);
    if (end == text || !(*seconds > 0) || !isfinite(*seconds))
        return false;
    if (!strcmp(end, "m"))
        *seconds *= 60;
    return !*end || !strcmp(end, "s") || !strcmp(end, "m");
}

static int parse_arguments(int argc, char **argv, struct arguments *arguments) {
    enum { BASE = 256, BASELINE, HEAD, SPEC, QUALITY_SPEC, SET, PAIRS, TIME, THRESHOLD, QUALITY, NO_SECOND, WITNESS, WITNESS_ONLY, WITNESS_SPEC, WITNESS_LIMIT, FORMAT, QUIET };
    static const struct option options[] = {{"base", required_argument, NULL, BASE},       {"baseline", required_argument, NULL, BASELINE}, {"head", required_argument, NULL, HEAD},
                                            {"spec", required_argument, NULL, SPEC},       {"quality-spec", required_argument, NULL, QUALITY_SPEC}, {"set", required_argument, NULL, SET},
                                            {"pairs", required_argument, NULL, PAIRS},     {"time", required_argument, NULL, TIME},
                                            {"threshold", required_argument, NULL, THRESHOLD}, {"quality", required_argument, NULL, QUALITY},
                                            {"no-second-look", no_argument, NULL, NO_SECOND}, {"witness", no_argument, NULL, WITNESS},
                                            {"witness-only", no_argument, NULL, WITNESS_ONLY}, {"witness-spec", required_argument, NULL, WITNESS_SPEC},
                                            {"witness-limit", required_argument, NULL, WITNESS_LIMIT}, {"format", required_argument, NULL, FORMAT},
                                            {"quiet", no_argument, NULL, QUIET},           {"output", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},              {0}};
    struct gate_options *gate = &arguments->options;
    const char *quality_spec = NULL;
    *arguments = (struct arguments){.options = gate_defaults, .form = "text"};
    gate->messages = stderr;
    gate->overrides = arguments->overrides;
    gate->interrupted = &interrupted;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "o:h", options, NULL)) != -1;) {
        char *end;
        long pairs;
        switch (option) {
        case BASE:
            gate->base = optarg;
            break;
        case BASELINE:
            arguments->baseline = optarg;
            break;
        case HEAD:
            gate->head = optarg;
            break;
        case SPEC:
            gate->spec = optarg;
            break;
        case QUALITY_SPEC:
            quality_spec = optarg;
            break;
        case SET:
            if (gate->override_count == SETTINGS)
                return complain("too many --set");
            arguments->overrides[gate->override_count++] = optarg;
            break;
        case PAIRS:
            pairs = strtol(optarg, &end, 10);
            if (end == optarg || *end || pairs < GATE_PAIRS_LEAST || pairs > 1000)
                return complain("--pairs takes a number from 10 to 1000: fewer pairs cannot be judged");
            gate->blocks = (size_t)pairs;
            break;
        case TIME:
            if (!read_seconds(optarg, &gate->seconds))
                return complain("--time takes a duration, such as 300s or 8m");
            break;
        case THRESHOLD:
            if (!read_percent(optarg, &gate->rules.threshold))
                return complain("--threshold takes a percentage above 0 and below 100, such as 2%");
            break;
        case QUALITY:
            if (!read_percent(optarg, &gate->quality_threshold))
                return complain("--quality takes a percentage above 0 and below 100, such as 0.1%");
            break;
        case NO_SECOND:
            gate->second_look = false;
            gate->rules.screen = 0;
            break;
        case WITNESS_ONLY:
            gate->witness_only = true;
            gate->witness = true;
            break;
        case WITNESS:
            gate->witness = true;
            break;
        case WITNESS_SPEC:
            gate->witness_spec = optarg;
            break;
        case WITNESS_LIMIT:
            if (!read_percent(optarg, &gate->witness_limit))
                return complain("--witness-limit takes a percentage above 0 and below 100, such as 0.5%");
            break;
        case FORMAT:
            arguments->form = optarg;
            break;
        case QUIET:
            gate->messages = NULL;
            break;
        case 'o':
            gate->folder = optarg;
            break;
        default:
            fputs(usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? -1 : 2;
        }
    }
    if (!gate->spec) {
        gate->spec = "bench/specs/gate.ini";
        gate->quality_spec = "bench/specs/gate-quality.ini";
    }
    if (quality_spec)
        gate->quality_spec = quality_spec;
    if (optind < argc)
        return complain("takes options only (--help says which)");
    if (gate->base && arguments->baseline)
        return complain("--base runs pairs, --baseline holds one run against stored ones: give one of them");
    if (gate->witness && arguments->baseline)
        return complain("--witness counts two versions: it needs --base");
    if (!gate->base && !arguments->baseline)
        return complain("--base is missing: what to compare with, such as main or HEAD~1");
    if (strcmp(arguments->form, "text") && strcmp(arguments->form, "markdown") && strcmp(arguments->form, "json"))
        return complain("--format takes text, markdown or json");
    return 0;
}

static int default_folder(struct arguments *arguments) {
    time_t now = time(NULL);
    struct tm utc;
    if (arguments->options.folder)
        return 0;
    mkdir("results", 0777); // whether that worked is seen below
    gmtime_r(&now, &utc);
    strftime(arguments->folder, sizeof arguments->folder, "results/gate-%Y%m%d-%H%M%S", &utc);
    arguments->options.folder = arguments->folder;
    return 0;
}

// What was found, by pairs or by stored runs: the other is NULL.
struct findings {
    const struct gate_options *options;
    const struct gate_result *pairs;
    const struct baseline_result *stored;
};

static int write_form(const struct findings *found, const char *form, FILE *out) {
    const int document = !strcmp(form, "markdown") ? DOCUMENT_MARKDOWN : DOCUMENT_TEXT;
    if (!strcmp(form, "json"))
        return found->pairs ? gate_write_json(found->options, found->pairs, out) : baseline_write_json(found->options, found->stored, out);
    if (!strcmp(form, "csv"))
        return gate_write_pairs(found->pairs, out);
    return found->pairs ? gate_write(found->options, found->pairs, document, out) : baseline_write(found->options, found->stored, document, out);
}

// All forms into the gate's folder, one to standard output. 0 or -errno.
static int tell(const struct findings *found, const char *form) {
    static const struct {
        const char *name, *form;
    } files[] = {{"gate.md", "markdown"}, {"gate.json", "json"}, {"pairs.csv", "csv"}};
    int code = 0;
    for (int i = 0; i < (found->pairs ? 3 : 2) && !code; i++) {
        char path[4200];
        snprintf(path, sizeof path, "%s/%s", found->options->folder, files[i].name);
        FILE *out = fopen(path, "w");
        code = out ? write_form(found, files[i].form, out) : -errno;
        if (out && fclose(out) && !code)
            code = -errno;
        if (code)
            fprintf(stderr, "llmsweep: gate: %s: %s\n", path, strerror(-code));
    }
    int shown = write_form(found, form, stdout);
    return shown ? shown : fflush(stdout) ? -EIO : code;
}

static int fail(int result, const char *error) {
    fprintf(stderr, "llmsweep: gate: %s\n", error);
    return result == -EINTR ? 130 : result == -EINVAL || result == -ENOENT || result == -EACCES || result == -ENOTDIR ? 2 : 3;
}

static int against_baseline(const struct arguments *arguments) {
    struct baseline_result result;
    char error[5000] = "";
    int failed = baseline_run(&arguments->options, arguments->baseline, &result, error, sizeof error);
    int code = failed ? fail(failed, error) : tell(&(struct findings){&arguments->options, NULL, &result}, arguments->form) ? 3 : baseline_exit_code(&result);
    baseline_free(&result);
    return code;
}

static int by_pairs(const struct arguments *arguments) {
    struct gate_result result;
    char error[5000] = "";
    int failed = gate_run(&arguments->options, &result, error, sizeof error);
    int code = failed ? fail(failed, error) : tell(&(struct findings){&arguments->options, &result, NULL}, arguments->form) ? 3 : gate_exit_code(&result);
    gate_free(&result);
    return code;
}

int command_gate(int argc, char **argv) {
    struct arguments arguments;
    int code = parse_arguments(argc, argv, &arguments);
    if (code)
        return code < 0 ? 0 : code;
    default_folder(&arguments);
    struct sigaction stop = {.sa_handler = on_signal};
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    return arguments.baseline ? against_baseline(&arguments) : by_pairs(&arguments);
}
