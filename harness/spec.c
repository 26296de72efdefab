// SPDX-License-Identifier: MIT
#include "harness/spec.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct setting harness_settings[] = {
    {"ci", SETTING_REAL, "1%", 1e-4, 0.5, NULL, false, true, "stop a cell when its intervals' half-width is at most this"},
    {"min_samples", SETTING_INTEGER, "6", 1, 10000, NULL, false, true, "timed samples that a cell gets at least, over all rounds"},
    {"max_samples", SETTING_INTEGER, "50", 1, 100000, NULL, false, true, "timed samples that a cell gets at most"},
    {"max_time", SETTING_SECONDS, "2s", 0.001, 86400, NULL, false, true, "of timed samples a cell, over all rounds"},
    {"warmup_min", SETTING_INTEGER, "1", 0, 1000, NULL, false, true, "samples thrown away before a visit's first timed one"},
    {"warmup_max", SETTING_INTEGER, "10", 0, 100000, NULL, false, true, "... at most, where they keep drifting"},
    {"warmup_time", SETTING_SECONDS, "500ms", 0, 3600, NULL, false, true, "... for at most this long"},
    {"warmup_half", SETTING_INTEGER, "2", 1, 100, NULL, false, true, "warm-up compares the last so many samples with as many before"},
    {"rounds", SETTING_INTEGER, "2", 1, 100, NULL, false, false, "interleaved visits of every cell"},
    {"seed", SETTING_INTEGER, "1", 0, 9007199254740992, NULL, false, false, "of the order of visits and of the statistics"},
    {"timeout", SETTING_SECONDS, "60s", 0.05, 604800, NULL, false, true, "for one visit of a cell, beyond its estimate"},
    {"memory_limit", SETTING_BYTES, "0", 0, 1e18, NULL, false, false,
     "that a worker's ranks may use together; 0: what the machine or its cgroup has free"},
    {"memory_budget", SETTING_BYTES, "0", 0, 1e18, NULL, false, false,
     "of variants that one rank keeps between rounds; 0: a share of half of the memory limit"},
    {"counters", SETTING_TEXT, "default", 0, 0, NULL, false, true, "events to count, or none (names: llmsweep topo)"},
    {"roof_time", SETTING_SECONDS, "50ms", 0, 10, NULL, false, false, "for each bandwidth and peak in every round; 0: none are measured"},
    {"roof_memory", SETTING_BYTES, "512M", 1048576, 1e12, NULL, false, false,
     "read for a roof at most, all threads together; 4.5 times the last-level cache where that is less"},
    {"oversubscribe", SETTING_CHOICE, "no", 0, 0, "no yes", false, false, "run layouts of more threads than cores: for correctness only"},
    {"launcher", SETTING_TEXT, "mpirun --bind-to none --oversubscribe -np {ranks}", 0, 0, NULL, false, false,
     "what starts a layout of several ranks, such as srun --mpi=pmix -n {ranks}"},
};
const size_t harness_setting_count = sizeof harness_settings / sizeof *harness_settings;

// ---------------------------------------------------------------------------------------------------------------------
// Values of an axis: lists and ranges.

enum { VALUES_MAX = 100000 };

static int add_value(const struct axis *axis, const char *word, struct axis_values *values, char *reason, size_t reason_size) {
    char canonical[WORKLOAD_VALUE];
    int result = axis->canonical(word, canonical, sizeof canonical, reason, reason_size);
    if (result)
        return result;
    if (values->count == VALUES_MAX) {
        snprintf(reason, reason_size, "%s has more than %d values", axis->name, VALUES_MAX);
        return -EINVAL;
    }
    // Room doubles: a hundred thousand values in the file's order are one range.
    const bool full = !(values->count & (values->count - 1));
    char **grown = full ? realloc(values->value, (values->count ? 2 * values->count : 1) * sizeof *grown) : values->value;
    if (grown)
        values->value = grown;
    char *copy = grown ? strdup(canonical) : NULL;
    if (!copy) {
        snprintf(reason, reason_size, "out of memory");
        return -ENOMEM;
    }
    values->value[values->count++] = copy;
    return 0;
}

struct range {
    double from, to, step;
    bool multiply, percent;
};

// "1-32*2", "64-256+64", "10%-90%+20%", "1-4" (step 1). False: this word is no range.
static bool parse_range(const char *word, struct range *range) {
    char *at;
    *range = (struct range){.step = 1};
    if (!isdigit((unsigned char)*word))
        return false;
    range->from = strtod(word, &at);
    range->percent = *at == '%';
    at += range->percent;
    if (*at++ != '-' || !isdigit((unsigned char)*at))
        return false;
    range->to = strtod(at, &at);
    at += *at == '%';
    if (*at == '*' || *at == '+') {
        range->multiply = *at++ == '*';
        if (!isdigit((unsigned char)*at))
            return false;
        range->step = strtod(at, &at);
        at += *at == '%';
    }
    return !*at;
}

static int add_word(const struct axis *axis, const char *word, struct axis_values *values, char *reason, size_t reason_size) {
    struct range range;
    if (!parse_range(word, &range))
        return add_value(axis, word, values, reason, reason_size);
    if (range.to < range.from || (range.multiply ? range.step <= 1 || range.from <= 0 : range.step <= 0)) {
        snprintf(reason, reason_size, "%s: the range '%.60s' never ends or is empty (write 1-32*2 or 64-256+64)", axis->name, word);
        return -EINVAL;
    }
    int result = 0;
    // Counted, not summed, so that 10%-90%+20% ends with 90% whatever the rounding.
    for (int i = 0; !result; i++) {
        double value = range.multiply ? range.from * pow(range.step, i) : range.from + range.step * i;
        if (value > range.to * (1 + 1e-9))
            break;
        char text[64];
        snprintf(text, sizeof text, "%.10g%s", value, range.percent ? "%" : "");
        result = add_value(axis, text, values, reason, reason_size);
    }
    return result;
}

static void free_values(struct axis_values *values) {
    for (size_t i = 0; i < values->count; i++)
        free(values->value[i]);
    free(values->value);
    *values = (struct axis_values){0};
}

static int parse_values(const struct axis *axis, const char *text, struct axis_values *values, char *reason, size_t reason_size) {
    char *copy = strdup(text), *rest = copy, *word;
    struct axis_values made = {0};
    int result = copy ? 0 : -ENOMEM;
    if (result)
        snprintf(reason, reason_size, "out of memory");
    while (!result && (word = strsep(&rest, ","))) {
        while (isspace((unsigned char)*word))
            word++;
        size_t length = strlen(word);
        while (length && isspace((unsigned char)word[length - 1]))
            word[--length] = '\0';
        if (!length) {
            snprintf(reason, reason_size, "%s: an empty value in '%.80s'", axis->name, text);
            result = -EINVAL;
        } else
            result = add_word(axis, word, &made, reason, reason_size);
    }
    free(copy);
    if (result) {
        free_values(&made);
        return result;
    }
    free_values(values);
    *values = made;
    return 0;
}

static int copy_values(struct axis_values *to, const struct axis_values *from) {
    *to = (struct axis_values){.line = from->line, .value = calloc(from->count + 1, sizeof *to->value)};
    for (; to->value && to->count < from->count; to->count++)
        if (!(to->value[to->count] = strdup(from->value[to->count])))
            return -ENOMEM;
    return to->value ? 0 : -ENOMEM;
}

// ---------------------------------------------------------------------------------------------------------------------
// The file: first into entries with their lines, then into sweeps.

struct entry {
    char *section, *key, *value;
    int line;
};

struct reader {
    const char *path, *at, *end;
    int line;
    bool indented; // the line that was handed on last
    struct entry *entries;
    size_t count;
    int result;
    char *error;
    size_t error_size;
};

// inih asks for one line after the other; it cuts what is longer than its buffer, so that is refused here.
static char *next_line(char *buffer, int size, void *stream) {
    struct reader *reader = stream;
    if (reader->at == reader->end || reader->result)
        return NULL;
    const char *newline = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));
    const char *stop = newline ? newline + 1 : reader->end;
    size_t length = (size_t)(stop - reader->at);
    reader->line++;
    if (length >= (size_t)size - 1) {
        snprintf(reader->error, reader->error_size, "%s:%d: the line is longer than %d characters; go on in an indented line below",
                 reader->path, reader->line, size - 3);
        reader->result = -EINVAL;
        return NULL;
    }
    memcpy(buffer, reader->at, length);
    buffer[length] = '\0';
    reader->indented = isspace((unsigned char)*buffer);
    reader->at = stop;
    return buffer;
}

static int take_entry(void *user, const char *section, const char *key, const char *value) {
    struct reader *reader = user;
    struct entry *last = reader->count ? &reader->entries[reader->count - 1] : NULL;
    // inih hands on an indented line with the key of the line above.
    bool continued = last && reader->indented && !strcmp(last->key, key) && !strcmp(last->section, section);
    if (continued) {
        char *joined = NULL;
        if (asprintf(&joined, "%s %s", last->value, value) < 0)
            return reader->result = -ENOMEM, 0;
        free(last->value);
        last->value = joined;
        return 1;
    }
    struct entry *grown = realloc(reader->entries, (reader->count + 1) * sizeof *grown);
    if (!grown)
        return reader->result = -ENOMEM, 0;
    reader->entries = grown;
    struct entry *entry = &grown[reader->count++];
    *entry = (struct entry){strdup(section), strdup(key), strdup(value), reader->line};
    return entry->section && entry->key && entry->value ? 1 : (reader->result = -ENOMEM, 0);
}

static const struct axis *find_axis(const struct workload *workload, const char *name, size_t *index) {
    for (size_t i = 0; i < workload->axis_count; i++)
        if (!strcmp(workload->axes[i].name, name)) {
            *index = i;
            return &workload->axes[i];
        }
    return NULL;
}

static void unknown_key(const struct spec *spec, const char *key, char *reason, size_t reason_size) {
    const char *known[256];
    size_t count = 0;
    for (size_t i = 0; i < spec->workload->axis_count; i++)
        known[count++] = spec->workload->axes[i].name;
    known[count++] = "zip";
    known[count++] = "cross";
    for (size_t i = 0; i < settings_count(spec->settings) && count < 256; i++)
        known[count++] = settings_row(spec->settings, i)->name;
    word_unknown("key", key, known, count, reason, reason_size);
}

// "a b | c d": a and b walk together, c and d walk together.
static int set_groups(const struct spec *spec, struct sweep *sweep, const char *text, bool zip, char *reason, size_t reason_size) {
    char *copy = strdup(text), *rest = copy, *part, *word;
    int result = copy ? 0 : -ENOMEM;
    bool seen[WORKLOAD_AXES] = {false};
    while (!result && (part = strsep(&rest, "|"))) {
        int group = -1;
        while (!result && (word = strsep(&part, ", \t"))) {
            size_t index;
            if (!*word)
                continue;
            if (!find_axis(spec->workload, word, &index)) {
                const char *known[WORKLOAD_AXES];
                for (size_t i = 0; i < spec->workload->axis_count; i++)
                    known[i] = spec->workload->axes[i].name;
                word_unknown("axis", word, known, spec->workload->axis_count, reason, reason_size);
                result = -EINVAL;
            } else if (seen[index]) {
                snprintf(reason, reason_size, "%s names the axis %s twice", zip ? "zip" : "cross", word);
                result = -EINVAL;
            } else if (!zip && sweep->group[index] != (int)index) {
                snprintf(reason, reason_size, "cross names the axis %s, which zip has bound to another", word);
                result = -EINVAL;
            } else {
                seen[index] = true;
                if (zip)
                    sweep->group[index] = group = group < 0 ? (int)index : group;
            }
        }
    }
    free(copy);
    return result;
}

// One key of one sweep; the section is named in messages only by its line.
static int apply(struct spec *spec, struct sweep *sweep, bool section, const char *key, const char *value, int line, char *reason,
                 size_t reason_size) {
    size_t index;
    const struct axis *axis = find_axis(spec->workload, key, &index);
    if (axis) {
        int result = parse_values(axis, value, &sweep->axes[index], reason, reason_size);
        sweep->axes[index].line = line;
        return result;
    }
    if (!strcmp(key, "zip") || !strcmp(key, "cross"))
        return set_groups(spec, sweep, value, *key == 'z', reason, reason_size);
    int result = settings_set(sweep->settings, key, value, reason, reason_size);
    if (result == -ENOENT) {
        unknown_key(spec, key, reason, reason_size);
        return -EINVAL;
    }
    for (size_t i = 0; !result && section && i < settings_count(sweep->settings); i++)
        if (!strcmp(settings_row(sweep->settings, i)->name, key) && !settings_row(sweep->settings, i)->per_sweep) {
            snprintf(reason, reason_size, "%s holds for the whole run: set it above the first section", key);
            return -EINVAL;
        }
    return result;
}

static int new_sweep(struct spec *spec, const char *name, const struct sweep *common) {
    struct sweep *grown = realloc(spec->sweeps, (spec->sweep_count + 1) * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    spec->sweeps = grown;
    struct sweep *sweep = &grown[spec->sweep_count++];
    *sweep = (struct sweep){.name = strdup(name)};
    int result = sweep->name ? settings_copy(&sweep->settings, common->settings) : -ENOMEM;
    for (size_t i = 0; !result && i < spec->workload->axis_count; i++) {
        result = copy_values(&sweep->axes[i], &common->axes[i]);
        sweep->group[i] = common->group[i];
    }
    return result;
}

// zip needs lists of one length; the defaults fill what is not said.
static int finish_sweep(const struct spec *spec, struct sweep *sweep, int *line, char *reason, size_t reason_size) {
    for (size_t i = 0; i < spec->workload->axis_count; i++)
        if (!sweep->axes[i].count) {
            int result = parse_values(&spec->workload->axes[i], spec->workload->axes[i].fallback, &sweep->axes[i], reason,
                                      reason_size);
            if (result)
                return result;
        }
    for (size_t i = 0; i < spec->workload->axis_count; i++) {
        size_t leader = (size_t)sweep->group[i];
        if (sweep->axes[i].count != sweep->axes[leader].count) {
            *line = sweep->axes[i].line ? sweep->axes[i].line : sweep->axes[leader].line;
            snprintf(reason, reason_size, "zip walks %s and %s together, but they have %zu and %zu values",
                     spec->workload->axes[leader].name, spec->workload->axes[i].name, sweep->axes[leader].count,
                     sweep->axes[i].count);
            return -EINVAL;
        }
    }
    if (settings_number(sweep->settings, "min_samples") > settings_number(sweep->settings, "max_samples")) {
        snprintf(reason, reason_size, "min_samples is above max_samples: lower the one or raise the other");
        return -EINVAL;
    }
    return 0;
}

static int parse_entries(struct spec *spec, struct reader *reader, const char *const *overrides, size_t override_count) {
    struct sweep common = {.settings = spec->settings};
    char reason[900] = "";
    int result = 0, line = 0;
    const char *place = NULL; // an override
    for (size_t i = 0; i < WORKLOAD_AXES; i++)
        common.group[i] = (int)i;
    for (size_t i = 0; i < reader->count && !result; i++) {
        const struct entry *entry = &reader->entries[i];
        bool section = *entry->section;
        line = entry->line;
        for (size_t j = 0; j < i && !result; j++)
            if (!strcmp(reader->entries[j].section, entry->section) && !strcmp(reader->entries[j].key, entry->key)) {
                snprintf(reason, sizeof reason, "%s was set on line %d already", entry->key, reader->entries[j].line);
                result = -EINVAL;
            }
        if (!result && section && strcmp(entry->section, "sweep") && strncmp(entry->section, "sweep \"", 7)) {
            snprintf(reason, sizeof reason, "unknown section [%.60s] (known: [sweep], [sweep \"name\"])", entry->section);
            result = -EINVAL;
        }
        bool fresh = section && (!spec->sweep_count || strcmp(spec->sweeps[spec->sweep_count - 1].name, entry->section));
        if (!result && fresh)
            result = new_sweep(spec, entry->section, &common);
        if (!result)
            result = apply(spec, section ? &spec->sweeps[spec->sweep_count - 1] : &common, section, entry->key, entry->value,
                           entry->line, reason, sizeof reason);
    }
    if (!result && !spec->sweep_count)
        line = 0, result = new_sweep(spec, "sweep", &common);
    for (size_t i = 0; i < override_count && !result; i++) {
        const char *equals = strchr(overrides[i], '=');
        char *key = equals ? strndup(overrides[i], (size_t)(equals - overrides[i])) : NULL;
        line = 0;
        place = overrides[i];
        if (!key) {
            snprintf(reason, sizeof reason, "write it as key=value");
            result = -EINVAL;
        }
        size_t axis;
        if (!result && !find_axis(spec->workload, key, &axis) && strcmp(key, "zip") && strcmp(key, "cross"))
            result = apply(spec, &common, false, key, equals + 1, 0, reason, sizeof reason);
        for (size_t j = 0; j < spec->sweep_count && !result; j++)
            result = apply(spec, &spec->sweeps[j], false, key, equals + 1, 0, reason, sizeof reason);
        free(key);
        if (!result)
            place = NULL;
    }
    for (size_t i = 0; i < spec->sweep_count && !result; i++) {
        line = 0;
        result = finish_sweep(spec, &spec->sweeps[i], &line, reason, sizeof reason);
    }
    for (size_t i = 0; i < WORKLOAD_AXES; i++)
        free_values(&common.axes[i]);
    if (result == -ENOMEM && !*reason)
        snprintf(reason, sizeof reason, "out of memory");
    if (result && place)
        snprintf(reader->error, reader->error_size, "--set %.80s: %s", place, reason);
    else if (result && line)
        snprintf(reader->error, reader->error_size, "%s:%d: %s", spec->path, line, reason);
    else if (result)
        snprintf(reader->error, reader->error_size, "%s: %s", spec->path, reason);
    return result;
}

int spec_parse(struct spec *spec, const struct workload *workload, const char *path, const char *text, size_t bytes,
               const char *const *overrides, size_t override_count, char *error, size_t error_size) {
    *spec = (struct spec){.workload = workload, .path = strdup(path), .text = malloc(bytes + 1), .text_bytes = bytes};
    struct reader reader = {.path = path, .error = error, .error_size = error_size};
    int result = spec->path && spec->text ? 0 : -ENOMEM;
    *error = '\0';
    if (result)
        goto out;
    memcpy(spec->text, text, bytes);
    spec->text[bytes] = '\0';
    if (memchr(text, '\0', bytes)) {
        snprintf(error, error_size, "%s: this is not a text file: it holds NUL bytes", path);
        result = -EINVAL;
        goto out;
    }
    result = settings_create(&spec->settings, harness_settings, harness_setting_count, workload->settings,
                             workload->setting_count);
    if (result)
        goto out;
    reader.at = spec->text;
    reader.end = spec->text + bytes;
    int bad = ini_parse_stream(next_line, &reader, take_entry, &reader);
    result = reader.result;
    if (!result && bad) {
        snprintf(error, error_size, "%s:%d: this is neither 'key = value' nor a [section]", path, bad);
        result = -EINVAL;
    }
    if (!result)
        result = parse_entries(spec, &reader, overrides, override_count);
out:
    if (result == -ENOMEM && !*error)
        snprintf(error, error_size, "%s: out of memory", path);
    for (size_t i = 0; i < reader.count; i++) {
        free(reader.entries[i].section);
        free(reader.entries[i].key);
        free(reader.entries[i].value);
    }
    free(reader.entries);
    if (result)
        spec_free(spec);
    return result;
}

int spec_load(struct spec *spec, const struct workload *workload, const char *path, const char *const *overrides, size_t override_count,
              char *error, size_t error_size) {
    char *text;
    size_t bytes;
    int result = file_read(path, 1 << 20, &text, &bytes, error, error_size);
    if (result)
        return result;
    result = spec_parse(spec, workload, path, text, bytes, overrides, override_count, error, error_size);
    free(text);
    return result;
}

void spec_free(struct spec *spec) {
    for (size_t i = 0; i < spec->sweep_count; i++) {
        for (size_t j = 0; j < WORKLOAD_AXES; j++)
            free_values(&spec->sweeps[i].axes[j]);
        settings_free(spec->sweeps[i].settings);
        free(spec->sweeps[i].name);
    }
    free(spec->sweeps);
    settings_free(spec->settings);
    free(spec->path);
    free(spec->text);
    *spec = (struct spec){0};
}
