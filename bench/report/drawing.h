// SPDX-License-Identifier: MIT
// One plot for a page, drawn in a folder of its own under /tmp that is gone afterwards.
#ifndef LLMSWEEP_REPORT_DRAWING_H
#define LLMSWEEP_REPORT_DRAWING_H

#include "bench/report/plots.h"

struct drawing {
    char folder[40];
    const char *script; // scripts/plot/<script>.gp
    char name[64];
    FILE *data;         // the caller writes what the script reads
};

// -EIO with a line when there is no room. Always followed by drawing_end.
int drawing_begin(struct drawing *drawing, const char *script, const char *name, char *error, size_t error_size);
// Draws unless `failed` says that the data could not be written, and cleans up. *svg is malloc'ed, NULL after an error. run: whose cells the points
// lead to, NULL where there are none. -ENOENT without gnuplot.
int drawing_end(struct drawing *drawing, const struct report_run *run, const char *title, const char *variables, int failed, char **svg, char *error, size_t error_size);

#endif
