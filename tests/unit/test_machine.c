// SPDX-License-Identifier: MIT
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>
#include <jansson.h>

#include "harness/machine.h"
#include "harness/sysfs.h"
#include "tests/unit/fake_tree.h"

static void test_facts(void **state) {
    (void)state;
    const char *root = fake_tree_open();
    fake_tree_file("/proc/cpuinfo", "processor\t: 0\nmodel\t\t: 17\nmodel name\t: Some CPU\nmicrocode\t: 0xa101148\n");
    fake_tree_file("/proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\nMemAvailable:    8192 kB\n");
    fake_tree_file("/proc/sys/kernel/perf_event_paranoid", "4\n");
    fake_tree_file("/sys/devices/system/cpu/online", "0-3,8\n");
    fake_tree_file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
    fake_tree_file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_driver", "intel_pstate\n");
    fake_tree_file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq", "800000\n");
    fake_tree_file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", "3500000\n");
    fake_tree_file("/sys/devices/system/cpu/cpufreq/boost", "1\n");
    fake_tree_file("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    fake_tree_file("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n");
    struct machine_facts facts;
    machine_facts(root, &facts);
    assert_string_equal(facts.microcode, "0xa101148");
    assert_string_equal(facts.governor, "powersave");
    assert_string_equal(facts.frequency_driver, "intel_pstate");
    assert_string_equal(facts.boost, "on");
    assert_string_equal(facts.transparent_hugepages, "madvise");
    assert_string_equal(facts.clocksource, "tsc");
    assert_true(facts.memory_bytes == 16384 * 1024);
    assert_true(facts.perf_event_paranoid == 4);
    assert_true(facts.frequency_min_mhz == 800 && facts.frequency_max_mhz == 3500);
    assert_true(facts.cpus_online == 5);
    assert_true(strlen(facts.compiler) > 4 && strlen(facts.kernel) > 4);
    fake_tree_file("/sys/devices/system/cpu/intel_pstate/no_turbo", "1\n"); // the driver's own word goes first
    machine_facts(root, &facts);
    assert_string_equal(facts.boost, "off");
    fake_tree_close();
}

static void test_absent_is_not_zero(void **state) {
    (void)state;
    const char *root = fake_tree_open();
    struct machine_facts facts;
    machine_facts(root, &facts);
    assert_string_equal(facts.governor, "");
    assert_string_equal(facts.boost, "");
    assert_string_equal(facts.energy_reason, "/sys/class/powercap does not exist");
    assert_true(strlen(facts.throttle_reason) > 0);
    assert_true(isnan(facts.memory_bytes) && isnan(facts.perf_event_paranoid) && isnan(facts.cpus_online));
    json_t *json = machine_facts_json(&facts);
    assert_true(json_is_null(json_object_get(json, "governor")));
    assert_true(json_is_null(json_object_get(json, "memory_bytes")));
    assert_true(json_is_string(json_object_get(json, "compiler")));
    json_decref(json);
    struct machine_snapshot before, after;
    struct machine_difference difference;
    machine_snapshot(root, &before);
    machine_snapshot(root, &after);
    machine_difference(&before, &after, &difference);
    assert_true(isnan(difference.steal_pct) && isnan(difference.load) && isnan(difference.throttle_events));
    assert_true(isnan(difference.energy_joules) && isnan(difference.quota_throttled_seconds));
    assert_true(isnan(difference.cpu_pressure_seconds) && isnan(difference.memory_available_bytes));
    difference.frequency_change_pct = difference.involuntary_switches = difference.major_faults = 0; // measured, not read
    char text[200] = "x";
    assert_false(machine_noise(&difference, 2, 2, text, sizeof text));
    assert_string_equal(text, "");
    fake_tree_close();
}

static cpu_set_t given;

// Binds the test to the first CPU that it was given and returns it, so that it is known whose lines are read.
static int bind_to_first(void) {
    assert_int_equal(sched_getaffinity(0, sizeof given, &given), 0);
    int first = 0;
    while (!CPU_ISSET(first, &given))
        first++;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    return first;
}

static void write_state(int cpu, int user, int idle, int steal, int core, int package, const char *energy) {
    char path[128], text[256];
    snprintf(text, sizeof text, "cpu  9 9 9 9 9 9 9 9 9 9\ncpu%d %d 0 10 %d 0 0 0 %d 5 0\ncpu%d 1 0 0 1 0 0 0 %d 0 0\nintr 5\n", cpu, user,
             idle, steal, cpu + 1, 70 * steal);
    fake_tree_file("/proc/stat", text);
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/physical_package_id", cpu);
    fake_tree_file(path, "1\n");
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/thermal_throttle/core_throttle_count", cpu);
    snprintf(text, sizeof text, "%d\n", core);
    fake_tree_file(path, text);
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/thermal_throttle/package_throttle_count", cpu);
    snprintf(text, sizeof text, "%d\n", package);
    fake_tree_file(path, text);
    fake_tree_file("/sys/class/powercap/intel-rapl:0/energy_uj", energy);
}

static void test_difference(void **state) {
    (void)state;
    const char *root = fake_tree_open();
    int cpu = bind_to_first();
    fake_tree_file("/proc/loadavg", "1.50 0.60 0.70 2/345 6789\n");
    fake_tree_file("/proc/meminfo", "MemTotal:       16384 kB\nMemAvailable:    8192 kB\n");
    fake_tree_file("/proc/pressure/cpu", "some avg10=1.85 avg60=0.54 avg300=0.43 total=5000000\nfull avg10=0.00 total=1\n");
    fake_tree_file("/sys/class/powercap/intel-rapl/name", "control\n");
    fake_tree_file("/sys/class/powercap/intel-rapl:0/name", "package-0\n");
    fake_tree_file("/sys/class/powercap/intel-rapl:0/max_energy_range_uj", "100000000\n");
    fake_tree_file("/sys/class/powercap/intel-rapl:0:0/name", "core\n"); // part of the package
    fake_tree_file("/sys/class/powercap/intel-rapl:0:0/energy_uj", "77\n");
    fake_tree_file("/sys/class/powercap/intel-rapl:0:1/name", "dram\n");
    fake_tree_file("/sys/class/powercap/intel-rapl:0:1/energy_uj", "4000000\n");
    fake_tree_file("/sys/class/powercap/intel-rapl:0:1/max_energy_range_uj", "100000000\n");
    fake_tree_file("/sys/class/powercap/intel-rapl:1/name", "psys\n"); // all of it once more
    fake_tree_file("/sys/class/powercap/intel-rapl:1/energy_uj", "99\n");
    fake_tree_file("/sys/class/powercap/intel-rapl-mmio:0/name", "package-0\n"); // the same package
    fake_tree_file("/sys/class/powercap/intel-rapl-mmio:0/energy_uj", "98\n");
    fake_tree_file("/proc/self/cgroup", "0::/job\n");
    fake_tree_file("/proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    fake_tree_file("/sys/fs/cgroup/job/cpu.stat", "usage_usec 99\nnr_throttled 2\nthrottled_usec 500000\n");
    struct machine_snapshot before, after;
    struct machine_difference difference;
    write_state(cpu, 100, 200, 3, 3, 5, "99000000\n");
    machine_snapshot(root, &before);
    write_state(cpu, 180, 216, 7, 4, 7, "2000000\n");
    fake_tree_file("/proc/loadavg", "0.50 0.60 0.70 2/345 6789\n");
    fake_tree_file("/sys/class/powercap/intel-rapl:0:1/energy_uj", "4500000\n");
    fake_tree_file("/sys/fs/cgroup/job/cpu.stat", "usage_usec 99\nnr_throttled 3\nthrottled_usec 750000\n");
    fake_tree_file("/proc/pressure/cpu", "some avg10=1.85 avg60=0.54 avg300=0.43 total=5250000\n");
    for (int i = 0; i < 5; i++)
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    machine_snapshot(root, &after);
    machine_difference(&before, &after, &difference);
    assert_true(fabs(difference.steal_pct - 4) < 1e-9); // 4 of 80 + 16 + 4 ticks, of this CPU alone, guest time not twice
    assert_true(difference.throttle_events == 3);
    assert_true(fabs(difference.energy_joules - 3.5) < 1e-9); // 1 to the end of the counter's range, 2 behind it, 0.5 DRAM
    assert_true(fabs(difference.quota_throttled_seconds - 0.25) < 1e-9);
    assert_true(fabs(difference.cpu_pressure_seconds - 0.25) < 1e-9);
    assert_true(difference.load == 1.5);
    assert_true(difference.memory_available_bytes == 8192 * 1024);
    assert_true(difference.voluntary_switches >= 5);
    assert_true(difference.seconds > 0.0005 && difference.seconds < 60);
    struct machine_facts facts;
    machine_facts(root, &facts);
    assert_string_equal(facts.energy_source, "powercap: package-0 dram");
    assert_string_equal(facts.throttle_reason, "");
    assert_int_equal(sched_setaffinity(0, sizeof given, &given), 0);
    fake_tree_close();
}

static void expect_noise(struct machine_difference difference, const char *wanted) {
    char text[200] = "x";
    assert_int_equal(machine_noise(&difference, 2, 2, text, sizeof text), *wanted != '\0');
    assert_string_equal(text, wanted);
}

static void test_noise(void **state) {
    (void)state;
    struct machine_difference quiet = {.seconds = 2, .steal_pct = 0.4, .load = 2.1, .frequency_mhz = 3000, .involuntary_switches = 20};
    expect_noise(quiet, "");
    struct machine_difference d = quiet;
    d.steal_pct = 3.14;
    expect_noise(d, "steal 3.1%");
    d.load = 4;
    expect_noise(d, "steal 3.1%; load 4.0 on 2 CPUs");
    d = quiet;
    d.throttle_events = 2;
    d.frequency_change_pct = -12;
    expect_noise(d, "clock rate changed by -12%; throttled 2 times");
    d = quiet;
    d.involuntary_switches = 2000;
    expect_noise(d, "1000 involuntary context switches a second");
    d = quiet;
    d.quota_throttled_seconds = 0.5;
    d.major_faults = 1;
    expect_noise(d, "stopped 0.50 s by the CPU quota; 1 page read from disk");
    char small[8];
    assert_true(machine_noise(&d, 2, 2, small, sizeof small)); // cut, not overrun
    assert_string_equal(small, "stopped");
}

static void test_frequency(void **state) {
    (void)state;
    double mhz = machine_frequency_mhz();
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    double again = machine_frequency_mhz();
    clock_gettime(CLOCK_MONOTONIC, &end);
    // No core runs outside of this; and the chain is one cycle an addition only if no core looks twice as fast as it can.
    assert_true(mhz > 300 && mhz < 7000);
    assert_true(again > 300 && again < 7000);
    print_message("%.0f MHz, %.0f MHz, %.2f ms\n", mhz, again,
                  1e3 * (double)(end.tv_sec - start.tv_sec) + 1e-6 * (double)(end.tv_nsec - start.tv_nsec));
}

// ---------------------------------------------------------------------------------------------------------------------
// Control groups, as version 1, version 2 and both together show them

static void expect_quota(const char *root, double cpus, const char *source) {
    char text[128];
    double found = cgroup_cpu_quota(root, text, sizeof text);
    if (isnan(cpus))
        assert_true(isnan(found));
    else
        assert_true(fabs(found - cpus) < 1e-12);
    assert_string_equal(text, source);
}

static void test_cgroup_v1(void **state) {
    (void)state;
    const char *root = fake_tree_open();
    expect_quota(root, NAN, "no control groups");
    // A container: the groups' paths count from a root that is not mounted, the mount shows the container's group as its top.
    fake_tree_file("/proc/self/cgroup", "5:cpuset:/pod/one\n4:cpu,cpuacct:/pod/one\n3:memory:/pod/one\n1:name=systemd:/x\n");
    fake_tree_file("/proc/self/mountinfo",
                   "31 23 0:28 /pod/one /sys/fs/cgroup/cpu,cpuacct rw,relatime master:9 - cgroup cgroup rw,cpu,cpuacct\n"
                   "32 23 0:29 /pod/one /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
                   "33 23 0:30 /pod/one /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n");
    expect_quota(root, NAN, "the control groups show no CPU controller");
    fake_tree_file("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    fake_tree_file("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    expect_quota(root, NAN, "no quota is set");
    fake_tree_file("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "250000\n");
    expect_quota(root, 2.5, "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us");
    fake_tree_file("/sys/fs/cgroup/cpu,cpuacct/cpu.stat", "nr_periods 5\nnr_throttled 1\nthrottled_time 1500000000\n");
    assert_true(fabs(cgroup_throttled_seconds(root) - 1.5) < 1e-12);

    double left;
    fake_tree_file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_true(isnan(cgroup_memory_limit(root, &left)) && isnan(left));
    fake_tree_file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000000\n");
    fake_tree_file("/sys/fs/cgroup/memory/memory.usage_in_bytes", "700000\n");
    fake_tree_file("/sys/fs/cgroup/memory/memory.stat", "cache 1\ntotal_inactive_file 200000\n");
    assert_true(cgroup_memory_limit(root, &left) == 1000000);
    assert_true(cgroup_out_of_memory_kills(root) == 0);
    fake_tree_file("/sys/fs/cgroup/memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
    assert_true(cgroup_out_of_memory_kills(root) == 2);
    fake_tree_file("/proc/vmstat", "pgfault 12\noom_kill 3\n"); // of the whole machine, beside the group's own
    assert_true(cgroup_out_of_memory_kills(root) == 5);
    assert_true(left == 500000);
    fake_tree_file("/proc/meminfo", "MemAvailable:    8192 kB\n");
    assert_true(machine_memory_available(root) == 500000);
    fake_tree_close();
}

static void test_cgroup_v2(void **state) {
    (void)state;
    const char *root = fake_tree_open();
    fake_tree_file("/proc/self/cgroup", "0::/system.slice/job.scope\n");
    fake_tree_file("/proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n");
    fake_tree_file("/sys/fs/cgroup/system.slice/job.scope/cpu.max", "max 100000\n");
    expect_quota(root, NAN, "no quota is set");
    fake_tree_file("/sys/fs/cgroup/system.slice/cpu.max", "50000 20000\n"); // the group above counts too
    expect_quota(root, 2.5, "/sys/fs/cgroup/system.slice/cpu.max");
    fake_tree_file("/sys/fs/cgroup/system.slice/job.scope/cpu.max", "20000 20000\n"); // the tighter one wins
    expect_quota(root, 1, "/sys/fs/cgroup/system.slice/job.scope/cpu.max");
    fake_tree_file("/sys/fs/cgroup/system.slice/memory.max", "3000\n");
    fake_tree_file("/sys/fs/cgroup/system.slice/memory.current", "5000\n");
    double left;
    assert_true(cgroup_memory_limit(root, &left) == 3000);
    fake_tree_file("/sys/fs/cgroup/system.slice/memory.events", "oom 9\noom_kill 9\n"); // the group above has other members
    fake_tree_file("/sys/fs/cgroup/system.slice/job.scope/memory.events", "low 0\noom 1\noom_kill 1\noom_group_kill 0\n");
    assert_true(cgroup_out_of_memory_kills(root) == 1);
    assert_true(left == 0); // over its limit is nothing left, not less
    // A namespace whose root is not ours.
    fake_tree_file("/proc/self/cgroup", "0::/../../elsewhere\n");
    fake_tree_file("/sys/fs/cgroup/cpu.max", "300000 100000\n");
    expect_quota(root, 3, "/sys/fs/cgroup/cpu.max");
    fake_tree_close();
}

static void test_files(void **state) {
    (void)state;
    const char *root = fake_tree_open();
    fake_tree_file("/a", "  12.5 rest\n\n");
    fake_tree_file("/empty", "");
    fake_tree_file("/keys", "model\t\t: 7\nmodel name\t: Some: thing\nMemTotal:  5 kB\nnr_throttled 9\nnr 1");
    char text[32];
    assert_true(sysfs_text(root, "/a", text, sizeof text));
    assert_string_equal(text, "12.5 rest");
    assert_true(sysfs_text(root, "/a", text, 5));
    assert_string_equal(text, "12.5");
    assert_true(sysfs_number(root, "/a") == 12.5);
    assert_true(isnan(sysfs_number(root, "/empty")) && isnan(sysfs_number(root, "/none")) && isnan(sysfs_number(root, "/")));
    assert_true(sysfs_keyed_number(root, "/keys", "model") == 7);
    assert_true(sysfs_keyed_text(root, "/keys", "model name", text, sizeof text));
    assert_string_equal(text, "Some: thing");
    assert_true(sysfs_keyed_number(root, "/keys", "MemTotal:") == 5);
    assert_true(sysfs_keyed_number(root, "/keys", "nr_throttled") == 9);
    assert_true(sysfs_keyed_number(root, "/keys", "nr") == 1);
    assert_true(isnan(sysfs_keyed_number(root, "/keys", "mod")));
    char **names;
    size_t count;
    assert_int_equal(sysfs_list(root, "/", &names, &count), 0);
    assert_int_equal(count, 3);
    assert_string_equal(names[2], "keys");
    sysfs_list_free(names, count);
    assert_int_equal(sysfs_list(root, "/none", &names, &count), -ENOENT);
    fake_tree_close();
}

static void test_this_machine(void **state) {
    (void)state;
    struct machine_snapshot before, after;
    struct machine_difference difference;
    machine_snapshot(NULL, &before);
    machine_snapshot(NULL, &after);
    machine_difference(&before, &after, &difference);
    assert_true(after.total_ticks >= before.total_ticks && before.total_ticks > 0);
    assert_true(difference.load >= 0);
    assert_true(difference.memory_available_bytes > 1 << 20);
    assert_true(difference.frequency_mhz > 300 && difference.frequency_mhz < 7000);
    assert_true(difference.seconds < 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts), cmocka_unit_test(test_absent_is_not_zero), cmocka_unit_test(test_difference),
        cmocka_unit_test(test_noise), cmocka_unit_test(test_frequency), cmocka_unit_test(test_cgroup_v1),
        cmocka_unit_test(test_cgroup_v2), cmocka_unit_test(test_files), cmocka_unit_test(test_this_machine)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
