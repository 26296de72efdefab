// SPDX-License-Identifier: MIT
#include "bench/report/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/report/assets.h"
#include "bench/report/kernel_rows.h"
#include "bench/report/page.h"

static int write_error(const char *path, char *error, size_t error_size) {
    int code = errno ? errno : EIO;
    snprintf(error, error_size, "%s: %s", path, strerror(code));
    return -code;
}

static int make_folders(const char *report, char *error, size_t error_size) {
    char path[4096];
    snprintf(path, sizeof path, "%s/data", report);
    if ((mkdir(report, 0777) && errno != EEXIST) || (mkdir(path, 0777) && errno != EEXIST))
        return write_error(report, error, error_size);
    for (const struct report_asset *script = report_scripts; script->name; script++) {
        snprintf(path, sizeof path, "%s/data/%s", report, script->name);
        FILE *file = fopen(path, "wb");
        size_t bytes = (size_t)(script->end - script->begin);
        bool written = file && fwrite(script->begin, 1, bytes, file) == bytes;
        if ((file && fclose(file)) || !written)
            return write_error(path, error, error_size);
    }
    return 0;
}

// Plot number `index` of a model; from report_plot_count on, those of the kernels.
static int make_plot(const struct report_run *run, const char *report, int model, size_t index, struct report_plot *plot,
                     char *error, size_t error_size) {
    char draft[4200], path[4200];
    snprintf(draft, sizeof draft, "%s/data/plot.new", report);
    FILE *data = fopen(draft, "w");
    if (!data)
        return write_error(draft, error, error_size);
    int result = index < report_plot_count ? report_plot_prepare(run, model, index, plot, data)
                                           : report_kernels_prepare(run, index - report_plot_count, plot, data);
    if (fclose(data) || result)
        return write_error(draft, error, error_size);
    snprintf(path, sizeof path, "%s/data/%s.csv", report, plot->name);
    if (*plot->missing) {
        unlink(draft);
        return 0;
    }
    if (rename(draft, path))
        return write_error(path, error, error_size);
    return report_plot_draw(run, report, plot, error, error_size);
}

static int write_page(const struct report_page *page, const char *report, char *error, size_t error_size) {
    char draft[4200], path[4200];
    snprintf(draft, sizeof draft, "%s/index.html.new", report);
    snprintf(path, sizeof path, "%s/index.html", report);
    FILE *html = fopen(draft, "w");
    if (!html)
        return write_error(draft, error, error_size);
    report_page_write(html, page);
    bool bad = ferror(html);
    if (fclose(html) || bad || rename(draft, path)) {
        int result = write_error(path, error, error_size);
        unlink(draft);
        return result;
    }
    return 0;
}

static void print_findings(FILE *found, const struct report_page *page) {
    struct findings general;
    if (!found)
        return;
    if (!findings_run(page->run, &general))
        for (size_t i = 0; i < general.count; i++) {
            finding_plain(found, general.list[i].text);
            fputc('\n', found);
        }
    findings_free(&general);
    if (!findings_kernels(page->run, &general) && general.count) {
        fprintf(found, "\n%s. ", general.list[0].topic);
        finding_plain(found, general.list[0].text);
        fputc('\n', found);
    }
    findings_free(&general);
    for (size_t m = 0; m < page->run->model_count; m++) {
        fprintf(found, "\n%s\n", page->run->models[m].name);
        for (size_t i = 0; i < page->findings[m].count; i++) {
            fprintf(found, "  %s. ", page->findings[m].list[i].topic);
            finding_plain(found, page->findings[m].list[i].text);
            fputc('\n', found);
        }
    }
}

int report_render(const char *directory, const char *report, FILE *found, char *error, size_t error_size) {
    struct report_run run;
    struct report_page page = {.run = &run};
    char inside[4000];
    size_t plots = 0;
    int result = report_run_load(directory, &run, error, error_size);
    if (result)
        goto out;
    snprintf(inside, sizeof inside, "%s/report", directory);
    report = report ? report : inside;
    plots = run.model_count * report_plot_count + report_kernel_plot_count;
    page.findings = calloc(run.model_count + 1, sizeof *page.findings);
    page.plots = calloc(plots, sizeof *page.plots);
    result = page.findings && page.plots ? make_folders(report, error, error_size) : -ENOMEM;
    for (size_t m = 0; !result && m < run.model_count; m++)
        result = findings_model(&run, (int)m, &page.findings[m]);
    if (result == -ENOMEM)
        snprintf(error, error_size, "%s: not enough memory", directory);
    for (size_t i = 0; !result && i < plots; i++) {
        size_t of_models = run.model_count * report_plot_count;
        bool kernels = i >= of_models;
        result = make_plot(&run, report, kernels ? 0 : (int)(i / report_plot_count),
                           kernels ? report_plot_count + i - of_models : i % report_plot_count, &page.plots[i], error, error_size);
    }
    if (!result)
        result = write_page(&page, report, error, error_size);
    if (!result)
        print_findings(found, &page);
out:
    for (size_t i = 0; page.plots && i < plots; i++)
        report_plot_free(&page.plots[i]);
    for (size_t m = 0; page.findings && m < run.model_count; m++)
        findings_free(&page.findings[m]);
    free(page.plots);
    free(page.findings);
    report_run_free(&run);
    return result;
}
