// SPDX-License-Identifier: MIT
// The table of all cells, and what could not be timed or counted.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report/page.h"
#include "bench/report/text.h"

// ---------------------------------------------------------------------------------------------------------------------
// All cells
enum { TEXT_SIZE = 160 };

// Writes a cell's text; returns the number to sort by, NAN to sort by the text.
typedef double column_text(const struct report_cell *cell, char *text);

#define TEXT_COLUMN(name, value)                                                                                                 \
    static double name(const struct report_cell *cell, char *text) {                                                             \
        snprintf(text, TEXT_SIZE, "%s", value);                                                                                  \
        return NAN;                                                                                                              \
    }
#define NUMBER_COLUMN(name, number)                                                                                              \
    static double name(const struct report_cell *cell, char *text) {                                                             \
        double value = number;                                                                                                   \
        *text = '\0';                                                                                                            \
        if (!isnan(value))                                                                                                       \
            number_text(value, text, TEXT_SIZE);                                                                                 \
        return value;                                                                                                            \
    }
#define COUNT_COLUMN(name, which)                                                                                                \
    static double name(const struct report_cell *cell, char *text) {                                                             \
        snprintf(text, TEXT_SIZE, "%s", cell->axis[which]);                                                                      \
        return *text ? strtod(text, NULL) : NAN;                                                                                 \
    }
TEXT_COLUMN(model_text, cell->model)
TEXT_COLUMN(variant_text, cell->axis[AXIS_VARIANT])
TEXT_COLUMN(prune_text, cell->axis[AXIS_PRUNE])
TEXT_COLUMN(act_text, cell->act)
TEXT_COLUMN(kv_text, cell->axis[AXIS_KV])
TEXT_COLUMN(layout_text, cell->axis[AXIS_LAYOUT])
TEXT_COLUMN(device_text, cell->axis[AXIS_DEVICE])
TEXT_COLUMN(isa_text, cell->isa)
TEXT_COLUMN(status_text, cell->status)
TEXT_COLUMN(reason_text, *cell->reason ? cell->reason : cell->note)
COUNT_COLUMN(batch_text, AXIS_BATCH)
COUNT_COLUMN(prompt_text, AXIS_PROMPT)
COUNT_COLUMN(prefix_text, AXIS_PREFIX)
COUNT_COLUMN(gen_text, AXIS_GEN)
NUMBER_COLUMN(ttft_text, cell->ttft_ms)
NUMBER_COLUMN(itl_text, cell->itl_ms)
NUMBER_COLUMN(bits_text, cell->bits_per_weight)
NUMBER_COLUMN(ppl_text, cell->ppl)
NUMBER_COLUMN(kld_text, cell->kld)
NUMBER_COLUMN(top1_text, 100 * cell->top1)
NUMBER_COLUMN(roof_text, 100 * cell->roof_fraction)
NUMBER_COLUMN(weight_text, cell->weight_bytes / 1e6)
NUMBER_COLUMN(rss_text, cell->peak_rss_bytes / 1e6)

static double speed_text(struct figure speed, char *text) {
    char number[64];
    *text = '\0';
    if (isnan(speed.value))
        return NAN;
    double half = 50 * (speed.hi - speed.lo) / speed.value;
    snprintf(text, TEXT_SIZE, half > 0 ? "%s ±%.1f%%" : "%s", number_text(speed.value, number, sizeof number), half);
    return speed.value;
}
static double prefill_text(const struct report_cell *cell, char *text) {
    return speed_text(cell->prefill, text);
}
static double decode_text(const struct report_cell *cell, char *text) {
    return speed_text(cell->decode, text);
}
static double change_column(const struct report_cell *cell, char *text) {
    *text = '\0';
    if (!isnan(cell->dlnppl))
        change_text(exp(cell->dlnppl), text, TEXT_SIZE);
    return cell->dlnppl;
}

static const struct table_column {
    const char *name, *unit, *help;
    column_text *write;
    bool axis; // gets a filter
} columns[] = {
    {"model", "", "", model_text, true},
    {"prune", "", "how weights were left out", prune_text, true},
    {"format", "", "how weights are stored", variant_text, true},
    {"batch", "", "sequences in flight", batch_text, true},
    {"layout", "", "t: threads, dp: replicas, tp: tensor parallel, pp: pipeline", layout_text, true},
    {"status", "", "", status_text, true},
    {"decode", "tokens/s", "generated tokens of all sequences a second, median", decode_text, false},
    {"prefill", "tokens/s", "prompt tokens of all sequences a second, median", prefill_text, false},
    {"perplexity", "", "lower is better", ppl_text, false},
    {"change", "", "of perplexity against unpruned f32", change_column, false},
    {"of roof", "%", "decode speed against the lower of bandwidth and arithmetic", roof_text, false},
    {"weights", "MB", "packed matrices", weight_text, false},
    {"bits/weight", "", "as stored, with scales and masks", bits_text, false},
    {"first token", "ms", "median time to the first token", ttft_text, false},
    {"next token", "ms", "median time between a sequence's tokens", itl_text, false},
    {"KLD", "nats", "mean divergence from f32's distribution", kld_text, false},
    {"top-1", "%", "tokens whose most likely successor is f32's", top1_text, false},
    {"resident", "MB", "largest resident set of all ranks together", rss_text, false},
    {"kv", "", "KV cache", kv_text, true},
    {"prompt", "", "tokens before the first generated one", prompt_text, true},
    {"prefix", "", "tokens that all prompts share", prefix_text, true},
    {"gen", "", "tokens generated per sequence", gen_text, true},
    {"act", "", "activations", act_text, true},
    {"isa", "", "instruction set", isa_text, true},
    {"device", "", "", device_text, true},
    {"reason", "", "", reason_text, false},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

// Empty columns are left out, and those that say the same in every row of several are said once, above the table.
static void choose_columns(FILE *html, const struct report_run *run, bool *shown) {
    size_t said = 0;
    for (size_t c = 0; c < COLUMNS; c++) {
        char first[TEXT_SIZE], text[TEXT_SIZE];
        bool same = run->cell_count > 1, empty = true;
        for (size_t i = 0; i < run->cell_count; i++) {
            columns[c].write(&run->cells[i], text);
            if (i == 0)
                memcpy(first, text, sizeof first);
            same &= !strcmp(first, text);
            empty &= !*text;
        }
        shown[c] = !empty && !(same && columns[c].axis);
        if (empty || shown[c])
            continue;
        fputs(said++ ? " · " : "<p class=\"soft\">The same in all rows: ", html);
        fprintf(html, "%s ", columns[c].name);
        html_text(html, first);
    }
    if (said)
        fputs("</p>\n", html);
}

static void write_cell(FILE *html, const struct report_cell *cell, const bool *shown) {
    char text[TEXT_SIZE], anchor[96];
    report_cell_anchor(cell, anchor, sizeof anchor);
    fprintf(html, "<tr id=\"%s\" class=\"s-%s\">", anchor, cell->timed ? "timed" : "untimed");
    for (size_t c = 0; c < COLUMNS; c++) {
        if (!shown[c])
            continue;
        double number = columns[c].write(cell, text);
        if (!*text)
            fputs("<td>", html);
        else if (!isnan(number))
            fprintf(html, "<td class=\"n\" data-v=\"%.9g\">", number);
        else
            fputs(columns[c].write == reason_text ? "<td class=\"why\">" : "<td>", html);
        html_text(html, text);
        fputs("</td>", html);
    }
    fputs("</tr>\n", html);
}

void report_table_write(FILE *html, const struct report_run *run) {
    bool shown[COLUMNS];
    if (!run->cell_count) {
        fputs("<p>The run has no cells yet.</p>\n", html);
        return;
    }
    fputs("<form class=\"filters\" id=\"filters\" hidden><label>Search <input type=\"search\" id=\"search\" placeholder=\"q4g32 2:4\" "
          "autocomplete=\"off\"></label><span id=\"selects\"></span><button type=\"reset\">Clear</button> "
          "<output id=\"shown\"></output></form>\n", html);
    choose_columns(html, run, shown);
    fputs("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table of all cells\"><table id=\"table\">\n<thead><tr>", html);
    for (size_t c = 0; c < COLUMNS; c++)
        if (shown[c]) {
            fprintf(html, "<th scope=\"col\"%s title=\"%s\">%s", columns[c].axis ? " data-axis" : "", columns[c].help, columns[c].name);
            if (*columns[c].unit)
                fprintf(html, " <small>%s</small>", columns[c].unit);
            fputs("</th>", html);
        }
    fputs("</tr></thead>\n<tbody>\n", html);
    for (size_t i = 0; i < run->cell_count; i++)
        write_cell(html, &run->cells[i], shown);
    fputs("</tbody>\n</table></div>\n", html);
}

// ---------------------------------------------------------------------------------------------------------------------
// What has no figures
static void write_examples(FILE *html, const struct report_run *run, const struct report_cell *like) {
    size_t count = 0;
    for (size_t i = like->row; i < run->cell_count; i++) {
        const struct report_cell *cell = &run->cells[i];
        if (cell->timed || strcmp(cell->status, like->status) || strcmp(cell->reason, like->reason))
            continue;
        if (++count <= 3) {
            char anchor[96], label[512];
            report_cell_anchor(cell, anchor, sizeof anchor);
            report_cell_label(run, cell, label, sizeof label);
            fprintf(html, "%s<a href=\"#%s\">", count > 1 ? "; " : "", anchor);
            html_text(html, label);
            fputs("</a>", html);
        }
    }
    if (count > 3)
        fprintf(html, "; and %zu more", count - 3);
}

void report_untimed_write(FILE *html, const struct report_run *run) {
    bool started = false;
    for (size_t i = 0; i < run->cell_count; i++) {
        const struct report_cell *cell = &run->cells[i];
        if (cell->timed)
            continue;
        size_t before = 0, count = 0;
        for (size_t j = 0; j < run->cell_count; j++)
            if (!run->cells[j].timed && !strcmp(run->cells[j].status, cell->status) && !strcmp(run->cells[j].reason, cell->reason)) {
                before += j < i;
                count++;
            }
        if (before)
            continue;
        if (!started)
            fputs("<div class=\"scroll\"><table class=\"plain\">\n<thead><tr><th>status</th><th>cells</th><th>reason</th>"
                  "<th>which</th></tr></thead>\n<tbody>\n", html);
        started = true;
        fputs("<tr><td>", html);
        html_text(html, cell->status);
        fprintf(html, "</td><td class=\"n\">%zu</td><td class=\"why\">", count);
        html_text(html, *cell->reason ? cell->reason : "no figures, and no reason recorded");
        fputs("</td><td class=\"why\">", html);
        write_examples(html, run, cell);
        fputs("</td></tr>\n", html);
    }
    fputs(started ? "</tbody>\n</table></div>\n" : "<p>Every cell was timed.</p>\n", html);
}

void report_uncounted_write(FILE *html, const struct report_run *run) {
    const struct csv_table *t = &run->counter_table;
    int event = csv_table_column(t, "event"), status = csv_table_column(t, "status"), reason = csv_table_column(t, "reason");
    bool started = false;
    if (!t->columns) {
        fputs("<p class=\"soft\">The run has no counters.csv.</p>\n", html);
        return;
    }
    // Few distinct lines among many rows: keep the first row of each.
    size_t distinct = 0, *first = calloc(t->rows + 1, sizeof *first);
    for (size_t i = 0; first && i < t->rows; i++) {
        const char *fields[] = {csv_table_field(t, i, event), csv_table_field(t, i, status), csv_table_field(t, i, reason)};
        if (!strcmp(fields[1], "ok") || !*fields[1])
            continue;
        size_t k = 0;
        while (k < distinct && (strcmp(fields[0], csv_table_field(t, first[k], event)) ||
                                strcmp(fields[1], csv_table_field(t, first[k], status)) ||
                                strcmp(fields[2], csv_table_field(t, first[k], reason))))
            k++;
        if (k == distinct)
            first[distinct++] = i;
    }
    for (size_t k = 0; k < distinct; k++) {
        const char *why = csv_table_field(t, first[k], reason), *how = csv_table_field(t, first[k], status);
        size_t earlier = 0;
        for (size_t j = 0; j < k; j++)
            earlier += !strcmp(why, csv_table_field(t, first[j], reason)) && !strcmp(how, csv_table_field(t, first[j], status));
        if (earlier)
            continue;
        fputs(started ? "" : "<p>Counters without a plain value (absent is not zero):</p>\n<ul>\n", html);
        started = true;
        fputs("<li>", html);
        html_text(html, how);
        fputs(": ", html);
        for (size_t j = k, listed = 0; j < distinct; j++)
            if (!strcmp(why, csv_table_field(t, first[j], reason)) && !strcmp(how, csv_table_field(t, first[j], status))) {
                fputs(listed++ ? ", " : "", html);
                html_text(html, csv_table_field(t, first[j], event));
            }
        fputs(" – ", html);
        html_text(html, *why ? why : "no reason recorded");
        fputs("</li>\n", html);
    }
    fputs(started ? "</ul>\n" : "<p>Every counter that was asked for counted.</p>\n", html);
    free(first);
}
