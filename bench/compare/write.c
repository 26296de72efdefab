// SPDX-License-Identifier: MIT
#include "bench/compare/write.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "bench/report/text.h"
#include "harness/csv.h"

char *compare_ratio_text(struct figure ratio, char *text, size_t size) {
    if (isnan(ratio.value))
        snprintf(text, size, "–");
    else
        snprintf(text, size, "%.3g× (%.3g–%.3g)", ratio.value, ratio.lo, ratio.hi);
    return text;
}

char *compare_quality_text(struct figure dlnppl, char *text, size_t size) {
    char value[32], lo[32], hi[32];
    if (isnan(dlnppl.value))
        snprintf(text, size, "%s", "");
    else if (dlnppl.lo == 0 && dlnppl.hi == 0)
        snprintf(text, size, "the same");
    else
        snprintf(text, size, "%s (%s to %s)", change_text(exp(dlnppl.value), value, sizeof value),
                 change_text(exp(dlnppl.lo), lo, sizeof lo), change_text(exp(dlnppl.hi), hi, sizeof hi));
    return text;
}

static const char *json_at(const struct report_run *run, const char *object, const char *key) {
    const char *text = report_run_text(run, object, key);
    return *text ? text : "not recorded";
}

// ---------------------------------------------------------------------------------------------------------------------
// The document

static void describe_run(struct document *document, const char *letter, const struct report_run *run) {
    size_t timed = 0;
    for (size_t i = 0; i < run->cell_count; i++)
        timed += run->cells[i].timed;
    document_item(document, "%s: %s – %s, commit %s, started %s, %zu of %zu cells timed%s", letter, run->directory,
                  json_at(run, "machine", "cpu_model"), json_at(run, "program", "commit"), json_at(run, NULL, "started"), timed,
                  run->cell_count, run->torn ? "; a torn last row was left out" : "");
}

static void write_differences(struct document *document, const struct comparison *comparison) {
    document_heading(document, 3, "What differs in the environments");
    if (!comparison->a->json || !comparison->b->json)
        document_paragraph(document, "%s has no readable run.json, so its environment is not known.",
                           comparison->a->json ? comparison->b->directory : comparison->a->directory);
    else if (!comparison->difference_count)
        document_paragraph(document, "Nothing that was recorded.");
    else {
        document_table(document, 3, (const char *[]){"what", "A", "B"}, 0);
        for (size_t i = 0; i < comparison->difference_count; i++) {
            const struct environment_difference *d = &comparison->differences[i];
            document_row(document, (const char *[]){d->what, d->a, d->b});
        }
    }
}

static void write_summary(struct document *document, const struct comparison *comparison) {
    document_heading(document, 3, "Summary");
    for (int phase = COMPARE_PHASES - 1; phase >= 0; phase--) {
        const size_t *n = comparison->verdicts[phase];
        size_t total = n[VERDICT_SAME] + n[VERDICT_FASTER] + n[VERDICT_SLOWER] + n[VERDICT_AMBIGUOUS];
        if (total)
            document_item(document, "%s: %zu cells; %zu faster, %zu slower, %zu the same within ±%.3g%%, %zu ambiguous. Geometric mean of B over A: %.3f×.",
                          compare_phase_names[phase], total, n[VERDICT_FASTER], n[VERDICT_SLOWER], n[VERDICT_SAME],
                          comparison->options.threshold * 100, n[VERDICT_AMBIGUOUS], comparison->geometric_mean[phase]);
        else
            document_item(document, "%s: no cell has a speed in both runs.", compare_phase_names[phase]);
    }
    for (int phase = COMPARE_PHASES - 1; phase >= 0; phase--)
        if (!isnan(comparison->floor[phase]))
            document_item(document, "noise of %s: by how much cells moved between the rounds of one run, with nothing changed, says that with so many cells a "
                          "difference below %.1f%% between the runs proves nothing.", compare_phase_names[phase], comparison->floor[phase] * 100);
    if (isnan(comparison->floor[COMPARE_DECODE]) && isnan(comparison->floor[COMPARE_PREFILL]))
        document_item(document, "noise: cells were visited in one round only, so what the machine does by itself is not known; set rounds to 2 or more.");
    if (*comparison->quality_note)
        document_item(document, "quality: %s.", comparison->quality_note);
    else
        document_item(document, "quality: %zu cells surely worse, %zu surely better (95%% interval of ln perplexity).", comparison->worse, comparison->better);
    if (comparison->broken)
        document_item(document, "broken: %zu cells were timed in A and not in B.", comparison->broken);
    // By reason, with the number of cells.
    for (size_t i = 0; i < comparison->lone_count; i++) {
        size_t before = 0, count = 0;
        for (size_t j = 0; j < comparison->lone_count; j++)
            if (!strcmp(comparison->lone[i].why, comparison->lone[j].why)) {
                before += j < i;
                count++;
            }
        if (!before)
            document_item(document, "not compared: %zu cells, %s.", count, comparison->lone[i].why);
    }
}

static bool is_change(const struct compared_cell *cell) {
    bool change = cell->broken || cell->worse || cell->better;
    for (int phase = 0; phase < COMPARE_PHASES; phase++)
        change |= cell->speed[phase].present && (cell->speed[phase].verdict == VERDICT_FASTER || cell->speed[phase].verdict == VERDICT_SLOWER);
    return change;
}

// A page has every cell in a table that can be searched, below its plots: there a long list would only stand in their way.
enum { LONG_LIST = 12 };

static void write_cells(struct document *document, const struct comparison *comparison, bool all, enum document_form form) {
    static const char *const names[] = {"cell", "phase", "A tokens/s", "B tokens/s", "B over A", "verdict", "perplexity of B against A"};
    size_t shown = 0;
    for (size_t i = 0; i < comparison->cell_count; i++)
        shown += all || is_change(&comparison->cells[i]);
    document_heading(document, 3, "%s", all ? "All cells" : "Cells that changed");
    if (!shown) {
        document_paragraph(document, "None.");
        return;
    }
    if (form == DOCUMENT_HTML && shown > LONG_LIST) {
        document_paragraph(document, "%zu cells: choose a verdict in the table below to see them.", shown);
        return;
    }
    document_table(document, 7, names, 1u << 2 | 1u << 3 | 1u << 4);
    for (size_t i = 0; i < comparison->cell_count; i++) {
        const struct compared_cell *cell = &comparison->cells[i];
        char label[512], a[64], b[64], ratio[96], quality[96], verdict[160];
        bool first = true;
        if (!all && !is_change(cell))
            continue;
        report_cell_label(comparison->b, cell->b, label, sizeof label);
        if (comparison->b->model_count > 1) {
            size_t used = strlen(label);
            snprintf(label + used, sizeof label - used, " (%s)", cell->b->model);
        }
        compare_quality_text(cell->dlnppl, quality, sizeof quality);
        if (cell->broken) {
            snprintf(verdict, sizeof verdict, "broken: %.40s %.80s", cell->b->status, cell->b->reason);
            document_row(document, (const char *[]){label, "", number_text(cell->a->speed.value, a, sizeof a), "", "", verdict, quality});
            continue;
        }
        for (int phase = COMPARE_PHASES - 1; phase >= 0; phase--) {
            const struct compared_speed *speed = &cell->speed[phase];
            if (!speed->present)
                continue;
            snprintf(verdict, sizeof verdict, "%s%s%s", verdict_name(speed->verdict), *speed->why ? ": " : "", speed->why);
            document_row(document, (const char *[]){first ? label : "", compare_phase_names[phase], number_text(speed->a, a, sizeof a),
                                                    number_text(speed->b, b, sizeof b), compare_ratio_text(speed->ratio, ratio, sizeof ratio),
                                                    verdict, first ? quality : ""});
            first = false;
        }
    }
}

static char *mean_text(double value, char *text, size_t size) {
    return isnan(value) ? (snprintf(text, size, "%s", ""), text) : number_text(value, text, size);
}

static void write_by(struct document *document, const struct by_table *by, bool all) {
    document_heading(document, 2, "Side by side");
    document_paragraph(document, "Geometric means over the groups of cells that agree in everything else%s%s%s. Where a group has several cells of one value, "
                       "the fastest stands for it. Figures per core, watt and unit of money are over all groups that the value has, so they compare only "
                       "where the groups are the same.",
                       *by->dropped ? " (but not in " : "", by->dropped, *by->dropped ? ", which follow from the value)" : "");
    bool watt = false, cost = false;
    for (size_t v = 0; v < by->value_count; v++) {
        watt |= !isnan(by->values[v].per_watt);
        cost |= !isnan(by->values[v].per_cost);
    }
    const char *names[8] = {"value", "groups", "in common with the first", "speed over the first", "tokens/s per core"};
    size_t columns = 5;
    if (watt)
        names[columns++] = "tokens per joule";
    if (cost)
        names[columns++] = "tokens per unit of money";
    document_table(document, columns, names, 0x7e);
    for (size_t v = 0; v < by->value_count; v++) {
        const struct by_value *value = &by->values[v];
        char text[6][64];
        snprintf(text[0], sizeof text[0], "%zu", value->cells);
        snprintf(text[1], sizeof text[1], "%zu", value->common);
        if (isnan(value->relative))
            snprintf(text[2], sizeof text[2], "–");
        else
            snprintf(text[2], sizeof text[2], "%.3g×", value->relative);
        const char *row[8] = {value->name, text[0], text[1], text[2], mean_text(value->per_core, text[3], sizeof text[3])};
        size_t used = 5;
        if (watt)
            row[used++] = mean_text(value->per_watt, text[4], sizeof text[4]);
        if (cost)
            row[used++] = mean_text(value->per_cost, text[5], sizeof text[5]);
        document_row(document, row);
    }
    // Group by group, as long as a table of that many columns can be read.
    enum { WIDEST = 8 };
    if (!all || by->value_count > WIDEST)
        return;
    document_heading(document, 3, "Group by group, tokens/s");
    const char *heads[WIDEST + 1] = {"group"};
    for (size_t v = 0; v < by->value_count; v++)
        heads[v + 1] = by->values[v].name;
    document_table(document, by->value_count + 1, heads, 0xfffe);
    for (size_t g = 0; g < by->group_count; g++) {
        char text[WIDEST][96], number[64];
        const char *row[WIDEST + 1] = {by->groups[g].label};
        for (size_t v = 0; v < by->value_count; v++) {
            const struct report_cell *cell = by->groups[g].cells[v];
            *text[v] = '\0';
            if (cell)
                snprintf(text[v], sizeof text[v], "%s%s%.20s%s", number_text(cell->speed.value, number, sizeof number),
                         strstr(by->dropped, "layout") ? " (" : "", strstr(by->dropped, "layout") ? cell->axis[AXIS_LAYOUT] : "",
                         strstr(by->dropped, "layout") ? ")" : "");
            row[v + 1] = text[v];
        }
        document_row(document, row);
    }
}

static void write_comparison(struct document *document, const struct comparison *comparison, bool several, bool all, enum document_form form) {
    if (several)
        document_heading(document, 2, "%s against %s", comparison->b->directory, comparison->a->directory);
    write_differences(document, comparison);
    write_summary(document, comparison);
    write_cells(document, comparison, all, form);
    document_paragraph(document, "B over A above 1 means that B is faster. Intervals are 95%% (bootstrap of the medians) and know the noise within each run only, not "
                       "what a shared machine did between them: to judge a commit, use llmsweep gate, which runs both in pairs.");
}

int compare_write_document(const struct compare_output *output, enum document_form form, FILE *out) {
    struct document *document = document_new();
    if (!document)
        return -ENOMEM;
    document_heading(document, 1, "%s", output->run_count > 1 ? "Runs compared" : "One run, side by side");
    for (size_t r = 0; r < output->run_count; r++)
        describe_run(document, (char[]){(char)('A' + r), '\0'}, &output->runs[r]);
    if (output->by)
        write_by(document, output->by, output->all);
    for (size_t i = 0; i + 1 < output->run_count; i++)
        write_comparison(document, &output->comparisons[i], output->run_count > 2, output->all && form != DOCUMENT_HTML, form);
    int result = document_write(document, form, out);
    document_free(document);
    return result;
}

// ---------------------------------------------------------------------------------------------------------------------
// For programs

static void csv_number(FILE *out, double value) {
    fputc(',', out);
    if (isfinite(value))
        fprintf(out, "%.9g", value);
}

int compare_write_csv(const struct compare_output *output, FILE *out) {
    fputs("a,b,cell_a,cell_b,model,prune,format,act,kv,batch,prompt,gen,layout,provider,device,phase,status_a,status_b,tps_a,tps_b,samples_a,samples_b,"
          "ratio,ratio_lo,ratio_hi,p,p_adjusted,verdict,why,dlnppl,dlnppl_lo,dlnppl_hi,prefix\n", out);
    for (size_t i = 0; i + 1 < output->run_count; i++) {
        const struct comparison *comparison = &output->comparisons[i];
        for (size_t c = 0; c < comparison->cell_count; c++)
            for (int phase = 0; phase < COMPARE_PHASES; phase++) {
                const struct compared_cell *cell = &comparison->cells[c];
                const struct compared_speed *speed = &cell->speed[phase];
                const struct report_cell *b = cell->b;
                const char *const texts[] = {comparison->a->directory, comparison->b->directory, cell->a->id, b->id, b->model, b->axis[AXIS_PRUNE], b->format,
                                             b->act, b->axis[AXIS_KV], b->axis[AXIS_BATCH], b->axis[AXIS_PROMPT], b->axis[AXIS_GEN], b->axis[AXIS_LAYOUT],
                                             b->provider, b->axis[AXIS_DEVICE], compare_phase_names[phase], cell->a->status, b->status};
                for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
                    if (t)
                        fputc(',', out);
                    csv_write_field(out, texts[t]);
                }
                csv_number(out, speed->present ? speed->a : NAN);
                csv_number(out, speed->present ? speed->b : NAN);
                csv_number(out, speed->a_count ? (double)speed->a_count : NAN);
                csv_number(out, speed->b_count ? (double)speed->b_count : NAN);
                csv_number(out, speed->present ? speed->ratio.value : NAN);
                csv_number(out, speed->present ? speed->ratio.lo : NAN);
                csv_number(out, speed->present ? speed->ratio.hi : NAN);
                csv_number(out, speed->p);
                csv_number(out, speed->p_adjusted);
                fprintf(out, ",%s,", cell->broken ? "broken" : speed->present ? verdict_name(speed->verdict) : "");
                csv_write_field(out, speed->why);
                csv_number(out, cell->dlnppl.value);
                csv_number(out, cell->dlnppl.lo);
                csv_number(out, cell->dlnppl.hi);
                fprintf(out, ",%s\n", b->axis[AXIS_PREFIX]);
            }
    }
    return ferror(out) ? -EIO : 0;
}

static json_t *json_number_or_null(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *json_figure(struct figure figure) {
    return json_pack("{s:o, s:o, s:o}", "value", json_number_or_null(figure.value), "lo", json_number_or_null(figure.lo), "hi",
                     json_number_or_null(figure.hi));
}

static json_t *json_cell(const struct compared_cell *cell) {
    const struct report_cell *b = cell->b;
    json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:o}", "cell_a", cell->a->id, "cell_b", b->id, "model", b->model, "prune",
                               b->axis[AXIS_PRUNE], "format", b->format, "act", b->act, "kv", b->axis[AXIS_KV], "batch", b->axis[AXIS_BATCH], "layout",
                               b->axis[AXIS_LAYOUT], "status_a", cell->a->status, "status_b", b->status, "broken", cell->broken, "dlnppl",
                               json_figure(cell->dlnppl));
    for (int phase = 0; object && phase < COMPARE_PHASES; phase++) {
        const struct compared_speed *speed = &cell->speed[phase];
        if (speed->present)
            json_object_set_new(object, compare_phase_names[phase],
                                json_pack("{s:f, s:f, s:i, s:i, s:o, s:o, s:o, s:s, s:s}", "tps_a", speed->a, "tps_b", speed->b, "samples_a", (int)speed->a_count,
                                          "samples_b", (int)speed->b_count, "ratio", json_figure(speed->ratio), "p", json_number_or_null(speed->p),
                                          "p_adjusted", json_number_or_null(speed->p_adjusted), "verdict", verdict_name(speed->verdict), "why", speed->why));
    }
    return object;
}

static json_t *json_comparison(const struct comparison *comparison) {
    json_t *differences = json_array(), *cells = json_array(), *lone = json_array(), *verdicts = json_object();
    for (size_t i = 0; i < comparison->difference_count; i++)
        json_array_append_new(differences, json_pack("{s:s, s:s, s:s}", "what", comparison->differences[i].what, "a", comparison->differences[i].a, "b",
                                                     comparison->differences[i].b));
    for (size_t i = 0; i < comparison->cell_count; i++)
        json_array_append_new(cells, json_cell(&comparison->cells[i]));
    for (size_t i = 0; i < comparison->lone_count; i++)
        json_array_append_new(lone, json_pack("{s:s, s:b, s:b, s:s}", "cell", comparison->lone[i].cell->id, "in_a", comparison->lone[i].in_a, "in_b",
                                              comparison->lone[i].in_b, "why", comparison->lone[i].why));
    for (int phase = 0; phase < COMPARE_PHASES; phase++) {
        json_t *counts = json_object();
        for (int v = 0; v < VERDICTS; v++)
            json_object_set_new(counts, verdict_name((enum verdict)v), json_integer((json_int_t)comparison->verdicts[phase][v]));
        json_object_set_new(counts, "geometric_mean", json_number_or_null(comparison->geometric_mean[phase]));
        json_object_set_new(verdicts, compare_phase_names[phase], counts);
    }
    return json_pack("{s:s, s:s, s:f, s:o, s:o, s:o, s:o, s:s, s:o, s:o}", "a", comparison->a->directory, "b", comparison->b->directory, "threshold",
                     comparison->options.threshold, "floor_prefill", json_number_or_null(comparison->floor[COMPARE_PREFILL]), "floor_decode",
                     json_number_or_null(comparison->floor[COMPARE_DECODE]), "verdicts", verdicts, "environment", differences, "quality_note", comparison->quality_note, "cells", cells,
                     "not_compared", lone);
}

static json_t *json_by(const struct by_table *by) {
    json_t *values = json_array(), *groups = json_array();
    for (size_t v = 0; v < by->value_count; v++) {
        const struct by_value *value = &by->values[v];
        json_array_append_new(values, json_pack("{s:s, s:i, s:i, s:o, s:o, s:o, s:o}", "value", value->name, "groups", (int)value->cells, "common", (int)value->common,
                                                "relative", json_number_or_null(value->relative), "tokens_per_second_per_core",
                                                json_number_or_null(value->per_core), "tokens_per_joule", json_number_or_null(value->per_watt),
                                                "tokens_per_money", json_number_or_null(value->per_cost)));
    }
    for (size_t g = 0; g < by->group_count; g++) {
        json_t *speeds = json_object();
        for (size_t v = 0; v < by->value_count; v++)
            if (by->groups[g].cells[v])
                json_object_set_new(speeds, by->values[v].name, json_figure(by->groups[g].cells[v]->speed));
        json_array_append_new(groups, json_pack("{s:s, s:o}", "group", by->groups[g].label, "speeds", speeds));
    }
    return json_pack("{s:o, s:o}", "values", values, "groups", groups);
}

int compare_write_json(const struct compare_output *output, FILE *out) {
    json_t *root = json_object(), *comparisons = json_array();
    for (size_t i = 0; i + 1 < output->run_count; i++)
        json_array_append_new(comparisons, json_comparison(&output->comparisons[i]));
    json_object_set_new(root, "comparisons", comparisons);
    if (output->by)
        json_object_set_new(root, "by", json_by(output->by));
    int result = json_dumpf(root, out, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) || fputc('\n', out) == EOF ? -EIO : 0;
    json_decref(root);
    return result;
}
