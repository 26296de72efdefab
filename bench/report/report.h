// SPDX-License-Identifier: MIT
// Writes a run's report: RUN/report/index.html, one file that needs nothing else, and each plot as .svg, .png and .pdf beside it.
#ifndef LLMSWEEP_REPORT_H
#define LLMSWEEP_REPORT_H

#include <stdio.h>

// Renders the run in `directory` into the folder `report` (NULL: DIRECTORY/report), which is made, and writes what was found, as plain text, to `found` (may be NULL). A page that is there already is
// replaced only when the new one is whole. -ENOENT: no run there, or no gnuplot; -EINVAL: a broken file; -errno of writing.
// error gets one line.
int report_render(const char *directory, const char *report, FILE *found, char *error, size_t error_size);

#endif
