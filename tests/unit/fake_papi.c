// SPDX-License-Identifier: MIT
// A PMU that is not there, behind PAPI's names: a test that includes this file links these functions instead of the library's.
// It has so many counters, knows these events, and counts what the test says; every thread counts for itself.
#include <papi.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_VERSION PAPI_VER_CURRENT

enum { FAKE_EVENTS = 24, FAKE_SETS = 512 };
static struct {
    int counters;    // that the PMU has; software events need none
    int init_result; // 0 = works
    int running;     // event sets that run now, over all threads
    int starts;
    int fail_start_on; // thread (in order of its first start) whose PAPI_start fails; -1 = none
    struct {
        const char *name;
        long long value;
        int result;  // of adding it: PAPI_OK, PAPI_EPERM, …
        bool software, not_multiplexed;
    } event[FAKE_EVENTS];
    int events;
} fake;

static struct fake_set {
    bool used, multiplexed, running;
    pthread_t owner;
    int events, event[32];
} fake_set[FAKE_SETS];
static pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;

static void fake_reset(int counters) {
    memset(&fake, 0, sizeof fake);
    memset(fake_set, 0, sizeof fake_set);
    fake.counters = counters;
    fake.fail_start_on = -1;
}

static void fake_event(const char *name, long long value) {
    fake.event[fake.events].name = name;
    fake.event[fake.events++].value = value;
}

static void fake_software_event(const char *name, long long value) {
    fake.event[fake.events].software = true;
    fake_event(name, value);
}

static void fake_refused_event(const char *name, int result) {
    fake.event[fake.events].result = result;
    fake_event(name, 0);
}

static int fake_sets_left(void) {
    int left = 0;
    for (int i = 0; i < FAKE_SETS; i++)
        left += fake_set[i].used;
    return left;
}

int PAPI_library_init(int version) { return fake.init_result ? fake.init_result : version; }
int PAPI_is_initialized(void) { return PAPI_NOT_INITED; }
int PAPI_thread_init(unsigned long (*id)(void)) { return id ? PAPI_OK : PAPI_EINVAL; }
int PAPI_multiplex_init(void) { return PAPI_OK; }
int PAPI_register_thread(void) { return PAPI_OK; }
int PAPI_num_cmp_hwctrs(int component) { return component ? 0 : fake.counters; }
int PAPI_assign_eventset_component(int set, int component) { return fake_set[set].events || component ? PAPI_EINVAL : PAPI_OK; }

char *PAPI_strerror(int result) {
    return result == PAPI_ENOEVNT   ? "Event does not exist"
           : result == PAPI_EPERM   ? "Permission level does not permit operation"
           : result == PAPI_ECNFLCT ? "Event exists, but cannot be counted due to counter resource limitations"
           : result == PAPI_ECMP    ? "Not supported by component"
                                    : "Some other error";
}

int PAPI_create_eventset(int *set) {
    pthread_mutex_lock(&fake_lock);
    int result = PAPI_ENOMEM;
    for (int i = 0; i < FAKE_SETS && result != PAPI_OK; i++)
        if (!fake_set[i].used) {
            fake_set[i] = (struct fake_set){.used = true, .owner = pthread_self()};
            *set = i;
            result = PAPI_OK;
        }
    pthread_mutex_unlock(&fake_lock);
    return result;
}

int PAPI_cleanup_eventset(int set) {
    fake_set[set].events = 0;
    return PAPI_OK;
}

int PAPI_destroy_eventset(int *set) {
    fake_set[*set].used = false;
    *set = PAPI_NULL;
    return PAPI_OK;
}

int PAPI_set_multiplex(int set) {
    fake_set[set].multiplexed = true;
    return PAPI_OK;
}

int PAPI_add_named_event(int set, const char *name) {
    struct fake_set *to = &fake_set[set];
    int used = 0;
    for (int i = 0; i < to->events; i++)
        used += !fake.event[to->event[i]].software;
    for (int i = 0; i < fake.events; i++) {
        if (strcmp(fake.event[i].name, name))
            continue;
        if (fake.event[i].result)
            return fake.event[i].result;
        if (to->multiplexed ? fake.event[i].not_multiplexed : !fake.event[i].software && used == fake.counters)
            return PAPI_ECNFLCT;
        to->event[to->events++] = i;
        return PAPI_OK;
    }
    return PAPI_ENOEVNT;
}

int PAPI_start(int set) {
    static pthread_t seen[64];
    static int threads;
    struct fake_set *to = &fake_set[set];
    if (to->running)
        return PAPI_EISRUN;
    if (!pthread_equal(to->owner, pthread_self())) // PAPI counts the thread that made the set
        return PAPI_EINVAL;
    pthread_mutex_lock(&fake_lock);
    int who = 0;
    while (who < threads && !pthread_equal(seen[who], pthread_self()))
        who++;
    if (who == threads && threads < 64)
        seen[threads++] = pthread_self();
    bool fails = who == fake.fail_start_on;
    fake.running += !fails;
    fake.starts++;
    pthread_mutex_unlock(&fake_lock);
    to->running = !fails;
    return fails ? PAPI_ECNFLCT : PAPI_OK;
}

int PAPI_stop(int set, long long *values) {
    struct fake_set *to = &fake_set[set];
    if (!to->running)
        return PAPI_ENOTRUN;
    to->running = false;
    pthread_mutex_lock(&fake_lock);
    fake.running--;
    pthread_mutex_unlock(&fake_lock);
    for (int i = 0; i < to->events; i++)
        values[i] = fake.event[to->event[i]].value;
    return PAPI_OK;
}
