// SPDX-License-Identifier: MIT
// What `llmsweep run` says at its end: the best cells of each model and batch, and how the wall time was spent.
#ifndef LLMSWEEP_SUMMARY_H
#define LLMSWEEP_SUMMARY_H

#include "harness/runner.h"

// Reads cells.csv of the run and prints to stdout. -errno with a line.
int summary_print(const char *directory, const struct runner_result *result, char *error, size_t error_size);

#endif
