// SPDX-License-Identifier: MIT
// The verdicts of a gate: statistics of pairs, and nothing that runs or reads anything.
//
// Each block of the schedule gives, for every cell and phase, one figure of the base, one of the head and a second one of the base: fresh
// processes, one after the other, in an order that is random and reversed in the next block. The head and the geometric mean of both figures of
// the base are a pair; the base and the base again are an A/A pair, which says what the machine does by itself.
#ifndef LLMSWEEP_GATE_JUDGE_H
#define LLMSWEEP_GATE_JUDGE_H

#include "bench/compare/compare.h"

struct gate_series {
    const double *base, *head, *again; // (blocks), tokens/s; NAN where a process gave none
    size_t blocks;
};

struct gate_rules {
    double threshold; // a change below this share is of no practical interest
    double level;     // Holm-adjusted p must be below
    double screen;    // p, not adjusted, below which a figure of the first set is looked at again; 0: the first set decides alone
    uint64_t seed;    // of the bootstrap
    size_t resamples; // of the bootstrap
};

struct gate_judgement {
    size_t pairs;
    struct figure ratio; // head over the mean of both figures of the base, median of the pairs' ratios, 95% bootstrap interval
    double p, p_adjusted; // Wilcoxon's signed rank, Holm over all series
    double floor;         // |ratio − 1| that the A/A pairs' interval reaches
    double smallest_effect; // that would have been found four times in five
    bool candidate;       // beyond the threshold, and p below the screen: to be looked at again
    enum verdict verdict; // same, faster, slower, ambiguous
    char why[128];        // of ambiguous
};

// With fewer pairs that have both figures nothing is judged: Wilcoxon's p of n pairs is at least 2^(1−n).
enum { GATE_PAIRS_LEAST = 10 };
// Pairs that a family of `series` needs so that an effect seen in every one of them passes Holm at `level`, and three more.
size_t gate_pairs_needed(size_t series, double level);

// Judges all series together. -ENOMEM.
int gate_judge(const struct gate_series *series, size_t count, const struct gate_rules *rules, struct gate_judgement *judgements);
// Of a series whose verdict over both sets of pairs is faster or slower: it stays where the second set by itself says the same, else it becomes
// ambiguous. Since the second set is judged by itself, what the first let through costs time, and no false alarms.
void gate_confirm(struct gate_judgement *both, const struct gate_judgement *second);

#endif
