// SPDX-License-Identifier: MIT
#include "bench/export/export.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

const struct export_form export_forms[] = {
    {"llama-bench-csv", "llama.cpp's llama-bench -o csv", false, export_llama_bench_csv},
    {"llama-bench-jsonl", "llama.cpp's llama-bench -o jsonl, with every sample", false, export_llama_bench_jsonl},
    {"google-benchmark", "Google Benchmark's JSON: a row for every sample, for compare.py", false, export_google_benchmark},
    {"github-action-benchmark-bigger", "customBiggerIsBetter: tokens per second", false, export_action_bigger},
    {"github-action-benchmark-smaller", "customSmallerIsBetter: latency, memory, perplexity", false, export_action_smaller},
    {"bencher", "Bencher Metric Format", false, export_bencher},
    {"otava", "a CSV with a row for each run, for Otava's change points", true, export_otava},
    {"junit", "JUnit XML: a test case for each cell", false, export_junit},
    {"markdown", "a table of all cells", false, export_markdown},
};
const size_t export_form_count = sizeof export_forms / sizeof *export_forms;

static void append(char *text, size_t size, const char *before, const char *what) {
    size_t used = strlen(text);
    if (used < size)
        snprintf(text + used, size - used, "%s%s", before, what);
}

void export_name(const struct report_run *run, const struct report_cell *cell, const char *phase, char *text, size_t size) {
    snprintf(text, size, "%s/%s", phase, cell->model);
    append(text, size, "/", cell->axis[AXIS_PRUNE]);
    append(text, size, "/", cell->format);
    static const struct {
        enum report_axis axis;
        const char *word;
    } axes[] = {{AXIS_KV, "/kv:"}, {AXIS_BATCH, "/batch:"}, {AXIS_PROMPT, "/prompt:"}, {AXIS_PREFIX, "/prefix:"}, {AXIS_GEN, "/gen:"}, {AXIS_LAYOUT, "/layout:"}, {AXIS_DEVICE, "/device:"}};
    for (size_t i = 0; i < sizeof axes / sizeof *axes; i++) {
        bool always = axes[i].axis == AXIS_BATCH || axes[i].axis == AXIS_LAYOUT;
        if (always || report_axis_varies(run, cell->model_index, axes[i].axis))
            append(text, size, axes[i].word, cell->axis[axes[i].axis]);
    }
    // What a variant's label says beyond the format, when cells differ in it: "f32 openblas", "q4g32 act f32".
    if (strchr(cell->axis[AXIS_VARIANT], ' ')) {
        append(text, size, "/", strchr(cell->axis[AXIS_VARIANT], ' ') + 1);
        for (char *c = text; *c; c++)
            *c = *c == ' ' ? ':' : *c;
    }
}

double export_json_number(const struct report_run *run, const char *object, const char *key) {
    const json_t *from = object ? json_object_get(run->json, object) : run->json, *value = json_object_get(from, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}
