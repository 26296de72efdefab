// SPDX-License-Identifier: MIT
#include "bench/compress/schedule.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

static bool is_ratio(double x) {
    return x >= 0 && x <= 1;
}

int schedule_check(const struct prune_schedule *schedule, char *error, size_t error_size) {
    const char *wrong = NULL;
    bool polynomial = schedule->kind == SCHEDULE_POLYNOMIAL;
    if (!is_ratio(schedule->final) || (polynomial && !is_ratio(schedule->initial)))
        wrong = "a ratio is outside 0..1";
    else if (schedule->begin < 0 || (schedule->end != -1 && schedule->end < schedule->begin))
        wrong = "it ends before it begins";
    else if (polynomial && schedule->end <= schedule->begin)
        wrong = "a polynomial decay needs an end behind its begin";
    else if (polynomial && !(schedule->power > 0))
        wrong = "the power is not above 0";
    else if (schedule->frequency < 1)
        wrong = "the frequency is below 1 step";
    if (wrong)
        snprintf(error, error_size, "pruning schedule: %s", wrong);
    return wrong ? -EINVAL : 0;
}

double schedule_ratio(const struct prune_schedule *schedule, long step) {
    if (schedule->kind == SCHEDULE_CONSTANT)
        return schedule->final;
    double progress = (double)(step - schedule->begin) / (double)(schedule->end - schedule->begin);
    progress = fmin(1, fmax(0, progress));
    return schedule->final + (schedule->initial - schedule->final) * pow(1 - progress, schedule->power);
}

bool schedule_prunes(const struct prune_schedule *schedule, long step) {
    return step >= schedule->begin && (schedule->end == -1 || step <= schedule->end) &&
           (step - schedule->begin) % schedule->frequency == 0;
}
