// SPDX-License-Identifier: MIT
// How the pruning ratio grows over the steps of a training run.
#ifndef LLMSWEEP_SCHEDULE_H
#define LLMSWEEP_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>

enum schedule_kind { SCHEDULE_CONSTANT, SCHEDULE_POLYNOMIAL };

struct prune_schedule {
    enum schedule_kind kind;
    double initial, final; // ratios; a constant schedule has the final one throughout
    long begin, end;       // steps, both included; end -1 = never ends (constant only)
    double power;          // 3
    long frequency;        // prunes every so many steps from begin on; 100
};

// -EINVAL with one line in error: ratios outside 0..1, end before begin, a frequency below 1, …
int schedule_check(const struct prune_schedule *schedule, char *error, size_t error_size);
// s = s_f + (s_i − s_f)·(1 − p)^power with p = (step − begin)/(end − begin) clipped to 0..1 (Zhu and Gupta 2017, eq.
// 1).
double schedule_ratio(const struct prune_schedule *schedule, long step);
// True in a step of [begin, end] that is a whole number of periods behind begin.
bool schedule_prunes(const struct prune_schedule *schedule, long step);

#endif
