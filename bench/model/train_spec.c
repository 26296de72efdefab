// SPDX-License-Identifier: MIT
#include <errno.h>
#include <ini.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/shape.h"
#include "bench/model/train_loop.h"

enum kind { INTEGER, REAL, TEXT, SEED };

// One key of the file: where its value goes. room is a text's size.
struct key {
    const char *section, *name;
    enum kind kind;
    size_t offset, room;
};

#define FIELD(section, name, kind)                                                                                     \
    {                                                                                                                  \
#section, #name, kind, offsetof(struct train_spec, name), sizeof((struct train_spec *)0)->name                 \
    }
static const struct key keys[] = {
    FIELD(text, text, TEXT),
    FIELD(text, wordnet, TEXT),
    FIELD(output, output, TEXT),
    FIELD(output, curve, TEXT),
    FIELD(output, checkpoint, TEXT),
    FIELD(output, format, TEXT),
    FIELD(training, sequences, INTEGER),
    FIELD(training, length, INTEGER),
    FIELD(training, epochs, REAL),
    FIELD(training, learning_rate, REAL),
    FIELD(training, final_learning_rate, REAL),
    FIELD(training, beta1, REAL),
    FIELD(training, beta2, REAL),
    FIELD(training, epsilon, REAL),
    FIELD(training, weight_decay, REAL),
    FIELD(training, clip, REAL),
    FIELD(training, dropout, REAL),
    FIELD(training, warmup, INTEGER),
    FIELD(training, evaluate_every, INTEGER),
    FIELD(training, evaluate_windows, INTEGER),
    FIELD(training, seed, SEED),
};

struct reader {
    struct train_spec *spec;
    char complaint[512]; // the first; its line is ini_parse's answer
};

static int set_value(struct train_spec *spec, const struct key *key, const char *value)
{
    char *const field = (char *)spec + key->offset;
    char *end;
    errno = 0;
    switch (key->kind) {
    case INTEGER: {
        const long number = strtol(value, &end, 10);
        *(int *)(void *)field = (int)number;
        return *value && !*end && !errno && number == (int)number ? 0 : -EINVAL;
    }
    case SEED:
        *(uint64_t *)(void *)field = strtoull(value, &end, 10);
        return *value && *value != '-' && !*end && !errno ? 0 : -EINVAL;
    case REAL:
        *(double *)(void *)field = strtod(value, &end);
        return *value && !*end && isfinite(*(double *)(void *)field) ? 0 : -EINVAL;
    case TEXT:
        return snprintf(field, key->room, "%s", value) < (int)key->room ? 0 : -EINVAL;
    }
    return -EINVAL;
}

static int handle(void *user, const char *section, const char *name, const char *value)
{
    struct reader *r = user;
    if (!strcmp(section, "model")) // shape.c reads and checks these
        return 1;
    size_t i = 0;
    while (i < sizeof keys / sizeof *keys && (strcmp(keys[i].section, section) || strcmp(keys[i].name, name)))
        i++;
    if (i < sizeof keys / sizeof *keys && !set_value(r->spec, &keys[i], value))
        return 1;
    if (*r->complaint)
        return 0;
    if (i < sizeof keys / sizeof *keys) {
        snprintf(r->complaint, sizeof r->complaint, "'%.60s' is no value for %s", value, name);
        return 0;
    }
    size_t used =
        (size_t)snprintf(r->complaint, sizeof r->complaint, "unknown key '%.40s' in [%.40s] (known:", name, section);
    for (i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (!strcmp(keys[i].section, section))
            used += (size_t)snprintf(r->complaint + used, sizeof r->complaint - used, " %s", keys[i].name);
    }
    snprintf(r->complaint + used, sizeof r->complaint - used, "; sections: model text training output)");
    return 0;
}

int train_spec_read(struct train_spec *spec, const char *path, char *error, size_t error_size)
{
    *spec = (struct train_spec){.curve = "training.csv",
                                .checkpoint = "training.checkpoint",
                                .output = "trained.gguf",
                                .format = "f16",
                                .sequences = 8,
                                .epochs = 1,
                                .learning_rate = 1e-3,
                                .final_learning_rate = 1e-4,
                                .beta1 = 0.9,
                                .beta2 = 0.95,
                                .epsilon = 1e-8,
                                .weight_decay = 0.1,
                                .clip = 1,
                                .warmup = 100,
                                .evaluate_every = 200,
                                .evaluate_windows = 64,
                                .seed = 1};
    int rc = shape_read(&spec->model, path, error, error_size);
    if (rc)
        return rc;
    spec->length = spec->model.context < 512 ? spec->model.context : 512;
    struct reader reader = {.spec = spec};
    rc = ini_parse(path, handle, &reader);
    if (rc) {
        snprintf(error, error_size, "%s:%d: %s", path, rc,
                 *reader.complaint ? reader.complaint : "neither a section nor 'key = value'");
        return -EINVAL;
    }
    return train_spec_check(spec, path, error, error_size);
}

int train_spec_check(const struct train_spec *s, const char *what, char *error, size_t error_size)
{
    char reason[128];
    if (model_config_check(&s->model, reason, sizeof reason)) {
        snprintf(error, error_size, "%s: %s", what, reason);
        return -EINVAL;
    }
    const struct {
        const char *name;
        double value, low, high;
    } limits[] = {
        {"sequences", s->sequences, 1, 1 << 16},
        {"length", s->length, 2, s->model.context},
        {"epochs", s->epochs, 1e-6, 1e6},
        {"learning_rate", s->learning_rate, 0, 1},
        {"final_learning_rate", s->final_learning_rate, 0, 1},
        {"beta1", s->beta1, 0, 0.999999},
        {"beta2", s->beta2, 0, 0.999999},
        {"epsilon", s->epsilon, 1e-30, 1},
        {"weight_decay", s->weight_decay, 0, 10},
        {"clip", s->clip, 0, 1e9},
        {"dropout", s->dropout, 0, 0.99},
        {"warmup", s->warmup, 0, 1e9},
        {"evaluate_every", s->evaluate_every, 1, 1e9},
        {"evaluate_windows", s->evaluate_windows, 1, 1e9},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        if (!(limits[i].value >= limits[i].low && limits[i].value <= limits[i].high)) {
            snprintf(error, error_size, "%s: %s = %g is outside %g to %g", what, limits[i].name, limits[i].value,
                     limits[i].low, limits[i].high);
            return -EINVAL;
        }
    }
    if (strcmp(s->format, "f16") && strcmp(s->format, "f32")) {
        snprintf(error, error_size, "%s: unknown format '%s' (known: f16 f32)", what, s->format);
        return -EINVAL;
    }
    return 0;
}
