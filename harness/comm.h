// SPDX-License-Identifier: MIT
// Ranks and what they exchange: the only part of the program that knows MPI.
//
// A process that was not started by mpirun or srun is one rank, and MPI is never initialised. A group is a subset of the ranks
// that works together (a tensor-parallel group, the stages of one pipeline). All calls are collective over their group unless
// they say otherwise, and are made by one thread a process.
#ifndef LLMSWEEP_COMM_H
#define LLMSWEEP_COMM_H

#include <stddef.h>
#include <stdint.h>

struct comm_group;

// Starts MPI when this process was launched as one of several ranks. 0, or -EIO with a line in error.
int comm_start(int *argc, char ***argv, char *error, size_t error_size);
// Ends MPI if it was started.
void comm_stop(void);
// Ends every rank of the job at once, as when one rank cannot go on.
void comm_abort(int exit_code) __attribute__((noreturn));

struct comm_group *comm_world(void);
int comm_rank(const struct comm_group *group);
int comm_size(const struct comm_group *group);
// Splits: ranks that pass the same colour form a group, ordered by key. The caller frees it with comm_group_free.
struct comm_group *comm_split(struct comm_group *group, int color, int key);
void comm_group_free(struct comm_group *group);

void comm_barrier(struct comm_group *group);
// values[i] = Σ over ranks of values[i], in place; every rank gets bit for bit the same result.
void comm_all_reduce_sum(struct comm_group *group, float *values, size_t count);
void comm_all_reduce_max_u64(struct comm_group *group, uint64_t *values, size_t count);
void comm_all_reduce_sum_u64(struct comm_group *group, uint64_t *values, size_t count);
// Counted in the traffic of the root alone.
void comm_broadcast(struct comm_group *group, void *data, size_t bytes, int root);
// Every rank's `bytes` behind one another in `all` (size·bytes), in rank order, on every rank.
void comm_all_gather(struct comm_group *group, const void *mine, void *all, size_t bytes);
// Point to point between two ranks of a group; the receiver knows the size. Sending copies the data and returns at once, so that
// no order of sends and receives between the ranks can lock up.
void comm_send(struct comm_group *group, const void *data, size_t bytes, int to, int tag);
void comm_receive(struct comm_group *group, void *data, size_t bytes, int from, int tag);
// Broadcast from rank 0 for the idle loop: the other ranks sleep in steps of a millisecond instead of spinning, so that a worker
// that waits takes no core from the one that is timed.
void comm_broadcast_idle(struct comm_group *group, void *data, size_t bytes);

// Bytes that this rank has sent since the process started, and the seconds that it spent inside the calls above (idle broadcasts
// not counted). A ring's volume for collectives: 2·S·(n−1)/n for an all-reduce.
struct comm_traffic {
    uint64_t bytes_sent, calls;
    double seconds;
};
struct comm_traffic comm_traffic(void);

#endif
