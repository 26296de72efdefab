// SPDX-License-Identifier: MIT
// A sweep's specification: an .ini file that gives axes their values and settings theirs.
//
//     model = bench/models/embedded.gguf      ; before any section: for all sweeps
//     ci = 2%
//     [sweep "names are free"]                ; the cells of all sweeps are united
//     prune  = none, 50%, 2:4                 ; a list
//     batch  = 1-32*2, 48                     ; 1 2 4 8 16 32 48
//     prompt = 64-256+64                      ; 64 128 192 256
//     format = f32, q8g32, q4g32
//     zip    = prune format | prompt gen      ; these walk together; all else is crossed
#ifndef LLMSWEEP_SPEC_H
#define LLMSWEEP_SPEC_H

#include <stddef.h>

#include "harness/workload.h"

struct axis_values {
    char **value; // (count), canonical; zipped lists may repeat values, crossed ones make the same cell then
    size_t count;
    int line;     // where in the spec; 0: the default or --set
};

struct sweep {
    char *name;
    struct axis_values axes[WORKLOAD_AXES];
    int group[WORKLOAD_AXES]; // axes with the same number walk together
    struct settings *settings; // the spec's, with those that this section sets
};

struct spec {
    const struct workload *workload;
    char *path, *text;
    size_t text_bytes;
    struct settings *settings;
    struct sweep *sweeps; // at least one
    size_t sweep_count;
};

// Settings that the harness itself reads, whatever the workload.
extern const struct setting harness_settings[];
extern const size_t harness_setting_count;

// Reads a spec and applies overrides ("key=value", of settings or axes) over it. 0, or -errno with one line that names file, line
// and cure. The spec is freed with spec_free.
int spec_load(struct spec *spec, const struct workload *workload, const char *path, const char *const *overrides, size_t override_count,
              char *error, size_t error_size);
// The same for a text in memory; path is for messages.
int spec_parse(struct spec *spec, const struct workload *workload, const char *path, const char *text, size_t bytes,
               const char *const *overrides, size_t override_count, char *error, size_t error_size);
void spec_free(struct spec *spec);

#endif
