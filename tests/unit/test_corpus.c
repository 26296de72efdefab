// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench/model/bpe_train.h"
#include "bench/model/corpus.h"
#include "bench/model/model.h"
#include "bench/model/tokenizer.h"

static char folder[] = "/tmp/llmsweep-XXXXXX";
static char text_path[64];

static void write_bytes(const char *path, const char *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    fclose(file);
}

static void write_file(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    write_bytes(path, text, strlen(text));
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(text_path, sizeof text_path, "%s/text", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static void wordnet_has_its_known_size(void **state)
{
    (void)state;
    struct corpus corpus;
    char error[300];
    if (corpus_load_glosses(&corpus, NULL, error, sizeof error))
        fail_msg("%s", error);
    assert_int_equal(corpus.count,
                     117659); // WordNet 3.0's synsets: 82115 nouns, 13767 verbs, 18156 adjectives, 3621 adverbs
    static const char first[] =
        "that which is perceived or known or inferred to have its own distinct existence (living or nonliving)";
    assert_int_equal(corpus.documents[0].bytes, strlen(first));
    assert_memory_equal(corpus.documents[0].text, first, strlen(first));
    size_t heldout = 0;
    for (size_t i = 0; i < corpus.count; i++) {
        assert_true(corpus.documents[i].bytes > 0);
        assert_null(memchr(corpus.documents[i].text, '\n', corpus.documents[i].bytes));
        heldout += corpus.documents[i].heldout;
    }
    assert_int_equal(heldout, 5900); // one in twenty: changing the choice would change every figure measured on it
    corpus_free(&corpus);
}

static const char *const glosses[] = {
    "00000100 00 n 01 a 0 000 | gloss one; \"with an example\"  \n", "00000200 00 n 01 b 0 000 | gloss two  \n",
    "00000300 00 n 01 c 0 000 | gloss three\n", "00000400 00 n 01 d 0 000 |   gloss four  \n"};

static void glosses_are_the_text_after_the_bar(void **state)
{
    (void)state;
    char text[600], error[300];
    struct corpus corpus;
    snprintf(text, sizeof text, "  1 a licence | with a bar  \n%s%s%s%s", glosses[0], glosses[1], glosses[2],
             glosses[3]);
    write_file("data.noun", text);
    write_file("data.verb", "00000100 00 v 01 e 0 000 | gloss five"); // no newline at the end of the file
    write_file("data.adj", "00000100 00 a 01 f 0 000\n00000300 00 a 01 g 0 000 |  \n"); // no gloss, and an empty one
    write_file("data.adv", "");
    assert_int_equal(corpus_load_glosses(&corpus, folder, error, sizeof error), 0);
    static const char *const expected[] = {"gloss one; \"with an example\"", "gloss two", "gloss three", "gloss four",
                                           "gloss five"};
    assert_int_equal(corpus.count, 5);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(corpus.documents[i].bytes, strlen(expected[i]));
        assert_memory_equal(corpus.documents[i].text, expected[i], strlen(expected[i]));
    }
    corpus_free(&corpus);
}

// Which synsets are held out follows from file and offset alone: other glosses around them change nothing.
static void holding_out_does_not_depend_on_the_neighbours(void **state)
{
    (void)state;
    enum { COUNT = 400 };
    char *all = calloc(COUNT, 64), *some = calloc(COUNT, 64), error[300];
    for (int i = 0; i < COUNT; i++) {
        char line[64];
        snprintf(line, sizeof line, "%08d 00 n 01 w 0 000 | %d\n", 1000 + 37 * i, i);
        strcat(all, line);
        if (i % 3)
            strcat(some, line);
    }
    struct corpus whole, part;
    write_file("data.verb", all);
    write_file("data.noun", all);
    assert_int_equal(corpus_load_glosses(&whole, folder, error, sizeof error), 0);
    write_file("data.noun", some);
    assert_int_equal(corpus_load_glosses(&part, folder, error, sizeof error), 0);
    int heldout = 0, same_as_verb = 0;
    for (size_t i = 0; i < COUNT; i++) {
        heldout += whole.documents[i].heldout;
        same_as_verb += whole.documents[i].heldout == whole.documents[COUNT + i].heldout;
    }
    assert_in_range(heldout, 8, 36); // one in twenty, give or take four standard deviations
    assert_int_not_equal(same_as_verb, COUNT);
    for (size_t i = 0; i < COUNT - (COUNT + 2) / 3; i++) {
        char number[16];
        snprintf(number, sizeof number, "%.*s", (int)part.documents[i].bytes, part.documents[i].text);
        assert_int_equal(part.documents[i].heldout, whole.documents[atoi(number)].heldout);
    }
    corpus_free(&whole);
    corpus_free(&part);
    free(all);
    free(some);
}

static void missing_glosses_name_the_package(void **state)
{
    (void)state;
    struct corpus corpus;
    char error[300];
    assert_true(corpus_load_glosses(&corpus, "/nonexistent", error, sizeof error) < 0);
    assert_non_null(strstr(error, "/nonexistent/data.noun"));
    assert_non_null(strstr(error, "wordnet-base"));
    write_file("data.noun", "");
    write_file("data.verb", "");
    write_file("data.adj", "");
    write_file("data.adv", "");
    assert_true(corpus_load_glosses(&corpus, folder, error, sizeof error) < 0);
    assert_non_null(strstr(error, "no gloss"));
}

static void assert_text_refused(const char *bytes, size_t count, const char *complaint)
{
    struct corpus corpus;
    char error[300] = "";
    write_bytes(text_path, bytes, count);
    assert_true(corpus_load_text(&corpus, text_path, error, sizeof error) < 0);
    if (!strstr(error, complaint) || !strstr(error, text_path) || strchr(error, '\n'))
        fail_msg("expected '%s', got '%s'", complaint, error);
}

static void unusable_texts_are_refused(void **state)
{
    (void)state;
    static char text[5000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 10 ? 'a' : '\n';
    assert_text_refused("", 0, "empty");
    assert_text_refused(text, 999, "too short");
    assert_text_refused(text, sizeof text, "too few"); // one paragraph: nothing to hold out
    const struct {
        const char *bytes, *complaint;
    } bad[] = {{"\xff", "byte 4000 is no UTF-8"}, {"\xc3(", "byte 4000"},
               {"\xed\xa0\x80", "byte 4000"}, // a surrogate
               {"\xc0\x80", "byte 4000"},         {"\xf4\x90\x80\x80", "byte 4000"},
               {"\xe2\x82", "byte 4000"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        static char damaged[sizeof text];
        memcpy(damaged, text, sizeof text);
        memcpy(damaged + 4000, bad[i].bytes, strlen(bad[i].bytes));
        assert_text_refused(damaged, sizeof damaged, bad[i].complaint);
    }
    text[4000] = '\0';
    assert_text_refused(text, sizeof text, "byte 4000 is NUL");
    struct corpus corpus;
    char error[300];
    assert_true(corpus_load_text(&corpus, "/nonexistent", error, sizeof error) < 0);
    assert_true(corpus_load_text(&corpus, folder, error, sizeof error) < 0);
    assert_non_null(strstr(error, "folder"));
}

static void paragraphs_are_documents(void **state)
{
    (void)state;
    static char text[20000];
    size_t length = 0;
    for (int i = 0; i < 300; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%spara \xc3\xa9 %d\nsecond line\n\n",
                                   i % 7 ? "" : "\n", i);
    write_bytes(text_path, text, length);
    struct corpus corpus;
    char error[300];
    assert_int_equal(corpus_load_text(&corpus, text_path, error, sizeof error), 0);
    assert_int_equal(corpus.count, 300);
    assert_memory_equal(corpus.documents[8].text, "para \xc3\xa9 8\nsecond line", corpus.documents[8].bytes);
    corpus_free(&corpus);
}

static void heldout_text_is_what_the_model_is_asked(void **state)
{
    (void)state;
    struct model model;
    char error[300], *text;
    int32_t *ids, *more, *ours;
    size_t count, more_count, our_count, bytes;
    uint64_t hash, more_hash;
    assert_int_equal(model_load(&model, "bench/models/embedded.gguf", error, sizeof error), 0);
    assert_int_equal(corpus_heldout(&model, NULL, 1000, &ids, &count, &hash, error, sizeof error), 0);
    assert_int_equal(count, 1000);
    assert_int_equal(ids[0], tokenizer_bos(model.tokenizer));
    assert_int_equal(corpus_heldout(&model, NULL, SIZE_MAX, &more, &more_count, &more_hash, error, sizeof error), 0);
    assert_true(more_count > 100000);
    assert_true(hash == more_hash); // names the text, not how much of it was asked for
    assert_memory_equal(ids, more, 1000 * sizeof *ids);
    // The same as the documents that training leaves out.
    struct corpus corpus;
    assert_int_equal(corpus_load_glosses(&corpus, NULL, error, sizeof error), 0);
    assert_int_equal(corpus_encode(&corpus, model.tokenizer, true, NULL, &ours, &our_count), 0);
    assert_int_equal(our_count, more_count);
    assert_memory_equal(ours, more, our_count * sizeof *ours);
    corpus_free(&corpus);
    free(ours);
    free(more);
    free(ids);

    static char own[2000];
    memset(own, 'x', sizeof own);
    write_bytes(text_path, own, sizeof own);
    assert_int_equal(corpus_heldout(&model, text_path, SIZE_MAX, &ids, &count, &more_hash, error, sizeof error), 0);
    assert_true(more_hash != hash);
    assert_int_equal(tokenizer_decode(model.tokenizer, ids, count, &text, &bytes), 0);
    assert_int_equal(bytes, sizeof own); // all of it: the model never saw any
    assert_memory_equal(text, own, bytes);
    free(text);
    free(ids);
    struct tokenizer *kept = model.tokenizer;
    model.tokenizer = NULL;
    assert_true(corpus_heldout(&model, NULL, 10, &ids, &count, &hash, error, sizeof error) < 0);
    assert_non_null(strstr(error, "no vocabulary"));
    model.tokenizer = kept;
    model_free(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wordnet_has_its_known_size),
        cmocka_unit_test(glosses_are_the_text_after_the_bar),
        cmocka_unit_test(holding_out_does_not_depend_on_the_neighbours),
        cmocka_unit_test(missing_glosses_name_the_package),
        cmocka_unit_test(unusable_texts_are_refused),
        cmocka_unit_test(paragraphs_are_documents),
        cmocka_unit_test(heldout_text_is_what_the_model_is_asked),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
