// SPDX-License-Identifier: MIT
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/comm.h"
#include "harness/counters.h"
#include "harness/worker_state.h"

// ---------------------------------------------------------------------------------------------------------------------
// Counters: one pass after the other, each a run of the cell that is not timed.

struct counting {
    struct counters *counters;
    int pass;
    double *value;       // (phases, events)
    uint64_t *work;      // (phases)
    int error;
};

static void begin_phase(void *context, int phase) {
    struct counting *counting = context;
    (void)phase;
    int result = counters_start(counting->counters, counting->pass);
    if (result && !counting->error)
        counting->error = result;
}

static void end_phase(void *context, int phase, uint64_t work) {
    struct counting *counting = context;
    int result = counters_stop(counting->counters, counting->pass);
    if (result && !counting->error)
        counting->error = result;
    size_t events = counters_count(counting->counters);
    for (size_t i = 0; i < events; i++)
        if (counters_get(counting->counters, i)->pass == counting->pass)
            counting->value[(size_t)phase * events + i] = counters_get(counting->counters, i)->value;
    counting->work[phase] = work;
}

// values[i] summed over the ranks; NaN where a rank has none.
static int sum_over_ranks(struct worker *worker, double *values, size_t count) {
    double *all = malloc(count * sizeof *all * (size_t)worker->context.ranks);
    if (!all)
        return -ENOMEM;
    comm_all_gather(worker->context.world, values, all, count * sizeof *values);
    for (size_t i = 0; i < count; i++) {
        values[i] = 0;
        for (int rank = 0; rank < worker->context.ranks; rank++)
            values[i] += all[(size_t)rank * count + i];
    }
    free(all);
    return 0;
}

static json_t *report_counters(const struct worker *worker, const struct counting *counting) {
    json_t *rows = json_array();
    size_t events = counters_count(counting->counters);
    for (int phase = 0; phase < worker->workload->phase_count; phase++)
        for (size_t i = 0; i < events; i++) {
            const struct counter *counter = counters_get(counting->counters, i);
            double value = counting->value[(size_t)phase * events + i];
            json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:I}", "phase", worker->workload->phases[phase], "event", counter->name,
                                    "status", counter_status_name(counter->status), "reason", counter->reason, "tokens",
                                    (json_int_t)counting->work[phase]);
            if (isfinite(value))
                json_object_set_new(row, "value", json_real(value));
            json_array_append_new(rows, row);
        }
    return rows;
}

int worker_count(struct worker *worker, const json_t *command, json_t **counted, double *ns, char *error, size_t error_size) {
    const char *events = json_string_value(json_object_get(command, "counters"));
    size_t phases = (size_t)worker->workload->phase_count;
    struct counting counting = {0};
    *counted = NULL;
    if (!events || !strcmp(events, "none"))
        return 0;
    // Opening costs as much as many a cell: it is done once for all that count the same.
    int result = 0;
    if (worker->counters && strcmp(worker->counted, events)) {
        counters_close(worker->counters);
        worker->counters = NULL;
    }
    if (!worker->counters)
        result = counters_open(events, worker->context.threads, 0, &worker->counters, error, error_size);
    snprintf(worker->counted, sizeof worker->counted, "%s", events);
    result = worker_agree(worker, result, error, error_size);
    if (result)
        goto out;
    counting.counters = worker->counters;
    size_t values = phases * counters_count(counting.counters);
    counting.value = malloc((values + 1) * sizeof *counting.value);
    counting.work = calloc(phases, sizeof *counting.work);
    result = worker_agree(worker, counting.value && counting.work ? 0 : -ENOMEM, error, error_size);
    if (result)
        goto out;
    for (size_t i = 0; i < values; i++)
        counting.value[i] = NAN;
    // Ranks may differ in what they can count; they run the cell equally often all the same.
    uint64_t passes = (uint64_t)counters_passes(counting.counters);
    int mine = (int)passes;
    comm_all_reduce_max_u64(worker->context.world, &passes, 1);
    struct phase_hooks hooks = {begin_phase, end_phase, &counting};
    for (int pass = 0; pass < (int)passes && !result; pass++) {
        struct sample sample = {0};
        counting.pass = pass;
        result = worker->workload->sample(worker->state, pass < mine ? &hooks : NULL, &sample, error, error_size);
        result = worker_agree(worker, result, error, error_size);
        for (int phase = 0; phase < worker->workload->phase_count && !result; phase++)
            *ns += (double)sample.phase[phase].ns / (double)passes;
    }
    if (!result)
        result = worker_agree(worker, counting.error, error, error_size);
    if (!result)
        result = worker_agree(worker, sum_over_ranks(worker, counting.value, values), error, error_size);
    if (!result && worker->context.rank == 0)
        *counted = report_counters(worker, &counting);
out:
    free(counting.value);
    free(counting.work);
    return result;
}

// ---------------------------------------------------------------------------------------------------------------------
// Roof: all ranks measure at once, as they compute at once; their figures add up.

static void bind_thread(int thread, void *context) {
    worker_bind(context, thread); // a thread that cannot be bound measures where it is
}

static int measure(struct worker *worker, const json_t *command, size_t stream, size_t hot, bool peaks, double seconds, double *figures,
                   char *error, size_t error_size) {
    size_t ranks = (size_t)worker->context.ranks;
    struct roof_request request = {
        .threads = worker->context.threads,
        .stream_bytes = stream / ranks,
        .hot_bytes = hot / ranks,
        .cache_bytes = (size_t)json_integer_value(json_object_get(command, "cache_bytes")) / ranks,
        .isa = roof_isa_detect(),
        .peaks = peaks,
        .seconds = seconds,
        .bind = worker->context.oversubscribed ? NULL : bind_thread,
        .context = &worker->context,
    };
    struct roof roof;
    struct roof_bench *bench = NULL;
    int result = worker_agree(worker, roof_open(&bench, &request, error, error_size), error, error_size);
    if (!result) {
        comm_barrier(worker->context.world);
        result = worker_agree(worker, roof_sample(bench, &roof, error, error_size), error, error_size);
    }
    if (bench)
        roof_close(bench);
    if (result)
        return result;
    double values[] = {roof.stream.estimate, roof.hot.estimate, roof.fp32.estimate, roof.int8.estimate, roof.bf16.estimate};
    result = worker_agree(worker, sum_over_ranks(worker, values, 5), error, error_size);
    memcpy(figures, values, sizeof values);
    return result;
}

static void add_figure(json_t *roof, const char *name, double value) {
    if (isfinite(value) && value > 0)
        json_object_set_new(roof, name, json_real(value));
}

static double known_figure(const json_t *known, const char *name) {
    const json_t *value = json_object_get(known, name);
    return value ? json_number_value(value) : NAN;
}

int worker_roof(struct worker *worker, const json_t *command, double working_set, json_t **roof, char *error, size_t error_size) {
    const json_t *known = json_object_get(command, "roof");
    double cache = json_number_value(json_object_get(command, "cache_bytes")), figures[5], hot = NAN;
    double seconds = json_number_value(json_object_get(command, "roof_seconds"));
    *roof = NULL;
    if (!(seconds > 0))
        return 0;
    double stream = known_figure(known, "stream"), fp32 = known_figure(known, "fp32"), int8 = known_figure(known, "int8"),
           bf16 = known_figure(known, "bf16");
    // Where the machine does not tell its cache, as much as the largest ones of today's servers. A virtual machine may be told the whole
    // cache of its host, of which it has a small part, and pay dearly for fresh memory: hence the limit.
    double buffer = fmin(4.5 * (cache > 0 ? cache : 128e6), settings_number(worker->settings, "roof_memory"));
    if (isnan(stream)) {
        int result = measure(worker, command, (size_t)buffer, 0, true, seconds, figures, error, error_size);
        if (result)
            return result;
        stream = figures[0], fp32 = figures[2], int8 = figures[3], bf16 = figures[4];
    }
    *roof = json_object();
    // A working set as large as the stream's is read from memory, as the stream is. The smaller ones differ by their size, to the next
    // power of two. Every rank must decide alike.
    comm_broadcast(worker->context.world, &working_set, sizeof working_set, 0);
    if (working_set > 0 && working_set < buffer) {
        int size = (int)fmin(fmax(ceil(log2(working_set)), 16), 47);
        char name[16];
        snprintf(name, sizeof name, "%d", size);
        hot = known_figure(known, name);
        if (isnan(hot)) {
            int result = measure(worker, command, 0, (size_t)1 << size, false, seconds, figures, error, error_size);
            if (result)
                return result;
            hot = figures[1];
        }
        add_figure(*roof, name, hot);
    }
    add_figure(*roof, "stream", stream);
    add_figure(*roof, "hot", hot);
    add_figure(*roof, "fp32", fp32);
    add_figure(*roof, "int8", int8);
    add_figure(*roof, "bf16", bf16);
    return 0;
}

void worker_state_free(struct worker *worker) {
    for (size_t i = 0; i < worker->sampler_count; i++)
        sampler_free(&worker->samplers[i].sampler);
    free(worker->samplers);
    if (worker->counters)
        counters_close(worker->counters);
    placement_free(&worker->placement);
    topology_free(worker->topology);
    settings_free(worker->settings);
}
