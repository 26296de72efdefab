// SPDX-License-Identifier: MIT
// When to start counting samples and when to stop: calibration, warm-up and the stop rule. Knows durations, not what
// was timed.
//
// A cell is visited in several rounds; in each visit the caller adds the durations of timed calls, first to last, as
// long as sampler_add says so. The sampler discards the warm-up of each visit and counts it; it drops nothing else.
#ifndef LLMSWEEP_SAMPLER_H
#define LLMSWEEP_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "harness/stats.h"

struct sampler_options {
    double ci;          // stop when the half-width of the median's interval is at most this part of the median; 0.01
    double noisy;       // a wider one at the end marks the cell; 0.05
    double level;       // of the interval; 0.95
    size_t min_samples; // 10
    size_t max_samples; // 200
    double max_time;    // seconds in samples, warm-up not counted; 2
    size_t warmup_half; // warm-up compares the last so many samples with as many before them; 4
    size_t max_warmup;  // samples a visit; 64
    double max_warmup_time; // seconds a visit; 1
};
struct sampler_options sampler_defaults(void);
// -EINVAL with one line in error.
int sampler_check(const struct sampler_options *options, char *error, size_t error_size);

enum sampler_state {
    SAMPLER_WARMING,  // go on: this one was warm-up
    SAMPLER_SAMPLING, // go on: this one was counted
    SAMPLER_PAUSED,   // this visit has its samples; begin another visit later
    SAMPLER_DONE
};
enum sampler_stop { SAMPLER_STOP_NONE, SAMPLER_STOP_CI, SAMPLER_STOP_MAX_SAMPLES, SAMPLER_STOP_MAX_TIME };
// "", "ci", "samples", "time": the column `stop`.
const char *sampler_stop_name(enum sampler_stop stop);

struct sampler {
    struct sampler_options options;
    enum sampler_state state;
    enum sampler_stop stop;
    double *samples; // as they came (ns)
    double *sorted;  // the same in ascending order
    size_t count;
    size_t warmup;                    // samples discarded, all visits together
    bool still_drifting;              // a warm-up reached its limit before it settled
    double sampled_time, warmup_time; // seconds
    size_t visits;
    struct stats_interval median; // of the samples so far, ns
    double half_width;            // (hi − lo)/2 over the median; infinite while the interval does not reach the level
    bool is_noisy;                // half_width > options.noisy (meaningful once there are samples)
    // private: the visit under way
    bool warm;
    double *recent; // ring of the last 2·warmup_half warm-up samples
    size_t recent_count, visit_samples, visit_limit, capacity, next_look;
    double visit_warmup_time;
};

// Copies the options. -ENOMEM, -EINVAL as sampler_check.
int sampler_init(struct sampler *sampler, const struct sampler_options *options, char *error, size_t error_size);
void sampler_free(struct sampler *sampler);
// Begins a visit that counts at most `limit` samples (0 = as many as the stop rule wants) after its own warm-up; a
// visit may be left at any time by beginning another. -EALREADY when the sampler is done.
int sampler_visit(struct sampler *sampler, size_t limit);
// Adds a sample of `ns` nanoseconds (> 0) and says what to do next. -EDOM for a duration that is not positive and
// finite, -EINVAL outside a visit.
//
// Warm-up of a first visit ends when the newest half of the last 2·warmup_half samples is no longer different from the
// older half: their medians are within ci, or Mann–Whitney does not tell them apart (p > 0.1). In a later visit it also
// ends as soon as a sample (the second or a later one) falls inside the range of those counted before; in any visit at
// max_warmup (0 = no warm-up) or max_warmup_time. The last sample of the warm-up is not counted.
int sampler_add(struct sampler *sampler, double ns, enum sampler_state *state);

// How often a call of `call_ns` nanoseconds must be repeated inside one sample, so that the clock's cost stays below
// 0.1% of it; ≥ 1.
uint64_t sampler_repetitions(double call_ns);

// One visit with the clock around `call(context, repetitions)`: calibrates the repetitions where *repetitions is 0,
// warms up, samples. `each` (may be NULL) is told of every counted sample: ns of the whole sample and its start. What
// call returns (negative errno) ends it.
typedef int sampler_call(void *context, uint64_t repetitions);
typedef void sampler_each(void *context, double ns, uint64_t t_start);
int sampler_run(struct sampler *sampler, size_t limit, sampler_call *call, void *context, uint64_t *repetitions,
                sampler_each *each);

#endif
