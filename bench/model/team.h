// SPDX-License-Identifier: MIT
// The threads of one rank. A whole decode step runs as one region: every thread executes the same function and takes its share of each
// matrix, with spin barriers between the steps instead of a fork and join for each matrix.
//
// The threads are OpenMP's, so that OpenBLAS and oneDNN (OpenMP builds) share the pool instead of adding one.
#ifndef LLMSWEEP_TEAM_H
#define LLMSWEEP_TEAM_H

#include <stddef.h>

struct team;

// One thread's view of its team.
struct team_member {
    struct team *team;
    int thread, threads; // 0 .. threads−1; thread 0 is the caller of team_run
    unsigned sense;      // private to the barrier
};

typedef void team_function(struct team_member *self, void *context);
// Binds the calling thread, the thread-th of this rank, to its processing unit. 0 or -errno. Called once in each thread.
typedef int team_bind_function(void *context, int thread);

// bind may be NULL: the threads stay where the system puts them. -ENOMEM, -EAGAIN when the threads cannot be had, or bind's error;
// one line in error.
int team_create(struct team **team, int threads, team_bind_function *bind, void *bind_context, char *error, size_t error_size);
void team_free(struct team *team);
int team_threads(const struct team *team);
// Runs function in every thread and returns when all have returned.
void team_run(struct team *team, team_function *function, void *context);
// Waits until every thread of the team is here. Spins, then yields, so that oversubscribed ranks do not starve each other.
void team_barrier(struct team_member *self);

#endif
