// SPDX-License-Identifier: MIT
// The topology as plain data, shared by harness/topology*.c and nobody else: hwloc's tree without hwloc, so that placing and
// rendering need no hwloc.h. PUs stand in hwloc's logical order, in which every package, cache and core is a range of them.
#ifndef LLMSWEEP_TOPOLOGY_INTERNAL_H
#define LLMSWEEP_TOPOLOGY_INTERNAL_H

#include "harness/gpu.h"
#include "harness/topology.h"

enum node_type { NODE_MACHINE, NODE_PACKAGE, NODE_DIE, NODE_GROUP, NODE_CACHE, NODE_CORE, NODE_PU };

struct node {
    enum node_type type;
    int os_index;              // -1 when there is none
    int level;                 // NODE_CACHE: 1..5
    char cache;                // NODE_CACHE: 'd' data, 'i' instructions, 'u' unified
    uint64_t bytes;            // NODE_CACHE: 0 when not told
    int first_pu, pus;         // range in struct topology's pu[]
    int first_child, next;     // indices in node[], -1 = none
};

struct numa_node {
    int os_index;
    double bytes;              // NAN when not told
    int first_pu, pus;         // pus 0: memory without cores
};

struct pu {
    int os_index, core, package, numa; // core and package in logical order; numa is an os index; -1 = none
    int kind;                  // index in kind[], -1 = not told
    bool allowed, usable;
};

struct cpu_kind {
    int efficiency;            // higher = faster; -1 = not ranked
    char name[32];
    double max_mhz;            // NAN when not told
};

struct device {
    char type[16];             // pci block network gpu openfabrics dma coprocessor
    char name[64], bus[24], vendor[64], model[96];
};

struct topology {
    struct topology_summary summary;
    int nodes, numa_nodes, pus, kinds, devices;
    struct node *node;         // preorder; node[0] is the machine
    struct numa_node *numa;
    struct pu *pu;
    struct cpu_kind *kind;
    struct device *device;
    struct gpu_report gpus;
    char isa[1024];            // instruction-set words with blanks between; empty when not told
    char note[4][256];         // what could not be known, "plugin missing: …"
    int notes;
    int offline_pus;           // known to the system but not running
    void *hwloc;               // hwloc_topology_t
};

// The PUs for which keep is true, by os index, as "0-3,8"; needs at most 12 bytes a PU.
enum pu_set { PUS_ALL, PUS_ALLOWED, PUS_USABLE };
void topology_pu_list(const struct topology *topology, int first, int count, enum pu_set set, char *list, size_t size);
// Sorts the indices and writes them as "0-3,8".
void index_list_format(int *indices, size_t count, char *list, size_t size);
// Reads "0-3,8" into at most `capacity` indices; the number of them, or -EINVAL, -ENOSPC.
int index_list_parse(const char *list, int *indices, size_t capacity);

// Text from a file of another machine may be anything; what is printed and put into JSON is plain ASCII in one line.
void topology_copy_text(char *to, size_t size, const char *from);

// What hwloc does not know: found on this machine; read from and written as the JSON that the XML's root object carries (text NULL:
// there is none). The caller frees what is written; NULL when out of memory.
void topology_own_find(struct topology *topology, const struct topology_source *source);
void topology_own_read(struct topology *topology, const char *text);
char *topology_own_write(const struct topology *topology);

#endif
