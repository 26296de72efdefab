// SPDX-License-Identifier: MIT
#include "bench/model/tokenizer_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/gguf_file.h"
#include "bench/model/tokenizer.h"

struct source {
    const struct gguf_file *file;
    const char *path;
    char *error;
    size_t error_size;
};

#define REFUSE(source, ...) (snprintf((source)->error, (source)->error_size, __VA_ARGS__), -EINVAL)

// The lists that a tokenizer is made from, and the memory they need.
struct vocabulary {
    char *bytes, *next; // storage for tokens and merges in plain bytes
    const char **tokens;
    size_t *token_bytes;
    int32_t *types;
    struct merge_text *merges;
};

// Undoes GPT-2's printable form; -EINVAL for a character outside of it.
static int plain_text(struct vocabulary *v, const char *text, size_t bytes, const char **out, size_t *out_bytes)
{
    *out = v->next;
    while (bytes) {
        int used;
        const int byte = tokenizer_utf8_to_byte(text, bytes, &used);
        if (byte < 0)
            return -EINVAL;
        *v->next++ = (char)byte;
        text += used;
        bytes -= (size_t)used;
    }
    *out_bytes = (size_t)(v->next - *out);
    return 0;
}

static int read_tokens(const struct source *s, struct vocabulary *v, const struct gguf_key *tokens,
                       const struct gguf_key *types)
{
    const uint8_t *cursor = tokens->value;
    for (uint64_t i = 0; i < tokens->count; i++) {
        const struct gguf_text text = gguf_next_string(&cursor);
        int32_t type = TOKEN_NORMAL;
        if (types)
            memcpy(&type, types->value + 4 * i, sizeof type);
        v->types[i] = type;
        v->tokens[i] = text.text;
        v->token_bytes[i] = text.bytes;
        if (type == TOKEN_NORMAL && plain_text(v, text.text, text.bytes, &v->tokens[i], &v->token_bytes[i]))
            return REFUSE(s, "%s: token %llu is not in byte-level form", s->path, (unsigned long long)i);
    }
    return 0;
}

static int read_merges(const struct source *s, struct vocabulary *v, const struct gguf_key *merges)
{
    const uint8_t *cursor = merges->value;
    for (uint64_t i = 0; i < merges->count; i++) {
        const struct gguf_text text = gguf_next_string(&cursor);
        const char *space = memchr(text.text, ' ', text.bytes);
        struct merge_text *m = &v->merges[i];
        if (!space || plain_text(v, text.text, (size_t)(space - text.text), &m->left, &m->left_bytes) ||
            plain_text(v, space + 1, text.bytes - (size_t)(space - text.text) - 1, &m->right, &m->right_bytes))
            return REFUSE(s, "%s: merge %llu is not two tokens in byte-level form", s->path, (unsigned long long)i);
    }
    return 0;
}

static const struct gguf_key *find_array(const struct source *s, const char *name, uint32_t element_type)
{
    const struct gguf_key *key = gguf_find_key(s->file, name);
    return key && key->type == GGUF_VALUE_ARRAY && key->element_type == element_type ? key : NULL;
}

static int read_special(const struct source *s, const char *name, int vocab)
{
    int64_t id;
    return gguf_integer(gguf_find_key(s->file, name), &id) && id >= 0 && id < vocab ? (int)id : -1;
}

static int build_tokenizer(const struct source *s, struct tokenizer **tokenizer, int vocab, const char *pattern)
{
    const struct gguf_key *tokens = find_array(s, "tokenizer.ggml.tokens", GGUF_VALUE_STRING);
    const struct gguf_key *merges = find_array(s, "tokenizer.ggml.merges", GGUF_VALUE_STRING);
    const struct gguf_key *types = find_array(s, "tokenizer.ggml.token_type", GGUF_VALUE_INT32);
    if (!tokens || !merges)
        return REFUSE(s, "%s: the vocabulary lacks tokenizer.ggml.tokens or tokenizer.ggml.merges", s->path);
    if (tokens->count != (uint64_t)vocab || (types && types->count != tokens->count) || merges->count > 1 << 22)
        return REFUSE(s, "%s: %llu tokens and %llu merges do not fit a vocabulary of %d", s->path,
                      (unsigned long long)tokens->count, (unsigned long long)merges->count, vocab);
    const size_t count = (size_t)tokens->count, merge_count = (size_t)merges->count;
    struct vocabulary v = {.bytes =
                               malloc(s->file->bytes), // plain bytes are no longer than their printable form in the file
                           .tokens = malloc(count * sizeof *v.tokens),
                           .token_bytes = malloc(count * sizeof *v.token_bytes),
                           .types = malloc(count * sizeof *v.types),
                           .merges = malloc((merge_count + 1) * sizeof *v.merges)};
    v.next = v.bytes;
    int rc = v.bytes && v.tokens && v.token_bytes && v.types && v.merges ? 0 : -ENOMEM;
    if (rc)
        snprintf(s->error, s->error_size, "%s: no memory for its vocabulary", s->path);
    if (!rc)
        rc = read_tokens(s, &v, tokens, types);
    if (!rc)
        rc = read_merges(s, &v, merges);
    if (!rc) {
        int64_t add_bos = !strcmp(pattern, "llama-bpe"); // what is meant when the key is missing
        gguf_integer(gguf_find_key(s->file, "tokenizer.ggml.add_bos_token"), &add_bos);
        char reason[256];
        rc = tokenizer_create(
            tokenizer,
            &(struct tokenizer_parts){.pattern_name = pattern,
                                      .vocab = vocab,
                                      .tokens = v.tokens,
                                      .token_bytes = v.token_bytes,
                                      .types = v.types,
                                      .merges = (int)merge_count,
                                      .merge = v.merges,
                                      .bos = add_bos ? read_special(s, "tokenizer.ggml.bos_token_id", vocab) : -1,
                                      .eos = read_special(s, "tokenizer.ggml.eos_token_id", vocab)},
            reason, sizeof reason);
        if (rc)
            snprintf(s->error, s->error_size, "%s: %s", s->path, reason);
    }
    free(v.bytes);
    free(v.tokens);
    free(v.token_bytes);
    free(v.types);
    free(v.merges);
    return rc;
}

int tokenizer_from_gguf(struct tokenizer **tokenizer, const struct gguf_file *file, int vocab, const char *path, char *error,
                        size_t error_size)
{
    const struct source s = {.file = file, .path = path, .error = error, .error_size = error_size};
    const struct gguf_text model = gguf_string(gguf_find_key(file, "tokenizer.ggml.model"));
    const struct gguf_text name = gguf_string(gguf_find_key(file, "tokenizer.ggml.pre"));
    static const char *const patterns[] = {"gpt-2", "smollm", "llama-bpe", "qwen2"};
    *tokenizer = NULL;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns && gguf_text_equals(model, "gpt2"); i++) {
        if (gguf_text_equals(name, patterns[i]))
            return build_tokenizer(&s, tokenizer, vocab, patterns[i]);
    }
    return 0;
}
