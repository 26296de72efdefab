// SPDX-License-Identifier: MIT
#include "bench/model/shape.h"

#include <errno.h>
#include <ini.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bench/model/model.h"

static const struct {
    const char *name;
    size_t offset;
} integers[] = {
    {"vocab", offsetof(struct model_config, vocab)},       {"d_model", offsetof(struct model_config, d_model)},
    {"layers", offsetof(struct model_config, layers)},     {"heads", offsetof(struct model_config, heads)},
    {"kv_heads", offsetof(struct model_config, kv_heads)}, {"head_dim", offsetof(struct model_config, head_dim)},
    {"ffn", offsetof(struct model_config, ffn)},           {"context", offsetof(struct model_config, context)},
};
enum { INTEGERS = sizeof integers / sizeof *integers };

struct reader {
    struct model_config *config;
    unsigned seen;       // one bit for each of integers
    char complaint[256]; // the first; its line is ini_parse's answer
};

static int refuse(struct reader *r, const char *name, const char *value, const char *wanted)
{
    if (!*r->complaint)
        snprintf(r->complaint, sizeof r->complaint, "%s = '%.60s' is not %s", name, value, wanted);
    return 0;
}

static int read_real(struct reader *r, const char *name, const char *value, float *out)
{
    char *end;
    *out = strtof(value, &end);
    return *value && !*end && isfinite(*out) ? 1 : refuse(r, name, value, "a number");
}

static int handle(void *user, const char *section, const char *name, const char *value)
{
    struct reader *r = user;
    struct model_config *config = r->config;
    if (strcmp(section, "model"))
        return 1;
    for (int i = 0; i < INTEGERS; i++) {
        if (strcmp(name, integers[i].name))
            continue;
        char *end;
        const long number = strtol(value, &end, 10);
        if (!*value || *end || number < 1 || number > 1 << 24)
            return refuse(r, name, value, "a whole number from 1 to 16777216");
        *(int *)(void *)((char *)config + integers[i].offset) = (int)number;
        r->seen |= 1u << i;
        return 1;
    }
    if (!strcmp(name, "name"))
        return snprintf(config->name, sizeof config->name, "%s", value) < (int)sizeof config->name
                   ? 1
                   : refuse(r, name, value, "short enough (63 bytes)");
    if (!strcmp(name, "rope_theta"))
        return read_real(r, name, value, &config->rope_theta);
    if (!strcmp(name, "norm_eps"))
        return read_real(r, name, value, &config->norm_eps);
    if (!strcmp(name, "rope_style")) {
        config->rope_style = !strcmp(value, "halves") ? ROPE_HALVES : ROPE_INTERLEAVED;
        return !strcmp(value, "halves") || !strcmp(value, "interleaved")
                   ? 1
                   : refuse(r, name, value, "interleaved or halves");
    }
    if (!strcmp(name, "tied_embeddings")) {
        config->tied_embeddings = !strcmp(value, "yes");
        return !strcmp(value, "yes") || !strcmp(value, "no") ? 1 : refuse(r, name, value, "yes or no");
    }
    if (!*r->complaint)
        snprintf(
            r->complaint, sizeof r->complaint,
            "unknown key '%.40s' in [model] (known: name vocab d_model layers heads kv_heads head_dim ffn context rope_theta "
            "norm_eps rope_style tied_embeddings)",
            name);
    return 0;
}

int shape_read(struct model_config *config, const char *path, char *error, size_t error_size)
{
    *config = (struct model_config){.rope_theta = 10000, .norm_eps = 1e-5f, .rope_style = ROPE_INTERLEAVED};
    const char *slash = strrchr(path, '/');
    snprintf(config->name, sizeof config->name, "%.*s", (int)strcspn(slash ? slash + 1 : path, "."),
             slash ? slash + 1 : path);
    struct reader reader = {.config = config};
    errno = 0;
    const int rc = ini_parse(path, handle, &reader);
    if (rc < 0) {
        const int code = errno ? errno : EIO;
        snprintf(error, error_size, "%s: %s", path, strerror(code));
        return -code;
    }
    if (rc > 0) {
        snprintf(error, error_size, "%s:%d: %s", path, rc,
                 *reader.complaint ? reader.complaint : "neither a section nor 'key = value'");
        return -EINVAL;
    }
    for (int i = 0; i < INTEGERS; i++) {
        if (!(reader.seen >> i & 1)) {
            snprintf(error, error_size, "%s: [model] lacks %s", path, integers[i].name);
            return -EINVAL;
        }
    }
    char reason[128];
    if (model_config_check(config, reason, sizeof reason)) {
        snprintf(error, error_size, "%s: %s", path, reason);
        return -EINVAL;
    }
    return 0;
}

int shape_load(struct model *model, const char *path, char *error, size_t error_size)
{
    struct model_config config;
    int rc = shape_read(&config, path, error, error_size);
    if (rc)
        return rc;
    rc = model_allocate(model, &config);
    if (rc) {
        snprintf(error, error_size, "%s: no memory for its weights", path);
        return rc;
    }
    const uint64_t sizes[] = {(uint64_t)config.vocab, (uint64_t)config.d_model, (uint64_t)config.layers,
                              (uint64_t)config.ffn};
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        seed = seed * 1000003u + sizes[i];
    model_randomize(model, seed);
    model->shape_only = true;
    return 0;
}
