// SPDX-License-Identifier: MIT
// Hardware and software event counts around a timed phase: the only part of the program that knows PAPI.
//
// Nothing of PAPI is touched before the first counters_open. Every event is probed by add, start and stop; nothing is believed
// because it is listed. Events that fit into the PMU together share a pass; the phase is run once per pass, so that no count is
// extrapolated. Hardware counts are checked against a loop of known length and marked implausible when they are > 10% off.
//
// Threads: PAPI counts the thread that starts an event set and no other, so each thread of a team has event sets of its own and
// a count is their sum. The team is OpenMP's: open, start, stop and close are called by its master outside a parallel region
// and enter one of `threads` threads themselves, for some microseconds. OpenMP keeps the threads of a team from one region to
// the next; where one was replaced since (another team size in between), its event sets are made anew at the next start.
#ifndef LLMSWEEP_COUNTERS_H
#define LLMSWEEP_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>

enum counter_status { COUNTER_OK, COUNTER_MULTIPLEXED, COUNTER_ABSENT, COUNTER_DENIED, COUNTER_IMPLAUSIBLE };
const char *counter_status_name(enum counter_status status); // "ok", "multiplexed", "absent", "denied", "implausible"

struct counter {
    char name[48];   // what was asked for: one of the names below, or any PAPI event name
    char event[64];  // the PAPI event that counts it; empty when none does
    bool hardware;
    enum counter_status status;
    char reason[160]; // why the status is not ok, in one line; empty when it is
    int pass;        // in which pass it counts; -1 when it does not
    double value;    // of the last start–stop of that pass, summed over threads; NAN before, and when absent or denied;
                     // an implausible count is given, for whoever wants to know how far off it is
};

// Length of the loop that hardware counts are checked against, in instructions.
enum { COUNTERS_KNOWN_INSTRUCTIONS = 64 * 50000 };

struct counters;
// events: "default", "none", or names separated by commas. Names that choose the best PAPI event of the machine: cycles
// instructions l1d_misses l2_misses l3_misses branch_misses stalled_cycles task_clock (ns) page_faults context_switches
// cpu_migrations; "default" is all of these. Any other word is taken as a PAPI event name (preset or native).
// max_passes: 0 = as many as the events need; otherwise events that do not fit are multiplexed into those passes.
// threads: size of the OpenMP team that is counted, 1 = the calling thread alone.
// An event that cannot be counted is no error: it is in the list with its status and reason. 0, or -EINVAL (an empty name,
// threads < 1), -EBUSY inside a parallel region, -ENOMEM, with a line in error. Costs some 20 ms, most of it PAPI's own.
// The caller frees with counters_close, from the same thread.
int counters_open(const char *events, int threads, int max_passes, struct counters **counters, char *error,
                  size_t error_size);
void counters_close(struct counters *counters);

// How often the phase has to run for every event to be counted once; 0 when nothing can be counted.
int counters_passes(const struct counters *counters);
// Starts and stops the events of one pass, 0 <= pass < counters_passes. A set that fails to start or stop makes its events
// absent from then on, with the reason; the others count on. -EINVAL for a wrong pass, -EBUSY for a start after a start, a stop
// of what was not started, or a call inside a parallel region. One opened set at a time may be started.
int counters_start(struct counters *counters, int pass);
int counters_stop(struct counters *counters, int pass);
// Runs phase(context) once per pass between start and stop. The first non-zero return of phase ends it and is returned.
int counters_around(struct counters *counters, int (*phase)(void *context), void *context);

size_t counters_count(const struct counters *counters);
const struct counter *counters_get(const struct counters *counters, size_t index);
// The counter of that name, or NULL.
const struct counter *counters_find(const struct counters *counters, const char *name);
// instructions / cycles of the last passes; NAN unless both are ok or multiplexed.
double counters_ipc(const struct counters *counters);
// One line about the PMU for run.json: PAPI's version, hardware counters that it claims, events that counted.
void counters_describe(const struct counters *counters, char *text, size_t size);

#endif
