// SPDX-License-Identifier: MIT
// The forms of benchmark trackers that read JSON. None of them knows NaN: what is absent is left out.
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare/compare.h"
#include "bench/export/export.h"

static struct figure figure_of(const struct report_cell *cell, enum compare_phase phase) {
    return phase == COMPARE_PREFILL ? cell->prefill : cell->decode;
}

static int dump(json_t *root, FILE *out) {
    int result = root && !json_dumpf(root, out, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) && fputc('\n', out) != EOF ? 0 : -EIO;
    json_decref(root);
    return result;
}

static void add_iterations(json_t *rows, const struct report_run *run, const struct report_cell *cell, enum compare_phase phase, const double *rates, size_t count) {
    char name[512];
    export_name(run, cell, compare_phase_names[phase], name, sizeof name);
    double tokens = cell->batch * (phase == COMPARE_PREFILL ? cell->prompt : strtod(cell->axis[AXIS_GEN], NULL));
    for (size_t i = 0; i < count; i++) {
        double ns = tokens * 1e9 / rates[i];
        json_array_append_new(rows, json_pack("{s:s, s:i, s:i, s:s, s:s, s:i, s:i, s:i, s:i, s:f, s:f, s:s, s:f}", "name", name, "family_index", (int)(2 * cell->row) + (int)phase,
                                              "per_family_instance_index", 0, "run_name", name, "run_type", "iteration", "repetitions", (int)count, "repetition_index",
                                              (int)i, "threads", (int)(cell->ranks * cell->threads), "iterations", 1, "real_time", ns, "cpu_time", ns, "time_unit", "ns",
                                              "items_per_second", rates[i]));
    }
}

int export_google_benchmark(const struct report_run *runs, size_t count, FILE *out) {
    (void)count;
    const struct report_run *run = runs;
    struct compare_samples *samples;
    int result = compare_samples_open(run, &samples);
    if (result)
        return result;
    json_t *rows = json_array(), *loads = json_array();
    double mhz = NAN, load = NAN;
    const struct csv_table *table = &run->cell_table;
    for (size_t i = 0; i < table->rows && (isnan(mhz) || isnan(load)); i++) {
        mhz = csv_table_number(table, i, csv_table_column(table, "freq_mhz"));
        load = csv_table_number(table, i, csv_table_column(table, "load"));
    }
    if (isfinite(load))
        json_array_append_new(loads, json_real(load));
    for (size_t i = 0; i < run->cell_count; i++)
        for (int phase = 0; phase < COMPARE_PHASES && run->cells[i].timed; phase++) {
            size_t n;
            const double *rates = compare_samples_find(samples, run->cells[i].id, compare_phase_names[phase], &n);
            add_iterations(rows, run, &run->cells[i], (enum compare_phase)phase, rates, n);
        }
    compare_samples_free(samples);
    double cores = export_json_number(run, "machine", "usable_cores");
    return dump(json_pack("{s:{s:s, s:s, s:s, s:i, s:i, s:b, s:[], s:o, s:s, s:s, s:i}, s:o}", "context", "date", report_run_text(run, NULL, "started"), "host_name",
                          report_run_text(run, "machine", "host"), "executable", "llmsweep", "num_cpus", isfinite(cores) ? (int)cores : 0, "mhz_per_cpu",
                          isfinite(mhz) ? (int)mhz : 0, "cpu_scaling_enabled", false, "caches", "load_avg", loads, "library_version",
                          report_run_text(run, "program", "version"), "library_build_type", "release", "json_schema_version", 1, "benchmarks", rows),
                out);
}

static void add_action(json_t *list, const char *name, const char *unit, double value, double half, const char *extra) {
    char range[64];
    if (!isfinite(value))
        return;
    json_t *entry = json_pack("{s:s, s:s, s:f}", "name", name, "unit", unit, "value", value);
    if (half > 0) {
        snprintf(range, sizeof range, "± %.4g", half);
        json_object_set_new(entry, "range", json_string(range));
    }
    if (*extra)
        json_object_set_new(entry, "extra", json_string(extra));
    json_array_append_new(list, entry);
}

int export_action_bigger(const struct report_run *runs, size_t count, FILE *out) {
    (void)count;
    json_t *list = json_array();
    for (size_t i = 0; i < runs->cell_count; i++)
        for (int phase = 0; phase < COMPARE_PHASES && runs->cells[i].timed; phase++) {
            const struct report_cell *cell = &runs->cells[i];
            struct figure figure = figure_of(cell, (enum compare_phase)phase);
            char name[512], extra[200] = "";
            export_name(runs, cell, compare_phase_names[phase], name, sizeof name);
            if (phase == COMPARE_DECODE && isfinite(cell->roof_fraction))
                snprintf(extra, sizeof extra, "%.0f%% of its roof\nstatus %s", cell->roof_fraction * 100, cell->status);
            add_action(list, name, "tokens/s", figure.value, (figure.hi - figure.lo) / 2, extra);
        }
    return dump(list, out);
}

int export_action_smaller(const struct report_run *runs, size_t count, FILE *out) {
    (void)count;
    json_t *list = json_array();
    for (size_t i = 0; i < runs->cell_count; i++) {
        const struct report_cell *cell = &runs->cells[i];
        char name[512];
        if (!cell->timed)
            continue;
        const struct {
            const char *what, *unit;
            double value, half;
        } figures[] = {{"time to first token", "ms", cell->ttft_ms, NAN},
                       {"time per token", "ms", cell->itl_ms, NAN},
                       {"weights", "bytes", cell->weight_bytes, NAN},
                       {"resident set", "bytes", cell->peak_rss_bytes, NAN},
                       {"perplexity", "ppl", cell->ppl, 1.96 * cell->ppl_se}};
        for (size_t f = 0; f < sizeof figures / sizeof *figures; f++) {
            export_name(runs, cell, figures[f].what, name, sizeof name);
            add_action(list, name, figures[f].unit, figures[f].value, figures[f].half, "");
        }
    }
    return dump(list, out);
}

static void add_measure(json_t *measures, const char *name, struct figure figure) {
    if (!isfinite(figure.value))
        return;
    json_t *measure = json_pack("{s:f}", "value", figure.value);
    if (figure.lo < figure.hi) {
        json_object_set_new(measure, "lower_value", json_real(figure.lo));
        json_object_set_new(measure, "upper_value", json_real(figure.hi));
    }
    json_object_set_new(measures, name, measure);
}

int export_bencher(const struct report_run *runs, size_t count, FILE *out) {
    (void)count;
    json_t *root = json_object();
    for (size_t i = 0; i < runs->cell_count; i++)
        for (int phase = 0; phase < COMPARE_PHASES && runs->cells[i].timed; phase++) {
            const struct report_cell *cell = &runs->cells[i];
            json_t *measures = json_object();
            char name[512];
            export_name(runs, cell, compare_phase_names[phase], name, sizeof name);
            add_measure(measures, "throughput", figure_of(cell, (enum compare_phase)phase)); // tokens/s
            if (phase == COMPARE_DECODE) {
                add_measure(measures, "latency", (struct figure){cell->itl_ms * 1e6, NAN, NAN}); // ns, Bencher's unit of that name
                add_measure(measures, "perplexity", (struct figure){cell->ppl, cell->ppl - 1.96 * cell->ppl_se, cell->ppl + 1.96 * cell->ppl_se});
                add_measure(measures, "file-size", (struct figure){cell->weight_bytes, NAN, NAN});
            } else {
                add_measure(measures, "latency", (struct figure){cell->ttft_ms * 1e6, NAN, NAN});
            }
            if (json_object_size(measures))
                json_object_set(root, name, measures);
            json_decref(measures);
        }
    return dump(root, out);
}
