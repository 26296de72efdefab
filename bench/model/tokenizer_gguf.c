// SPDX-License-Identifier: MIT
// What llama.cpp does where a key is missing is done here too, so that the ids are the same.
#include "bench/model/tokenizer_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/gguf_file.h"
#include "bench/model/tokenizer_vocabulary.h"

enum { MOST_MERGES = 1 << 22, LONGEST_TEMPLATE = 1 << 20 };

struct source {
    const struct gguf_file *file;
    const char *path;
    char *error;
    size_t error_size;
};

#define REFUSE(source, ...) (snprintf((source)->error, (source)->error_size, __VA_ARGS__), -EINVAL)

static const struct gguf_key *find_array(const struct source *s, const char *name, uint32_t element_type)
{
    const struct gguf_key *key = gguf_find_key(s->file, name);
    return key && key->type == GGUF_VALUE_ARRAY && key->element_type == element_type ? key : NULL;
}

static size_t array_bytes(const struct gguf_key *strings)
{
    size_t total = 0;
    const uint8_t *cursor = strings ? strings->value : NULL;
    for (uint64_t i = 0; strings && i < strings->count; i++)
        total += gguf_next_string(&cursor).bytes;
    return total;
}

// The id under a key; fallback where the key is missing or says nothing sensible.
static int read_special(const struct source *s, const char *name, int vocab, int fallback)
{
    int64_t id;
    if (gguf_integer(gguf_find_key(s->file, name), &id))
        return id >= 0 && id < vocab ? (int)id : -1;
    return fallback < vocab ? fallback : -1;
}

static bool read_bool(const struct source *s, const char *name, bool fallback)
{
    int64_t value = fallback;
    gguf_integer(gguf_find_key(s->file, name), &value);
    return value != 0;
}

static int read_tokens(const struct source *s, struct vocabulary *v, const struct gguf_key *tokens)
{
    const struct gguf_key *types = find_array(s, "tokenizer.ggml.token_type", GGUF_VALUE_INT32);
    const struct gguf_key *scores = find_array(s, "tokenizer.ggml.scores", GGUF_VALUE_FLOAT32);
    if ((types && types->count != tokens->count) || (scores && scores->count != tokens->count))
        return REFUSE(s, "%s: %llu tokens have %llu types and %llu scores", s->path, (unsigned long long)tokens->count,
                      (unsigned long long)(types ? types->count : 0), (unsigned long long)(scores ? scores->count : 0));
    if (!scores && v->kind == TOKENIZER_SCORES)
        return REFUSE(s, "%s: the vocabulary lacks tokenizer.ggml.scores", s->path);
    const int unknown = read_special(s, "tokenizer.ggml.unknown_token_id", v->count, 0);
    const int bos = read_special(s, "tokenizer.ggml.bos_token_id", v->count, 1), eos = read_special(s, "tokenizer.ggml.eos_token_id", v->count, 2);
    const uint8_t *cursor = tokens->value;
    for (int i = 0; i < v->count; i++) {
        const struct gguf_text text = gguf_next_string(&cursor);
        int32_t type = TOKEN_NORMAL;
        if (types)
            memcpy(&type, types->value + 4 * (size_t)i, sizeof type);
        else if (v->kind != TOKENIZER_BYTES && vocabulary_is_byte(text.text, text.bytes))
            type = TOKEN_BYTE;
        else if (v->kind != TOKENIZER_BYTES && (i == bos || i == eos || i == unknown))
            type = i == unknown ? TOKEN_UNKNOWN : TOKEN_CONTROL;
        if (type < TOKEN_NORMAL || type > TOKEN_BYTE)
            type = TOKEN_UNUSED;
        if (vocabulary_set(v, i, text.text, text.bytes, (enum token_type)type))
            return REFUSE(s, "%s: token %d is not in %s form", s->path, i, v->kind == TOKENIZER_BYTES ? "byte-level" : "SentencePiece's");
        float score = 0;
        if (scores)
            memcpy(&score, scores->value + 4 * (size_t)i, sizeof score);
        v->scores[i] = (double)score;
    }
    return 0;
}

static int read_merges(const struct source *s, struct vocabulary *v, const struct gguf_key *merges)
{
    const uint8_t *cursor = merges->value;
    for (uint64_t i = 0; i < merges->count; i++) {
        const struct gguf_text text = gguf_next_string(&cursor);
        // the space after the first character parts the two, since the first may itself begin with one
        const char *space = text.bytes > 1 ? memchr(text.text + 1, ' ', text.bytes - 1) : NULL;
        const size_t left = space ? (size_t)(space - text.text) : 0;
        if (!space || vocabulary_merge(v, text.text, left, space + 1, text.bytes - left - 1))
            return REFUSE(s, "%s: merge %llu is not two tokens in byte-level form", s->path, (unsigned long long)i);
    }
    return 0;
}

static bool is_one_of(const char *word, const char *const *words)
{
    while (*words && strcmp(*words, word))
        words++;
    return *words;
}

static int build(const struct source *s, struct tokenizer **tokenizer, struct vocabulary *v, const char *pattern)
{
    // names for which llama.cpp takes a word that is a token whole, and begins texts with BOS unless the file says otherwise
    static const char *const whole[] = {"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "tekken", NULL};
    const bool pieces = v->kind == TOKENIZER_SCORES, word_first = !pieces && is_one_of(pattern, whole);
    struct tokenizer_parts parts = vocabulary_parts(v);
    parts.pattern_name = pattern;
    parts.whole_words = word_first;
    parts.bos = read_special(s, "tokenizer.ggml.bos_token_id", v->count, pieces ? 1 : -1);
    parts.eos = read_special(s, "tokenizer.ggml.eos_token_id", v->count, pieces ? 2 : -1);
    parts.unknown = pieces ? read_special(s, "tokenizer.ggml.unknown_token_id", v->count, 0) : -1;
    parts.no_bos = !read_bool(s, "tokenizer.ggml.add_bos_token", pieces || word_first);
    parts.add_eos = read_bool(s, "tokenizer.ggml.add_eos_token", false);
    parts.space_prefix = pieces && read_bool(s, "tokenizer.ggml.add_space_prefix", true) ? SPACE_PREFIX_EACH : SPACE_PREFIX_NONE;
    const struct gguf_text template = gguf_string(gguf_find_key(s->file, "tokenizer.chat_template"));
    char *chat = template.bytes && template.bytes < LONGEST_TEMPLATE ? strndup(template.text, template.bytes) : NULL;
    parts.chat_template = chat;
    char reason[400];
    const int rc = tokenizer_create(tokenizer, &parts, reason, sizeof reason);
    if (rc)
        snprintf(s->error, s->error_size, "%s: %s", s->path, reason);
    free(chat);
    return rc;
}

int tokenizer_from_gguf(struct tokenizer **tokenizer, const struct gguf_file *file, int vocab, const char *path, char *error,
                        size_t error_size)
{
    const struct source s = {.file = file, .path = path, .error = error, .error_size = error_size};
    const struct gguf_text model = gguf_string(gguf_find_key(file, "tokenizer.ggml.model"));
    const struct gguf_text name = gguf_string(gguf_find_key(file, "tokenizer.ggml.pre"));
    *tokenizer = NULL;
    if (!model.bytes || gguf_text_equals(model, "no_vocab") || gguf_text_equals(model, "none"))
        return 0;
    const bool pieces = gguf_text_equals(model, "llama");
    if (!pieces && !gguf_text_equals(model, "gpt2"))
        return REFUSE(&s, "%s: tokenizers of the kind '%.*s' are not supported (known: gpt2, llama)", path,
                      (int)(model.bytes < 40 ? model.bytes : 40), model.text);
    const struct gguf_key *tokens = find_array(&s, "tokenizer.ggml.tokens", GGUF_VALUE_STRING);
    const struct gguf_key *merges = pieces ? NULL : find_array(&s, "tokenizer.ggml.merges", GGUF_VALUE_STRING);
    if (!tokens || (!pieces && !merges))
        return REFUSE(&s, "%s: the vocabulary lacks tokenizer.ggml.tokens or tokenizer.ggml.merges", path);
    if (tokens->count < 1 || tokens->count > (uint64_t)vocab || (merges && merges->count > MOST_MERGES))
        return REFUSE(&s, "%s: %llu tokens and %llu merges do not fit a vocabulary of %d", path, (unsigned long long)tokens->count,
                      (unsigned long long)(merges ? merges->count : 0), vocab);
    char pattern[64];
    snprintf(pattern, sizeof pattern, "%.*s", (int)(name.bytes < 63 ? name.bytes : 63), name.bytes ? name.text : "default");
    struct vocabulary v;
    int rc = vocabulary_start(&v, pieces ? TOKENIZER_SCORES : TOKENIZER_BYTES, (size_t)tokens->count, merges ? (size_t)merges->count : 0,
                              array_bytes(tokens) + array_bytes(merges));
    if (rc) {
        snprintf(error, error_size, "%s: no memory for its vocabulary", path);
        return rc;
    }
    rc = read_tokens(&s, &v, tokens);
    if (!rc && merges)
        rc = read_merges(&s, &v, merges);
    if (!rc)
        rc = build(&s, tokenizer, &v, pattern);
    vocabulary_free(&v);
    return rc;
}
