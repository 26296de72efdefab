// SPDX-License-Identifier: MIT
// What each axis bought: quantization, pruning, batch, layout.
#include <math.h>
#include <string.h>

#include "bench/report/say.h"

void say_quantization(const struct subject *s) {
    const struct report_run *run = s->run;
    if (!report_axis_varies(run, s->model, AXIS_VARIANT))
        return;
    unsigned fixed = ((1u << AXIS_COUNT) - 1) & ~(1u << AXIS_PRUNE | 1u << AXIS_VARIANT);
    const struct report_cell *slice = report_slice(run, s->model, fixed, 0, say_unpruned);
    const struct report_cell *widest = slice ? say_find_match(run, slice, 1u << AXIS_VARIANT, say_unpruned) : NULL;
    if (!widest)
        return;
    char where[256];
    report_slice_label(run, widest, fixed, where, sizeof where);
    bool started = false;
    const struct report_cell *most = NULL;
    for (size_t i = 0; i < run->cell_count; i++) {
        const struct report_cell *cell = &run->cells[i];
        if (cell == widest || !cell->timed || !report_cells_match(cell, widest, 1u << AXIS_VARIANT))
            continue;
        if (!started)
            fprintf(s->out, "Speed against %s (unpruned%s%s):", widest->axis[AXIS_VARIANT], *where ? ", " : "", where);
        started = true;
        fprintf(s->out, "\n- %s: ", cell->axis[AXIS_VARIANT]);
        say_ratio(s->out, figure_ratio(cell->speed, widest->speed));
        if (!isnan(cell->dlnppl)) {
            fputs(", ", s->out);
            say_quality(s->out, cell);
        }
        if (!most || cell->speed.value > most->speed.value)
            most = cell;
    }
    if (!started)
        return;
    double low = INFINITY, high = 0;
    size_t pairs = 0;
    for (size_t i = 0; i < run->cell_count; i++) {
        const struct report_cell *cell = &run->cells[i], *other;
        if (!say_belongs(s, cell) || strcmp(cell->axis[AXIS_VARIANT], most->axis[AXIS_VARIANT]))
            continue;
        for (size_t j = 0; j < run->cell_count; j++) {
            other = &run->cells[j];
            if (other->timed && !strcmp(other->axis[AXIS_VARIANT], widest->axis[AXIS_VARIANT]) &&
                report_cells_match(cell, other, 1u << AXIS_VARIANT)) {
                double ratio = cell->speed.value / other->speed.value;
                low = fmin(low, ratio);
                high = fmax(high, ratio);
                pairs++;
                break;
            }
        }
    }
    if (pairs > 1)
        fprintf(s->out, "\nOver all %zu pairs that differ in nothing else, %s runs at %.2f× to %.2f× of %s.", pairs,
                most->axis[AXIS_VARIANT], low, high, widest->axis[AXIS_VARIANT]);
}

// What every pruning buys at one slice: the range over the formats.
void say_pruning(const struct subject *s) {
    const struct report_run *run = s->run;
    if (!report_axis_varies(run, s->model, AXIS_PRUNE))
        return;
    unsigned fixed = ((1u << AXIS_COUNT) - 1) & ~(1u << AXIS_PRUNE | 1u << AXIS_VARIANT), prune = 1u << AXIS_PRUNE;
    const struct report_cell *slice = report_slice(run, s->model, fixed, 0, say_pruned);
    char where[256];
    bool started = false;
    for (size_t i = 0; slice && i < run->cell_count; i++) {
        const struct report_cell *cell = &run->cells[i], *best = NULL, *worst = NULL, *widest = NULL;
        struct figure best_ratio = {0}, worst_ratio = {0};
        if (!say_belongs(s, cell) || say_unpruned(cell) || !report_cells_match(cell, slice, prune | 1u << AXIS_VARIANT))
            continue;
        bool earlier = false;
        for (size_t j = 0; j < run->cell_count; j++) {
            const struct report_cell *other = &run->cells[j];
            if (!other->timed || !report_cells_match(cell, other, 1u << AXIS_VARIANT))
                continue;
            earlier |= j < i;
            const struct report_cell *dense = say_find_match(run, other, prune, say_unpruned);
            if (!dense)
                continue;
            struct figure ratio = figure_ratio(other->speed, dense->speed);
            if (!best || ratio.value > best_ratio.value)
                best = other, best_ratio = ratio;
            if (!worst || ratio.value < worst_ratio.value)
                worst = other, worst_ratio = ratio;
            if (!widest || other->bits > widest->bits)
                widest = other;
        }
        if (earlier || !best)
            continue;
        report_slice_label(run, slice, fixed, where, sizeof where);
        if (!started)
            fprintf(s->out, "Speed against the same format unpruned%s%s, from the least to the most gain:", *where ? ", " : "", where);
        started = true;
        fprintf(s->out, "\n- %s: ", cell->axis[AXIS_PRUNE]);
        if (best != worst) {
            fprintf(s->out, "%s ", worst->axis[AXIS_VARIANT]);
            say_ratio(s->out, worst_ratio);
            fputs(" to ", s->out);
        }
        fprintf(s->out, "%s ", best->axis[AXIS_VARIANT]);
        say_ratio(s->out, best_ratio);
        if (!isnan(widest->dlnppl)) {
            fprintf(s->out, "; %s ", widest->axis[AXIS_VARIANT]);
            say_quality(s->out, widest);
        }
    }
}

// A gain counts as none when even the upper end of its interval is below this.
static const double no_gain = 1.05;

void say_no_gain(const struct subject *s) {
    const struct report_run *run = s->run;
    size_t pairs = 0, gains = 0, nothing = 0, bytes = 0, compute = 0, unpacking = 0, cached = 0, unknown = 0;
    for (size_t i = 0; i < run->cell_count; i++) {
        const struct report_cell *cell = &run->cells[i];
        const struct report_cell *dense =
            say_belongs(s, cell) && say_pruned(cell) ? say_find_match(run, cell, 1u << AXIS_PRUNE, say_unpruned) : NULL;
        if (!dense)
            continue;
        struct figure ratio = figure_ratio(cell->speed, dense->speed);
        pairs++;
        if (ratio.lo == ratio.value && ratio.hi == ratio.value)
            continue; // no interval: nothing is sure
        gains += ratio.lo > 1;
        if (ratio.lo > 1 || !(ratio.hi < no_gain))
            continue;
        nothing++;
        if (cell->weight_bytes >= 0.97 * dense->weight_bytes)
            bytes++;
        else if (strstr(cell->roof_note, "compute"))
            compute++;
        else if (cell->roof_fraction < dense->roof_fraction) {
            unpacking++;
            cached += !strncmp(cell->roof_note, "cache:", 6);
        } else
            unknown++;
    }
    if (!pairs)
        return;
    fprintf(s->out, "Of %zu pair%s that differ%s in pruning only, %zu %s surely faster pruned, %zu surely not (less than 5%%)", pairs,
            pairs == 1 ? "" : "s", pairs == 1 ? "s" : "", gains, gains == 1 ? "is" : "are", nothing);
    if (gains + nothing < pairs)
        fprintf(s->out, ", %zu too uncertain to tell", pairs - gains - nothing);
    fputs(nothing ? ". Of those that are surely not:" : ".", s->out);
    if (bytes)
        fprintf(s->out, "\n- in %zu the pruned weights take no fewer bytes than the dense ones: the mask costs what the zeros save", bytes);
    if (compute)
        fprintf(s->out, "\n- in %zu arithmetic is the lower roof, so that reading fewer bytes does not help", compute);
    if (unpacking) {
        fprintf(s->out, "\n- in %zu the pruned kernel gets less out of its roof than the dense one: unpacking costs more than the bytes "
                        "that it saves", unpacking);
        if (cached)
            fprintf(s->out, "; in %zu of these the weights fit in the last-level cache, where bytes are cheap", cached);
    }
    if (unknown)
        fprintf(s->out, "\n- for %zu the figures show no reason", unknown);
}

void say_batch(const struct subject *s) {
    const struct report_run *run = s->run;
    unsigned batch = 1u << AXIS_BATCH, free_axes = batch | 1u << AXIS_PRUNE | 1u << AXIS_VARIANT;
    if (!report_axis_varies(run, s->model, AXIS_BATCH))
        return;
    const struct report_cell *slice = report_slice(run, s->model, ((1u << AXIS_COUNT) - 1) & ~free_axes, 0, say_unpruned);
    bool started = false;
    for (size_t i = 0; slice && i < run->cell_count; i++) {
        const struct report_cell *first = &run->cells[i], *last = first;
        if (!say_belongs(s, first) || say_pruned(first) || !report_cells_match(first, slice, free_axes))
            continue;
        bool smallest = true;
        for (size_t j = 0; j < run->cell_count; j++) {
            const struct report_cell *other = &run->cells[j];
            if (!other->timed || !report_cells_match(first, other, batch))
                continue;
            smallest &= other->batch >= first->batch;
            if (other->batch > last->batch)
                last = other;
        }
        if (!smallest || last == first)
            continue;
        char where[256];
        report_slice_label(run, slice, ((1u << AXIS_COUNT) - 1) & ~free_axes, where, sizeof where);
        if (!started)
            fprintf(s->out, "All sequences' tokens/s from the smallest to the largest batch (unpruned%s%s):", *where ? ", " : "", where);
        started = true;
        fprintf(s->out, "\n- %s, %g to %g: ", first->axis[AXIS_VARIANT], first->batch, last->batch);
        say_ratio(s->out, figure_ratio(last->speed, first->speed));
        fprintf(s->out, " (ideal: %g×)", last->batch / first->batch);
        if (first->itl_ms > 0 && last->itl_ms > 0) {
            fputs("; each sequence waits ", s->out);
            say_number(s->out, last->itl_ms);
            fputs(" ms for a token instead of ", s->out);
            say_number(s->out, first->itl_ms);
            fputs(" ms", s->out);
        }
    }
}

void say_layout(const struct subject *s) {
    const struct report_run *run = s->run;
    unsigned layout = 1u << AXIS_LAYOUT, free_axes = layout | 1u << AXIS_PRUNE | 1u << AXIS_VARIANT;
    if (!report_axis_varies(run, s->model, AXIS_LAYOUT))
        return;
    const struct report_cell *slice =
        report_slice(run, s->model, ((1u << AXIS_COUNT) - 1) & ~free_axes, LARGEST_BATCH, say_unpruned);
    const struct report_cell *widest = slice ? say_find_match(run, slice, 1u << AXIS_VARIANT | layout, say_unpruned) : NULL, *base = widest;
    for (size_t i = 0; widest && i < run->cell_count; i++)
        if (run->cells[i].timed && report_cells_match(&run->cells[i], widest, layout) &&
            report_axis_compare(&run->cells[i], base, AXIS_LAYOUT) < 0)
            base = &run->cells[i];
    bool started = false;
    for (size_t i = 0; base && i < run->cell_count; i++) {
        const struct report_cell *cell = &run->cells[i];
        if (cell == base || !cell->timed || !report_cells_match(cell, base, layout))
            continue;
        char where[256];
        report_slice_label(run, base, ((1u << AXIS_COUNT) - 1) & ~(layout | 1u << AXIS_PRUNE), where, sizeof where);
        if (!started)
            fprintf(s->out, "Speed against %s (unpruned%s%s):", base->axis[AXIS_LAYOUT], *where ? ", " : "", where);
        fprintf(s->out, "\n- %s: ", cell->axis[AXIS_LAYOUT]);
        started = true;
        struct figure ratio = figure_ratio(cell->speed, base->speed);
        say_ratio(s->out, ratio);
        double more = cell->ranks * cell->threads / (base->ranks * base->threads);
        if (more > 1)
            fprintf(s->out, " on %g× the threads, %.0f%% efficient", more, 100 * ratio.value / more);
        if (cell->comm_share > 0.005)
            fprintf(s->out, ", %.0f%% of its time in communication", cell->comm_share * 100);
    }
}
