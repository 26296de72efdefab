// SPDX-License-Identifier: MIT
#include "bench/model/splitter.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "bench/model/utf8.h"

// Unicode's White_Space, as the inside of a class; PCRE2's own \s has U+180E besides.
#define WHITE_SPACE "\\t-\\r \\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

enum { LONGEST_PATTERN = 1 << 14 };

struct stage {
    pcre2_code *code;
    bool jit, drop_rest;
};

// A pattern out of a file may be one that tries for ever; those of real tokenizers need a few steps a character.
enum { MOST_STEPS = 1000000 };

struct splitter {
    char *name;
    pcre2_match_context *limits;
    int count;
    struct stage stages[];
};

// Writes pattern with \s and \S spelled out; out has room for LONGEST_PATTERN bytes. NULL, or what is not understood.
static const char *translate(const char *pattern, char *out)
{
    char *const end = out + LONGEST_PATTERN - sizeof WHITE_SPACE - 8;
    bool in_class = false, first = false;
    for (const char *p = pattern; *p; p++) {
        if (out >= end)
            return "it is too long";
        if (*p == '\\' && (p[1] == 's' || (p[1] == 'S' && !in_class))) {
            out += sprintf(out, in_class ? "%s%s" : "[%s%s]", p[1] == 'S' ? "^" : "", WHITE_SPACE);
            p++;
        } else if (*p == '\\' && p[1]) {
            *out++ = *p++;
            *out++ = *p;
        } else if (in_class && ((*p == '[' && p[1] != ':') || (*p == '&' && p[1] == '&'))) {
            return "classes inside classes are not supported";
        } else {
            if (!in_class && *p == '[')
                in_class = first = true;
            else if (in_class && *p == ']' && !first)
                in_class = false;
            else if (!(in_class && *p == '^'))
                first = false;
            *out++ = *p;
            continue;
        }
        first = false;
    }
    *out = '\0';
    return NULL;
}

static int compile(struct stage *stage, const struct splitter_stage *from, char *error, size_t error_size)
{
    char *translated = malloc(LONGEST_PATTERN);
    if (!translated) {
        snprintf(error, error_size, "no memory for a pre-tokenizer's pattern");
        return -ENOMEM;
    }
    const char *reason = translate(from->pattern, translated);
    char message[128];
    if (!reason) {
        int code;
        PCRE2_SIZE offset;
        // UCP: the classes follow Unicode. MULTILINE: ^ and $ mean lines, as in Oniguruma.
        stage->code = pcre2_compile((PCRE2_SPTR)translated, PCRE2_ZERO_TERMINATED,
                                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &code, &offset, NULL);
        if (!stage->code) {
            pcre2_get_error_message(code, (PCRE2_UCHAR *)message, sizeof message);
            reason = message;
        }
    }
    free(translated);
    if (reason) {
        snprintf(error, error_size, "the pre-tokenizer's pattern '%.60s' is not understood: %s", from->pattern, reason);
        return -EINVAL;
    }
    stage->jit = !pcre2_jit_compile(stage->code, PCRE2_JIT_COMPLETE); // only a matter of speed: without it the interpreter runs
    stage->drop_rest = from->drop_rest;
    return 0;
}

static int create(struct splitter **splitter, const char *name, const struct splitter_stage *stages, int count, char *error,
                  size_t error_size)
{
    struct splitter *s = calloc(1, sizeof *s + (size_t)count * sizeof *s->stages);
    if (s) {
        s->name = strdup(name);
        s->limits = pcre2_match_context_create(NULL);
    }
    if (!s || !s->name || !s->limits) {
        splitter_free(s);
        snprintf(error, error_size, "no memory for the pre-tokenizer '%.40s'", name);
        return -ENOMEM;
    }
    int rc = 0;
    pcre2_set_match_limit(s->limits, MOST_STEPS);
    for (; s->count < count && !rc; s->count++)
        rc = compile(&s->stages[s->count], &stages[s->count], error, error_size);
    if (rc)
        splitter_free(s);
    else
        *splitter = s;
    return rc;
}

int splitter_create(struct splitter **splitter, const char *name, char *error, size_t error_size)
{
    int count;
    const struct splitter_stage *stages = splitter_known_stages(name, &count);
    if (!stages) {
        snprintf(error, error_size,
                 "unknown pre-tokenizer '%.40s' (known: gpt-2, smollm, llama-bpe, qwen2, qwen35, deepseek-llm, deepseek-coder, deepseek-v3, "
                 "gpt-4o, tekken, falcon, default, …)",
                 name);
        return -EINVAL;
    }
    return create(splitter, name, stages, count, error, error_size);
}

int splitter_create_stages(struct splitter **splitter, const struct splitter_stage *stages, int count, char *error, size_t error_size)
{
    const char *known = splitter_known_name(stages, count);
    char name[32] = "custom";
    if (known)
        snprintf(name, sizeof name, "%.*s", (int)strcspn(known, " "), known);
    return create(splitter, name, stages, count, error, error_size);
}

void splitter_free(struct splitter *splitter)
{
    if (!splitter)
        return;
    for (int i = 0; i < splitter->count; i++)
        pcre2_code_free(splitter->stages[i].code);
    pcre2_match_context_free(splitter->limits);
    free(splitter->name);
    free(splitter);
}

const char *splitter_name(const struct splitter *splitter)
{
    return splitter->name;
}

struct run {
    const struct splitter *splitter;
    pcre2_match_data *match;
    int (*word)(void *context, const char *start, size_t bytes);
    void *context;
};

// The next match at or after from. 1, 0 if there is none, or -E2BIG. The text is valid UTF-8.
static int find(const struct run *run, const struct stage *stage, const char *text, size_t bytes, size_t from, size_t *start, size_t *end)
{
    int found = PCRE2_ERROR_JIT_STACKLIMIT;
    if (stage->jit)
        found = pcre2_jit_match(stage->code, (PCRE2_SPTR)text, bytes, from, 0, run->match, run->splitter->limits);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) // the interpreter keeps its state on the heap
        found = pcre2_match(stage->code, (PCRE2_SPTR)text, bytes, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, run->match,
                            run->splitter->limits);
    if (found == PCRE2_ERROR_NOMATCH)
        return 0;
    if (found < 0)
        return -E2BIG;
    const PCRE2_SIZE *range = pcre2_get_ovector_pointer(run->match);
    *start = range[0];
    *end = range[1] < range[0] ? range[0] : range[1]; // \K in a lookahead may turn them around
    return 1;
}

static int cut(const struct run *run, int i, const char *text, size_t bytes)
{
    if (i == run->splitter->count)
        return run->word(run->context, text, bytes);
    const struct stage *stage = &run->splitter->stages[i];
    size_t done = 0, from = 0, start, end;
    int rc = 0;
    while (!rc && from < bytes) {
        const int found = find(run, stage, text, bytes, from, &start, &end);
        if (found < 0)
            return found;
        if (!found || start < done)
            break;
        if (start > done && !stage->drop_rest)
            rc = cut(run, i + 1, text + done, start - done);
        if (!rc && end > start)
            rc = cut(run, i + 1, text + start, end - start);
        // an empty match is a place to cut at: the search goes on behind the next character
        from = end > start ? end : start + (start < bytes ? (size_t)utf8_character(text + start, bytes - start) : 1);
        done = end;
    }
    return rc || done == bytes || stage->drop_rest ? rc : cut(run, i + 1, text + done, bytes - done);
}

int splitter_run(const struct splitter *splitter, const char *text, size_t bytes,
                 int (*word)(void *context, const char *start, size_t bytes), void *context)
{
    struct run run = {.splitter = splitter, .match = pcre2_match_data_create(1, NULL), .word = word, .context = context};
    if (!run.match)
        return -ENOMEM;
    int rc = 0;
    for (size_t done = 0; done < bytes && !rc;) {
        const size_t valid = utf8_valid_prefix(text + done, bytes - done);
        if (valid)
            rc = cut(&run, 0, text + done, valid);
        done += valid;
        size_t invalid = 0;
        while (done + invalid < bytes && !utf8_valid_character(text + done + invalid, bytes - done - invalid))
            invalid++;
        if (!rc && invalid)
            rc = word(context, text + done, invalid);
        done += invalid;
    }
    pcre2_match_data_free(run.match);
    return rc;
}
