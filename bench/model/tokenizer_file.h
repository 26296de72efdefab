// SPDX-License-Identifier: MIT
// Tokenizers as model files hold them.
#ifndef LLMSWEEP_TOKENIZER_FILE_H
#define LLMSWEEP_TOKENIZER_FILE_H

#include <stddef.h>

struct gguf_file;
struct tokenizer;

// From a GGUF file's tokenizer.ggml.* keys. *tokenizer is NULL, and 0 returned, for a file without a vocabulary: such a model can be timed,
// but not asked about text. vocab is the number of rows of the embedding. path is for messages. Otherwise 0, or -errno with one line.
int tokenizer_from_gguf(struct tokenizer **tokenizer, const struct gguf_file *file, int vocab, const char *path, char *error,
                        size_t error_size);

// From a Hugging Face folder: tokenizer.json, and beside it (where there) tokenizer_config.json and generation_config.json for what
// begins and ends a text and for the chat template. vocab as above; the file may have fewer tokens. 0, or -errno with one line that names
// the file and the part that is not understood; -ENOENT without a tokenizer.json.
int tokenizer_from_json(struct tokenizer **tokenizer, const char *folder, int vocab, char *error, size_t error_size);
// The same from a tokenizer.json in memory, with no other file; name is for messages.
int tokenizer_from_json_text(struct tokenizer **tokenizer, const char *text, size_t bytes, int vocab, const char *name, char *error,
                             size_t error_size);

#endif
