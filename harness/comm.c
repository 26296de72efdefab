// SPDX-License-Identifier: MIT
#include "harness/comm.h"

#include <errno.h>
#include <mpi.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct comm_group {
    MPI_Comm comm; // MPI_COMM_NULL when this process is the only rank
    int rank, size;
};

static struct comm_group world = { .rank = 0, .size = 1 };
static bool started;
static struct comm_traffic traffic;

// Messages that MPI has not taken yet, with the copies that they are sent from.
struct outgoing {
    MPI_Request request;
    void *data;
    size_t capacity;
    bool busy;
};
static struct outgoing *outgoing;
static size_t outgoing_count;

// MPI counts in int: what is larger goes in pieces.
enum { PIECE = 1 << 28 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void count(double since, double bytes)
{
    traffic.seconds += now() - since;
    traffic.bytes_sent += (uint64_t)bytes;
    traffic.calls++;
}

// A launcher tells its processes how many they are in the environment.
static bool launched_as_one_of_several(void)
{
    static const char *const names[] = { "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "SMPI_GLOBAL_SIZE" };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && atoi(value) > 1)
            return true;
    }
    return false;
}

int comm_start(int *argc, char ***argv, char *error, size_t error_size)
{
    world = (struct comm_group){ .comm = MPI_COMM_NULL, .rank = 0, .size = 1 };
    if (!launched_as_one_of_several())
        return 0;
    int provided = 0;
    if (MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS || provided < MPI_THREAD_FUNNELED) {
        snprintf(error, error_size, "MPI did not start with thread support; was llmsweep started by the mpirun of the library it was built with?");
        return -EIO;
    }
    started = true;
    world.comm = MPI_COMM_WORLD;
    MPI_Comm_rank(world.comm, &world.rank);
    MPI_Comm_size(world.comm, &world.size);
    return 0;
}

void comm_stop(void)
{
    for (size_t i = 0; i < outgoing_count; i++) {
        if (outgoing[i].busy)
            MPI_Wait(&outgoing[i].request, MPI_STATUS_IGNORE);
        free(outgoing[i].data);
    }
    free(outgoing);
    outgoing = NULL;
    outgoing_count = 0;
    if (started)
        MPI_Finalize();
    started = false;
}

void comm_abort(int exit_code)
{
    if (started)
        MPI_Abort(MPI_COMM_WORLD, exit_code);
    _exit(exit_code);
}

struct comm_group *comm_world(void)
{
    return &world;
}

int comm_rank(const struct comm_group *group)
{
    return group->rank;
}

int comm_size(const struct comm_group *group)
{
    return group->size;
}

// There is no telling the others when memory for a group or a message is missing.
static void *need(void *memory)
{
    if (memory == NULL)
        comm_abort(3);
    return memory;
}

struct comm_group *comm_split(struct comm_group *group, int color, int key)
{
    struct comm_group *part = need(malloc(sizeof(*part)));
    *part = (struct comm_group){ .comm = MPI_COMM_NULL, .rank = 0, .size = 1 };
    if (group->size == 1)
        return part;
    MPI_Comm_split(group->comm, color, key, &part->comm);
    MPI_Comm_rank(part->comm, &part->rank);
    MPI_Comm_size(part->comm, &part->size);
    return part;
}

void comm_group_free(struct comm_group *group)
{
    if (group == NULL || group == &world)
        return;
    if (group->comm != MPI_COMM_NULL)
        MPI_Comm_free(&group->comm);
    free(group);
}

void comm_barrier(struct comm_group *group)
{
    if (group->size == 1)
        return;
    const double start = now();
    MPI_Barrier(group->comm);
    count(start, 0);
}

static void all_reduce(struct comm_group *group, void *values, size_t items, size_t item_bytes, MPI_Datatype type, MPI_Op op)
{
    if (group->size == 1 || items == 0)
        return;
    const double start = now();
    for (size_t done = 0; done < items; done += PIECE) {
        const size_t piece = items - done < PIECE ? items - done : PIECE;
        MPI_Allreduce(MPI_IN_PLACE, (char *)values + done * item_bytes, (int)piece, type, op, group->comm);
    }
    count(start, 2.0 * (double)(items * item_bytes) * (group->size - 1) / group->size);
}

void comm_all_reduce_sum(struct comm_group *group, float *values, size_t items)
{
    all_reduce(group, values, items, sizeof(float), MPI_FLOAT, MPI_SUM);
}

void comm_all_reduce_max_u64(struct comm_group *group, uint64_t *values, size_t items)
{
    all_reduce(group, values, items, sizeof(uint64_t), MPI_UINT64_T, MPI_MAX);
}

void comm_all_reduce_sum_u64(struct comm_group *group, uint64_t *values, size_t items)
{
    all_reduce(group, values, items, sizeof(uint64_t), MPI_UINT64_T, MPI_SUM);
}

void comm_broadcast(struct comm_group *group, void *data, size_t bytes, int root)
{
    if (group->size == 1 || bytes == 0)
        return;
    const double start = now();
    for (size_t done = 0; done < bytes; done += PIECE) {
        const size_t piece = bytes - done < PIECE ? bytes - done : PIECE;
        MPI_Bcast((char *)data + done, (int)piece, MPI_BYTE, root, group->comm);
    }
    count(start, group->rank == root ? (double)bytes : 0);
}

void comm_all_gather(struct comm_group *group, const void *mine, void *all, size_t bytes)
{
    if (group->size == 1) {
        memcpy(all, mine, bytes);
        return;
    }
    if (bytes == 0)
        return;
    const double start = now();
    if (bytes <= PIECE) {
        MPI_Allgather(mine, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE, group->comm);
    } else { // each rank's part in turn, so that the pieces land behind one another
        memcpy((char *)all + (size_t)group->rank * bytes, mine, bytes);
        for (int root = 0; root < group->size; root++)
            for (size_t done = 0; done < bytes; done += PIECE) {
                const size_t piece = bytes - done < PIECE ? bytes - done : PIECE;
                MPI_Bcast((char *)all + (size_t)root * bytes + done, (int)piece, MPI_BYTE, root, group->comm);
            }
    }
    count(start, (double)bytes * (group->size - 1));
}

// A free slot with room for `bytes`; messages that have left free theirs on the way.
static struct outgoing *outgoing_slot(size_t bytes)
{
    struct outgoing *slot = NULL;
    for (size_t i = 0; i < outgoing_count; i++) {
        struct outgoing *candidate = &outgoing[i];
        if (candidate->busy) {
            int left = 0;
            MPI_Test(&candidate->request, &left, MPI_STATUS_IGNORE);
            candidate->busy = !left;
        }
        if (!candidate->busy && (slot == NULL || candidate->capacity >= bytes))
            slot = candidate;
    }
    if (slot == NULL) {
        // MPI keeps no pointer to a request of ours between calls, so the slots may move
        outgoing = need(realloc(outgoing, (outgoing_count + 1) * sizeof(*outgoing)));
        slot = &outgoing[outgoing_count++];
        *slot = (struct outgoing){ .data = NULL };
    }
    if (slot->capacity < bytes) {
        free(slot->data);
        slot->data = need(malloc(bytes));
        slot->capacity = bytes;
    }
    return slot;
}

void comm_send(struct comm_group *group, const void *data, size_t bytes, int to, int tag)
{
    const double start = now();
    for (size_t done = 0; done == 0 || done < bytes; done += PIECE) {
        const size_t piece = bytes - done < PIECE ? bytes - done : PIECE;
        struct outgoing *slot = outgoing_slot(piece > 0 ? piece : 1);
        memcpy(slot->data, (const char *)data + done, piece);
        MPI_Isend(slot->data, (int)piece, MPI_BYTE, to, tag, group->comm, &slot->request);
        slot->busy = true;
    }
    count(start, (double)bytes);
}

void comm_receive(struct comm_group *group, void *data, size_t bytes, int from, int tag)
{
    const double start = now();
    for (size_t done = 0; done == 0 || done < bytes; done += PIECE) {
        const size_t piece = bytes - done < PIECE ? bytes - done : PIECE;
        MPI_Recv((char *)data + done, (int)piece, MPI_BYTE, from, tag, group->comm, MPI_STATUS_IGNORE);
    }
    count(start, 0);
}

void comm_broadcast_idle(struct comm_group *group, void *data, size_t bytes)
{
    if (group->size == 1 || bytes == 0)
        return;
    MPI_Request request;
    MPI_Ibcast(data, (int)bytes, MPI_BYTE, 0, group->comm, &request);
    for (int arrived = 0;;) {
        MPI_Test(&request, &arrived, MPI_STATUS_IGNORE);
        if (arrived)
            return;
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
}

struct comm_traffic comm_traffic(void)
{
    return traffic;
}
