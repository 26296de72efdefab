// SPDX-License-Identifier: MIT
#include "bench/report/plots.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report/draft.h"
#include "bench/report/text.h"

static const struct {
    const char *script, *title, *look;
    void (*write)(struct draft *d);
} kinds[] = {
    {"pareto", "What quality costs: speed against perplexity",
     "Up is faster, left is better. Choose a point on the line: everything below or right of it is worse in both. The dashed line "
     "marks a budget of 1% more perplexity.", plot_pareto},
    {"prune", "Pruning: speed and perplexity against the ratio of zeros",
     "A line that rises in the upper half says that zeros are skipped; one that stays flat says that they are only stored. The lower "
     "half says what that costs.", plot_prune},
    {"bits", "Quantization: speed and perplexity against bits",
     "Fewer bits to the right. Look for the last format before perplexity turns up.", plot_bits},
    {"heatmap", "Pruning × format",
     "Darker is more of it: fast is good above, a high perplexity is bad below. Look for a fast field over a light one.", plot_heatmap},
    {"batch", "Batching: all sequences' tokens per second",
     "A format that follows its dotted line is bound by reading weights, which the batch shares; where it bends, arithmetic "
     "takes over.", plot_batch},
    {"layout", "Layouts: threads, replicas, tensor and pipeline parallel",
     "Higher is faster; 100% efficiency means that no thread was wasted.", plot_layout},
    {"roofline", "Roofline: what bounds the cells",
     "Under the slope, reading bytes is the bound; under a flat line, arithmetic. The gap up to the line is what a better kernel "
     "could gain.", plot_roofline},
    {"counters", "Counters: what the processor and the system counted",
     "Few context switches and page faults mean that the figures above were measured undisturbed.", plot_counters},
};
const size_t report_plot_count = sizeof kinds / sizeof *kinds;

static int prepare(const struct report_run *run, int model, size_t index, struct report_plot *plot, FILE *data) {
    struct draft draft = {run, model, plot, data};
    if (!strcmp(run->speed_name, "prefill"))
        draft_add_variable(&draft, "speed = 'prefill, tokens/s'");
    kinds[index].write(&draft);
    return ferror(data) ? -1 : 0;
}

int report_plot_prepare(const struct report_run *run, int model, size_t index, struct report_plot *plot, FILE *data) {
    *plot = (struct report_plot){.script = kinds[index].script, .title = kinds[index].title, .look = kinds[index].look};
    // One model's pictures have plain names; with several, the number keeps names apart that differ in signs only.
    if (run->model_count > 1)
        snprintf(plot->name, sizeof plot->name, "%s-%d", plot->script, model + 1);
    else
        snprintf(plot->name, sizeof plot->name, "%s", plot->script);
    return prepare(run, model, index, plot, data);
}

static const struct {
    const char *script, *title, *look;
    void (*write)(struct draft *d);
} kernel_kinds[] = {
    {"kernel_roofline", "Roofline: every kernel by itself",
     "A point on the slope reads as fast as its data can be read, one on a flat line computes as fast as the instructions can. The gap up to "
     "the line is what a better kernel could gain.", plot_kernel_roofline},
    {"kernels", "Kernels by themselves against their roof",
     "100% is the lower of the two roofs, measured between the kernel's own samples: bandwidth at few tokens, arithmetic at many.", plot_kernels},
};
const size_t report_kernel_plot_count = sizeof kernel_kinds / sizeof *kernel_kinds;

int report_kernels_prepare(const struct report_run *run, size_t index, struct report_plot *plot, FILE *data) {
    *plot = (struct report_plot){.script = kernel_kinds[index].script, .title = kernel_kinds[index].title, .look = kernel_kinds[index].look};
    snprintf(plot->name, sizeof plot->name, "%s", plot->script);
    struct draft draft = {run, 0, plot, data};
    kernel_kinds[index].write(&draft);
    return ferror(data) ? -1 : 0;
}

void report_plot_free(struct report_plot *plot) {
    free(plot->svg);
    *plot = (struct report_plot){0};
}

void report_cell_anchor(const struct report_cell *cell, char *text, size_t size) {
    char plain[80];
    plain_text(cell->id, plain, sizeof plain);
    for (char *c = plain; *c; c++)
        if (strchr(" .:%+/()=", *c))
            *c = '_';
    snprintf(text, size, "cell-%s", plain);
}

void report_cell_figures(const struct report_run *run, const struct report_cell *cell, char *text, size_t size) {
    char label[512], a[64], b[64], c[64];
    report_cell_label(run, cell, label, sizeof label);
    int used = snprintf(text, size, "%s\n%s: %s tokens/s", label, run->speed_name, number_text(cell->speed.value, a, sizeof a));
    if (cell->speed.lo < cell->speed.hi)
        used += snprintf(text + used, size - (size_t)used, " (%s–%s)", number_text(cell->speed.lo, b, sizeof b),
                         number_text(cell->speed.hi, c, sizeof c));
    if (cell->ppl > 0)
        used += snprintf(text + used, size - (size_t)used, "\nperplexity: %s", number_text(cell->ppl, a, sizeof a));
    if (!isnan(cell->dlnppl) && cell->dlnppl != 0)
        used += snprintf(text + used, size - (size_t)used, " (%s)", change_text(exp(cell->dlnppl), a, sizeof a));
    if (cell->weight_bytes > 0)
        used += snprintf(text + used, size - (size_t)used, "\nweights: %s", bytes_text(cell->weight_bytes, a, sizeof a));
    if (!isnan(cell->roof_fraction))
        used += snprintf(text + used, size - (size_t)used, "\nof its roof: %.0f%%", cell->roof_fraction * 100);
    if (strcmp(cell->status, "ok"))
        snprintf(text + used, size - (size_t)used, "\n%.20s", cell->status);
}
