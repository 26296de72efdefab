// SPDX-License-Identifier: MIT
#include "harness/gpu.h"

#include "harness/sysfs.h"

#include <dlfcn.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    unsigned id;
    const char *name;
} vendors[] = {{0x10de, "NVIDIA"}, {0x1002, "AMD"},       {0x8086, "Intel"},   {0x1da3, "Habana"}, {0x15ad, "VMware"},
               {0x1234, "QEMU"},   {0x1b36, "Red Hat"},   {0x1af4, "virtio"},  {0x1a03, "ASPEED"}, {0x102b, "Matrox"},
               {0x1d0f, "Amazon"}, {0x1ae0, "Google"},    {0x19e5, "Huawei"},  {0x106b, "Apple"},  {0x1414, "Microsoft"}};

static void seen_by(struct gpu *gpu, const char *who)
{
    size_t used = strlen(gpu->seen_by);
    snprintf(gpu->seen_by + used, sizeof gpu->seen_by - used, "%s%s", used ? " " : "", who);
}

// The entry for that PCI address, a new one if there is none. NULL when the report is full.
static struct gpu *gpu_at(struct gpu_report *report, const char *bus)
{
    for (int i = 0; i < report->count; i++)
        if (*bus && !strcasecmp(report->gpu[i].bus, bus))
            return &report->gpu[i];
    if (report->count == GPU_MAX)
        return NULL;
    struct gpu *gpu = &report->gpu[report->count++];
    *gpu = (struct gpu){.memory_bytes = NAN};
    snprintf(gpu->bus, sizeof gpu->bus, "%s", bus);
    return gpu;
}

// PCI class 03xxxx is a display controller (a data-centre GPU is 0302: 3D controller), 12xxxx a processing accelerator.
static void look_at_pci(const char *root, struct gpu_report *report)
{
    char **names;
    size_t count;
    report->pci_devices = -1;
    if (sysfs_list(root, "/sys/bus/pci/devices", &names, &count))
        return;
    report->pci_devices = (int)count;
    for (size_t i = 0; i < count; i++) {
        char path[512], text[32];
        snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/class", names[i]);
        if (!sysfs_text(root, path, text, sizeof text))
            continue;
        unsigned long class = strtoul(text, NULL, 16) >> 16;
        if (class != 0x03 && class != 0x12)
            continue;
        struct gpu *gpu = gpu_at(report, names[i]);
        if (!gpu)
            break;
        seen_by(gpu, "sysfs");
        snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/vendor", names[i]);
        if (sysfs_text(root, path, text, sizeof text)) {
            unsigned vendor = (unsigned)strtoul(text, NULL, 16);
            snprintf(gpu->vendor, sizeof gpu->vendor, "%s", text);
            for (size_t v = 0; v < sizeof vendors / sizeof *vendors; v++)
                if (vendors[v].id == vendor)
                    snprintf(gpu->vendor, sizeof gpu->vendor, "%s", vendors[v].name);
        }
        snprintf(path, sizeof path, "%s/sys/bus/pci/devices/%s/driver", root, names[i]);
        char target[PATH_MAX];
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length > 0) {
            target[length] = '\0';
            snprintf(gpu->driver, sizeof gpu->driver, "%.31s", basename(target));
        }
    }
    sysfs_list_free(names, count);
}

static void look_at_nvidia_driver(const char *root, struct gpu_report *report)
{
    char **names;
    size_t count;
    if (sysfs_list(root, "/proc/driver/nvidia/gpus", &names, &count))
        return;
    for (size_t i = 0; i < count; i++) {
        struct gpu *gpu = gpu_at(report, names[i]);
        if (!gpu)
            break;
        seen_by(gpu, "driver");
        char path[512];
        snprintf(path, sizeof path, "/proc/driver/nvidia/gpus/%s/information", names[i]);
        sysfs_keyed_text(root, path, "Model", gpu->model, sizeof gpu->model);
        snprintf(gpu->vendor, sizeof gpu->vendor, "NVIDIA");
        if (!*gpu->driver)
            snprintf(gpu->driver, sizeof gpu->driver, "nvidia");
    }
    sysfs_list_free(names, count);
}

// The few calls and the two structures of NVML's stable interface that are needed here, found by name at run time, so that the
// program neither needs its header nor its library.
struct nvml_memory {
    unsigned long long total, free, used;
};
struct nvml_pci {
    char bus_legacy[16];
    unsigned domain, bus, device, pci_device, pci_subsystem;
    char bus_id[32];
};

static void look_with_nvml(struct gpu_report *report)
{
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return;
    // POSIX lets dlsym's object pointer stand for a function; ISO C only lets it be copied.
    int (*init)(void), (*shutdown)(void), (*get_count)(unsigned *), (*get_handle)(unsigned, void **);
    int (*get_name)(void *, char *, unsigned), (*get_memory)(void *, struct nvml_memory *);
    int (*get_pci)(void *, struct nvml_pci *);
    *(void **)&init = dlsym(library, "nvmlInit_v2");
    *(void **)&shutdown = dlsym(library, "nvmlShutdown");
    *(void **)&get_count = dlsym(library, "nvmlDeviceGetCount_v2");
    *(void **)&get_handle = dlsym(library, "nvmlDeviceGetHandleByIndex_v2");
    *(void **)&get_name = dlsym(library, "nvmlDeviceGetName");
    *(void **)&get_memory = dlsym(library, "nvmlDeviceGetMemoryInfo");
    *(void **)&get_pci = dlsym(library, "nvmlDeviceGetPciInfo_v3");
    unsigned count = 0;
    if (!init || !shutdown || !get_count || !get_handle || !get_name || !get_memory || !get_pci || init()) {
        dlclose(library);
        return;
    }
    report->nvml = !get_count(&count);
    for (unsigned i = 0; report->nvml && i < count; i++) {
        void *handle;
        struct nvml_pci pci = {0};
        struct nvml_memory memory;
        if (get_handle(i, &handle))
            continue;
        char bus[24] = "";
        if (!get_pci(handle, &pci))
            snprintf(bus, sizeof bus, "%04x:%02x:%02x.0", pci.domain & 0xffff, pci.bus & 0xff, pci.device & 0xff);
        struct gpu *gpu = gpu_at(report, bus);
        if (!gpu)
            break;
        seen_by(gpu, "nvml");
        snprintf(gpu->vendor, sizeof gpu->vendor, "NVIDIA");
        if (get_name(handle, gpu->model, sizeof gpu->model))
            gpu->model[0] = '\0';
        if (!get_memory(handle, &memory))
            gpu->memory_bytes = (double)memory.total;
    }
    shutdown();
    dlclose(library);
}

void gpu_look(const char *root, struct gpu_report *report)
{
    *report = (struct gpu_report){.count = 0};
    root = root ? root : "";
    look_at_pci(root, report);
    look_at_nvidia_driver(root, report);
    if (!*root)
        look_with_nvml(report);
    const char *nvml = report->nvml ? "NVML answers" : *root ? "NVML not asked" : "NVML not installed";
    if (report->count)
        snprintf(report->verdict, sizeof report->verdict, "%d found, %s", report->count, nvml);
    else if (report->pci_devices > 0)
        snprintf(report->verdict, sizeof report->verdict, "none on the PCI bus (%d devices), %s", report->pci_devices, nvml);
    else
        snprintf(report->verdict, sizeof report->verdict, "unknown: %s, %s",
                 report->pci_devices < 0 ? "/sys/bus/pci cannot be read" : "the PCI bus shows no device at all", nvml);
}

// ---------------------------------------------------------------------------------------------------------------------

struct json_t *gpu_report_json(const struct gpu_report *report)
{
    json_t *devices = json_array();
    for (int i = 0; i < report->count; i++) {
        const struct gpu *gpu = &report->gpu[i];
        json_t *memory = isnan(gpu->memory_bytes) ? json_null() : json_integer((json_int_t)gpu->memory_bytes);
        json_array_append_new(devices, json_pack("{ss ss ss ss so ss}", "bus", gpu->bus, "vendor", gpu->vendor, "model",
                                                 gpu->model, "driver", gpu->driver, "memory_bytes", memory, "seen_by",
                                                 gpu->seen_by));
    }
    json_t *pci = report->pci_devices < 0 ? json_null() : json_integer(report->pci_devices);
    return json_pack("{ss so sb so}", "verdict", report->verdict, "pci_devices", pci, "nvml", report->nvml, "found", devices);
}

static void get_text(const json_t *object, const char *key, char *text, size_t size)
{
    const char *value = json_string_value(json_object_get(object, key));
    snprintf(text, size, "%s", value ? value : "");
}

bool gpu_report_parse(const struct json_t *json, struct gpu_report *report)
{
    const json_t *found = json_object_get(json, "found"), *pci = json_object_get(json, "pci_devices");
    *report = (struct gpu_report){.pci_devices = json_is_integer(pci) ? (int)json_integer_value(pci) : -1};
    if (!json_is_array(found))
        return false;
    report->nvml = json_is_true(json_object_get(json, "nvml"));
    get_text(json, "verdict", report->verdict, sizeof report->verdict);
    for (size_t i = 0; i < json_array_size(found) && report->count < GPU_MAX; i++) {
        const json_t *item = json_array_get(found, i), *memory = json_object_get(item, "memory_bytes");
        struct gpu *gpu = &report->gpu[report->count++];
        *gpu = (struct gpu){.memory_bytes = json_is_number(memory) ? json_number_value(memory) : NAN};
        get_text(item, "bus", gpu->bus, sizeof gpu->bus);
        get_text(item, "vendor", gpu->vendor, sizeof gpu->vendor);
        get_text(item, "model", gpu->model, sizeof gpu->model);
        get_text(item, "driver", gpu->driver, sizeof gpu->driver);
        get_text(item, "seen_by", gpu->seen_by, sizeof gpu->seen_by);
    }
    return true;
}
