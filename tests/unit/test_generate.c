// SPDX-License-Identifier: MIT
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/model/chat.h"
#include "bench/model/generate.h"

enum { VOCAB = 6, DRAWS = 60000 };
// exp(logit) is 1, 2, 4, 8, 16 and 32, in no order
static const int powers[VOCAB] = {3, 0, 5, 1, 4, 2};

static void draw(const struct sampling *sampling, double *share)
{
    float logits[VOCAB];
    struct sampling_candidate scratch[VOCAB];
    uint64_t state = sampling->seed;
    for (int i = 0; i < VOCAB; i++) {
        logits[i] = (float)(powers[i] * log(2)) - 3;
        share[i] = 0;
    }
    for (int i = 0; i < DRAWS; i++)
        share[sampling_draw(sampling, &state, logits, VOCAB, scratch)] += 1.0 / DRAWS;
}

static void assert_shares(const struct sampling *sampling, const double *expected)
{
    double share[VOCAB];
    draw(sampling, share);
    for (int i = 0; i < VOCAB; i++) {
        const double p = expected[powers[i]];
        // five standard errors; none where none may come (1e-9: the shares are added up)
        if (!(fabs(share[i] - p) <= 5 * sqrt(p * (1 - p) / DRAWS) + 1e-9))
            fail_msg("token %d came %.4f of the time instead of %.4f", i, share[i], p);
    }
}

static void draws_follow_the_distribution(void **state)
{
    (void)state;
    const double all[VOCAB] = {1 / 63.0, 2 / 63.0, 4 / 63.0, 8 / 63.0, 16 / 63.0, 32 / 63.0}, best[VOCAB] = {[5] = 1};
    assert_shares(&(struct sampling){.top_p = 1, .seed = 1}, best); // temperature 0
    assert_shares(&(struct sampling){.temperature = 1, .top_p = 1, .seed = 2}, all);
    assert_shares(&(struct sampling){.temperature = 1, .top_k = 1, .top_p = 1, .seed = 3}, best);
    const double three[VOCAB] = {[3] = 8 / 56.0, [4] = 16 / 56.0, [5] = 32 / 56.0};
    assert_shares(&(struct sampling){.temperature = 1, .top_k = 3, .top_p = 1, .seed = 4}, three);
    assert_shares(&(struct sampling){.temperature = 1, .top_p = 50 / 63.0, .seed = 5}, three); // 48/63 are too few
    const double two[VOCAB] = {[4] = 16 / 48.0, [5] = 32 / 48.0};
    assert_shares(&(struct sampling){.temperature = 1, .top_p = 47 / 63.0, .seed = 6}, two);
    assert_shares(&(struct sampling){.temperature = 1, .top_k = 3, .top_p = 48 / 56.0 - 1e-6, .seed = 7}, two);
    const double sharper[VOCAB] = {1 / 1365.0, 4 / 1365.0, 16 / 1365.0, 64 / 1365.0, 256 / 1365.0, 1024 / 1365.0};
    assert_shares(&(struct sampling){.temperature = 0.5, .top_p = 1, .seed = 8}, sharper);
}

static void a_seed_repeats_itself(void **state)
{
    (void)state;
    double first[VOCAB], second[VOCAB], other[VOCAB];
    draw(&(struct sampling){.temperature = 1, .top_p = 0.9, .seed = 11}, first);
    draw(&(struct sampling){.temperature = 1, .top_p = 0.9, .seed = 11}, second);
    draw(&(struct sampling){.temperature = 1, .top_p = 0.9, .seed = 12}, other);
    assert_memory_equal(first, second, sizeof first);
    assert_true(memcmp(first, other, sizeof first) != 0);
}

// Whatever the pieces, each write leaves whole characters in the file.
static void only_whole_characters_are_written(void **state)
{
    (void)state;
    static const struct {
        const char *text, *written;
    } known[] = {
        {"a\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80z", "a\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80z"},
        {"\x80x", "\xef\xbf\xbdx"},
        {"\xe4\xb8x", "\xef\xbf\xbd\xef\xbf\xbdx"},
        {"\xf0\x9f", "\xef\xbf\xbd"},
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        for (size_t step = 1; step < 5; step++) {
            char *out;
            size_t bytes;
            FILE *file = open_memstream(&out, &bytes);
            struct text_stream stream = {.file = file};
            const size_t length = strlen(known[i].text);
            for (size_t at = 0; at < length; at += step)
                text_stream_write(&stream, known[i].text + at, length - at < step ? length - at : step);
            if (step == 1 && i == 0) {
                text_stream_write(&stream, "\xf0\x9f\x98", 3);
                assert_int_equal(bytes, length); // three bytes of four wait
                text_stream_write(&stream, "\x80", 1);
                assert_int_equal(bytes, length + 4);
            }
            text_stream_end(&stream);
            fclose(file);
            assert_memory_equal(out, known[i].written, strlen(known[i].written));
            free(out);
        }
    }
}

static void chats_are_written_as_their_templates_do(void **state)
{
    (void)state;
    static const char chatml[] = "{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe brief.<|im_end|>\n' }}{% endif %}"
                                 "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}";
    static const char computed[] = "{{- '<|im_start|>system\\n' }}{{ x }}{{- '<|im_end|>\\n' }}{{- '<|im_start|>system\\nHelp.<|im_end|>\\n' }}";
    static const struct {
        const char *template, *system, *style, *expected;
        bool begins;
    } known[] = {
        {chatml, NULL, "ChatML", "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", false},
        {chatml, "S", "ChatML", "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", false},
        {computed, NULL, "ChatML", "<|im_start|>system\nHelp.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", false},
        {"'<|im_start|>' + message", NULL, "ChatML", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", false},
        {"{{ bos_token }}<|start_header_id|>x<|end_header_id|>", NULL, "Llama 3",
         "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n", true},
        {"bos_token + '[INST] ' + '<<SYS>>\\n' + ' [/INST]'", "S", "Llama 2", "[INST] <<SYS>>\nS\n<</SYS>>\n\nHi [/INST]", true},
        {"bos_token '[INST] ' + x + ' [/INST]'", NULL, "Mistral", "[INST] Hi [/INST]", true},
        {"{{ bos_token }}'<start_of_turn>'", "S", "Gemma", "<start_of_turn>user\nS\n\nHi<end_of_turn>\n<start_of_turn>model\n", true},
        {"'<|user|>\\n' + '<|assistant|>'", "S", "Zephyr", "<|system|>\nS</s>\n<|user|>\nHi</s>\n<|assistant|>\n", false},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const char *style;
        bool begins;
        char *text = chat_prompt(known[i].template, known[i].system, "Hi", &style, &begins);
        assert_non_null(text);
        assert_string_equal(style, known[i].style);
        assert_string_equal(text, known[i].expected);
        assert_int_equal(begins, known[i].begins);
        free(text);
    }
    const char *style;
    bool begins;
    assert_null(chat_prompt("{{ messages }}", NULL, "Hi", &style, &begins));
    assert_null(style);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(a_seed_repeats_itself),
        cmocka_unit_test(only_whole_characters_are_written),
        cmocka_unit_test(chats_are_written_as_their_templates_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
