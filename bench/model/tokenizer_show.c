// SPDX-License-Identifier: MIT
// Tokens in the forms that files have for them.
#include <stdio.h>

#include "bench/model/tokenizer_internal.h"

size_t tokenizer_shown_bytes(const struct tokenizer *tokenizer)
{
    size_t longest = 0;
    for (int i = 0; i < tokenizer->vocab; i++) {
        const size_t bytes = tokenizer->start[i + 1] - tokenizer->start[i];
        longest = bytes > longest ? bytes : longest;
    }
    return 3 * longest + 8; // U+2581 has three bytes; "<0x0A>" has six and its end
}

size_t tokenizer_show(const struct tokenizer *tokenizer, int id, char *out)
{
    size_t bytes, length = 0;
    const char *text = tokenizer_token(tokenizer, id, &bytes);
    const bool normal = tokenizer->types[id] == TOKEN_NORMAL;
    if (tokenizer->types[id] == TOKEN_BYTE && bytes == 1)
        return (size_t)sprintf(out, "<0x%02X>", (uint8_t)text[0]);
    for (size_t i = 0; i < bytes; i++) {
        if (normal && tokenizer->kind == TOKENIZER_BYTES) {
            length += (size_t)tokenizer_byte_to_utf8((uint8_t)text[i], out + length);
        } else if (normal && text[i] == ' ') {
            memcpy(out + length, "\xe2\x96\x81", 3);
            length += 3;
        } else {
            out[length++] = text[i];
        }
    }
    return length;
}

// GPT-2 shows a printable Latin-1 byte as the character itself, and the n-th other byte as U+0100 + n.
static int is_shown_as_itself(int byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

// The n-th byte that is not shown as itself: 0x00 … 0x20, 0x7f … 0xa0, 0xad.
static int hidden_byte(int n)
{
    return n <= 0x20 ? n : n <= 0x42 ? n - 0x21 + 0x7f : n == 0x43 ? 0xad : -1;
}

int tokenizer_byte_to_utf8(uint8_t byte, char *out)
{
    int character = byte;
    if (!is_shown_as_itself(byte))
        character = 0x100 + (byte <= 0x20 ? byte : byte <= 0xa0 ? byte - 0x7f + 0x21 : 0x43);
    if (character < 0x80) {
        out[0] = (char)character;
        return 1;
    }
    out[0] = (char)(0xc0 | character >> 6);
    out[1] = (char)(0x80 | (character & 0x3f));
    return 2;
}

int tokenizer_utf8_to_byte(const char *text, size_t bytes, int *used)
{
    if (!bytes)
        return -1;
    int character = (uint8_t)text[0];
    *used = 1;
    if (character >= 0x80) {
        if ((character & 0xe0) != 0xc0 || bytes < 2 || ((uint8_t)text[1] & 0xc0) != 0x80)
            return -1;
        character = (character & 0x1f) << 6 | ((uint8_t)text[1] & 0x3f);
        *used = 2;
    }
    if (character < 0x100)
        return is_shown_as_itself(character) ? character : -1;
    return hidden_byte(character - 0x100);
}
