// SPDX-License-Identifier: MIT
// The parts that sentences about a run are made of. A finding is lines of text; a line that begins with "- " is a point of a list.
#ifndef LLMSWEEP_REPORT_SAY_H
#define LLMSWEEP_REPORT_SAY_H

#include "bench/report/findings.h"

struct subject {
    const struct report_run *run;
    int model;
    FILE *out;
};

// Each writes what it has to say about one model, or nothing.
void say_quantization(const struct subject *s);
void say_pruning(const struct subject *s);
void say_no_gain(const struct subject *s);
void say_batch(const struct subject *s);
void say_layout(const struct subject *s);

void say_mention(FILE *out, const struct report_run *run, const struct report_cell *cell);
void say_number(FILE *out, double value);
void say_speed(FILE *out, struct figure speed);                       // "1 234 tokens/s (1 220–1 250)"
void say_ratio(FILE *out, struct figure ratio);                       // "2.34× (2.30–2.38)"
void say_quality(FILE *out, const struct report_cell *cell);          // "+3.1% perplexity (+2.9% to +3.3%)"
bool say_belongs(const struct subject *s, const struct report_cell *cell); // of this model, and timed
bool say_unpruned(const struct report_cell *cell);
bool say_pruned(const struct report_cell *cell);
// The timed cell that `use` allows and that agrees with `cell` in all but the axes `except`; of several the one with the most bits.
const struct report_cell *say_find_match(const struct report_run *run, const struct report_cell *cell, unsigned except,
                                         bool (*use)(const struct report_cell *cell));

#endif
