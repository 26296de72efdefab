// SPDX-License-Identifier: MIT
#include "bench/model/layout.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_PART = 65536 };

static int bad_word(const char *word, const char *what, char *reason, size_t reason_size)
{
    snprintf(reason, reason_size, "layout '%s': %s (known: dpA.tpB.ppC.tD, such as t2, dp2, tp2.t4)", word, what);
    return -EINVAL;
}

int layout_parse(const char *word, struct layout *layout, char *reason, size_t reason_size)
{
    *layout = (struct layout){ 1, 1, 1, 1 };
    const struct {
        const char *prefix;
        int *value;
    } parts[] = { { "dp", &layout->data }, { "tp", &layout->tensor }, { "pp", &layout->pipeline }, { "t", &layout->threads } };
    bool seen[4] = { false };
    if (strcmp(word, "1") == 0)
        return 0;
    const char *at = word;
    do {
        int part = 0;
        size_t length = 0;
        for (; part < 4; part++) {
            length = strlen(parts[part].prefix);
            if (strncmp(at, parts[part].prefix, length) == 0 && isdigit((unsigned char)at[length]))
                break;
        }
        if (part == 4)
            return bad_word(word, *at == '\0' ? "a part is missing" : "a part is unknown or has no number", reason, reason_size);
        if (seen[part])
            return bad_word(word, "a part stands twice", reason, reason_size);
        seen[part] = true;
        char *end;
        errno = 0;
        const long value = strtol(at + length, &end, 10);
        if (errno != 0 || value < 1 || value > LARGEST_PART)
            return bad_word(word, "a number is outside 1..65536", reason, reason_size);
        *parts[part].value = (int)value;
        if (*end != '\0' && *end != '.')
            return bad_word(word, "parts are separated by points", reason, reason_size);
        at = end + (*end == '.');
        if (*end == '.' && *at == '\0')
            return bad_word(word, "a part is missing", reason, reason_size);
    } while (*at != '\0');
    if ((long)layout->data * layout->tensor * layout->pipeline > LARGEST_PART || *word == '\0')
        return bad_word(word, "more than 65536 ranks", reason, reason_size);
    return 0;
}

void layout_name(const struct layout *layout, char *word, size_t size)
{
    char text[64] = "";
    const int value[4] = { layout->data, layout->tensor, layout->pipeline, layout->threads };
    static const char *const prefix[4] = { "dp", "tp", "pp", "t" };
    for (int i = 0; i < 4; i++) {
        const size_t used = strlen(text);
        if (value[i] > 1)
            snprintf(text + used, sizeof(text) - used, "%s%s%d", used > 0 ? "." : "", prefix[i], value[i]);
    }
    snprintf(word, size, "%s", text[0] != '\0' ? text : "t1");
}

int layout_ranks(const struct layout *layout)
{
    return layout->data * layout->tensor * layout->pipeline;
}

struct layout_place layout_place(const struct layout *layout, int rank)
{
    return (struct layout_place){
        .tensor = rank % layout->tensor,
        .pipeline = rank / layout->tensor % layout->pipeline,
        .data = rank / (layout->tensor * layout->pipeline),
    };
}

struct layout_range layout_split(int count, int unit, int parts, int part)
{
    const long units = (count + unit - 1) / unit;
    const long begin = units * part / parts * unit, end = units * (part + 1) / parts * unit;
    return (struct layout_range){ begin < count ? (int)begin : count, end < count ? (int)end : count };
}

struct layout_range layout_stage_layers(const struct layout *layout, const struct model_config *config, int pipeline)
{
    const int each = config->layers / layout->pipeline, more = config->layers % layout->pipeline;
    const int begin = pipeline * each + (pipeline < more ? pipeline : more);
    return (struct layout_range){ begin, begin + each + (pipeline < more) };
}

struct layout_range layout_replica_batch(const struct layout *layout, int batch, int data)
{
    return layout_split(batch, 1, layout->data, data);
}

struct layout_range layout_vocabulary(const struct layout *layout, const struct model_config *config, int tensor)
{
    return layout_split(config->vocab, PACKED_PANEL_ROWS, layout->tensor, tensor);
}

static int check_tensor_parallel(const struct layout *layout, const struct model_config *config, const struct weight_format *format,
                                 char *reason, size_t reason_size)
{
    const int ranks = layout->tensor;
    const struct {
        int count;
        const char *what;
    } divided[] = { { config->heads, "heads" }, { config->kv_heads, "key/value heads" }, { config->ffn, "feed-forward rows" } };
    for (int i = 0; i < 3; i++)
        if (divided[i].count % ranks != 0) {
            snprintf(reason, reason_size, "%d %s cannot be split over %d tensor-parallel ranks", divided[i].count, divided[i].what, ranks);
            return -EINVAL;
        }
    if ((config->vocab + PACKED_PANEL_ROWS - 1) / PACKED_PANEL_ROWS < ranks) {
        snprintf(reason, reason_size, "a vocabulary of %d is too small for %d tensor-parallel ranks", config->vocab, ranks);
        return -EINVAL;
    }
    // o and down are cut along their input; a cut may not go through a group that shares a scale
    const int unit = format != NULL && format->type == WEIGHT_QUANTIZED && format->group > 32 ? format->group : 32;
    const struct {
        int columns;
        const char *what;
    } cut[] = { { config->heads * config->head_dim / ranks, "o" }, { config->ffn / ranks, "down" } };
    for (int i = 0; i < 2; i++)
        if (cut[i].columns % unit != 0) {
            snprintf(reason, reason_size, "%d input columns of %s for each of %d tensor-parallel ranks are not a multiple of %d",
                     cut[i].columns, cut[i].what, ranks, unit);
            return -EINVAL;
        }
    // q, k, v, gate and up are cut along their output; a cut may not go through a panel of rows
    const int rows[] = { config->kv_heads * config->head_dim / ranks, config->ffn / ranks };
    for (int i = 0; i < 2; i++)
        if (rows[i] % PACKED_PANEL_ROWS != 0) {
            snprintf(reason, reason_size, "%d output rows for each of %d tensor-parallel ranks are not a multiple of %d", rows[i], ranks,
                     PACKED_PANEL_ROWS);
            return -EINVAL;
        }
    return 0;
}

int layout_check(const struct layout *layout, const struct model_config *config, const struct weight_format *format, int batch,
                 char *reason, size_t reason_size)
{
    if (batch < 1) {
        snprintf(reason, reason_size, "batch %d is not a positive number", batch);
        return -EINVAL;
    }
    if (batch % layout->data != 0) {
        snprintf(reason, reason_size, "batch %d cannot be split over %d replicas", batch, layout->data);
        return -EINVAL;
    }
    if (layout->pipeline > config->layers) {
        snprintf(reason, reason_size, "%d layers cannot be split over %d pipeline stages", config->layers, layout->pipeline);
        return -EINVAL;
    }
    if (config->head_dim % 16 != 0 || config->head_dim > 256) {
        snprintf(reason, reason_size, "heads of %d dimensions: only multiples of 16 up to 256 are supported", config->head_dim);
        return -EINVAL;
    }
    if (layout->tensor > 1) {
        const int status = check_tensor_parallel(layout, config, format, reason, reason_size);
        if (status != 0)
            return status;
    }
    if (format == NULL)
        return 0;
    for (enum layer_matrix which = 0; which < LAYER_MATRICES; which++) {
        int out, in;
        model_matrix_shape(config, which, &out, &in);
        if (which == LAYER_O || which == LAYER_DOWN)
            in /= layout->tensor;
        else
            out /= layout->tensor;
        char why[160];
        if (packed_check_shape(format, out, in, why, sizeof(why)) != 0) {
            snprintf(reason, reason_size, "%s of %d×%d: %s", model_matrix_name(which), out, in, why);
            return -EINVAL;
        }
    }
    return 0;
}
