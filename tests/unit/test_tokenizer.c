// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/model/bpe_train.h"
#include "bench/model/corpus.h"
#include "bench/model/splitter.h"
#include "bench/model/tokenizer.h"

static uint32_t random_state = 12345;

static uint32_t next_random(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

// The printable form, as published in GPT-2's encoder: space is U+0120, newline U+010A, soft hyphen (0xad) U+0143.
static void bytes_have_gpt2_form(void **state)
{
    (void)state;
    const struct {
        uint8_t byte;
        const char *form;
    } known[] = {{' ', "\xc4\xa0"},  {'\n', "\xc4\x8a"}, {'!', "!"},         {'~', "~"},        {0, "\xc4\x80"},
                 {0x7f, "\xc4\xa1"}, {0xa0, "\xc5\x82"}, {0xad, "\xc5\x83"}, {0xff, "\xc3\xbf"}};
    char form[4];
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const int length = tokenizer_byte_to_utf8(known[i].byte, form);
        assert_int_equal(length, strlen(known[i].form));
        assert_memory_equal(form, known[i].form, (size_t)length);
    }
    for (int byte = 0; byte < 256; byte++) {
        int used;
        const int length = tokenizer_byte_to_utf8((uint8_t)byte, form);
        assert_int_equal(tokenizer_utf8_to_byte(form, (size_t)length, &used), byte);
        assert_int_equal(used, length);
    }
    int used;
    assert_int_equal(tokenizer_utf8_to_byte(" ", 1, &used), -1);
    assert_int_equal(tokenizer_utf8_to_byte("\xc5\x84", 2, &used), -1); // the first character beyond the map
    assert_int_equal(tokenizer_utf8_to_byte("\xc4", 1, &used), -1);
    assert_int_equal(tokenizer_utf8_to_byte("", 0, &used), -1);
}

static int append_piece(void *context, const char *start, size_t bytes)
{
    char *all = context;
    strcat(all, "[");
    strncat(all, start, bytes);
    strcat(all, "]");
    return 0;
}

static void text_is_split_as_gpt2_does(void **state)
{
    (void)state;
    const struct {
        const char *pattern, *text, *pieces;
    } known[] = {
        {"gpt-2", "I'm here,  now 123!", "[I]['m][ here][,][ ][ now][ 123][!]"},
        {"gpt-2", "it's  \n\n done", "[it]['s][  \n\n][ done]"},
        {"gpt-2", "na\xc3\xafve caf\xc3\xa9", "[na\xc3\xafve][ caf\xc3\xa9]"},
        {"gpt-2",
         "a\xff\xfe"
         "b",
         "[a][\xff\xfe][b]"}, // bytes that are no UTF-8 are pieces of their own
        {"smollm", "in 1984", "[in][ ][1][9][8][4]"},
        {"smollm", "in  84", "[in][  ][8][4]"}, // the digits are cut off first, so both spaces are at an end
        {"deepseek-v3", "x=1234; #foo \xe4\xb8\xad\xe6\x96\x87" "a", "[x][=][123][4][;][ #][foo][ ][\xe4\xb8\xad\xe6\x96\x87][a]"},
        {"default", "a+b 12345", "[a][+][b][ ][123][45]"},
        {"qwen2", "x  12\n\n y", "[x][ ][ ][1][2][\n\n][ y]"},
        {"gpt-4o", "HTTPServer's a/b\n", "[HTTPServer's][ a][/b][\n]"},
        {"llama-bpe", "in 1984's", "[in][ ][198][4]['s]"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct splitter *splitter;
        char error[200], pieces[200] = "";
        assert_int_equal(splitter_create(&splitter, known[i].pattern, error, sizeof error), 0);
        assert_int_equal(splitter_run(splitter, known[i].text, strlen(known[i].text), append_piece, pieces), 0);
        assert_string_equal(pieces, known[i].pieces);
        splitter_free(splitter);
    }
    struct splitter *splitter;
    char error[200];
    assert_true(splitter_create(&splitter, "klingon", error, sizeof error) < 0);
    assert_non_null(strstr(error, "klingon"));
}

// 256 bytes, the given merges ("ab" joins a and b), and a control token.
struct hand_made {
    char text[300][8];
    const char *tokens[300];
    size_t bytes[300];
    int32_t types[300];
    struct merge_text merges[40];
    int count, merge_count;
};

static struct tokenizer *make_tokenizer(struct hand_made *h, const char *const (*merges)[2], int merge_count)
{
    memset(h, 0, sizeof *h);
    for (int i = 0; i < 256; i++) {
        h->text[i][0] = (char)i;
        h->bytes[i] = 1;
    }
    h->count = 256;
    for (int i = 0; i < merge_count; i++) {
        snprintf(h->text[h->count], sizeof h->text[0], "%s%s", merges[i][0], merges[i][1]);
        h->bytes[h->count] = strlen(h->text[h->count]);
        h->count++;
        h->merges[i] = (struct merge_text){merges[i][0], merges[i][1], strlen(merges[i][0]), strlen(merges[i][1])};
    }
    strcpy(h->text[h->count], "<end>");
    h->bytes[h->count++] = 5;
    for (int i = 0; i < h->count; i++) {
        h->tokens[i] = h->text[i];
        h->types[i] = i == h->count - 1 ? TOKEN_CONTROL : TOKEN_NORMAL;
    }
    h->merge_count = merge_count;
    struct tokenizer *tokenizer = NULL;
    char error[200] = "";
    const struct tokenizer_parts parts = {.pattern_name = "gpt-2",
                                          .vocab = h->count,
                                          .tokens = h->tokens,
                                          .token_bytes = h->bytes,
                                          .types = h->types,
                                          .merges = h->merge_count,
                                          .merge = h->merges,
                                          .bos = h->count - 1,
                                          .eos = h->count - 1,
                                          .unknown = -1};
    if (tokenizer_create(&tokenizer, &parts, error, sizeof error))
        fail_msg("%s", error);
    return tokenizer;
}

static const char *const letter_merges[][2] = {{"b", "c"}, {"a", "b"},   {"a", "bc"},  {"c", "c"},   {"ab", "ab"},
                                               {"d", "a"}, {"cc", "cc"}, {"abc", "d"}, {"bc", "bc"}, {"da", "d"}};
enum { LETTER_MERGES = sizeof letter_merges / sizeof *letter_merges };

// The definition, step by step: join all occurrences of the best-ranked pair, left to right, until no pair is in the
// list.
static size_t encode_naively(const struct tokenizer *t, const char *text, size_t bytes, int32_t *ids)
{
    size_t count = bytes;
    for (size_t i = 0; i < bytes; i++)
        ids[i] = (uint8_t)text[i];
    for (;;) {
        int best = tokenizer_merges(t), left, right;
        for (size_t i = 0; i + 1 < count; i++) {
            for (int rank = 0; rank < best; rank++) {
                tokenizer_merge(t, rank, &left, &right);
                if (ids[i] == left && ids[i + 1] == right)
                    best = rank;
            }
        }
        if (best == tokenizer_merges(t))
            return count;
        tokenizer_merge(t, best, &left, &right);
        size_t kept = 0;
        for (size_t i = 0; i < count; kept++) {
            const int join = i + 1 < count && ids[i] == left && ids[i + 1] == right;
            ids[kept] = join ? 256 + best : ids[i];
            i += join ? 2 : 1;
        }
        count = kept;
    }
}

static void merging_follows_the_definition(void **state)
{
    (void)state;
    static struct hand_made hand;
    struct tokenizer *t = make_tokenizer(&hand, letter_merges, LETTER_MERGES);
    for (int round = 0; round < 2000; round++) {
        char text[64];
        int32_t expected[64], *ids;
        size_t count;
        const size_t bytes = 1 + next_random() % 60; // letters only: one word
        for (size_t i = 0; i < bytes; i++)
            text[i] = "abcd"[next_random() % 4];
        const size_t expected_count = encode_naively(t, text, bytes, expected);
        assert_int_equal(tokenizer_encode(t, text, bytes, &ids, &count), 0);
        assert_int_equal(count, expected_count);
        assert_memory_equal(ids, expected, count * sizeof *ids);
        free(ids);
    }
    tokenizer_free(t);
}

static void assert_inverse(const struct tokenizer *t, const char *text, size_t bytes)
{
    int32_t *ids;
    size_t count, back_bytes;
    char *back;
    assert_int_equal(tokenizer_encode(t, text, bytes, &ids, &count), 0);
    assert_int_equal(tokenizer_decode(t, ids, count, &back, &back_bytes), 0);
    assert_int_equal(back_bytes, bytes);
    assert_memory_equal(back, text, bytes);
    free(back);
    free(ids);
}

static void decoding_gives_back_any_bytes(void **state)
{
    (void)state;
    static struct hand_made hand;
    struct tokenizer *t = make_tokenizer(&hand, letter_merges, LETTER_MERGES);
    char text[256];
    for (int round = 0; round < 500; round++) {
        const size_t bytes = next_random() % sizeof text;
        for (size_t i = 0; i < bytes; i++)
            text[i] = (char)(next_random() % (round % 2 ? 256 : 128));
        assert_inverse(t, text, bytes);
    }
    assert_inverse(t, "", 0);
    assert_inverse(t, "<end>", 5); // a control token's name in a text is text
    size_t long_word = 1 << 20;    // would take hours if merging were quadratic
    char *word = malloc(long_word);
    for (size_t i = 0; i < long_word; i++)
        word[i] = "abcd"[next_random() % 4];
    assert_inverse(t, word, long_word);
    free(word);
    tokenizer_free(t);
}

static void control_tokens_have_no_text(void **state)
{
    (void)state;
    static struct hand_made hand;
    struct tokenizer *t = make_tokenizer(&hand, letter_merges, LETTER_MERGES);
    const int32_t ids[] = {tokenizer_bos(t), 'x', tokenizer_eos(t)}, wrong[] = {tokenizer_vocab(t)}, negative[] = {-1};
    char *text;
    size_t bytes;
    assert_int_equal(tokenizer_decode(t, ids, 3, &text, &bytes), 0);
    assert_string_equal(text, "x");
    assert_int_equal(bytes, 1);
    free(text);
    assert_true(tokenizer_decode(t, wrong, 1, &text, &bytes) < 0);
    assert_true(tokenizer_decode(t, negative, 1, &text, &bytes) < 0);
    tokenizer_free(t);
}

// Vocabularies of real models lack bytes that their text never had. Such a byte is the unknown token, or left out where there is none.
static void bytes_without_a_token(void **state)
{
    (void)state;
    static struct hand_made hand;
    tokenizer_free(make_tokenizer(&hand, letter_merges, LETTER_MERGES));
    hand.types['q'] = TOKEN_UNUSED;
    for (int unknown = -1; unknown <= '?'; unknown += '?' + 1) {
        const struct tokenizer_parts parts = {.pattern_name = "gpt-2",
                                              .vocab = hand.count,
                                              .tokens = hand.tokens,
                                              .token_bytes = hand.bytes,
                                              .types = hand.types,
                                              .merges = hand.merge_count,
                                              .merge = hand.merges,
                                              .bos = -1,
                                              .eos = -1,
                                              .unknown = unknown};
        struct tokenizer *t;
        char error[200];
        assert_int_equal(tokenizer_create(&t, &parts, error, sizeof error), 0);
        int32_t *ids;
        size_t count;
        assert_int_equal(tokenizer_encode(t, "xqqy xqqy", 9, &ids, &count), 0);
        const int32_t left_out[] = {'x', 'y', ' ', 'x', 'y'}, marked[] = {'x', '?', 'y', ' ', 'x', '?', 'y'};
        assert_int_equal(count, unknown < 0 ? 5 : 7);
        assert_memory_equal(ids, unknown < 0 ? left_out : marked, count * sizeof *ids);
        free(ids);
        tokenizer_free(t);
    }
}

static void bad_vocabularies_are_refused(void **state)
{
    (void)state;
    static struct hand_made hand;
    tokenizer_free(make_tokenizer(&hand, letter_merges, LETTER_MERGES));
    const struct tokenizer_parts good = {.pattern_name = "gpt-2",
                                         .vocab = hand.count,
                                         .tokens = hand.tokens,
                                         .token_bytes = hand.bytes,
                                         .types = hand.types,
                                         .merges = hand.merge_count,
                                         .merge = hand.merges,
                                         .bos = -1,
                                         .eos = -1,
                                         .unknown = -1};
    struct tokenizer *t;
    char error[200];
    struct tokenizer_parts bad = good;
    bad.bos = hand.count;
    assert_true(tokenizer_create(&t, &bad, error, sizeof error) < 0);
    assert_non_null(strstr(error, "BOS"));
    bad = good;
    bad.pattern_name = "klingon";
    assert_true(tokenizer_create(&t, &bad, error, sizeof error) < 0);
    const struct merge_text kept = hand.merges[3];
    hand.merges[3] = (struct merge_text){"x", "y", 1, 1};
    assert_true(tokenizer_create(&t, &good, error, sizeof error) < 0);
    assert_non_null(strstr(error, "merge 3"));
    hand.merges[3] = kept;
}

static void training_joins_the_most_frequent_pairs(void **state)
{
    (void)state;
    // Words with their blanks: "aab" 3×, " aab" 2×, " ab" once: "ab" occurs 6×, then "aab" 5×; the held-out text none.
    struct document documents[] = {
        {"aab aab ab", 10, false}, {"aab aab", 7, false}, {"aab", 3, false}, {"zzzzzzzzzzzz", 12, true}};
    const struct corpus corpus = {.documents = documents, .count = 4, .source = "test"};
    struct tokenizer *t;
    char error[200];
    assert_int_equal(bpe_train(&t, &corpus, 260, error, sizeof error), 0);
    assert_int_equal(tokenizer_vocab(t), 260);
    assert_int_equal(tokenizer_merges(t), 3);
    static const char *const expected[] = {"ab", "aab", " aab"};
    size_t bytes;
    for (int i = 0; i < 3; i++) {
        const char *text = tokenizer_token(t, 256 + i, &bytes);
        assert_int_equal(bytes, strlen(expected[i]));
        assert_memory_equal(text, expected[i], bytes);
    }
    assert_int_equal(tokenizer_type(t, 259), TOKEN_CONTROL);
    assert_int_equal(tokenizer_bos(t), 259);
    assert_int_equal(tokenizer_eos(t), 259);
    tokenizer_free(t);
    // More entries than there are pairs that occur twice: the rest stays unused.
    assert_int_equal(bpe_train(&t, &corpus, 300, error, sizeof error), 0);
    assert_int_equal(tokenizer_type(t, 298), TOKEN_UNUSED);
    assert_inverse(t, "zz aab ab", 9);
    tokenizer_free(t);
    assert_true(bpe_train(&t, &corpus, 256, error, sizeof error) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_have_gpt2_form),
        cmocka_unit_test(text_is_split_as_gpt2_does),
        cmocka_unit_test(merging_follows_the_definition),
        cmocka_unit_test(decoding_gives_back_any_bytes),
        cmocka_unit_test(control_tokens_have_no_text),
        cmocka_unit_test(bytes_without_a_token),
        cmocka_unit_test(bad_vocabularies_are_refused),
        cmocka_unit_test(training_joins_the_most_frequent_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
