// SPDX-License-Identifier: MIT
#include "bench/model/corpus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/model/model.h"
#include "bench/model/tokenizer.h"

enum { HELD_OUT_ONE_IN = 20, SHORTEST_TEXT = 1000 };

// splitmix64's finalizer.
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static bool is_held_out(uint64_t file, uint64_t place)
{
    return mix((file + 1) << 32 ^ (place + 1)) % HELD_OUT_ONE_IN == 0;
}

const char *corpus_wordnet_folder(void)
{
    const char *folder = getenv("LLMSWEEP_WORDNET");
    return folder && *folder ? folder : "/usr/share/wordnet";
}

// Appends a whole file to *storage. Grows as it reads, so that a pipe works as well as a file.
static int append_file(char **storage, size_t *bytes, const char *path, char *error, size_t error_size)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        const int rc = -errno;
        snprintf(error, error_size, "%s: %s", path, strerror(-rc));
        return rc;
    }
    size_t room = *bytes, got;
    int rc = 0;
    do {
        if (room - *bytes < 1 << 16) {
            room = 2 * room + (1 << 20);
            char *grown = realloc(*storage, room);
            if (!grown) {
                snprintf(error, error_size, "%s: no memory to hold the text", path);
                rc = -ENOMEM;
                break;
            }
            *storage = grown;
        }
        got = fread(*storage + *bytes, 1, room - *bytes, file);
        *bytes += got;
    } while (got > 0);
    struct stat info;
    if (!rc && ferror(file)) {
        rc = !fstat(fileno(file), &info) && S_ISDIR(info.st_mode) ? -EISDIR : -EIO;
        snprintf(error, error_size, rc == -EISDIR ? "%s: is a folder, not a text" : "%s: cannot be read", path);
    }
    fclose(file);
    return rc;
}

static int add_document(struct corpus *corpus, size_t *room, const char *text, size_t bytes, bool heldout)
{
    if (corpus->count == *room) {
        *room = 2 * *room + 1024;
        struct document *grown = realloc(corpus->documents, *room * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        corpus->documents = grown;
    }
    corpus->documents[corpus->count++] = (struct document){.text = text, .bytes = bytes, .heldout = heldout};
    return 0;
}

// One line of a data file: "00001740 03 n 01 entity 0 … | that which is perceived …". The licence's lines begin with a
// space.
static int add_gloss(struct corpus *corpus, size_t *room, uint64_t file, const char *line, const char *end)
{
    const char *bar = memchr(line, '|', (size_t)(end - line));
    if (*line == ' ' || !bar)
        return 0;
    uint64_t offset = 0;
    for (const char *p = line; p < end && *p >= '0' && *p <= '9'; p++)
        offset = offset * 10 + (uint64_t)(*p - '0');
    const char *start = bar + 1;
    while (start < end && *start == ' ')
        start++;
    while (end > start && (end[-1] == ' ' || end[-1] == '\r'))
        end--;
    return start < end ? add_document(corpus, room, start, (size_t)(end - start), is_held_out(file, offset)) : 0;
}

int corpus_load_glosses(struct corpus *corpus, const char *folder, char *error, size_t error_size)
{
    static const char *const names[] = {"noun", "verb", "adj", "adv"};
    enum { FILES = sizeof names / sizeof *names };
    size_t bytes = 0, ends[FILES], room = 0;
    int rc = 0;
    memset(corpus, 0, sizeof *corpus);
    if (!folder)
        folder = corpus_wordnet_folder();
    for (int i = 0; i < FILES && !rc; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/data.%s", folder, names[i]);
        rc = append_file(&corpus->storage, &bytes, path, error, error_size);
        ends[i] = bytes;
        if (rc == -ENOENT)
            snprintf(error, error_size,
                     "%s: not found (install the package wordnet-base, or name its folder in LLMSWEEP_WORDNET)", path);
    }
    if (rc)
        goto out;
    const char *line = corpus->storage;
    for (int i = 0; i < FILES; i++) {
        const char *const end_of_file = corpus->storage + ends[i];
        while (line < end_of_file) {
            const char *end = memchr(line, '\n', (size_t)(end_of_file - line));
            end = end ? end : end_of_file;
            rc = add_gloss(corpus, &room, (uint64_t)i, line, end);
            if (rc) {
                snprintf(error, error_size, "%s: no memory for the glosses", folder);
                goto out;
            }
            line = end < end_of_file ? end + 1 : end_of_file;
        }
    }
    if (!corpus->count) {
        snprintf(error, error_size,
                 "%s: no gloss in data.noun, data.verb, data.adj, data.adv (is this WordNet's folder?)", folder);
        rc = -EINVAL;
        goto out;
    }
    snprintf(corpus->source, sizeof corpus->source, "%s", folder);
out:
    if (rc)
        corpus_free(corpus);
    return rc;
}

// Where the first byte is that does not continue valid UTF-8 (RFC 3629), or bytes if all of it is valid.
static size_t find_invalid_utf8(const char *text, size_t bytes)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t i = 0;
    while (i < bytes) {
        const uint8_t first = p[i];
        const size_t more = first < 0x80                    ? 0
                            : first >= 0xc2 && first < 0xe0 ? 1
                            : first >= 0xe0 && first < 0xf0 ? 2
                            : first >= 0xf0 && first < 0xf5 ? 3
                                                            : 4;
        if (more == 4 || i + more >= bytes)
            return i;
        for (size_t k = 1; k <= more; k++) {
            if ((p[i + k] & 0xc0) != 0x80)
                return i;
        }
        if ((first == 0xe0 && p[i + 1] < 0xa0) || (first == 0xed && p[i + 1] >= 0xa0) ||
            (first == 0xf0 && p[i + 1] < 0x90) || (first == 0xf4 && p[i + 1] >= 0x90))
            return i;
        i += more + 1;
    }
    return bytes;
}

static int read_text(char **text, size_t *bytes, const char *path, char *error, size_t error_size)
{
    *text = NULL;
    *bytes = 0;
    int rc = append_file(text, bytes, path, error, error_size);
    if (rc)
        goto out;
    const char *nul = memchr(*text, '\0', *bytes);
    const size_t invalid = nul ? (size_t)(nul - *text) : find_invalid_utf8(*text, *bytes);
    if (invalid < *bytes) {
        snprintf(error, error_size, "%s: byte %zu is %s: not a text (give a UTF-8 text file)", path, invalid,
                 nul ? "NUL" : "no UTF-8");
        rc = -EINVAL;
    } else if (*bytes < SHORTEST_TEXT) {
        snprintf(error, error_size, "%s: %s%zu bytes, too short to measure anything (give at least %d bytes)", path,
                 *bytes ? "" : "empty, ", *bytes, SHORTEST_TEXT);
        rc = -EINVAL;
    }
out:
    if (rc) {
        free(*text);
        *text = NULL;
    }
    return rc;
}

int corpus_load_text(struct corpus *corpus, const char *path, char *error, size_t error_size)
{
    size_t bytes, room = 0, kept = 0;
    memset(corpus, 0, sizeof *corpus);
    int rc = read_text(&corpus->storage, &bytes, path, error, error_size);
    const char *start = corpus->storage, *const end = rc ? start : start + bytes;
    while (!rc && start < end) {
        while (start < end && *start == '\n')
            start++;
        const char *stop = start < end ? memmem(start, (size_t)(end - start), "\n\n", 2) : NULL;
        stop = stop ? stop : end;
        if (stop > start) {
            const bool heldout = is_held_out(0, corpus->count);
            kept += !heldout;
            rc = add_document(corpus, &room, start, (size_t)(stop - start), heldout);
            if (rc)
                snprintf(error, error_size, "%s: no memory for its paragraphs", path);
        }
        start = stop;
    }
    if (!rc && (!kept || kept == corpus->count)) {
        snprintf(error, error_size,
                 "%s: %zu paragraphs are too few to train on some and hold out others (give more text)", path,
                 corpus->count);
        rc = -EINVAL;
    }
    if (rc)
        corpus_free(corpus);
    else
        snprintf(corpus->source, sizeof corpus->source, "%s", path);
    return rc;
}

void corpus_free(struct corpus *corpus)
{
    free(corpus->documents);
    free(corpus->storage);
    memset(corpus, 0, sizeof *corpus);
}

struct id_list {
    int32_t *ids;
    size_t count, room;
};

// BOS (if the vocabulary has one), then the text.
static int append_document(struct id_list *list, const struct tokenizer *tokenizer, const char *text, size_t bytes)
{
    int32_t *ids;
    size_t count;
    const int rc = tokenizer_encode(tokenizer, text, bytes, &ids, &count);
    if (rc)
        return rc;
    if (list->count + count + 1 > list->room) {
        const size_t room = 2 * (list->count + count + 1);
        int32_t *grown = realloc(list->ids, room * sizeof *grown);
        if (!grown) {
            free(ids);
            return -ENOMEM;
        }
        list->ids = grown;
        list->room = room;
    }
    if (tokenizer_bos(tokenizer) >= 0)
        list->ids[list->count++] = tokenizer_bos(tokenizer);
    memcpy(list->ids + list->count, ids, count * sizeof *ids);
    list->count += count;
    free(ids);
    return 0;
}

static int encode_documents(const struct corpus *corpus, const struct tokenizer *tokenizer, bool heldout,
                            const uint32_t *order, size_t max_tokens, struct id_list *list)
{
    int rc = 0;
    for (size_t i = 0; i < corpus->count && list->count < max_tokens && !rc; i++) {
        const struct document *document = &corpus->documents[order ? order[i] : i];
        if (document->heldout == heldout)
            rc = append_document(list, tokenizer, document->text, document->bytes);
    }
    return rc;
}

int corpus_encode(const struct corpus *corpus, const struct tokenizer *tokenizer, bool heldout, const uint32_t *order,
                  int32_t **ids, size_t *count)
{
    struct id_list list = {0};
    const int rc = encode_documents(corpus, tokenizer, heldout, order, SIZE_MAX, &list);
    if (rc) {
        free(list.ids);
        return rc;
    }
    *ids = list.ids;
    *count = list.count;
    return 0;
}

static uint64_t hash_text(uint64_t hash, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3u;
    return hash;
}

int corpus_heldout(const struct model *model, const char *text_path, size_t max_tokens, int32_t **ids, size_t *count,
                   uint64_t *text_hash, char *error, size_t error_size)
{
    if (!model->tokenizer) {
        snprintf(error, error_size,
                 "%s has no vocabulary that text could be encoded with, so it has no quality to measure",
                 model->config.name);
        return -ENOTSUP;
    }
    struct id_list list = {0};
    uint64_t hash = 0xcbf29ce484222325u;
    int rc;
    if (text_path) {
        char *text;
        size_t bytes;
        rc = read_text(&text, &bytes, text_path, error, error_size);
        if (rc)
            return rc;
        hash = hash_text(hash, text, bytes);
        rc = append_document(&list, model->tokenizer, text, bytes);
        free(text);
    } else {
        struct corpus corpus;
        rc = corpus_load_glosses(&corpus, NULL, error, error_size);
        if (rc)
            return rc;
        for (size_t i = 0; i < corpus.count; i++) {
            if (corpus.documents[i].heldout)
                hash = hash_text(hash, corpus.documents[i].text, corpus.documents[i].bytes);
        }
        rc = encode_documents(&corpus, model->tokenizer, true, NULL, max_tokens, &list);
        corpus_free(&corpus);
    }
    if (rc) {
        snprintf(error, error_size, "%s: %s while encoding it", text_path ? text_path : corpus_wordnet_folder(),
                 strerror(-rc));
        free(list.ids);
        return rc;
    }
    *ids = list.ids;
    *count = list.count < max_tokens ? list.count : max_tokens;
    *text_hash = hash;
    return 0;
}
