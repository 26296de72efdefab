// SPDX-License-Identifier: MIT
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/runner_state.h"
#include "harness/sysfs.h"

enum { START_SECONDS = 60 };

// What all ranks of a worker would keep if they kept everything: each variant once, and the largest cell beside them.
static double wanted_bytes(const struct runner *runner, int worker) {
    double variants = 0, largest = 0;
    for (size_t i = 0; i < runner->plan->count; i++) {
        const struct cell_state *state = &runner->cells[i];
        if (state->plan->status != CELL_OK || state->worker != worker)
            continue;
        bool counted = false;
        for (size_t j = 0; j < i && !counted; j++)
            counted = runner->cells[j].worker == worker && runner->cells[j].variant == state->variant &&
                      runner->cells[j].plan->status == CELL_OK;
        variants += counted ? 0 : (double)state->plan->estimate.variant_bytes;
        if ((double)state->plan->estimate.bytes > largest)
            largest = (double)state->plan->estimate.bytes;
    }
    return variants + largest;
}

static json_t *worker_settings(const struct runner *runner, int worker) {
    const struct settings *settings = runner->plan->spec->settings;
    json_t *object = json_object();
    for (size_t i = 0; i < settings_count(settings); i++)
        if (settings_is_set(settings, settings_row(settings, i)->name))
            json_object_set_new(object, settings_row(settings, i)->name, json_string(settings_value(settings, i)));
    // Half of the memory is for what workers keep, shared out by what each could use; the other half for what they work with.
    if (settings_number(settings, "memory_budget") == 0) {
        double wanted = wanted_bytes(runner, worker), all = 0, half = (double)runner->plan->limits.memory_bytes / 2;
        for (size_t i = 0; i < runner->worker_count; i++)
            all += wanted_bytes(runner, (int)i);
        char bytes[32];
        snprintf(bytes, sizeof bytes, "%.0f", wanted * (all > half ? half / all : 1) / runner->workers[worker].ranks);
        json_object_set_new(object, "memory_budget", json_string(bytes));
    }
    return object;
}

int runner_workers_create(struct runner *runner) {
    const struct plan *plan = runner->plan;
    runner->workers = calloc(plan->count + 1, sizeof *runner->workers);
    if (!runner->workers)
        return -ENOMEM;
    for (size_t i = 0; i < plan->count; i++) {
        const char *word;
        int ranks, threads;
        size_t worker = 0;
        runner->cells[i].worker = -1;
        if (plan->cells[i].status != CELL_OK)
            continue;
        plan->workload->layout(&plan->cells[i].cell, &word, &ranks, &threads);
        while (worker < runner->worker_count && strcmp(runner->workers[worker].layout, word))
            worker++;
        if (worker == runner->worker_count)
            runner->workers[runner->worker_count++] = (struct worker_handle){.layout = word, .ranks = ranks, .threads = threads};
        runner->cells[i].worker = (int)worker;
    }
    return 0;
}

static void end_worker(struct worker_handle *worker) {
    child_kill(&worker->child);
    worker->running = false;
}

void runner_workers_free(struct runner *runner, bool at_once) {
    for (size_t i = 0; i < runner->worker_count; i++)
        if (runner->workers[i].running && !at_once)
            child_send(&runner->workers[i].child, "{\"do\":\"quit\"}");
    for (size_t i = 0; i < runner->worker_count; i++)
        if (runner->workers[i].running) {
            if (!at_once)
                child_wait(&runner->workers[i].child, 3000);
            end_worker(&runner->workers[i]);
        }
    free(runner->workers);
    runner->workers = NULL;
    runner->worker_count = 0;
}

static void remember_ranks(struct runner *runner, struct worker_handle *worker, const json_t *ready) {
    json_t *ranks = json_object_get(ready, "ranks");
    size_t count = json_array_size(ranks), local = 0;
    pid_t *pids = calloc(count + 1, sizeof *pids);
    char host[64] = "";
    gethostname(host, sizeof host - 1);
    for (size_t i = 0; pids && i < count; i++) {
        const char *where = json_string_value(json_object_get(json_array_get(ranks, i), "host"));
        if (where && !strcmp(where, host))
            pids[local++] = (pid_t)json_integer_value(json_object_get(json_array_get(ranks, i), "pid"));
    }
    if (pids && worker->ranks > 1)
        child_ranks(&worker->child, pids, local);
    free(pids);
    json_t *workers = json_object_get(runner->store.run, "workers");
    json_t *entry = json_pack("{s:O, s:b}", "ranks", ranks, "oversubscribed", json_is_true(json_object_get(ready, "oversubscribed")));
    json_object_set_new(workers, worker->layout, entry);
}

// Waits for the reply; lines that say what is being done go to the progress bar.
static int await(struct runner *runner, struct worker_handle *worker, double seconds, const char *label, json_t **reply) {
    double deadline = runner_now() + seconds;
    for (;;) {
        char *line;
        double left = deadline - runner_now();
        if (*runner->options->interrupted)
            return -EINTR;
        if (left <= 0)
            return -ETIMEDOUT;
        int got = child_receive(&worker->child, left > 0.5 ? 500 : (int)(left * 1000) + 1, &line);
        if (got == 0 || got == -EINTR)
            continue;
        if (got < 0)
            return got;
        json_error_t wrong;
        json_t *value = json_loads(line, 0, &wrong);
        const char *event = json_string_value(json_object_get(value, "event"));
        if (!event) {
            json_decref(value);
            return -EPROTO;
        }
        if (strcmp(event, "doing")) {
            *reply = value;
            return 0;
        }
        char what[512];
        snprintf(what, sizeof what, "%s: %s", label, json_string_value(json_object_get(value, "what")));
        progress_stage(&runner->progress, what);
        json_decref(value);
    }
}

// What became of a worker that did not answer, as the cell's status.
static void blame(struct worker_handle *worker, int code, double seconds, double kills_before,
                  enum cell_status *status, char *reason, size_t reason_size) {
    char fate[120];
    if (code == -ETIMEDOUT) {
        snprintf(reason, reason_size, "no answer within %.3g s; its worker was ended (raise timeout= if it is only slow)", seconds);
        *status = CELL_TIMEOUT;
        end_worker(worker);
        return;
    }
    child_wait(&worker->child, 2000); // it has closed its end: it is about to be gone
    bool was_ended = worker->child.ended;
    end_worker(worker);
    child_fate(&worker->child, fate, sizeof fate);
    bool killed = was_ended && ((WIFSIGNALED(worker->child.wait_status) && WTERMSIG(worker->child.wait_status) == SIGKILL) ||
                                worker->ranks > 1);
    if (killed && cgroup_out_of_memory_kills("") > kills_before) {
        snprintf(reason, reason_size, "the kernel killed its worker for want of memory");
        *status = CELL_OOM;
        return;
    }
    *status = CELL_FAILED;
    // A launcher tells by its exit code, as a shell does, which signal ended a rank.
    if (was_ended && worker->ranks > 1 && WIFEXITED(worker->child.wait_status) && WEXITSTATUS(worker->child.wait_status) > 128)
        snprintf(fate, sizeof fate, "ended: a rank was killed by SIG%s", sigabbrev_np(WEXITSTATUS(worker->child.wait_status) - 128));
    if (code == -EPROTO)
        snprintf(reason, reason_size, "its worker answered with something that is not JSON; see worker-%s.log", worker->layout);
    else
        snprintf(reason, reason_size, "its worker %s; see worker-%s.log", was_ended ? fate : "closed its pipe and went on",
                 worker->layout);
}

static void take_refusal(const json_t *reply, enum cell_status *status, char *reason, size_t reason_size) {
    int code = (int)json_integer_value(json_object_get(reply, "code"));
    const char *said = json_string_value(json_object_get(reply, "reason"));
    *status = code == -ENOTSUP ? CELL_UNSUPPORTED : code == -ENOMEM ? CELL_OOM : CELL_FAILED;
    snprintf(reason, reason_size, "%s", said ? said : strerror(-code));
}

static bool is_refusal(const json_t *reply) {
    return !strcmp(json_string_value(json_object_get(reply, "event")), "failed");
}

static int start_worker(struct runner *runner, struct worker_handle *worker, enum cell_status *status, char *reason,
                        size_t reason_size) {
    const struct settings *settings = runner->plan->spec->settings;
    const char *launcher = worker->ranks > 1 ? settings_text(settings, "launcher") : "";
    char **argv = launch_words(launcher, worker->ranks, runner->options->worker, runner->options->worker_words);
    char *log = NULL;
    // Debian's Open MPI refuses root unless told twice. The ranks place themselves, so nobody else may set a number of threads.
    static const char *const environment[] = {"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"};
    struct child_options options = {.environment = environment, .environment_count = geteuid() == 0 ? 2 : 0};
    if (settings_is_set(settings, "memory_limit"))
        options.data_limit = (uint64_t)settings_number(settings, "memory_limit");
    int result = argv && asprintf(&log, "%s/worker-%s.log", runner->options->directory, worker->layout) >= 0 ? 0 : -ENOMEM;
    options.log_path = log;
    if (!result)
        result = child_start(&worker->child, argv, &options, reason, reason_size);
    free(argv);
    free(log);
    if (result) {
        *status = CELL_FAILED;
        return result;
    }
    worker->running = true;
    worker->starts++;
    json_t *command =
        json_pack("{s:s, s:s, s:i, s:i, s:b, s:f, s:o}", "do", "open", "layout", worker->layout, "ranks", worker->ranks, "threads",
                  worker->threads, "oversubscribe", !strcmp(settings_text(settings, "oversubscribe"), "yes"), "seconds",
                  runner->time_before + runner_now() - runner->started, "settings", worker_settings(runner, (int)(worker - runner->workers)));
    json_t *reply = NULL;
    double kills = cgroup_out_of_memory_kills("");
    char *line = json_dumps(command, JSON_COMPACT), label[80];
    json_decref(command);
    snprintf(label, sizeof label, "starting %s", worker->layout);
    result = line ? child_send(&worker->child, line) : -ENOMEM;
    if (!result)
        result = await(runner, worker, START_SECONDS, label, &reply);
    free(line);
    if (!result && is_refusal(reply)) {
        take_refusal(reply, status, reason, reason_size);
        end_worker(worker);
        result = -ECANCELED;
    } else if (!result)
        remember_ranks(runner, worker, reply);
    else if (result != -EINTR)
        blame(worker, result, START_SECONDS, kills, status, reason, reason_size);
    json_decref(reply);
    return result;
}

int runner_ask(struct runner *runner, int index, json_t *command, double seconds, const char *label, json_t **reply,
               enum cell_status *status, char *reason, size_t reason_size) {
    struct worker_handle *worker = &runner->workers[index];
    double kills = cgroup_out_of_memory_kills("");
    *reply = NULL;
    *status = CELL_OK;
    if (!worker->running) {
        double start = runner_now();
        int result = start_worker(runner, worker, status, reason, reason_size);
        runner->times.launch += runner_now() - start;
        if (result)
            return result;
    }
    char *line = json_dumps(command, JSON_COMPACT);
    int result = line ? child_send(&worker->child, line) : -ENOMEM;
    free(line);
    if (!result)
        result = await(runner, worker, seconds, label, reply);
    if (result == -EINTR)
        return result;
    if (result) {
        blame(worker, result, seconds, kills, status, reason, reason_size);
        return result;
    }
    if (!is_refusal(*reply))
        return 0;
    take_refusal(*reply, status, reason, reason_size);
    json_decref(*reply);
    *reply = NULL;
    return -ECANCELED;
}
