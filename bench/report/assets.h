// SPDX-License-Identifier: MIT
// The files that a report is made with, carried inside the program so that it works from any folder.
#ifndef LLMSWEEP_REPORT_ASSETS_H
#define LLMSWEEP_REPORT_ASSETS_H

#include <stddef.h>

struct report_asset {
    const char *name; // "style.gp", "prune.gp", …
    const char *begin, *end;
};
extern const struct report_asset report_scripts[]; // of gnuplot, ends with a NULL name
extern const char report_css[], report_js[];       // NUL-terminated

#endif
