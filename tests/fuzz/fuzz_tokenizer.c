// SPDX-License-Identifier: MIT
// tokenizer.json: whatever it says is refused with one line, or makes a tokenizer that encodes any text and decodes what it encoded.
// sources: bench/model/tokenizer.c bench/model/tokenizer_encode.c bench/model/tokenizer_show.c bench/model/tokenizer_vocabulary.c
// sources: bench/model/tokenizer_json.c bench/model/tokenizer_json_steps.c bench/model/splitter.c bench/model/splitter_patterns.c
// sources: bench/model/compose.c bench/model/config.c
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/tokenizer.h"
#include "bench/model/tokenizer_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_text(const struct tokenizer *t, const char *text, size_t bytes)
{
    for (unsigned flags = 0; flags < 4; flags++) {
        int32_t *ids;
        size_t count, back_bytes;
        char *back;
        if (tokenizer_encode_text(t, text, bytes, flags, &ids, &count))
            continue;
        for (size_t i = 0; i < count; i++) {
            if (ids[i] < 0 || ids[i] >= tokenizer_vocab(t))
                abort();
        }
        if (tokenizer_decode(t, ids, count, &back, &back_bytes))
            abort();
        free(back);
        free(ids);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "It's 12345  <|im_start|> \xe2\x96\x81na\xc3\xafve e\xcc\x81 \xe4\xb8\xad\xe6\x96\x87\xf0\x9f\x98\x80\xff\n\n x";
    struct tokenizer *t = NULL;
    char error[512] = "";
    const int rc = tokenizer_from_json_text(&t, (const char *)data, size, 5000, "fuzz", error, sizeof error);
    if (rc) {
        if (t || !*error || strchr(error, '\n'))
            abort();
        return 0;
    }
    try_text(t, text, sizeof text - 1);
    try_text(t, (const char *)data, size < 300 ? size : 300);
    char *shown = malloc(tokenizer_shown_bytes(t));
    for (int i = 0; i < tokenizer_vocab(t) && shown; i++)
        tokenizer_show(t, i, shown);
    free(shown);
    tokenizer_free(t);
    return 0;
}
