// SPDX-License-Identifier: MIT
// Tables and XML: Otava, JUnit, Markdown.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare/compare.h"
#include "bench/compare/document.h"
#include "bench/compare/write.h"
#include "bench/export/export.h"
#include "bench/report/text.h"
#include "harness/csv.h"

// ---------------------------------------------------------------------------------------------------------------------
// Otava: one row a run, one column a metric. A column is a cell and phase that any of the runs has.

static const struct report_cell *find_named(const struct report_run *run, const char *phase, const char *wanted) {
    char name[512];
    for (size_t i = 0; i < run->cell_count; i++) {
        export_name(run, &run->cells[i], phase, name, sizeof name);
        if (!strcmp(name, wanted))
            return &run->cells[i];
    }
    return NULL;
}

int export_otava(const struct report_run *runs, size_t count, FILE *out) {
    size_t room = 0, columns = 0;
    for (size_t r = 0; r < count; r++)
        room += runs[r].cell_count * COMPARE_PHASES;
    struct {
        char name[512];
        int phase;
    } *names = calloc(room + 1, sizeof *names);
    if (!names)
        return -ENOMEM;
    for (size_t r = 0; r < count; r++)
        for (size_t i = 0; i < runs[r].cell_count; i++)
            for (int phase = 0; phase < COMPARE_PHASES && runs[r].cells[i].timed; phase++) {
                size_t c = 0;
                export_name(&runs[r], &runs[r].cells[i], compare_phase_names[phase], names[columns].name, sizeof names->name);
                while (strcmp(names[c].name, names[columns].name))
                    c++;
                names[columns].phase = phase;
                columns += c == columns;
            }
    fputs("time,commit,machine", out);
    for (size_t c = 0; c < columns; c++) {
        fputc(',', out);
        csv_write_field(out, names[c].name);
    }
    fputc('\n', out);
    for (size_t r = 0; r < count; r++) {
        csv_write_field(out, report_run_text(&runs[r], NULL, "started"));
        fputc(',', out);
        csv_write_field(out, report_run_text(&runs[r], "program", "commit"));
        fputc(',', out);
        csv_write_field(out, report_run_text(&runs[r], "machine", "slug"));
        for (size_t c = 0; c < columns; c++) {
            const struct report_cell *cell = find_named(&runs[r], compare_phase_names[names[c].phase], names[c].name);
            double value = !cell || !cell->timed ? NAN : names[c].phase == COMPARE_PREFILL ? cell->prefill.value : cell->decode.value;
            fprintf(out, isfinite(value) ? ",%.9g" : ",", value);
        }
        fputc('\n', out);
    }
    free(names);
    return ferror(out) ? -EIO : 0;
}

// ---------------------------------------------------------------------------------------------------------------------
// JUnit XML: a suite for each model, a case for each cell

static void xml_attribute(FILE *out, const char *name, const char *value) {
    fprintf(out, " %s=\"", name);
    html_text(out, value); // the five characters that XML escapes too; control characters are replaced
    fputc('"', out);
}

static void write_case(FILE *out, const struct report_run *run, const struct report_cell *cell) {
    char name[512], number[64];
    double seconds = cell->decode.value > 0 ? cell->batch * strtod(cell->axis[AXIS_GEN], NULL) / cell->decode.value : 0;
    export_name(run, cell, "cell", name, sizeof name);
    fputs("  <testcase", out);
    xml_attribute(out, "name", name + strlen("cell/"));
    xml_attribute(out, "classname", cell->model);
    fprintf(out, " time=\"%.6f\">\n", seconds);
    if (!strcmp(cell->status, "skipped") || !strcmp(cell->status, "unsupported")) {
        fputs("   <skipped", out);
        xml_attribute(out, "message", cell->reason);
        fputs("/>\n", out);
    } else if (!strcmp(cell->status, "failed")) {
        fputs("   <failure", out);
        xml_attribute(out, "message", cell->reason);
        fputs(" type=\"failed\"/>\n", out);
    } else if (!cell->timed) {
        fputs("   <error", out);
        xml_attribute(out, "message", cell->reason);
        xml_attribute(out, "type", cell->status);
        fputs("/>\n", out);
    }
    fputs("   <system-out>", out);
    if (cell->timed)
        fprintf(out, "decode %s tokens/s", number_text(cell->decode.value, number, sizeof number));
    if (cell->timed && cell->ppl > 0)
        fprintf(out, ", perplexity %.4g", cell->ppl);
    fputs("</system-out>\n  </testcase>\n", out);
}

int export_junit(const struct report_run *runs, size_t count, FILE *out) {
    (void)count;
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n", out);
    for (size_t m = 0; m < runs->model_count; m++) {
        size_t tests = 0, failures = 0, errors = 0, skipped = 0;
        for (size_t i = 0; i < runs->cell_count; i++) {
            const struct report_cell *cell = &runs->cells[i];
            if (cell->model_index != (int)m)
                continue;
            bool skip = !strcmp(cell->status, "skipped") || !strcmp(cell->status, "unsupported"), fail = !strcmp(cell->status, "failed");
            tests++;
            skipped += skip;
            failures += fail;
            errors += !cell->timed && !skip && !fail;
        }
        fputs(" <testsuite", out);
        xml_attribute(out, "name", runs->models[m].name);
        fprintf(out, " tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\"", tests, failures, errors, skipped);
        // xs:dateTime without the zone, as the schema of Ant's reports has it
        char started[24];
        snprintf(started, sizeof started, "%.19s", report_run_text(runs, NULL, "started"));
        if (*started)
            xml_attribute(out, "timestamp", started);
        if (*report_run_text(runs, "machine", "host"))
            xml_attribute(out, "hostname", report_run_text(runs, "machine", "host"));
        fputs(">\n", out);
        for (size_t i = 0; i < runs->cell_count; i++)
            if (runs->cells[i].model_index == (int)m)
                write_case(out, runs, &runs->cells[i]);
        fputs(" </testsuite>\n", out);
    }
    fputs("</testsuites>\n", out);
    return ferror(out) ? -EIO : 0;
}

// ---------------------------------------------------------------------------------------------------------------------

int export_markdown(const struct report_run *runs, size_t count, FILE *out) {
    (void)count;
    static const char *const names[] = {"cell", "status", "decode, tokens/s", "prefill, tokens/s", "of roof", "perplexity", "change", "weights"};
    struct document *document = document_new();
    if (!document)
        return -ENOMEM;
    document_heading(document, 2, "%s", runs->directory);
    document_paragraph(document, "%s, commit %s, started %s. Medians with half of their 95%% interval.", report_run_text(runs, "machine", "cpu_model"),
                       report_run_text(runs, "program", "commit"), report_run_text(runs, NULL, "started"));
    for (size_t m = 0; m < runs->model_count; m++) {
        document_heading(document, 3, "%s", runs->models[m].name);
        document_table(document, 8, names, 0xfc);
        for (size_t i = 0; i < runs->cell_count; i++) {
            const struct report_cell *cell = &runs->cells[i];
            char label[512], status[240], speed[2][96], roof[32] = "", ppl[64] = "", change[64] = "", weights[64] = "", number[64];
            if (cell->model_index != (int)m)
                continue;
            report_cell_label(runs, cell, label, sizeof label);
            snprintf(status, sizeof status, "%s%s%.180s", cell->status, *cell->reason ? ": " : "", cell->reason);
            const struct figure figures[] = {cell->decode, cell->prefill};
            for (int f = 0; f < 2; f++)
                if (isnan(figures[f].value))
                    *speed[f] = '\0';
                else
                    snprintf(speed[f], sizeof speed[f], "%s ±%.1f%%", number_text(figures[f].value, number, sizeof number),
                             50 * (figures[f].hi - figures[f].lo) / figures[f].value);
            if (isfinite(cell->roof_fraction))
                snprintf(roof, sizeof roof, "%.0f%%", cell->roof_fraction * 100);
            if (cell->ppl > 0)
                number_text(cell->ppl, ppl, sizeof ppl);
            if (isfinite(cell->dlnppl))
                change_text(exp(cell->dlnppl), change, sizeof change);
            if (isfinite(cell->weight_bytes))
                bytes_text(cell->weight_bytes, weights, sizeof weights);
            document_row(document, (const char *[]){label, status, speed[0], speed[1], roof, ppl, change, weights});
        }
    }
    int result = document_write(document, DOCUMENT_MARKDOWN, out);
    document_free(document);
    return result;
}
