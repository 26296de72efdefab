// SPDX-License-Identifier: MIT
#include "harness/machine.h"

#include "harness/sysfs.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <jansson.h>
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>

static const char powercap[] = "/sys/class/powercap";
static const char cpus[] = "/sys/devices/system/cpu";

// "always [madvise] never" → "madvise"
static void bracketed_word(const char *root, const char *path, char *word, size_t size)
{
    char text[128];
    word[0] = '\0';
    if (!sysfs_text(root, path, text, sizeof text))
        return;
    char *open = strchr(text, '['), *close = open ? strchr(open, ']') : NULL;
    if (close) {
        *close = '\0';
        snprintf(word, size, "%s", open + 1);
    }
}

// intel_pstate says no_turbo, cpufreq's drivers say boost.
static void find_boost(const char *root, char *boost, size_t size)
{
    double no_turbo = sysfs_number(root, "/sys/devices/system/cpu/intel_pstate/no_turbo");
    double on = sysfs_number(root, "/sys/devices/system/cpu/cpufreq/boost");
    snprintf(boost, size, "%s", !isnan(no_turbo) ? (no_turbo ? "off" : "on") : !isnan(on) ? (on ? "on" : "off") : "");
}

// ---------------------------------------------------------------------------------------------------------------------
// Energy: the top zones of powercap ("intel-rapl:0", a package) and DRAM below them ("intel-rapl:0:0" named dram). Other zones
// below are parts of the package and would count twice; so would "psys", the whole platform.
struct zone {
    char folder[160], name[32];
};

static int find_zones(const char *root, struct zone *zones, int capacity, char *reason, size_t reason_size)
{
    char **names;
    size_t count;
    int found = 0, unreadable = 0;
    reason[0] = '\0';
    if (sysfs_list(root, powercap, &names, &count)) {
        snprintf(reason, reason_size, "%s does not exist", powercap);
        return 0;
    }
    for (size_t i = 0; i < count && found < capacity; i++) {
        char path[256], name[32];
        snprintf(path, sizeof path, "%s/%.64s/name", powercap, names[i]);
        bool top = strchr(names[i], ':') && strchr(names[i], ':') == strrchr(names[i], ':');
        // The same package seen through memory-mapped registers is not another one.
        if (!strncmp(names[i], "intel-rapl-mmio", 15) || !sysfs_text(root, path, name, sizeof name) ||
            !(top ? !strncmp(name, "package", 7) : !strcmp(name, "dram")))
            continue;
        snprintf(path, sizeof path, "%s/%.64s/energy_uj", powercap, names[i]);
        if (isnan(sysfs_number(root, path))) {
            unreadable++;
            continue;
        }
        snprintf(zones[found].folder, sizeof zones[found].folder, "%s/%.64s", powercap, names[i]);
        snprintf(zones[found].name, sizeof zones[found].name, "%s", name);
        found++;
    }
    sysfs_list_free(names, count);
    if (!found)
        snprintf(reason, reason_size, unreadable ? "%s: energy_uj is readable by root only" : "%s holds no package zone", powercap);
    return found;
}

static void read_energy(const char *root, struct machine_snapshot *snapshot)
{
    struct zone zones[MACHINE_ENERGY_ZONES];
    char reason[128], path[256];
    snapshot->energy_zones = find_zones(root, zones, MACHINE_ENERGY_ZONES, reason, sizeof reason);
    for (int i = 0; i < snapshot->energy_zones; i++) {
        snprintf(path, sizeof path, "%.150s/energy_uj", zones[i].folder);
        snapshot->energy_joules[i] = sysfs_number(root, path) * 1e-6;
        snprintf(path, sizeof path, "%.150s/max_energy_range_uj", zones[i].folder);
        snapshot->energy_wrap_joules[i] = sysfs_number(root, path) * 1e-6;
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// CPUs that this thread may run on

// Each core's own throttling, and a package's once, though every core of it shows the package's count.
static double throttle_events(const char *root, const cpu_set_t *mine)
{
    double sum = NAN, packages[64] = {0};
    bool told[64] = {false};
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        char path[256];
        if (!CPU_ISSET(cpu, mine))
            continue;
        snprintf(path, sizeof path, "%s/cpu%d/thermal_throttle/core_throttle_count", cpus, cpu);
        double core = sysfs_number(root, path);
        snprintf(path, sizeof path, "%s/cpu%d/thermal_throttle/package_throttle_count", cpus, cpu);
        double package = sysfs_number(root, path);
        snprintf(path, sizeof path, "%s/cpu%d/topology/physical_package_id", cpus, cpu);
        double id = sysfs_number(root, path);
        if (!isnan(core))
            sum = isnan(sum) ? core : sum + core;
        if (!isnan(package) && id >= 0 && id < 64) {
            told[(int)id] = true;
            packages[(int)id] = fmax(packages[(int)id], package);
        }
    }
    for (int i = 0; i < 64; i++)
        if (told[i])
            sum = isnan(sum) ? packages[i] : sum + packages[i];
    return sum;
}

// Lines of /proc/stat: "cpu3 user nice system idle iowait irq softirq steal guest guest_nice", in ticks. guest is in user already.
static void read_ticks(const char *root, const cpu_set_t *mine, struct machine_snapshot *snapshot)
{
    snapshot->steal_ticks = snapshot->total_ticks = NAN;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        char key[16], text[256];
        snprintf(key, sizeof key, "cpu%d", cpu);
        if (!CPU_ISSET(cpu, mine) || !sysfs_keyed_text(root, "/proc/stat", key, text, sizeof text))
            continue;
        double ticks[8];
        if (sscanf(text, "%lf %lf %lf %lf %lf %lf %lf %lf", &ticks[0], &ticks[1], &ticks[2], &ticks[3], &ticks[4], &ticks[5],
                   &ticks[6], &ticks[7]) != 8)
            continue;
        if (isnan(snapshot->total_ticks))
            snapshot->steal_ticks = snapshot->total_ticks = 0;
        snapshot->steal_ticks += ticks[7];
        for (int i = 0; i < 8; i++)
            snapshot->total_ticks += ticks[i];
    }
}

// "some avg10=0.00 avg60=0.00 avg300=0.00 total=123": microseconds.
static double cpu_pressure(const char *root)
{
    char text[256];
    if (!sysfs_keyed_text(root, "/proc/pressure/cpu", "some", text, sizeof text))
        return NAN;
    const char *total = strstr(text, "total=");
    return total ? atof(total + 6) * 1e-6 : NAN;
}

double machine_memory_available(const char *root)
{
    double left, available = sysfs_keyed_number(root, "/proc/meminfo", "MemAvailable:") * 1024;
    cgroup_memory_limit(root, &left);
    return fmin(available, left); // fmin gives the other one where one is NAN
}

// ---------------------------------------------------------------------------------------------------------------------
// Clock rate

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC_RAW, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

// `rounds` × 64 additions, each of which needs the result of the one before. Register to register, because some cores drop
// additions of a constant when they rename registers; one cycle on every x86-64 and AArch64 core. False: not written for this one.
static bool dependent_additions(unsigned rounds)
{
#if defined(__x86_64__)
    unsigned long sum = 0, one = 1;
    for (; rounds; rounds--)
        __asm__ volatile(".rept 64\n\tadd %1, %0\n\t.endr" : "+r"(sum) : "r"(one) : "cc");
    return true;
#elif defined(__aarch64__)
    unsigned long sum = 0, one = 1;
    for (; rounds; rounds--)
        __asm__ volatile(".rept 64\n\tadd %0, %0, %1\n\t.endr" : "+r"(sum) : "r"(one));
    return true;
#else
    (void)rounds;
    return false;
#endif
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double machine_frequency_mhz(void)
{
    enum { TIMINGS = 9, ROUNDS = 1500 }; // 96,000 cycles: about 30 µs, a thousand times what reading the clock costs
    double mhz[TIMINGS];
    if (!dependent_additions(ROUNDS / 4))
        return NAN;
    for (int i = 0; i < TIMINGS; i++) {
        double start = now();
        dependent_additions(ROUNDS);
        mhz[i] = ROUNDS * 64 / (now() - start) * 1e-6;
    }
    qsort(mhz, TIMINGS, sizeof *mhz, compare_doubles);
    return mhz[TIMINGS / 2];
}

// ---------------------------------------------------------------------------------------------------------------------

void machine_facts(const char *root, struct machine_facts *facts)
{
    *facts = (struct machine_facts){.memory_bytes = NAN};
    struct utsname system;
    if (!uname(&system)) {
        snprintf(facts->host, sizeof facts->host, "%.63s", system.nodename);
        snprintf(facts->kernel, sizeof facts->kernel, "%.60s %.64s", system.sysname, system.release);
        snprintf(facts->architecture, sizeof facts->architecture, "%.31s", system.machine);
    }
    sysfs_keyed_text(root, "/proc/cpuinfo", "microcode", facts->microcode, sizeof facts->microcode);
    sysfs_text(root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", facts->governor, sizeof facts->governor);
    sysfs_text(root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_driver", facts->frequency_driver,
               sizeof facts->frequency_driver);
    facts->frequency_min_mhz = sysfs_number(root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq") * 1e-3;
    facts->frequency_max_mhz = sysfs_number(root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq") * 1e-3;
    find_boost(root, facts->boost, sizeof facts->boost);
    bracketed_word(root, "/sys/kernel/mm/transparent_hugepage/enabled", facts->transparent_hugepages,
                   sizeof facts->transparent_hugepages);
    sysfs_text(root, "/sys/devices/system/clocksource/clocksource0/current_clocksource", facts->clocksource,
               sizeof facts->clocksource);
#if defined(__clang__)
    snprintf(facts->compiler, sizeof facts->compiler, "clang %s", __clang_version__);
#elif defined(__GNUC__)
    snprintf(facts->compiler, sizeof facts->compiler, "gcc %s", __VERSION__);
#endif
    snprintf(facts->libc, sizeof facts->libc, "glibc %s", gnu_get_libc_version());
    facts->memory_bytes = sysfs_keyed_number(root, "/proc/meminfo", "MemTotal:") * 1024;
    facts->perf_event_paranoid = sysfs_number(root, "/proc/sys/kernel/perf_event_paranoid");

    char online[256];
    facts->cpus_online = NAN;
    if (sysfs_text(root, "/sys/devices/system/cpu/online", online, sizeof online)) {
        facts->cpus_online = 0;
        char *save = NULL;
        for (char *range = strtok_r(online, ",", &save); range; range = strtok_r(NULL, ",", &save)) {
            int first, last;
            int got = sscanf(range, "%d-%d", &first, &last);
            facts->cpus_online += got == 2 ? last - first + 1 : got;
        }
    }
    struct zone zones[MACHINE_ENERGY_ZONES];
    int count = find_zones(root, zones, MACHINE_ENERGY_ZONES, facts->energy_reason, sizeof facts->energy_reason);
    for (int i = 0; i < count; i++) {
        size_t used = strlen(facts->energy_source);
        snprintf(facts->energy_source + used, sizeof facts->energy_source - used, "%s%s", used ? " " : "powercap: ",
                 zones[i].name);
    }
    cpu_set_t mine;
    CPU_ZERO(&mine);
    if (sched_getaffinity(0, sizeof mine, &mine) || isnan(throttle_events(root, &mine)))
        snprintf(facts->throttle_reason, sizeof facts->throttle_reason, "the CPUs have no thermal_throttle folder in sysfs");
}

static void set_text(json_t *json, const char *key, const char *text)
{
    json_object_set_new(json, key, *text ? json_string(text) : json_null());
}

static void set_number(json_t *json, const char *key, double value)
{
    json_object_set_new(json, key, isnan(value) ? json_null() : value == floor(value) ? json_integer((json_int_t)value)
                                                                                      : json_real(value));
}

struct json_t *machine_facts_json(const struct machine_facts *facts)
{
    json_t *json = json_object();
    if (!json)
        return NULL;
    set_text(json, "host", facts->host);
    set_text(json, "kernel", facts->kernel);
    set_text(json, "architecture", facts->architecture);
    set_text(json, "microcode", facts->microcode);
    set_text(json, "governor", facts->governor);
    set_text(json, "frequency_driver", facts->frequency_driver);
    set_text(json, "boost", facts->boost);
    set_number(json, "frequency_min_mhz", facts->frequency_min_mhz);
    set_number(json, "frequency_max_mhz", facts->frequency_max_mhz);
    set_text(json, "transparent_hugepages", facts->transparent_hugepages);
    set_text(json, "clocksource", facts->clocksource);
    set_text(json, "compiler", facts->compiler);
    set_text(json, "libc", facts->libc);
    set_number(json, "memory_bytes", facts->memory_bytes);
    set_number(json, "cpus_online", facts->cpus_online);
    set_number(json, "perf_event_paranoid", facts->perf_event_paranoid);
    set_text(json, "energy_source", facts->energy_source);
    set_text(json, "energy_reason", facts->energy_reason);
    set_text(json, "throttle_reason", facts->throttle_reason);
    return json;
}

void machine_snapshot(const char *root, struct machine_snapshot *snapshot)
{
    *snapshot = (struct machine_snapshot){.seconds = now()};
    // First, while the core is as warm and as fast as the work left it.
    snapshot->frequency_mhz = machine_frequency_mhz();
    cpu_set_t mine;
    CPU_ZERO(&mine);
    if (sched_getaffinity(0, sizeof mine, &mine))
        for (int i = 0; i < CPU_SETSIZE; i++)
            CPU_SET(i, &mine);
    read_ticks(root, &mine, snapshot);
    struct rusage usage;
    snapshot->voluntary_switches = snapshot->involuntary_switches = snapshot->minor_faults = snapshot->major_faults = NAN;
    if (!getrusage(RUSAGE_SELF, &usage)) {
        snapshot->voluntary_switches = (double)usage.ru_nvcsw;
        snapshot->involuntary_switches = (double)usage.ru_nivcsw;
        snapshot->minor_faults = (double)usage.ru_minflt;
        snapshot->major_faults = (double)usage.ru_majflt;
    }
    snapshot->load = sysfs_number(root, "/proc/loadavg");
    snapshot->memory_available_bytes = machine_memory_available(root);
    snapshot->throttle_events = throttle_events(root, &mine);
    snapshot->quota_throttled_seconds = cgroup_throttled_seconds(root);
    snapshot->cpu_pressure_seconds = cpu_pressure(root);
    read_energy(root, snapshot);
}

void machine_difference(const struct machine_snapshot *before, const struct machine_snapshot *after,
                        struct machine_difference *difference)
{
    double ticks = after->total_ticks - before->total_ticks;
    *difference = (struct machine_difference){
        .seconds = after->seconds - before->seconds,
        .steal_pct = ticks > 0 ? 100 * (after->steal_ticks - before->steal_ticks) / ticks : NAN,
        .voluntary_switches = after->voluntary_switches - before->voluntary_switches,
        .involuntary_switches = after->involuntary_switches - before->involuntary_switches,
        .minor_faults = after->minor_faults - before->minor_faults,
        .major_faults = after->major_faults - before->major_faults,
        .load = fmax(before->load, after->load),
        .frequency_mhz = (before->frequency_mhz + after->frequency_mhz) / 2,
        .frequency_change_pct = 100 * (after->frequency_mhz / before->frequency_mhz - 1),
        .memory_available_bytes = fmin(before->memory_available_bytes, after->memory_available_bytes),
        .throttle_events = after->throttle_events - before->throttle_events,
        .quota_throttled_seconds = after->quota_throttled_seconds - before->quota_throttled_seconds,
        .cpu_pressure_seconds = after->cpu_pressure_seconds - before->cpu_pressure_seconds,
        .energy_joules = NAN,
    };
    if (!before->energy_zones || before->energy_zones != after->energy_zones)
        return;
    difference->energy_joules = 0;
    for (int i = 0; i < before->energy_zones; i++) {
        double joules = after->energy_joules[i] - before->energy_joules[i];
        // The counter starts again at its range; once within the time between two snapshots, or the sum is not to be had.
        difference->energy_joules += joules < 0 ? joules + before->energy_wrap_joules[i] : joules;
    }
}

__attribute__((format(printf, 3, 4))) static void add_noise(char *text, size_t size, const char *format, ...)
{
    size_t used = strlen(text);
    va_list list;
    if (used && used + 3 < size)
        used += (size_t)snprintf(text + used, size - used, "; ");
    va_start(list, format);
    vsnprintf(text + used, size - used, format, list);
    va_end(list);
}

bool machine_noise(const struct machine_difference *difference, int usable, int threads, char *text, size_t size)
{
    const struct machine_difference *d = difference;
    text[0] = '\0';
    if (d->steal_pct > 1)
        add_noise(text, size, "steal %.1f%%", d->steal_pct);
    // What the cell runs itself is in the load too; half a task more than there are CPUs means that something else wanted them.
    if (d->load > usable + 0.5 && d->load > threads + 0.5)
        add_noise(text, size, "load %.1f on %d CPU%s", d->load, usable, usable == 1 ? "" : "s");
    // An involuntary switch now and then is the timer's; more than a hundred a second and CPU is another task on the same core.
    if (d->seconds > 0 && d->involuntary_switches / d->seconds > 100.0 * threads)
        add_noise(text, size, "%.0f involuntary context switches a second", d->involuntary_switches / d->seconds);
    if (fabs(d->frequency_change_pct) > 5)
        add_noise(text, size, "clock rate changed by %+.0f%%", d->frequency_change_pct);
    if (d->throttle_events > 0)
        add_noise(text, size, "throttled %.0f time%s", d->throttle_events, d->throttle_events == 1 ? "" : "s");
    if (d->quota_throttled_seconds > 0)
        add_noise(text, size, "stopped %.2f s by the CPU quota", d->quota_throttled_seconds);
    if (d->major_faults > 0)
        add_noise(text, size, "%.0f page%s read from disk", d->major_faults, d->major_faults == 1 ? "" : "s");
    return *text != '\0';
}
