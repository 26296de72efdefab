// SPDX-License-Identifier: MIT
// A worker's timed samples of one cell: warm-up, the run that counts, samples until the stop rule or this visit's share is met.
#include <jansson.h>
#include <math.h>

#include "harness/clock.h"
#include "harness/comm.h"
#include "harness/worker_state.h"

static void keep_sample(struct worker *worker, struct worker_visit *visit, const struct sample *sample) {
    json_t *row = json_array();
    for (int phase = 0; phase < worker->workload->phase_count; phase++) {
        json_array_append_new(row, json_real(clock_seconds(worker->epoch, sample->phase[phase].start_ns)));
        json_array_append_new(row, json_integer((json_int_t)sample->phase[phase].ns));
        json_array_append_new(row, json_integer((json_int_t)sample->phase[phase].work));
    }
    json_array_append_new(visit->samples, row);
    for (size_t i = 0; i < sample->steps; i++)
        json_array_append_new(visit->steps, json_integer((json_int_t)sample->step_ns[i]));
    visit->sampled++;
}

// Rank 0's verdict after each sample: whether there is another. A visit that is not the last one ends at its share of the samples or of
// the time, or where the interval is narrow enough; the last one ends by the stop rule.
static bool go_on(struct worker *worker, struct worker_visit *visit, struct sampler *sampler, const json_t *command,
                  const struct sample *sample, enum sampler_state *before) {
    double ns = 0;
    for (int phase = 0; phase < worker->workload->phase_count; phase++)
        ns += (double)sample->phase[phase].ns;
    enum sampler_state state = *before;
    const json_t *said = json_object_get(command, "sampling");
    bool final = json_is_true(json_object_get(command, "final"));
    double rounds = json_number_value(json_object_get(command, "rounds")), time = json_number_value(json_object_get(said, "max_time"));
    // The time ends a cell in its last visit only, and not before it has its fewest samples.
    sampler->options.max_time = final && sampler->count + 1 >= sampler->options.min_samples ? time : 1e9;
    if (sampler_add(sampler, ns, &state))
        return false;
    if (state == SAMPLER_WARMING) {
        visit->warmup++;
        visit->warmup_seconds += ns / 1e9;
        return true;
    }
    keep_sample(worker, visit, sample);
    visit->sampled_seconds += ns / 1e9;
    *before = state;
    if (state != SAMPLER_SAMPLING) {
        visit->stop = state == SAMPLER_DONE ? sampler_stop_name(sampler->stop) : "";
        return false;
    }
    double least = ceil(json_number_value(json_object_get(said, "min_samples")) / rounds);
    bool narrow = sampler->half_width <= sampler->options.ci; // infinite below six samples
    return final || (double)visit->sampled < least || (visit->sampled_seconds < time / rounds && !narrow);
}

// A pass that counts is a run like any other, which is not timed: it serves as one of the warm-up. It comes second, when memory was
// touched for the first time, or first where one run is all the warm-up that there is time for.
int worker_count_as_warmup(struct worker *worker, struct worker_visit *visit, struct sampler *sampler, const json_t *command, char *error,
                           size_t error_size) {
    double ns = 0;
    uint64_t start = clock_now();
    int result = worker_agree(worker, worker_count(worker, command, &visit->counted, &ns, error, error_size), error, error_size);
    enum sampler_state state;
    visit->has_counted = true;
    if (!result && worker->context.rank == 0 && ns > 0 && sampler->state == SAMPLER_WARMING && !sampler->warm) {
        result = sampler_add(sampler, ns, &state);
        visit->warmup++;
        visit->warmup_seconds += ns / 1e9;
    } else
        ns = 0;
    visit->counting_seconds += clock_seconds(start, clock_now()) - ns / 1e9;
    return result;
}

int worker_take_samples(struct worker *worker, struct worker_visit *visit, struct sampler *sampler, const json_t *command, char *error,
                        size_t error_size) {
    const json_t *said = json_object_get(command, "sampling");
    bool more = true, final = json_is_true(json_object_get(command, "final"));
    bool long_samples = sampler->count && sampler->median.estimate / 1e9 >= json_number_value(json_object_get(said, "warmup_time"));
    int result = 0, counting_run = 1;
    enum sampler_state state = SAMPLER_WARMING;
    // The sampler's warm-up is at least one sample; a spec may want more.
    int warmup = (int)json_number_value(json_object_get(said, "warmup_min")) - 1;
    if (long_samples)
        counting_run = 0;
    comm_broadcast(worker->context.world, &counting_run, sizeof counting_run, 0);
    worker_say_doing(worker, "sampling");
    for (int run = 0; more && !result; run++) {
        struct sample sample = {0};
        if (final && run == counting_run) {
            result = worker_count_as_warmup(worker, visit, sampler, command, error, error_size);
            continue;
        }
        result = worker_agree(worker, worker->workload->sample(worker->state, NULL, &sample, error, error_size), error, error_size);
        if (result)
            break;
        if (worker->context.rank == 0) {
            if (warmup-- > 0) {
                visit->warmup++;
                for (int phase = 0; phase < worker->workload->phase_count; phase++)
                    visit->warmup_seconds += (double)sample.phase[phase].ns / 1e9;
            } else
                more = go_on(worker, visit, sampler, command, &sample, &state);
        }
        comm_broadcast(worker->context.world, &more, sizeof more, 0);
    }
    return result;
}
