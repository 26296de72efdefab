// SPDX-License-Identifier: MIT
// Tokenizers out of files give the ids that the reference implementations give (tests/data/README.md).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/model/compose.h"
#include "bench/model/gguf_file.h"
#include "bench/model/tokenizer.h"
#include "bench/model/tokenizer_file.h"

#define DATA "tests/data/"

static char *read_file(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("%s cannot be read", path);
    char *text = malloc(1 << 20);
    *bytes = fread(text, 1, (1 << 20) - 1, file);
    text[*bytes] = '\0';
    fclose(file);
    return text;
}

static struct tokenizer *load_json(const char *path)
{
    size_t bytes;
    char *text = read_file(path, &bytes), error[512];
    struct tokenizer *t = NULL;
    if (tokenizer_from_json_text(&t, text, bytes, 1 << 20, path, error, sizeof error))
        fail_msg("%s", error);
    free(text);
    return t;
}

static struct tokenizer *load_gguf(const char *path)
{
    struct gguf_file file;
    struct tokenizer *t = NULL;
    char error[512];
    if (gguf_open(&file, path, error, sizeof error) || tokenizer_from_gguf(&t, &file, 1 << 20, path, error, sizeof error))
        fail_msg("%s", error);
    gguf_close(&file);
    return t;
}

// One text against one line of ids; returns what is behind the line.
static const char *assert_ids(const struct tokenizer *t, unsigned flags, const char *text, size_t bytes, const char *line, int number)
{
    int32_t *ids;
    size_t count, i = 0;
    assert_int_equal(tokenizer_encode_text(t, text, bytes, flags, &ids, &count), 0);
    for (; *line && *line != '\n'; i++) {
        char *end;
        const long expected = strtol(line, &end, 10);
        assert_true(end != line);
        if (i >= count || ids[i] != expected)
            fail_msg("line %d, id %zu is %d instead of %ld: %.*s", number, i, i < count ? ids[i] : -1, expected, (int)(bytes < 200 ? bytes : 200), text);
        line = end + strspn(end, " ");
    }
    assert_int_equal(i, count);
    free(ids);
    return line + (*line == '\n');
}

static void assert_reference(struct tokenizer *t, unsigned flags, const char *ids_path)
{
    size_t bytes, ids_bytes;
    char *text = read_file(DATA "difficult.txt", &bytes), *ids = read_file(ids_path, &ids_bytes);
    const char *line = ids, *at = text;
    int number = 0;
    for (const char *end; (end = strchr(at, '\n')); at = end + 1)
        line = assert_ids(t, flags, at, (size_t)(end - at), line, ++number);
    assert_true(number > 30);
    line = assert_ids(t, flags, text, bytes, line, ++number);
    assert_int_equal(*line, '\0');
    free(text);
    free(ids);
    tokenizer_free(t);
}

static void byte_level_json(void **state)
{
    (void)state;
    assert_reference(load_json(DATA "tokenizers/bytes.json"), TOKENIZER_SPECIAL | TOKENIZER_DOCUMENT, DATA "tokenizers/bytes.ids");
}

static void characters_json(void **state)
{
    (void)state;
    assert_reference(load_json(DATA "tokenizers/characters.json"), TOKENIZER_SPECIAL | TOKENIZER_DOCUMENT, DATA "tokenizers/characters.ids");
}

static void unigram_json(void **state)
{
    (void)state;
    assert_reference(load_json(DATA "tokenizers/unigram.json"), TOKENIZER_SPECIAL, DATA "tokenizers/unigram.ids");
}

static void pieces_gguf(void **state)
{
    (void)state;
    assert_reference(load_gguf(DATA "tokenizers/pieces.gguf"), 0, DATA "tokenizers/pieces.ids");
}

// The real one, where the user has it.
static void smollm2(void **state)
{
    (void)state;
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char path[4096];
    snprintf(path, sizeof path, "%s%s/llmsweep/SmolLM2-135M-Instruct.Q4_1.gguf", cache && *cache ? cache : home ? home : "",
             cache && *cache ? "" : "/.cache");
    FILE *file = fopen(path, "rb");
    if (!file) {
        print_message("skipped: no %s (scripts/fetch_model.sh smollm2-135m)\n", path);
        skip();
    }
    fclose(file);
    assert_reference(load_gguf(path), 0, DATA "smollm2.ids");
}

static void special_tokens_and_their_spaces(void **state)
{
    (void)state;
    struct tokenizer *t = load_json(DATA "tokenizers/bytes.json");
    const int start = tokenizer_special(t, "<|im_start|>"), end = tokenizer_special(t, "<|im_end|>");
    assert_true(start >= 0 && end >= 0 && tokenizer_special(t, "<|im_") < 0 && tokenizer_special(t, "<|im_end|>x") < 0);
    assert_true(tokenizer_ends(t, end) && !tokenizer_ends(t, start));
    assert_true(tokenizer_bos(t) >= 0 && tokenizer_bos(t) == tokenizer_special(t, "<|begin|>"));
    static const char text[] = "<|im_start|>a<|im_end|>";
    int32_t *ids;
    size_t count;
    assert_int_equal(tokenizer_encode_text(t, text, sizeof text - 1, TOKENIZER_SPECIAL, &ids, &count), 0);
    assert_int_equal(count, 3);
    assert_int_equal(ids[0], start);
    assert_int_equal(ids[2], end);
    size_t bytes;
    assert_string_equal((tokenizer_piece(t, ids[0], &bytes), bytes ? "text" : "none"), "none");
    free(ids);
    assert_int_equal(tokenizer_encode(t, text, sizeof text - 1, &ids, &count), 0); // without the flag it is text like any other
    for (size_t i = 0; i < count; i++)
        assert_true(ids[i] != start && ids[i] != end);
    free(ids);
    // user-defined tokens are found all the same
    const int word = tokenizer_special(t, "HTTPServer");
    assert_true(word >= 0);
    assert_int_equal(tokenizer_encode(t, "xHTTPServers", 12, &ids, &count), 0);
    assert_int_equal(ids[1], word);
    free(ids);
    tokenizer_free(t);

    t = load_gguf(DATA "tokenizers/pieces.gguf"); // llama.cpp's way: the space before a text is one behind each special token, too
    assert_int_equal(tokenizer_encode_text(t, "<s>a</s>a", 9, TOKENIZER_SPECIAL, &ids, &count), 0);
    assert_int_equal(count, 4);
    assert_int_equal(ids[1], ids[3]);
    assert_memory_equal(tokenizer_piece(t, ids[1], &bytes), " a", 2);
    char *back;
    assert_int_equal(tokenizer_decode(t, ids, count, &back, &bytes), 0);
    assert_string_equal(back, "aa");
    free(back);
    free(ids);
    tokenizer_free(t);
}

// What decoding gives back is the text, spaces at its beginning and bytes that are no UTF-8 included.
static void any_bytes_come_back(void **state)
{
    (void)state;
    struct tokenizer *t = load_gguf(DATA "tokenizers/pieces.gguf");
    uint32_t random = 7;
    for (int round = 0; round < 500; round++) {
        char text[120], *back;
        int32_t *ids;
        size_t count, bytes;
        const size_t length = round % sizeof text;
        for (size_t i = 0; i < length; i++) {
            random = random * 1664525u + 1013904223u;
            text[i] = (char)((random >> 16) % (round % 3 ? 256 : 128));
        }
        assert_int_equal(tokenizer_encode(t, text, length, &ids, &count), 0);
        assert_int_equal(tokenizer_decode(t, ids, count, &back, &bytes), 0);
        assert_int_equal(bytes, length);
        assert_memory_equal(back, text, length);
        free(ids);
        free(back);
    }
    tokenizer_free(t);
}

static void normal_form_c(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to; // NULL: as it is
    } known[] = {
        {"plain", NULL},
        {"\xc3\xa9", NULL},                                               // e with acute, composed already (below U+0300)
        {"e\xcc\x81", "\xc3\xa9"},                                        // e, acute
        {"q\xcc\x87\xcc\xa3", "q\xcc\xa3\xcc\x87"},                       // marks above and below, put in order
        {"\xe2\x84\xab", "\xc3\x85"},                                     // Angstrom sign
        {"\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "\xea\xb0\x81"},         // Korean, three parts
        {"\xe0\xa5\x98", "\xe0\xa4\x95\xe0\xa4\xbc"},                     // Devanagari qa: never composed again
        {"o\xcc\x88\xcc\x84\xff", "\xc8\xab\xff"},                        // two marks, and a byte that is no UTF-8
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char *out;
        size_t bytes = strlen(known[i].from);
        assert_int_equal(compose_text(known[i].from, bytes, &out, &bytes), 0);
        if (!known[i].to) {
            assert_null(out);
            continue;
        }
        assert_non_null(out);
        assert_int_equal(bytes, strlen(known[i].to));
        assert_memory_equal(out, known[i].to, bytes);
        free(out);
    }
}

static void what_is_not_understood_is_named(void **state)
{
    (void)state;
#define BPE(rest) "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": []}" rest "}"
    static const struct {
        const char *json, *named;
    } known[] = {
        {"{", "t.json:1: not JSON"},
        {"[]", "no model"},
        {"{\"model\": {\"type\": \"WordPiece\"}}", "WordPiece"},
        {BPE(", \"normalizer\": {\"type\": \"Lowercase\"}"), "normalizer 'Lowercase'"},
        {BPE(", \"normalizer\": {\"type\": \"Lower\\ncase\"}"), "normalizer 'Lower?case'"},
        {BPE(", \"pre_tokenizer\": {\"type\": \"Whitespace\"}"), "pre-tokenizer 'Whitespace'"},
        {BPE(", \"post_processor\": {\"type\": \"Bert\"}"), "post-processor 'Bert'"},
        {BPE(", \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": \"a(\"}, "
             "\"behavior\": \"Isolated\"}, {\"type\": \"ByteLevel\", \"use_regex\": false}]}"),
         "'a('"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 4000000000}, \"merges\": []}}", "4000000001 tokens"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": [\"a b\"]}}", "merge 0"},
        {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [\"ab\"]}}", "merge 0"},
        {BPE(", \"added_tokens\": [{\"id\": 200, \"content\": \"x\"}]"), "embedding of 100"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct tokenizer *t;
        char error[512] = "";
        assert_int_equal(tokenizer_from_json_text(&t, known[i].json, strlen(known[i].json), 100, "t.json", error, sizeof error), -22);
        if (!strstr(error, known[i].named) || strchr(error, '\n'))
            fail_msg("'%s' is not one line with '%s'", error, known[i].named);
    }
    struct tokenizer *t;
    char error[512];
    assert_int_equal(tokenizer_from_json(&t, "no/such/folder", 100, error, sizeof error), -2);
    assert_non_null(strstr(error, "no/such/folder/tokenizer.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_level_json),
        cmocka_unit_test(characters_json),
        cmocka_unit_test(unigram_json),
        cmocka_unit_test(pieces_gguf),
        cmocka_unit_test(smollm2),
        cmocka_unit_test(special_tokens_and_their_spaces),
        cmocka_unit_test(any_bytes_come_back),
        cmocka_unit_test(normal_form_c),
        cmocka_unit_test(what_is_not_understood_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
