// SPDX-License-Identifier: MIT
#include "bench/gate/gate.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>

#include "harness/clock.h"
#include "harness/progress.h"
#include "harness/records.h"
#include "harness/stats.h"

enum arm { ARM_BASE, ARM_HEAD, ARM_AGAIN, ARMS };
enum { SCREENING_BLOCKS = 12 };

const struct gate_options gate_defaults = {
    .seconds = 480, .quality_threshold = 0.001, .rules = {.threshold = 0.015, .level = 0.01, .screen = 0.05, .seed = 1, .resamples = 4000}, .second_look = true,
    .witness_spec = "bench/specs/witness.ini", .witness_limit = 0.005};

struct gate {
    const struct gate_options *options;
    struct gate_result *result;
    char *programs[2]; // base, head
    struct report_run survey[2];
    gsl_rng *rng;
    struct progress progress;
    uint64_t start;
    double spent; // seconds of processes in this set of blocks
};

static const char *arm_program(const struct gate *gate, enum arm arm) {
    return gate->programs[arm == ARM_HEAD];
}

static int run_process(struct gate *gate, enum arm arm, const char *spec, const char *name, const char *const *sets, size_t set_count, struct report_run *run,
                       char *error, size_t error_size) {
    return gate_process(gate->options, arm_program(gate, arm), spec, name, sets, set_count, run, error, error_size);
}

// The run's folder is not needed any more; its path was made up by run_process.
static void drop_run(struct gate *gate, const char *name, struct report_run *run) {
    char directory[4096];
    report_run_free(run);
    snprintf(directory, sizeof directory, "%s/%s", gate->options->folder, name);
    folder_remove(directory);
}

// ---------------------------------------------------------------------------------------------------------------------
// Which cells: one run of each version, with quality

static bool is_member(const struct gate_row *mean, const struct gate_row *row) {
    return !row->members && (mean->phase == row->phase || mean->phase == GATE_BOTH_PHASES) && !strcmp(row->kernel, mean->kernel);
}

// Of each kernel's cells in one phase (or both), told at the first of them.
static void add_mean(struct gate_result *result, size_t first, size_t cells, enum compare_phase phase) {
    struct gate_row *mean = &result->rows[result->row_count];
    *mean = (struct gate_row){.phase = phase};
    memcpy(mean->kernel, result->rows[first].kernel, sizeof mean->kernel);
    size_t before = 0, members = 0, phases[COMPARE_PHASES] = {0};
    for (size_t i = 0; i < cells; i++)
        if (is_member(mean, &result->rows[i])) {
            before += i < first;
            phases[result->rows[i].phase]++;
            members++;
        }
    if (before || members < 2 || (phase == GATE_BOTH_PHASES && (!phases[COMPARE_PREFILL] || !phases[COMPARE_DECODE])))
        return;
    mean->members = members;
    snprintf(mean->label, sizeof mean->label, "kernel %.90s, mean of %zu %s", mean->kernel, members, phase == GATE_BOTH_PHASES ? "figures" : "cells");
    result->row_count++;
}

static void add_means(struct gate_result *result) {
    size_t cells = result->row_count;
    for (size_t i = 0; i < cells; i++)
        if (*result->rows[i].kernel) {
            add_mean(result, i, cells, result->rows[i].phase);
            add_mean(result, i, cells, GATE_BOTH_PHASES);
        }
}

// The means of one arm's blocks, once all its cells are measured; absent where one of the cells is.
static void fill_means(const struct gate_result *result, double *const *into, size_t blocks) {
    for (size_t m = 0; m < result->row_count; m++) {
        const struct gate_row *mean = &result->rows[m];
        for (size_t b = 0; b < blocks && mean->members; b++) {
            double logs = 0;
            for (size_t r = 0; r < result->row_count; r++)
                if (is_member(mean, &result->rows[r]))
                    logs += log(into[r][b]);
            into[m][b] = exp(logs / (double)mean->members);
        }
    }
}

static void take_broken(struct gate_result *result, const struct compared_cell *cell, const char *label) {
    snprintf(result->broken[result->broken_count].label, sizeof result->broken->label, "%s", label);
    snprintf(result->broken[result->broken_count].status, sizeof result->broken->status, "%s", cell->b->status);
    snprintf(result->broken[result->broken_count++].reason, sizeof result->broken->reason, "%s", cell->b->reason);
}

static void take_quality(const struct gate_options *options, struct gate_result *result, const struct compared_cell *cell, const char *label) {
    struct gate_quality *quality = &result->qualities[result->quality_count++];
    snprintf(quality->label, sizeof quality->label, "%s", label);
    quality->dlnppl = cell->dlnppl;
    quality->worse = cell->worse && cell->dlnppl.value >= options->quality_threshold;
    quality->better = cell->better && cell->dlnppl.value <= -options->quality_threshold;
    result->worse += quality->worse;
}

// What cannot be timed any more, and quality; after the cells of the spec those of the spec of quality, where that is another.
static int take_qualities(struct gate *gate, const struct comparison *comparison) {
    struct gate_result *result = gate->result;
    void *qualities = realloc(result->qualities, (result->quality_count + comparison->cell_count + 1) * sizeof *result->qualities);
    if (qualities)
        result->qualities = qualities;
    void *broken = realloc(result->broken, (result->broken_count + comparison->cell_count + 1) * sizeof *result->broken);
    if (broken)
        result->broken = broken;
    if (!qualities || !broken)
        return -ENOMEM;
    result->lone += comparison->lone_count;
    for (size_t i = 0; i < comparison->cell_count; i++) {
        const struct compared_cell *cell = &comparison->cells[i];
        char label[400];
        report_cell_label(comparison->b, cell->b, label, sizeof label);
        if (cell->broken)
            take_broken(result, cell, label);
        if (!isnan(cell->dlnppl.value))
            take_quality(gate->options, result, cell, label);
    }
    return 0;
}

static int take_cells(struct gate *gate, const struct comparison *comparison, char *error, size_t error_size) {
    struct gate_result *result = gate->result;
    result->rows = calloc(comparison->cell_count * COMPARE_PHASES * 3 + 1, sizeof *result->rows); // with means of one phase and of both
    if (!result->rows)
        return -ENOMEM;
    for (size_t i = 0; i < comparison->cell_count; i++) {
        const struct compared_cell *cell = &comparison->cells[i];
        char label[400];
        report_cell_label(comparison->b, cell->b, label, sizeof label);
        for (int phase = 0; phase < COMPARE_PHASES; phase++) {
            if (!cell->speed[phase].present)
                continue;
            struct gate_row *row = &result->rows[result->row_count++];
            memcpy(row->label, label, sizeof label);
            row->base_cell = cell->a;
            row->head_cell = cell->b;
            row->phase = (enum compare_phase)phase;
            snprintf(row->kernel, sizeof row->kernel, "%s", cell->b->kernel);
        }
    }
    add_means(result);
    if (!result->row_count && !result->broken_count) {
        snprintf(error, error_size, "no cell of %s has a speed in both versions", gate->options->spec);
        return -EINVAL;
    }
    return 0;
}

// Of both versions; their folders stay: they show what was judged.
static int run_both(struct gate *gate, const char *spec, const char *const names[2], struct report_run runs[2], struct comparison *comparison, char *error,
                    size_t error_size) {
    struct compare_options options = compare_defaults;
    int result = run_process(gate, ARM_BASE, spec, names[0], NULL, 0, &runs[0], error, error_size);
    if (!result)
        result = run_process(gate, ARM_HEAD, spec, names[1], NULL, 0, &runs[1], error, error_size);
    if (!result)
        result = compare_runs(&runs[0], &runs[1], &options, comparison, error, error_size);
    if (!result)
        result = take_qualities(gate, comparison);
    return result;
}

static int survey(struct gate *gate, char *error, size_t error_size) {
    struct comparison comparison = {0}, quality = {0};
    struct report_run runs[2] = {0};
    int result = run_both(gate, gate->options->spec, (const char *const[]){"survey-base", "survey-head"}, gate->survey, &comparison, error, error_size);
    if (!result && gate->options->quality_spec)
        result = run_both(gate, gate->options->quality_spec, (const char *const[]){"quality-base", "quality-head"}, runs, &quality, error, error_size);
    if (!result)
        result = take_cells(gate, &comparison, error, error_size);
    compare_free(&comparison);
    compare_free(&quality);
    report_run_free(&runs[0]);
    report_run_free(&runs[1]);
    return result;
}

// ---------------------------------------------------------------------------------------------------------------------
// Blocks

// A cell's name has the quality text in it, which blocks go without: cells are found by what they are.
static const struct report_cell *find_cell(const struct report_run *run, const struct report_cell *cell) {
    for (size_t i = 0; i < run->cell_count; i++)
        if (!compare_cell_identity(&run->cells[i], cell) && !strcmp(run->cells[i].isa, cell->isa))
            return &run->cells[i];
    return NULL;
}

static int read_medians(const struct report_run *run, const struct gate_result *found, enum arm arm, double *const *into, size_t block) {
    struct compare_samples *samples;
    int result = compare_samples_open(run, &samples);
    for (size_t r = 0; r < found->row_count && !result; r++) {
        const struct gate_row *row = &found->rows[r];
        size_t count;
        if (row->members)
            continue;
        const struct report_cell *cell = find_cell(run, arm == ARM_HEAD ? row->head_cell : row->base_cell);
        const double *rates = cell ? compare_samples_find(samples, cell->id, compare_phase_names[row->phase], &count) : NULL;
        into[r][block] = NAN;
        if (rates)
            result = stats_quantile(rates, count, 0.5, &into[r][block]);
    }
    compare_samples_free(samples);
    return result;
}

// One process of an arm in a block. Quality was judged in the survey; roofs and counters are of no use here.
static int measure(struct gate *gate, enum arm arm, size_t block, const char *formats, double *const *into, char *error, size_t error_size) {
    static const char *const arm_names[] = {"base", "head", "again"};
    char seed[40], name[60];
    // All arms of a block visit their cells in one order.
    snprintf(seed, sizeof seed, "seed=%zu", block + 1);
    const char *const sets[] = {"quality_tokens=0", "roof_time=0", "counters=none", seed, formats};
    struct report_run run;
    snprintf(name, sizeof name, "block-%zu-%s", block + 1, arm_names[arm]);
    uint64_t start = clock_now();
    int result = run_process(gate, arm, gate->options->spec, name, sets, sizeof sets / sizeof *sets - !formats, &run, error, error_size);
    if (!result && (result = read_medians(&run, gate->result, arm, into, block)))
        snprintf(error, error_size, "%s: %s", name, result == -ENOMEM ? "not enough memory" : "a sample is no number");
    drop_run(gate, name, &run);
    gate->spent += clock_seconds(start, clock_now());
    progress_step(&gate->progress, gate->spent, block, name);
    return result;
}

static int measure_blocks(struct gate *gate, size_t *blocks, bool second, const char *formats, double budget, char *error, size_t error_size) {
    struct gate_row *rows = gate->result->rows;
    size_t row_count = gate->result->row_count;
    enum arm order[ARMS] = {ARM_BASE, ARM_HEAD, ARM_AGAIN};
    double **into[ARMS] = {NULL};
    int result = 0;
    for (int arm = 0; arm < ARMS; arm++)
        if (!(into[arm] = calloc(row_count + 1, sizeof *into[arm])))
            result = -ENOMEM;
    for (size_t r = 0; r < row_count && !result; r++) {
        double **at[ARMS] = {second ? &rows[r].base2 : &rows[r].base, second ? &rows[r].head2 : &rows[r].head, second ? &rows[r].again2 : &rows[r].again};
        for (int arm = 0; arm < ARMS; arm++) {
            into[arm][r] = *at[arm] = calloc(*blocks, sizeof **at[arm]);
            if (!*at[arm])
                result = -ENOMEM;
        }
    }
    if (result)
        snprintf(error, error_size, "not enough memory");
    uint64_t start = clock_now();
    for (size_t block = 0; block < *blocks && !result; block++) {
        // Blocks come in twos: a random order and its reverse, so that drift falls on all arms alike.
        if (block % 2 == 0)
            gsl_ran_shuffle(gate->rng, order, ARMS, sizeof *order);
        for (int i = 0; i < ARMS && !result; i++) {
            enum arm arm = order[block % 2 ? ARMS - 1 - i : i];
            result = measure(gate, arm, block, formats, into[arm], error, error_size);
        }
        bool any = result != 0;
        for (size_t r = 0; r < row_count && !any; r++)
            any = into[ARM_BASE][r][block] > 0 && into[ARM_HEAD][r][block] > 0;
        if (!any) {
            snprintf(error, error_size, "block %zu gave no figure of any cell that the survey had", block + 1);
            result = -EIO;
        }
        double used = clock_seconds(start, clock_now());
        if (block == 0) {
            gate->result->block_seconds = used;
            gate->spent = used;
            progress_begin(&gate->progress, gate->options->messages, used * (double)*blocks, *blocks);
        }
        // Out of time: fewer blocks, but never fewer than can be judged, and whole pairs of blocks.
        if (block + 1 >= GATE_PAIRS_LEAST && block % 2 == 1 && used + 2 * used / (double)(block + 1) > budget && block + 1 < *blocks)
            *blocks = block + 1;
    }
    for (int arm = 0; arm < ARMS; arm++) {
        if (!result)
            fill_means(gate->result, into[arm], *blocks);
        free(into[arm]);
    }
    return result;
}

// Of the second set: whether the rows' cells need all formats of the spec. Its other axes are left as they are; where they walk together with the
// formats, the whole spec runs again. Returns `text`, "format=q4g32,q8g32", or NULL.
static const char *choose_formats(const struct gate *gate, struct gate_row *const *rows, size_t row_count, char *text, size_t size) {
    const struct gate_result *found = gate->result;
    size_t used = (size_t)snprintf(text, size, "format=");
    char *spec = NULL, error[300];
    size_t bytes;
    bool whole = file_read(gate->options->spec, 1 << 20, &spec, &bytes, error, sizeof error);
    static const char *const words[] = {"zip", "gptq:", "awq:", "hqq:"}; // a row's format does not say how it was rounded
    for (size_t i = 0; i < sizeof words / sizeof *words && !whole; i++)
        whole |= strstr(spec, words[i]) != NULL;
    free(spec);
    for (size_t i = 0; i < gate->options->override_count; i++)
        whole |= !strncmp(gate->options->overrides[i], "format", 6);
    for (size_t r = 0; r < found->row_count && !whole; r++) {
        const struct gate_row *row = &found->rows[r];
        bool wanted = false;
        for (size_t i = 0; i < row_count && !row->members; i++)
            wanted |= rows[i] == row || (rows[i]->members && is_member(rows[i], row));
        if (!wanted)
            continue;
        char format[40];
        snprintf(format, sizeof format, "%.*s", (int)strcspn(row->base_cell->format, "+"), row->base_cell->format);
        size_t length = strlen(format);
        const char *seen = strstr(text + 7, format);
        while (seen && ((seen[-1] != '=' && seen[-1] != ',') || (seen[length] && seen[length] != ',')))
            seen = strstr(seen + 1, format);
        if (!seen)
            used += (size_t)snprintf(text + used, used < size ? size - used : 0, "%s%s", text[used - 1] == '=' ? "" : ",", format);
        if (used >= size)
            return NULL;
    }
    return whole ? NULL : text;
}

static int judge(struct gate *gate, bool second, struct gate_row **rows, size_t row_count) {
    const struct gate_result *found = gate->result;
    struct gate_series *series = calloc(row_count + 1, sizeof *series);
    struct gate_judgement *judgements = calloc(row_count + 1, sizeof *judgements);
    int result = series && judgements ? 0 : -ENOMEM;
    for (size_t r = 0; r < row_count && !result; r++)
        series[r] = second ? (struct gate_series){rows[r]->base2, rows[r]->head2, rows[r]->again2, found->second_blocks}
                           : (struct gate_series){rows[r]->base, rows[r]->head, rows[r]->again, found->blocks + (rows[r]->second.pairs ? found->second_blocks : 0)};
    if (!result)
        result = gate_judge(series, row_count, &gate->options->rules, judgements);
    for (size_t r = 0; r < row_count && !result; r++)
        *(second ? &rows[r]->second : &rows[r]->all) = judgements[r];
    free(series);
    free(judgements);
    return result;
}

// The figures of the second set behind those of the first.
static int append_second(struct gate_result *found, struct gate_row *row) {
    double **const first[] = {&row->base, &row->head, &row->again}, *const second[] = {row->base2, row->head2, row->again2};
    for (size_t i = 0; i < 3; i++) {
        double *grown = realloc(*first[i], (found->blocks + found->second_blocks) * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        memcpy(grown + found->blocks, second[i], found->second_blocks * sizeof *grown);
        *first[i] = grown;
    }
    return 0;
}

// More pairs of the rows in question: by themselves they must say what all pairs together say.
static int look_again(struct gate *gate, struct gate_row **all, char *error, size_t error_size) {
    struct gate_result *found = gate->result;
    struct gate_row **rows = calloc(found->row_count + 1, sizeof *rows);
    char formats[400];
    size_t count = 0;
    int result = rows ? 0 : -ENOMEM;
    for (size_t r = 0; rows && r < found->row_count; r++)
        if (found->rows[r].all.candidate)
            rows[count++] = &found->rows[r];
    if (result || !count || !gate->options->second_look)
        goto out;
    size_t needed = gate_pairs_needed(found->row_count, gate->options->rules.level), blocks = 3 * found->blocks > needed ? 3 * found->blocks : needed;
    blocks += blocks % 2;
    progress_note(&gate->progress, "looking again at %zu figure%s", count, count == 1 ? "" : "s");
    result = measure_blocks(gate, &blocks, true, choose_formats(gate, rows, count, formats, sizeof formats),
                            gate->options->seconds - clock_seconds(gate->start, clock_now()), error, error_size);
    found->second_blocks = blocks;
    if (!result)
        result = judge(gate, true, rows, count);
    for (size_t r = 0; r < count && !result; r++)
        result = append_second(found, rows[r]);
    if (!result)
        result = judge(gate, false, all, found->row_count);
    for (size_t r = 0; r < count && !result; r++)
        gate_confirm(&rows[r]->all, &rows[r]->second);
out:
    free(rows);
    return result;
}

int gate_run(const struct gate_options *options, struct gate_result *result, char *error, size_t error_size) {
    struct gate gate = {.options = options, .result = result, .rng = gsl_rng_alloc(gsl_rng_mt19937)};
    char folder[4096];
    *result = (struct gate_result){0};
    *error = '\0';
    uint64_t begun = clock_now();
    struct gate_row **rows = NULL;
    int code = gate.rng ? 0 : -ENOMEM;
    if (!code && mkdir(options->folder, 0777) && errno != EEXIST) {
        code = -errno;
        snprintf(error, error_size, "%s: %s", options->folder, strerror(errno));
    }
    if (!code)
        gsl_rng_set(gate.rng, options->rules.seed);
    if (!code && options->witness)
        code = witness_available(options, error, error_size);
    // Paths of equal length: a program's environment and path shift its stack.
    static const char *const names[] = {"version-a", "version-b"};
    for (int i = 0; i < 2 && !code; i++) {
        snprintf(folder, sizeof folder, "%s/%s", options->folder, names[i]);
        code = gate_build(options, i ? options->head : options->base, folder, &gate.programs[i], i ? result->head_name : result->base_name,
                          sizeof result->base_name, error, error_size);
    }
    if (!code && options->witness)
        code = witness_run(options, gate.programs, &result->witness, error, error_size);
    if (code || options->witness_only)
        goto out;
    if (options->messages)
        fprintf(options->messages, "one run of each, for quality and to see which cells there are\n");
    code = survey(&gate, error, error_size);
    gate.start = clock_now();
    rows = code ? NULL : calloc(result->row_count + 1, sizeof *rows);
    if (!code && !rows)
        code = -ENOMEM;
    for (size_t r = 0; rows && r < result->row_count; r++)
        rows[r] = &result->rows[r];
    result->blocks = options->blocks       ? options->blocks
                     : options->second_look ? SCREENING_BLOCKS
                                            : gate_pairs_needed(result->row_count, options->rules.level);
    result->blocks += result->blocks % 2;
    if (!code && result->row_count)
        code = measure_blocks(&gate, &result->blocks, false, NULL, options->seconds * (options->second_look ? 0.5 : 1), error, error_size);
    if (!code && result->row_count)
        code = judge(&gate, false, rows, result->row_count);
    if (!code)
        code = look_again(&gate, rows, error, error_size);
    for (size_t r = 0; r < result->row_count && !code; r++)
        result->verdicts[result->rows[r].all.verdict]++;
out:
    result->elapsed = clock_seconds(begun, clock_now());
    progress_end(&gate.progress);
    if (code == -ENOMEM && !*error)
        snprintf(error, error_size, "not enough memory");
    free(rows);
    for (size_t r = 0; r < result->row_count; r++)
        result->rows[r].base_cell = result->rows[r].head_cell = NULL;
    report_run_free(&gate.survey[0]);
    report_run_free(&gate.survey[1]);
    free(gate.programs[0]);
    free(gate.programs[1]);
    gsl_rng_free(gate.rng);
    return code;
}

void gate_free(struct gate_result *result) {
    for (size_t r = 0; r < result->row_count; r++) {
        struct gate_row *row = &result->rows[r];
        double *const all[] = {row->base, row->head, row->again, row->base2, row->head2, row->again2};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            free(all[i]);
    }
    witness_free(&result->witness);
    free(result->rows);
    free(result->qualities);
    free(result->broken);
    *result = (struct gate_result){0};
}

int gate_exit_code(const struct gate_result *result) {
    if (result->verdicts[VERDICT_SLOWER] || result->worse || result->broken_count)
        return 1;
    return result->verdicts[VERDICT_AMBIGUOUS] || result->witness.rose ? 4 : 0;
}
