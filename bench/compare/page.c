// SPDX-License-Identifier: MIT
// A comparison as one HTML file: what differs, the verdicts, a plot of all ratios whose points lead to their rows, and the table.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare/write.h"
#include "bench/report/assets.h"
#include "bench/report/drawing.h"
#include "bench/report/text.h"

// ---------------------------------------------------------------------------------------------------------------------
// The plot

struct point {
    const struct compared_cell *cell;
    const struct compared_speed *speed;
};

static int by_ratio(const void *a, const void *b) {
    const struct point *x = a, *y = b;
    return (x->speed->ratio.value > y->speed->ratio.value) - (x->speed->ratio.value < y->speed->ratio.value);
}

// A block for each verdict: rank, ratio, lo, hi, row in B.
static int write_data(const struct comparison *comparison, enum compare_phase phase, FILE *data) {
    struct point *points = calloc(comparison->cell_count + 1, sizeof *points);
    size_t count = 0;
    if (!points)
        return -ENOMEM;
    for (size_t i = 0; i < comparison->cell_count; i++)
        if (comparison->cells[i].speed[phase].present)
            points[count++] = (struct point){&comparison->cells[i], &comparison->cells[i].speed[phase]};
    qsort(points, count, sizeof *points, by_ratio);
    static const enum verdict order[] = {VERDICT_FASTER, VERDICT_SLOWER, VERDICT_AMBIGUOUS, VERDICT_SAME};
    for (size_t v = 0; v < sizeof order / sizeof *order; v++) {
        fprintf(data, "%s\nNaN,NaN,NaN,NaN,NaN\n", verdict_name(order[v]));
        for (size_t i = 0; i < count; i++)
            if (points[i].speed->verdict == order[v])
                fprintf(data, "%zu,%.6g,%.6g,%.6g,%zu\n", i + 1, points[i].speed->ratio.value, points[i].speed->ratio.lo, points[i].speed->ratio.hi,
                        points[i].cell->b->row);
        fputs("\n\n", data);
    }
    free(points);
    return ferror(data) ? -EIO : 0;
}

// svg is NULL where there is nothing to show.
static int draw(const struct comparison *comparison, size_t number, enum compare_phase phase, char **svg, char *error, size_t error_size) {
    struct drawing drawing;
    char name[40], variables[80];
    size_t count = 0;
    *svg = NULL;
    for (size_t i = 0; i < comparison->cell_count; i++)
        count += comparison->cells[i].speed[phase].present;
    if (!count)
        return 0;
    snprintf(name, sizeof name, "ratio-%zu-%s", number, compare_phase_names[phase]);
    snprintf(variables, sizeof variables, "threshold = %g; phase = '%s'", comparison->options.threshold, compare_phase_names[phase]);
    int result = drawing_begin(&drawing, "compare", name, error, error_size);
    if (!result && (result = write_data(comparison, phase, drawing.data)))
        snprintf(error, error_size, "%s: %s", drawing.folder, strerror(-result));
    return drawing_end(&drawing, comparison->b, "B over A", variables, result, svg, error, error_size);
}

// ---------------------------------------------------------------------------------------------------------------------
// The page

static void write_head(FILE *out, const char *title) {
    fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n<title>", out);
    html_text(out, title);
    fprintf(out, " – llmsweep</title>\n<style>\n%s</style>\n</head>\n<body>\n<main class=\"compare\">\n", report_css);
}

static void write_number_cell(FILE *out, double value, const char *text) {
    if (isnan(value))
        fputs("<td></td>", out);
    else {
        fprintf(out, "<td class=\"n\" data-v=\"%.9g\">", value);
        html_text(out, text);
        fputs("</td>", out);
    }
}

static void write_text_cell(FILE *out, const char *text) {
    fputs("<td>", out);
    html_text(out, text);
    fputs("</td>", out);
}

static void write_row(FILE *out, const struct compared_cell *cell, size_t number, bool first) {
    char anchor[96], text[160], verdict[160];
    const struct report_cell *b = cell->b;
    report_cell_anchor(b, anchor, sizeof anchor);
    if (first)
        fprintf(out, "<tr id=\"%s\">", anchor);
    else
        fprintf(out, "<tr id=\"%s-%zu\">", anchor, number);
    const char *const texts[] = {b->model, b->axis[AXIS_PRUNE], b->axis[AXIS_VARIANT], b->axis[AXIS_BATCH], b->axis[AXIS_LAYOUT]};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        write_text_cell(out, texts[i]);
    for (int phase = COMPARE_PHASES - 1; phase >= 0; phase--) {
        const struct compared_speed *speed = &cell->speed[phase];
        char a[64], c[64];
        write_number_cell(out, speed->present ? speed->a : NAN, number_text(speed->a, a, sizeof a));
        write_number_cell(out, speed->present ? speed->b : NAN, number_text(speed->b, c, sizeof c));
        write_number_cell(out, speed->present ? speed->ratio.value : NAN, compare_ratio_text(speed->ratio, text, sizeof text));
        if (cell->broken)
            snprintf(verdict, sizeof verdict, "broken: %.40s", b->status);
        else
            snprintf(verdict, sizeof verdict, "%s", speed->present ? verdict_name(speed->verdict) : b->status);
        write_text_cell(out, verdict);
    }
    write_number_cell(out, cell->dlnppl.value, compare_quality_text(cell->dlnppl, text, sizeof text));
    write_text_cell(out, !cell->speed[COMPARE_DECODE].present && !cell->speed[COMPARE_PREFILL].present ? b->reason : *cell->speed[COMPARE_DECODE].why ? cell->speed[COMPARE_DECODE].why : cell->speed[COMPARE_PREFILL].why);
    fputs("</tr>\n", out);
}

static void write_table(FILE *out, const struct comparison *comparison, size_t number) {
    static const struct {
        const char *name;
        bool axis;
    } heads[] = {{"model", true}, {"prune", true}, {"format", true}, {"batch", true}, {"layout", true},
                 {"decode A", false}, {"decode B", false}, {"decode B/A", false}, {"decode verdict", true},
                 {"prefill A", false}, {"prefill B", false}, {"prefill B/A", false}, {"prefill verdict", true},
                 {"perplexity of B against A", false}, {"why", false}};
    bool first = number == 0;
    fputs("<h3>All cells</h3>\n", out);
    // Search, filters and sorting work on the first comparison's table.
    if (first)
        fputs("<form class=\"filters\" id=\"filters\" hidden><label>Search <input type=\"search\" id=\"search\" placeholder=\"q4g32 slower\" "
              "autocomplete=\"off\"></label><span id=\"selects\"></span><button type=\"reset\">Clear</button> <output id=\"shown\"></output></form>\n", out);
    fprintf(out, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"All cells\"><table%s>\n<thead><tr>", first ? " id=\"table\"" : " class=\"plain\"");
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        fprintf(out, "<th scope=\"col\"%s>", heads[i].axis ? " data-axis" : "");
        html_text(out, heads[i].name);
        fputs("</th>", out);
    }
    fputs("</tr></thead>\n<tbody>\n", out);
    for (size_t i = 0; i < comparison->cell_count; i++)
        write_row(out, &comparison->cells[i], number, first);
    fputs("</tbody></table></div>\n", out);
}

int compare_write_page(const struct compare_output *output, FILE *out, char *error, size_t error_size) {
    int result = 0;
    write_head(out, "Runs compared");
    // The document has everything but the plots and the long tables.
    result = compare_write_document(output, DOCUMENT_HTML, out);
    for (size_t i = 0; i + 1 < output->run_count && !result; i++) {
        fputs("<div class=\"plots\">\n", out);
        for (int phase = COMPARE_PHASES - 1; phase >= 0 && !result; phase--) {
            char *svg = NULL;
            *error = '\0';
            result = draw(&output->comparisons[i], i, (enum compare_phase)phase, &svg, error, error_size);
            if (svg) {
                fprintf(out, "<figure><h3>%s: speed of B over A, cells in order</h3>\n%s\n<figcaption>Above 1, B is faster. The band is the threshold: what "
                             "lies inside it, interval and all, counts as the same. Follow a point to its row.</figcaption></figure>\n",
                        compare_phase_names[phase], svg);
            }
            free(svg);
        }
        fputs("</div>\n", out);
        if (!result)
            write_table(out, &output->comparisons[i], i);
    }
    fprintf(out, "</main>\n<div id=\"tip\" role=\"tooltip\" hidden></div>\n<script>\n%s</script>\n</body>\n</html>\n", report_js);
    if (!result && ferror(out))
        result = -EIO;
    return result;
}
