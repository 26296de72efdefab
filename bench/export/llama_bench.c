// SPDX-License-Identifier: MIT
// llama-bench's rows: test names follow from n_prompt and n_gen (pp512, tg128). Several sequences at once have no column there: n_batch tells
// them apart (tokens in one pass), as split_mode tells layouts apart (row: tensor parallel, layer: pipeline).
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare/compare.h"
#include "bench/export/export.h"
#include "harness/stats.h"

static json_t *samples_of(const struct compare_samples *samples, const struct report_cell *cell, enum compare_phase phase, double tokens, double *mean_ns, double *sd_ns,
                          double *mean_ts, double *sd_ts, json_t **rates_json) {
    size_t count;
    const double *rates = compare_samples_find(samples, cell->id, compare_phase_names[phase], &count);
    double *ns = calloc(count + 1, sizeof *ns);
    struct stats_mean of_ns = {0}, of_ts = {0};
    json_t *list = json_array();
    *rates_json = json_array();
    *mean_ns = *sd_ns = *mean_ts = *sd_ts = NAN;
    for (size_t i = 0; ns && i < count; i++) {
        ns[i] = tokens * 1e9 / rates[i];
        json_array_append_new(list, json_integer((json_int_t)llround(ns[i])));
        json_array_append_new(*rates_json, json_real(rates[i]));
    }
    if (ns && count >= 2 && !stats_mean(ns, count, &of_ns) && !stats_mean(rates, count, &of_ts)) {
        *mean_ns = of_ns.mean, *sd_ns = of_ns.sd;
        *mean_ts = of_ts.mean, *sd_ts = of_ts.sd;
    }
    free(ns);
    return list;
}

// One row as an ordered object; NULL for a phase without samples.
static json_t *row_of(const struct report_run *run, const struct compare_samples *samples, const struct report_cell *cell, enum compare_phase phase) {
    double batch = cell->batch, prompt = cell->prompt, gen = strtod(cell->axis[AXIS_GEN], NULL);
    bool prefill = phase == COMPARE_PREFILL;
    double tokens = batch * (prefill ? prompt : gen), mean_ns, sd_ns, mean_ts, sd_ts;
    json_t *rates, *ns = samples_of(samples, cell, phase, tokens, &mean_ns, &sd_ns, &mean_ts, &sd_ts, &rates);
    if (isnan(mean_ns)) {
        json_decref(ns);
        json_decref(rates);
        return NULL;
    }
    char type[200], started[40];
    snprintf(type, sizeof type, "%s %s%s%s", cell->model, cell->format, strcmp(cell->axis[AXIS_PRUNE], "none") ? " " : "",
             strcmp(cell->axis[AXIS_PRUNE], "none") ? cell->axis[AXIS_PRUNE] : "");
    snprintf(started, sizeof started, "%.30s", report_run_text(run, NULL, "started"));
    double parameters = cell->weight_bytes * 8 / cell->bits_per_weight;
    json_t *row = json_object();
    json_object_set_new(row, "build_commit", json_string(report_run_text(run, "program", "commit")));
    json_object_set_new(row, "build_number", json_integer(0));
    json_object_set_new(row, "cpu_info", json_string(report_run_text(run, "machine", "cpu_model")));
    json_object_set_new(row, "gpu_info", json_string(""));
    json_object_set_new(row, "backends", json_string("llmsweep"));
    json_object_set_new(row, "model_filename", json_string(cell->model));
    json_object_set_new(row, "model_type", json_string(type));
    json_object_set_new(row, "model_size", json_integer(isfinite(cell->weight_bytes) ? (json_int_t)cell->weight_bytes : 0));
    json_object_set_new(row, "model_n_params", json_integer(isfinite(parameters) ? (json_int_t)llround(parameters) : 0));
    json_object_set_new(row, "n_batch", json_integer((json_int_t)(batch * (prefill ? prompt : 1))));
    json_object_set_new(row, "n_ubatch", json_integer((json_int_t)(batch * (prefill ? prompt : 1))));
    json_object_set_new(row, "n_threads", json_integer((json_int_t)(cell->ranks * cell->threads)));
    json_object_set_new(row, "cpu_mask", json_string("0x0"));
    json_object_set_new(row, "cpu_strict", json_boolean(true));
    json_object_set_new(row, "poll", json_integer(100));
    json_object_set_new(row, "type_k", json_string(cell->axis[AXIS_KV]));
    json_object_set_new(row, "type_v", json_string(cell->axis[AXIS_KV]));
    json_object_set_new(row, "n_gpu_layers", json_integer(0));
    json_object_set_new(row, "split_mode", json_string(strstr(cell->axis[AXIS_LAYOUT], "tp") ? "row" : strstr(cell->axis[AXIS_LAYOUT], "pp") ? "layer" : "none"));
    json_object_set_new(row, "main_gpu", json_integer(0));
    json_object_set_new(row, "no_kv_offload", json_boolean(false));
    json_object_set_new(row, "flash_attn", json_boolean(true));
    json_object_set_new(row, "devices", json_string(cell->axis[AXIS_DEVICE]));
    json_object_set_new(row, "tensor_split", json_string("0.00"));
    json_object_set_new(row, "tensor_buft_overrides", json_string("none"));
    json_object_set_new(row, "use_mmap", json_boolean(true));
    json_object_set_new(row, "embeddings", json_boolean(false));
    json_object_set_new(row, "no_op_offload", json_integer(0));
    json_object_set_new(row, "n_prompt", json_integer(prefill ? (json_int_t)prompt : 0));
    json_object_set_new(row, "n_gen", json_integer(prefill ? 0 : (json_int_t)gen));
    json_object_set_new(row, "n_depth", json_integer(prefill ? 0 : (json_int_t)prompt));
    json_object_set_new(row, "test_time", json_string(started));
    json_object_set_new(row, "avg_ns", json_integer((json_int_t)llround(mean_ns)));
    json_object_set_new(row, "stddev_ns", json_integer((json_int_t)llround(sd_ns)));
    json_object_set_new(row, "avg_ts", json_real(mean_ts));
    json_object_set_new(row, "stddev_ts", json_real(sd_ts));
    json_object_set_new(row, "samples_ns", ns);
    json_object_set_new(row, "samples_ts", rates);
    return row;
}

// llama-bench quotes every field.
static void write_csv_row(FILE *out, json_t *row, bool header) {
    const char *key;
    json_t *value;
    size_t written = 0;
    json_object_foreach(row, key, value) {
        if (json_is_array(value))
            continue;
        char number[64];
        const char *text = key;
        if (!header) {
            if (json_is_integer(value))
                snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
            else if (json_is_real(value))
                snprintf(number, sizeof number, "%.6f", json_real_value(value));
            else
                snprintf(number, sizeof number, "%d", json_is_true(value));
            text = json_is_string(value) ? json_string_value(value) : number;
        }
        fputs(written++ ? ",\"" : "\"", out);
        for (const char *c = text; *c; c++)
            fputs(*c == '"' ? "\"\"" : (char[]){*c, '\0'}, out);
        fputc('"', out);
    }
    fputc('\n', out);
}

static int write_rows(const struct report_run *run, FILE *out, bool csv) {
    struct compare_samples *samples;
    int result = compare_samples_open(run, &samples);
    bool header = false;
    for (size_t i = 0; i < run->cell_count && !result; i++)
        for (int phase = 0; phase < COMPARE_PHASES; phase++) {
            json_t *row = run->cells[i].timed ? row_of(run, samples, &run->cells[i], (enum compare_phase)phase) : NULL;
            if (!row)
                continue;
            if (csv && !header)
                write_csv_row(out, row, true);
            header = true;
            if (csv)
                write_csv_row(out, row, false);
            else if (json_dumpf(row, out, JSON_COMPACT | JSON_REAL_PRECISION(9)) || fputc('\n', out) == EOF)
                result = -EIO;
            json_decref(row);
        }
    compare_samples_free(samples);
    return result ? result : ferror(out) ? -EIO : 0;
}

int export_llama_bench_csv(const struct report_run *runs, size_t count, FILE *out) {
    (void)count;
    return write_rows(runs, out, true);
}

int export_llama_bench_jsonl(const struct report_run *runs, size_t count, FILE *out) {
    (void)count;
    return write_rows(runs, out, false);
}
