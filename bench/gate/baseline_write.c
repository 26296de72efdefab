// SPDX-License-Identifier: MIT
// What a gate against stored runs found.
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "bench/compare/document.h"
#include "bench/compare/write.h"
#include "bench/gate/baseline.h"
#include "bench/gate/gate.h"
#include "bench/report/text.h"

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void write_weakness(const struct baseline_result *result, struct document *document) {
    double *effects = calloc(result->row_count + 1, sizeof *effects);
    size_t count = 0;
    for (size_t r = 0; effects && r < result->row_count; r++)
        if (!isnan(result->rows[r].smallest_effect))
            effects[count++] = result->rows[r].smallest_effect;
    if (count) {
        qsort(effects, count, sizeof *effects, by_value);
        document_paragraph(document,
                           "How weak this is: the stored runs (%zu to %zu a figure) were made at other times, and one "
                           "run is held against what they differ by. The "
                           "smallest loss that would have been found, four times in five: %.1f%% in half of the "
                           "figures, %.1f%% in the worst one. Pairs see more: "
                           "llmsweep gate --base REV.",
                           result->runs_least, result->runs_most, effects[count / 2] * 100, effects[count - 1] * 100);
    } else
        document_paragraph(document,
                           "No figure has %d stored runs, which it takes to know what runs differ by: nothing was "
                           "judged. Store more (llmsweep history add), or run "
                           "pairs: llmsweep gate --base REV.",
                           BASELINE_RUNS_LEAST);
    free(effects);
}

static void write_quality(const struct gate_options *options, const struct baseline_result *result, struct document *document) {
    static const char *const names[] = {"figure", "perplexity", "of the stored runs", "verdict"};
    size_t changed = 0;
    for (size_t r = 0; r < result->row_count; r++)
        changed += result->rows[r].worse || result->rows[r].better;
    if (!result->qualities)
        document_paragraph(document, "Quality was not judged: no cell has a perplexity here and, on the same text, in a stored run.");
    else
        document_paragraph(document, "Quality: of %zu cells %zu are worse than every stored run by at least %.2g%%, %zu better than every one.", result->qualities,
                           result->worse, options->quality_threshold * 100, changed - result->worse);
    if (!changed)
        return;
    document_table(document, 4, names, 1u << 1 | 1u << 2);
    for (size_t r = 0; r < result->row_count; r++) {
        const struct baseline_row *row = &result->rows[r];
        char head[64], least[64], range[160];
        if (!row->worse && !row->better)
            continue;
        snprintf(range, sizeof range, "%s", number_text(row->perplexity_least, least, sizeof least));
        if (row->perplexity_most > row->perplexity_least)
            snprintf(range, sizeof range, "%s to %s", least, number_text(row->perplexity_most, head, sizeof head));
        document_row(document, (const char *[]){row->name, number_text(row->perplexity, head, sizeof head), range, row->worse ? "worse" : "better"});
    }
}

int baseline_write(const struct gate_options *options, const struct baseline_result *result, int form, FILE *out) {
    static const char *const names[] = {"figure", "tokens/s", "over the stored runs", "runs", "p, adjusted", "verdict"};
    static const enum verdict order[] = {VERDICT_SLOWER, VERDICT_FASTER, VERDICT_AMBIGUOUS, VERDICT_SAME};
    static const char *const endings[] = {"no regression seen", "a regression", "", "", "only ambiguous figures"};
    struct document *document = document_new();
    if (!document)
        return -ENOMEM;
    document_heading(document, 2, "Gate against stored runs: %s", endings[baseline_exit_code(result)]);
    document_paragraph(
        document,
        "%s on %s. Of %zu figures %zu are the same, %zu faster, %zu slower, %zu ambiguous.",
        result->head_name, result->machine, result->row_count, result->verdicts[VERDICT_SAME],
        result->verdicts[VERDICT_FASTER], result->verdicts[VERDICT_SLOWER], result->verdicts[VERDICT_AMBIGUOUS]);
    write_quality(options, result, document);
    write_weakness(result, document);
    if (result->unknown)
        document_paragraph(document,
                           "%zu figures are not among the stored ones, or of other weights, and were not judged.",
                           result->unknown);
    document_table(document, 6, names, 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4);
    for (size_t v = 0; v < sizeof order / sizeof *order; v++)
        for (size_t r = 0; r < result->row_count; r++) {
            const struct baseline_row *row = &result->rows[r];
            char head[64], ratio[96], runs[24], p[32] = "", verdict[200];
            if (row->verdict != order[v])
                continue;
            snprintf(runs, sizeof runs, "%zu", row->count);
            if (!isnan(row->p_adjusted))
                snprintf(p, sizeof p, "%.2g", row->p_adjusted);
            snprintf(verdict, sizeof verdict, "%s%s%s", verdict_name(row->verdict), *row->why ? ": " : "", row->why);
            document_row(document,
                         (const char *[]){row->name, number_text(row->head, head, sizeof head),
                                          compare_ratio_text(row->ratio, ratio, sizeof ratio), runs, p, verdict});
        }
    document_paragraph(document,
                       "Slower or faster: at least %.3g%%, and Student's t of one more run, against the logarithms of "
                       "the stored ones, has p below %.2g after Holm over all "
                       "figures. In brackets: where 95%% of such ratios would lie.",
                       options->rules.threshold * 100, options->rules.level);
    int code = document_write(document, form, out);
    document_free(document);
    return code;
}

static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

int baseline_write_json(const struct gate_options *options, const struct baseline_result *result, FILE *out) {
    json_t *rows = json_array();
    for (size_t r = 0; r < result->row_count; r++) {
        const struct baseline_row *row = &result->rows[r];
        json_array_append_new(
            rows, json_pack("{s:s, s:f, s:i, s:o, s:o, s:o, s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:s}", "name", row->name, "tps", row->head,
                            "runs", (int)row->count, "ratio", number(row->ratio.value), "lo", number(row->ratio.lo),
                            "hi", number(row->ratio.hi), "p_adjusted", number(row->p_adjusted), "smallest_effect",
                            number(row->smallest_effect), "verdict", verdict_name(row->verdict), "why", row->why, "ppl", number(row->perplexity), "ppl_least", number(row->perplexity_least),
                            "ppl_most", number(row->perplexity_most), "quality", row->worse ? "worse" : row->better ? "better" : isnan(row->perplexity) ? "" : "same"));
    }
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:i, s:f, s:i, s:f, s:o}", "machine", result->machine, "head", result->head_name,
                  "spec", options->spec, "exit_code", baseline_exit_code(result), "threshold", options->rules.threshold,
                  "unknown", (int)result->unknown, "seconds", result->elapsed, "figures", rows);
    int code =
        root && !json_dumpf(root, out, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) && fputc('\n', out) != EOF ? 0 : -EIO;
    json_decref(root);
    return code;
}
