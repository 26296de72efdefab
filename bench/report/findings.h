// SPDX-License-Identifier: MIT
// What a run found, in sentences that are computed from its cells and are true of them.
#ifndef LLMSWEEP_REPORT_FINDINGS_H
#define LLMSWEEP_REPORT_FINDINGS_H

#include <stdio.h>

#include "bench/report/run.h"

// A cell is named in a sentence by FINDING_CELL index FINDING_LABEL text FINDING_END: findings_plain and findings_html know it.
#define FINDING_CELL "\x01"
#define FINDING_LABEL "\x02"
#define FINDING_END "\x03"

struct finding {
    const char *topic; // "Fastest", "Pruning", …
    char *text;        // lines of sentences, UTF-8; lines that begin with "- " are the points of a list
};
struct findings {
    struct finding *list;
    size_t count;
};

// About the whole run: how many cells, of which status.
int findings_run(const struct report_run *run, struct findings *findings);
// About one model. -ENOMEM. The caller frees with findings_free.
int findings_model(const struct report_run *run, int model, struct findings *findings);
// The fastest timed cell of a model; `within`: of those surely inside the quality budget of 1% perplexity; `smallest`: at the smallest
// batch. NULL when there is none.
const struct report_cell *finding_best(const struct report_run *run, int model, bool within, bool smallest);
void findings_free(struct findings *findings);

// Writes a finding's text with links to the cells' rows, or with their labels only.
void finding_html(FILE *html, const struct report_run *run, const char *text);
void finding_plain(FILE *out, const char *text);

// a/b with a 95% interval from those of a and b, taken as independent and normal in the logarithm.
struct figure figure_ratio(struct figure a, struct figure b);

#endif
