// SPDX-License-Identifier: MIT
// Runs by one property: what stands side by side are the values of a key (machine, threads, format …), and each line is a group of cells
// that agree in everything else. Where several cells of a group have one value (two threads as t2 and as tp2), the fastest stands for it.
#ifndef LLMSWEEP_COMPARE_BY_H
#define LLMSWEEP_COMPARE_BY_H

#include "bench/compare/compare.h"

enum { BY_KEYS = 4 }; // at most

struct by_options {
    const char *keys;    // "threads", "machine,threads"
    double *watts;       // (runs), NULL: not given
    double *cost;        // (runs), of an hour; NULL: not given
};

// One value of the key.
struct by_value {
    char name[160];
    size_t cells;          // groups in which it has a figure
    size_t common;         // groups in which the first value has one too
    double relative;       // geometric mean of the speeds over the first value's, in the common groups; NAN when there are none
    double per_core, per_watt, per_cost; // the same of tokens/s per core, tokens/J, tokens per unit of money, in their own unit over all its
                                         // groups (geometric means); NAN where not known
};

struct by_table {
    size_t run_count;
    const struct report_run *runs;
    struct by_value *values;
    size_t value_count;
    struct {
        char label[400];
        const struct report_cell **cells; // (values), NULL where the group has none
    } *groups;
    size_t group_count;
    char dropped[160]; // which other axes the key implies, so that groups do not differ in them
};

// -EINVAL with a line for a key that is not known, or when no cell is timed; -ENOMEM. Free with by_free.
int by_build(const struct report_run *runs, size_t run_count, const struct by_options *options, struct by_table *table, char *error,
             size_t error_size);
void by_free(struct by_table *table);

#endif
