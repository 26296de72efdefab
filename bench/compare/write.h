// SPDX-License-Identifier: MIT
// What a comparison says, in the forms that people and programs read.
#ifndef LLMSWEEP_COMPARE_WRITE_H
#define LLMSWEEP_COMPARE_WRITE_H

#include <stdio.h>

#include "bench/compare/by.h"
#include "bench/compare/document.h"

struct compare_output {
    const struct report_run *runs; // (run_count); each after the first is compared with the first
    size_t run_count;
    const struct comparison *comparisons; // (run_count − 1)
    const struct by_table *by;            // NULL: not asked for
    bool all;                             // lists every cell; otherwise those that changed
};

// All return 0, -ENOMEM, -EIO; a page also -ENOENT (no gnuplot) and what drawing may return, with a line.
int compare_write_document(const struct compare_output *output, enum document_form form, FILE *out);
int compare_write_csv(const struct compare_output *output, FILE *out);  // a line for each cell and phase
int compare_write_json(const struct compare_output *output, FILE *out);
int compare_write_page(const struct compare_output *output, FILE *out, char *error, size_t error_size); // HTML that needs nothing else

// "1.03× (1.01–1.05)"; "–" for NAN.
char *compare_ratio_text(struct figure ratio, char *text, size_t size);
// "+1.2% (+0.8% to +1.6%)" of a difference of ln perplexity; "the same" for exactly 0; "" for NAN.
char *compare_quality_text(struct figure dlnppl, char *text, size_t size);

#endif
