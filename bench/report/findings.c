// SPDX-License-Identifier: MIT
#include "bench/report/findings.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report/say.h"
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

void say_mention(FILE *out, const struct report_run *run, const struct report_cell *cell) {
    char label[512];
    report_cell_label(run, cell, label, sizeof label);
    for (char *c = label; *c; c++)
        if ((unsigned char)*c < 0x20)
            *c = ' ';
    fprintf(out, FINDING_CELL "%zu" FINDING_LABEL "%s" FINDING_END, cell->row, label);
}

void say_number(FILE *out, double value) {
    char text[64];
    fputs(number_text(value, text, sizeof text), out);
}

// "1 234 tokens/s (1 220–1 250)"
void say_speed(FILE *out, struct figure speed) {
    say_number(out, speed.value);
    fputs(" tokens/s", out);
    if (speed.lo < speed.value || speed.hi > speed.value) {
        fputs(" (", out);
        say_number(out, speed.lo);
        fputs("–", out);
        say_number(out, speed.hi);
        fputs(")", out);
    }
}

void say_ratio(FILE *out, struct figure ratio) {
    fprintf(out, "%.2f×", ratio.value);
    if (ratio.lo < ratio.value || ratio.hi > ratio.value)
        fprintf(out, " (%.2f–%.2f)", ratio.lo, ratio.hi);
}

// "+3.1% perplexity (+2.9% to +3.3%)"
void say_quality(FILE *out, const struct report_cell *cell) {
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


bool say_unpruned(const struct report_cell *cell) {
    return !strcmp(cell->axis[AXIS_PRUNE], "none");
}
bool say_pruned(const struct report_cell *cell) {
    return !say_unpruned(cell);
}

const struct report_cell *say_find_match(const struct report_run *run, const struct report_cell *cell, unsigned except,
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
// The best cells
bool say_belongs(const struct subject *s, const struct report_cell *cell) {
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
        if (say_belongs(s, cell) && use(cell) && (isnan(batch) || cell->batch == batch) &&
            (!best || cell->speed.value > best->speed.value))
            best = cell;
    }
    return best;
}

static double smallest_batch(const struct subject *s) {
    double smallest = NAN;
    for (size_t i = 0; i < s->run->cell_count; i++)
        if (say_belongs(s, &s->run->cells[i]) && !(s->run->cells[i].batch >= smallest))
            smallest = s->run->cells[i].batch;
    return smallest;
}

static void write_rivals(const struct subject *s, const struct report_cell *best, allow *use, double batch) {
    size_t rivals = 0;
    const struct report_cell *first = NULL;
    for (size_t i = 0; i < s->run->cell_count; i++) {
        const struct report_cell *cell = &s->run->cells[i];
        if (cell != best && say_belongs(s, cell) && use(cell) && (isnan(batch) || cell->batch == batch) &&
            cell->speed.hi >= best->speed.lo) {
            rivals++;
            if (!first || cell->speed.value > first->speed.value)
                first = cell;
        }
    }
    if (!rivals)
        return;
    fputs(" Too close to call: ", s->out);
    say_mention(s->out, s->run, first);
    if (rivals > 1)
        fprintf(s->out, " and %zu more", rivals - 1);
    fputs(rivals > 1 ? ", whose intervals overlap with its." : ", whose interval overlaps with its.", s->out);
}

static void say_fastest(const struct subject *s) {
    const struct report_run *run = s->run;
    const struct report_cell *best = fastest(s, any_cell, NAN);
    unsigned weights = 1u << AXIS_PRUNE | 1u << AXIS_VARIANT;
    say_mention(s->out, run, best);
    fputs(": ", s->out);
    say_speed(s->out, best->speed);
    bool many = report_axis_varies(run, s->model, AXIS_BATCH);
    if (best->batch > 1)
        fputs(" over all sequences", s->out);
    const struct report_cell *plain = say_find_match(run, best, weights, say_unpruned);
    if (plain && plain != best && plain->bits > best->bits) {
        fputs(", ", s->out);
        say_ratio(s->out, figure_ratio(best->speed, plain->speed));
        fprintf(s->out, " its unpruned %s", plain->axis[AXIS_VARIANT]);
    }
    if (run->models[s->model].quality) {
        fputs(", ", s->out);
        say_quality(s->out, best);
    }
    fputs(".", s->out);
    write_rivals(s, best, any_cell, NAN);
    double batch = smallest_batch(s);
    const struct report_cell *alone = fastest(s, any_cell, batch);
    if (many && alone && alone != best && alone->batch < best->batch) {
        fprintf(s->out, batch == 1 ? " For one sequence at a time: " : " At batch %g: ", batch);
        say_mention(s->out, run, alone);
        fputs(", ", s->out);
        say_speed(s->out, alone->speed);
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
        say_mention(s->out, s->run, best);
        fputs(", ", s->out);
        say_speed(s->out, best->speed);
        fputs(", ", s->out);
        if (best->dlnppl == 0)
            fputs("the perplexity of the reference", s->out);
        else
            say_quality(s->out, best);
        fputs(".", s->out);
    }
    if (perhaps && (!best || perhaps->speed.value > best->speed.value)) {
        fputs(" Undecided, as its interval reaches beyond the budget: ", s->out);
        say_mention(s->out, s->run, perhaps);
        fputs(", ", s->out);
        say_speed(s->out, perhaps->speed);
        fputs(", ", s->out);
        say_quality(s->out, perhaps);
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

// How far the bandwidth that bounds the cell moved between the rounds of run.json's "roofs"; nothing where it stayed or another roof bounds.
static void say_roof_moved(const struct subject *s, const struct report_cell *cell) {
    double least = INFINITY, most = 0;
    size_t index;
    if (strncmp(cell->roof_note, "bandwidth", 9) != 0)
        return;
    json_t *value, *rounds = json_object_get(json_object_get(json_object_get(s->run->json, "roofs"), cell->axis[AXIS_LAYOUT]), "stream");
    json_array_foreach(rounds, index, value) {
        least = fmin(least, json_number_value(value) / 1e9);
        most = fmax(most, json_number_value(value) / 1e9);
    }
    if (most > 1.02 * least)
        fprintf(s->out, " (layout %s: %.1f to %.1f GB/s in this run, as where others share the memory)", cell->axis[AXIS_LAYOUT], least, most);
}

static void say_bound_of(const struct subject *s, const struct report_cell *cell) {
    double fraction = cell->roof_fraction;
    bool compute = strstr(cell->roof_note, "compute"), bandwidth = strstr(cell->roof_note, "bandwidth");
    bool cache = !strncmp(cell->roof_note, "cache:", 6);
    say_mention(s->out, s->run, cell);
    if (isnan(fraction)) {
        fputs(": no roof was measured beside it, so what bounds it is not known.", s->out);
        return;
    }
    fprintf(s->out, ": %.0f%% of its roof", fraction * 100);
    if (compute)
        fputs(" (arithmetic)", s->out);
    else if (bandwidth)
        fprintf(s->out, " (reading bytes from %s)", cache ? "the last-level cache" : "memory");
    if (fraction > 1.02) {
        fputs(". A share above 100% marks a mistake in the count of bytes or in the roof", s->out);
        say_roof_moved(s, cell);
        fputs(": do not build on it.", s->out);
    } else if (fraction >= 0.6)
        fputs(compute     ? ". Fewer operations or more cores would make it faster; fewer bytes would not."
              : bandwidth ? ". Fewer bytes or more bandwidth would make it faster; more arithmetic would not."
                          : ". There is little left to gain on this machine.",
              s->out);
    else
        fputs(", so neither bandwidth nor arithmetic holds it back, but work beside them: unpacking, attention, waiting.", s->out);
}

static void say_bound(const struct subject *s) {
    const struct report_cell *said[4];
    size_t count = 0;
    for (int i = 0; i < 4; i++) {
        const struct report_cell *best = finding_best(s->run, s->model, i & 1, i & 2);
        bool again = !best;
        for (size_t j = 0; j < count; j++)
            again |= said[j] == best;
        if (again)
            continue;
        said[count++] = best;
        fputs(count > 1 ? "\n- " : "- ", s->out);
        say_bound_of(s, best);
    }
}

static void say_caveats(const struct subject *s) {
    size_t noisy = 0, over = 0, timed = s->run->models[s->model].timed;
    const struct report_cell *furthest = NULL;
    for (size_t i = 0; i < s->run->cell_count; i++) {
        const struct report_cell *cell = &s->run->cells[i];
        if (!say_belongs(s, cell))
            continue;
        noisy += !strcmp(cell->status, "noisy");
        over += cell->roof_fraction > 1.02;
        if (cell->roof_fraction > 1.02 && (!furthest || cell->roof_fraction > furthest->roof_fraction))
            furthest = cell;
    }
    if (noisy)
        fprintf(s->out, "%zu of %zu cells %s noisy (interval wider than ±5%%). ", noisy, timed, noisy == 1 ? "is" : "are");
    if (over) {
        fprintf(s->out, "%zu %s faster than %s roof allows, which marks a mistake in the count of bytes or in the roof", over,
                over == 1 ? "cell is" : "cells are", over == 1 ? "its" : "their");
        say_roof_moved(s, furthest);
        fputs(". ", s->out);
    }
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

const struct report_cell *finding_best(const struct report_run *run, int model, bool within, bool smallest) {
    struct subject subject = {run, model, NULL};
    return fastest(&subject, within ? within_budget : any_cell, smallest ? smallest_batch(&subject) : NAN);
}

int findings_model(const struct report_run *run, int model, struct findings *findings) {
    static const struct {
        const char *topic;
        void (*say)(const struct subject *subject);
    } topics[] = {{"Fastest", say_fastest},       {"Within a quality budget", say_budget}, {"What bounds it", say_bound},
                  {"Quantization", say_quantization}, {"Pruning", say_pruning},            {"Where pruning gave nothing", say_no_gain},
                  {"Batch", say_batch},           {"Layout", say_layout},                  {"Caveats", say_caveats}};
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
