// SPDX-License-Identifier: MIT
#include "bench/model/splitter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

struct splitter {
    const char *name;
    pcre2_code *code;
};

// The patterns as their authors published them.
static const struct {
    const char *name, *pattern;
} patterns[] = {
    {"gpt-2", "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},
    {"smollm", "\\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},
    {"llama-bpe", "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
                  " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
    {"qwen2", "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
              " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
};

int splitter_create(struct splitter **splitter, const char *name, char *error, size_t error_size)
{
    size_t i = 0;
    while (i < sizeof patterns / sizeof *patterns && strcmp(patterns[i].name, name))
        i++;
    if (i == sizeof patterns / sizeof *patterns) {
        snprintf(error, error_size, "unknown pre-tokenizer '%.40s' (known: gpt-2, smollm, llama-bpe, qwen2)", name);
        return -EINVAL;
    }
    int code;
    PCRE2_SIZE offset;
    struct splitter *s = calloc(1, sizeof *s);
    // UCP: \s and the classes follow Unicode. MATCH_INVALID_UTF: bytes that are no UTF-8 are skipped instead of
    // refused.
    if (s)
        s->code = pcre2_compile((PCRE2_SPTR)patterns[i].pattern, PCRE2_ZERO_TERMINATED,
                                PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &code, &offset, NULL);
    if (!s || !s->code) {
        free(s);
        snprintf(error, error_size, "no memory for the pre-tokenizer '%s'", name);
        return -ENOMEM;
    }
    pcre2_jit_compile(s->code, PCRE2_JIT_COMPLETE); // only a matter of speed: without it the interpreter runs
    s->name = patterns[i].name;
    *splitter = s;
    return 0;
}

void splitter_free(struct splitter *splitter)
{
    if (splitter)
        pcre2_code_free(splitter->code);
    free(splitter);
}

const char *splitter_name(const struct splitter *splitter)
{
    return splitter->name;
}

int splitter_run(const struct splitter *splitter, const char *text, size_t bytes,
                 int (*word)(void *context, const char *start, size_t bytes), void *context)
{
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(splitter->code, NULL);
    if (!match)
        return -ENOMEM;
    size_t done = 0;
    int rc = 0;
    while (!rc && done < bytes) {
        const int found = pcre2_match(splitter->code, (PCRE2_SPTR)text, bytes, done, 0, match, NULL);
        const PCRE2_SIZE *range = pcre2_get_ovector_pointer(match);
        const size_t start = found > 0 ? range[0] : bytes, end = found > 0 ? range[1] : bytes;
        if (start > done) // bytes that are no UTF-8
            rc = word(context, text + done, start - done);
        if (!rc && end > start)
            rc = word(context, text + start, end - start);
        done = end;
    }
    pcre2_match_data_free(match);
    return rc;
}
