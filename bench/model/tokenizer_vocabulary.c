// SPDX-License-Identifier: MIT
#include "bench/model/tokenizer_vocabulary.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int vocabulary_start(struct vocabulary *v, enum tokenizer_kind kind, size_t tokens, size_t merges, size_t text_bytes)
{
    *v = (struct vocabulary){.kind = kind,
                             .count = (int)tokens,
                             .tokens = calloc(tokens + 1, sizeof *v->tokens),
                             .token_bytes = calloc(tokens + 1, sizeof *v->token_bytes),
                             .types = calloc(tokens + 1, sizeof *v->types),
                             .scores = calloc(tokens + 1, sizeof *v->scores),
                             .strips = calloc(tokens + 1, 1),
                             .merges = calloc(merges + 1, sizeof *v->merges),
                             .bytes = malloc(text_bytes + 1)};
    v->next = v->bytes;
    if (!v->tokens || !v->token_bytes || !v->types || !v->scores || !v->strips || !v->merges || !v->bytes) {
        vocabulary_free(v);
        return -ENOMEM;
    }
    for (size_t i = 0; i < tokens; i++) {
        v->tokens[i] = "";
        v->types[i] = TOKEN_UNUSED;
    }
    return 0;
}

void vocabulary_free(struct vocabulary *v)
{
    free(v->tokens);
    free(v->token_bytes);
    free(v->types);
    free(v->scores);
    free(v->strips);
    free(v->merges);
    free(v->bytes);
    memset(v, 0, sizeof *v);
}

// Undoes the file's form; never longer than it.
static int plain_text(struct vocabulary *v, const char *text, size_t bytes, const char **out, size_t *out_bytes)
{
    char *start = v->next;
    while (bytes) {
        int used = 1;
        if (v->kind == TOKENIZER_BYTES) {
            const int byte = tokenizer_utf8_to_byte(text, bytes, &used);
            if (byte < 0) {
                v->next = start;
                return -EINVAL;
            }
            *v->next++ = (char)byte;
        } else if (bytes >= 3 && !memcmp(text, "\xe2\x96\x81", 3)) {
            *v->next++ = ' ';
            used = 3;
        } else {
            *v->next++ = *text;
        }
        text += used;
        bytes -= (size_t)used;
    }
    *out = start;
    *out_bytes = (size_t)(v->next - start);
    return 0;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool vocabulary_is_byte(const char *text, size_t bytes)
{
    return bytes == 6 && !memcmp(text, "<0x", 3) && hex_digit(text[3]) >= 0 && hex_digit(text[4]) >= 0 && text[5] == '>';
}

int vocabulary_set(struct vocabulary *v, int id, const char *text, size_t bytes, enum token_type type)
{
    v->types[id] = (int32_t)type;
    if (type == TOKEN_BYTE && v->kind != TOKENIZER_BYTES) {
        if (!vocabulary_is_byte(text, bytes))
            return -EINVAL;
        *v->next = (char)(hex_digit(text[3]) << 4 | hex_digit(text[4]));
        v->tokens[id] = v->next++;
        v->token_bytes[id] = 1;
        return 0;
    }
    if (type == TOKEN_NORMAL || (type == TOKEN_USER_DEFINED && v->kind != TOKENIZER_BYTES))
        return plain_text(v, text, bytes, &v->tokens[id], &v->token_bytes[id]);
    memcpy(v->next, text, bytes);
    v->tokens[id] = v->next;
    v->token_bytes[id] = bytes;
    v->next += bytes;
    return 0;
}

int vocabulary_merge(struct vocabulary *v, const char *left, size_t left_bytes, const char *right, size_t right_bytes)
{
    struct merge_text *m = &v->merges[v->merge_count++];
    if (plain_text(v, left, left_bytes, &m->left, &m->left_bytes) || plain_text(v, right, right_bytes, &m->right, &m->right_bytes))
        return -EINVAL;
    return 0;
}

struct tokenizer_parts vocabulary_parts(const struct vocabulary *v)
{
    const bool scored = v->kind == TOKENIZER_SCORES || v->kind == TOKENIZER_UNIGRAM;
    return (struct tokenizer_parts){.kind = v->kind,
                                    .vocab = v->count,
                                    .tokens = v->tokens,
                                    .token_bytes = v->token_bytes,
                                    .types = v->types,
                                    .scores = scored ? v->scores : NULL,
                                    .strips = v->strips,
                                    .merges = v->merge_count,
                                    .merge = v->merges,
                                    .bos = -1,
                                    .eos = -1,
                                    .unknown = -1};
}
