// SPDX-License-Identifier: MIT
// Which PU every thread of every rank gets, on the plain tree of topology_internal.h.
#include "harness/topology_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 4, 5))) static int refuse(int status, char *reason, size_t size, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    if (reason && size)
        vsnprintf(reason, size, format, list);
    va_end(list);
    return status;
}

struct placer {
    const struct topology *topology;
    bool *free;      // (pus): may still be given to a thread
    int *ranks_from; // (pus): how many ranks have their first thread here
    int *chosen;     // (threads): logical PUs of the rank that is being placed
    int taken;
};

static int free_below(const struct placer *placer, const struct node *node)
{
    int count = 0;
    for (int i = node->first_pu; i < node->first_pu + node->pus; i++)
        count += placer->free[i];
    return count;
}

static int ranks_below(const struct placer *placer, const struct node *node)
{
    int count = 0;
    for (int i = node->first_pu; i < node->first_pu + node->pus; i++)
        count += placer->ranks_from[i];
    return count;
}

static void take(struct placer *placer, const struct node *node, int want);

// Fills from the children with most room first, so that as few of them as possible are touched.
static void take_over_children(struct placer *placer, const struct node *node, int want)
{
    const struct topology *topology = placer->topology;
    while (want > 0) {
        const struct node *best = NULL;
        int most = 0;
        for (int c = node->first_child; c >= 0; c = topology->node[c].next) {
            int room = free_below(placer, &topology->node[c]);
            if (room > most) {
                most = room;
                best = &topology->node[c];
            }
        }
        if (!best)
            return;
        take(placer, best, want < most ? want : most);
        want -= want < most ? want : most;
    }
}

// Takes `want` free PUs below node, in the smallest part of the machine that holds them. Of several such parts, the one with
// the fewest ranks, then the one with most room: this is what spreads ranks and keeps a rank's threads together.
static void take(struct placer *placer, const struct node *node, int want)
{
    const struct topology *topology = placer->topology;
    if (node->type == NODE_PU) {
        placer->free[node->first_pu] = false;
        placer->chosen[placer->taken++] = node->first_pu;
        return;
    }
    const struct node *best = NULL;
    int fewest = 0, most = 0;
    for (int c = node->first_child; c >= 0; c = topology->node[c].next) {
        const struct node *child = &topology->node[c];
        int room = free_below(placer, child), ranks = ranks_below(placer, child);
        if (room >= want && (!best || ranks < fewest || (ranks == fewest && room > most))) {
            best = child;
            fewest = ranks;
            most = room;
        }
    }
    if (best)
        take(placer, best, want);
    else
        take_over_children(placer, node, want);
}

static int compare_ints(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

static int efficiency_of(const struct topology *topology, const struct pu *pu)
{
    return pu->kind < 0 ? -1 : topology->kind[pu->kind].efficiency;
}

// How many PUs of its core come before this one among those that may be used.
static int rank_in_core(const struct topology *topology, const bool *may, int at)
{
    int before = 0;
    for (int i = at - 1; i >= 0 && topology->pu[i].core == topology->pu[at].core; i--)
        before += may[i];
    return before;
}

// Of the PUs in `layer`, keeps `want` that are spread evenly over the machine.
static void thin_out(struct placer *placer, bool *layer, int want)
{
    size_t pus = (size_t)placer->topology->pus;
    memcpy(placer->free, layer, pus * sizeof *layer);
    memset(layer, 0, pus * sizeof *layer);
    placer->taken = 0;
    for (int i = 0; i < want; i++) {
        take(placer, &placer->topology->node[0], 1);
        layer[placer->chosen[i]] = true;
        placer->ranks_from[placer->chosen[i]]++;
    }
    memset(placer->ranks_from, 0, pus * sizeof *placer->ranks_from);
}

// The most efficient kind below `bound` among the PUs that are the sibling-th of their core. INT32_MIN when there is none.
static int next_kind(const struct topology *topology, const bool *may, int sibling, int bound)
{
    int best = INT32_MIN;
    for (int i = 0; i < topology->pus; i++) {
        int efficiency = efficiency_of(topology, &topology->pu[i]);
        if (may[i] && efficiency < bound && efficiency > best && rank_in_core(topology, may, i) == sibling)
            best = efficiency;
    }
    return best;
}

// Leaves in placer->free the PUs to choose from, layer by layer: one in every core before a second in any, and the more capable
// kind of core before the other. A layer that is needed whole is there whole, so that nothing of a later one displaces it; a
// first layer that is larger than needed is there whole too, so that ranks can spread over it.
static int choose_candidates(struct placer *placer, const bool *may, int need, bool *smt)
{
    const struct topology *topology = placer->topology;
    size_t pus = (size_t)topology->pus;
    bool *candidates = calloc(pus, sizeof *candidates), *layer = calloc(pus, sizeof *layer);
    int chosen = 0, status = candidates && layer ? 0 : -ENOMEM;
    for (int sibling = 0; !status && chosen < need && sibling < topology->summary.smt; sibling++) {
        int kind = INT32_MAX;
        while (chosen < need && (kind = next_kind(topology, may, sibling, kind)) != INT32_MIN) {
            int found = 0;
            for (int i = 0; i < topology->pus; i++)
                found += layer[i] = may[i] && efficiency_of(topology, &topology->pu[i]) == kind &&
                                    rank_in_core(topology, may, i) == sibling;
            if (chosen && found > need - chosen)
                thin_out(placer, layer, found = need - chosen);
            for (int i = 0; i < topology->pus; i++)
                candidates[i] |= layer[i];
            chosen += found;
            *smt |= sibling > 0;
        }
    }
    if (!status)
        memcpy(placer->free, candidates, pus * sizeof *candidates);
    free(candidates);
    free(layer);
    return status;
}

static int compare_ranks(const void *a, const void *b) { return **(int *const *)a - **(int *const *)b; }

static void place_shared(struct placer *placer, const bool *may, int usable, struct placement *placement)
{
    // More threads than PUs: for tests of correctness, so simply around the machine.
    int *order = placer->chosen, count = 0;
    for (int i = 0; i < placer->topology->pus; i++)
        if (may[i])
            order[count++] = i;
    for (int i = 0; i < placement->ranks * placement->threads; i++)
        placement->pus[i] = placer->topology->pu[order[i % usable]].os_index;
    placement->oversubscribed = true;
}

static int place_each(struct placer *placer, struct placement *placement)
{
    const struct topology *topology = placer->topology;
    int ranks = placement->ranks, threads = placement->threads;
    int *logical = calloc((size_t)ranks * (size_t)threads, sizeof *logical), **order = calloc((size_t)ranks, sizeof *order);
    if (!logical || !order) {
        free(logical);
        free(order);
        return -ENOMEM;
    }
    for (int r = 0; r < ranks; r++) {
        order[r] = placer->chosen = logical + (size_t)r * (size_t)threads;
        placer->taken = 0;
        take(placer, &topology->node[0], threads);
        qsort(order[r], (size_t)threads, sizeof **order, compare_ints);
        placer->ranks_from[order[r][0]]++;
    }
    // Ranks that stand next to each other exchange most, so they are numbered along the machine.
    qsort(order, (size_t)ranks, sizeof *order, compare_ranks);
    for (int r = 0; r < ranks; r++)
        for (int t = 0; t < threads; t++) {
            const struct pu *pu = &topology->pu[order[r][t]];
            placement->pus[r * threads + t] = pu->os_index;
            placement->mixed_kinds |= efficiency_of(topology, pu) != efficiency_of(topology, &topology->pu[order[0][0]]);
        }
    free(logical);
    free(order);
    return 0;
}

static int place_in(const struct topology *topology, const bool *may, int ranks, int threads, unsigned flags,
                    struct placement *placement, char *reason, size_t size)
{
    *placement = (struct placement){.ranks = ranks, .threads = threads};
    if (ranks < 1 || threads < 1 || ranks > 65536 || threads > 65536)
        return refuse(-EINVAL, reason, size, "%d ranks of %d threads: both must be between 1 and 65536", ranks, threads);
    long need = (long)ranks * threads;
    int cores = 0, pus = 0, last = -1;
    for (int i = 0; i < topology->pus; i++)
        if (may[i]) {
            pus++;
            cores += topology->pu[i].core != last;
            last = topology->pu[i].core;
        }
    bool smt = !(flags & PLACE_NO_SMT);
    if (!pus || (need > (smt ? pus : cores) && !(flags & PLACE_OVERSUBSCRIBE))) {
        if (smt && pus > cores)
            return refuse(-ENOSPC, reason, size, "needs %ld threads, this process may use %d cores with %d hardware threads",
                          need, cores, pus);
        return refuse(-ENOSPC, reason, size, "needs %ld core%s, this process may use %d", need, need == 1 ? "" : "s", cores);
    }
    size_t count = (size_t)topology->pus, all = (size_t)need > count ? (size_t)need : count;
    struct placer placer = {.topology = topology, .free = calloc(count, sizeof(bool)),
                            .ranks_from = calloc(count, sizeof(int)), .chosen = calloc(all, sizeof(int))};
    int *scratch = placer.chosen, status = 0;
    placement->pus = calloc((size_t)need, sizeof *placement->pus);
    if (!placer.free || !placer.ranks_from || !scratch || !placement->pus)
        status = refuse(-ENOMEM, reason, size, "out of memory");
    else if (need > pus || (!smt && need > cores)) {
        place_shared(&placer, may, pus, placement);
    } else {
        status = choose_candidates(&placer, may, (int)need, &placement->smt);
        status = status ? status : place_each(&placer, placement);
        if (status)
            refuse(status, reason, size, "out of memory");
    }
    free(placer.free);
    free(placer.ranks_from);
    free(scratch);
    if (status)
        placement_free(placement);
    return status;
}

int topology_place(const struct topology *topology, int ranks, int threads, unsigned flags, struct placement *placement,
                   char *reason, size_t reason_size)
{
    bool *may = calloc((size_t)topology->pus + 1, sizeof *may);
    if (!may)
        return refuse(-ENOMEM, reason, reason_size, "out of memory");
    for (int i = 0; i < topology->pus; i++)
        may[i] = topology->pu[i].usable;
    int status = place_in(topology, may, ranks, threads, flags, placement, reason, reason_size);
    free(may);
    return status;
}

// ---------------------------------------------------------------------------------------------------------------------

static int read_mask(const struct topology *topology, const char *mask, int rank, bool *may, char *reason, size_t size)
{
    int *indices = calloc(65536, sizeof *indices);
    int count = indices ? index_list_parse(mask, indices, 65536) : -ENOMEM, marked = 0;
    for (int i = 0; i < topology->pus; i++) {
        may[i] = false;
        for (int k = 0; k < count; k++)
            may[i] |= topology->pu[i].os_index == indices[k] && topology->pu[i].usable;
        marked += may[i];
    }
    free(indices);
    if (count < 0)
        return refuse(count == -ENOMEM ? -ENOMEM : -EINVAL, reason, size, "rank %d: '%s' is not a list of PUs", rank, mask);
    return marked ? 0 : refuse(-EINVAL, reason, size, "rank %d is bound to %s, none of which this process may use", rank, mask);
}

int topology_place_bound(const struct topology *topology, const char *const *masks, int ranks, int threads, unsigned flags,
                         struct placement *placement, char *reason, size_t reason_size)
{
    *placement = (struct placement){.ranks = ranks, .threads = threads};
    if (ranks < 1 || threads < 1 || ranks > 65536 || threads > 65536)
        return refuse(-EINVAL, reason, reason_size, "%d ranks of %d threads: both must be between 1 and 65536", ranks, threads);
    size_t pus = (size_t)topology->pus;
    bool *may = calloc((size_t)ranks * pus + 1, sizeof *may), same = true;
    placement->pus = calloc((size_t)ranks * (size_t)threads, sizeof *placement->pus);
    int status = may && placement->pus ? 0 : refuse(-ENOMEM, reason, reason_size, "out of memory");
    for (int r = 0; !status && r < ranks; r++) {
        status = read_mask(topology, masks[r], r, may + (size_t)r * pus, reason, reason_size);
        same = same && !status && !memcmp(may, may + (size_t)r * pus, pus * sizeof *may);
    }
    for (int a = 0; !status && !same && a < ranks; a++)
        for (int b = a + 1; !status && b < ranks; b++) {
            int shared[256], count = 0;
            for (size_t i = 0; i < pus && count < 256; i++)
                if (may[(size_t)a * pus + i] && may[(size_t)b * pus + i])
                    shared[count++] = topology->pu[i].os_index;
            char list[128];
            index_list_format(shared, (size_t)count, list, sizeof list);
            if (count)
                status = refuse(-EINVAL, reason, reason_size, "ranks %d and %d were both bound to PU%s %s by the launcher", a, b,
                                count > 1 ? "s" : "", list);
        }
    if (!status && same) {
        placement_free(placement);
        status = place_in(topology, may, ranks, threads, flags, placement, reason, reason_size);
    }
    for (int r = 0; !status && !same && r < ranks; r++) {
        struct placement one;
        char why[160];
        status = place_in(topology, may + (size_t)r * pus, 1, threads, flags, &one, why, sizeof why);
        if (status) {
            refuse(status, reason, reason_size, "rank %d, bound to %s: %s", r, masks[r], why);
            break;
        }
        memcpy(placement->pus + (size_t)r * (size_t)threads, one.pus, (size_t)threads * sizeof *one.pus);
        placement->smt |= one.smt;
        placement->oversubscribed |= one.oversubscribed;
        placement->mixed_kinds |= one.mixed_kinds;
        placement_free(&one);
    }
    free(may);
    if (status)
        placement_free(placement);
    return status;
}

void placement_free(struct placement *placement)
{
    free(placement->pus);
    placement->pus = NULL;
}

int placement_format(const struct placement *placement, char *text, size_t size)
{
    int used = 0;
    if (size)
        text[0] = '\0';
    for (int r = 0; r < placement->ranks; r++)
        for (int t = 0; t < placement->threads; t++) {
            size_t left = (size_t)used < size ? size - (size_t)used : 0;
            char *at = left ? text + used : NULL;
            int pu = placement->pus[r * placement->threads + t];
            used += t ? snprintf(at, left, ",%d", pu) : snprintf(at, left, "%s%d:%d", r ? ";" : "", r, pu);
        }
    return used;
}

static bool read_number(const char **text, int *number)
{
    if (**text < '0' || **text > '9')
        return false;
    long value = 0;
    while (**text >= '0' && **text <= '9' && value < 1000000)
        value = 10 * value + *(*text)++ - '0';
    *number = (int)value;
    return value < 1000000;
}

int placement_parse(const char *text, struct placement *placement, char *reason, size_t reason_size)
{
    *placement = (struct placement){.ranks = 0};
    int capacity = 0, used = 0, threads = 0, number;
    const char *at = text;
    for (;;) {
        int here = 0;
        if (!read_number(&at, &number) || number != placement->ranks || *at++ != ':')
            goto malformed;
        do {
            if (!read_number(&at, &number))
                goto malformed;
            if (used == capacity) {
                int *larger = realloc(placement->pus, sizeof *larger * (size_t)(capacity = 2 * capacity + 16));
                if (!larger) {
                    placement_free(placement);
                    return refuse(-ENOMEM, reason, reason_size, "out of memory");
                }
                placement->pus = larger;
            }
            for (int i = 0; i < used; i++)
                placement->oversubscribed |= placement->pus[i] == number;
            placement->pus[used++] = number;
            here++;
        } while (*at == ',' && at++);
        if (placement->ranks++ && here != threads)
            goto malformed;
        placement->threads = threads = here;
        if (!*at)
            return 0;
        if (*at++ != ';')
            goto malformed;
    }
malformed:
    placement_free(placement);
    return refuse(-EINVAL, reason, reason_size, "'%s' is not a placement (an example, two ranks of two threads: 0:0,1;1:2,3)", text);
}
