// SPDX-License-Identifier: MIT
#include "harness/counters_events.h"

#include "harness/counters.h"

#include <math.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

// Our names, and the events that can stand for them, the best first. Software events of the kernel happen in the kernel: counted
// for user mode alone, as PAPI does unless told otherwise, context switches are always 0.
static const struct known {
    const char *name;
    bool hardware;
    const char *event[6]; // NULL behind the last
} known[] = {
    {"cycles", true, {"PAPI_TOT_CYC", "perf::CYCLES"}},
    {"instructions", true, {"PAPI_TOT_INS", "perf::INSTRUCTIONS"}},
    {"l1d_misses", true, {"PAPI_L1_DCM", "PAPI_L1_LDM", "perf::L1-DCACHE-LOAD-MISSES"}},
    {"l2_misses", true, {"PAPI_L2_TCM", "PAPI_L2_DCM", "PAPI_L2_LDM"}},
    {"l3_misses", true, {"PAPI_L3_TCM", "PAPI_L3_DCM", "PAPI_L3_LDM", "perf::LLC-LOAD-MISSES", "perf::CACHE-MISSES"}},
    {"branch_misses", true, {"PAPI_BR_MSP", "perf::BRANCH-MISSES"}},
    {"stalled_cycles", true, {"PAPI_RES_STL", "perf::STALLED-CYCLES-BACKEND", "perf::STALLED-CYCLES-FRONTEND"}},
    {"task_clock", false, {"perf::TASK-CLOCK:u=1:k=1", "perf::TASK-CLOCK"}},
    {"page_faults", false, {"perf::PAGE-FAULTS:u=1:k=1", "perf::PAGE-FAULTS"}},
    {"context_switches", false, {"perf::CONTEXT-SWITCHES:u=1:k=1", "perf::CONTEXT-SWITCHES"}},
    {"cpu_migrations", false, {"perf::CPU-MIGRATIONS:u=1:k=1", "perf::CPU-MIGRATIONS"}},
};
enum { KNOWN = sizeof known / sizeof *known };

const char *event_default(size_t index) { return index < KNOWN ? known[index].name : NULL; }

const char *const *event_candidates(const char *name)
{
    for (size_t i = 0; i < KNOWN; i++)
        if (!strcmp(known[i].name, name))
            return known[i].event;
    return NULL;
}

bool event_is_hardware(const char *event)
{
    for (size_t i = 0; i < KNOWN; i++)
        if (!strcmp(known[i].name, event))
            return known[i].hardware;
    static const char *const names[] = {"CPU-CLOCK", "TASK-CLOCK", "PAGE-FAULTS", "FAULTS", "CONTEXT-SWITCHES", "CS",
                                        "CPU-MIGRATIONS", "MIGRATIONS", "MINOR-FAULTS", "MAJOR-FAULTS",
                                        "ALIGNMENT-FAULTS", "EMULATION-FAULTS", "CGROUP-SWITCHES"};
    const char *name = !strncmp(event, "perf::", 6) ? event + 6 : event;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strncmp(name, names[i], strlen(names[i])) && (!name[strlen(names[i])] || name[strlen(names[i])] == ':'))
            return false;
    return true;
}

// ---------------------------------------------------------------------------------------------------------------------

// COUNTERS_KNOWN_INSTRUCTIONS instructions, of which 62 in 64 need the result of the one before, so as many cycles at least.
static bool known_loop(void)
{
    unsigned long rounds = COUNTERS_KNOWN_INSTRUCTIONS / 64;
#if defined(__x86_64__)
    unsigned long sum = 0, one = 1;
    __asm__ volatile("1:\n\t.rept 62\n\tadd %2, %0\n\t.endr\n\tdec %1\n\tjnz 1b" : "+r"(sum), "+r"(rounds) : "r"(one) : "cc");
    return true;
#elif defined(__aarch64__)
    unsigned long sum = 0, one = 1;
    __asm__ volatile("1:\n\t.rept 62\n\tadd %0, %0, %2\n\t.endr\n\tsubs %1, %1, #1\n\tb.ne 1b"
                     : "+r"(sum), "+r"(rounds) : "r"(one) : "cc");
    return true;
#else
    return rounds == 0;
#endif
}

static double thread_cpu_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return 1e9 * (double)time.tv_sec + (double)time.tv_nsec;
}

static double provoke_cpu_time(void)
{
    double start = thread_cpu_ns();
    while (thread_cpu_ns() - start < 2e6)
        ;
    return thread_cpu_ns() - start;
}

static double provoke_page_faults(void)
{
    long page = sysconf(_SC_PAGESIZE);
    enum { PAGES = 64 };
    char *memory = mmap(NULL, PAGES * (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NAN;
    madvise(memory, PAGES * (size_t)page, MADV_NOHUGEPAGE);
    for (int i = 0; i < PAGES; i++)
        *(volatile char *)(memory + i * page) = 1;
    munmap(memory, PAGES * (size_t)page);
    return PAGES;
}

static double provoke_switches(void)
{
    enum { SLEEPS = 10 };
    for (int i = 0; i < SLEEPS; i++)
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    return SLEEPS;
}

static double provoke_migrations(void)
{
    cpu_set_t mine, one;
    if (sched_getaffinity(0, sizeof mine, &mine) || CPU_COUNT(&mine) < 2)
        return NAN;
    int moves = 0, before = sched_getcpu();
    for (int cpu = 0; cpu < CPU_SETSIZE && moves < 4; cpu++) {
        if (!CPU_ISSET(cpu, &mine))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (!sched_setaffinity(0, sizeof one, &one)) {
            moves += cpu != before;
            before = cpu;
        }
    }
    sched_setaffinity(0, sizeof mine, &mine);
    return moves;
}

static double provoke_instructions(void) { return known_loop() ? COUNTERS_KNOWN_INSTRUCTIONS : NAN; }
static double provoke_cycles(void) { return known_loop() ? COUNTERS_KNOWN_INSTRUCTIONS / 64 * 62 : NAN; }

static const struct event_check checks[] = {
    {"cycles", provoke_cycles, "cycles in a chain of as many dependent additions", false},
    {"instructions", provoke_instructions, "instructions of a loop", true},
    {"task_clock", provoke_cpu_time, "ns of the CPU time that the thread's clock tells", true},
    {"page_faults", provoke_page_faults, "first touches of a page", false},
    {"context_switches", provoke_switches, "sleeps", false},
    {"cpu_migrations", provoke_migrations, "moves to another CPU", false},
};

const struct event_check *event_check(const char *name)
{
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (!strcmp(checks[i].name, name))
            return &checks[i];
    return NULL;
}
