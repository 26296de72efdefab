// SPDX-License-Identifier: MIT
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>

#include "harness/topology.h"
#include "tests/unit/fake_tree.h"

static char error[512];

static const char *const machines[] = {"two_sockets_smt", "hybrid", "asymmetric", "one_core", "restricted"};
enum { MACHINES = sizeof machines / sizeof *machines };

static struct topology *load(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "tests/golden/topology/%s.xml", name);
    struct topology *topology = NULL;
    if (topology_load(&(struct topology_source){.xml = path}, &topology, error, sizeof error))
        fail_msg("%s: %s", path, error);
    return topology;
}

static char *read_file(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("%s cannot be read", path);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
    fclose(file);
    return text;
}

static char *json_of(const struct topology *topology) {
    json_t *json = topology_json(topology);
    assert_non_null(json);
    char *text = json_dumps(json, JSON_INDENT(2));
    json_decref(json);
    assert_non_null(text);
    return text;
}

// What is stored beside each machine is what `llmsweep topo` and `llmsweep topo --json` print for it.
static void test_golden(void **state) {
    (void)state;
    for (int i = 0; i < MACHINES; i++) {
        struct topology *topology = load(machines[i]);
        char path[128];
        snprintf(path, sizeof path, "tests/golden/topology/%s.txt", machines[i]);
        char *wanted = read_file(path), *text = topology_text(topology);
        assert_string_equal(text, wanted);
        free(wanted);
        free(text);
        snprintf(path, sizeof path, "tests/golden/topology/%s.json", machines[i]);
        wanted = read_file(path);
        text = json_of(topology);
        assert_memory_equal(text, wanted, strlen(text));
        assert_string_equal(wanted + strlen(text), "\n");
        free(wanted);
        free(text);
        topology_free(topology);
    }
}

static void test_summary(void **state) {
    (void)state;
    struct topology *topology = load("two_sockets_smt");
    const struct topology_summary *sum = topology_summary(topology);
    assert_int_equal(sum->packages, 2);
    assert_int_equal(sum->numa_nodes, 2);
    assert_int_equal(sum->cores, 16);
    assert_int_equal(sum->pus, 32);
    assert_int_equal(sum->smt, 2);
    assert_true(sum->quota_cpus == 6.5);
    assert_true(sum->memory_bytes == 0x1p37);
    assert_true(sum->memory_limit_bytes == 0x1p35);
    assert_string_equal(sum->hypervisor, "KVM");
    assert_false(sum->this_machine);
    topology_free(topology);
    topology = load("restricted");
    sum = topology_summary(topology);
    assert_int_equal(sum->cores, 16);
    assert_int_equal(sum->usable_cores, 4);
    assert_int_equal(sum->usable_pus, 6);
    assert_int_equal(sum->usable_packages, 2);
    assert_true(isnan(sum->quota_cpus)); // absent, not 0
    topology_free(topology);
}

static void expect_cache(const char *name, const int *pus, size_t count, bool told, uint64_t bytes) {
    struct topology *topology = load(name);
    uint64_t found = 12345;
    assert_int_equal(topology_last_level_cache(topology, pus, count, &found), told);
    if (told)
        assert_int_equal(found, bytes);
    topology_free(topology);
}

static void test_last_level_cache(void **state) {
    (void)state;
    uint64_t mib = 1 << 20;
    expect_cache("two_sockets_smt", NULL, 0, true, 64 * mib);
    expect_cache("two_sockets_smt", (int[]){0}, 1, true, 32 * mib);
    expect_cache("two_sockets_smt", (int[]){0, 16, 7}, 3, true, 32 * mib);
    expect_cache("two_sockets_smt", (int[]){0, 8}, 2, true, 64 * mib);
    expect_cache("hybrid", (int[]){32, 40}, 2, true, 24 * mib);
    expect_cache("asymmetric", (int[]){5}, 1, true, 16 * mib);
    expect_cache("one_core", NULL, 0, false, 0);
}

static void test_identity(void **state) {
    (void)state;
    struct topology *whole = load("two_sockets_smt"), *cut = load("restricted"), *other = load("asymmetric");
    assert_true(topology_hash(whole) == topology_hash(cut)); // another cpuset is the same machine
    assert_true(topology_hash(whole) != topology_hash(other));
    char slug[64];
    topology_slug(whole, slug, sizeof slug);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "example-epx-7008-8-16c32t-%08x", (unsigned)(topology_hash(whole) >> 32));
    assert_string_equal(slug, wanted);
    topology_free(whole);
    topology_free(cut);
    topology_free(other);
}

static void test_save_and_load(void **state) {
    (void)state;
    fake_tree_open();
    char path[128];
    snprintf(path, sizeof path, "%s/saved.xml", fake_root);
    for (int i = 0; i < MACHINES; i++) {
        struct topology *first = load(machines[i]), *second;
        assert_int_equal(topology_save_xml(first, path, error, sizeof error), 0);
        assert_int_equal(topology_load(&(struct topology_source){.xml = path}, &second, error, sizeof error), 0);
        char *before = json_of(first), *after = json_of(second);
        assert_string_equal(before, after);
        free(before);
        free(after);
        topology_free(first);
        topology_free(second);
    }
    struct topology *topology = load("one_core");
    assert_int_not_equal(topology_save_xml(topology, "/nonexistent/there.xml", error, sizeof error), 0);
    assert_non_null(strstr(error, "/nonexistent/there.xml"));
    topology_free(topology);
    fake_tree_close();
}

static void test_bad_input(void **state) {
    (void)state;
    struct topology *topology = (void *)1;
    assert_int_equal(topology_load(&(struct topology_source){.xml = "tests/nowhere.xml"}, &topology, error, sizeof error), -ENOENT);
    assert_null(topology);
    assert_non_null(strstr(error, "tests/nowhere.xml"));
    fake_tree_open();
    fake_tree_file("/bad.xml", "\x7f\x45LF\x01\x02 not XML at all");
    fake_tree_file("/empty.xml", "");
    const char *const names[] = {"bad.xml", "empty.xml"};
    for (int i = 0; i < 2; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", fake_root, names[i]);
        assert_int_equal(topology_load(&(struct topology_source){.xml = path}, &topology, error, sizeof error), -EINVAL);
        assert_null(topology);
        assert_non_null(strstr(error, names[i]));
    }
    fake_tree_close();
    assert_int_equal(topology_load(&(struct topology_source){.synthetic = "core:x"}, &topology, error, sizeof error), -EINVAL);
    assert_non_null(strstr(error, "core:x"));
    assert_int_equal(topology_load(&(struct topology_source){.synthetic = "core:1 pu:1", .xml = "a"}, &topology, error,
                                   sizeof error), -EINVAL);
}

static void test_hostile_attribute(void **state) {
    (void)state;
    // The attribute that carries what hwloc does not know comes from a file, and may hold anything.
    const char *const own[] = {"{&quot;usable&quot;:&quot;0-99999999999999999999&quot;}", "[1,2", "{&quot;gpus&quot;:{&quot;found&quot;:[3,null,{}]}}",
                               "{&quot;usable&quot;:5,&quot;quota_cpus&quot;:&quot;x&quot;,&quot;notes&quot;:[1]}"};
    fake_tree_open();
    char *xml = read_file("tests/golden/topology/one_core.xml");
    char *at = strstr(xml, "    <info name=\"Backend\"");
    assert_non_null(at);
    static char text[8192], path[128];
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        snprintf(text, sizeof text, "%.*s    <info name=\"LLMSweep\" value=\"%s\"/>\n%s", (int)(at - xml), xml, own[i], at);
        fake_tree_file("/hostile.xml", text);
        snprintf(path, sizeof path, "%s/hostile.xml", fake_root);
        struct topology *topology;
        assert_int_equal(topology_load(&(struct topology_source){.xml = path}, &topology, error, sizeof error), 0);
        assert_int_equal(topology_summary(topology)->usable_pus, 1);
        assert_true(isnan(topology_summary(topology)->quota_cpus));
        char *json = json_of(topology), *print = topology_text(topology);
        assert_non_null(print);
        free(json);
        free(print);
        topology_free(topology);
    }
    free(xml);
    fake_tree_close();
}

// ---------------------------------------------------------------------------------------------------------------------
// Placement

static void test_places(void **state) {
    (void)state;
    static const struct {
        const char *machine;
        int ranks, threads;
        unsigned flags;
        const char *wanted; // the placement and what it had to do, or the reason against it
    } cases[] = {
        {"two_sockets_smt", 1, 1, 0, "0:0"},
        {"two_sockets_smt", 2, 1, 0, "0:0;1:8"},
        {"two_sockets_smt", 1, 8, 0, "0:0,1,2,3,4,5,6,7"},
        {"two_sockets_smt", 2, 2, 0, "0:0,1;1:8,9"},
        {"two_sockets_smt", 4, 2, 0, "0:0,1;1:2,3;2:8,9;3:10,11"},
        {"two_sockets_smt", 3, 4, 0, "0:0,1,2,3;1:4,5,6,7;2:8,9,10,11"},
        {"two_sockets_smt", 1, 16, 0, "0:0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15"},
        {"two_sockets_smt", 2, 9, 0, "0:0,16,1,2,3,4,5,6,7;1:8,24,9,10,11,12,13,14,15 smt"},
        {"two_sockets_smt", 2, 9, PLACE_NO_SMT, "needs 18 cores, this process may use 16"},
        {"two_sockets_smt", 5, 7, 0, "needs 35 threads, this process may use 16 cores with 32 hardware threads"},
        {"hybrid", 1, 1, 0, "0:0"},
        {"hybrid", 2, 2, 0, "0:0,8;1:16,24"},
        {"hybrid", 1, 6, 0, "0:0,8,16,24,32,40 mixed"},
        {"hybrid", 2, 6, 0, "0:0,8,16,24,44,46;1:32,34,36,38,40,42 mixed"},
        {"hybrid", 2, 4, PLACE_NO_SMT, "0:0,8,16,24;1:32,34,40,42 mixed"},
        {"hybrid", 1, 13, 0, "0:0,1,8,16,24,32,34,36,38,40,42,44,46 smt mixed"},
        {"asymmetric", 2, 1, 0, "0:0;1:4"},
        {"asymmetric", 3, 2, 0, "0:0,1;1:2,3;2:4,5"},
        {"asymmetric", 2, 3, 0, "0:0,1,2;1:3,4,5"},
        {"asymmetric", 2, 2, 0, "0:0,1;1:4,5"},
        {"asymmetric", 1, 7, 0, "needs 7 cores, this process may use 6"},
        {"one_core", 1, 1, 0, "0:0"},
        {"one_core", 2, 1, 0, "needs 2 cores, this process may use 1"},
        {"one_core", 2, 2, PLACE_OVERSUBSCRIBE, "0:0,0;1:0,0 oversubscribed"},
        {"restricted", 1, 3, 0, "0:2,3,4"},
        {"restricted", 2, 1, 0, "0:2;1:10"},
        {"restricted", 2, 2, 0, "0:2,3;1:4,10"},
        {"restricted", 2, 3, 0, "0:2,18,3;1:4,10,26 smt"},
        {"restricted", 4, 2, 0, "needs 8 threads, this process may use 4 cores with 6 hardware threads"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct topology *topology = load(cases[i].machine);
        struct placement placement;
        char text[1024];
        int status = topology_place(topology, cases[i].ranks, cases[i].threads, cases[i].flags, &placement, text, sizeof text);
        if (status) {
            assert_int_equal(status, -ENOSPC);
        } else {
            int length = placement_format(&placement, text, sizeof text);
            assert_in_range(length, 1, sizeof text - 40);
            snprintf(text + length, sizeof text - (size_t)length, "%s%s%s", placement.smt ? " smt" : "",
                     placement.mixed_kinds ? " mixed" : "", placement.oversubscribed ? " oversubscribed" : "");
            placement_free(&placement);
        }
        assert_string_equal(text, cases[i].wanted);
        topology_free(topology);
    }
}

// Whatever the layout: every thread on a usable PU, no PU twice, no core twice while cores last, and refused only when too small.
static void test_placement_rules(void **state) {
    (void)state;
    for (int m = 0; m < MACHINES; m++) {
        struct topology *topology = load(machines[m]);
        const struct topology_summary *sum = topology_summary(topology);
        json_t *json = topology_json(topology);
        const json_t *cores = json_object_get(json, "cores");
        for (int ranks = 1; ranks <= 9; ranks++)
            for (int threads = 1; threads <= 9; threads++) {
                struct placement placement;
                int need = ranks * threads;
                int status = topology_place(topology, ranks, threads, 0, &placement, error, sizeof error);
                assert_int_equal(status, need > sum->usable_pus ? -ENOSPC : 0);
                if (status)
                    continue;
                int placed = 0;
                for (size_t c = 0; c < json_array_size(cores); c++) {
                    const json_t *usable = json_object_get(json_array_get(cores, c), "usable");
                    int here = 0;
                    for (size_t p = 0; p < json_array_size(usable); p++) {
                        int times = 0;
                        for (int i = 0; i < need; i++)
                            times += placement.pus[i] == json_integer_value(json_array_get(usable, p));
                        assert_in_range(times, 0, 1);
                        here += times;
                    }
                    if (need <= sum->usable_cores)
                        assert_in_range(here, 0, 1);
                    else if (json_array_size(usable))
                        assert_true(here >= 1);
                    placed += here;
                }
                assert_int_equal(placed, need);
                assert_int_equal(placement.smt, need > sum->usable_cores);
                placement_free(&placement);
            }
        json_decref(json);
        topology_free(topology);
    }
}

static void test_place_bound(void **state) {
    (void)state;
    struct topology *topology = load("two_sockets_smt");
    struct placement placement;
    char text[256];
    const char *apart[] = {"8-15,24-31", "0-3"}, *equal[] = {"0-7", "0-7"}, *overlap[] = {"0-4", "4-7,3"}, *outside[] = {"0", "77"};
    const char *narrow[] = {"0-1", "8"}, *nonsense[] = {"0-", "1"};
    assert_int_equal(topology_place_bound(topology, apart, 2, 2, 0, &placement, error, sizeof error), 0);
    placement_format(&placement, text, sizeof text);
    assert_string_equal(text, "0:8,9;1:0,1");
    placement_free(&placement);
    assert_int_equal(topology_place_bound(topology, equal, 2, 2, 0, &placement, error, sizeof error), 0);
    placement_format(&placement, text, sizeof text);
    assert_string_equal(text, "0:0,1;1:2,3");
    placement_free(&placement);
    assert_int_equal(topology_place_bound(topology, overlap, 2, 1, 0, &placement, error, sizeof error), -EINVAL);
    assert_string_equal(error, "ranks 0 and 1 were both bound to PUs 3-4 by the launcher");
    assert_int_equal(topology_place_bound(topology, outside, 2, 1, 0, &placement, error, sizeof error), -EINVAL);
    assert_non_null(strstr(error, "rank 1 is bound to 77"));
    assert_int_equal(topology_place_bound(topology, nonsense, 2, 1, 0, &placement, error, sizeof error), -EINVAL);
    assert_int_equal(topology_place_bound(topology, narrow, 2, 2, 0, &placement, error, sizeof error), -ENOSPC);
    assert_string_equal(error, "rank 1, bound to 8: needs 2 cores, this process may use 1");
    topology_free(topology);
}

static void test_placement_text(void **state) {
    (void)state;
    struct placement placement;
    char text[64];
    assert_int_equal(placement_parse("0:0,1;1:2,30", &placement, error, sizeof error), 0);
    assert_int_equal(placement.ranks, 2);
    assert_int_equal(placement.threads, 2);
    assert_int_equal(placement.pus[3], 30);
    assert_false(placement.oversubscribed);
    assert_int_equal(placement_format(&placement, text, sizeof text), 12);
    assert_string_equal(text, "0:0,1;1:2,30");
    assert_int_equal(placement_format(&placement, text, 5), 12); // as snprintf: cut, and the length that it would have
    assert_string_equal(text, "0:0,");
    placement_free(&placement);
    assert_int_equal(placement_parse("0:4;1:4", &placement, error, sizeof error), 0);
    assert_true(placement.oversubscribed);
    placement_free(&placement);
    const char *const wrong[] = {"", "0", "0:", "1:0", "0:0;", "0:0,1;1:2", "0:0;2:1", "0:-1", "0:0 ", "0:99999999999999999999", "a:b"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(placement_parse(wrong[i], &placement, error, sizeof error), -EINVAL);
        assert_null(placement.pus);
    }
    struct topology *topology = load("one_core");
    assert_int_equal(topology_place(topology, 0, 1, 0, &placement, error, sizeof error), -EINVAL);
    assert_int_equal(topology_place(topology, 1, -3, 0, &placement, error, sizeof error), -EINVAL);
    topology_free(topology);
}

// ---------------------------------------------------------------------------------------------------------------------
// This machine

static void test_this_machine(void **state) {
    (void)state;
    struct topology *topology;
    assert_int_equal(topology_load(NULL, &topology, error, sizeof error), 0);
    const struct topology_summary *sum = topology_summary(topology);
    cpu_set_t mine;
    assert_int_equal(sched_getaffinity(0, sizeof mine, &mine), 0);
    assert_true(sum->this_machine);
    assert_int_equal(sum->usable_pus, CPU_COUNT(&mine));
    assert_true(sum->cores >= 1 && sum->cores <= sum->pus);
    fake_tree_open();
    char path[128];
    snprintf(path, sizeof path, "%s/saved.xml", fake_root);
    assert_int_equal(topology_save_xml(topology, path, error, sizeof error), 0);
    struct topology *again;
    assert_int_equal(topology_load(&(struct topology_source){.xml = path}, &again, error, sizeof error), 0);
    assert_true(topology_hash(topology) == topology_hash(again));
    assert_false(topology_summary(again)->this_machine);
    assert_string_equal(topology_summary(again)->quota_source, sum->quota_source);
    assert_string_equal(topology_summary(again)->hypervisor, sum->hypervisor);
    assert_int_equal(topology_summary(again)->usable_pus, sum->usable_pus);
    assert_int_equal(topology_bind_thread(again, 0, error, sizeof error), -EINVAL); // not this machine
    topology_free(again);
    fake_tree_close();
    topology_free(topology);
}

static void test_binding(void **state) {
    (void)state;
    cpu_set_t before, after, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    struct topology *topology;
    struct topology_source quick = {.no_devices = true};
    assert_int_equal(topology_load(&quick, &topology, error, sizeof error), 0);
    struct placement placement;
    assert_int_equal(topology_place(topology, 1, 1, 0, &placement, error, sizeof error), 0);
    int pu = placement.pus[0];
    placement_free(&placement);
    assert_true(CPU_ISSET(pu, &before));
    assert_int_equal(topology_bind_thread(topology, pu, error, sizeof error), 0);
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    CPU_ZERO(&one);
    CPU_SET(pu, &one);
    assert_true(CPU_EQUAL(&after, &one));
    char list[64], wanted[16];
    assert_int_equal(topology_binding(topology, list, sizeof list), 0);
    snprintf(wanted, sizeof wanted, "%d", pu);
    assert_string_equal(list, wanted);
    // A process that was given one CPU may use one core, whatever the machine holds.
    struct topology *narrow;
    assert_int_equal(topology_load(&quick, &narrow, error, sizeof error), 0);
    assert_int_equal(topology_summary(narrow)->usable_pus, 1);
    assert_int_equal(topology_summary(narrow)->pus, topology_summary(topology)->pus);
    assert_int_equal(topology_place(narrow, 2, 1, 0, &placement, error, sizeof error), -ENOSPC);
    assert_string_equal(error, "needs 2 cores, this process may use 1");
    topology_free(narrow);
    assert_int_equal(topology_bind_thread(topology, 99999, error, sizeof error), -EINVAL);
    assert_int_equal(topology_bind_thread(topology, -1, error, sizeof error), -EINVAL);
    assert_int_equal(topology_bind_thread_to(topology, NULL, 0, error, sizeof error), -EINVAL);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    topology_free(topology);
}

// PCI devices and control groups as a captured tree shows them, whatever this machine has.
static void test_captured_devices(void **state) {
    (void)state;
    const char *root = fake_tree_open();
    struct topology *topology;
    assert_int_equal(topology_load(&(struct topology_source){.root = root}, &topology, error, sizeof error), 0);
    char *text = topology_text(topology);
    // Nobody could look: so nobody says that there is none.
    assert_non_null(strstr(text, "GPUs         unknown: /sys/bus/pci cannot be read"));
    assert_non_null(strstr(text, "plugin missing: nothing here can tell whether there is a GPU"));
    assert_null(strstr(text, "none on the PCI bus"));
    assert_string_equal(topology_summary(topology)->quota_source, "no control groups");
    free(text);
    topology_free(topology);

    fake_tree_file("/sys/bus/pci/devices/0000:00:00.0/class", "0x060000\n");
    assert_int_equal(topology_load(&(struct topology_source){.root = root}, &topology, error, sizeof error), 0);
    text = topology_text(topology);
    assert_non_null(strstr(text, "GPUs         none on the PCI bus (1 devices), NVML not asked"));
    free(text);
    topology_free(topology);

    fake_tree_file("/sys/bus/pci/devices/0000:17:00.0/class", "0x030200\n");
    fake_tree_file("/sys/bus/pci/devices/0000:17:00.0/vendor", "0x10de\n");
    fake_tree_file("/proc/driver/nvidia/gpus/0000:17:00.0/information", "Model: \t\t Example H\nIRQ:   \t 12\n");
    fake_tree_file("/proc/cpuinfo", "model\t\t: 1\nmodel name\t: Some CPU\nflags\t\t: fpu avx avx2 smep hypervisor avx512f\n");
    fake_tree_file("/proc/self/cgroup", "0::/job/step\n");
    fake_tree_file("/proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n");
    fake_tree_file("/sys/fs/cgroup/job/cpu.max", "150000 100000\n");
    fake_tree_file("/sys/fs/cgroup/job/step/cpu.max", "max 100000\n");
    fake_tree_file("/sys/fs/cgroup/job/step/memory.max", "1073741824\n");
    assert_int_equal(topology_load(&(struct topology_source){.root = root}, &topology, error, sizeof error), 0);
    text = topology_text(topology);
    assert_non_null(strstr(text, "0000:17:00.0 NVIDIA Example H, memory not known, driver nvidia (sysfs driver)"));
    assert_non_null(strstr(text, "plugin missing: hwloc shows no GPU, 1 seen otherwise"));
    assert_non_null(strstr(text, "libnvidia-ml.so.1 does not answer"));
    assert_non_null(strstr(text, "ISA          avx avx2 avx512f\n"));
    assert_non_null(strstr(text, "1.50 CPUs (/sys/fs/cgroup/job/cpu.max)"));
    assert_true(topology_summary(topology)->quota_cpus == 1.5);
    assert_true(topology_summary(topology)->memory_limit_bytes == 0x1p30);
    assert_string_equal(topology_summary(topology)->hypervisor, "unnamed");
    free(text);
    topology_free(topology);
    fake_tree_close();
}

int main(void) {
#ifdef __SANITIZE_ADDRESS__
    // libpciaccess, which hwloc's pci plugin loads and unloads again, keeps what it allocated; unloaded, it cannot be named in a
    // suppression. Everything else runs without it.
    setenv("HWLOC_COMPONENTS", "-pci", 1);
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),         cmocka_unit_test(test_summary),         cmocka_unit_test(test_last_level_cache),
        cmocka_unit_test(test_identity),       cmocka_unit_test(test_save_and_load),   cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_hostile_attribute), cmocka_unit_test(test_places),       cmocka_unit_test(test_placement_rules),
        cmocka_unit_test(test_place_bound),    cmocka_unit_test(test_placement_text),  cmocka_unit_test(test_this_machine),
        cmocka_unit_test(test_binding),        cmocka_unit_test(test_captured_devices)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
