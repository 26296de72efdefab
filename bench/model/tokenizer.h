// SPDX-License-Identifier: MIT
// Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019): text is split into words by a regular
// expression, each word's bytes start as one token each, and the best-ranked pair of neighbours is merged until none is
// left. Every byte string can be encoded, and decoding an encoding gives back the very same bytes.
#ifndef LLMSWEEP_TOKENIZER_H
#define LLMSWEEP_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

struct tokenizer;

// Values as in GGUF's tokenizer.ggml.token_type.
enum token_type { TOKEN_NORMAL = 1, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER_DEFINED, TOKEN_UNUSED, TOKEN_BYTE };

struct merge_text {
    const char *left, *right; // the bytes of the two tokens that are joined
    size_t left_bytes, right_bytes;
};

// What a tokenizer is made of. All arrays are borrowed: tokenizer_create copies what it needs.
struct tokenizer_parts {
    const char *pattern_name;       // how text is split into words, by GGUF's name, such as "gpt-2" (splitter.h)
    int vocab;                      // number of tokens
    const char *const *tokens;      // (vocab) each token's bytes …
    const size_t *token_bytes;      // (vocab) … and how many they are
    const int32_t *types;           // (vocab) enum token_type
    int merges;                     // number of merges
    const struct merge_text *merge; // (merges) best first; both halves and their joint must be tokens
    int bos, eos; // ids of the tokens before and after a document; may be the same; -1 if there is none
};

// Returns 0, or -EINVAL/-ENOMEM with a one-line reason.
int tokenizer_create(struct tokenizer **tokenizer, const struct tokenizer_parts *parts, char *error, size_t error_size);
void tokenizer_free(struct tokenizer *tokenizer);

// Text to ids, without BOS or EOS; the text may hold any bytes. *ids is malloc'ed, the caller frees it. 0 or -ENOMEM.
int tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t bytes, int32_t **ids, size_t *count);
// Ids to text; control and unused tokens (BOS, EOS) give no bytes, ids outside the vocabulary -EINVAL.
// *text is malloc'ed with a closing NUL that is not counted, the caller frees it.
int tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t count, char **text, size_t *bytes);

int tokenizer_vocab(const struct tokenizer *tokenizer);
int tokenizer_bos(const struct tokenizer *tokenizer); // -1 if there is none
int tokenizer_eos(const struct tokenizer *tokenizer);

// The bytes of one token (not NUL-terminated), its type, and the i-th merge; for those who store a tokenizer.
const char *tokenizer_token(const struct tokenizer *tokenizer, int id, size_t *bytes);
enum token_type tokenizer_type(const struct tokenizer *tokenizer, int id);
int tokenizer_merges(const struct tokenizer *tokenizer);
void tokenizer_merge(const struct tokenizer *tokenizer, int rank, int *left, int *right);
const char *tokenizer_pattern_name(const struct tokenizer *tokenizer);

// GPT-2's reversible map of bytes to printable characters: GGUF stores tokens in it.
// Appends the UTF-8 form of one byte to out (room for 2) and returns how many bytes that took.
int tokenizer_byte_to_utf8(uint8_t byte, char *out);
// Reads one mapped character from text; returns the byte, or -1 if it is no mapped character. *used gets its length.
int tokenizer_utf8_to_byte(const char *text, size_t bytes, int *used);

#endif
