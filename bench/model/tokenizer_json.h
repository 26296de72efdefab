// SPDX-License-Identifier: MIT
// The steps of a tokenizer.json before and after its model: what is normalized, how words are cut, what is put around a text.
#ifndef LLMSWEEP_TOKENIZER_JSON_H
#define LLMSWEEP_TOKENIZER_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "bench/model/splitter.h"
#include "bench/model/tokenizer.h"

enum { MOST_JSON_STAGES = 16 };

struct json_steps {
    bool byte_level;              // tokens are bytes in GPT-2's printable form
    bool compose;                 // normal form C
    bool words_begin_with_spaces; // see tokenizer.h
    enum space_prefix space_prefix;
    bool no_second_space;
    struct splitter_stage stages[MOST_JSON_STAGES];
    int stage_count;
    char *escaped[MOST_JSON_STAGES]; // owns patterns that were made from plain strings
    bool has_template;
    const char *first, *last; // names of the tokens before and behind a text, or NULL; owned by the JSON
};

// Reads "normalizer", "pre_tokenizer" and "post_processor". 0, or -EINVAL/-ENOMEM with what is not understood in reason.
int json_steps_read(struct json_steps *steps, const json_t *root, char *reason, size_t reason_size);
void json_steps_free(struct json_steps *steps);

// A member that is text, or NULL.
const char *json_text(const json_t *object, const char *name);
bool json_flag(const json_t *object, const char *name, bool fallback);

#endif
