// SPDX-License-Identifier: MIT
// A stored run, read back for its report: cells with their figures, counters, kernels, and the environment.
// Absent figures are NAN, absent text is "". Text points into the run and lives as long as it.
#ifndef LLMSWEEP_REPORT_RUN_H
#define LLMSWEEP_REPORT_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "harness/csv.h"

struct json_t; // jansson's json_t

struct figure {
    double value, lo, hi; // lo and hi bound the 95% interval; equal to value where the run has no interval
};

// What makes a cell. Two cells that agree in all of these but one differ by what that axis buys.
enum report_axis {
    AXIS_PRUNE,   // "none", "50%", "2:4": the spec's word
    AXIS_VARIANT, // how weights are stored: "q4g32", with what tells it apart from its like: "f32 openblas", "q4g32 act f32"
    AXIS_KV,
    AXIS_BATCH,
    AXIS_PROMPT,  // "128", or "32|128": a batch of both lengths
    AXIS_PREFIX,  // tokens that all prompts share
    AXIS_GEN,
    AXIS_LAYOUT,
    AXIS_DEVICE,
    AXIS_COUNT
};

struct report_cell {
    const char *id, *status, *reason, *model, *method, *format, *act, *provider, *isa, *roof_note, *kernel, *note;
    const char *weights_hash, *text_hash; // of the model's weights and of the text that quality was measured on
    const char *axis[AXIS_COUNT];
    size_t row;         // its own index in run->cells
    int model_index;    // in run->models
    bool timed;         // ok or noisy, with a speed
    double prune_ratio, sparsity, bits; // bits: nominal, of the format's word
    double bits_per_weight, batch, prompt, ranks, threads; // prompt: the mean of its lengths
    struct figure prefill, decode, speed; // tokens/s; speed is the one that the report compares (run->speed_name)
    double ttft_ms, itl_ms, weight_bytes, peak_rss_bytes, ppl, ppl_se, dlnppl, dlnppl_se, kld, top1;
    double bytes_per_token, flops_per_token, roof_tps, roof_fraction, roof_gbs, comm_share, power_watts;
};

struct report_model {
    const char *name;
    size_t cells, timed;
    bool quality;            // some timed cell has a perplexity
    bool varies[AXIS_COUNT]; // its cells differ in that axis
};

struct report_run {
    const char *directory;
    const char *speed_name; // "decode" or "prefill": decode where any cell has it
    size_t cell_count;
    struct report_cell *cells; // by model, format, pruning, batch, layout
    size_t model_count;
    struct report_model *models; // in the order of their first cell
    struct csv_table cell_table, counter_table, kernel_table, sample_table; // empty tables (columns 0) for files that are absent
    struct json_t *json; // run.json, NULL when absent
    char json_note[256]; // why json is NULL
    bool torn;           // some file ended in a torn row, which was left out
    char *storage;       // labels that were put together
};

// Reads DIRECTORY/cells.csv (which must be there) and what else there is beside it. -errno and one line in error.
// The caller frees with report_run_free, also after an error.
int report_run_load(const char *directory, struct report_run *run, char *error, size_t error_size);
// The same for cells.csv in memory, without any other file.
int report_run_parse(const char *cells_csv, struct report_run *run, char *error, size_t error_size);
void report_run_free(struct report_run *run);
// The text at run.json's object.key, or at key where object is NULL; "" where there is none.
const char *report_run_text(const struct report_run *run, const char *object, const char *key);

// True when the two cells are of one model and agree in every axis but those in `except` (bits 1 << AXIS_…).
bool report_cells_match(const struct report_cell *a, const struct report_cell *b, unsigned except);
// "decode, 2:4 q4g32, batch 8, layout t2" without the axes that are the same in all cells of the run's model.
void report_cell_label(const struct report_run *run, const struct report_cell *cell, char *text, size_t size);
bool report_axis_varies(const struct report_run *run, int model, enum report_axis axis);
const char *report_axis_name(enum report_axis axis); // "prune", "format", "kv", …

// The cells of one model with the axes of `fixed` (bits) held at one joint value: the value that most timed cells have, and among
// those that nearly as many have (7 in 10) the smallest batch, then the fewest ranks, then the most threads; with LARGEST_BATCH in
// flags the largest batch instead. Cells for which `use` is false do not count. NULL when no timed cell is left; otherwise a cell
// that shows the values.
enum { LARGEST_BATCH = 1 };
const struct report_cell *report_slice(const struct report_run *run, int model, unsigned fixed, unsigned flags,
                                       bool (*use)(const struct report_cell *cell));
// "batch 1, layout t2": the fixed axes that vary in the run, with the values of the cell. "" when none varies.
void report_slice_label(const struct report_run *run, const struct report_cell *cell, unsigned fixed, char *text, size_t size);

// Ordering: unpruned first, then by method and ratio; formats from many bits to few; layouts by ranks and threads; numbers by value.
int report_axis_compare(const struct report_cell *a, const struct report_cell *b, enum report_axis axis);

#endif
