// SPDX-License-Identifier: MIT
#include "bench/model/tokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/splitter.h"

struct merge {
    int32_t left, right, result;
};

struct tokenizer {
    struct splitter *splitter;
    int vocab, merges, bos, eos;
    char *bytes;          // all tokens' bytes, one after the other
    size_t *start;        // (vocab + 1) where each token's bytes start
    int32_t *types;       // (vocab)
    struct merge *merge;  // (merges) best first
    int32_t *merge_slots; // open-addressed: (left, right) → rank, -1 where empty
    int32_t *text_slots;  // open-addressed: bytes → id, -1 where empty
    size_t merge_mask, text_mask;
    int32_t byte_id[256];
};

static uint64_t hash_bytes(const char *bytes, size_t count)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ (uint8_t)bytes[i]) * 0x100000001b3u;
    return hash ^ (hash >> 29);
}

static uint64_t hash_pair(int32_t left, int32_t right)
{
    uint64_t key = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    return key ^ (key >> 32);
}

// The smallest power of two that leaves the table at most half full.
static size_t table_size(size_t entries)
{
    size_t size = 16;
    while (size < 2 * entries)
        size *= 2;
    return size;
}

// Where the bytes are in text_slots, or the empty slot where they would go.
static size_t text_slot(const struct tokenizer *t, const char *bytes, size_t count)
{
    size_t slot = hash_bytes(bytes, count) & t->text_mask;
    for (; t->text_slots[slot] >= 0; slot = (slot + 1) & t->text_mask) {
        const int32_t id = t->text_slots[slot];
        if (t->start[id + 1] - t->start[id] == count && !memcmp(t->bytes + t->start[id], bytes, count))
            break;
    }
    return slot;
}

static size_t merge_slot(const struct tokenizer *t, int32_t left, int32_t right)
{
    size_t slot = hash_pair(left, right) & t->merge_mask;
    for (; t->merge_slots[slot] >= 0; slot = (slot + 1) & t->merge_mask) {
        const struct merge *merge = &t->merge[t->merge_slots[slot]];
        if (merge->left == left && merge->right == right)
            break;
    }
    return slot;
}

static int copy_tokens(struct tokenizer *t, const struct tokenizer_parts *parts)
{
    size_t total = 0;
    for (int i = 0; i < parts->vocab; i++)
        total += parts->token_bytes[i];
    t->text_mask = table_size((size_t)parts->vocab) - 1;
    t->bytes = malloc(total + 1);
    t->start = malloc(((size_t)parts->vocab + 1) * sizeof *t->start);
    t->types = malloc((size_t)parts->vocab * sizeof *t->types);
    t->text_slots = malloc((t->text_mask + 1) * sizeof *t->text_slots);
    if (!t->bytes || !t->start || !t->types || !t->text_slots)
        return -ENOMEM;
    t->start[0] = 0;
    for (int i = 0; i < parts->vocab; i++) {
        memcpy(t->bytes + t->start[i], parts->tokens[i], parts->token_bytes[i]);
        t->start[i + 1] = t->start[i] + parts->token_bytes[i];
        t->types[i] = parts->types[i];
    }
    memset(t->text_slots, -1, (t->text_mask + 1) * sizeof *t->text_slots);
    for (int i = 0; i < parts->vocab; i++) {
        if (t->types[i] != TOKEN_NORMAL)
            continue;
        const size_t slot = text_slot(t, parts->tokens[i], parts->token_bytes[i]);
        if (t->text_slots[slot] < 0) // of two tokens with the same bytes the first counts
            t->text_slots[slot] = i;
    }
    return 0;
}

static int find_text(const struct tokenizer *t, const char *bytes, size_t count)
{
    return t->text_slots[text_slot(t, bytes, count)];
}

static int copy_merges(struct tokenizer *t, const struct tokenizer_parts *parts, char *error, size_t error_size)
{
    t->merge_mask = table_size((size_t)parts->merges) - 1;
    t->merge = malloc(((size_t)parts->merges + 1) * sizeof *t->merge);
    t->merge_slots = malloc((t->merge_mask + 1) * sizeof *t->merge_slots);
    if (!t->merge || !t->merge_slots)
        return -ENOMEM;
    memset(t->merge_slots, -1, (t->merge_mask + 1) * sizeof *t->merge_slots);
    for (int i = 0; i < parts->merges; i++) {
        const struct merge_text *text = &parts->merge[i];
        const size_t joint = text->left_bytes + text->right_bytes;
        char *both = malloc(joint + 1);
        if (!both)
            return -ENOMEM;
        memcpy(both, text->left, text->left_bytes);
        memcpy(both + text->left_bytes, text->right, text->right_bytes);
        t->merge[i] = (struct merge){.left = find_text(t, text->left, text->left_bytes),
                                     .right = find_text(t, text->right, text->right_bytes),
                                     .result = find_text(t, both, joint)};
        free(both);
        if (t->merge[i].left < 0 || t->merge[i].right < 0 || t->merge[i].result < 0) {
            snprintf(error, error_size, "merge %d joins what are no tokens of the vocabulary", i);
            return -EINVAL;
        }
        const size_t slot = merge_slot(t, t->merge[i].left, t->merge[i].right);
        if (t->merge_slots[slot] < 0)
            t->merge_slots[slot] = i;
    }
    return 0;
}

int tokenizer_create(struct tokenizer **tokenizer, const struct tokenizer_parts *parts, char *error, size_t error_size)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    int rc = t ? 0 : -ENOMEM;
    if (!rc && (parts->bos < -1 || parts->bos >= parts->vocab || parts->eos < -1 || parts->eos >= parts->vocab)) {
        snprintf(error, error_size, "BOS or EOS is not in the vocabulary of %d tokens", parts->vocab);
        rc = -EINVAL;
        goto out;
    }
    if (!rc)
        rc = copy_tokens(t, parts);
    if (!rc)
        rc = copy_merges(t, parts, error, error_size);
    if (rc == -ENOMEM)
        snprintf(error, error_size, "no memory for a vocabulary of %d tokens", parts->vocab);
    if (rc)
        goto out;
    for (int byte = 0; byte < 256; byte++) {
        const char text = (char)byte;
        t->byte_id[byte] = find_text(t, &text, 1);
        if (t->byte_id[byte] < 0) {
            snprintf(error, error_size, "the vocabulary has no token for the single byte 0x%02x", byte);
            rc = -EINVAL;
            goto out;
        }
    }
    rc = splitter_create(&t->splitter, parts->pattern_name, error, error_size);
    t->vocab = parts->vocab;
    t->merges = parts->merges;
    t->bos = parts->bos;
    t->eos = parts->eos;
out:
    if (rc)
        tokenizer_free(t);
    else
        *tokenizer = t;
    return rc;
}

void tokenizer_free(struct tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    splitter_free(tokenizer->splitter);
    free(tokenizer->bytes);
    free(tokenizer->start);
    free(tokenizer->types);
    free(tokenizer->merge);
    free(tokenizer->merge_slots);
    free(tokenizer->text_slots);
    free(tokenizer);
}

// A pair of neighbours that may be merged. Best first: the lower rank, then the further left.
struct candidate {
    int32_t rank;
    int32_t left_id, right_id; // what stood there when the pair was pushed: it is stale if that has changed
    uint32_t left;
};

// One word being merged: its tokens as a doubly linked list, so that a merge costs the same in a long word as in a
// short one.
struct encoder {
    const struct tokenizer *tokenizer;
    int32_t *ids; // the result, grown by whole words
    size_t count, room;
    int32_t *token; // the word's tokens, -1 where merged away
    uint32_t *next, *previous;
    struct candidate *heap;
    size_t heap_count, word_room;
};

static int before(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static void heap_push(struct encoder *e, uint32_t left, uint32_t right)
{
    const struct tokenizer *t = e->tokenizer;
    const int32_t rank = t->merge_slots[merge_slot(t, e->token[left], e->token[right])];
    if (rank < 0)
        return;
    const struct candidate new = {.rank = rank, .left_id = e->token[left], .right_id = e->token[right], .left = left};
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

static int reserve(struct encoder *e, size_t bytes)
{
    if (bytes > UINT32_MAX / 2)
        return -EFBIG;
    if (e->count + bytes > e->room) {
        const size_t room = 2 * (e->count + bytes) + 64;
        int32_t *ids = realloc(e->ids, room * sizeof *ids);
        if (!ids)
            return -ENOMEM;
        e->ids = ids;
        e->room = room;
    }
    if (bytes > e->word_room) {
        const size_t room = 2 * bytes + 64;
        free(e->token);
        free(e->next);
        free(e->previous);
        free(e->heap);
        e->word_room = 0;
        e->token = malloc(room * sizeof *e->token);
        e->next = malloc(room * sizeof *e->next);
        e->previous = malloc(room * sizeof *e->previous);
        e->heap = malloc(3 * room * sizeof *e->heap); // one a neighbourhood, and two new ones a merge
        if (!e->token || !e->next || !e->previous || !e->heap)
            return -ENOMEM;
        e->word_room = room;
    }
    return 0;
}

static int encode_word(void *context, const char *start, size_t bytes)
{
    struct encoder *e = context;
    const struct tokenizer *t = e->tokenizer;
    const int rc = reserve(e, bytes);
    if (rc)
        return rc;
    const uint32_t end = (uint32_t)bytes;
    for (uint32_t i = 0; i < end; i++) {
        e->token[i] = t->byte_id[(uint8_t)start[i]];
        e->next[i] = i + 1;
        e->previous[i] = i - 1; // wraps around at 0, where it is not read
    }
    e->heap_count = 0;
    for (uint32_t i = 0; i + 1 < end; i++)
        heap_push(e, i, i + 1);
    while (e->heap_count) {
        const struct candidate best = heap_pop(e);
        const uint32_t left = best.left, right = e->next[left];
        if (e->token[left] != best.left_id || right >= end || e->token[right] != best.right_id)
            continue;
        e->token[left] = t->merge[best.rank].result;
        e->token[right] = -1;
        const uint32_t after = e->next[left] = e->next[right];
        if (after < end) {
            e->previous[after] = left;
            heap_push(e, left, after);
        }
        if (left > 0)
            heap_push(e, e->previous[left], left);
    }
    for (uint32_t i = 0; i < end; i = e->next[i])
        e->ids[e->count++] = e->token[i];
    return 0;
}

int tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t bytes, int32_t **ids, size_t *count)
{
    struct encoder e = {.tokenizer = tokenizer};
    int rc = reserve(&e, 1);
    if (!rc)
        rc = splitter_run(tokenizer->splitter, text, bytes, encode_word, &e);
    free(e.token);
    free(e.next);
    free(e.previous);
    free(e.heap);
    if (rc) {
        free(e.ids);
        return rc;
    }
    *ids = e.ids;
    *count = e.count;
    return 0;
}

// Whether a token stands for text, and not for a place in it.
static int is_text(const struct tokenizer *tokenizer, int32_t id)
{
    return tokenizer->types[id] == TOKEN_NORMAL || tokenizer->types[id] == TOKEN_USER_DEFINED;
}

int tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t count, char **text, size_t *bytes)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        if (ids[i] < 0 || ids[i] >= tokenizer->vocab)
            return -EINVAL;
        if (is_text(tokenizer, ids[i]))
            total += tokenizer->start[ids[i] + 1] - tokenizer->start[ids[i]];
    }
    char *out = malloc(total + 1);
    if (!out)
        return -ENOMEM;
    size_t length = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_text(tokenizer, ids[i]))
            continue;
        const size_t token_bytes = tokenizer->start[ids[i] + 1] - tokenizer->start[ids[i]];
        memcpy(out + length, tokenizer->bytes + tokenizer->start[ids[i]], token_bytes);
        length += token_bytes;
    }
    out[length] = '\0';
    *text = out;
    *bytes = length;
    return 0;
}

int tokenizer_vocab(const struct tokenizer *tokenizer)
{
    return tokenizer->vocab;
}

int tokenizer_bos(const struct tokenizer *tokenizer)
{
    return tokenizer->bos;
}

int tokenizer_eos(const struct tokenizer *tokenizer)
{
    return tokenizer->eos;
}

const char *tokenizer_token(const struct tokenizer *tokenizer, int id, size_t *bytes)
{
    *bytes = tokenizer->start[id + 1] - tokenizer->start[id];
    return tokenizer->bytes + tokenizer->start[id];
}

enum token_type tokenizer_type(const struct tokenizer *tokenizer, int id)
{
    return (enum token_type)tokenizer->types[id];
}

int tokenizer_merges(const struct tokenizer *tokenizer)
{
    return tokenizer->merges;
}

void tokenizer_merge(const struct tokenizer *tokenizer, int rank, int *left, int *right)
{
    *left = tokenizer->merge[rank].left;
    *right = tokenizer->merge[rank].right;
}

const char *tokenizer_pattern_name(const struct tokenizer *tokenizer)
{
    return splitter_name(tokenizer->splitter);
}

// GPT-2 shows a printable Latin-1 byte as the character itself, and the n-th other byte as U+0100 + n.
static int is_shown_as_itself(int byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

int tokenizer_byte_to_utf8(uint8_t byte, char *out)
{
    int character = byte;
    if (!is_shown_as_itself(byte)) {
        character = 0x100;
        for (int i = 0; i < byte; i++)
            character += !is_shown_as_itself(i);
    }
    if (character < 0x80) {
        out[0] = (char)character;
        return 1;
    }
    out[0] = (char)(0xc0 | character >> 6);
    out[1] = (char)(0x80 | (character & 0x3f));
    return 2;
}

int tokenizer_utf8_to_byte(const char *text, size_t bytes, int *used)
{
    if (!bytes)
        return -1;
    int character = (uint8_t)text[0];
    *used = 1;
    if (character >= 0x80) {
        if ((character & 0xe0) != 0xc0 || bytes < 2 || ((uint8_t)text[1] & 0xc0) != 0x80)
            return -1;
        character = (character & 0x1f) << 6 | ((uint8_t)text[1] & 0x3f);
        *used = 2;
    }
    if (character < 0x100)
        return is_shown_as_itself(character) ? character : -1;
    int left = character - 0x100;
    for (int byte = 0; byte < 256; byte++) {
        if (!is_shown_as_itself(byte) && left-- == 0)
            return byte;
    }
    return -1;
}
