// SPDX-License-Identifier: MIT
// The plots of a report: what each needs from the run, the small file that it is drawn from, and the picture.
#ifndef LLMSWEEP_REPORT_PLOTS_H
#define LLMSWEEP_REPORT_PLOTS_H

#include <stdio.h>

#include "bench/report/run.h"

struct report_plot {
    const char *script; // scripts/plot/<script>.gp
    const char *title, *look; // what the reader should look for
    char name[96];      // of its files: report/<name>.svg .png .pdf, report/data/<name>.csv
    char caption[640];  // what is held fixed, what was left out
    char missing[256];  // why there is no picture; "" when there is one
    char variables[320]; // gnuplot assignments for the script
    char *svg;          // to be put into HTML, NULL before report_plot_draw
};

// Which plots there are: report_plot_count of them for every model, and report_kernel_plot_count of the kernels once a run.
extern const size_t report_plot_count, report_kernel_plot_count;

// Writes the data of plot `index` of a model and fills in everything but svg. 0, or -errno with a line in error.
// data is the open data file; nothing is written to it when the plot has nothing to show (plot->missing says why).
int report_plot_prepare(const struct report_run *run, int model, size_t index, struct report_plot *plot, FILE *data);
int report_kernels_prepare(const struct report_run *run, size_t index, struct report_plot *plot, FILE *data);

// Runs gnuplot in `directory` (the report's folder, with data/<name>.csv and data/<script>.gp in it): <name>.svg, .png and .pdf;
// reads the svg back made fit for HTML. -ENOENT when there is no gnuplot. -EIO when it fails; error has its first line.
int report_plot_draw(const struct report_run *run, const char *directory, struct report_plot *plot, char *error,
                     size_t error_size);
void report_plot_free(struct report_plot *plot);

// Turns a picture of gnuplot's into part of a page: ids get `prefix`, colours become the page's variables, points become links
// to their cells' rows with the cell's figures as title. svg is malloc'ed text; the caller frees the result, NULL when out of memory.
char *report_svg_inline(const struct report_run *run, const char *svg, const char *prefix, const char *title);

// The cell's figures in a few lines, as a plot's point shows them. The anchor is the id of the cell's row in the page.
void report_cell_figures(const struct report_run *run, const struct report_cell *cell, char *text, size_t size);
void report_cell_anchor(const struct report_cell *cell, char *text, size_t size);

#endif
