// SPDX-License-Identifier: MIT
#include "harness/settings.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct value {
    char *text; // NULL: the default
    double number;
};

struct settings {
    const struct setting *table[2];
    size_t table_count[2];
    struct value *values; // (settings_count)
};

size_t settings_count(const struct settings *settings) {
    return settings->table_count[0] + settings->table_count[1];
}

const struct setting *settings_row(const struct settings *settings, size_t index) {
    assert(index < settings_count(settings));
    return index < settings->table_count[0] ? &settings->table[0][index]
                                            : &settings->table[1][index - settings->table_count[0]];
}

static bool settings_find(const struct settings *settings, const char *name, size_t *index) {
    for (size_t i = 0; i < settings_count(settings); i++)
        if (!strcmp(settings_row(settings, i)->name, name)) {
            *index = i;
            return true;
        }
    return false;
}

// The unit's factor, or 0 for a unit that this kind does not have.
static double unit_factor(enum setting_kind kind, const char *unit) {
    static const struct {
        enum setting_kind kind;
        const char *unit;
        double factor;
    } units[] = {
        {SETTING_REAL, "%", 0.01},         {SETTING_SECONDS, "ms", 1e-3},     {SETTING_SECONDS, "s", 1},
        {SETTING_SECONDS, "m", 60},        {SETTING_SECONDS, "min", 60},      {SETTING_SECONDS, "h", 3600},
        {SETTING_BYTES, "K", 1024},        {SETTING_BYTES, "M", 1048576},     {SETTING_BYTES, "G", 1073741824},
        {SETTING_BYTES, "T", 1099511627776},
    };
    if (!*unit)
        return 1;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (units[i].kind == kind && !strcasecmp(units[i].unit, unit))
            return units[i].factor;
    return 0;
}

static bool is_choice(const char *choices, const char *word) {
    size_t length = strlen(word);
    for (const char *at = choices; length && (at = strstr(at, word)); at++) // nothing is found everywhere, behind the end, too
        if ((at == choices || at[-1] == ' ') && (at[length] == ' ' || !at[length]))
            return true;
    return false;
}

static int parse_value(const struct setting *row, const char *text, double *number, char *reason, size_t reason_size) {
    *number = NAN;
    if (row->kind == SETTING_TEXT)
        return 0;
    if (row->kind == SETTING_CHOICE) {
        if (is_choice(row->choices, text))
            return 0;
        snprintf(reason, reason_size, "%s = '%s' is none of: %s", row->name, text, row->choices);
        return -EINVAL;
    }
    static const char *const form[] = {"", "", "a whole number", "a number", "a time such as 300ms, 2s, 5m",
                                       "a size such as 512M, 2G"};
    char *end;
    errno = 0;
    double parsed = strtod(text, &end);
    bool nothing = end == text;
    while (isspace((unsigned char)*end))
        end++;
    double factor = unit_factor(row->kind, end);
    if (nothing || errno || !isfinite(parsed) || factor == 0 || (row->kind == SETTING_INTEGER && parsed != rint(parsed))) {
        snprintf(reason, reason_size, "%s = '%s' is not %s", row->name, text, form[row->kind]);
        return -EINVAL;
    }
    parsed *= factor;
    if (!(parsed >= row->low && parsed <= row->high)) {
        snprintf(reason, reason_size, "%s = %s is out of range: it must be within %.10g and %.10g", row->name, text, row->low,
                 row->high);
        return -EINVAL;
    }
    *number = parsed;
    return 0;
}

int settings_create(struct settings **settings, const struct setting *first, size_t first_count, const struct setting *second,
                    size_t second_count) {
    struct settings *made = calloc(1, sizeof *made);
    if (!made)
        return -ENOMEM;
    made->table[0] = first, made->table_count[0] = first_count;
    made->table[1] = second, made->table_count[1] = second_count;
    made->values = calloc(first_count + second_count + 1, sizeof *made->values);
    if (!made->values) {
        free(made);
        return -ENOMEM;
    }
    for (size_t i = 0; i < settings_count(made); i++) {
        char reason[256];
        const struct setting *row = settings_row(made, i);
        int bad = parse_value(row, row->fallback, &made->values[i].number, reason, sizeof reason);
        assert(!bad && "a default must be valid");
        (void)bad;
    }
    *settings = made;
    return 0;
}

int settings_copy(struct settings **copy, const struct settings *settings) {
    int result = settings_create(copy, settings->table[0], settings->table_count[0], settings->table[1],
                                 settings->table_count[1]);
    if (result)
        return result;
    for (size_t i = 0; i < settings_count(settings); i++) {
        (*copy)->values[i].number = settings->values[i].number;
        if (settings->values[i].text && !((*copy)->values[i].text = strdup(settings->values[i].text))) {
            settings_free(*copy);
            return -ENOMEM;
        }
    }
    return 0;
}

void settings_free(struct settings *settings) {
    if (!settings)
        return;
    for (size_t i = 0; i < settings_count(settings); i++)
        free(settings->values[i].text);
    free(settings->values);
    free(settings);
}

int settings_set(struct settings *settings, const char *name, const char *value, char *reason, size_t reason_size) {
    size_t index;
    if (!settings_find(settings, name, &index))
        return -ENOENT;
    double number;
    int result = parse_value(settings_row(settings, index), value, &number, reason, reason_size);
    if (result)
        return result;
    char *text = strdup(value);
    if (!text) {
        snprintf(reason, reason_size, "out of memory");
        return -ENOMEM;
    }
    free(settings->values[index].text);
    settings->values[index].text = text;
    settings->values[index].number = number;
    return 0;
}

bool settings_is_set(const struct settings *settings, const char *name) {
    size_t index;
    bool found = settings_find(settings, name, &index);
    assert(found);
    return found && settings->values[index].text;
}

const char *settings_value(const struct settings *settings, size_t index) {
    assert(index < settings_count(settings));
    return settings->values[index].text ? settings->values[index].text : settings_row(settings, index)->fallback;
}

const char *settings_text(const struct settings *settings, const char *name) {
    size_t index = 0;
    bool found = settings_find(settings, name, &index);
    assert(found);
    (void)found;
    return settings_value(settings, index);
}

double settings_number(const struct settings *settings, const char *name) {
    size_t index = 0;
    bool found = settings_find(settings, name, &index);
    assert(found);
    (void)found;
    return settings->values[index].number;
}

// ---------------------------------------------------------------------------------------------------------------------

enum { WORD_MAX = 64 };

// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours. Words longer than WORD_MAX are far from all.
static int word_distance(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b);
    if (n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX;
    int before[WORD_MAX + 1] = {0}, last[WORD_MAX + 1], now[WORD_MAX + 1];
    for (size_t j = 0; j <= m; j++)
        last[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        now[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            bool same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            int best = last[j - 1] + !same;
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        memcpy(before, last, sizeof before);
        memcpy(last, now, sizeof last);
    }
    return last[m];
}

const char *word_nearest(const char *word, const char *const *known, size_t count) {
    const char *nearest = NULL;
    int limit = (int)strlen(word) / 3, best;
    best = (limit > 1 ? limit : 1) + 1;
    for (size_t i = 0; i < count; i++) {
        int distance = word_distance(word, known[i]);
        if (distance < best)
            best = distance, nearest = known[i];
    }
    return nearest;
}

void word_unknown(const char *what, const char *word, const char *const *known, size_t count, char *reason, size_t reason_size) {
    size_t at = 0;
    int wrote = snprintf(reason, reason_size, "unknown %s '%.60s' (known: ", what, word);
    for (size_t i = 0; wrote >= 0 && i < count && (at += (size_t)wrote) < reason_size; i++)
        wrote = snprintf(reason + at, reason_size - at, "%s%s", i ? ", " : "", known[i]);
    if (wrote >= 0 && (at += (size_t)wrote) < reason_size) {
        const char *nearest = word_nearest(word, known, count);
        if (nearest)
            snprintf(reason + at, reason_size - at, "; did you mean '%s'?)", nearest);
        else
            snprintf(reason + at, reason_size - at, ")");
    }
}
