// SPDX-License-Identifier: MIT
#include "bench/report/findings.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report/text.h"

static const double quality_budget = 0.01; // of ln(ppl/ppl₀): one percent of perplexity

// ---------------------------------------------------------------------------------------------------------------------
// Sentences
struct figure figure_ratio(struct figure a, struct figure b) {
    double ratio = a.value / b.value;
    if (!(ratio > 0) || !isfinite(ratio))
        return (struct figure){NAN, NAN, NAN};
    // Each side of the interval by itself, since they need not be symmetric.
    double up = hypot(log(a.hi / a.value), log(b.value / b.lo)), down = hypot(log(a.value / a.lo), log(b.hi / b.value));
    return (struct figure){ratio, ratio * exp(-down), ratio * exp(up)};
}

static void mention(FILE *out, const struct report_run *run, const struct report_cell *cell) {
    char label[512];
    report_cell_label(run, cell, label, sizeof label);
    for (char *c = label; *c; c++)
        if ((unsigned char)*c < 0x20)
            *c = ' ';
    fprintf(out, FINDING_CELL "%zu" FINDING_LABEL "%s" FINDING_END, cell->row, label);
}

static void write_number(FILE *out, double value) {
    char text[64];
    fputs(number_text(value, text, sizeof text), out);
}

// "1 234 tokens/s (1 220–1 250)"
static void write_speed(FILE *out, struct figure speed) {
    write_number(out, speed.value);
    fputs(" tokens/s", out);
    if (speed.lo < speed.value || speed.hi > speed.value) {
        fputs(" (", out);
        write_number(out, speed.lo);
        fputs("–", out);
        write_number(out, speed.hi);
        fputs(")", out);
    }
}

static void write_ratio(FILE *out, struct figure ratio) {
    fprintf(out, "%.2f×", ratio.value);
    if (ratio.lo < ratio.value || ratio.hi > ratio.value)
        fprintf(out, " (%.2f–%.2f)", ratio.lo, ratio.hi);
}

// "+3.1% perplexity (+2.9% to +3.3%)"
static void write_quality(FILE *out, const struct report_cell *cell) {
    char text[64], low[64], high[64];
    if (isnan(cell->dlnppl)) {
        fputs("quality not measured", out);
        return;
    }
    fprintf(out, "%s perplexity", change_text(exp(cell->dlnppl), text, sizeof text));
    double half = 1.96 * cell->dlnppl_se;
    if (half > 0 && exp(cell->dlnppl) < 2)
        fprintf(out, " (%s to %s)", change_text(exp(cell->dlnppl - half), low, sizeof low),
                change_text(exp(cell->dlnppl + half), high, sizeof high));
}

static bool unpruned(const struct report_cell *cell) {
    return !strcmp(cell->axis[AXIS_PRUNE], "none");
}
static bool pruned(const struct report_cell *cell) {
    return !unpruned(cell);
}

static const struct report_cell *find_match(const struct report_run *run, const struct report_cell *cell, unsigned except,
                                            bool (*use)(const struct report_cell *cell)) {
    const struct report_cell *best = NULL;
    for (size_t i = 0; i < run->cell_count; i++) {
        const struct report_cell *other = &run->cells[i];
        if (other->timed && use(other) && report_cells_match(cell, other, except) &&
            (!best || report_axis_compare(other, best, AXIS_VARIANT) < 0))
            best = other;
    }
    return best;
}

static int add(struct findings *findings, const char *topic, char *text) {
    struct finding *grown = realloc(findings->list, (findings->count + 1) * sizeof *grown);
    if (grown)
        findings->list = grown;
    if (!grown || !text) {
        free(text);
        return -ENOMEM;
    }
    if (!*text) {
        free(text);
        return 0;
    }
    findings->list[findings->count++] = (struct finding){topic, text};
    return 0;
}

void findings_free(struct findings *findings) {
    for (size_t i = 0; i < findings->count; i++)
        free(findings->list[i].text);
    free(findings->list);
    *findings = (struct findings){0};
}

// ---------------------------------------------------------------------------------------------------------------------
// Each writes what it has to say about one model, or nothing.
struct subject {
    const struct report_run *run;
    int model;
    FILE *out;
};

static bool belongs(const struct subject *s, const struct report_cell *cell) {
    return cell->model_index == s->model && cell->timed;
}

typedef bool allow(const struct report_cell *cell);

static bool any_cell(const struct report_cell *cell) {
    (void)cell;
    return true;
}
static bool has_quality(const struct report_cell *cell) {
    return !isnan(cell->dlnppl);
}
// The upper end of the 95% interval is inside the budget: a cell without a standard error is not trusted unless it is the reference.
static bool within_budget(const struct report_cell *cell) {
    double se = isnan(cell->dlnppl_se) ? (cell->dlnppl == 0 ? 0 : NAN) : cell->dlnppl_se;
    return cell->dlnppl + 1.96 * se <= quality_budget;
}
static bool perhaps_within_budget(const struct report_cell *cell) {
    return cell->dlnppl <= quality_budget && !within_budget(cell);
}

static const struct report_cell *fastest(const struct subject *s, allow *use, double batch) {
    const struct report_cell *best = NULL;
    for (size_t i = 0; i < s->run->cell_count; i++) {
        const struct report_cell *cell = &s->run->cells[i];
        if (belongs(s, cell) && use(cell) && (isnan(batch) || cell->batch == batch) &&
            (!best || cell->speed.value > best->speed.value))
            best = cell;
    }
    return best;
}

static double smallest_batch(const struct subject *s) {
    double smallest = NAN;
    for (size_t i = 0; i < s->run->cell_count; i++)
        if (belongs(s, &s->run->cells[i]) && !(s->run->cells[i].batch >= smallest))
            smallest = s->run->cells[i].batch;
    return smallest;
}

static void write_rivals(const struct subject *s, const struct report_cell *best, allow *use, double batch) {
    size_t rivals = 0;
    const struct report_cell *first = NULL;
    for (size_t i = 0; i < s->run->cell_count; i++) {
        const struct report_cell *cell = &s->run->cells[i];
        if (cell != best && belongs(s, cell) && use(cell) && (isnan(batch) || cell->batch == batch) &&
            cell->speed.hi >= best->speed.lo) {
            rivals++;
            if (!first || cell->speed.value > first->speed.value)
                first = cell;
        }
    }
    if (!rivals)
        return;
    fputs(" Too close to call: ", s->out);
    mention(s->out, s->run, first);
    if (rivals > 1)
        fprintf(s->out, " and %zu more", rivals - 1);
    fputs(rivals > 1 ? ", whose intervals overlap with its." : ", whose interval overlaps with its.", s->out);
}

static void say_fastest(const struct subject *s) {
    const struct report_run *run = s->run;
    const struct report_cell *best = fastest(s, any_cell, NAN);
    unsigned weights = 1u << AXIS_PRUNE | 1u << AXIS_VARIANT;
    mention(s->out, run, best);
    fputs(": ", s->out);
    write_speed(s->out, best->speed);
    bool many = report_axis_varies(run, s->model, AXIS_BATCH);
    if (best->batch > 1)
        fputs(" over all sequences", s->out);
    const struct report_cell *plain = find_match(run, best, weights, unpruned);
    if (plain && plain != best && plain->bits > best->bits) {
        fputs(", ", s->out);
        write_ratio(s->out, figure_ratio(best->speed, plain->speed));
        fprintf(s->out, " its unpruned %s", plain->axis[AXIS_VARIANT]);
    }
    if (run->models[s->model].quality) {
        fputs(", ", s->out);
        write_quality(s->out, best);
    }
    fputs(".", s->out);
    write_rivals(s, best, any_cell, NAN);
    double batch = smallest_batch(s);
    const struct report_cell *alone = fastest(s, any_cell, batch);
    if (many && alone && alone != best && alone->batch < best->batch) {
        fprintf(s->out, batch == 1 ? " For one sequence at a time: " : " At batch %g: ", batch);
        mention(s->out, run, alone);
        fputs(", ", s->out);
        write_speed(s->out, alone->speed);
        fputs(".", s->out);
    }
}

static void say_within(const struct subject *s, double batch) {
    const struct report_cell *best = fastest(s, within_budget, batch), *perhaps = fastest(s, perhaps_within_budget, batch);
    if (!isnan(batch))
        fprintf(s->out, batch == 1 ? " For one sequence at a time: " : " At batch %g: ", batch);
    if (!best) {
        fputs("no cell is surely inside it.", s->out);
    } else {
        mention(s->out, s->run, best);
        fputs(", ", s->out);
        write_speed(s->out, best->speed);
        fputs(", ", s->out);
        if (best->dlnppl == 0)
            fputs("the perplexity of the reference", s->out);
        else
            write_quality(s->out, best);
        fputs(".", s->out);
    }
    if (perhaps && (!best || perhaps->speed.value > best->speed.value)) {
        fputs(" Undecided, as its interval reaches beyond the budget: ", s->out);
        mention(s->out, s->run, perhaps);
        fputs(", ", s->out);
        write_speed(s->out, perhaps->speed);
        fputs(", ", s->out);
        write_quality(s->out, perhaps);
        fputs(".", s->out);
    }
}

static void say_budget(const struct subject *s) {
    if (!s->run->models[s->model].quality) {
        fputs("Quality was not measured for this model, so its figures say nothing about what speed costs.", s->out);
        return;
    }
    if (!fastest(s, has_quality, NAN)) {
        fputs("Perplexity was measured, but not against an unpruned f32 cell, so no budget can be kept.", s->out);
        return;
    }
    fputs("Fastest with at most 1% more perplexity than unpruned f32, with 95% certainty: ", s->out);
    say_within(s, NAN);
    double batch = smallest_batch(s);
    const struct report_cell *all = fastest(s, within_budget, NAN);
    if (report_axis_varies(s->run, s->model, AXIS_BATCH) && all && all->batch > batch)
        say_within(s, batch);
}

static void say_bound(const struct subject *s) {
    const struct report_cell *best = fastest(s, any_cell, NAN);
    double fraction = best->roof_fraction;
    if (isnan(fraction)) {
        fputs("No roof was measured beside the fastest cell, so what bounds it is not known.", s->out);
        return;
    }
    bool compute = strstr(best->roof_note, "compute"), bandwidth = strstr(best->roof_note, "bandwidth");
    bool cache = !strncmp(best->roof_note, "cache:", 6);
    fprintf(s->out, "The fastest cell reaches %.0f%% of its roof", fraction * 100);
    if (compute)
        fputs(", which is set by arithmetic", s->out);
    else if (bandwidth)
        fprintf(s->out, ", which is set by reading %s", cache ? "its weights from the last-level cache" : "its weights from memory");
    fputs(". ", s->out);
    if (fraction > 1.02)
        fputs("A share above 100% marks a mistake in the count of bytes or in the roof: do not build on it.", s->out);
    else if (fraction >= 0.6)
        fputs(compute     ? "More cores or fewer operations would make it faster; fewer bytes would not."
              : bandwidth ? "Fewer bytes or more bandwidth would make it faster; more arithmetic would not."
                          : "There is little left to gain on this machine.",
              s->out);
    else
        fputs("That is well below both bandwidth and arithmetic: what bounds it is work that the roof does not count (unpacking, "
              "attention, small matrices, waiting for each other).",
              s->out);
}

static void say_quantization(const struct subject *s) {
    const struct report_run *run = s->run;
    if (!report_axis_varies(run, s->model, AXIS_VARIANT))
        return;
    unsigned fixed = ((1u << AXIS_COUNT) - 1) & ~(1u << AXIS_PRUNE | 1u << AXIS_VARIANT);
    const struct report_cell *slice = report_slice(run, s->model, fixed, 0, unpruned);
    const struct report_cell *widest = slice ? find_match(run, slice, 1u << AXIS_VARIANT, unpruned) : NULL;
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
        fputs(started ? "; " : "", s->out);
        if (!started)
            fprintf(s->out, "Against %s%s%s, both unpruned: ", widest->axis[AXIS_VARIANT], *where ? " at " : "", where);
        started = true;
        fprintf(s->out, "%s ", cell->axis[AXIS_VARIANT]);
        write_ratio(s->out, figure_ratio(cell->speed, widest->speed));
        if (!isnan(cell->dlnppl)) {
            fputs(", ", s->out);
            write_quality(s->out, cell);
        }
        if (!most || cell->speed.value > most->speed.value)
            most = cell;
    }
    if (!started)
        return;
    fputs(".", s->out);
    double low = INFINITY, high = 0;
    size_t pairs = 0;
    for (size_t i = 0; i < run->cell_count; i++) {
        const struct report_cell *cell = &run->cells[i], *other;
        if (!belongs(s, cell) || strcmp(cell->axis[AXIS_VARIANT], most->axis[AXIS_VARIANT]))
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
        fprintf(s->out, " Over all %zu pairs that differ in nothing else, %s runs at %.2f× to %.2f× of %s.", pairs,
                most->axis[AXIS_VARIANT], low, high, widest->axis[AXIS_VARIANT]);
}

// What every pruning buys at one slice: the range over the formats.
static void say_pruning(const struct subject *s) {
    const struct report_run *run = s->run;
    if (!report_axis_varies(run, s->model, AXIS_PRUNE))
        return;
    unsigned fixed = ((1u << AXIS_COUNT) - 1) & ~(1u << AXIS_PRUNE | 1u << AXIS_VARIANT), prune = 1u << AXIS_PRUNE;
    const struct report_cell *slice = report_slice(run, s->model, fixed, 0, pruned);
    char where[256];
    bool started = false;
    for (size_t i = 0; slice && i < run->cell_count; i++) {
        const struct report_cell *cell = &run->cells[i], *best = NULL, *worst = NULL, *widest = NULL;
        struct figure best_ratio = {0}, worst_ratio = {0};
        if (!belongs(s, cell) || unpruned(cell) || !report_cells_match(cell, slice, prune | 1u << AXIS_VARIANT))
            continue;
        bool earlier = false;
        for (size_t j = 0; j < run->cell_count; j++) {
            const struct report_cell *other = &run->cells[j];
            if (!other->timed || !report_cells_match(cell, other, 1u << AXIS_VARIANT))
                continue;
            earlier |= j < i;
            const struct report_cell *dense = find_match(run, other, prune, unpruned);
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
        if (started)
            fputs("; ", s->out);
        else
            fprintf(s->out, "Against the same format unpruned%s%s: ", *where ? ", at " : "", where);
        started = true;
        fprintf(s->out, "%s ", cell->axis[AXIS_PRUNE]);
        if (best != worst) {
            write_ratio(s->out, worst_ratio);
            fprintf(s->out, " (%s) to ", worst->axis[AXIS_VARIANT]);
        }
        write_ratio(s->out, best_ratio);
        fprintf(s->out, " (%s)", best->axis[AXIS_VARIANT]);
        if (!isnan(widest->dlnppl)) {
            fputs(", ", s->out);
            write_quality(s->out, widest);
            if (best != worst)
                fprintf(s->out, " at %s", widest->axis[AXIS_VARIANT]);
        }
    }
    if (started)
        fputs(".", s->out);
}

static void say_no_gain(const struct subject *s) {
    const struct report_run *run = s->run;
    size_t pairs = 0, nothing = 0, bytes = 0, compute = 0, unpacking = 0, unpacking_cached = 0, unknown = 0;
    for (size_t i = 0; i < run->cell_count; i++) {
        const struct report_cell *cell = &run->cells[i];
        const struct report_cell *dense =
            belongs(s, cell) && pruned(cell) ? find_match(run, cell, 1u << AXIS_PRUNE, unpruned) : NULL;
        if (!dense)
            continue;
        pairs++;
        if (figure_ratio(cell->speed, dense->speed).lo > 1)
            continue;
        nothing++;
        if (cell->weight_bytes >= 0.97 * dense->weight_bytes)
            bytes++;
        else if (strstr(cell->roof_note, "compute"))
            compute++;
        else if (cell->roof_fraction < dense->roof_fraction) {
            unpacking++;
            unpacking_cached += !strncmp(cell->roof_note, "cache:", 6);
        } else
            unknown++;
    }
    if (!pairs)
        return;
    if (!nothing) {
        fprintf(s->out, "It made every one of %zu pairs surely faster.", pairs);
        return;
    }
    fprintf(s->out, "In %zu of %zu pairs pruning gave no sure gain in speed.", nothing, pairs);
    if (bytes)
        fprintf(s->out, " In %zu of them the pruned weights take no fewer bytes than the dense ones: the mask costs what the zeros "
                        "save.", bytes);
    if (compute)
        fprintf(s->out, " In %zu arithmetic is the lower roof, so that reading fewer bytes does not help.", compute);
    if (unpacking) {
        fprintf(s->out, " In %zu the pruned kernel gets less out of its roof than the dense one: unpacking costs more than the bytes "
                        "that it saves", unpacking);
        if (unpacking_cached)
            fprintf(s->out, "%s, where bytes are cheap, as the weights fit in the last-level cache",
                    unpacking_cached == unpacking ? "" : " (most of them in small models)");
        fputs(".", s->out);
    }
    if (unknown)
        fprintf(s->out, " For %zu the figures show no reason.", unknown);
}

static void say_batch(const struct subject *s) {
    const struct report_run *run = s->run;
    unsigned batch = 1u << AXIS_BATCH, free_axes = batch | 1u << AXIS_PRUNE | 1u << AXIS_VARIANT;
    if (!report_axis_varies(run, s->model, AXIS_BATCH))
        return;
    const struct report_cell *slice = report_slice(run, s->model, ((1u << AXIS_COUNT) - 1) & ~free_axes, 0, unpruned);
    bool started = false;
    for (size_t i = 0; slice && i < run->cell_count; i++) {
        const struct report_cell *first = &run->cells[i], *last = first;
        if (!belongs(s, first) || pruned(first) || !report_cells_match(first, slice, free_axes))
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
            fprintf(s->out, "Unpruned%s%s: ", *where ? ", " : "", where);
        fprintf(s->out, "%s%s ", started ? "; " : "", first->axis[AXIS_VARIANT]);
        write_ratio(s->out, figure_ratio(last->speed, first->speed));
        fprintf(s->out, " the tokens/s from batch %g to %g", first->batch, last->batch);
        started = true;
        if (first->itl_ms > 0 && last->itl_ms > 0) {
            fputs(" (each sequence's next token after ", s->out);
            write_number(s->out, last->itl_ms);
            fputs(" ms instead of ", s->out);
            write_number(s->out, first->itl_ms);
            fputs(" ms)", s->out);
        }
    }
    if (started)
        fputs(".", s->out);
}

static void say_layout(const struct subject *s) {
    const struct report_run *run = s->run;
    unsigned layout = 1u << AXIS_LAYOUT, free_axes = layout | 1u << AXIS_PRUNE | 1u << AXIS_VARIANT;
    if (!report_axis_varies(run, s->model, AXIS_LAYOUT))
        return;
    const struct report_cell *slice =
        report_slice(run, s->model, ((1u << AXIS_COUNT) - 1) & ~free_axes, LARGEST_BATCH, unpruned);
    const struct report_cell *widest = slice ? find_match(run, slice, 1u << AXIS_VARIANT | layout, unpruned) : NULL, *base = widest;
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
            fprintf(s->out, "Against %s (unpruned%s%s): ", base->axis[AXIS_LAYOUT], *where ? ", " : "", where);
        fprintf(s->out, "%s%s ", started ? "; " : "", cell->axis[AXIS_LAYOUT]);
        started = true;
        struct figure ratio = figure_ratio(cell->speed, base->speed);
        write_ratio(s->out, ratio);
        double more = cell->ranks * cell->threads / (base->ranks * base->threads);
        if (more > 1)
            fprintf(s->out, " with %g× the threads, %.0f%% efficient", more, 100 * ratio.value / more);
        if (cell->comm_share > 0.005)
            fprintf(s->out, ", %.0f%% of its time in communication", cell->comm_share * 100);
    }
    if (started)
        fputs(".", s->out);
}

static void say_caveats(const struct subject *s) {
    size_t noisy = 0, over = 0, timed = s->run->models[s->model].timed;
    for (size_t i = 0; i < s->run->cell_count; i++) {
        const struct report_cell *cell = &s->run->cells[i];
        if (!belongs(s, cell))
            continue;
        noisy += !strcmp(cell->status, "noisy");
        over += cell->roof_fraction > 1.02;
    }
    if (noisy)
        fprintf(s->out, "%zu of %zu cells %s noisy (interval wider than ±5%%). ", noisy, timed, noisy == 1 ? "is" : "are");
    if (over)
        fprintf(s->out, "%zu %s faster than %s roof allows, which marks a mistake in the count of bytes or in the roof. ", over,
                over == 1 ? "cell is" : "cells are", over == 1 ? "its" : "their");
    const char *fixed[AXIS_COUNT];
    size_t count = 0;
    for (int axis = AXIS_PRUNE; axis <= AXIS_LAYOUT; axis++)
        if ((axis == AXIS_PRUNE || axis == AXIS_VARIANT || axis == AXIS_BATCH || axis == AXIS_LAYOUT) &&
            !report_axis_varies(s->run, s->model, (enum report_axis)axis))
            fixed[count++] = report_axis_name((enum report_axis)axis);
    for (size_t i = 0; i < count; i++)
        fprintf(s->out, "%s%s", i == 0 ? "Not varied, so nothing is said about it: " : i + 1 == count ? " and " : ", ", fixed[i]);
    if (count)
        fputs(".", s->out);
}

int findings_model(const struct report_run *run, int model, struct findings *findings) {
    static const struct {
        const char *topic;
        void (*say)(const struct subject *subject);
    } topics[] = {{"Fastest", say_fastest},       {"Within a quality budget", say_budget}, {"What bounds it", say_bound},
                  {"Quantization", say_quantization}, {"Pruning", say_pruning},            {"Where pruning gave nothing", say_no_gain},
                  {"Batch", say_batch},           {"Layout", say_layout},                  {"Mind", say_caveats}};
    *findings = (struct findings){0};
    if (!run->models[model].timed)
        return add(findings, "No figures", strdup("No cell of this model was timed; the reasons are listed below."));
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++) {
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);
        if (!out)
            return -ENOMEM;
        topics[i].say(&(struct subject){run, model, out});
        fclose(out);
        int result = add(findings, topics[i].topic, text);
        if (result)
            return result;
    }
    return 0;
}
