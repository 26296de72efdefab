// SPDX-License-Identifier: MIT
// Which events stand for which name, and what each must count when it is provoked: harness/counters.c without PAPI.
#ifndef LLMSWEEP_COUNTERS_EVENTS_H
#define LLMSWEEP_COUNTERS_EVENTS_H

#include <stdbool.h>
#include <stddef.h>

// The index-th name of the default set, NULL behind the last.
const char *event_default(size_t index);
// PAPI events that can stand for the name, the best first, NULL behind the last; NULL when it is not one of ours.
const char *const *event_candidates(const char *name);
// False for the kernel's software events, by our names or PAPI's.
bool event_is_hardware(const char *name);

struct event_check {
    const char *name;
    // Does something that the event counts, on the calling thread, and returns how often; NAN where that cannot be done here.
    double (*provoke)(void);
    const char *what; // "counted 3 for 10 <what>"
    bool exact;       // too many are wrong as well as too few
};
// NULL when there is none for the name.
const struct event_check *event_check(const char *name);

#endif
