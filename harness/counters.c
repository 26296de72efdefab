// SPDX-License-Identifier: MIT
#include "harness/counters.h"

#include "harness/counters_events.h"
#include "harness/sysfs.h"

#include <errno.h>
#include <math.h>
#include <omp.h>
#include <papi.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_EVENTS = 64 };
struct pass {
    bool multiplexed;
    int events, event[MAX_EVENTS]; // indices in counters->counter
};

// One thread of the team, with an event set for every pass. PAPI knows event sets by number; -1 (PAPI_NULL) is none.
struct member {
    pid_t thread;
    int set[MAX_EVENTS];
    int result; // of the last PAPI call
    long long value[MAX_EVENTS];
};

struct counters {
    int count, passes, threads;
    int started; // pass that is running; -1 = none
    char papi_reason[96]; // why PAPI is not there; empty when it is
    struct counter counter[MAX_EVENTS];
    struct pass pass[MAX_EVENTS];
    struct member *member; // (threads)
};

const char *counter_status_name(enum counter_status status)
{
    static const char *const names[] = {"ok", "multiplexed", "absent", "denied", "implausible"};
    return names[status];
}

__attribute__((format(printf, 3, 4))) static void mark(struct counter *counter, enum counter_status status, const char *format,
                                                       ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(counter->reason, sizeof counter->reason, format, list);
    va_end(list);
    counter->status = status;
    if (status == COUNTER_ABSENT || status == COUNTER_DENIED) {
        counter->pass = -1;
        counter->value = NAN;
    }
}

static bool counts(const struct counter *counter) { return counter->pass >= 0; }

// ---------------------------------------------------------------------------------------------------------------------
// Event sets

static void drop_set(int *set)
{
    if (*set == PAPI_NULL)
        return;
    PAPI_cleanup_eventset(*set);
    PAPI_destroy_eventset(set);
    *set = PAPI_NULL;
}

// An event set with these events on the calling thread. PAPI_OK, or PAPI's error of the event that did not fit, named by *failed.
static int make_set(const struct counters *counters, const struct pass *pass, int *set, int *failed)
{
    *set = PAPI_NULL;
    *failed = -1;
    int result = PAPI_create_eventset(set);
    if (result == PAPI_OK && pass->multiplexed) {
        result = PAPI_assign_eventset_component(*set, 0);
        if (result == PAPI_OK)
            result = PAPI_set_multiplex(*set);
    }
    for (int i = 0; result == PAPI_OK && i < pass->events; i++) {
        result = PAPI_add_named_event(*set, counters->counter[pass->event[i]].event);
        if (result != PAPI_OK)
            *failed = pass->event[i];
    }
    if (result != PAPI_OK)
        drop_set(set);
    return result;
}

// Adds, starts and stops: what is only added may still be refused when it is to run.
static int try_pass(const struct counters *counters, const struct pass *pass, int *failed)
{
    int set;
    int result = make_set(counters, pass, &set, failed);
    if (result != PAPI_OK)
        return result;
    long long values[MAX_EVENTS];
    result = PAPI_start(set);
    if (result == PAPI_OK)
        result = PAPI_stop(set, values);
    drop_set(&set);
    return result;
}

static bool is_denial(int result)
{
    return result == PAPI_EPERM || (result == PAPI_ESYS && (errno == EACCES || errno == EPERM));
}

// Finds the first event that counts alone. Leaves the counter absent or denied if none does.
static void probe(struct counters *counters, int index, const char *const *events)
{
    struct counter *counter = &counters->counter[index];
    struct pass alone = {.events = 1, .event = {index}};
    enum counter_status status = COUNTER_ABSENT;
    char why[sizeof counter->reason] = "";
    for (; *events; events++) {
        int failed;
        snprintf(counter->event, sizeof counter->event, "%s", *events);
        errno = 0;
        int result = try_pass(counters, &alone, &failed);
        if (result == PAPI_OK) {
            counter->pass = 0;
            counter->status = COUNTER_OK;
            return;
        }
        if (is_denial(result)) {
            status = COUNTER_DENIED;
            double paranoid = sysfs_number(NULL, "/proc/sys/kernel/perf_event_paranoid");
            if (isnan(paranoid))
                snprintf(why, sizeof why, "%s: not permitted", *events);
            else
                snprintf(why, sizeof why, "%s: not permitted (kernel.perf_event_paranoid is %.0f)", *events, paranoid);
        } else if (status == COUNTER_ABSENT && !*why) {
            snprintf(why, sizeof why, "%s: %s", *events, PAPI_strerror(result));
        }
    }
    counter->event[0] = '\0';
    mark(counter, status, "%s", why);
}

// First fit: an event goes into the first pass that still starts with it.
static void plan_passes(struct counters *counters, int max_passes)
{
    int failed;
    for (int i = 0; i < counters->count; i++) {
        struct counter *counter = &counters->counter[i];
        bool placed = !counts(counter);
        for (int p = 0; !placed && p < counters->passes; p++) {
            struct pass wider = counters->pass[p];
            wider.event[wider.events++] = i;
            if (try_pass(counters, &wider, &failed) == PAPI_OK) {
                counters->pass[p] = wider;
                counter->pass = p;
                placed = true;
            }
        }
        if (!placed) {
            counters->pass[counters->passes] = (struct pass){.events = 1, .event = {i}};
            counter->pass = counters->passes++;
        }
    }
    if (max_passes <= 0 || counters->passes <= max_passes)
        return;
    struct pass *last = &counters->pass[max_passes - 1];
    for (int p = max_passes; p < counters->passes; p++)
        for (int k = 0; k < counters->pass[p].events; k++)
            last->event[last->events++] = counters->pass[p].event[k];
    counters->passes = max_passes;
    last->multiplexed = true;
    while (last->events) {
        int result = try_pass(counters, last, &failed);
        if (result == PAPI_OK)
            break;
        // Without the one that is to blame, or the last one where PAPI blames none.
        int at = last->events - 1;
        while (failed >= 0 && at > 0 && last->event[at] != failed)
            at--;
        mark(&counters->counter[last->event[at]], COUNTER_ABSENT, "does not fit into %d pass%s: %s", max_passes,
             max_passes == 1 ? "" : "es", PAPI_strerror(result));
        memmove(&last->event[at], &last->event[at + 1], sizeof *last->event * (size_t)(--last->events - at));
    }
    for (int k = 0; k < last->events; k++) {
        struct counter *counter = &counters->counter[last->event[k]];
        counter->pass = max_passes - 1;
        if (counter->hardware)
            mark(counter, COUNTER_MULTIPLEXED, "shares the PMU's counters with %d others in one pass, so it is extrapolated",
                 last->events - 1);
    }
    if (!last->events)
        counters->passes--;
}

// ---------------------------------------------------------------------------------------------------------------------
// Is a count to be believed?

// Counts one event around an action. NAN when that fails.
static double count_around(const struct counters *counters, int index, const struct event_check *check, double *expected)
{
    struct pass alone = {.events = 1, .event = {index}};
    int set, failed;
    long long value = 0;
    *expected = NAN;
    if (make_set(counters, &alone, &set, &failed) != PAPI_OK)
        return NAN;
    bool good = PAPI_start(set) == PAPI_OK;
    if (good) {
        *expected = check->provoke();
        good = PAPI_stop(set, &value) == PAPI_OK;
    }
    drop_set(&set);
    return good ? (double)value : NAN;
}

// Every hardware count rests on the same PMU: where it cannot count the instructions of a known loop, nothing of it is believed.
static void check_hardware(struct counters *counters)
{
    bool any = false;
    for (int i = 0; i < counters->count; i++)
        any |= counts(&counters->counter[i]) && counters->counter[i].hardware;
    if (!any || counters->count == MAX_EVENTS)
        return;
    // The last place is kept for this: instructions, whether they were asked for or not.
    int spare = counters->count;
    counters->counter[spare] = (struct counter){.name = "instructions", .hardware = true, .pass = -1, .value = NAN};
    probe(counters, spare, event_candidates("instructions"));
    if (!counts(&counters->counter[spare]))
        return;
    double expected, value = count_around(counters, spare, event_check("instructions"), &expected);
    if (isnan(expected) || fabs(value - expected) <= 0.1 * expected)
        return;
    for (int i = 0; i < counters->count; i++)
        if (counts(&counters->counter[i]) && counters->counter[i].hardware)
            mark(&counters->counter[i], COUNTER_IMPLAUSIBLE, "the PMU counted %.0f instructions in a loop of %.0f", value, expected);
}

static void check_one(struct counters *counters, int index)
{
    struct counter *counter = &counters->counter[index];
    const struct event_check *check = event_check(counter->name);
    if (!check || !counts(counter) || counter->status == COUNTER_IMPLAUSIBLE)
        return;
    double expected, value = count_around(counters, index, check, &expected);
    if (!isnan(expected) && !(value >= 0.9 * expected && (!check->exact || value <= 1.1 * expected)))
        mark(counter, COUNTER_IMPLAUSIBLE, "counted %.0f for %.0f %s", value, expected, check->what);
}

// ---------------------------------------------------------------------------------------------------------------------
// Opening

static int add_name(struct counters *counters, const char *name, size_t length, char *error, size_t error_size)
{
    struct counter counter = {.pass = -1, .value = NAN};
    while (length && (*name == ' ' || *name == '\t'))
        name++, length--;
    while (length && (name[length - 1] == ' ' || name[length - 1] == '\t'))
        length--;
    if (!length || length >= sizeof counter.name) {
        snprintf(error, error_size, length ? "counters: an event's name is longer than %zu letters"
                                           : "counters: an empty event name (names are separated by single commas)",
                 sizeof counter.name - 1);
        return -EINVAL;
    }
    memcpy(counter.name, name, length);
    for (int i = 0; i < counters->count; i++)
        if (!strcmp(counters->counter[i].name, counter.name))
            return 0;
    if (counters->count == MAX_EVENTS - 1) {
        snprintf(error, error_size, "counters: more than %d events", MAX_EVENTS - 1);
        return -EINVAL;
    }
    counter.hardware = event_is_hardware(counter.name);
    counters->counter[counters->count++] = counter;
    return 0;
}

static int read_names(struct counters *counters, const char *events, char *error, size_t error_size)
{
    if (!strcmp(events, "none"))
        return 0;
    for (const char *at = events;;) {
        const char *end = strchrnul(at, ',');
        int status = 0;
        if (end - at == 7 && !strncmp(at, "default", 7))
            for (size_t i = 0; !status && event_default(i); i++)
                status = add_name(counters, event_default(i), strlen(event_default(i)), error, error_size);
        else
            status = add_name(counters, at, (size_t)(end - at), error, error_size);
        if (status || !*end)
            return status;
        at = end + 1;
    }
}

static unsigned long thread_id(void) { return (unsigned long)pthread_self(); }

static bool start_papi(struct counters *counters)
{
    int version = PAPI_VER_CURRENT, result = PAPI_is_initialized() ? version : PAPI_library_init(version);
    if (result == version) {
        PAPI_thread_init(thread_id);
        PAPI_multiplex_init();
        return true;
    }
    snprintf(counters->papi_reason, sizeof counters->papi_reason, "PAPI does not start: %s",
             result > 0 ? "the library has another version than its header" : PAPI_strerror(result));
    return false;
}

// The event sets of the calling thread, one a pass. A pass that cannot be made here is told by the master afterwards.
static void open_member(struct counters *counters, struct member *member)
{
    member->thread = (pid_t)syscall(SYS_gettid);
    member->result = PAPI_OK;
    for (int p = 0; p < counters->passes; p++) {
        int failed, result = make_set(counters, &counters->pass[p], &member->set[p], &failed);
        if (result != PAPI_OK)
            member->result = result;
    }
}

static void open_team(struct counters *counters)
{
    int team = 1;
#pragma omp parallel num_threads(counters->threads)
    {
#pragma omp master
        team = omp_get_num_threads();
#pragma omp critical(counters_papi)
        {
            if (omp_get_thread_num())
                PAPI_register_thread();
            open_member(counters, &counters->member[omp_get_thread_num()]);
        }
    }
    counters->threads = team; // OpenMP may give fewer threads than were asked for, and does so in the phase too
}

int counters_open(const char *events, int threads, int max_passes, struct counters **out, char *error, size_t error_size)
{
    *out = NULL;
    if (threads < 1 || omp_in_parallel()) {
        snprintf(error, error_size, threads < 1 ? "counters: a team has at least one thread"
                                                : "counters: cannot be opened inside a parallel region");
        return threads < 1 ? -EINVAL : -EBUSY;
    }
    struct counters *counters = calloc(1, sizeof *counters);
    struct member *member = calloc((size_t)threads, sizeof *member);
    int status = counters && member ? 0 : -ENOMEM;
    if (status) {
        snprintf(error, error_size, "counters: out of memory");
    } else {
        counters->member = member;
        counters->threads = threads;
        counters->started = -1;
        status = read_names(counters, events, error, error_size);
    }
    if (status) {
        free(member);
        free(counters);
        return status;
    }
    for (int i = 0; i < threads; i++)
        for (int p = 0; p < MAX_EVENTS; p++)
            member[i].set[p] = PAPI_NULL;
    *out = counters;
    if (!counters->count)
        return 0;
    bool papi = start_papi(counters);
    for (int i = 0; i < counters->count; i++) {
        const char *own[] = {counters->counter[i].name, NULL};
        const char *const *candidates = event_candidates(counters->counter[i].name);
        if (papi)
            probe(counters, i, candidates ? candidates : own);
        else
            mark(&counters->counter[i], COUNTER_ABSENT, "%s", counters->papi_reason);
    }
    if (!papi)
        return 0;
    plan_passes(counters, max_passes);
    check_hardware(counters);
    for (int i = 0; i < counters->count; i++)
        check_one(counters, i);
    open_team(counters);
    return 0;
}

void counters_close(struct counters *counters)
{
    if (!counters)
        return;
    if (counters->started >= 0)
        counters_stop(counters, counters->started);
    if (counters->passes)
#pragma omp parallel num_threads(counters->threads)
    {
#pragma omp critical(counters_papi)
        {
            struct member *member = &counters->member[omp_get_thread_num()];
            for (int p = 0; p < counters->passes; p++)
                if (member->thread == (pid_t)syscall(SYS_gettid))
                    drop_set(&member->set[p]);
        }
    }
    free(counters->member);
    free(counters);
}

// ---------------------------------------------------------------------------------------------------------------------
// Counting

int counters_passes(const struct counters *counters) { return counters->passes; }

// The first thread that failed is named; half a team's sum is no count.
static void mark_failed_pass(struct counters *counters, int pass, const char *what)
{
    for (int i = 0; i < counters->threads; i++)
        for (int k = 0; counters->member[i].result != PAPI_OK && k < counters->pass[pass].events; k++) {
            struct counter *counter = &counters->counter[counters->pass[pass].event[k]];
            if (counts(counter))
                mark(counter, COUNTER_ABSENT, "thread %d of %d cannot be %s: %s", i, counters->threads, what,
                     PAPI_strerror(counters->member[i].result));
        }
}

int counters_start(struct counters *counters, int pass)
{
    if (pass < 0 || pass >= counters->passes)
        return -EINVAL;
    if (counters->started >= 0 || omp_in_parallel())
        return -EBUSY;
    counters->started = pass;
    for (int i = 0; i < counters->threads; i++)
        counters->member[i].result = PAPI_EMISC; // what a thread that does not come leaves behind
#pragma omp parallel num_threads(counters->threads)
    {
        struct member *member = &counters->member[omp_get_thread_num()];
        if (member->thread != (pid_t)syscall(SYS_gettid)) {
#pragma omp critical(counters_papi)
            {
                PAPI_register_thread();
                open_member(counters, member);
            }
        }
        member->result = member->set[pass] == PAPI_NULL ? PAPI_ENOEVST : PAPI_start(member->set[pass]);
    }
    mark_failed_pass(counters, pass, "started");
    return 0;
}

int counters_stop(struct counters *counters, int pass)
{
    if (pass < 0 || pass >= counters->passes)
        return -EINVAL;
    if (counters->started != pass || omp_in_parallel())
        return -EBUSY;
    counters->started = -1;
#pragma omp parallel num_threads(counters->threads)
    {
        struct member *member = &counters->member[omp_get_thread_num()];
        if (member->result == PAPI_OK)
            member->result = PAPI_stop(member->set[pass], member->value);
    }
    mark_failed_pass(counters, pass, "stopped");
    for (int k = 0; k < counters->pass[pass].events; k++) {
        struct counter *counter = &counters->counter[counters->pass[pass].event[k]];
        if (!counts(counter))
            continue;
        counter->value = 0;
        for (int i = 0; i < counters->threads; i++)
            counter->value += (double)counters->member[i].value[k];
    }
    return 0;
}

int counters_around(struct counters *counters, int (*phase)(void *context), void *context)
{
    for (int pass = 0; pass < counters->passes; pass++) {
        int status = counters_start(counters, pass);
        if (status)
            return status;
        int outcome = phase(context);
        status = counters_stop(counters, pass);
        if (outcome || status)
            return outcome ? outcome : status;
    }
    return 0;
}

size_t counters_count(const struct counters *counters) { return (size_t)counters->count; }

const struct counter *counters_get(const struct counters *counters, size_t index) { return &counters->counter[index]; }

const struct counter *counters_find(const struct counters *counters, const char *name)
{
    for (int i = 0; i < counters->count; i++)
        if (!strcmp(counters->counter[i].name, name))
            return &counters->counter[i];
    return NULL;
}

double counters_ipc(const struct counters *counters)
{
    const struct counter *cycles = counters_find(counters, "cycles"), *instructions = counters_find(counters, "instructions");
    if (!cycles || !instructions || cycles->status > COUNTER_MULTIPLEXED || instructions->status > COUNTER_MULTIPLEXED ||
        !(cycles->value > 0))
        return NAN;
    return instructions->value / cycles->value;
}

void counters_describe(const struct counters *counters, char *text, size_t size)
{
    int asked[2] = {0}, good[2] = {0};
    for (int i = 0; i < counters->count; i++) {
        asked[counters->counter[i].hardware]++;
        good[counters->counter[i].hardware] += counters->counter[i].status <= COUNTER_MULTIPLEXED;
    }
    if (!counters->count)
        snprintf(text, size, "no events were asked for");
    else if (*counters->papi_reason)
        snprintf(text, size, "%s", counters->papi_reason);
    else
        snprintf(text, size,
                 "PAPI %d.%d.%d, which claims %d hardware counters; %d of %d hardware and %d of %d software events count, in %d "
                 "pass%s over %d thread%s",
                 PAPI_VERSION_MAJOR(PAPI_VERSION), PAPI_VERSION_MINOR(PAPI_VERSION), PAPI_VERSION_REVISION(PAPI_VERSION),
                 PAPI_num_cmp_hwctrs(0), good[1], asked[1], good[0], asked[0], counters->passes,
                 counters->passes == 1 ? "" : "es", counters->threads, counters->threads == 1 ? "" : "s");
}
