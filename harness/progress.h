// SPDX-License-Identifier: MIT
// How far a run is: a bar that redraws itself on a terminal, plain lines now and then otherwise.
#ifndef LLMSWEEP_PROGRESS_H
#define LLMSWEEP_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct progress {
    FILE *out;     // NULL: silent
    bool terminal; // redraws; otherwise a line every `interval` seconds
    int width;     // of the terminal, columns
    double interval;
    double total, done; // work, in seconds as planned
    size_t cells, finished;
    double started, drawn; // clock, seconds
    bool bar_on_screen;
};

// total: planned seconds of all the work; cells: rows to come.
void progress_begin(struct progress *progress, FILE *out, double total, size_t cells);
// Work that is done now, and what is being done. Redraws at most ten times a second, whatever the number of calls.
void progress_step(struct progress *progress, double done, size_t finished, const char *what);
// Says the same at once, as when the stage within a cell changes (on a terminal only).
void progress_stage(struct progress *progress, const char *what);
// A message of its own line, above the bar.
void progress_note(struct progress *progress, const char *format, ...) __attribute__((format(printf, 2, 3)));
void progress_end(struct progress *progress);

// Seconds to go, by the share of the planned work that is done and the time that it took; negative while nothing can be told.
double progress_eta(double done, double total, double elapsed);
// The line itself: "[=====>    ] 41%  12/30 cells  0:42 left  prune=50% …", cut to width.
void progress_format(const struct progress *progress, double elapsed, const char *what, char *line, size_t size);

#endif
