// SPDX-License-Identifier: MIT
// The state that the machine was in while something was timed: what else ran, how fast the cores were, what held them back.
//
// Facts are read once a run; snapshots before and after whatever is timed, and the difference goes into its row. Numbers
// are doubles and NAN means that the machine does not tell; text is empty then. Absent is never 0.
// Functions take `root`, the place where /proc and /sys are looked for: NULL = this machine; tests pass a captured tree.
#ifndef LLMSWEEP_MACHINE_H
#define LLMSWEEP_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

struct json_t; // jansson's json_t

// ---------------------------------------------------------------------------------------------------------------------
// Facts
struct machine_facts {
    char host[64], kernel[128], architecture[32], microcode[32];
    char governor[32], frequency_driver[32];
    char boost[8];               // "on", "off"
    char transparent_hugepages[16]; // "always", "madvise", "never"
    char clocksource[32];
    char compiler[128], libc[64];
    double memory_bytes;         // MemTotal
    double perf_event_paranoid;
    double frequency_min_mhz, frequency_max_mhz; // what cpufreq allows
    double cpus_online;
    char energy_source[128];     // the powercap zones that are read; or, in energy_reason, why energy is absent
    char energy_reason[128];
    char throttle_reason[128];   // why thermal throttling is absent, or empty
};
void machine_facts(const char *root, struct machine_facts *facts);
// All of them as a JSON object, absent ones as null. The caller owns the reference; NULL when out of memory.
struct json_t *machine_facts_json(const struct machine_facts *facts);

// ---------------------------------------------------------------------------------------------------------------------
// Snapshots
enum { MACHINE_ENERGY_ZONES = 16 };
struct machine_snapshot {
    double seconds;              // monotonic clock
    double steal_ticks, total_ticks; // /proc/stat, summed over the CPUs that this thread may run on
    double voluntary_switches, involuntary_switches; // this process, all its threads
    double minor_faults, major_faults;
    double load;                 // 1-minute load average
    double memory_available_bytes;
    double throttle_events;      // thermal_throttle counts over those CPUs, cores and packages
    double quota_throttled_seconds; // time for which the cgroup's CPU quota stopped this process (cpu.stat)
    double cpu_pressure_seconds; // /proc/pressure/cpu, some: time for which a runnable task waited for a CPU
    double frequency_mhz;        // measured, see machine_frequency_mhz
    int energy_zones;            // powercap zones that were readable: packages, and DRAM where there is a zone for it
    double energy_joules[MACHINE_ENERGY_ZONES], energy_wrap_joules[MACHINE_ENERGY_ZONES];
};
// Takes about half a millisecond, nearly all of it the frequency measurement, which runs on the calling thread: call it from
// a thread that is bound and that has just worked.
void machine_snapshot(const char *root, struct machine_snapshot *snapshot);

struct machine_difference {
    double seconds;
    double steal_pct;            // of all CPU time of the usable CPUs; NAN when less than one tick passed
    double voluntary_switches, involuntary_switches, minor_faults, major_faults;
    double load;                 // the larger of the two
    double frequency_mhz;        // mean of the two
    double frequency_change_pct; // after against before
    double memory_available_bytes; // the smaller of the two
    double throttle_events, quota_throttled_seconds, cpu_pressure_seconds;
    double energy_joules;        // sum over zones, wrapped counters put right
};
void machine_difference(const struct machine_snapshot *before, const struct machine_snapshot *after,
                        struct machine_difference *difference);
// What was wrong, for the column status_noise: "steal 3.1%; load 4.2 on 2 CPUs; throttled 2 times", or empty text when nothing
// known was. cpus = PUs that this process may use, threads = how many of them the cell uses itself. True when something was.
bool machine_noise(const struct machine_difference *difference, int cpus, int threads, char *text, size_t size);

// Clock rate of the core that the caller runs on, in MHz: the median of a few timings (about 0.3 ms together) of a chain of
// dependent integer additions, one cycle each. NAN on an architecture that the chain is not written for.
double machine_frequency_mhz(void);
// Bytes that can still be allocated without swapping: MemAvailable, cut by what the cgroup's memory limit leaves. NAN = unknown.
double machine_memory_available(const char *root);

#endif
