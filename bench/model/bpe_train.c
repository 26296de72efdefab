// SPDX-License-Identifier: MIT
#include "bench/model/bpe_train.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/corpus.h"
#include "bench/model/splitter.h"
#include "bench/model/tokenizer.h"

static const char pattern_name[] = "gpt-2";
static const char separator[] = "<|endoftext|>";

struct word {
    const char *text; // in the corpus
    uint32_t bytes;
    uint32_t length; // in tokens: shrinks as pairs are joined
    size_t start;    // of its tokens in learner.ids
    int64_t count;
};

struct pair {
    int32_t left, right;
    int64_t count; // 0: an empty slot, or a pair that no longer occurs
};

struct learner {
    struct word *words;
    size_t word_count, word_room;
    uint32_t *word_slots; // open-addressed: text → word + 1, 0 where empty
    size_t word_mask;
    int32_t *ids;       // all words' tokens
    struct pair *pairs; // open-addressed
    size_t pair_used, pair_mask;
};

static uint64_t hash_text(const char *text, size_t bytes)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3u;
    return hash ^ (hash >> 29);
}

static size_t word_slot(const struct learner *l, const char *text, size_t bytes)
{
    size_t slot = hash_text(text, bytes) & l->word_mask;
    for (; l->word_slots[slot]; slot = (slot + 1) & l->word_mask) {
        const struct word *word = &l->words[l->word_slots[slot] - 1];
        if (word->bytes == bytes && !memcmp(word->text, text, bytes))
            break;
    }
    return slot;
}

static int grow_words(struct learner *l)
{
    const size_t room = l->word_room ? 2 * l->word_room : 1 << 16;
    struct word *words = realloc(l->words, room * sizeof *words);
    if (!words)
        return -ENOMEM;
    l->words = words;
    l->word_room = room;
    free(l->word_slots);
    l->word_mask = 2 * room - 1;
    l->word_slots = calloc(l->word_mask + 1, sizeof *l->word_slots);
    if (!l->word_slots)
        return -ENOMEM;
    for (size_t i = 0; i < l->word_count; i++)
        l->word_slots[word_slot(l, words[i].text, words[i].bytes)] = (uint32_t)i + 1;
    return 0;
}

static int count_word(void *context, const char *start, size_t bytes)
{
    struct learner *l = context;
    if (l->word_count == l->word_room && grow_words(l))
        return -ENOMEM;
    const size_t slot = word_slot(l, start, bytes);
    if (!l->word_slots[slot]) {
        l->words[l->word_count++] = (struct word){.text = start, .bytes = (uint32_t)bytes, .length = (uint32_t)bytes};
        l->word_slots[slot] = (uint32_t)l->word_count;
    }
    l->words[l->word_slots[slot] - 1].count++;
    return 0;
}

static size_t pair_slot(const struct learner *l, int32_t left, int32_t right)
{
    uint64_t key = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    size_t slot = (key ^ (key >> 32)) & l->pair_mask;
    while (l->pairs[slot].left >= 0 && (l->pairs[slot].left != left || l->pairs[slot].right != right))
        slot = (slot + 1) & l->pair_mask;
    return slot;
}

static int make_pair_table(struct learner *l, size_t size)
{
    const struct pair *old = l->pairs;
    const size_t old_size = old ? l->pair_mask + 1 : 0;
    struct pair *pairs = malloc(size * sizeof *pairs);
    if (!pairs)
        return -ENOMEM;
    for (size_t i = 0; i < size; i++)
        pairs[i] = (struct pair){.left = -1, .right = -1};
    l->pairs = pairs;
    l->pair_mask = size - 1;
    l->pair_used = 0;
    for (size_t i = 0; i < old_size; i++) {
        if (old[i].count) { // pairs that no longer occur are left behind
            pairs[pair_slot(l, old[i].left, old[i].right)] = old[i];
            l->pair_used++;
        }
    }
    free((void *)old);
    return 0;
}

static int add_pair(struct learner *l, int32_t left, int32_t right, int64_t count)
{
    if (2 * l->pair_used > l->pair_mask && make_pair_table(l, 2 * (l->pair_mask + 1)))
        return -ENOMEM;
    struct pair *pair = &l->pairs[pair_slot(l, left, right)];
    l->pair_used += pair->left < 0;
    pair->left = left;
    pair->right = right;
    pair->count += count;
    return 0;
}

// The most frequent pair; of equals the one with the smaller ids. NULL when no pair occurs twice.
static const struct pair *best_pair(const struct learner *l)
{
    const struct pair *best = NULL;
    for (size_t i = 0; i <= l->pair_mask; i++) {
        const struct pair *p = &l->pairs[i];
        if (p->count < 2 || (best && p->count < best->count))
            continue;
        if (!best || p->count > best->count || p->left < best->left ||
            (p->left == best->left && p->right < best->right))
            best = p;
    }
    return best;
}

// Adds (sign 1) or takes away (sign -1) all of a word's pairs.
static int count_pairs(struct learner *l, const struct word *word, int sign)
{
    const int32_t *ids = l->ids + word->start;
    for (uint32_t i = 0; i + 1 < word->length; i++) {
        if (add_pair(l, ids[i], ids[i + 1], sign * word->count))
            return -ENOMEM;
    }
    return 0;
}

static int join_in_word(struct learner *l, struct word *word, int32_t left, int32_t right, int32_t joint)
{
    int32_t *ids = l->ids + word->start;
    uint32_t at = 0;
    while (at + 1 < word->length && !(ids[at] == left && ids[at + 1] == right))
        at++;
    if (at + 1 >= word->length)
        return 0;
    if (count_pairs(l, word, -1))
        return -ENOMEM;
    uint32_t kept = at;
    for (uint32_t i = at; i < word->length;) {
        const int both = i + 1 < word->length && ids[i] == left && ids[i + 1] == right;
        ids[kept++] = both ? joint : ids[i];
        i += both ? 2 : 1;
    }
    word->length = kept;
    return count_pairs(l, word, 1);
}

static int prepare(struct learner *l, const struct corpus *corpus, char *error, size_t error_size)
{
    struct splitter *splitter;
    int rc = splitter_create(&splitter, pattern_name, error, error_size);
    if (rc)
        return rc;
    for (size_t i = 0; i < corpus->count && !rc; i++) {
        if (!corpus->documents[i].heldout)
            rc = splitter_run(splitter, corpus->documents[i].text, corpus->documents[i].bytes, count_word, l);
    }
    splitter_free(splitter);
    size_t total = 0;
    for (size_t i = 0; i < l->word_count; i++) {
        l->words[i].start = total;
        total += l->words[i].bytes;
    }
    l->ids = malloc((total + 1) * sizeof *l->ids);
    if (rc || !l->ids || make_pair_table(l, 1 << 16))
        return -ENOMEM;
    for (size_t i = 0; i < l->word_count; i++) {
        const struct word *word = &l->words[i];
        for (uint32_t k = 0; k < word->bytes; k++)
            l->ids[word->start + k] = (uint8_t)word->text[k];
        if (count_pairs(l, word, 1))
            return -ENOMEM;
    }
    return 0;
}

// The vocabulary under construction, in the form that tokenizer_create wants.
struct vocabulary {
    char **tokens; // (vocab) owned
    size_t *bytes;
    int32_t *types;
    struct merge_text *merges;
    int count, merge_count;
};

static int add_token(struct vocabulary *v, const char *left, size_t left_bytes, const char *right, size_t right_bytes,
                     int32_t type)
{
    char *text = malloc(left_bytes + right_bytes + 1);
    if (!text)
        return -ENOMEM;
    memcpy(text, left, left_bytes);
    memcpy(text + left_bytes, right, right_bytes);
    text[left_bytes + right_bytes] = '\0';
    v->tokens[v->count] = text;
    v->bytes[v->count] = left_bytes + right_bytes;
    v->types[v->count++] = type;
    return 0;
}

static int learn(struct learner *l, struct vocabulary *v, int vocab)
{
    int rc = 0;
    for (int byte = 0; byte < 256 && !rc; byte++) {
        const char text = (char)byte;
        rc = add_token(v, &text, 1, "", 0, TOKEN_NORMAL);
    }
    while (!rc && v->count < vocab - 1) {
        const struct pair *found = best_pair(l);
        if (!found)
            break;
        const struct pair best = *found;
        const int32_t joint = v->count;
        rc = add_token(v, v->tokens[best.left], v->bytes[best.left], v->tokens[best.right], v->bytes[best.right],
                       TOKEN_NORMAL);
        v->merges[v->merge_count++] = (struct merge_text){.left = v->tokens[best.left],
                                                          .left_bytes = v->bytes[best.left],
                                                          .right = v->tokens[best.right],
                                                          .right_bytes = v->bytes[best.right]};
        for (size_t i = 0; i < l->word_count && !rc; i++)
            rc = join_in_word(l, &l->words[i], best.left, best.right, joint);
    }
    while (!rc && v->count < vocab - 1) {
        char name[32];
        const int length = snprintf(name, sizeof name, "<|unused%d|>", v->count);
        rc = add_token(v, name, (size_t)length, "", 0, TOKEN_UNUSED);
    }
    return rc ? rc : add_token(v, separator, sizeof separator - 1, "", 0, TOKEN_CONTROL);
}

int bpe_train(struct tokenizer **tokenizer, const struct corpus *corpus, int vocab, char *error, size_t error_size)
{
    if (vocab < 257 || vocab > 1 << 20) {
        snprintf(error, error_size, "a vocabulary of %d tokens cannot be made (allowed: 257 to %d)", vocab, 1 << 20);
        return -EINVAL;
    }
    struct learner learner = {0};
    struct vocabulary v = {.tokens = calloc((size_t)vocab, sizeof *v.tokens),
                           .bytes = calloc((size_t)vocab, sizeof *v.bytes),
                           .types = calloc((size_t)vocab, sizeof *v.types),
                           .merges = calloc((size_t)vocab, sizeof *v.merges)};
    int rc = v.tokens && v.bytes && v.types && v.merges ? 0 : -ENOMEM;
    if (!rc)
        rc = prepare(&learner, corpus, error, error_size);
    if (!rc)
        rc = learn(&learner, &v, vocab);
    if (rc == -ENOMEM)
        snprintf(error, error_size, "%s: no memory to learn a vocabulary of %d tokens", corpus->source, vocab);
    if (!rc)
        rc = tokenizer_create(tokenizer,
                              &(struct tokenizer_parts){.pattern_name = pattern_name,
                                                        .vocab = vocab,
                                                        .tokens = (const char *const *)v.tokens,
                                                        .token_bytes = v.bytes,
                                                        .types = v.types,
                                                        .merges = v.merge_count,
                                                        .merge = v.merges,
                                                        .bos = vocab - 1,
                                                        .eos = vocab - 1,
                                                        .unknown = -1},
                              error, error_size);
    for (int i = 0; v.tokens && i < v.count; i++)
        free(v.tokens[i]);
    free(v.tokens);
    free(v.bytes);
    free(v.types);
    free(v.merges);
    free(learner.words);
    free(learner.word_slots);
    free(learner.ids);
    free(learner.pairs);
    return rc;
}
