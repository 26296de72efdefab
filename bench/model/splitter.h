// SPDX-License-Identifier: MIT
// Cuts text into the words inside which byte pairs are merged, by the regular expressions of a published tokenizer.
#ifndef LLMSWEEP_SPLITTER_H
#define LLMSWEEP_SPLITTER_H

#include <stdbool.h>
#include <stddef.h>

struct splitter;

// One cut: what the pattern matches, and what lies between two matches, are pieces, which the next stage cuts further.
// A pattern is written as in tokenizer.json (Oniguruma; \s is Unicode's White_Space), in UTF-8.
struct splitter_stage {
    const char *pattern;
    bool drop_rest; // what the pattern does not match is left out
};

// name is GGUF's tokenizer.ggml.pre, such as "gpt-2". 0, -EINVAL for an unknown name, or -ENOMEM; one-line reason.
int splitter_create(struct splitter **splitter, const char *name, char *error, size_t error_size);
// From stages, which may be none. The name is that of the same stages in GGUF, or "custom". -EINVAL for a pattern that is not understood.
int splitter_create_stages(struct splitter **splitter, const struct splitter_stage *stages, int count, char *error, size_t error_size);
void splitter_free(struct splitter *splitter);
const char *splitter_name(const struct splitter *splitter);

// The stages of a name, or NULL; *count gets their number.
const struct splitter_stage *splitter_known_stages(const char *name, int *count);
// The name of equal stages, or NULL.
const char *splitter_known_name(const struct splitter_stage *stages, int count);

// Calls word(context, start, bytes) for each piece, in order; the pieces joined are the text, whatever bytes it holds (bytes that are no
// UTF-8 are pieces of their own). Stops at word's first nonzero answer and returns it; -ENOMEM if there is no memory, -E2BIG if a pattern
// gives up on the text. Safe from several threads.
int splitter_run(const struct splitter *splitter, const char *text, size_t bytes,
                 int (*word)(void *context, const char *start, size_t bytes), void *context);

#endif
