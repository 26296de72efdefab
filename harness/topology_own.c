// SPDX-License-Identifier: MIT
// What hwloc does not know of a machine: hypervisor, instruction sets, control groups, GPUs that its plugins do not show; and how
// that travels with the XML.
#include "harness/sysfs.h"
#include "harness/topology_internal.h"

#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

void topology_copy_text(char *to, size_t size, const char *from)
{
    size_t n = 0;
    for (; from && *from && n + 1 < size; from++)
        to[n++] = isprint((unsigned char)*from) ? *from : '?';
    to[n] = '\0';
}

__attribute__((format(printf, 2, 3))) static void note(struct topology *topology, const char *format, ...)
{
    if (topology->notes == (int)(sizeof topology->note / sizeof *topology->note))
        return;
    va_list list;
    va_start(list, format);
    vsnprintf(topology->note[topology->notes++], sizeof *topology->note, format, list);
    va_end(list);
}

static void find_hypervisor(const char *root, char *name, size_t size)
{
    char flags[8192];
    if (sysfs_text(root, "/sys/hypervisor/type", name, size) && *name)
        return;
    name[0] = '\0';
    if (!sysfs_keyed_text(root, "/proc/cpuinfo", "flags", flags, sizeof flags))
        return;
    if (!strstr(flags, " hypervisor")) {
        snprintf(name, size, "none");
        return;
    }
    snprintf(name, size, "unnamed");
#if defined(__x86_64__) || defined(__i386__)
    static const struct {
        const char *signature, *name;
    } known[] = {{"KVMKVMKVM", "KVM"}, {"Microsoft Hv", "Hyper-V"}, {"VMwareVMware", "VMware"}, {"XenVMMXenVMM", "Xen"},
                 {"bhyve bhyve ", "bhyve"}, {"TCGTCGTCGTCG", "QEMU TCG"}, {"ACRNACRNACRN", "ACRN"}};
    unsigned eax, word[4] = {0};
    if (*root)
        return;
    __cpuid(0x40000000, eax, word[0], word[1], word[2]);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp((const char *)word, known[i].signature))
            snprintf(name, size, "%s", known[i].name);
#endif
}

// Of the hundred flags that a CPU tells, those that a kernel here or in a library could be built for.
static void find_isa(const char *root, char *isa, size_t size)
{
    static const char *const wanted[] = {
        "sse4_2", "popcnt", "avx*", "f16c", "fma", "bmi1", "bmi2", "amx_*", "gfni", "asimd*", "fphp", "bf16", "i8mm", "sve*",
        "sme", "sme2", "smei8i32", "neon", "vfpv4", "altivec", "vsx", "v"};
    char all[8192], *save = NULL;
    if (!sysfs_keyed_text(root, "/proc/cpuinfo", "flags", all, sizeof all))
        sysfs_keyed_text(root, "/proc/cpuinfo", "Features", all, sizeof all);
    size_t used = 0;
    for (char *word = strtok_r(all, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        bool match = false;
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted && !match; i++) {
            const char *star = strchr(wanted[i], '*');
            match = star ? !strncmp(word, wanted[i], (size_t)(star - wanted[i])) : !strcmp(word, wanted[i]);
        }
        if (match && used + strlen(word) + 2 < size)
            used += (size_t)snprintf(isa + used, size - used, "%s%s", used ? " " : "", word);
    }
}

void topology_own_find(struct topology *topology, const struct topology_source *source)
{
    struct topology_summary *sum = &topology->summary;
    const char *root = source->root ? source->root : "";
    char text[sizeof sum->cpu_model];
    if (!*sum->cpu_model && sysfs_keyed_text(root, "/proc/cpuinfo", "model name", text, sizeof text))
        topology_copy_text(sum->cpu_model, sizeof sum->cpu_model, text);
    find_hypervisor(root, sum->hypervisor, sizeof sum->hypervisor);
    find_isa(root, topology->isa, sizeof topology->isa);
    sum->quota_cpus = cgroup_cpu_quota(root, sum->quota_source, sizeof sum->quota_source);
    sum->memory_limit_bytes = cgroup_memory_limit(root, NULL);
    if (source->no_devices)
        return;
    gpu_look(root, &topology->gpus);
    int pci = 0, gpus = 0;
    for (int i = 0; i < topology->devices; i++) {
        pci += !strcmp(topology->device[i].type, "pci");
        gpus += !strcmp(topology->device[i].type, "gpu") || !strcmp(topology->device[i].type, "coprocessor");
    }
    if (!pci && topology->gpus.pci_devices > 0)
        note(topology, "plugin missing: hwloc shows no PCI device, sysfs shows %d (hwloc's pci plugin, Debian: libhwloc-plugins)",
             topology->gpus.pci_devices);
    bool nvidia = false;
    for (int i = 0; i < topology->gpus.count; i++)
        nvidia |= !strcmp(topology->gpus.gpu[i].vendor, "NVIDIA");
    if (topology->gpus.count && !gpus)
        note(topology, "plugin missing: hwloc shows no GPU, %d seen otherwise (hwloc's %s plugin%s)", topology->gpus.count,
             nvidia ? "cuda and nvml" : "opencl or rsmi", nvidia ? ", Debian: libhwloc-contrib-plugins" : "");
    if (nvidia && !topology->gpus.nvml)
        note(topology, "plugin missing: an NVIDIA device is there and libnvidia-ml.so.1 does not answer, so its memory is not known");
    if (!strncmp(topology->gpus.verdict, "unknown", 7))
        note(topology, "plugin missing: nothing here can tell whether there is a GPU (%s)", topology->gpus.verdict);
}

void topology_own_read(struct topology *topology, const char *text)
{
    struct topology_summary *sum = &topology->summary;
    json_t *own = text ? json_loads(text, 0, NULL) : NULL;
    snprintf(topology->gpus.verdict, sizeof topology->gpus.verdict, "unknown: not told");
    topology->gpus.pci_devices = -1;
    snprintf(sum->quota_source, sizeof sum->quota_source, "not told");
    if (!json_is_object(own)) {
        json_decref(own);
        return;
    }
    const json_t *quota = json_object_get(own, "quota_cpus"), *memory = json_object_get(own, "memory_limit_bytes");
    sum->quota_cpus = json_is_number(quota) ? json_number_value(quota) : NAN;
    sum->memory_limit_bytes = json_is_number(memory) ? json_number_value(memory) : NAN;
    topology_copy_text(sum->quota_source, sizeof sum->quota_source, json_string_value(json_object_get(own, "quota_source")));
    topology_copy_text(sum->hypervisor, sizeof sum->hypervisor, json_string_value(json_object_get(own, "hypervisor")));
    topology_copy_text(topology->isa, sizeof topology->isa, json_string_value(json_object_get(own, "isa")));
    if (!*sum->cpu_model)
        topology_copy_text(sum->cpu_model, sizeof sum->cpu_model, json_string_value(json_object_get(own, "cpu_model")));
    gpu_report_parse(json_object_get(own, "gpus"), &topology->gpus);
    const json_t *notes = json_object_get(own, "notes");
    for (size_t i = 0; i < json_array_size(notes); i++)
        if (json_string_value(json_array_get(notes, i)))
            note(topology, "%s", json_string_value(json_array_get(notes, i)));
    int usable[4096];
    const char *list = json_string_value(json_object_get(own, "usable"));
    int count = list ? index_list_parse(list, usable, sizeof usable / sizeof *usable) : -1;
    for (int p = 0; count >= 0 && p < topology->pus; p++) {
        struct pu *pu = &topology->pu[p];
        pu->usable = false;
        for (int i = 0; i < count; i++)
            pu->usable |= pu->os_index == usable[i];
    }
    json_decref(own);
}

char *topology_own_write(const struct topology *topology)
{
    const struct topology_summary *sum = &topology->summary;
    size_t size = (size_t)topology->pus * 12 + 1;
    char *usable = malloc(size);
    if (!usable)
        return NULL;
    topology_pu_list(topology, 0, topology->pus, PUS_USABLE, usable, size);
    json_t *notes = json_array();
    for (int i = 0; i < topology->notes; i++)
        json_array_append_new(notes, json_string(topology->note[i]));
    json_t *own = json_pack("{ss ss ss ss ss so so so so}", "usable", usable, "cpu_model", sum->cpu_model, "hypervisor",
                            sum->hypervisor, "isa", topology->isa, "quota_source", sum->quota_source, "quota_cpus",
                            isnan(sum->quota_cpus) ? json_null() : json_real(sum->quota_cpus), "memory_limit_bytes",
                            isnan(sum->memory_limit_bytes) ? json_null() : json_real(sum->memory_limit_bytes), "gpus",
                            gpu_report_json(&topology->gpus), "notes", notes);
    char *text = own ? json_dumps(own, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(own);
    free(usable);
    return text;
}
