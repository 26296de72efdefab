// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/tokenizer_json.h"

#define SPACE "\xe2\x96\x81" // U+2581

// GPT-2's pattern, which the step ByteLevel applies by itself.
static const char gpt2[] = "gpt-2";

struct reading {
    struct json_steps *steps;
    char *reason;
    size_t reason_size;
    bool spaces_escaped;
    int depth;
};

#define REFUSE(r, ...) (snprintf((r)->reason, (r)->reason_size, __VA_ARGS__), -EINVAL)

const char *json_text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

bool json_flag(const json_t *object, const char *name, bool fallback)
{
    const json_t *value = json_object_get(object, name);
    return json_is_boolean(value) ? json_is_true(value) : fallback;
}

// Calls read for each member of a "Sequence", or for the step itself; null is no step.
static int each_step(struct reading *r, const json_t *step, const char *members, int (*read)(struct reading *, const json_t *, const char *))
{
    if (!step || json_is_null(step))
        return 0;
    const char *type = json_text(step, "type");
    if (!type)
        return REFUSE(r, "a step without a type");
    if (strcmp(type, "Sequence"))
        return read(r, step, type);
    const json_t *list = json_object_get(step, members);
    if (++r->depth > 8)
        return REFUSE(r, "sequences inside sequences");
    int rc = 0;
    for (size_t i = 0; i < json_array_size(list) && !rc; i++)
        rc = each_step(r, json_array_get(list, i), members, read);
    r->depth--;
    return rc;
}

static int read_normalizer(struct reading *r, const json_t *step, const char *type)
{
    if (!strcmp(type, "NFC")) {
        r->steps->compose = true;
        return 0;
    }
    if (!strcmp(type, "Prepend")) {
        const char *what = json_text(step, "prepend");
        if (!what || strcmp(what, SPACE))
            return REFUSE(r, "a normalizer that prepends '%.20s' (known: U+2581)", what ? what : "");
        r->steps->space_prefix = SPACE_PREFIX_EACH;
        return 0;
    }
    if (!strcmp(type, "Replace")) {
        const char *from = json_text(json_object_get(step, "pattern"), "String"), *to = json_text(step, "content");
        if (!from || !to || strcmp(from, " ") || strcmp(to, SPACE))
            return REFUSE(r, "a normalizer that replaces '%.20s' (known: a space by U+2581)", from ? from : "a pattern");
        r->spaces_escaped = true;
        return 0;
    }
    return REFUSE(r, "the normalizer '%.40s' (known: NFC, Prepend, Replace)", type);
}

// A plain string as a pattern that matches it.
static char *escape(const char *text)
{
    char *out = malloc(2 * strlen(text) + 1), *at = out;
    for (; out && *text; text++) {
        if (strchr("\\^$.|?*+()[]{}", *text))
            *at++ = '\\';
        *at++ = *text;
    }
    if (out)
        *at = '\0';
    return out;
}

static int add_stage(struct reading *r, const char *pattern, bool plain, bool drop_rest)
{
    struct json_steps *s = r->steps;
    if (s->stage_count == MOST_JSON_STAGES)
        return REFUSE(r, "more than %d pre-tokenizers", MOST_JSON_STAGES);
    if (plain) {
        pattern = s->escaped[s->stage_count] = escape(pattern);
        if (!pattern)
            return -ENOMEM;
    }
    s->stages[s->stage_count++] = (struct splitter_stage){.pattern = pattern, .drop_rest = drop_rest};
    return 0;
}

static int read_split(struct reading *r, const json_t *step)
{
    const json_t *pattern = json_object_get(step, "pattern");
    const char *regex = json_text(pattern, "Regex"), *text = json_text(pattern, "String"), *behavior = json_text(step, "behavior");
    const bool invert = json_flag(step, "invert", false);
    if ((!regex && !text) || !behavior)
        return REFUSE(r, "a Split without pattern or behavior");
    if (r->spaces_escaped && text && !strcmp(text, " ")) // there are no spaces any more
        return 0;
    // "Removed" with "invert" keeps what matches: that is what GPT-4's files say
    const bool kept = !strcmp(behavior, "Isolated") && !invert, matches = !strcmp(behavior, "Removed") && invert;
    if (!kept && !matches)
        return REFUSE(r, "a Split that is %.20s%s (known: Isolated; Removed, inverted)", behavior, invert ? ", inverted" : "");
    return add_stage(r, regex ? regex : text, !regex, matches);
}

static int read_byte_level(struct reading *r, const json_t *step)
{
    if (json_flag(step, "add_prefix_space", false))
        return REFUSE(r, "the pre-tokenizer ByteLevel with add_prefix_space");
    r->steps->byte_level = true;
    int count;
    const struct splitter_stage *stage = splitter_known_stages(gpt2, &count);
    return json_flag(step, "use_regex", true) ? add_stage(r, stage->pattern, false, false) : 0;
}

static int read_metaspace(struct reading *r, const json_t *step)
{
    const char *replacement = json_text(step, "replacement"), *scheme = json_text(step, "prepend_scheme");
    if (replacement && strcmp(replacement, SPACE))
        return REFUSE(r, "the pre-tokenizer Metaspace with '%.20s' for spaces", replacement);
    r->spaces_escaped = r->steps->no_second_space = true;
    r->steps->words_begin_with_spaces = json_flag(step, "split", true);
    if (!scheme)
        scheme = json_flag(step, "add_prefix_space", true) ? "always" : "never";
    if (!strcmp(scheme, "first"))
        r->steps->space_prefix = SPACE_PREFIX_FIRST;
    else if (!strcmp(scheme, "always"))
        r->steps->space_prefix = SPACE_PREFIX_EACH;
    else if (strcmp(scheme, "never"))
        return REFUSE(r, "the pre-tokenizer Metaspace with prepend_scheme '%.20s'", scheme);
    return 0;
}

static int read_pre_tokenizer(struct reading *r, const json_t *step, const char *type)
{
    if (!strcmp(type, "ByteLevel"))
        return read_byte_level(r, step);
    if (!strcmp(type, "Split"))
        return read_split(r, step);
    if (!strcmp(type, "Digits"))
        return add_stage(r, json_flag(step, "individual_digits", false) ? "\\p{N}" : "\\p{N}+", false, false);
    if (!strcmp(type, "Punctuation") && (!json_text(step, "behavior") || !strcmp(json_text(step, "behavior"), "Isolated")))
        return add_stage(r, "[\\p{P}!-/:-@\\[-`{-~]", false, false);
    if (!strcmp(type, "Metaspace"))
        return read_metaspace(r, step);
    return REFUSE(r, "the pre-tokenizer '%.40s' (known: Split, ByteLevel, Digits, Punctuation, Metaspace)", type);
}

static const char *special_name(const json_t *piece)
{
    return json_text(json_object_get(piece, "SpecialToken"), "id");
}

static int read_post_processor(struct reading *r, const json_t *step, const char *type)
{
    if (!strcmp(type, "ByteLevel"))
        return 0;
    if (strcmp(type, "TemplateProcessing"))
        return REFUSE(r, "the post-processor '%.40s' (known: TemplateProcessing, ByteLevel)", type);
    const json_t *single = json_object_get(step, "single");
    const size_t count = json_array_size(single);
    bool text = false;
    r->steps->has_template = true;
    for (size_t i = 0; i < count; i++) {
        const char *name = special_name(json_array_get(single, i));
        if (!name && !text)
            text = true;
        else if (name && !text && !r->steps->first)
            r->steps->first = name;
        else if (name && text && !r->steps->last)
            r->steps->last = name;
        else
            return REFUSE(r, "a template of more than one token before and one behind a text");
    }
    return 0;
}

int json_steps_read(struct json_steps *steps, const json_t *root, char *reason, size_t reason_size)
{
    *steps = (struct json_steps){0};
    struct reading r = {.steps = steps, .reason = reason, .reason_size = reason_size};
    int rc = each_step(&r, json_object_get(root, "normalizer"), "normalizers", read_normalizer);
    if (!rc)
        rc = each_step(&r, json_object_get(root, "pre_tokenizer"), "pretokenizers", read_pre_tokenizer);
    if (!rc)
        rc = each_step(&r, json_object_get(root, "post_processor"), "processors", read_post_processor);
    if (!rc && !steps->byte_level && steps->stage_count)
        rc = REFUSE(&r, "patterns before a tokenizer that is not byte-level");
    if (!rc && steps->byte_level && r.spaces_escaped)
        rc = REFUSE(&r, "a byte-level tokenizer with U+2581 for spaces");
    if (rc == -ENOMEM)
        snprintf(reason, reason_size, "no memory for its patterns");
    if (rc)
        json_steps_free(steps);
    return rc;
}

void json_steps_free(struct json_steps *steps)
{
    for (int i = 0; i < MOST_JSON_STAGES; i++)
        free(steps->escaped[i]);
    memset(steps, 0, sizeof *steps);
}
