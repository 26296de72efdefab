// SPDX-License-Identifier: MIT
// What the machine is made of, and which thread goes where: the only part of the program that knows hwloc.
//
// A topology is this machine's, or another's loaded from hwloc XML or from hwloc's synthetic description; everything here
// works on all three, but threads are bound on this machine only. PU means what hwloc means by it: a hardware thread,
// named by the operating system's index. "Usable" is what this process may run on: the machine's allowed cpuset (cgroup
// cpuset) cut with the binding that the process inherited when the topology was loaded. A cgroup's CPU *quota* takes no
// core away: it is read and reported, and does not enter placement.
// What is absent stays absent: empty text, NAN, or a false return, never 0.
#ifndef LLMSWEEP_TOPOLOGY_H
#define LLMSWEEP_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct topology;
struct json_t; // jansson's json_t

// ---------------------------------------------------------------------------------------------------------------------
// Loading
struct topology_source {
    const char *xml;       // file with hwloc XML, as lstopo and topology_save_xml write it; or NULL
    const char *synthetic; // hwloc synthetic description, such as "pack:2 l3:1 core:4 pu:2"; or NULL. Both NULL: this machine
    const char *root;      // where /proc and /sys are looked for; NULL = "" (tests point it at a captured tree)
    bool no_devices;       // skip PCI and GPU discovery, as a worker does: loading is then a few milliseconds
};
// 0 and a topology that the caller frees with topology_free; or -errno and a line that names the file or the description.
// source NULL means this machine, with devices.
int topology_load(const struct topology_source *source, struct topology **topology, char *error, size_t error_size);
void topology_free(struct topology *topology);

// ---------------------------------------------------------------------------------------------------------------------
// Facts
struct topology_summary {
    char cpu_model[128];  // empty when unknown
    char cpu_vendor[32];
    char hypervisor[64];  // "KVM", "none", or empty when it cannot be told
    int packages, numa_nodes, cores, pus;           // the complete machine
    int usable_packages, usable_cores, usable_pus;  // what this process may run on
    int smt;              // most PUs in one core
    int cpu_kinds;        // 0 = not told; 2 = hybrid
    double memory_bytes;  // sum over NUMA nodes; NAN = unknown
    double quota_cpus;    // cgroup CPU quota in CPUs (cpu.max or cpu.cfs_quota_us / period); NAN = none set or not readable
    char quota_source[96]; // the file that the quota was read from; or why there is none
    double memory_limit_bytes; // cgroup memory limit (memory.max, memory.limit_in_bytes); NAN = none or not readable
    bool this_machine;    // false when loaded from XML or a synthetic description
};
const struct topology_summary *topology_summary(const struct topology *topology);

// Bytes of last-level cache that the PUs in `pus` reach together: every instance that one of them sits under counts once.
// pus NULL = all usable PUs. False when the machine does not tell its caches. A virtual machine is often told the whole
// cache of its host: treat the figure as an upper bound.
bool topology_last_level_cache(const struct topology *topology, const int *pus, size_t count, uint64_t *bytes);

// The machine's identity: a hash over packages, NUMA nodes, caches, cores, PUs and the CPU model, of the complete machine.
// The same machine hashes the same under another cpuset, another memory size, another kernel.
uint64_t topology_hash(const struct topology *topology);
// "intel-xeon-processor-2c2t-1f0a93bc": vendor, model, cores, PUs and 8 digits of the hash; fits in 64 bytes.
void topology_slug(const struct topology *topology, char *slug, size_t size);

// Human-readable text, as `llmsweep topo` prints it; the caller frees. NULL when out of memory.
char *topology_text(const struct topology *topology);
// The same as JSON, the caller owns the reference. NULL when out of memory.
struct json_t *topology_json(const struct topology *topology);
// hwloc XML, with what llmsweep found by itself as info attributes of the root object, so that loading it gives all back.
int topology_save_xml(const struct topology *topology, const char *path, char *error, size_t error_size);

// ---------------------------------------------------------------------------------------------------------------------
// Placement: one PU for each thread of each rank, on one host.
struct placement {
    int ranks, threads;
    int *pus;            // (ranks, threads): PU of every thread
    bool smt;            // cores ran out: some core holds two threads of the layout
    bool oversubscribed; // PUs ran out: some PU holds two threads (only with PLACE_OVERSUBSCRIBE)
    bool mixed_kinds;    // performance and efficiency cores work together
};
enum { PLACE_OVERSUBSCRIBE = 1, // let several threads share a PU when PUs run out: for tests of correctness only
       PLACE_NO_SMT = 2 };      // never put two threads on one core
// One core a thread while cores last, the most capable kind first; threads of a rank close together under shared caches;
// ranks spread over packages, NUMA nodes and caches, numbered so that neighbours in rank are neighbours on the machine.
// -ENOSPC and a reason ("needs 4 cores, this process may use 2") when the usable set is too small; -EINVAL for counts < 1.
// The caller frees with placement_free. Costs up to a millisecond on a big machine: keep one per layout, not one per cell.
int topology_place(const struct topology *topology, int ranks, int threads, unsigned flags, struct placement *placement,
                   char *reason, size_t reason_size);
// The same when a launcher has already bound the ranks of this host: masks[r] is what rank r inherited (PU list as
// topology_binding gives it). Disjoint masks: each rank's threads are placed in its own. All masks equal: the layout is
// placed in that one set. Anything between is refused with -EINVAL, naming the two ranks and the PUs that they share.
int topology_place_bound(const struct topology *topology, const char *const *masks, int ranks, int threads, unsigned flags,
                         struct placement *placement, char *reason, size_t reason_size);
void placement_free(struct placement *placement);
// "0:0,1;1:2,3": rank, colon, its threads' PUs in thread order. snprintf's return.
int placement_format(const struct placement *placement, char *text, size_t size);
// Reads that form back; every rank must have as many threads. -EINVAL and a reason. smt and mixed_kinds are not in the
// text and come back false; oversubscribed is found from the PUs.
int placement_parse(const char *text, struct placement *placement, char *reason, size_t reason_size);

// ---------------------------------------------------------------------------------------------------------------------
// Binding, on this machine
// Binds the calling thread to one PU, or to a set of them. -EINVAL for a PU outside the usable set or a topology of
// another machine, -errno of the system call otherwise.
int topology_bind_thread(const struct topology *topology, int pu, char *error, size_t error_size);
int topology_bind_thread_to(const struct topology *topology, const int *pus, size_t count, char *error, size_t error_size);
// Where the calling thread may run now, as a PU list ("0-3,8"): what was inherited when asked before any binding, and what
// is in force when asked after. -errno when it cannot be read or does not fit.
int topology_binding(const struct topology *topology, char *list, size_t size);

#endif
