// SPDX-License-Identifier: MIT
// Sweep specs: refused with one line, or a spec whose axes and settings can be read.
// sources: harness/spec.c harness/settings.c
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/records.h"
#include "harness/settings.h"
#include "harness/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// spec.c reads files through it; the target has none.
int file_read(const char *path, size_t limit, char **text, size_t *bytes, char *error, size_t error_size)
{
    (void)path, (void)limit, (void)text, (void)bytes;
    snprintf(error, error_size, "no files here");
    return -ENOENT;
}

static int any_word(const char *word, char *value, size_t size, char *reason, size_t reason_size)
{
    if (strlen(word) < size) {
        strcpy(value, word);
        return 0;
    }
    snprintf(reason, reason_size, "a word of %zu characters is too long", strlen(word));
    return -EINVAL;
}

static int whole_number(const char *word, char *value, size_t size, char *reason, size_t reason_size)
{
    char *end;
    const long number = strtol(word, &end, 10);
    if (end == word || *end || number < 1 || number > 65536) {
        snprintf(reason, reason_size, "'%.40s' is not a whole number within 1 and 65536", word);
        return -EINVAL;
    }
    snprintf(value, size, "%ld", number);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct axis axes[] = {
        {"model", "m.gguf", "a model", true, any_word},
        {"prune", "none", "a method", false, any_word},
        {"format", "f32", "a format", false, any_word},
        {"batch", "1", "sequences", false, whole_number},
        {"prompt", "16", "tokens", false, whole_number},
        {"layout", "t1", "a layout", false, any_word},
    };
    static const struct setting settings[] = {
        {"text", SETTING_TEXT, "glosses", 0, 0, NULL, true, false, "a text"},
        {"seed", SETTING_REAL, "1", 0, 1000, NULL, false, false, "a number"},
    };
    static const struct workload workload = {.name = "fuzz",
                                             .axes = axes,
                                             .axis_count = sizeof axes / sizeof *axes,
                                             .settings = settings,
                                             .setting_count = sizeof settings / sizeof *settings};
    static const char *const overrides[] = {"batch=1-4*2"};
    struct spec spec;
    char error[1024] = "";
    if (spec_parse(&spec, &workload, "fuzz.ini", (const char *)data, size, overrides, size & 1, error, sizeof error)) {
        if (!*error || strchr(error, '\n'))
            abort();
        return 0;
    }
    if (!spec.sweep_count)
        abort();
    for (size_t s = 0; s < spec.sweep_count; s++) {
        for (size_t a = 0; a < workload.axis_count; a++) {
            const struct axis_values *values = &spec.sweeps[s].axes[a];
            if (!values->count)
                abort();
            for (size_t v = 0; v < values->count; v++) {
                if (strlen(values->value[v]) >= WORKLOAD_VALUE)
                    abort();
            }
        }
        settings_number(spec.sweeps[s].settings, "seed");
    }
    spec_free(&spec);
    return 0;
}
