// SPDX-License-Identifier: MIT
// A history as one HTML file: the change points, then a small plot of each series.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/history/history.h"
#include "bench/report/assets.h"
#include "bench/report/drawing.h"
#include "bench/report/text.h"

enum { PLOTS = 60 }; // more would make the page too heavy: those with change points come first

static int write_data(const struct history_series *series, FILE *data) {
    fputs("series\n", data);
    for (size_t i = 0; i < series->count; i++)
        fprintf(data, "%zu,%.9g,%.9g,%.9g\n", i + 1, series->values[i], series->lo[i], series->hi[i]);
    // Levels between the change points, each over its own measurements.
    for (size_t p = 0; p <= series->point_count; p++) {
        size_t begin = p ? series->points[p - 1].index : 0, end = p < series->point_count ? series->points[p].index : series->count;
        double sum = 0;
        for (size_t i = begin; i < end; i++)
            sum += series->values[i];
        fprintf(data, "\n\nlevel\n%g,%.9g\n%g,%.9g\n", (double)begin + 0.5, sum / (double)(end - begin), (double)end + 0.5, sum / (double)(end - begin));
    }
    for (size_t p = 0; p < series->point_count; p++) {
        char commit[16], plain[32];
        const struct change_point *point = &series->points[p];
        snprintf(commit, sizeof commit, "%.12s", series->commits[point->index]);
        plain_text(commit, plain, sizeof plain);
        fprintf(data, "\n\npoint\n%g,%.9g,%s\n", (double)point->index + 0.5, point->after > point->before ? point->after : point->before, plain);
    }
    return ferror(data) ? -EIO : 0;
}

static int write_series(const struct history_series *series, size_t number, FILE *out, char *error, size_t error_size) {
    struct drawing drawing;
    char name[40], variables[80];
    snprintf(name, sizeof name, "history-%zu", number);
    snprintf(variables, sizeof variables, "levels = %zu; points = %zu", series->point_count + 1, series->point_count);
    int result = drawing_begin(&drawing, "history", name, error, error_size);
    if (!result)
        result = write_data(series, drawing.data);
    char *svg = NULL;
    result = drawing_end(&drawing, NULL, series->name, variables, result, &svg, error, error_size);
    if (result)
        return result;
    fputs("<figure><h3>", out);
    html_text(out, series->name);
    fputs("</h3>\n", out);
    fputs(svg, out);
    fputs("\n<figcaption>", out);
    html_text(out, series->machine);
    fprintf(out, ", %zu measurements, from ", series->count);
    html_text(out, series->times[0]);
    fputs(" to ", out);
    html_text(out, series->times[series->count - 1]);
    for (size_t p = 0; p < series->point_count; p++) {
        const struct change_point *point = &series->points[p];
        char change[64];
        fprintf(out, "%s", p ? "; " : ". ");
        html_text(out, series->commits[point->index]);
        fprintf(out, ": %s%s", change_text(point->after / point->before, change, sizeof change), point->drift ? " (drift)" : "");
    }
    fputs("</figcaption></figure>\n", out);
    free(svg);
    return 0;
}

int history_write_page(const struct history *history, FILE *out, char *error, size_t error_size) {
    int result = 0;
    size_t drawn = 0;
    fprintf(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                 "<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n<title>History – llmsweep</title>\n<style>\n%s</style>\n</head>\n"
                 "<body>\n<main class=\"compare\">\n<h1>History</h1>\n", report_css);
    result = history_write_html(history, out);
    fputs("<div class=\"plots\">\n", out);
    for (int with = 1; with >= 0; with--)
        for (size_t s = 0; s < history->count && !result && drawn < PLOTS; s++)
            if ((history->series[s].point_count > 0) == with)
                result = write_series(&history->series[s], drawn++, out, error, error_size);
    fputs("</div>\n", out);
    if (!result && drawn < history->count)
        fprintf(out, "<p class=\"soft\">%zu more series are not drawn: choose with --filter.</p>\n", history->count - drawn);
    fprintf(out, "</main>\n<div id=\"tip\" role=\"tooltip\" hidden></div>\n<script>\n%s</script>\n</body>\n</html>\n", report_js);
    return result ? result : ferror(out) ? -EIO : 0;
}
