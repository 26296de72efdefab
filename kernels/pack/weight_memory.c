// SPDX-License-Identifier: MIT
#include "kernels/pack/weight_memory.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { HUGE_PAGE = 2 << 20, ARENA = 32 << 20, LINE = 64 };

static size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

#ifdef __SANITIZE_ADDRESS__ // which sees accesses beyond an end only where malloc() gave the memory
uint8_t *weight_memory_reserve(size_t bytes) { return aligned_alloc(LINE, round_up(bytes, LINE)); }

void weight_memory_release(uint8_t *memory) { free(memory); }
#else
// A mapping: of one large matrix, or of small ones after each other.
struct arena {
    uint8_t *base;
    size_t size, used;
    size_t last; // where the last one begins; `used` once that was released
    int live;    // matrices in it
    bool shared;
    struct arena *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct arena *arenas;

static uint8_t *map(size_t size) {
    uint8_t *all = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED)
        return NULL;
    const size_t before = (HUGE_PAGE - (uintptr_t)all % HUGE_PAGE) % HUGE_PAGE;
    if (before > 0)
        munmap(all, before);
    munmap(all + before + size, HUGE_PAGE - before);
    return all + before;
}

static struct arena *add_arena(size_t bytes, bool shared) {
    const size_t size = round_up(bytes, HUGE_PAGE);
    struct arena *arena = malloc(sizeof(*arena));
    if (arena == NULL)
        return NULL;
    *arena = (struct arena){.base = map(size), .size = size, .shared = shared, .next = arenas};
    if (arena->base == NULL) {
        free(arena);
        return NULL;
    }
    arenas = arena;
    madvise(arena->base, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); // a wish; no page of which most would be wasted
    return arena;
}

static struct arena *find_room(size_t bytes) {
    for (struct arena *arena = arenas; arena != NULL; arena = arena->next) {
        if (arena->shared && arena->size - arena->used >= bytes)
            return arena;
    }
    return NULL;
}

// With several NUMA nodes a huge page of small matrices would lie on the node of one of their many readers.
static bool several_nodes(void) { return access("/sys/devices/system/node/node1", F_OK) == 0; }

uint8_t *weight_memory_reserve(size_t bytes) {
    bytes = round_up(bytes, LINE);
    if (bytes < HUGE_PAGE && several_nodes())
        return aligned_alloc(LINE, bytes);
    const bool small = bytes < ARENA / 4;
    uint8_t *memory = NULL;
    pthread_mutex_lock(&lock);
    struct arena *arena = small ? find_room(bytes) : NULL;
    if (arena == NULL)
        arena = add_arena(small ? ARENA : bytes, small);
    if (arena != NULL) {
        arena->last = arena->used;
        memory = arena->base + arena->used;
        arena->used += bytes;
        arena->live++;
    }
    pthread_mutex_unlock(&lock);
    return memory;
}

void weight_memory_release(uint8_t *memory) {
    pthread_mutex_lock(&lock);
    struct arena **link = &arenas, *arena;
    while ((arena = *link) != NULL && !(memory >= arena->base && memory < arena->base + arena->size))
        link = &arena->next;
    const bool empty = arena != NULL && --arena->live == 0;
    if (arena != NULL && memory == arena->base + arena->last) // the next one takes its place, so that temporary ones do not pile up
        arena->used = arena->last;
    if (empty)
        *link = arena->next;
    pthread_mutex_unlock(&lock);
    if (empty) {
        munmap(arena->base, arena->size);
        free(arena);
    } else if (arena == NULL) {
        free(memory);
    }
}
#endif
