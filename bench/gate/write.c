// SPDX-License-Identifier: MIT
// What a gate found, for people (text, Markdown) and programs (JSON, CSV).
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare/document.h"
#include "bench/compare/write.h"
#include "bench/gate/gate.h"
#include "bench/report/text.h"
#include "harness/csv.h"

const char *gate_phase_name(const struct gate_row *row) {
    return row->phase < COMPARE_PHASES ? compare_phase_names[row->phase] : "both";
}

static int by_effect(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void write_resolution(struct document *document, const struct gate_result *result) {
    double *effects = calloc(result->row_count + 1, sizeof *effects);
    size_t count = 0;
    for (size_t r = 0; effects && r < result->row_count; r++)
        if (!isnan(result->rows[r].all.smallest_effect))
            effects[count++] = result->rows[r].all.smallest_effect;
    if (count) {
        qsort(effects, count, sizeof *effects, by_effect);
        document_paragraph(document, "The smallest change that this gate would have found, four times in five: %.1f%% in half of the figures, %.1f%% in the worst one. "
                           "%zu pairs a figure, %.1f s a block of three processes, %.0f s in all.",
                           effects[count / 2] * 100, effects[count - 1] * 100, result->blocks, result->block_seconds, result->elapsed);
    }
    free(effects);
}

static void write_rows(struct document *document, const struct gate_result *result) {
    static const char *const names[] = {"cell", "phase", "head over base", "second look", "p, adjusted", "A/A floor", "verdict"};
    static const enum verdict order[] = {VERDICT_SLOWER, VERDICT_FASTER, VERDICT_AMBIGUOUS, VERDICT_SAME};
    if (!result->row_count)
        return;
    document_heading(document, 3, "Speed");
    document_table(document, 7, names, 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5);
    for (size_t v = 0; v < sizeof order / sizeof *order; v++)
        for (size_t r = 0; r < result->row_count; r++) {
            const struct gate_row *row = &result->rows[r];
            char ratio[96], second[96] = "", p[32], floor[32], verdict[200];
            if (row->all.verdict != order[v])
                continue;
            if (row->second.pairs)
                compare_ratio_text(row->second.ratio, second, sizeof second);
            snprintf(p, sizeof p, "%.2g", row->all.p_adjusted);
            snprintf(floor, sizeof floor, "%.1f%%", row->all.floor * 100);
            snprintf(verdict, sizeof verdict, "%s%s%s", verdict_name(row->all.verdict), *row->all.why ? ": " : "", row->all.why);
            document_row(document, (const char *[]){row->label, gate_phase_name(row), compare_ratio_text(row->all.ratio, ratio, sizeof ratio), second, p, floor,
                                                    verdict});
        }
}

static void write_quality(const struct gate_options *options, struct document *document, const struct gate_result *result) {
    static const char *const names[] = {"cell", "perplexity, head against base", "verdict"};
    size_t changed = 0;
    document_heading(document, 3, "Quality");
    for (size_t i = 0; i < result->quality_count; i++)
        changed += result->qualities[i].worse || result->qualities[i].better;
    if (!result->quality_count)
        document_paragraph(document, "No cell has a perplexity in both versions.");
    else if (!changed)
        document_paragraph(document, "%zu cells: none changed by more than %.2g%% beyond its interval.", result->quality_count, options->quality_threshold * 100);
    if (!changed)
        return;
    document_table(document, 3, names, 2);
    for (size_t i = 0; i < result->quality_count; i++) {
        const struct gate_quality *quality = &result->qualities[i];
        char text[96];
        if (quality->worse || quality->better)
            document_row(document, (const char *[]){quality->label, compare_quality_text(quality->dlnppl, text, sizeof text), quality->worse ? "worse" : "better"});
    }
}

static const char *ending(const struct gate_options *options, const struct gate_result *result) {
    if (options->witness_only)
        return result->witness.rose ? "more instructions" : "no more instructions";
    int code = gate_exit_code(result);
    return code == 0 ? "no regression" : code == 1 ? "a regression" : result->verdicts[VERDICT_AMBIGUOUS] ? "only ambiguous figures" : "no regression, but more instructions";
}

static void write_judged(const struct gate_options *options, const struct gate_result *result, struct document *document) {
    document_paragraph(document, "%s against %s. Of %zu figures (prefill and decode of each cell) %zu are the same, %zu faster, %zu slower, %zu ambiguous; %zu cells "
                       "are broken, the quality of %zu is worse.%s",
                       result->head_name, result->base_name, result->row_count, result->verdicts[VERDICT_SAME], result->verdicts[VERDICT_FASTER],
                       result->verdicts[VERDICT_SLOWER], result->verdicts[VERDICT_AMBIGUOUS], result->broken_count, result->worse,
                       result->verdicts[VERDICT_AMBIGUOUS] ? " Ambiguous is neither passed nor failed." : "");
    write_resolution(document, result);
    if (result->witness.rose)
        document_paragraph(document, "%zu source files execute more instructions: see below.", result->witness.rose);
    if (result->broken_count) {
        document_heading(document, 3, "Broken");
        document_table(document, 3, (const char *[]){"cell", "status", "reason"}, 0);
        for (size_t i = 0; i < result->broken_count; i++)
            document_row(document, (const char *[]){result->broken[i].label, result->broken[i].status, result->broken[i].reason});
    }
    write_rows(document, result);
    write_quality(options, document, result);
    if (result->lone)
        document_paragraph(document, "%zu cells are in one version only, and were not judged.", result->lone);
    document_paragraph(document, "Slower or faster: the 95%% bootstrap interval of the median ratio of the head to both runs of the base in a block excludes 1, the "
                       "change is at least %.3g%% and above the A/A floor of its figure, Wilcoxon's p adjusted by Holm over all figures is below %.2g%s.",
                       options->rules.threshold * 100, options->rules.level,
                       options->second_look ? ", and the second set of pairs says the same by itself. Only figures that the first set lets look changed are looked at again"
                                            : "");
}

int gate_write(const struct gate_options *options, const struct gate_result *result, int form, FILE *out) {
    struct document *document = document_new();
    if (!document)
        return -ENOMEM;
    document_heading(document, 2, "Gate: %s", ending(options, result));
    if (options->witness_only)
        document_paragraph(document, "%s against %s, by instructions alone: neither speed nor quality was judged.", result->head_name, result->base_name);
    else
        write_judged(options, result, document);
    witness_write(options, &result->witness, document);
    int code = document_write(document, form, out);
    document_free(document);
    return code;
}

static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *judgement_json(const struct gate_judgement *j) {
    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:s}", "pairs", (int)j->pairs, "ratio", number(j->ratio.value), "lo", number(j->ratio.lo), "hi",
                     number(j->ratio.hi), "p", number(j->p), "p_adjusted", number(j->p_adjusted), "floor", number(j->floor), "smallest_effect", number(j->smallest_effect),
                     "verdict", verdict_name(j->verdict), "why", j->why);
}

int gate_write_json(const struct gate_options *options, const struct gate_result *result, FILE *out) {
    json_t *rows = json_array(), *qualities = json_array(), *broken = json_array(), *verdicts = json_object();
    for (size_t r = 0; r < result->row_count; r++) {
        const struct gate_row *row = &result->rows[r];
        json_t *object = json_pack("{s:s, s:s, s:s, s:i, s:o}", "cell", row->label, "kernel", row->kernel, "phase",
                                   gate_phase_name(row), "mean_of", (int)row->members, "judgement", judgement_json(&row->all));
        if (row->second.pairs)
            json_object_set_new(object, "second_look", judgement_json(&row->second));
        json_array_append_new(rows, object);
    }
    for (size_t i = 0; i < result->quality_count; i++)
        json_array_append_new(qualities, json_pack("{s:s, s:f, s:f, s:f, s:b, s:b}", "cell", result->qualities[i].label, "dlnppl", result->qualities[i].dlnppl.value, "lo",
                                                   result->qualities[i].dlnppl.lo, "hi", result->qualities[i].dlnppl.hi, "worse", result->qualities[i].worse, "better",
                                                   result->qualities[i].better));
    for (size_t i = 0; i < result->broken_count; i++)
        json_array_append_new(broken, json_pack("{s:s, s:s, s:s}", "cell", result->broken[i].label, "status", result->broken[i].status, "reason",
                                                result->broken[i].reason));
    for (int v = 0; v < VERDICTS; v++)
        json_object_set_new(verdicts, verdict_name((enum verdict)v), json_integer((json_int_t)result->verdicts[v]));
    json_t *root = json_pack("{s:s, s:s, s:s, s:i, s:o, s:i, s:i, s:f, s:f, s:o, s:o, s:o}", "base", result->base_name, "head", result->head_name, "spec", options->spec,
                             "exit_code", gate_exit_code(result), "verdicts", verdicts, "blocks", (int)result->blocks, "second_blocks", (int)result->second_blocks,
                             "threshold", options->rules.threshold, "seconds", result->elapsed, "figures", rows, "quality", qualities, "broken", broken);
    if (root && result->witness.row_count)
        json_object_set_new(root, "witness", witness_json(&result->witness));
    int code = root && !json_dumpf(root, out, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) && fputc('\n', out) != EOF ? 0 : -EIO;
    json_decref(root);
    return code;
}

int gate_write_pairs(const struct gate_result *result, FILE *out) {
    fputs("cell,phase,look,block,base_tps,head_tps,again_tps\n", out);
    for (size_t r = 0; r < result->row_count; r++)
        for (int look = 0; look < 2; look++) {
            const struct gate_row *row = &result->rows[r];
            const double *const arms[] = {look ? row->base2 : row->base, look ? row->head2 : row->head, look ? row->again2 : row->again};
            for (size_t b = 0; arms[0] && arms[1] && arms[2] && b < (look ? result->second_blocks : result->blocks); b++) {
                csv_write_field(out, row->label);
                fprintf(out, ",%s,%d,%zu", gate_phase_name(row), look + 1, b);
                for (size_t arm = 0; arm < 3; arm++)
                    fprintf(out, isfinite(arms[arm][b]) ? ",%.9g" : ",", arms[arm][b]);
                fputc('\n', out);
            }
        }
    return ferror(out) ? -EIO : 0;
}
