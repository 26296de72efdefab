// SPDX-License-Identifier: MIT
#include "bench/model/tokenizer_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/model.h"
#include "bench/model/tokenizer_file.h"
#include "bench/model/tokenizer_vocabulary.h"

enum { MOST_TOKENS = 1 << 22, MOST_MERGES = 1 << 22 };

// A tokenizer.json in work.
struct reader {
    const json_t *root, *model, *added;
    struct json_steps steps;
    struct vocabulary v;
    bool unigram;
    char *reason;
    size_t reason_size;
};

#define REFUSE(r, ...) (snprintf((r)->reason, (r)->reason_size, __VA_ARGS__), -EINVAL)

// Which of the kinds the model is, and that it asks for nothing that we do not do.
static int read_kind(struct reader *r, enum tokenizer_kind *kind)
{
    const char *type = json_text(r->model, "type");
    if (!type)
        type = json_object_get(r->model, "merges") ? "BPE" : "unnamed";
    r->unigram = !strcmp(type, "Unigram");
    if (!r->unigram && strcmp(type, "BPE"))
        return REFUSE(r, "the model '%.40s' (known: BPE, Unigram)", type);
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (int i = 0; i < 2; i++) {
        const char *affix = json_text(r->model, affixes[i]);
        if (affix && *affix)
            return REFUSE(r, "a model with %s", affixes[i]);
    }
    if (r->unigram && r->steps.byte_level)
        return REFUSE(r, "a Unigram model over bytes");
    *kind = r->unigram ? TOKENIZER_UNIGRAM : r->steps.byte_level ? TOKENIZER_BYTES : TOKENIZER_MERGES;
    return 0;
}

// One more than the largest id, and the bytes of all texts.
static int measure(struct reader *r, size_t *tokens, size_t *bytes)
{
    const json_t *vocab = json_object_get(r->model, "vocab"), *merges = json_object_get(r->model, "merges"), *value;
    json_int_t largest = -1;
    size_t i;
    const char *text;
    if (r->unigram ? !json_is_array(vocab) : !json_is_object(vocab) || !json_is_array(merges))
        return REFUSE(r, "a model without vocab or merges");
    if (r->unigram) {
        largest = (json_int_t)json_array_size(vocab) - 1;
        json_array_foreach(vocab, i, value)
            *bytes += json_string_length(json_array_get(value, 0)) + 1;
    } else {
        json_object_foreach((json_t *)vocab, text, value) {
            if (!json_is_integer(value) || json_integer_value(value) < 0)
                return REFUSE(r, "a token whose id is no number");
            largest = json_integer_value(value) > largest ? json_integer_value(value) : largest;
            *bytes += strlen(text) + 1;
        }
        json_array_foreach(merges, i, value)
            *bytes += json_is_string(value) ? json_string_length(value)
                                            : json_string_length(json_array_get(value, 0)) + json_string_length(json_array_get(value, 1));
    }
    json_array_foreach(r->added, i, value) {
        const json_t *id = json_object_get(value, "id");
        if (!json_is_integer(id) || json_integer_value(id) < 0 || !json_text(value, "content"))
            return REFUSE(r, "an added token without id or content");
        largest = json_integer_value(id) > largest ? json_integer_value(id) : largest;
        *bytes += json_string_length(json_object_get(value, "content")) + 1;
    }
    if (largest < 0 || largest >= MOST_TOKENS || json_array_size(merges) > MOST_MERGES)
        return REFUSE(r, "%lld tokens and %zu merges", (long long)largest + 1, json_array_size(merges));
    *tokens = (size_t)largest + 1;
    return 0;
}

static void set_token(struct reader *r, int id, const char *text)
{
    const size_t bytes = strlen(text);
    const bool byte = r->v.kind != TOKENIZER_BYTES && json_flag(r->model, "byte_fallback", false) && vocabulary_is_byte(text, bytes);
    // a token that is not in the model's form matches no text
    if (vocabulary_set(&r->v, id, text, bytes, byte ? TOKEN_BYTE : TOKEN_NORMAL))
        vocabulary_set(&r->v, id, text, bytes, TOKEN_UNUSED);
}

static int read_vocabulary(struct reader *r)
{
    const json_t *vocab = json_object_get(r->model, "vocab"), *value;
    const char *text;
    size_t i;
    if (!r->unigram) {
        json_object_foreach((json_t *)vocab, text, value)
            set_token(r, (int)json_integer_value(value), text);
        return 0;
    }
    json_array_foreach(vocab, i, value) {
        const json_t *score = json_array_get(value, 1);
        text = json_string_value(json_array_get(value, 0));
        if (!text || !json_is_number(score))
            return REFUSE(r, "token %zu is not a text and a score", i);
        set_token(r, (int)i, text);
        r->v.scores[i] = json_number_value(score);
    }
    return 0;
}

static int read_merges(struct reader *r)
{
    const json_t *merges = json_object_get(r->model, "merges"), *value;
    size_t i;
    json_array_foreach(merges, i, value) {
        const char *left = json_string_value(json_array_get(value, 0)), *right = json_string_value(json_array_get(value, 1)), *space;
        size_t left_bytes = left ? strlen(left) : 0;
        if (json_is_string(value) && *(left = json_string_value(value)) && (space = strchr(left + 1, ' '))) {
            left_bytes = (size_t)(space - left);
            right = space + 1;
        }
        if (!left || !right || vocabulary_merge(&r->v, left, left_bytes, right, strlen(right)))
            return REFUSE(r, "merge %zu is not two tokens", i);
    }
    return 0;
}

static int read_added(struct reader *r)
{
    const json_t *value;
    size_t i;
    json_array_foreach(r->added, i, value) {
        const int id = (int)json_integer_value(json_object_get(value, "id"));
        const char *content = json_text(value, "content");
        if (json_flag(value, "single_word", false))
            return REFUSE(r, "the added token '%.40s' with single_word", content);
        const bool control = json_flag(value, "special", false);
        // the model goes on to merge a token that is also a word of it
        if (control || r->v.types[id] != TOKEN_NORMAL)
            vocabulary_set(&r->v, id, content, strlen(content), control ? TOKEN_CONTROL : TOKEN_USER_DEFINED);
        else
            r->v.types[id] = TOKEN_USER_DEFINED;
        r->v.strips[id] = (uint8_t)((json_flag(value, "lstrip", false) ? TOKEN_STRIP_LEFT : 0) |
                                    (json_flag(value, "rstrip", false) ? TOKEN_STRIP_RIGHT : 0));
    }
    return 0;
}

// The id of a token by its text, as the model or the list of added tokens has it.
static int find_id(const struct reader *r, const char *text)
{
    const json_t *value;
    size_t i;
    if (!text)
        return -1;
    json_array_foreach(r->added, i, value) {
        if (!strcmp(json_text(value, "content"), text))
            return (int)json_integer_value(json_object_get(value, "id"));
    }
    const json_t *id = r->unigram ? NULL : json_object_get(json_object_get(r->model, "vocab"), text);
    return id ? (int)json_integer_value(id) : -1;
}

// A token of tokenizer_config.json: its text, or an object with it.
static int configured_id(const struct reader *r, const json_t *config, const char *name)
{
    const json_t *token = json_object_get(config, name);
    return find_id(r, json_is_string(token) ? json_string_value(token) : json_text(token, "content"));
}

static const char *chat_template(const json_t *config)
{
    const json_t *template = json_object_get(config, "chat_template"), *value;
    size_t i;
    if (json_is_string(template))
        return json_string_value(template);
    json_array_foreach(template, i, value) {
        const char *name = json_text(value, "name");
        if (name && !strcmp(name, "default"))
            return json_text(value, "template");
    }
    return NULL;
}

static int first_id(const json_t *config, const char *name, int vocab)
{
    const json_t *id = json_object_get(config, name);
    if (json_is_array(id))
        id = json_array_get(id, 0);
    return json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) < vocab ? (int)json_integer_value(id) : -1;
}

static int build(struct reader *r, struct tokenizer **tokenizer, const json_t *config, const json_t *generation)
{
    struct tokenizer_parts parts = vocabulary_parts(&r->v);
    parts.unknown = r->unigram ? first_id(r->model, "unk_id", r->v.count) : find_id(r, json_text(r->model, "unk_token"));
    parts.bos = r->steps.first ? find_id(r, r->steps.first) : configured_id(r, config, "bos_token");
    parts.eos = r->steps.last ? find_id(r, r->steps.last) : configured_id(r, config, "eos_token");
    if (parts.bos < 0)
        parts.bos = first_id(generation, "bos_token_id", r->v.count);
    if (parts.eos < 0)
        parts.eos = first_id(generation, "eos_token_id", r->v.count);
    parts.no_bos = r->steps.has_template ? !r->steps.first : !json_flag(config, "add_bos_token", false);
    parts.add_eos = r->steps.has_template ? r->steps.last != NULL : json_flag(config, "add_eos_token", false);
    parts.whole_words = json_flag(r->model, "ignore_merges", false);
    parts.words_begin_with_spaces = r->steps.words_begin_with_spaces;
    parts.compose = r->steps.compose;
    parts.space_prefix = r->steps.space_prefix;
    parts.no_second_space = r->steps.no_second_space;
    parts.chat_template = chat_template(config);
    if (parts.kind == TOKENIZER_BYTES) {
        const int rc = splitter_create_stages(&parts.splitter, r->steps.stages, r->steps.stage_count, r->reason, r->reason_size);
        if (rc)
            return rc;
    }
    return tokenizer_create(tokenizer, &parts, r->reason, r->reason_size);
}

static int read_all(struct reader *r, struct tokenizer **tokenizer, int vocab, const json_t *config, const json_t *generation)
{
    enum tokenizer_kind kind;
    size_t tokens = 0, bytes = 0;
    r->model = json_object_get(r->root, "model");
    r->added = json_object_get(r->root, "added_tokens");
    if (!json_is_object(r->model))
        return REFUSE(r, "no model");
    int rc = json_steps_read(&r->steps, r->root, r->reason, r->reason_size);
    if (rc)
        return rc;
    if ((rc = read_kind(r, &kind)) || (rc = measure(r, &tokens, &bytes)))
        return rc;
    if (tokens > (size_t)vocab)
        return REFUSE(r, "%zu tokens, but the model has an embedding of %d", tokens, vocab);
    rc = vocabulary_start(&r->v, kind, tokens, json_array_size(json_object_get(r->model, "merges")), 2 * bytes);
    if (rc) {
        snprintf(r->reason, r->reason_size, "no memory for its vocabulary");
        return rc;
    }
    if ((rc = read_vocabulary(r)) || (rc = read_merges(r)) || (rc = read_added(r)))
        return rc;
    return build(r, tokenizer, config, generation);
}

int tokenizer_from_json_text(struct tokenizer **tokenizer, const char *text, size_t bytes, int vocab, const char *name, char *error,
                             size_t error_size)
{
    json_error_t place;
    char reason[400] = "";
    json_t *root = json_loadb(text, bytes, 0, &place);
    if (!root) {
        snprintf(error, error_size, "%s:%d: not JSON: %.160s", name, place.line, place.text);
        model_one_line(error);
        return -EINVAL;
    }
    struct reader r = {.root = root, .reason = reason, .reason_size = sizeof reason};
    const int rc = read_all(&r, tokenizer, vocab, NULL, NULL);
    if (rc) {
        snprintf(error, error_size, "%s: not supported or not sound: %s", name, reason);
        model_one_line(error);
    }
    json_steps_free(&r.steps);
    vocabulary_free(&r.v);
    json_decref(root);
    return rc;
}

// A file of the folder; *root is NULL where there is none. -EINVAL with a line if it is no JSON.
static int load(json_t **root, const char *folder, const char *file, char *error, size_t error_size)
{
    char path[4096];
    json_error_t place;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    *root = NULL;
    FILE *opened = fopen(path, "rb");
    if (!opened)
        return errno == ENOENT ? 0 : (snprintf(error, error_size, "%s: cannot read: %s", path, strerror(errno)), -EINVAL);
    *root = json_loadf(opened, 0, &place);
    fclose(opened);
    if (!*root)
        snprintf(error, error_size, "%s:%d: not JSON: %.160s (download it again)", path, place.line, place.text);
    return *root ? 0 : -EINVAL;
}

int tokenizer_from_json(struct tokenizer **tokenizer, const char *folder, int vocab, char *error, size_t error_size)
{
    json_t *root = NULL, *config = NULL, *generation = NULL;
    char reason[400] = "";
    struct reader r = {.reason = reason, .reason_size = sizeof reason};
    int rc = load(&root, folder, "tokenizer.json", error, error_size);
    if (!rc && !root) {
        snprintf(error, error_size, "%s/tokenizer.json: No such file (download the model's tokenizer, too)", folder);
        rc = -ENOENT;
    }
    if (!rc)
        rc = load(&config, folder, "tokenizer_config.json", error, error_size);
    if (!rc)
        rc = load(&generation, folder, "generation_config.json", error, error_size);
    if (!rc) {
        r.root = root;
        rc = read_all(&r, tokenizer, vocab, config, generation);
        if (rc)
            snprintf(error, error_size, "%s/tokenizer.json: not supported or not sound: %s", folder, reason);
    }
    if (rc)
        model_one_line(error);
    json_steps_free(&r.steps);
    vocabulary_free(&r.v);
    json_decref(root);
    json_decref(config);
    json_decref(generation);
    return rc;
}
