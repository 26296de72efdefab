// SPDX-License-Identifier: MIT
// What tokenizer.c builds and tokenizer_encode.c reads.
#ifndef LLMSWEEP_TOKENIZER_INTERNAL_H
#define LLMSWEEP_TOKENIZER_INTERNAL_H

#include <string.h>

#include "bench/model/tokenizer.h"

struct merge {
    int32_t left, right, result;
};

// A node of the tree of special tokens' names; children are a list.
struct name_node {
    int32_t child, sibling; // 0: none, since the root is nobody's child
    int32_t id, plain_id;   // of the token that ends here, and the same if it is user-defined; -1: none
    uint8_t byte;
};

enum { MOST_ENDS = 16 };

struct tokenizer {
    enum tokenizer_kind kind;
    struct splitter *splitter; // BYTES
    int vocab, merges, bos, eos, unknown, ends[MOST_ENDS], end_count;
    bool no_bos, add_eos, whole_words, words_begin_with_spaces, compose, no_second_space;
    enum space_prefix space_prefix;
    char *bytes;          // all tokens' bytes, one after the other
    uint32_t *start;      // (vocab + 1) where each token's bytes start
    uint8_t *types;       // (vocab)
    double *scores;        // (vocab) or NULL
    uint8_t *strips;      // (vocab), NULL where no token strips anything
    struct merge *merge;  // (merges) best first
    int32_t *merge_slots; // open-addressed: (left, right) → rank, -1 where empty
    int32_t *text_slots;  // open-addressed: bytes → id, -1 where empty
    uint32_t merge_room, text_room; // slots
    size_t longest;
    int32_t byte_id[256];      // -1: no token
    uint64_t joins[256][4];    // bit (a, b): some token has byte b behind byte a
    struct name_node *names;   // names[0] is the root
    int name_count, name_room;
    bool begins_name[256], begins_plain_name[256];
    double worst_score;
    char *chat_template;
};

static inline uint64_t tokenizer_hash(const char *bytes, size_t count)
{
    uint64_t hash = count * 0x9e3779b97f4a7c15u;
    for (; count >= 8; bytes += 8, count -= 8) {
        uint64_t eight;
        memcpy(&eight, bytes, 8);
        hash = (hash ^ eight) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
    }
    uint64_t rest = 0;
    for (size_t i = 0; i < count; i++)
        rest |= (uint64_t)(uint8_t)bytes[i] << (8 * i);
    hash = (hash ^ rest) * 0xff51afd7ed558ccdu;
    return hash ^ hash >> 29;
}

// A hash's upper half decides on one of `room` slots, so that a table may have any size.
static inline uint32_t tokenizer_first_slot(uint64_t hash, uint32_t room)
{
    return (uint32_t)((hash >> 32) * room >> 32);
}

static inline uint32_t tokenizer_next_slot(uint32_t slot, uint32_t room)
{
    return slot + 1 < room ? slot + 1 : 0;
}

// Where the bytes are in text_slots, or the empty slot where they would go.
static inline size_t tokenizer_text_slot(const struct tokenizer *t, const char *bytes, size_t count)
{
    uint32_t slot = tokenizer_first_slot(tokenizer_hash(bytes, count), t->text_room);
    for (; t->text_slots[slot] >= 0; slot = tokenizer_next_slot(slot, t->text_room)) {
        const int32_t id = t->text_slots[slot];
        if (t->start[id + 1] - t->start[id] == count && !memcmp(t->bytes + t->start[id], bytes, count))
            break;
    }
    return slot;
}

static inline int32_t tokenizer_find_text(const struct tokenizer *t, const char *bytes, size_t count)
{
    return t->text_slots[tokenizer_text_slot(t, bytes, count)];
}

static inline size_t tokenizer_merge_slot(const struct tokenizer *t, int32_t left, int32_t right)
{
    const uint64_t key = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    uint32_t slot = tokenizer_first_slot(key, t->merge_room);
    for (; t->merge_slots[slot] >= 0; slot = tokenizer_next_slot(slot, t->merge_room)) {
        const struct merge *merge = &t->merge[t->merge_slots[slot]];
        if (merge->left == left && merge->right == right)
            break;
    }
    return slot;
}

#endif
