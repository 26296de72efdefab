// SPDX-License-Identifier: MIT
#include "bench/model/team.h"

#include <errno.h>
#include <omp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPINS_BEFORE_YIELD = 2000 };

struct team {
    int threads;
    team_bind_function *bind;
    void *bind_context;
    // What the region in progress runs, and counters by which its threads take over what the caller wrote and hand back what they
    // wrote. OpenMP orders all that too, but inside a library that ThreadSanitizer does not see into.
    team_function *function;
    void *context;
    atomic_uint entered, left;
    // The two words of the barrier lie on their own cache lines: arrivals must not disturb those who wait.
    _Alignas(64) atomic_uint arrived;
    _Alignas(64) atomic_uint generation;
};

// Which team bound this thread last: OpenMP's pool outlives a team, and a thread may belong to another one next.
static _Thread_local const struct team *bound_for;

static void pause_once(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

struct opening {
    atomic_int threads, status;
};

static void open_member(struct team_member *self, void *context)
{
    struct opening *opening = context;
    if (self->thread == 0)
        atomic_store(&opening->threads, omp_get_num_threads());
    if (self->team->bind == NULL)
        return;
    const int status = self->team->bind(self->team->bind_context, self->thread);
    if (status != 0)
        atomic_store(&opening->status, status);
    bound_for = self->team;
}

int team_create(struct team **team_out, int threads, team_bind_function *bind, void *bind_context, char *error, size_t error_size)
{
    *team_out = NULL;
    struct team *team = aligned_alloc(64, sizeof(*team));
    if (team == NULL) {
        snprintf(error, error_size, "no memory for a team of %d threads", threads);
        return -ENOMEM;
    }
    memset(team, 0, sizeof(*team));
    team->threads = threads;
    team->bind = bind;
    team->bind_context = bind_context;
    omp_set_dynamic(0);
    bound_for = NULL;
    struct opening opening = { 0 };
    team_run(team, open_member, &opening);
    int status = atomic_load(&opening.status);
    if (status != 0)
        snprintf(error, error_size, "cannot bind the threads of a team of %d: %s", threads, strerror(-status));
    else if (atomic_load(&opening.threads) != threads) {
        snprintf(error, error_size, "%d threads were asked for and %d started (OMP_THREAD_LIMIT, or the system's limit)", threads,
                 atomic_load(&opening.threads));
        status = -EAGAIN;
    }
    if (status != 0) {
        free(team);
        return status;
    }
    *team_out = team;
    return 0;
}

void team_free(struct team *team)
{
    free(team);
}

int team_threads(const struct team *team)
{
    return team->threads;
}

static void enter(struct team *team, int thread)
{
    atomic_load_explicit(&team->entered, memory_order_acquire);
    struct team_member self = { team, thread, team->threads, atomic_load_explicit(&team->generation, memory_order_relaxed) };
    if (team->bind != NULL && bound_for != NULL && bound_for != team) {
        team->bind(team->bind_context, thread);
        bound_for = team;
    }
    team->function(&self, team->context);
    atomic_fetch_add_explicit(&team->left, 1, memory_order_acq_rel);
}

void team_run(struct team *team, team_function *function, void *context)
{
    team->function = function;
    team->context = context;
    atomic_fetch_add_explicit(&team->entered, 1, memory_order_release);
#pragma omp parallel num_threads(team->threads)
    enter(team, omp_get_thread_num());
    atomic_load_explicit(&team->left, memory_order_acquire);
}

void team_barrier(struct team_member *self)
{
    struct team *team = self->team;
    if (team->threads == 1)
        return;
    const unsigned next = ++self->sense;
    if (atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) + 1 == (unsigned)team->threads) {
        atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&team->generation, next, memory_order_release);
        return;
    }
    for (int spins = 0; atomic_load_explicit(&team->generation, memory_order_acquire) != next; spins++) {
        if (spins < SPINS_BEFORE_YIELD)
            pause_once();
        else
            sched_yield();
    }
}
