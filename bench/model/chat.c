// SPDX-License-Identifier: MIT
#include "bench/model/chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct style {
    const char *name;
    const char *marks[2]; // what a template of this style contains
    const char *system_open, *system_close, *user_open, *user_close;
    bool system_in_turn; // the system's text is the beginning of the user's
};

// In the order in which they are looked for.
static const struct style styles[] = {
    {"ChatML", {"<|im_start|>", NULL}, "<|im_start|>system\n", "<|im_end|>\n", "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", false},
    {"Llama 3",
     {"<|start_header_id|>", "<|end_header_id|>"},
     "<|start_header_id|>system<|end_header_id|>\n\n",
     "<|eot_id|>",
     "<|start_header_id|>user<|end_header_id|>\n\n",
     "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
     false},
    {"Gemma", {"<start_of_turn>", NULL}, "", "\n\n", "<start_of_turn>user\n", "<end_of_turn>\n<start_of_turn>model\n", true},
    {"Llama 2", {"[INST]", "<<SYS>>"}, "<<SYS>>\n", "\n<</SYS>>\n\n", "[INST] ", " [/INST]", true},
    {"Mistral", {"[INST]", " [/INST]"}, "", "\n\n", "[INST] ", " [/INST]", true},
    {"Mistral v3", {"[INST]", "[/INST]"}, "", "\n\n", "[INST] ", "[/INST]", true},
    {"Phi 3", {"<|user|>", "<|end|>"}, "<|system|>\n", "<|end|>\n", "<|user|>\n", "<|end|>\n<|assistant|>\n", false},
    {"Zephyr", {"<|user|>", "<|assistant|>"}, "<|system|>\n", "</s>\n", "<|user|>\n", "</s>\n<|assistant|>\n", false},
    {"DeepSeek",
     {"<\xef\xbd\x9cUser\xef\xbd\x9c>", "<\xef\xbd\x9c" "Assistant\xef\xbd\x9c>"},
     "",
     "",
     "<\xef\xbd\x9cUser\xef\xbd\x9c>",
     "<\xef\xbd\x9c" "Assistant\xef\xbd\x9c>",
     false},
};

const char *chat_styles(void)
{
    return "ChatML, Llama 2 and 3, Gemma, Mistral, Phi 3, Zephyr, DeepSeek";
}

static const struct style *recognise(const char *template)
{
    for (size_t i = 0; i < sizeof styles / sizeof *styles; i++) {
        const struct style *s = &styles[i];
        if (strstr(template, s->marks[0]) && (!s->marks[1] || strstr(template, s->marks[1])))
            return s;
    }
    return NULL;
}

// The system's text that a template writes by itself: between the style's marks inside one of its strings, where nothing is computed.
static char *default_system(const struct style *style, const char *template)
{
    const size_t name_length = strcspn(style->system_open, "\n"); // the line end is written \n in a template
    char close[32];
    snprintf(close, sizeof close, "%.*s", (int)strcspn(style->system_close, "\n"), style->system_close);
    if (!name_length || !*close)
        return NULL;
    char open[64];
    snprintf(open, sizeof open, "%.*s", (int)name_length, style->system_open);
    for (const char *at = template; (at = strstr(at, open));) {
        at += name_length;
        const char *end = strstr(at, close);
        if (!end)
            return NULL;
        const bool escaped = !strncmp(at, "\\n", 2);
        const char *start = at + (escaped ? 2 : *at == '\n');
        if (start == at || memchr(start, '\'', (size_t)(end - start)) || memchr(start, '{', (size_t)(end - start)) ||
            memchr(start, '"', (size_t)(end - start)) || memchr(start, '\\', (size_t)(end - start)))
            continue;
        return strndup(start, (size_t)(end - start));
    }
    return NULL;
}

char *chat_prompt(const char *template, const char *system, const char *user, const char **style, bool *begins)
{
    const struct style *s = recognise(template);
    *style = s ? s->name : NULL;
    if (!s)
        return NULL;
    *begins = strstr(template, "bos_token") || strstr(template, "<|begin_of_text|>");
    char *own = system ? NULL : default_system(s, template), *text = NULL;
    if (!system)
        system = own;
    const char *before = system ? s->system_open : "", *behind = system ? s->system_close : "";
    if (!system)
        system = "";
    if (asprintf(&text, "%s%s%s%s%s%s%s", s->system_in_turn ? s->user_open : "", before, system, behind, s->system_in_turn ? "" : s->user_open,
                 user, s->user_close) < 0)
        text = NULL;
    free(own);
    return text;
}
