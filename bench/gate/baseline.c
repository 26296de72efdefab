// SPDX-License-Identifier: MIT
#include "bench/gate/baseline.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gsl/gsl_cdf.h>

#include "bench/export/export.h"
#include "bench/gate/gate.h"
#include "harness/clock.h"
#include "harness/stats.h"
#include "harness/topology.h"

// ---------------------------------------------------------------------------------------------------------------------
// Judging

// A normal population of logarithms, of which `count` draws are known and the head is one more: its distance from their
// mean, over s·√(1 + 1/n), is Student's t with n − 1 degrees of freedom.
static int measure(struct baseline_row *row, size_t tested, const struct gate_rules *rules) {
    struct stats_mean logs;
    double *values = malloc((row->count + 1) * sizeof *values);
    if (!values)
        return -ENOMEM;
    for (size_t i = 0; i < row->count; i++)
        values[i] = log(row->runs[i]);
    int result = stats_mean(values, row->count, &logs);
    free(values);
    if (result)
        return result;
    double degrees = (double)row->count - 1, error = logs.sd * sqrt(1 + 1 / (double)row->count),
           change = log(row->head) - logs.mean;
    double reach = gsl_cdf_tdist_Qinv(0.025, degrees) * error;
    row->ratio = (struct figure){exp(change), exp(change - reach), exp(change + reach)};
    row->p = error > 0 ? 2 * gsl_cdf_tdist_Q(fabs(change) / error, degrees) : change == 0 ? 1 : 0;
    double needed = gsl_cdf_tdist_Qinv(rules->level / 2 / (double)tested, degrees) + gsl_cdf_tdist_Qinv(0.2, degrees);
    row->smallest_effect = fmax(rules->threshold, -expm1(-needed * error));
    return 0;
}

static void decide(struct baseline_row *row, const struct gate_rules *rules) {
    row->verdict = VERDICT_AMBIGUOUS;
    if (row->count < BASELINE_RUNS_LEAST) {
        snprintf(row->why, sizeof row->why, "%zu stored run%s: %d are needed to know what runs differ by", row->count,
                 row->count == 1 ? "" : "s", BASELINE_RUNS_LEAST);
        return;
    }
    double change = fabs(row->ratio.value - 1);
    if (row->p_adjusted < rules->level && change >= rules->threshold)
        row->verdict = row->ratio.value > 1 ? VERDICT_FASTER : VERDICT_SLOWER;
    else if (row->ratio.lo <= 1 && row->ratio.hi >= 1)
        row->verdict = VERDICT_SAME;
    else if (change < rules->threshold)
        row->verdict = VERDICT_SAME;
    else
        snprintf(row->why, sizeof row->why,
                 "outside what the stored runs differ by, but p = %.2g after adjusting for all figures",
                 row->p_adjusted);
}

int baseline_judge(struct baseline_row *rows, size_t count, const struct gate_rules *rules, double quality_threshold) {
    double *p = calloc(count + 1, sizeof *p), *adjusted = calloc(count + 1, sizeof *adjusted);
    size_t tested = 0;
    int result = p && adjusted ? 0 : -ENOMEM;
    for (size_t i = 0; i < count; i++)
        tested += rows[i].count >= BASELINE_RUNS_LEAST;
    for (size_t i = 0, at = 0; i < count && !result; i++) {
        rows[i].p = rows[i].p_adjusted = rows[i].smallest_effect = NAN;
        rows[i].ratio = (struct figure){rows[i].count ? rows[i].head / rows[i].runs[0] : NAN, NAN, NAN};
        if (rows[i].count >= BASELINE_RUNS_LEAST && !(result = measure(&rows[i], tested, rules)))
            p[at++] = rows[i].p;
    }
    if (!result && tested)
        result = stats_holm(p, tested, adjusted);
    for (size_t i = 0, at = 0; i < count && !result; i++) {
        if (rows[i].count >= BASELINE_RUNS_LEAST)
            rows[i].p_adjusted = adjusted[at++];
        decide(&rows[i], rules);
        rows[i].worse = log(rows[i].perplexity / rows[i].perplexity_most) >= quality_threshold;
        rows[i].better = log(rows[i].perplexity / rows[i].perplexity_least) <= -quality_threshold;
    }
    free(p);
    free(adjusted);
    return result;
}

// ---------------------------------------------------------------------------------------------------------------------
// Reading

struct figures {
    struct stored {
        char name[512], weights[80], text[80];
        double tps, perplexity; // NAN: none
        bool first;             // of its cell's figures
    } * of;
    size_t count, room;
    size_t foreign; // figures of other machines
    char other[64]; // one of these
};

static int keep(struct figures *figures, const char *machine, const char *own, const struct stored *what) {
    if (!(what->tps > 0))
        return 0;
    if (strcmp(machine, own)) {
        snprintf(figures->other, sizeof figures->other, "%s", machine);
        figures->foreign++;
        return 0;
    }
    if (figures->count == figures->room) {
        size_t room = figures->room ? 2 * figures->room : 256;
        struct stored *grown = realloc(figures->of, room * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        figures->of = grown;
        figures->room = room;
    }
    figures->of[figures->count++] = *what;
    return 0;
}

static int keep_run(struct figures *figures, const struct report_run *run, const char *own) {
    int result = 0;
    for (size_t i = 0; i < run->cell_count; i++) {
        const struct report_cell *cell = &run->cells[i];
        struct stored what = {.perplexity = cell->ppl, .first = true};
        snprintf(what.weights, sizeof what.weights, "%s", cell->weights_hash);
        snprintf(what.text, sizeof what.text, "%s", cell->text_hash);
        for (int phase = 0; phase < COMPARE_PHASES && !result && cell->timed; phase++) {
            export_name(run, cell, compare_phase_names[phase], what.name, sizeof what.name);
            what.tps = phase == COMPARE_PREFILL ? cell->prefill.value : cell->decode.value;
            result = keep(figures, report_run_text(run, "machine", "slug"), own, &what);
            what.first = what.first && !(what.tps > 0);
        }
    }
    return result;
}

static int read_history(const char *path, const char *own, struct figures *figures, char *error, size_t error_size) {
    static const char *const columns[] = {"machine", "name", "tps"};
    struct csv_table table = {0};
    int result = csv_table_read(path, &table, error, error_size), at[3];
    for (size_t c = 0; c < 3 && !result; c++)
        if ((at[c] = csv_table_column(&table, columns[c])) < 0) {
            snprintf(error, error_size, "%s: no column '%s'; this is not a history (llmsweep history add begins one)",
                     path, columns[c]);
            result = -EINVAL;
        }
    int weights = csv_table_column(&table, "weights_hash"), text = csv_table_column(&table, "text_hash"),
        perplexity = csv_table_column(&table, "ppl");
    for (size_t row = 0; row < table.rows && !result; row++) {
        struct stored what = {.tps = csv_table_number(&table, row, at[2]), .perplexity = csv_table_number(&table, row, perplexity)};
        snprintf(what.name, sizeof what.name, "%s", csv_table_field(&table, row, at[1]));
        snprintf(what.weights, sizeof what.weights, "%s", csv_table_field(&table, row, weights));
        snprintf(what.text, sizeof what.text, "%s", csv_table_field(&table, row, text));
        if ((result = keep(figures, csv_table_field(&table, row, at[0]), own, &what)))
            snprintf(error, error_size, "not enough memory");
    }
    csv_table_free(&table);
    return result;
}

static bool is_run(const char *path) {
    char file[4400];
    snprintf(file, sizeof file, "%s/cells.csv", path);
    return !access(file, R_OK);
}

// Folders in folders: those of machines with those of their runs in them.
static int read_folder(const char *path, const char *own, int depth, struct figures *figures, size_t *runs, char *error,
                       size_t error_size) {
    if (is_run(path)) {
        struct report_run run;
        int result = report_run_load(path, &run, error, error_size);
        if (!result && (result = keep_run(figures, &run, own)))
            snprintf(error, error_size, "not enough memory");
        report_run_free(&run);
        ++*runs;
        return result;
    }
    DIR *list = depth ? opendir(path) : NULL;
    int result = 0;
    for (struct dirent *entry; list && !result && (entry = readdir(list));) {
        char inner[4300];
        struct stat info;
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (*entry->d_name != '.' && !stat(inner, &info) && S_ISDIR(info.st_mode))
            result = read_folder(inner, own, depth - 1, figures, runs, error, error_size);
    }
    if (list)
        closedir(list);
    return result;
}

static int read_baseline(const char *path, const char *own, struct figures *figures, char *error, size_t error_size) {
    struct stat info;
    size_t runs = 0;
    if (stat(path, &info)) {
        snprintf(error, error_size, "%s: %s", path, strerror(errno));
        return -EINVAL;
    }
    int result = S_ISDIR(info.st_mode) ? read_folder(path, own, 2, figures, &runs, error, error_size)
                                       : read_history(path, own, figures, error, error_size);
    if (!result && S_ISDIR(info.st_mode) && !runs) {
        snprintf(error, error_size, "%s: no run's folder in it", path);
        return -EINVAL;
    }
    if (!result && !figures->count) {
        if (figures->foreign)
            snprintf(error, error_size,
                     "%s: is of machine %s, and this is %s: speeds of another machine do not say whether a change made "
                     "something slower; run pairs "
                     "here: llmsweep gate --base REV",
                     path, *figures->other ? figures->other : "(not told)", own);
        else
            snprintf(error, error_size, "%s: no figure with a speed", path);
        return -EINVAL;
    }
    return result;
}

static int own_machine(char *slug, size_t size, char *error, size_t error_size) {
    struct topology *topology;
    char text[64];
    int result = topology_load(NULL, &topology, error, error_size);
    if (result)
        return result;
    topology_slug(topology, text, sizeof text);
    topology_free(topology);
    snprintf(slug, size, "%s", text);
    return 0;
}

// ---------------------------------------------------------------------------------------------------------------------

static bool same_or_unknown(const char *a, const char *b) {
    return !*a || !*b || !strcmp(a, b);
}

static void take_perplexity(struct baseline_row *row, const struct stored *head, const struct stored *stored) {
    if (!head->first || !(head->perplexity > 0) || !(stored->perplexity > 0) || !*head->text || strcmp(head->text, stored->text))
        return;
    row->perplexity = head->perplexity;
    row->perplexity_least = fmin(row->perplexity_least, stored->perplexity); // of NAN and a number the number
    row->perplexity_most = fmax(row->perplexity_most, stored->perplexity);
}

static int match(const struct figures *head, const struct figures *stored, struct baseline_result *result) {
    result->rows = calloc(head->count + 1, sizeof *result->rows);
    if (!result->rows)
        return -ENOMEM;
    for (size_t i = 0; i < head->count; i++) {
        struct baseline_row *row = &result->rows[result->row_count];
        row->runs = calloc(stored->count + 1, sizeof *row->runs);
        if (!row->runs)
            return -ENOMEM;
        memcpy(row->name, head->of[i].name, sizeof row->name);
        row->head = head->of[i].tps;
        row->perplexity = row->perplexity_least = row->perplexity_most = NAN;
        for (size_t j = 0; j < stored->count; j++)
            if (!strcmp(stored->of[j].name, row->name) && same_or_unknown(stored->of[j].weights, head->of[i].weights)) {
                row->runs[row->count++] = stored->of[j].tps;
                take_perplexity(row, &head->of[i], &stored->of[j]);
            }
        if (!row->count) {
            free(row->runs);
            *row = (struct baseline_row){.runs = NULL};
            result->unknown++;
            continue;
        }
        result->runs_least = !result->row_count || row->count < result->runs_least ? row->count : result->runs_least;
        result->runs_most = row->count > result->runs_most ? row->count : result->runs_most;
        result->row_count++;
    }
    return 0;
}

int baseline_run(const struct gate_options *options, const char *path, struct baseline_result *result, char *error,
                 size_t error_size) {
    struct figures stored = {0}, head = {0};
    struct report_run run = {0};
    char folder[4200], *program = NULL;
    *result = (struct baseline_result){0};
    *error = '\0';
    uint64_t begun = clock_now();
    int code = own_machine(result->machine, sizeof result->machine, error, error_size);
    if (!code)
        code = read_baseline(path, result->machine, &stored, error, error_size);
    if (!code && mkdir(options->folder, 0777) && errno != EEXIST) {
        code = -errno;
        snprintf(error, error_size, "%s: %s", options->folder, strerror(-code));
    }
    snprintf(folder, sizeof folder, "%s/version-b", options->folder);
    if (!code)
        code = gate_build(options, options->head, folder, &program, result->head_name, sizeof result->head_name, error,
                          error_size);
    if (!code && options->messages)
        fprintf(options->messages, "running %s\n", result->head_name);
    if (!code)
        code = gate_process(options, program, options->spec, "run-head", NULL, 0, &run, error, error_size);
    if (!code)
        code = keep_run(&head, &run, result->machine);
    if (!code && !head.count) {
        snprintf(error, error_size, "%s/run-head: no cell has a speed", options->folder);
        code = -EINVAL;
    }
    if (!code)
        code = match(&head, &stored, result);
    if (!code && !result->row_count) {
        snprintf(error, error_size, "%s: has none of the %zu figures of %s: was it made with another spec?", path,
                 head.count, options->spec);
        code = -EINVAL;
    }
    if (!code)
        code = baseline_judge(result->rows, result->row_count, &options->rules, options->quality_threshold);
    for (size_t r = 0; r < result->row_count && !code; r++) {
        result->verdicts[result->rows[r].verdict]++;
        result->qualities += !isnan(result->rows[r].perplexity);
        result->worse += result->rows[r].worse;
    }
    if (code == -ENOMEM && !*error)
        snprintf(error, error_size, "not enough memory");
    result->elapsed = clock_seconds(begun, clock_now());
    report_run_free(&run);
    free(program);
    free(stored.of);
    free(head.of);
    return code;
}

void baseline_free(struct baseline_result *result) {
    for (size_t r = 0; r < result->row_count; r++)
        free(result->rows[r].runs);
    free(result->rows);
    *result = (struct baseline_result){0};
}

int baseline_exit_code(const struct baseline_result *result) {
    return result->verdicts[VERDICT_SLOWER] || result->worse ? 1 : result->verdicts[VERDICT_AMBIGUOUS] ? 4 : 0;
}
