// SPDX-License-Identifier: MIT
// Graphics processors and accelerators, looked for without hwloc: on the PCI bus as sysfs shows it, in the NVIDIA driver's
// /proc files, and by NVML when its library can be loaded. What could not be looked at is said, so that "none" is only ever
// written where the looking worked.
#ifndef LLMSWEEP_GPU_H
#define LLMSWEEP_GPU_H

#include <stdbool.h>
#include <stddef.h>

struct json_t; // jansson's json_t

enum { GPU_MAX = 32 };
struct gpu {
    char bus[24];        // "0000:3b:00.0"; empty when not told
    char vendor[64];     // "NVIDIA", or "0x10de" where the number has no name here
    char model[96];      // empty when nobody named it
    char driver[32];     // kernel driver; empty = none bound
    double memory_bytes; // NAN unless NVML told it
    char seen_by[48];    // "sysfs nvml"
};

struct gpu_report {
    int count;
    struct gpu gpu[GPU_MAX];
    int pci_devices;     // devices on the PCI bus as sysfs shows it; -1 = the bus cannot be read
    bool nvml;           // NVML answered
    // One line: "1 found", "none on the PCI bus (6 devices), NVML not installed", "unknown: …". Never "none" where nobody could look.
    char verdict[192];
};

// root: where /proc and /sys are looked for, "" = this machine. NVML is asked on this machine only.
void gpu_look(const char *root, struct gpu_report *report);

struct json_t *gpu_report_json(const struct gpu_report *report);
// Reads gpu_report_json's form back. False when it is not of that form.
bool gpu_report_parse(const struct json_t *json, struct gpu_report *report);

#endif
