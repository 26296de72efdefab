// SPDX-License-Identifier: MIT
// What the plots' writers share: choosing cells, and the form of the data files.
//
// A data file is blocks of comma-separated lines, two empty lines between blocks; the first line of a block is its name. Absent
// figures are NaN. Text is cut to plain_text(), so that gnuplot sees nothing that it could take for a command.
#ifndef LLMSWEEP_REPORT_DRAFT_H
#define LLMSWEEP_REPORT_DRAFT_H

#include <stdio.h>

#include "bench/report/plots.h"

enum { ALL_AXES = (1 << AXIS_COUNT) - 1, DRAFT_SERIES = 8 }; // more series than that can't be told apart

struct draft {
    const struct report_run *run;
    int model;
    struct report_plot *plot;
    FILE *data;
};

void draft_leave_out(struct draft *d, const char *why);
bool draft_unpruned(const struct report_cell *cell);
bool draft_pruned(const struct report_cell *cell);

void draft_write_name(FILE *data, const char *name);
void draft_write_label(FILE *data, size_t position, const char *label); // a line: position, label
void draft_end_block(FILE *data);
void draft_write_values(FILE *data, const double *values, size_t count);
#define DRAFT_WRITE(data, ...)                                                                                                   \
    draft_write_values(data, (const double[]){__VA_ARGS__}, sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

// Perplexity with the paired interval, which is the narrower one, where the run has it.
struct figure draft_perplexity(const struct report_cell *cell);

void draft_add_variable(struct draft *d, const char *assignment);
// Sentences of the caption.
void draft_caption(struct draft *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
void draft_fixed_caption(struct draft *d, const struct report_cell *cell, unsigned fixed);
void draft_note_quality(struct draft *d, bool quality);
void draft_note_series(struct draft *d, size_t series);

// The timed cells that match `slice` in all but free_axes and pass `use`, sorted by series, then by position. NULL: out of memory.
// The caller frees. slice NULL gives none.
const struct report_cell **draft_gather(struct draft *d, const struct report_cell *slice, unsigned free_axes,
                                        bool (*use)(const struct report_cell *), enum report_axis series,
                                        enum report_axis position, size_t *count);
size_t draft_distinct(const struct report_cell **cells, size_t count, enum report_axis axis);
// The distinct values of an axis in their order; positions[i] is the place of cells[i] among them. first has room for count.
size_t draft_place(const struct report_cell **cells, size_t count, enum report_axis axis, const struct report_cell **first,
                   size_t *positions);
bool draft_some_quality(const struct report_cell **cells, size_t count);

// The writers.
void plot_prune(struct draft *d);
void plot_bits(struct draft *d);
void plot_batch(struct draft *d);
void plot_layout(struct draft *d);
void plot_pareto(struct draft *d);
void plot_heatmap(struct draft *d);
void plot_roofline(struct draft *d);
void plot_counters(struct draft *d);
void plot_kernels(struct draft *d);
void plot_kernel_roofline(struct draft *d);

#endif
