// SPDX-License-Identifier: MIT
// Text to ids: special tokens are cut out first, then each stretch between them is cut into words, then each word is merged.
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "bench/model/compose.h"
#include "bench/model/splitter.h"
#include "bench/model/tokenizer_internal.h"
#include "bench/model/utf8.h"

// A pair of neighbours that may be merged. Best first: the lower rank, then the further left. What stood there when the pair was found is kept:
// it is stale if that has changed.
struct candidate {
    int32_t rank, left_symbol, right_symbol;
    uint32_t left;
};

// A word that was encoded before; texts repeat themselves.
enum { CACHED_TEXT = 23, CACHED_IDS = 9, MOST_CACHED = 1 << 14 };
struct cached_word {
    uint8_t bytes, count;
    char text[CACHED_TEXT];
    int32_t ids[CACHED_IDS];
};

// The word at hand is a doubly linked list of symbols, so that a merge costs the same in a long word as in a short one.
struct encoder {
    const struct tokenizer *tokenizer;
    int32_t *ids; // the result
    size_t count, room;
    const char *word;
    int32_t *symbol; // by its first byte: an id, or its length in bytes for SCORES
    uint32_t *next, *previous;
    uint32_t end;
    struct candidate *heap;
    size_t heap_count, word_room;
    struct cached_word *cache;
    size_t cache_mask;
    bool met_unknown; // in the word at hand
};

static bool before(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static void heap_push(struct encoder *e, struct candidate new)
{
    size_t i = e->heap_count++;
    for (; i > 0 && before(&new, &e->heap[(i - 1) / 2]); i = (i - 1) / 2)
        e->heap[i] = e->heap[(i - 1) / 2];
    e->heap[i] = new;
}

static struct candidate heap_pop(struct encoder *e)
{
    const struct candidate top = e->heap[0], last = e->heap[--e->heap_count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= e->heap_count)
            break;
        if (child + 1 < e->heap_count && before(&e->heap[child + 1], &e->heap[child]))
            child++;
        if (!before(&e->heap[child], &last))
            break;
        e->heap[i] = e->heap[child];
        i = child;
    }
    e->heap[i] = last;
    return top;
}

// A number that is the smaller the larger the score.
static int32_t rank_of_score(float score)
{
    int32_t bits;
    score = -score + 0.0f; // no negative zero
    memcpy(&bits, &score, sizeof bits);
    return bits < 0 ? bits ^ INT32_MAX : bits;
}

static void find_candidate(struct encoder *e, uint32_t left, uint32_t right)
{
    const struct tokenizer *t = e->tokenizer;
    struct candidate new = {.left_symbol = e->symbol[left], .right_symbol = e->symbol[right], .left = left};
    if (t->kind == TOKENIZER_SCORES) {
        const size_t bytes = (size_t)(new.left_symbol + new.right_symbol);
        const int32_t id = bytes <= t->longest ? tokenizer_find_text(t, e->word + left, bytes) : -1;
        if (id < 0)
            return;
        new.rank = rank_of_score((float)t->scores[id]);
    } else {
        new.rank = t->merge_slots[tokenizer_merge_slot(t, new.left_symbol, new.right_symbol)];
        if (new.rank < 0)
            return;
    }
    heap_push(e, new);
}

static int reserve_ids(struct encoder *e, size_t more)
{
    if (e->count + more <= e->room)
        return 0;
    const size_t room = 2 * (e->count + more) + 64;
    int32_t *ids = realloc(e->ids, room * sizeof *ids);
    if (!ids)
        return -ENOMEM;
    e->ids = ids;
    e->room = room;
    return 0;
}

static void free_word(struct encoder *e)
{
    free(e->symbol);
    free(e->next);
    free(e->previous);
    free(e->heap);
    e->symbol = NULL;
    e->next = e->previous = NULL;
    e->heap = NULL;
    e->word_room = 0;
}

static int reserve_word(struct encoder *e, size_t bytes)
{
    if (bytes > UINT32_MAX / 4)
        return -E2BIG;
    if (bytes <= e->word_room)
        return 0;
    const size_t room = 2 * bytes + 64;
    free_word(e);
    e->symbol = malloc(room * sizeof *e->symbol);
    e->next = malloc(room * sizeof *e->next);
    e->previous = malloc(room * sizeof *e->previous);
    e->heap = malloc(3 * room * sizeof *e->heap); // one a neighbourhood, and two new ones a merge
    if (!e->symbol || !e->next || !e->previous || !e->heap)
        return -ENOMEM;
    e->word_room = room;
    return 0;
}

static void put_unknown(struct encoder *e)
{
    const int unknown = e->tokenizer->unknown;
    e->met_unknown = true;
    if (unknown >= 0 && !(e->count && e->ids[e->count - 1] == unknown)) // neighbours that are unknown are one
        e->ids[e->count++] = unknown;
}

// A character that is no token: its bytes, if all are tokens.
static void put_bytes(struct encoder *e, const char *text, size_t bytes)
{
    const int32_t *byte_id = e->tokenizer->byte_id;
    for (size_t i = 0; i < bytes; i++) {
        if (byte_id[(uint8_t)text[i]] < 0) {
            put_unknown(e);
            return;
        }
    }
    for (size_t i = 0; i < bytes; i++)
        e->ids[e->count++] = byte_id[(uint8_t)text[i]];
}

static void start_symbol(struct encoder *e, uint32_t at, uint32_t bytes, int32_t symbol, uint32_t *last)
{
    e->symbol[at] = symbol;
    e->next[at] = at + bytes;
    e->previous[at] = *last;
    *last = at;
}

// What the word starts as. For MERGES a character that is no token is its bytes from the beginning, or -1, which nothing is merged with.
static void start_symbols(struct encoder *e)
{
    const struct tokenizer *t = e->tokenizer;
    uint32_t last = 0;
    for (uint32_t i = 0; i < e->end;) {
        const uint32_t bytes = t->kind == TOKENIZER_BYTES ? 1 : (uint32_t)utf8_character(e->word + i, e->end - i);
        if (t->kind == TOKENIZER_SCORES) {
            start_symbol(e, i, bytes, (int32_t)bytes, &last);
        } else if (t->kind == TOKENIZER_BYTES) {
            start_symbol(e, i, 1, t->byte_id[(uint8_t)e->word[i]], &last);
        } else {
            const int32_t id = tokenizer_find_text(t, e->word + i, bytes);
            bool all_bytes = id < 0;
            for (uint32_t k = 0; k < bytes && all_bytes; k++)
                all_bytes = t->byte_id[(uint8_t)e->word[i + k]] >= 0;
            if (!all_bytes)
                start_symbol(e, i, bytes, id, &last);
            for (uint32_t k = 0; k < bytes && all_bytes; k++)
                start_symbol(e, i + k, 1, t->byte_id[(uint8_t)e->word[i + k]], &last);
        }
        i += bytes;
    }
}

static void merge_word(struct encoder *e)
{
    const struct tokenizer *t = e->tokenizer;
    start_symbols(e);
    e->heap_count = 0;
    for (uint32_t i = 0; e->next[i] < e->end; i = e->next[i])
        find_candidate(e, i, e->next[i]);
    while (e->heap_count) {
        const struct candidate best = heap_pop(e);
        const uint32_t left = best.left, right = e->next[left];
        if (e->symbol[left] != best.left_symbol || right >= e->end || e->symbol[right] != best.right_symbol)
            continue;
        e->symbol[left] = t->kind == TOKENIZER_SCORES ? best.left_symbol + best.right_symbol : t->merge[best.rank].result;
        e->symbol[right] = -2; // merged away: equals nothing that was ever found
        const uint32_t after = e->next[left] = e->next[right];
        if (after < e->end) {
            e->previous[after] = left;
            find_candidate(e, left, after);
        }
        if (left > 0)
            find_candidate(e, e->previous[left], left);
    }
    for (uint32_t i = 0; i < e->end; i = e->next[i]) {
        const uint32_t bytes = e->next[i] - i;
        const int32_t id = t->kind == TOKENIZER_SCORES ? tokenizer_find_text(t, e->word + i, bytes) : e->symbol[i];
        if (id >= 0)
            e->ids[e->count++] = id;
        else
            put_bytes(e, e->word + i, bytes);
    }
}

// The best way to each byte, from left to right (Viterbi). symbol holds the token that ends there, next its length, heap's room the scores.
static void cut_word(struct encoder *e)
{
    const struct tokenizer *t = e->tokenizer;
    double *best = (double *)(void *)e->heap;
    for (uint32_t i = 0; i <= e->end; i++)
        best[i] = i ? -INFINITY : 0;
    for (uint32_t i = 0; i < e->end;) {
        const uint32_t first = (uint32_t)utf8_character(e->word + i, e->end - i);
        bool known = false;
        for (uint32_t bytes = first; i + bytes <= e->end && bytes <= t->longest;) {
            const int32_t id = tokenizer_find_text(t, e->word + i, bytes);
            known |= id >= 0 && bytes == first;
            if (id >= 0 && best[i] + t->scores[id] > best[i + bytes]) {
                best[i + bytes] = best[i] + t->scores[id];
                e->symbol[i + bytes] = id;
                e->next[i + bytes] = bytes;
            }
            if (i + bytes == e->end)
                break;
            bytes += (uint32_t)utf8_character(e->word + i + bytes, e->end - i - bytes);
        }
        const double unknown = best[i] + t->worst_score - 10; // SentencePiece's penalty
        if (!known && unknown > best[i + first]) {
            best[i + first] = unknown;
            e->symbol[i + first] = -1;
            e->next[i + first] = first;
        }
        i += first;
    }
    uint32_t after = 0; // turns the way around: previous holds where the next token ends
    for (uint32_t at = e->end; at > 0; at -= e->next[at]) {
        e->previous[at] = after;
        after = at;
    }
    for (uint32_t at = after; at; at = e->previous[at]) {
        if (e->symbol[at] >= 0)
            e->ids[e->count++] = e->symbol[at];
        else
            put_bytes(e, e->word + at - e->next[at], e->next[at]);
    }
}

static int encode_word(void *context, const char *word, size_t bytes)
{
    struct encoder *e = context;
    const struct tokenizer *t = e->tokenizer;
    int rc = reserve_ids(e, bytes + 1);
    if (rc)
        return rc;
    struct cached_word *cached = NULL;
    if (bytes <= CACHED_TEXT) {
        cached = &e->cache[tokenizer_hash(word, bytes) & e->cache_mask];
        if (cached->bytes == bytes && !memcmp(cached->text, word, bytes)) {
            memcpy(e->ids + e->count, cached->ids, cached->count * sizeof *cached->ids);
            e->count += cached->count;
            return 0;
        }
    }
    const size_t start = e->count;
    e->met_unknown = false;
    int32_t whole = -1;
    if (t->whole_words)
        whole = tokenizer_find_text(t, word, bytes);
    if (whole >= 0) {
        e->ids[e->count++] = whole;
    } else {
        rc = reserve_word(e, bytes + 1);
        if (rc)
            return rc;
        e->word = word;
        e->end = (uint32_t)bytes;
        if (t->kind == TOKENIZER_UNIGRAM)
            cut_word(e);
        else
            merge_word(e);
    }
    const size_t count = e->count - start;
    // an unknown token may have melted into the one before the word, so such words are not kept
    if (cached && count && count <= CACHED_IDS && !e->met_unknown) {
        cached->bytes = (uint8_t)bytes;
        cached->count = (uint8_t)count;
        memcpy(cached->text, word, bytes);
        memcpy(cached->ids, e->ids + start, count * sizeof *cached->ids);
    }
    return 0;
}

// Calls encode_word for the stretches that no token reaches over.
static int encode_characters(struct encoder *e, const char *text, size_t bytes)
{
    const struct tokenizer *t = e->tokenizer;
    size_t start = 0;
    int rc = 0;
    for (size_t i = 1; i < bytes && !rc; i++) {
        const uint8_t left = (uint8_t)text[i - 1], right = (uint8_t)text[i];
        if ((right & 0xc0) == 0x80) // inside a character (or of none: then the word is only longer than need be)
            continue;
        // a sum that starts anew rounds otherwise, which decides between equals: UNIGRAM is cut only where its authors cut it
        const bool joined = t->kind == TOKENIZER_UNIGRAM || t->joins[left][right / 64] >> right % 64 & 1;
        if (joined && !(t->words_begin_with_spaces && right == ' '))
            continue;
        rc = encode_word(e, text + start, i - start);
        start = i;
    }
    return rc || start == bytes ? rc : encode_word(e, text + start, bytes - start);
}

// A stretch without special tokens.
static int encode_stretch(struct encoder *e, const char *text, size_t bytes, bool prefix)
{
    static const char space[] = "\xe2\x96\x81"; // U+2581 in the text is a space, as it is in the tokens
    const struct tokenizer *t = e->tokenizer;
    if (!bytes)
        return 0;
    char *composed = NULL;
    int rc = t->compose ? compose_text(text, bytes, &composed, &bytes) : 0;
    if (rc)
        return rc;
    if (composed)
        text = composed;
    if (t->kind == TOKENIZER_BYTES) {
        rc = splitter_run(t->splitter, text, bytes, encode_word, e);
    } else {
        char *spaced = malloc(bytes + 1);
        size_t length = 0;
        rc = spaced ? 0 : -ENOMEM;
        if (!rc && prefix && !(t->no_second_space && (text[0] == ' ' || (bytes >= 3 && !memcmp(text, space, 3)))))
            spaced[length++] = ' ';
        for (size_t i = 0; i < bytes && !rc;) {
            const char *found = memmem(text + i, bytes - i, space, 3);
            const size_t plain = found ? (size_t)(found - text) - i : bytes - i;
            memcpy(spaced + length, text + i, plain);
            length += plain;
            if (found)
                spaced[length++] = ' ';
            i += plain + (found ? 3 : 0);
        }
        if (!rc)
            rc = encode_characters(e, spaced, length);
        free(spaced);
    }
    free(composed);
    return rc;
}

// The longest special token at the place; -1 if there is none. *length gets its bytes.
static int32_t special_at(const struct tokenizer *t, const char *text, size_t bytes, bool control, size_t *length)
{
    int32_t best = -1;
    int node = 0;
    for (size_t i = 0; i < bytes; i++) {
        node = t->names[node].child;
        while (node && t->names[node].byte != (uint8_t)text[i])
            node = t->names[node].sibling;
        if (!node)
            break;
        const int32_t id = control ? t->names[node].id : t->names[node].plain_id;
        if (id >= 0) {
            best = id;
            *length = i + 1;
        }
    }
    return best;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int encode_all(struct encoder *e, const char *text, size_t bytes, bool control)
{
    const struct tokenizer *t = e->tokenizer;
    const bool *begins = control ? t->begins_name : t->begins_plain_name;
    size_t start = 0, length = 0;
    bool prefix = t->space_prefix != SPACE_PREFIX_NONE;
    int rc = 0;
    for (size_t i = 0; i < bytes && !rc;) {
        const int32_t id = begins[(uint8_t)text[i]] ? special_at(t, text + i, bytes - i, control, &length) : -1;
        if (id < 0) {
            i++;
            continue;
        }
        size_t end = i;
        if (t->strips && t->strips[id] & TOKEN_STRIP_LEFT) {
            while (end > start && is_blank(text[end - 1]))
                end--;
        }
        rc = encode_stretch(e, text + start, end - start, prefix);
        if (!rc)
            rc = reserve_ids(e, 1);
        if (!rc)
            e->ids[e->count++] = id;
        prefix = t->space_prefix == SPACE_PREFIX_EACH;
        i += length;
        if (t->strips && t->strips[id] & TOKEN_STRIP_RIGHT) {
            while (i < bytes && is_blank(text[i]))
                i++;
        }
        start = i;
    }
    return rc ? rc : encode_stretch(e, text + start, bytes - start, prefix);
}

int tokenizer_encode_text(const struct tokenizer *tokenizer, const char *text, size_t bytes, unsigned flags, int32_t **ids, size_t *count)
{
    struct encoder e = {.tokenizer = tokenizer, .cache_mask = 15};
    while (e.cache_mask + 1 < MOST_CACHED && e.cache_mask < bytes / 8)
        e.cache_mask = 2 * e.cache_mask + 1;
    e.cache = calloc(e.cache_mask + 1, sizeof *e.cache);
    int rc = e.cache ? reserve_ids(&e, bytes / 3 + 2) : -ENOMEM;
    if (!rc && flags & TOKENIZER_DOCUMENT && tokenizer_bos(tokenizer) >= 0)
        e.ids[e.count++] = tokenizer_bos(tokenizer);
    if (!rc)
        rc = encode_all(&e, text, bytes, flags & TOKENIZER_SPECIAL);
    if (!rc)
        rc = reserve_ids(&e, 1);
    if (!rc && flags & TOKENIZER_DOCUMENT && tokenizer_add_eos(tokenizer))
        e.ids[e.count++] = tokenizer_eos(tokenizer);
    free_word(&e);
    free(e.cache);
    if (rc) {
        free(e.ids);
        return rc;
    }
    *ids = e.ids;
    *count = e.count;
    return 0;
}

int tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t bytes, int32_t **ids, size_t *count)
{
    return tokenizer_encode_text(tokenizer, text, bytes, 0, ids, count);
}
