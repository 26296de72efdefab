// SPDX-License-Identifier: MIT
// Cuts text into the words inside which byte pairs are merged, by the regular expression of a published tokenizer.
#ifndef LLMSWEEP_SPLITTER_H
#define LLMSWEEP_SPLITTER_H

#include <stddef.h>

struct splitter;

// name is GGUF's tokenizer.ggml.pre, such as "gpt-2". 0, -EINVAL for an unknown name, or -ENOMEM; one-line reason.
int splitter_create(struct splitter **splitter, const char *name, char *error, size_t error_size);
void splitter_free(struct splitter *splitter);
const char *splitter_name(const struct splitter *splitter);

// Calls word(context, start, bytes) for each piece, in order; the pieces joined are the text, whatever bytes it holds.
// Stops at word's first nonzero answer and returns it; -ENOMEM if there is no memory. Safe from several threads.
int splitter_run(const struct splitter *splitter, const char *text, size_t bytes,
                 int (*word)(void *context, const char *start, size_t bytes), void *context);

#endif
