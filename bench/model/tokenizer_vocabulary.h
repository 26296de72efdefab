// SPDX-License-Identifier: MIT
// The lists that a tokenizer is made of, while a file's forms are turned into plain bytes.
#ifndef LLMSWEEP_TOKENIZER_VOCABULARY_H
#define LLMSWEEP_TOKENIZER_VOCABULARY_H

#include "bench/model/tokenizer.h"

struct vocabulary {
    enum tokenizer_kind kind;
    int count, merge_count;
    const char **tokens;
    size_t *token_bytes;
    int32_t *types;
    double *scores;
    uint8_t *strips;
    struct merge_text *merges;
    char *bytes, *next; // storage of the texts
};

// Room for tokens (all unused and empty until set), merges and the texts' bytes as the file has them. 0 or -ENOMEM.
int vocabulary_start(struct vocabulary *v, enum tokenizer_kind kind, size_t tokens, size_t merges, size_t text_bytes);
void vocabulary_free(struct vocabulary *v);

// A token in its file's form: printable bytes of normal ones for BYTES, otherwise U+2581 for spaces, and <0x0A> for byte tokens.
// -EINVAL if the text is not in that form.
int vocabulary_set(struct vocabulary *v, int id, const char *text, size_t bytes, enum token_type type);
// The next merge, likewise.
int vocabulary_merge(struct vocabulary *v, const char *left, size_t left_bytes, const char *right, size_t right_bytes);
// Whether the text is <0x00> … <0xFF>.
bool vocabulary_is_byte(const char *text, size_t bytes);

// The parts for tokenizer_create that are known from the lists.
struct tokenizer_parts vocabulary_parts(const struct vocabulary *v);

#endif
