// SPDX-License-Identifier: MIT
#include "bench/model/tokenizer.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/splitter.h"
#include "bench/model/tokenizer_internal.h"

enum { LONGEST_NAME = 256 }; // of a special token that is looked for in texts

// Slots for so many entries: a third stay empty.
static uint32_t table_room(int entries)
{
    return 16 + (uint32_t)entries + (uint32_t)entries / 2;
}

static bool is_text(int32_t type)
{
    return type == TOKEN_NORMAL || type == TOKEN_USER_DEFINED || type == TOKEN_BYTE;
}

static void enter_texts(struct tokenizer *t, enum token_type type)
{
    for (int i = 0; i < t->vocab; i++) {
        const size_t bytes = t->start[i + 1] - t->start[i];
        if (t->types[i] != (uint8_t)type || !bytes)
            continue;
        const size_t slot = tokenizer_text_slot(t, t->bytes + t->start[i], bytes);
        if (t->text_slots[slot] < 0) // of two tokens with the same bytes the first counts
            t->text_slots[slot] = i;
    }
}

static int copy_tokens(struct tokenizer *t, const struct tokenizer_parts *parts)
{
    const size_t vocab = (size_t)parts->vocab;
    size_t total = 0;
    bool strips = false;
    for (size_t i = 0; i < vocab; i++) {
        total += parts->token_bytes[i];
        strips |= parts->strips && parts->strips[i];
    }
    if (total > UINT32_MAX)
        return -ENOMEM;
    t->text_room = table_room(parts->vocab);
    t->bytes = malloc(total + 1);
    t->start = malloc((vocab + 1) * sizeof *t->start);
    t->types = malloc((vocab + 1) * sizeof *t->types);
    t->scores = parts->scores ? malloc((vocab + 1) * sizeof *t->scores) : NULL;
    t->strips = strips ? malloc(vocab + 1) : NULL;
    t->text_slots = malloc(t->text_room * sizeof *t->text_slots);
    if (!t->bytes || !t->start || !t->types || !t->text_slots || (parts->scores && !t->scores) || (strips && !t->strips))
        return -ENOMEM;
    t->start[0] = 0;
    for (size_t i = 0; i < vocab; i++) {
        memcpy(t->bytes + t->start[i], parts->tokens[i], parts->token_bytes[i]);
        t->start[i + 1] = t->start[i] + (uint32_t)parts->token_bytes[i];
        t->types[i] = (uint8_t)parts->types[i];
        if (t->types[i] == TOKEN_NORMAL && parts->token_bytes[i] > t->longest)
            t->longest = parts->token_bytes[i];
    }
    if (t->scores)
        memcpy(t->scores, parts->scores, vocab * sizeof *t->scores);
    if (strips)
        memcpy(t->strips, parts->strips, vocab);
    memset(t->text_slots, -1, t->text_room * sizeof *t->text_slots);
    t->vocab = parts->vocab;
    enter_texts(t, TOKEN_NORMAL);
    enter_texts(t, TOKEN_USER_DEFINED);
    return 0;
}

// The ids of single bytes, and which bytes ever follow each other inside a token: no merge joins any others.
static void learn_bytes(struct tokenizer *t)
{
    for (int byte = 0; byte < 256; byte++) {
        const char text = (char)byte;
        t->byte_id[byte] = t->kind == TOKENIZER_BYTES ? tokenizer_find_text(t, &text, 1) : -1;
    }
    t->worst_score = 0;
    for (int i = 0; i < t->vocab; i++) {
        const uint8_t *bytes = (const uint8_t *)t->bytes + t->start[i];
        const size_t count = t->start[i + 1] - t->start[i];
        if (t->types[i] == TOKEN_BYTE && count == 1 && t->byte_id[bytes[0]] < 0)
            t->byte_id[bytes[0]] = i;
        if (t->types[i] != TOKEN_NORMAL && t->types[i] != TOKEN_USER_DEFINED)
            continue;
        for (size_t k = 0; k + 1 < count; k++)
            t->joins[bytes[k]][bytes[k + 1] / 64] |= UINT64_C(1) << bytes[k + 1] % 64;
        if (t->scores && t->scores[i] < t->worst_score)
            t->worst_score = t->scores[i];
    }
}

static int copy_merges(struct tokenizer *t, const struct tokenizer_parts *parts, char *error, size_t error_size)
{
    t->merge_room = table_room(parts->merges);
    t->merge = malloc(((size_t)parts->merges + 1) * sizeof *t->merge);
    t->merge_slots = malloc(t->merge_room * sizeof *t->merge_slots);
    size_t longest = 0;
    for (int i = 0; i < parts->merges; i++) {
        const size_t joint = parts->merge[i].left_bytes + parts->merge[i].right_bytes;
        longest = joint > longest ? joint : longest;
    }
    char *both = malloc(longest + 1);
    int rc = t->merge && t->merge_slots && both ? 0 : -ENOMEM;
    if (t->kind == TOKENIZER_MERGES && !t->scores && !(t->scores = calloc((size_t)parts->vocab + 1, sizeof *t->scores)))
        rc = -ENOMEM; // as scores, ranks can be stored in a file that has no merges
    if (!rc)
        memset(t->merge_slots, -1, t->merge_room * sizeof *t->merge_slots);
    for (int i = 0; i < parts->merges && !rc; i++) {
        const struct merge_text *text = &parts->merge[i];
        memcpy(both, text->left, text->left_bytes);
        memcpy(both + text->left_bytes, text->right, text->right_bytes);
        t->merge[i] = (struct merge){.left = tokenizer_find_text(t, text->left, text->left_bytes),
                                     .right = tokenizer_find_text(t, text->right, text->right_bytes),
                                     .result = tokenizer_find_text(t, both, text->left_bytes + text->right_bytes)};
        if (t->merge[i].left < 0 || t->merge[i].right < 0 || t->merge[i].result < 0) {
            snprintf(error, error_size, "merge %d joins what are no tokens of the vocabulary", i);
            rc = -EINVAL;
            break;
        }
        const size_t slot = tokenizer_merge_slot(t, t->merge[i].left, t->merge[i].right);
        if (t->merge_slots[slot] < 0)
            t->merge_slots[slot] = i;
        if (t->kind == TOKENIZER_MERGES && t->scores[t->merge[i].result] >= 0)
            t->scores[t->merge[i].result] = -(double)(i + 1);
        t->merges = i + 1;
    }
    free(both);
    return rc;
}

static int new_node(struct tokenizer *t, uint8_t byte)
{
    if (t->name_count == t->name_room) {
        const int room = 2 * t->name_room + 64;
        struct name_node *grown = realloc(t->names, (size_t)room * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        t->names = grown;
        t->name_room = room;
    }
    t->names[t->name_count] = (struct name_node){.byte = byte, .id = -1, .plain_id = -1};
    return t->name_count++;
}

// Special tokens' names go into a tree, so that the longest one at a place in a text is found in one walk.
static int enter_names(struct tokenizer *t)
{
    if (new_node(t, 0) < 0)
        return -ENOMEM;
    for (int i = 0; i < t->vocab; i++) {
        const bool plain = t->types[i] == TOKEN_USER_DEFINED;
        if ((!plain && t->types[i] != TOKEN_CONTROL && t->types[i] != TOKEN_UNKNOWN) || t->start[i] == t->start[i + 1] ||
            t->start[i + 1] - t->start[i] > LONGEST_NAME)
            continue;
        const uint8_t *name = (const uint8_t *)t->bytes;
        t->begins_name[name[t->start[i]]] = true;
        t->begins_plain_name[name[t->start[i]]] |= plain;
        int node = 0;
        for (size_t k = t->start[i]; k < t->start[i + 1]; k++) {
            int child = t->names[node].child;
            while (child && t->names[child].byte != name[k])
                child = t->names[child].sibling;
            if (!child) {
                child = new_node(t, name[k]);
                if (child < 0)
                    return child;
                t->names[child].sibling = t->names[node].child;
                t->names[node].child = child;
            }
            node = child;
        }
        if (t->names[node].id < 0)
            t->names[node].id = i;
        if (plain && t->names[node].plain_id < 0)
            t->names[node].plain_id = i;
    }
    return 0;
}

static void collect_ends(struct tokenizer *t)
{
    static const char *const names[] = {"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>",
                                        "<EOT>", "<|eot|>", "<|end_of_turn|>", "<turn|>"};
    if (t->eos >= 0)
        t->ends[t->end_count++] = t->eos;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const int id = tokenizer_special(t, names[i]);
        if (id >= 0 && id != t->eos)
            t->ends[t->end_count++] = id;
    }
}

static int check_parts(const struct tokenizer_parts *p, char *error, size_t error_size)
{
    if (p->vocab < 1 || p->bos < -1 || p->bos >= p->vocab || p->eos < -1 || p->eos >= p->vocab || p->unknown < -1 || p->unknown >= p->vocab) {
        snprintf(error, error_size, "BOS, EOS or the unknown token is not in the vocabulary of %d tokens", p->vocab);
        return -EINVAL;
    }
    if ((p->kind == TOKENIZER_SCORES || p->kind == TOKENIZER_UNIGRAM) && !p->scores) {
        snprintf(error, error_size, "the vocabulary has no scores");
        return -EINVAL;
    }
    for (int i = 0; i < p->vocab && p->scores; i++) {
        if (!isfinite(p->scores[i])) {
            snprintf(error, error_size, "token %d has no finite score", i);
            return -EINVAL;
        }
    }
    return 0;
}

int tokenizer_create(struct tokenizer **tokenizer, const struct tokenizer_parts *parts, char *error, size_t error_size)
{
    int rc = check_parts(parts, error, error_size);
    struct tokenizer *t = rc ? NULL : calloc(1, sizeof *t);
    if (!t) {
        splitter_free(parts->splitter);
        if (!rc)
            snprintf(error, error_size, "no memory for a vocabulary of %d tokens", parts->vocab);
        return rc ? rc : -ENOMEM;
    }
    t->kind = parts->kind;
    t->splitter = parts->splitter;
    t->bos = parts->bos;
    t->eos = parts->eos;
    t->unknown = parts->unknown;
    t->no_bos = parts->no_bos;
    t->add_eos = parts->add_eos;
    t->whole_words = parts->whole_words;
    t->words_begin_with_spaces = parts->words_begin_with_spaces;
    t->compose = parts->compose;
    t->no_second_space = parts->no_second_space;
    t->space_prefix = parts->kind == TOKENIZER_BYTES ? SPACE_PREFIX_NONE : parts->space_prefix;
    rc = copy_tokens(t, parts);
    if (!rc) {
        learn_bytes(t);
        rc = copy_merges(t, parts, error, error_size);
    }
    if (!rc)
        rc = enter_names(t);
    if (!rc) {
        collect_ends(t);
        if (parts->chat_template && !(t->chat_template = strdup(parts->chat_template)))
            rc = -ENOMEM;
    }
    if (rc == -ENOMEM)
        snprintf(error, error_size, "no memory for a vocabulary of %d tokens", parts->vocab);
    if (!rc && t->kind == TOKENIZER_BYTES && !t->splitter)
        rc = splitter_create(&t->splitter, parts->pattern_name, error, error_size);
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
    free(tokenizer->scores);
    free(tokenizer->strips);
    free(tokenizer->merge);
    free(tokenizer->merge_slots);
    free(tokenizer->text_slots);
    free(tokenizer->names);
    free(tokenizer->chat_template);
    free(tokenizer);
}

const char *tokenizer_piece(const struct tokenizer *tokenizer, int32_t id, size_t *bytes)
{
    *bytes = 0;
    if (id < 0 || id >= tokenizer->vocab || !is_text(tokenizer->types[id]))
        return "";
    return tokenizer_token(tokenizer, id, bytes);
}

int tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t count, char **text, size_t *bytes)
{
    size_t total = 0, piece_bytes;
    for (size_t i = 0; i < count; i++) {
        if (ids[i] < 0 || ids[i] >= tokenizer->vocab)
            return -EINVAL;
        tokenizer_piece(tokenizer, ids[i], &piece_bytes);
        total += piece_bytes;
    }
    char *out = malloc(total + 1);
    if (!out)
        return -ENOMEM;
    size_t length = 0;
    bool prefixed = tokenizer->space_prefix != SPACE_PREFIX_NONE;
    for (size_t i = 0; i < count; i++) {
        const char *piece = tokenizer_piece(tokenizer, ids[i], &piece_bytes);
        if (!piece_bytes) {
            prefixed |= tokenizer->space_prefix == SPACE_PREFIX_EACH;
            continue;
        }
        const size_t skip = prefixed && piece[0] == ' ';
        prefixed = false;
        memcpy(out + length, piece + skip, piece_bytes - skip);
        length += piece_bytes - skip;
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
    return tokenizer->no_bos ? -1 : tokenizer->bos;
}

bool tokenizer_add_eos(const struct tokenizer *tokenizer)
{
    return tokenizer->add_eos && tokenizer->eos >= 0;
}

int tokenizer_eos(const struct tokenizer *tokenizer)
{
    return tokenizer->eos;
}

int tokenizer_bos_id(const struct tokenizer *tokenizer)
{
    return tokenizer->bos;
}

int tokenizer_unknown(const struct tokenizer *tokenizer)
{
    return tokenizer->unknown;
}

bool tokenizer_ends(const struct tokenizer *tokenizer, int32_t id)
{
    for (int i = 0; i < tokenizer->end_count; i++) {
        if (tokenizer->ends[i] == id)
            return true;
    }
    return false;
}

int tokenizer_special(const struct tokenizer *tokenizer, const char *name)
{
    int node = 0;
    for (; *name; name++) {
        node = tokenizer->names[node].child;
        while (node && tokenizer->names[node].byte != (uint8_t)*name)
            node = tokenizer->names[node].sibling;
        if (!node)
            return -1;
    }
    return node ? tokenizer->names[node].id : -1;
}

const char *tokenizer_chat_template(const struct tokenizer *tokenizer)
{
    return tokenizer->chat_template;
}

enum tokenizer_kind tokenizer_kind(const struct tokenizer *tokenizer)
{
    return tokenizer->kind;
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

float tokenizer_score(const struct tokenizer *tokenizer, int id)
{
    return tokenizer->scores ? (float)tokenizer->scores[id] : 0;
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
    return tokenizer->splitter ? splitter_name(tokenizer->splitter) : "default";
}

enum space_prefix tokenizer_space_prefix(const struct tokenizer *tokenizer)
{
    return tokenizer->space_prefix;
}
