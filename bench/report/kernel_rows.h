// SPDX-License-Identifier: MIT
// The rows of kernels.csv, as plots and sentences use them.
#ifndef LLMSWEEP_REPORT_KERNEL_ROWS_H
#define LLMSWEEP_REPORT_KERNEL_ROWS_H

#include "bench/report/findings.h"

struct kernel_row {
    const char *name, *op, *isa, *shape, *provider, *arithmetic; // provider and arithmetic: "" in files of earlier versions
    size_t row;            // in run->kernel_table
    bool cold, memory_bound, noisy;
    double ns, lo, hi, gops, gbs, share; // share of the roof, 0..1
    double bandwidth, peak;              // 10⁹/s; NAN where the file has only the lower roof and it is the other one
};

// The rows that have a time and a share, in the file's order. NULL when out of memory or there is none (*count is 0). The caller frees.
struct kernel_row *kernel_rows(const struct report_run *run, size_t *count);
// A row's figures in a few lines, as a point of a plot shows them.
void kernel_row_figures(const struct kernel_row *row, char *text, size_t size);
// What single kernels reach, in sentences. Nothing without kernels.csv. -ENOMEM. The caller frees with findings_free.
int findings_kernels(const struct report_run *run, struct findings *findings);

#endif
