// SPDX-License-Identifier: MIT
// What is computed from the plain tree of topology_internal.h: caches reached, identity, PU lists.
#include "harness/topology_internal.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct topology_summary *topology_summary(const struct topology *topology) { return &topology->summary; }

static bool below_one_of(const struct topology *topology, const struct node *node, const int *pus, size_t count)
{
    for (int i = node->first_pu; i < node->first_pu + node->pus; i++) {
        if (!pus && topology->pu[i].usable)
            return true;
        for (size_t k = 0; pus && k < count; k++)
            if (topology->pu[i].os_index == pus[k])
                return true;
    }
    return false;
}

bool topology_last_level_cache(const struct topology *topology, const int *pus, size_t count, uint64_t *bytes)
{
    // The last level of these PUs, not of the machine: efficiency cores may end a level earlier.
    int last = 0;
    for (int n = 0; n < topology->nodes; n++) {
        const struct node *node = &topology->node[n];
        if (node->type == NODE_CACHE && node->cache != 'i' && node->bytes && node->level > last &&
            below_one_of(topology, node, pus, count))
            last = node->level;
    }
    *bytes = 0;
    for (int n = 0; n < topology->nodes; n++) {
        const struct node *node = &topology->node[n];
        if (node->type == NODE_CACHE && node->cache != 'i' && node->level == last && below_one_of(topology, node, pus, count))
            *bytes += node->bytes;
    }
    return last > 0 && *bytes > 0;
}

// ---------------------------------------------------------------------------------------------------------------------

static void hash_text(uint64_t *hash, const char *text)
{
    for (; *text; text++)
        *hash = (*hash ^ (unsigned char)*text) * 0x100000001b3u; // FNV-1a, 64 bits
}

uint64_t topology_hash(const struct topology *topology)
{
    uint64_t hash = 0xcbf29ce484222325u;
    char text[128];
    hash_text(&hash, topology->summary.cpu_vendor);
    hash_text(&hash, topology->summary.cpu_model);
    for (int n = 0; n < topology->nodes; n++) {
        const struct node *node = &topology->node[n];
        // Groups come and go with kernel and hwloc versions; they hold nothing that the rest does not say.
        if (node->type == NODE_GROUP)
            continue;
        snprintf(text, sizeof text, "|%d.%d%c.%" PRIu64 ".%d.%d", (int)node->type, node->level, node->cache ? node->cache : '-',
                 node->bytes, node->first_pu, node->pus);
        hash_text(&hash, text);
    }
    for (int i = 0; i < topology->numa_nodes; i++) {
        snprintf(text, sizeof text, "|numa.%d.%d", topology->numa[i].first_pu, topology->numa[i].pus);
        hash_text(&hash, text);
    }
    return hash;
}

// Lower-case words joined by '-', without what is the same in every name.
static size_t add_words(char *slug, size_t used, size_t size, const char *text)
{
    static const char *const noise[] = {"r", "tm", "cpu", "processor", "core", "with", "radeon", "graphics"};
    while (*text) {
        char word[32];
        size_t length = 0;
        if (*text == '@') // "Intel … @ 2.60GHz"
            break;
        for (; isalnum((unsigned char)*text); text++)
            if (length + 1 < sizeof word)
                word[length++] = (char)tolower((unsigned char)*text);
        word[length] = '\0';
        bool skip = !length;
        for (size_t i = 0; i < sizeof noise / sizeof *noise; i++)
            skip |= !strcmp(word, noise[i]);
        if (!skip && used + length + 1 < size) {
            memcpy(slug + used, word, length);
            used += length;
            slug[used++] = '-';
        }
        if (*text)
            text++;
    }
    return used;
}

void topology_slug(const struct topology *topology, char *slug, size_t size)
{
    char name[40];
    size_t used = add_words(name, 0, sizeof name, topology->summary.cpu_model);
    if (!used)
        used = add_words(name, 0, sizeof name, "machine");
    name[used] = '\0';
    snprintf(slug, size, "%s%dc%dt-%08" PRIx32, name, topology->summary.cores, topology->summary.pus,
             (uint32_t)(topology_hash(topology) >> 32));
}

// ---------------------------------------------------------------------------------------------------------------------

static int compare_ints(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

void index_list_format(int *indices, size_t count, char *list, size_t size)
{
    if (count)
        qsort(indices, count, sizeof *indices, compare_ints);
    size_t used = 0;
    list[0] = '\0';
    for (size_t i = 0; i < count;) {
        size_t end = i;
        while (end + 1 < count && indices[end + 1] == indices[end] + 1)
            end++;
        int length = end > i ? snprintf(list + used, size - used, "%s%d-%d", used ? "," : "", indices[i], indices[end])
                             : snprintf(list + used, size - used, "%s%d", used ? "," : "", indices[i]);
        if (length < 0 || used + (size_t)length >= size)
            return;
        used += (size_t)length;
        i = end + 1;
    }
}

int index_list_parse(const char *list, int *indices, size_t capacity)
{
    size_t count = 0;
    while (*list) {
        char *end;
        if (!isdigit((unsigned char)*list))
            return -EINVAL;
        long first = strtol(list, &end, 10), last = first;
        if (*end == '-') {
            if (!isdigit((unsigned char)end[1]))
                return -EINVAL;
            last = strtol(end + 1, &end, 10);
        }
        if (last < first || last > 1000000)
            return -EINVAL;
        for (long i = first; i <= last; i++) {
            if (count == capacity)
                return -ENOSPC;
            indices[count++] = (int)i;
        }
        if (*end && (*end != ',' || !end[1]))
            return -EINVAL;
        list = *end ? end + 1 : end;
    }
    return (int)count;
}

void topology_pu_list(const struct topology *topology, int first, int count, enum pu_set set, char *list, size_t size)
{
    int *indices = malloc(sizeof *indices * (size_t)(count + 1));
    size_t kept = 0;
    list[0] = '\0';
    if (!indices)
        return;
    for (int i = first; i < first + count; i++) {
        const struct pu *pu = &topology->pu[i];
        if (set == PUS_ALL || (set == PUS_ALLOWED ? pu->allowed : pu->usable))
            indices[kept++] = pu->os_index;
    }
    index_list_format(indices, kept, list, size);
    free(indices);
}
