// SPDX-License-Identifier: MIT
// A workload that computes nothing and misbehaves on request, for the tests of planning and running. The axis `does` says what a cell
// does in its worker: ok, crash, kill, hang, exit, refuse, unsupported, hungry, diverge, chatter, bad_quality.
#ifndef LLMSWEEP_NULL_WORKLOAD_H
#define LLMSWEEP_NULL_WORKLOAD_H

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "harness/clock.h"
#include "harness/comm.h"
#include "harness/workload.h"

enum { NULL_DOES, NULL_VARIANT, NULL_SIZE, NULL_LAYOUT, NULL_AXES };

static int null_choice(const char *what, const char *word, const char *const *known, size_t count, char *value, size_t size, char *reason,
                       size_t reason_size) {
    for (size_t i = 0; i < count; i++)
        if (!strcmp(word, known[i])) {
            snprintf(value, size, "%s", word);
            return 0;
        }
    word_unknown(what, word, known, count, reason, reason_size);
    return -EINVAL;
}
static int null_does(const char *word, char *value, size_t size, char *reason, size_t reason_size) {
    static const char *const known[] = {"ok",     "crash",   "kill",    "hang",  "exit", "refuse", "unsupported",
                                        "hungry", "diverge", "chatter", "bad_quality"};
    return null_choice("deed", word, known, sizeof known / sizeof *known, value, size, reason, reason_size);
}
static int null_variant(const char *word, char *value, size_t size, char *reason, size_t reason_size) {
    static const char *const known[] = {"red", "green", "blue"};
    return null_choice("variant", word, known, 3, value, size, reason, reason_size);
}
static int null_size(const char *word, char *value, size_t size, char *reason, size_t reason_size) {
    char *end;
    double number = strtod(word, &end);
    if (*end == '%')
        number /= 100, end++;
    if (*end || end == word || number < 0 || number > 1e9) {
        snprintf(reason, reason_size, "size '%s' is no number within 0 and 1e9", word);
        return -EINVAL;
    }
    snprintf(value, size, "%.6g", number);
    return 0;
}
static int null_layout(const char *word, char *value, size_t size, char *reason, size_t reason_size) {
    static const char *const known[] = {"t1", "t2", "r2", "r64"};
    return null_choice("layout", word, known, 4, value, size, reason, reason_size);
}

static const struct axis null_axes[] = {
    {"does", "ok", "what it does", false, null_does},
    {"variant", "red", "a colour", false, null_variant},
    {"size", "1", "a number", false, null_size},
    {"layout", "t1", "a layout", false, null_layout},
};
static const struct setting null_settings[] = {
    {"thing", SETTING_TEXT, "table", 0, 0, NULL, true, false, "a word that defines"},
    {"sample_ms", SETTING_REAL, "0.2", 0, 1000, NULL, false, false, "length of a sample"},
};
static const char *const null_columns[] = {"cell", "status", "reason", "does",   "variant", "size",  "layout",
                                           "rate", "score",  "samples", "warmup", "stop",    "rounds", "cores", "quality_layout"};

static int null_plan_open(const struct settings *settings, const struct machine_limits *limits, void **plan, char *error,
                          size_t error_size) {
    (void)limits, (void)error, (void)error_size;
    *plan = (void *)settings;
    return 0;
}
static void null_plan_close(void *plan) {
    (void)plan;
}
static int null_identity(void *plan, const struct cell *cell, struct record *identity, char *error, size_t error_size) {
    (void)plan, (void)cell, (void)error, (void)error_size;
    record_set(identity, "thing_hash", "%d", 7);
    return 0;
}
static enum cell_status null_legal(void *plan, const struct cell *cell, char *reason, size_t reason_size) {
    (void)plan;
    if (!strcmp(cell->value[NULL_VARIANT], "blue") && !strcmp(cell->value[NULL_LAYOUT], "t2")) {
        snprintf(reason, reason_size, "blue cannot be threaded");
        return CELL_SKIPPED;
    }
    return CELL_OK;
}
static void null_estimate(void *plan, const struct cell *cell, struct estimate *estimate) {
    (void)plan;
    *estimate = (struct estimate){.sample_seconds = 0.001,
                                  .quality_seconds = strcmp(cell->value[NULL_LAYOUT], "t2") ? 0.02 : 0.01,
                                  .bytes = (uint64_t)atof(cell->value[NULL_SIZE]) * 1000};
}
static void null_describe(void *plan, const struct cell *cell, struct record *row) {
    (void)plan;
    for (int i = 0; i < NULL_AXES; i++)
        record_set(row, null_axes[i].name, "%s", cell->value[i]);
}
static void null_layout_of(const struct cell *cell, const char **word, int *ranks, int *threads) {
    *word = cell->value[NULL_LAYOUT];
    *ranks = **word == 'r' ? atoi(*word + 1) : 1;
    *threads = **word == 't' ? atoi(*word + 1) : 1;
}
static void null_variant_key(const struct cell *cell, char *key, size_t size) {
    snprintf(key, size, "%s", cell->value[NULL_VARIANT]);
}
static void null_quality_key(void *plan, const struct cell *cell, char *key, size_t size) {
    (void)plan;
    snprintf(key, size, "%s%s", cell->value[NULL_VARIANT], strcmp(cell->value[NULL_DOES], "bad_quality") ? "" : " bad");
}
static void null_summarise(void *plan, const struct cell *cell, const struct sample_set *samples, const struct measured_roof *roof,
                           struct record *row, double *half_width) {
    (void)plan, (void)cell, (void)roof;
    double sum = 0;
    for (size_t i = 0; i < samples->count; i++)
        sum += (double)samples->phase[0].work[i] / (double)samples->phase[0].ns[i];
    record_real(row, "rate", sum / (double)samples->count);
    *half_width = 0.01;
}

// Worker
struct null_state {
    char does[32], name[17];
    const struct worker_context *context;
    double sample_ms;
    uint64_t step;
};
static int null_open(const struct settings *settings, const char *layout, const struct worker_context *context, void **state, char *error,
                     size_t error_size) {
    (void)layout, (void)error, (void)error_size;
    struct null_state *made = calloc(1, sizeof *made);
    made->context = context;
    made->sample_ms = settings_number(settings, "sample_ms");
    *state = made;
    return 0;
}
static void null_close(void *state) {
    free(state);
}
static int null_prepare(void *opaque, const struct cell *cell, char *error, size_t error_size) {
    struct null_state *state = opaque;
    snprintf(state->does, sizeof state->does, "%s", cell->value[NULL_DOES]);
    snprintf(state->name, sizeof state->name, "%s", cell->name);
    if (!strcmp(state->does, "unsupported")) {
        snprintf(error, error_size, "nothing computes this");
        return -ENOTSUP;
    }
    if (!strcmp(state->does, "hungry")) {
        snprintf(error, error_size, "no memory for 1 TB");
        return -ENOMEM;
    }
    return 0;
}
static void null_misbehave(struct null_state *state) {
    bool last = state->context->rank == state->context->ranks - 1;
    if (!strcmp(state->does, "crash") && last) {
        signal(SIGSEGV, SIG_DFL); // a sanitizer would catch it
        raise(SIGSEGV);
    }
    if (!strcmp(state->does, "kill") && last)
        raise(SIGKILL);
    if (!strcmp(state->does, "exit"))
        _exit(7);
    if (!strcmp(state->does, "hang"))
        for (;;)
            pause();
    if (!strcmp(state->does, "chatter"))
        printf("a library that talks on stdout\n"), fflush(stdout);
}
static int null_sample(void *opaque, const struct phase_hooks *hooks, struct sample *sample, char *error, size_t error_size) {
    struct null_state *state = opaque;
    null_misbehave(state);
    if (!strcmp(state->does, "refuse")) {
        snprintf(error, error_size, "refused for the test");
        return -EIO;
    }
    if (hooks)
        hooks->begin(hooks->context, 0);
    sample->phase[0].start_ns = clock_now();
    while (clock_now() - sample->phase[0].start_ns < (uint64_t)(state->sample_ms * 1e6))
        ;
    sample->phase[0].ns = clock_now() - sample->phase[0].start_ns;
    sample->phase[0].work = 1000;
    state->step = sample->phase[0].ns;
    sample->step_ns = &state->step;
    sample->steps = 1;
    if (hooks)
        hooks->end(hooks->context, 0, 1000);
    return 0;
}
static int null_verify(void *opaque, const char *known, struct record *facts, char *error, size_t error_size) {
    struct null_state *state = opaque;
    (void)facts, (void)known;
    if (!strcmp(state->does, "diverge")) {
        snprintf(error, error_size, "diverged: for the test");
        return -EBADMSG;
    }
    return 0;
}
static int null_facts(void *opaque, struct record *facts, char *error, size_t error_size) {
    (void)opaque, (void)error, (void)error_size;
    record_set(facts, "working_set", "%d", 100000);
    return 0;
}
static int null_quality(void *opaque, struct record *facts, char *error, size_t error_size) {
    struct null_state *state = opaque;
    if (!strcmp(state->does, "bad_quality")) {
        snprintf(error, error_size, "a logit is NaN");
        return -EDOM;
    }
    record_set(facts, "score", "%d", 42);
    return 0;
}
static void null_release(void *state) {
    (void)state;
}

static const struct workload null_workload = {
    .name = "null",
    .help = "nothing",
    .axes = null_axes,
    .axis_count = NULL_AXES,
    .settings = null_settings,
    .setting_count = sizeof null_settings / sizeof *null_settings,
    .columns = null_columns,
    .column_count = sizeof null_columns / sizeof *null_columns,
    .phases = {"work"},
    .phase_count = 1,
    .plan_open = null_plan_open,
    .plan_close = null_plan_close,
    .identity = null_identity,
    .legal = null_legal,
    .estimate = null_estimate,
    .describe = null_describe,
    .layout = null_layout_of,
    .variant_key = null_variant_key,
    .quality_key = null_quality_key,
    .summarise = null_summarise,
    .open = null_open,
    .close = null_close,
    .prepare = null_prepare,
    .sample = null_sample,
    .verify = null_verify,
    .facts = null_facts,
    .quality = null_quality,
    .release = null_release,
};

#endif
