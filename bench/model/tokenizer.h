// SPDX-License-Identifier: MIT
// Text to token ids and back, as the published tokenizers of language models do it: byte-pair encoding over bytes (Sennrich et al. 2016;
// Radford et al. 2019), and SentencePiece's two methods over characters (Kudo and Richardson 2018; Kudo 2018).
#ifndef LLMSWEEP_TOKENIZER_H
#define LLMSWEEP_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct splitter;
struct tokenizer;

enum tokenizer_kind {
    // Words (splitter.h) start as one token a byte; the best-ranked pair of neighbours is merged until none is left. GPT-2, Llama 3, Qwen.
    TOKENIZER_BYTES,
    // The other kinds start from characters, with spaces as U+2581 inside tokens, and fall back to bytes for characters that are no tokens.
    TOKENIZER_MERGES,  // pairs by rank, too: how Hugging Face's tokenizer.json holds Llama 2 and Gemma
    TOKENIZER_SCORES,  // of the neighbours that together are a token, those with the best score: Llama 2 and Gemma in GGUF
    TOKENIZER_UNIGRAM, // the cut into tokens whose scores have the largest sum
};

// Values as in GGUF's tokenizer.ggml.token_type. Control tokens stand for no text; user-defined ones are found in any text before all else.
enum token_type { TOKEN_NORMAL = 1, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER_DEFINED, TOKEN_UNUSED, TOKEN_BYTE };

// Whether a text is encoded as if a space came before it (not for TOKENIZER_BYTES).
enum space_prefix {
    SPACE_PREFIX_NONE,
    SPACE_PREFIX_FIRST, // at its beginning
    SPACE_PREFIX_EACH,  // there and behind each special token
};

struct merge_text {
    const char *left, *right; // the bytes of the two tokens that are joined
    size_t left_bytes, right_bytes;
};

// What a tokenizer is made of. All arrays are borrowed: tokenizer_create copies what it needs.
struct tokenizer_parts {
    enum tokenizer_kind kind;
    const char *pattern_name;       // TOKENIZER_BYTES: how text is split into words, by GGUF's name, such as "gpt-2" (splitter.h) …
    struct splitter *splitter;      // … or, instead of a name, the splitter itself, which then is the tokenizer's, whatever the outcome
    int vocab;                      // number of tokens
    const char *const *tokens;      // (vocab) each token's bytes, as text has them: no printable form, spaces as spaces …
    const size_t *token_bytes;      // (vocab) … and how many they are
    const int32_t *types;           // (vocab) enum token_type; a token of type TOKEN_BYTE is that one byte
    const double *scores;           // (vocab) for SCORES and UNIGRAM; otherwise NULL
    int merges;                     // number of merges, for BYTES and MERGES
    const struct merge_text *merge; // (merges) best first; both halves and their joint must be tokens
    bool whole_words;               // a word that is a token is not merged at all (Llama 3)
    bool words_begin_with_spaces;   // not for BYTES: merges do not cross the beginning of a space
    bool compose;                   // the text is brought into Unicode's normal form C first
    enum space_prefix space_prefix;
    bool no_second_space;           // and only if there is none already
    const uint8_t *strips;          // (vocab) enum token_strip of special tokens, or NULL
    int bos, eos, unknown;          // ids of the tokens before and after a text and for what has none; -1 if there is none
    bool no_bos, add_eos;           // texts are encoded without BOS although there is one; with EOS behind
    const char *chat_template;      // Jinja, or NULL
};

// White space that a special token takes away from the text beside it.
enum token_strip { TOKEN_STRIP_LEFT = 1, TOKEN_STRIP_RIGHT = 2 };

// Returns 0, or -EINVAL/-ENOMEM with a one-line reason.
int tokenizer_create(struct tokenizer **tokenizer, const struct tokenizer_parts *parts, char *error, size_t error_size);
void tokenizer_free(struct tokenizer *tokenizer);

enum tokenizer_flags {
    TOKENIZER_SPECIAL = 1,  // control tokens' names in the text are those tokens (chat templates); otherwise they are text like any other
    TOKENIZER_DOCUMENT = 2, // BOS before the text and EOS behind it, where the model's file says so
};

// Text to ids; the text may hold any bytes. Bytes for which the vocabulary has neither tokens nor an unknown token are left out, as the
// reference tokenizers do. *ids is malloc'ed, the caller frees it. 0, -ENOMEM or -E2BIG (a word of gigabytes). Safe from several threads.
int tokenizer_encode_text(const struct tokenizer *tokenizer, const char *text, size_t bytes, unsigned flags, int32_t **ids, size_t *count);
// The same without flags: neither BOS nor EOS, no control tokens.
int tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t bytes, int32_t **ids, size_t *count);

// Ids to text; control and unused tokens (BOS, EOS) give no bytes, ids outside the vocabulary -EINVAL. A space that encoding put before the
// text is taken away again. *text is malloc'ed with a closing NUL that is not counted, the caller frees it.
int tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t count, char **text, size_t *bytes);
// The text of one token amid others (not NUL-terminated; maybe a part of a character); no bytes for control and unused tokens and for ids
// outside the vocabulary.
const char *tokenizer_piece(const struct tokenizer *tokenizer, int32_t id, size_t *bytes);

int tokenizer_vocab(const struct tokenizer *tokenizer);
int tokenizer_bos(const struct tokenizer *tokenizer);     // what a text is begun with; -1 if nothing
bool tokenizer_add_eos(const struct tokenizer *tokenizer); // whether a text is ended with tokenizer_eos
int tokenizer_eos(const struct tokenizer *tokenizer);     // -1 if there is none
int tokenizer_bos_id(const struct tokenizer *tokenizer);  // the token itself, also where texts are encoded without it
int tokenizer_unknown(const struct tokenizer *tokenizer); // -1 if there is none
// Whether a model that says this token has ended its text or its turn: EOS, and control tokens such as <|im_end|> and <|eot_id|>.
bool tokenizer_ends(const struct tokenizer *tokenizer, int32_t id);
// The id of a control or user-defined token by its name; -1 if there is none.
int tokenizer_special(const struct tokenizer *tokenizer, const char *name);
const char *tokenizer_chat_template(const struct tokenizer *tokenizer); // NULL if there is none

// For those who store a tokenizer: its kind, the bytes of one token (not NUL-terminated), its type and score, the i-th merge.
enum tokenizer_kind tokenizer_kind(const struct tokenizer *tokenizer);
const char *tokenizer_token(const struct tokenizer *tokenizer, int id, size_t *bytes);
enum token_type tokenizer_type(const struct tokenizer *tokenizer, int id);
float tokenizer_score(const struct tokenizer *tokenizer, int id); // for MERGES, minus the rank of the merge that makes it; 0 without scores
int tokenizer_merges(const struct tokenizer *tokenizer);
void tokenizer_merge(const struct tokenizer *tokenizer, int rank, int *left, int *right);
const char *tokenizer_pattern_name(const struct tokenizer *tokenizer); // "default" for other kinds than BYTES
enum space_prefix tokenizer_space_prefix(const struct tokenizer *tokenizer);

// A token as GGUF writes it: printable bytes for BYTES, U+2581 for spaces and <0x0A> for bytes otherwise; special tokens as they are.
// Returns the length; out has room for tokenizer_shown_bytes.
size_t tokenizer_show(const struct tokenizer *tokenizer, int id, char *out);
size_t tokenizer_shown_bytes(const struct tokenizer *tokenizer); // the longest of all tokens

// GPT-2's reversible map of bytes to printable characters: files store tokens in it.
// Appends the UTF-8 form of one byte to out (room for 2) and returns how many bytes that took.
int tokenizer_byte_to_utf8(uint8_t byte, char *out);
// Reads one mapped character from text; returns the byte, or -1 if it is no mapped character. *used gets its length.
int tokenizer_utf8_to_byte(const char *text, size_t bytes, int *used);

#endif
