// SPDX-License-Identifier: MIT
#include "harness/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <malloc.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "harness/clock.h"
#include "harness/comm.h"
#include "harness/machine.h"
#include "harness/sampler.h"
#include "harness/spec.h"
#include "harness/topology.h"
#include "harness/worker_state.h"

enum { MASK_SIZE = 256 };

// ---------------------------------------------------------------------------------------------------------------------
// Rank 0 speaks for all.

static void say(struct worker *worker, json_t *line) {
    char *text = worker->context.rank == 0 ? json_dumps(line, JSON_COMPACT) : NULL;
    json_decref(line);
    if (!text)
        return;
    size_t bytes = strlen(text);
    text[bytes++] = '\n';
    for (size_t done = 0; done < bytes;) {
        ssize_t wrote = write(worker->out, text + done, bytes - done);
        if (wrote < 0 && errno != EINTR)
            comm_abort(3); // the driver is gone
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    free(text);
}

void worker_say_doing(struct worker *worker, const char *what) {
    say(worker, json_pack("{s:s, s:s}", "event", "doing", "what", what));
}

// The first error of any rank becomes every rank's.
int worker_agree(struct worker *worker, int code, char *error, size_t error_size) {
    char mine[400], *all;
    uint64_t worst = (uint64_t)-(int64_t)code;
    comm_all_reduce_max_u64(worker->context.world, &worst, 1);
    if (!worst)
        return 0;
    snprintf(mine, sizeof mine, "%s", code ? error : "");
    all = malloc(sizeof mine * (size_t)worker->context.ranks);
    if (!all)
        comm_abort(3);
    comm_all_gather(worker->context.world, mine, all, sizeof mine);
    for (int rank = 0; rank < worker->context.ranks; rank++)
        if (all[sizeof mine * (size_t)rank]) {
            if (worker->context.ranks > 1)
                snprintf(error, error_size, "%s (rank %d)", all + sizeof mine * (size_t)rank, rank);
            else
                snprintf(error, error_size, "%s", all);
            break;
        }
    free(all);
    return -(int)worst;
}

int worker_bind(void *context, int thread) {
    const struct worker_context *where = context;
    char error[160];
    return topology_bind_thread(where->topology, where->pus[thread], error, sizeof error);
}

// ---------------------------------------------------------------------------------------------------------------------
// open

struct rank_report {
    char host[64], cores[MASK_SIZE];
    int64_t pid;
};

// Places all ranks of this host by what each inherited, alike in every rank.
static int place(struct worker *worker, bool oversubscribe, char *error, size_t error_size) {
    char mine[MASK_SIZE], *all = malloc((size_t)worker->context.ranks * MASK_SIZE);
    const char **masks = calloc((size_t)worker->context.ranks, sizeof *masks);
    int result = all && masks ? 0 : -ENOMEM;
    if (!result)
        result = topology_load(&(struct topology_source){.no_devices = true}, &worker->topology, error, error_size);
    if (!result && topology_binding(worker->topology, mine, sizeof mine) < 0)
        snprintf(mine, sizeof mine, "?");
    if (!result) {
        comm_all_gather(worker->context.world, mine, all, MASK_SIZE);
        for (int rank = 0; rank < worker->context.ranks; rank++)
            masks[rank] = all + (size_t)rank * MASK_SIZE;
        result = topology_place_bound(worker->topology, masks, worker->context.ranks, worker->context.threads,
                                      oversubscribe ? PLACE_OVERSUBSCRIBE : 0, &worker->placement, error, error_size);
    }
    if (!result) {
        worker->context.topology = worker->topology;
        worker->context.pus = worker->placement.pus + worker->context.rank * worker->context.threads;
        worker->context.oversubscribed = worker->placement.oversubscribed;
    }
    free(all);
    free(masks);
    return result;
}

static json_t *report_ranks(struct worker *worker) {
    struct rank_report mine = {.pid = getpid()}, *all = calloc((size_t)worker->context.ranks, sizeof *all);
    if (!all)
        comm_abort(3);
    gethostname(mine.host, sizeof mine.host - 1);
    size_t at = 0;
    for (int thread = 0; thread < worker->context.threads && at < sizeof mine.cores; thread++)
        at += (size_t)snprintf(mine.cores + at, sizeof mine.cores - at, "%s%d", thread ? "," : "", worker->context.pus[thread]);
    comm_all_gather(worker->context.world, &mine, all, sizeof mine);
    json_t *ranks = json_array();
    for (int rank = 0; rank < worker->context.ranks; rank++) {
        size_t used = strlen(worker->cores);
        snprintf(worker->cores + used, sizeof worker->cores - used, "%s%s", rank ? " " : "", all[rank].cores);
        json_array_append_new(ranks, json_pack("{s:s, s:I, s:s}", "host", all[rank].host, "pid", (json_int_t)all[rank].pid, "cores",
                                               all[rank].cores));
    }
    free(all);
    return ranks;
}

// Bytes that a file of /proc gives in kB by this format; NaN where it does not.
static double process_bytes(const char *path, const char *format) {
    char line[256];
    double kilobytes = NAN;
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, format, &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

static int open_worker(struct worker *worker, const json_t *command, char *error, size_t error_size) {
    const char *layout = json_string_value(json_object_get(command, "layout")), *key;
    json_t *value;
    int result = settings_create(&worker->settings, harness_settings, harness_setting_count, worker->workload->settings,
                                 worker->workload->setting_count);
    json_object_foreach(json_object_get(command, "settings"), key, value) if (!result) result =
        settings_set(worker->settings, key, json_string_value(value), error, error_size);
    worker->context.threads = (int)json_integer_value(json_object_get(command, "threads"));
    int expected = (int)json_integer_value(json_object_get(command, "ranks"));
    if (!result && expected != worker->context.ranks) {
        snprintf(error, error_size, "the launcher started %d ranks where %s needs %d: look at launcher=", worker->context.ranks, layout,
                 expected);
        result = -EINVAL;
    }
    worker->epoch = clock_now() - (uint64_t)(json_number_value(json_object_get(command, "seconds")) * 1e9);
    if (!result)
        result = place(worker, json_is_true(json_object_get(command, "oversubscribe")), error, error_size);
    result = worker_agree(worker, result, error, error_size);
    if (!result)
        result = worker->workload->open(worker->settings, layout, &worker->context, &worker->state, error, error_size);
    result = worker_agree(worker, result, error, error_size);
    malloc_trim(0); // what reading the topology took
    worker->program_bytes = process_bytes("/proc/self/status", "VmRSS: %lf");
    if (!result)
        say(worker, json_pack("{s:s, s:o, s:b}", "event", "ready", "ranks", report_ranks(worker), "oversubscribed",
                              worker->context.oversubscribed));
    return result;
}

// ---------------------------------------------------------------------------------------------------------------------
// visit

static int find_sampler(struct worker *worker, const char *name, const json_t *command, struct cell_sampler **found, char *error,
                        size_t error_size) {
    for (size_t i = 0; i < worker->sampler_count; i++)
        if (!strcmp(worker->samplers[i].name, name)) {
            *found = &worker->samplers[i];
            return 0;
        }
    struct cell_sampler *grown = realloc(worker->samplers, (worker->sampler_count + 1) * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    worker->samplers = grown;
    struct cell_sampler *made = &grown[worker->sampler_count];
    struct sampler_options options = sampler_defaults();
    const json_t *said = json_object_get(command, "sampling");
    // What a worker before this one has sampled counts, though this one cannot see how long it took.
    size_t have = (size_t)json_integer_value(json_object_get(command, "have"));
    size_t most = (size_t)json_number_value(json_object_get(said, "max_samples"));
    size_t least = (size_t)json_number_value(json_object_get(said, "min_samples"));
    options.ci = json_number_value(json_object_get(said, "ci"));
    options.noisy = fmax(options.noisy, options.ci); // who asks for less gets it without being told that it is noisy
    options.max_samples = most > have ? most - have : 1;
    options.min_samples = least > have ? least - have : 1;
    options.max_time = json_number_value(json_object_get(said, "max_time"));
    options.warmup_half = (size_t)json_number_value(json_object_get(said, "warmup_half"));
    options.max_warmup = (size_t)json_number_value(json_object_get(said, "warmup_max"));
    options.max_warmup_time = json_number_value(json_object_get(said, "warmup_time"));
    *made = (struct cell_sampler){.min_samples = options.min_samples};
    snprintf(made->name, sizeof made->name, "%s", name);
    int code = sampler_init(&made->sampler, &options, error, error_size);
    if (code)
        return code;
    worker->sampler_count++;
    *found = made;
    return 0;
}

static void reset_resident_peak(void) {
    malloc_trim(0); // what earlier cells gave back is not this one's
    int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (file >= 0) {
        if (write(file, "5", 1) != 1)
            errno = 0; // not allowed: the peak is then that of the process
        close(file);
    }
}

// What each rank knows of a visit beside its samples.
struct rank_state {
    double steal_pct, switches, frequency, load, resident, kept, huge, program;
};

static void gather_state(struct worker *worker, const struct machine_difference *machine, struct record *facts) {
    double kept = record_number(facts, "kept_bytes");
    struct rank_state mine = {machine->steal_pct,     machine->involuntary_switches, machine->frequency_mhz, machine->load,
                              process_bytes("/proc/self/status", "VmHWM: %lf"), isnan(kept) ? 0 : kept,
                              process_bytes("/proc/self/smaps_rollup", "AnonHugePages: %lf"),
                              worker->program_bytes};
    struct rank_state *all = calloc((size_t)worker->context.ranks, sizeof *all), sum = {.steal_pct = NAN, .load = NAN};
    if (!all)
        comm_abort(3);
    comm_all_gather(worker->context.world, &mine, all, sizeof mine);
    double largest = 0;
    for (int rank = 0; rank < worker->context.ranks; rank++) {
        double resident = all[rank].resident - all[rank].kept;
        sum.steal_pct = fmax(sum.steal_pct, all[rank].steal_pct);
        sum.load = fmax(sum.load, all[rank].load);
        sum.switches += all[rank].switches;
        sum.frequency += all[rank].frequency / worker->context.ranks;
        sum.resident += resident;
        sum.huge += all[rank].huge;
        sum.program += all[rank].program;
        largest = fmax(largest, resident);
    }
    free(all);
    char noise[200] = "";
    machine_noise(machine, topology_summary(worker->topology)->usable_pus, worker->context.ranks * worker->context.threads, noise,
                  sizeof noise);
    record_real(facts, "steal_pct", sum.steal_pct);
    record_real(facts, "power_watts", machine->energy_joules / machine->seconds); // of rank 0's host
    record_real(facts, "ctx_switches", sum.switches);
    record_real(facts, "freq_mhz", sum.frequency);
    record_real(facts, "load", sum.load);
    record_real(facts, "peak_rss_bytes", sum.resident);
    record_real(facts, "peak_rank_rss_bytes", largest);
    record_real(facts, "huge_page_bytes", sum.huge);
    record_real(facts, "program_bytes", sum.program);
    if (*noise)
        record_set(facts, "status_noise", "%s", noise);
    record_unset(facts, "kept_bytes");
    record_set(facts, "cores", "%s", worker->cores);
}

static int read_cell(const struct worker *worker, const json_t *command, struct cell *cell, char *error, size_t error_size) {
    const json_t *values = json_object_get(command, "cell");
    *cell = (struct cell){0};
    snprintf(cell->name, sizeof cell->name, "%s", json_string_value(json_object_get(command, "name")));
    for (size_t i = 0; i < worker->workload->axis_count; i++)
        if (!(cell->value[i] = json_string_value(json_array_get(values, i)))) {
            snprintf(error, error_size, "the driver sent a cell of %zu values where %zu are due", json_array_size(values),
                     worker->workload->axis_count);
            return -EPROTO;
        }
    return 0;
}

static int visit_cell(struct worker *worker, const json_t *command, char *error, size_t error_size) {
    struct cell cell;
    struct record facts = {0};
    struct worker_visit visit = {.samples = json_array(), .steps = json_array(), .stop = ""};
    struct machine_snapshot before, after;
    struct machine_difference machine;
    json_t *roof = NULL;
    bool final = json_is_true(json_object_get(command, "final"));
    struct cell_sampler *own = NULL;
    int result = read_cell(worker, command, &cell, error, error_size);
    uint64_t start = clock_now(), prepared = start, sampled = start, verified = start, measured = start, done = start;
    if (!result) {
        if (worker->workload->leave)
            worker->workload->leave(worker->state, &cell);
        reset_resident_peak();
        worker_say_doing(worker, "preparing");
        result = worker->workload->prepare(worker->state, &cell, error, error_size);
    }
    if (!result)
        result = find_sampler(worker, cell.name, command, &own, error, error_size);
    result = worker_agree(worker, result, error, error_size);
    prepared = clock_now();
    if (!result) {
        struct sampler *sampler = &own->sampler;
        // Only the last visit may end by the interval: it looks at the samples of all visits.
        sampler->next_look = final ? own->min_samples : (size_t)-1;
        size_t rounds = (size_t)json_integer_value(json_object_get(command, "rounds"));
        size_t limit = final ? 0 : (sampler->options.max_samples + rounds - 1) / rounds;
        bool is_done = sampler_visit(sampler, limit) == -EALREADY;
        comm_broadcast(worker->context.world, &is_done, sizeof is_done, 0); // only rank 0's sampler has seen the samples
        machine_snapshot(NULL, &before);
        if (!is_done)
            result = worker_take_samples(worker, &visit, sampler, command, error, error_size);
        else
            visit.stop = sampler_stop_name(sampler->stop);
        machine_snapshot(NULL, &after);
        machine_difference(&before, &after, &machine);
    }
    sampled = clock_now();
    if (!result) {
        worker_say_doing(worker, "verifying");
        const char *known = json_string_value(json_object_get(command, "output"));
        result = worker_agree(worker, worker->workload->verify(worker->state, known, &facts, error, error_size), error, error_size);
    }
    verified = clock_now();
    if (!result)
        result = worker_agree(worker, worker->workload->facts(worker->state, &facts, error, error_size), error, error_size);
    if (!result && final && !visit.has_counted)
        result = worker_count_as_warmup(worker, &visit, &own->sampler, command, error, error_size);
    measured = clock_now();
    if (!result) {
        gather_state(worker, &machine, &facts);
        result = worker_agree(worker, worker_roof(worker, command, record_number(&facts, "working_set"), &roof, error, error_size),
                              error, error_size);
    }
    done = clock_now();
    if (!result) {
        json_t *reply = json_pack("{s:s, s:s, s:I, s:O, s:O, s:I, s:s, s:o}", "event", "visited", "name", cell.name, "round",
                                  json_integer_value(json_object_get(command, "round")), "samples", visit.samples, "steps",
                                  visit.steps, "warmup", (json_int_t)visit.warmup, "stop", visit.stop, "facts",
                                  record_json(&facts));
        // All of the sampling but the warm-up and the counting; a pass that counted without sampling came later.
        double sampled_seconds = clock_seconds(prepared, sampled) - visit.warmup_seconds - (visit.sampled ? visit.counting_seconds : 0);
        json_object_set_new(reply, "seconds",
                            json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "prepare", clock_seconds(start, prepared), "warmup",
                                      visit.warmup_seconds, "samples", sampled_seconds, "verify", clock_seconds(sampled, verified), "counters",
                                      visit.counting_seconds, "roof",
                                      clock_seconds(measured, done)));
        if (visit.counted)
            json_object_set(reply, "counters", visit.counted);
        if (roof)
            json_object_set(reply, "roof", roof);
        say(worker, reply);
    }
    record_free(&facts);
    json_decref(visit.samples);
    json_decref(visit.steps);
    json_decref(visit.counted);
    json_decref(roof);
    return result;
}

static int judge_cell(struct worker *worker, const json_t *command, char *error, size_t error_size) {
    struct cell cell;
    struct record facts = {0};
    int result = read_cell(worker, command, &cell, error, error_size);
    uint64_t start = clock_now(), prepared;
    worker_say_doing(worker, "preparing");
    if (!result)
        result = worker->workload->prepare(worker->state, &cell, error, error_size);
    result = worker_agree(worker, result, error, error_size);
    prepared = clock_now();
    if (!result) {
        worker_say_doing(worker, "judging");
        result = worker_agree(worker, worker->workload->quality(worker->state, &facts, error, error_size), error, error_size);
    }
    if (!result)
        say(worker, json_pack("{s:s, s:o, s:{s:f, s:f}}", "event", "judged", "facts", record_json(&facts), "seconds", "prepare",
                              clock_seconds(start, prepared), "quality", clock_seconds(prepared, clock_now())));
    record_free(&facts);
    return result;
}

// ---------------------------------------------------------------------------------------------------------------------

// The next command on every rank; NULL when the driver is gone. Ranks that wait sleep.
static json_t *next_command(struct worker *worker) {
    static char *line;
    static size_t room;
    int64_t length = 0;
    if (worker->context.rank == 0)
        length = getline(&line, &room, stdin);
    comm_broadcast_idle(worker->context.world, &length, sizeof length);
    if (length <= 0)
        return NULL;
    if (worker->context.rank && room < (size_t)length + 1) {
        free(line);
        room = (size_t)length + 1;
        line = malloc(room);
        if (!line)
            comm_abort(3);
    }
    comm_broadcast(worker->context.world, line, (size_t)length + 1, 0);
    json_error_t wrong;
    json_t *command = json_loads(line, 0, &wrong);
    return command ? command : json_object();
}

int worker_main(const struct workload *workload, int *argc, char ***argv, char *error, size_t error_size) {
    struct worker worker = {.workload = workload, .out = -1};
    // Libraries may print; what they print goes to the log.
    worker.out = fcntl(1, F_DUPFD_CLOEXEC, 3);
    if (worker.out < 0 || dup2(2, 1) < 0) {
        snprintf(error, error_size, "worker: no stdout to answer on: %s", strerror(errno));
        return 3;
    }
    // hwloc's graphics and XML libraries are nothing to a worker, and would be in every rank's memory. MPI opens hwloc, too.
    setenv("HWLOC_PLUGINS_PATH", "/dev/null", 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL); // a launcher that is killed cannot end its ranks
    int result = comm_start(argc, argv, error, error_size);
    if (result)
        return 3;
    worker.context = (struct worker_context){
        .world = comm_world(), .rank = comm_rank(comm_world()), .ranks = comm_size(comm_world()), .threads = 1};
    for (;;) {
        json_t *command = next_command(&worker);
        const char *what = command ? json_string_value(json_object_get(command, "do")) : "quit";
        char reason[600] = "";
        if (what && !strcmp(what, "quit")) {
            json_decref(command);
            break;
        }
        result = -EPROTO;
        snprintf(reason, sizeof reason, "a command that is not known");
        if (what && !strcmp(what, "open"))
            result = open_worker(&worker, command, reason, sizeof reason);
        else if (what && worker.state && !strcmp(what, "visit"))
            result = visit_cell(&worker, command, reason, sizeof reason);
        else if (what && worker.state && !strcmp(what, "quality"))
            result = judge_cell(&worker, command, reason, sizeof reason);
        if (result)
            say(&worker, json_pack("{s:s, s:i, s:s}", "event", "failed", "code", result, "reason", *reason ? reason : strerror(-result)));
        json_decref(command);
    }
    if (worker.state)
        workload->close(worker.state);
    worker_state_free(&worker);
    comm_stop();
    return 0;
}
