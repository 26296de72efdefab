// SPDX-License-Identifier: MIT
// The text that a chat model expects around what a user says. Templates are Jinja programs; the common ones are recognised by the tokens
// that they write, and written here in plain code.
#ifndef LLMSWEEP_CHAT_H
#define LLMSWEEP_CHAT_H

#include <stdbool.h>
#include <stddef.h>

// One turn of a user, ready for the model's answer. system may be NULL: then what the template itself puts there, if that is plain text.
// Returns malloc'ed text for tokenizer_encode_text with TOKENIZER_SPECIAL, for the caller to free; NULL if there is no memory, or the template
// is not recognised: *style is NULL then, and otherwise its name. *begins says whether the template begins with BOS.
char *chat_prompt(const char *template, const char *system, const char *user, const char **style, bool *begins);

// The names of the styles that are recognised, for messages.
const char *chat_styles(void);

#endif
