// SPDX-License-Identifier: MIT
// The speed of every cell over time: a CSV that is only ever appended to, keyed by machine, commit and cell, and the change points in its series.
#ifndef LLMSWEEP_HISTORY_H
#define LLMSWEEP_HISTORY_H

#include <stdio.h>

#include "bench/history/change_points.h"
#include "bench/report/run.h"

// Appends the timed cells of a run: one row for each cell and phase. *added rows. -EEXIST with a line when the file has this run already (same
// machine, commit and start); -EINVAL for a run that does not say its machine, or a file of other columns; -errno.
int history_add(const char *path, const struct report_run *run, size_t *added, char *error, size_t error_size);

struct history_series {
    const char *machine, *name; // name: "decode/model/…", as exports have it
    size_t count;
    const char **commits, **times; // (count), oldest first by time
    double *values, *lo, *hi;      // (count), tokens/s
    struct change_point *points;   // (point_count)
    size_t point_count;
};

struct history {
    struct history_series *series;
    size_t count;
    struct csv_table table;
};

// Reads the series whose name fits the shell pattern `filter` (NULL: all) of one machine (NULL: all), and finds their change points. -errno with a
// line. Free with history_free, after an error too.
int history_load(const char *path, const char *machine, const char *filter, const struct change_options *options, struct history *history, char *error, size_t error_size);
void history_free(struct history *history);

int history_write_text(const struct history *history, bool all, FILE *out); // change points, newest first; with all, series without any too
int history_write_html(const struct history *history, FILE *out); // the same as the inside of a page
int history_write_json(const struct history *history, FILE *out);
// A page of plots, change points marked and their commits named, and a table. -ENOENT without gnuplot, with a line.
int history_write_page(const struct history *history, FILE *out, char *error, size_t error_size);

#endif
