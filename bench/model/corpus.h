// SPDX-License-Identifier: MIT
// Text to train on and to measure quality with: WordNet's glosses (the default; Debian package wordnet-base), or a
// file.
#ifndef LLMSWEEP_CORPUS_H
#define LLMSWEEP_CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct model;
struct tokenizer;

struct document {
    const char *text; // not NUL-terminated
    size_t bytes;
    bool heldout; // never trained on
};

struct corpus {
    struct document *documents; // (count), in file order
    size_t count;
    char *storage;    // owns the text
    char source[256]; // where it came from, for messages
};

// The folder of data.noun, data.verb, data.adj and data.adv: the environment's LLMSWEEP_WORDNET, or /usr/share/wordnet.
const char *corpus_wordnet_folder(void);

// Loads the glosses (the text after '|'), one document a synset; one in twenty is held out, chosen by a hash of the
// synset's file and offset, so that the choice depends on nothing else. folder may be NULL (corpus_wordnet_folder()).
// Returns 0 or -errno with one line that names the file and the cure.
int corpus_load_glosses(struct corpus *corpus, const char *folder, char *error, size_t error_size);

// Loads a UTF-8 text file. Documents are separated by blank lines; one in twenty is held out by a hash of its place.
// An empty, binary (NUL bytes, not UTF-8) or too short (under 1,000 bytes, or nothing to hold out) file is refused.
int corpus_load_text(struct corpus *corpus, const char *path, char *error, size_t error_size);

void corpus_free(struct corpus *corpus);

// Encodes the held-out or the other documents, each preceded by BOS. order gives the documents' order (a permutation of
// 0…count-1) or is NULL for file order. *ids is malloc'ed, the caller frees it. 0 or -ENOMEM.
int corpus_encode(const struct corpus *corpus, const struct tokenizer *tokenizer, bool heldout, const uint32_t *order,
                  int32_t **ids, size_t *count);

// The text that quality is measured on, as ids that begin with BOS and number at most max_tokens: the held-out glosses
// if text_path is NULL, or else a whole text file (all of it: the model never saw it). text_hash names that text (all
// of it, whatever max_tokens). *ids is malloc'ed, the caller frees it. Returns 0 or -errno with one line that names the
// file and the cure.
int corpus_heldout(const struct model *model, const char *text_path, size_t max_tokens, int32_t **ids, size_t *count,
                   uint64_t *text_hash, char *error, size_t error_size);

#endif
