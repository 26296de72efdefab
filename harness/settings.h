// SPDX-License-Identifier: MIT
// Settings: what a spec or --set may say beside the axes. A setting is a row of a table: its name, help, range and default; the
// same rows check the spec, print the help and are written to run.json.
#ifndef LLMSWEEP_SETTINGS_H
#define LLMSWEEP_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum setting_kind {
    SETTING_TEXT,
    SETTING_CHOICE,  // one of `choices`, separated by spaces
    SETTING_INTEGER, // low..high
    SETTING_REAL,    // low..high; "1%" = 0.01
    SETTING_SECONDS, // low..high; "300ms", "2s", "5m"
    SETTING_BYTES    // low..high; "512M", "2G"; KMG are powers of 1024
};

struct setting {
    const char *name;
    enum setting_kind kind;
    const char *fallback; // the default, as one would write it
    double low, high;
    const char *choices;
    bool defines;   // part of what a cell means: enters its hash
    bool per_sweep; // a [sweep] section may set it for its own cells
    const char *help;
};

// One value for every row of one or two tables (the harness's own and the workload's).
struct settings;

// -ENOMEM. The tables must outlive the settings. All values are the defaults.
int settings_create(struct settings **settings, const struct setting *first, size_t first_count, const struct setting *second,
                    size_t second_count);
int settings_copy(struct settings **copy, const struct settings *settings);
void settings_free(struct settings *settings);

// Sets one value. -ENOENT: no such setting. -EINVAL: out of range; the reason says what is allowed.
int settings_set(struct settings *settings, const char *name, const char *value, char *reason, size_t reason_size);
bool settings_is_set(const struct settings *settings, const char *name); // by settings_set

size_t settings_count(const struct settings *settings);
const struct setting *settings_row(const struct settings *settings, size_t index);
const char *settings_value(const struct settings *settings, size_t index); // as written

// By name; an unknown name is a mistake of the caller (assert).
const char *settings_text(const struct settings *settings, const char *name);
double settings_number(const struct settings *settings, const char *name); // reals, seconds, bytes, integers

// The known word nearest to a misspelt one (Damerau–Levenshtein distance at most a third of its length, at least 1), or NULL.
const char *word_nearest(const char *word, const char *const *known, size_t count);
// Writes "unknown <what> '<word>' (known: a, b, c; did you mean 'b'?)".
void word_unknown(const char *what, const char *word, const char *const *known, size_t count, char *reason, size_t reason_size);

#endif
