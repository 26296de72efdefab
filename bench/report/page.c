// SPDX-License-Identifier: MIT
#include "bench/report/page.h"
#include "bench/report/kernel_rows.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "bench/report/assets.h"
#include "bench/report/text.h"

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static const char *json_text(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void write_subtitle(FILE *html, const struct report_run *run) {
    const json_t *machine = json_object_get(run->json, "machine"), *program = json_object_get(run->json, "program");
    const char *started = json_text(run->json, "started"), *host = json_text(machine, "host");
    const char *cpu = json_text(machine, "cpu_model"), *commit = json_text(program, "commit");
    if (!*cpu)
        cpu = json_text(machine, "cpu");
    const char *parts[] = {cpu, host, started, commit};
    const char *before[] = {"", "host ", "started ", "commit "};
    fputs("<p class=\"soft\">", html);
    for (size_t i = 0, written = 0; i < sizeof parts / sizeof *parts; i++)
        if (*parts[i]) {
            fprintf(html, "%s%s", written++ ? " · " : "", before[i]);
            html_text(html, parts[i]);
        }
    fputs("</p>\n", html);
    if (run->json && !json_object_get(run->json, "finished"))
        fputs("<p class=\"warn\">This run was interrupted: what is here is what it had finished by then.</p>\n", html);
}

static void write_findings(FILE *html, const struct report_run *run, const struct findings *findings) {
    fputs("<dl class=\"findings\">\n", html);
    for (size_t i = 0; i < findings->count; i++) {
        fputs("<div><dt>", html);
        html_text(html, findings->list[i].topic);
        fputs("</dt><dd>", html);
        finding_html(html, run, findings->list[i].text);
        fputs("</dd></div>\n", html);
    }
    fputs("</dl>\n", html);
}

static void write_figure(FILE *html, const struct report_plot *plot) {
    fprintf(html, "<figure id=\"plot-%s\">\n<h3>", plot->name);
    html_text(html, plot->title);
    fprintf(html, "</h3>\n%s\n<figcaption>", plot->svg);
    html_text(html, plot->look);
    if (*plot->caption) {
        fputs(" <span class=\"soft\">", html);
        html_text(html, plot->caption);
        fputs("</span>", html);
    }
    fprintf(html, " <span class=\"files\"><a href=\"%s.png\">PNG</a> <a href=\"%s.pdf\">PDF</a> <a href=\"data/%s.csv\">data</a></span>",
            plot->name, plot->name, plot->name);
    fputs("</figcaption>\n</figure>\n", html);
}

static void write_plots(FILE *html, const struct report_plot *plots, size_t count) {
    size_t left_out = 0;
    fputs("<div class=\"plots\">\n", html);
    for (size_t i = 0; i < count; i++)
        if (plots[i].svg)
            write_figure(html, &plots[i]);
        else
            left_out++;
    fputs("</div>\n", html);
    if (!left_out)
        return;
    fputs("<p class=\"soft left-out\">Left out: ", html);
    for (size_t i = 0, written = 0; i < count; i++)
        if (!plots[i].svg) {
            fputs(written++ ? "; " : "", html);
            html_text(html, plots[i].script);
            fputs(" (", html);
            html_text(html, plots[i].missing);
            fputs(")", html);
        }
    fputs(".</p>\n", html);
}

// The answers that most people come for, in large figures.
static void write_tile(FILE *html, const struct report_run *run, const char *what, const struct report_cell *cell) {
    char number[64], low[64], label[512], anchor[96];
    report_cell_label(run, cell, label, sizeof label);
    report_cell_anchor(cell, anchor, sizeof anchor);
    fprintf(html, "<a class=\"tile\" href=\"#%s\"><span>%s</span><strong>%s <small>tokens/s</small></strong><span class=\"soft\">",
            anchor, what, number_text(cell->speed.value, number, sizeof number));
    html_text(html, label);
    if (!isnan(cell->dlnppl))
        fprintf(html, "<br>%s perplexity", cell->dlnppl == 0 ? "reference" : change_text(exp(cell->dlnppl), number, sizeof number));
    if (!strcmp(cell->status, "noisy"))
        fprintf(html, "<br><span class=\"warn\">noisy: %s to %s</span>", number_text(cell->speed.lo, low, sizeof low),
                number_text(cell->speed.hi, number, sizeof number));
    fputs("</span></a>\n", html);
}

static void write_tiles(FILE *html, const struct report_run *run, int model) {
    static const char *const names[] = {"Fastest", "Fastest within 1% of perplexity", "One sequence at a time",
                                        "One sequence, within 1%"};
    fputs("<div class=\"tiles\">\n", html);
    for (int i = 0; i < 4; i++) {
        bool within = i & 1, smallest = i & 2;
        const struct report_cell *cell = finding_best(run, model, within, smallest);
        if (cell && (!within || run->models[model].quality) &&
            (!smallest || (cell->batch == 1 && report_axis_varies(run, model, AXIS_BATCH))))
            write_tile(html, run, names[i], cell);
    }
    fputs("</div>\n", html);
}

static void write_model(FILE *html, const struct report_page *page, size_t model) {
    const struct report_run *run = page->run;
    fprintf(html, "<section id=\"model-%zu\">\n<h2>", model + 1);
    html_text(html, *run->models[model].name ? run->models[model].name : "unnamed model");
    fputs("</h2>\n", html);
    write_tiles(html, run, (int)model);
    write_findings(html, run, &page->findings[model]);
    write_plots(html, page->plots + model * report_plot_count, report_plot_count);
    fputs("</section>\n", html);
}

static void write_navigation(FILE *html, const struct report_run *run) {
    fputs("<nav aria-label=\"Sections\">", html);
    for (size_t m = 0; m < run->model_count; m++) {
        fprintf(html, "<a href=\"#model-%zu\">", m + 1);
        html_text(html, *run->models[m].name ? run->models[m].name : "unnamed model");
        fputs("</a> ", html);
    }
    fputs("<a href=\"#machine\">Kernels and counters</a> <a href=\"#untimed\">Not timed</a> <a href=\"#cells\">All cells</a> "
          "<a href=\"#environment\">Environment</a></nav>\n", html);
}

void report_page_write(FILE *html, const struct report_page *page) {
    const struct report_run *run = page->run;
    struct findings general;
    fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n<title>", html);
    html_text(html, base_name(run->directory));
    fprintf(html, " – llmsweep</title>\n<style>\n%s</style>\n</head>\n<body>\n<header>\n<h1>", report_css);
    html_text(html, base_name(run->directory));
    fputs("</h1>\n", html);
    write_subtitle(html, run);
    if (!findings_run(run, &general)) {
        fputs("<p>", html);
        for (size_t i = 0; i < general.count; i++)
            finding_html(html, run, general.list[i].text);
        fputs(" Figures are medians; what stands in brackets behind them is their 95% interval. Hover or tap a point for its cell, "
              "follow it to its row.</p>\n", html);
    }
    findings_free(&general);
    write_navigation(html, run);
    fputs("</header>\n<main>\n", html);
    for (size_t m = 0; m < run->model_count; m++)
        write_model(html, page, m);
    fputs("<section id=\"machine\">\n<h2>Kernels and counters</h2>\n", html);
    if (!findings_kernels(run, &general) && general.count)
        write_findings(html, run, &general);
    findings_free(&general);
    write_plots(html, page->plots + run->model_count * report_plot_count, report_kernel_plot_count);
    report_uncounted_write(html, run);
    fputs("</section>\n<section id=\"untimed\">\n<h2>Not timed, and why</h2>\n", html);
    report_untimed_write(html, run);
    fputs("</section>\n<section id=\"cells\">\n<h2>All cells</h2>\n", html);
    report_table_write(html, run);
    fputs("</section>\n<section id=\"environment\">\n<h2>Environment</h2>\n", html);
    report_environment_write(html, run);
    fprintf(html, "</section>\n</main>\n<div id=\"tip\" role=\"tooltip\" hidden></div>\n<script>\n%s</script>\n</body>\n</html>\n", report_js);
}
