// SPDX-License-Identifier: MIT
// What the commands plan and run have in common: a spec read for this machine.
#ifndef LLMSWEEP_SWEEP_H
#define LLMSWEEP_SWEEP_H

#include "harness/plan.h"
#include "harness/topology.h"

struct json_t;

struct sweep_overrides {
    const char *item[256];
    size_t count;
};

struct loaded_sweep {
    struct spec spec;
    struct plan plan;
    struct topology *topology;
    char launcher_reason[200];
};

// Adds an argument of --set. -E2BIG.
int sweep_override(struct sweep_overrides *overrides, const char *item);
// Reads a spec, looks at the machine, and plans. with_devices: whether the topology is to have PCI devices and GPUs. 0, or -errno with a line.
int sweep_load(struct loaded_sweep *sweep, const char *path, const struct sweep_overrides *overrides, bool with_devices, char *error,
               size_t error_size);
void sweep_free(struct loaded_sweep *sweep);

// The axes and settings with their defaults and meanings, for --help.
void sweep_print_keys(void);
// program, libraries, machine, spec.overrides, quality: what run.json says of the circumstances.
struct json_t *sweep_about(const struct loaded_sweep *sweep, const struct sweep_overrides *overrides);

#endif
