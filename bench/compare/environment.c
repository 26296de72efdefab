// SPDX-License-Identifier: MIT
// What differs in the environments of two runs, the things first that explain a difference of speed.
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare/compare.h"
#include "harness/stats.h"

// The value at "machine.cpu_model" of run.json as text, malloc'ed; "not recorded" where there is none.
static char *value_text(const struct report_run *run, const char *path) {
    const json_t *value = run->json;
    char key[64];
    for (const char *at = path; *at && value;) {
        size_t length = strcspn(at, ".");
        snprintf(key, sizeof key, "%.*s", (int)length, at);
        value = json_object_get(value, key);
        at += length + (at[length] == '.');
    }
    if (!value || json_is_null(value))
        return strdup("not recorded");
    if (json_is_string(value))
        return strdup(json_string_value(value));
    return json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(6));
}

static int add(struct comparison *comparison, const char *what, char *a, char *b) {
    struct environment_difference *grown = NULL;
    char *name = strdup(what);
    if (a && b && name)
        grown = realloc(comparison->differences, (comparison->difference_count + 1) * sizeof *grown);
    if (!grown) {
        free(name);
        free(a);
        free(b);
        return -ENOMEM;
    }
    comparison->differences = grown;
    grown[comparison->difference_count++] = (struct environment_difference){name, a, b};
    return 0;
}

static int compare_value(struct comparison *comparison, const char *what, const char *path) {
    char *a = value_text(comparison->a, path), *b = value_text(comparison->b, path);
    if (a && b && !strcmp(a, b)) {
        free(a);
        free(b);
        return 0;
    }
    return add(comparison, what, a, b);
}

// Members of one object, each by its name.
static int compare_members(struct comparison *comparison, const char *path, const char *const *left_out) {
    const json_t *a = json_object_get(comparison->a->json, path), *b = json_object_get(comparison->b->json, path);
    json_t *names = json_object();
    const char *key;
    json_t *value;
    int result = names && !(a && json_object_update_missing(names, (json_t *)a)) && !(b && json_object_update_missing(names, (json_t *)b))
                     ? 0
                     : -ENOMEM;
    json_object_foreach(names, key, value) {
        char full[128];
        bool skip = false;
        for (size_t i = 0; left_out && left_out[i]; i++)
            skip |= !strcmp(key, left_out[i]);
        snprintf(full, sizeof full, "%s.%s", path, key);
        if (skip || result)
            continue;
        result = compare_value(comparison, key, full);
    }
    json_decref(names);
    return result;
}

// Where the ranks of each layout stood, as "tp2: 0 | 1".
static char *bindings_text(const struct report_run *run) {
    json_t *workers = json_object_get(run->json, "workers"), *worker, *rank;
    const char *layout;
    char *text = NULL;
    size_t size, index, written = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    json_object_foreach(workers, layout, worker) {
        fprintf(out, "%s%s:", written++ ? "; " : "", layout);
        json_array_foreach(json_object_get(worker, "ranks"), index, rank) {
            const char *cores = json_string_value(json_object_get(rank, "cores"));
            fprintf(out, "%s%s", index ? " | " : " ", cores ? cores : "?");
        }
    }
    if (!written)
        fputs("not recorded", out);
    return fclose(out) ? (free(text), NULL) : text;
}

static bool same_layouts(const struct comparison *comparison) {
    return json_equal(json_object_get(comparison->a->json, "workers"), json_object_get(comparison->b->json, "workers"));
}

// Medians of a roof over all rounds: "18.2 GB/s".
static char *roof_text(const struct report_run *run, const char *layout, const char *what, double *value) {
    json_t *list = json_object_get(json_object_get(json_object_get(run->json, "roofs"), layout), what), *member;
    size_t index, count = 0;
    double *values = calloc(json_array_size(list) + 1, sizeof *values);
    char *text = NULL;
    *value = NAN;
    if (!values)
        return NULL;
    json_array_foreach(list, index, member) {
        if (json_number_value(member) > 0)
            values[count++] = json_number_value(member);
    }
    if (count && !stats_quantile(values, count, 0.5, value) && asprintf(&text, "%.3g", *value / 1e9) < 0)
        text = NULL;
    free(values);
    return count ? text : strdup("not measured");
}

// The machine's own peaks, measured in each run: a change there explains one everywhere.
static int compare_roofs(struct comparison *comparison) {
    static const struct {
        const char *key, *what;
    } roofs[] = {{"stream", "read bandwidth measured, one thread, GB/s"},
                 {"fp32", "fp32 peak measured, one thread, GFLOP/s"},
                 {"int8", "int8 dot peak measured, one thread, GOP/s"}};
    for (size_t i = 0; i < sizeof roofs / sizeof *roofs; i++) {
        double x, y;
        char *a = roof_text(comparison->a, "t1", roofs[i].key, &x), *b = roof_text(comparison->b, "t1", roofs[i].key, &y);
        bool near = !(fabs(log(y / x)) > log1p(comparison->options.threshold));
        if (a && b && near) {
            free(a);
            free(b);
        } else {
            int result = add(comparison, roofs[i].what, a, b);
            if (result)
                return result;
        }
    }
    return 0;
}

int compare_environments(struct comparison *comparison) {
    static const struct {
        const char *what, *path;
    } values[] = {
        {"CPU", "machine.cpu_model"},         {"machine", "machine.slug"},
        {"usable cores", "machine.usable_cores"}, {"usable PUs", "machine.usable_pus"},
        {"last-level cache, bytes", "machine.last_level_cache_bytes"},
        {"memory, bytes", "machine.memory_bytes"}, {"instruction set", "machine.isa"},
        {"hypervisor", "machine.hypervisor"}, {"architecture", "machine.architecture"},
        {"kernel", "machine.kernel"},         {"microcode", "machine.microcode"},
        {"governor", "machine.governor"},     {"boost", "machine.boost"},
        {"huge pages", "machine.transparent_hugepages"},
        {"clock source", "machine.clocksource"}, {"C library", "machine.libc"},
        {"program's version", "program.version"}, {"commit", "program.commit"},
        {"compiler", "program.compiler"},     {"compiler's flags", "program.flags"},
        {"hash of the weights", "identity.weights_hash"}, {"hash of the text", "identity.text_hash"},
        {"convention of quality", "quality"}, {"spec's hash", "spec.hash"},
    };
    static const char *const no_settings[] = {"text", "timeout", "launcher", NULL};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        int result = compare_value(comparison, values[i].what, values[i].path);
        if (result)
            return result;
    }
    int result = compare_members(comparison, "libraries", NULL);
    if (!result)
        result = compare_members(comparison, "settings", no_settings);
    if (!result && !same_layouts(comparison)) {
        char *a = bindings_text(comparison->a), *b = bindings_text(comparison->b);
        if (a && b && !strcmp(a, b)) {
            free(a);
            free(b);
        } else {
            result = add(comparison, "cores of the ranks", a, b);
        }
    }
    return result ? result : compare_roofs(comparison);
}

void compare_run_name(const struct report_run *run, char *name, size_t size) {
    size_t length = strlen(run->directory);
    while (length > 1 && run->directory[length - 1] == '/')
        length--;
    size_t begin = length;
    while (begin > 0 && run->directory[begin - 1] != '/')
        begin--;
    snprintf(name, size, "%.*s", (int)(length - begin), run->directory + begin);
}
