// SPDX-License-Identifier: MIT
// The page of a report: one HTML file that needs nothing else.
#ifndef LLMSWEEP_REPORT_PAGE_H
#define LLMSWEEP_REPORT_PAGE_H

#include "bench/report/findings.h"
#include "bench/report/plots.h"

struct report_page {
    const struct report_run *run;
    struct findings *findings;  // (models)
    struct report_plot *plots;  // (models, report_plot_count), then (report_kernel_plot_count)
};
void report_page_write(FILE *html, const struct report_page *page);

// Its parts.
void report_table_write(FILE *html, const struct report_run *run);       // all cells
void report_untimed_write(FILE *html, const struct report_run *run);     // what was skipped or failed, by reason
void report_uncounted_write(FILE *html, const struct report_run *run);   // counters without a value, by reason
void report_environment_write(FILE *html, const struct report_run *run); // run.json and topology.xml

#endif
