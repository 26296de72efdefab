// SPDX-License-Identifier: MIT
// UTF-8 in text that is not trusted (RFC 3629).
#ifndef LLMSWEEP_UTF8_H
#define LLMSWEEP_UTF8_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

// The length of the well-formed character at text, or 0: no surrogates, no overlong forms, nothing beyond U+10FFFF.
static inline int utf8_valid_character(const char *text, size_t bytes)
{
    const uint8_t *t = (const uint8_t *)text;
    if (!bytes)
        return 0;
    if (t[0] < 0x80)
        return 1;
    const int length = t[0] >= 0xf0 ? 4 : t[0] >= 0xe0 ? 3 : 2;
    if (t[0] < 0xc2 || t[0] > 0xf4 || bytes < (size_t)length)
        return 0;
    for (int i = 1; i < length; i++) {
        if ((t[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((t[0] == 0xe0 && t[1] < 0xa0) || (t[0] == 0xed && t[1] > 0x9f) || (t[0] == 0xf0 && t[1] < 0x90) || (t[0] == 0xf4 && t[1] > 0x8f))
        return 0;
    return length;
}

// The same, and 1 for a byte that begins no character: for walking over any text. bytes > 0.
static inline int utf8_character(const char *text, size_t bytes)
{
    const int length = utf8_valid_character(text, bytes);
    return length ? length : 1;
}

// How many bytes from the start are well-formed.
static inline size_t utf8_valid_prefix(const char *text, size_t bytes)
{
    size_t done = 0;
    while (done < bytes) {
        uint64_t eight;
        if (bytes - done >= 8 && (memcpy(&eight, text + done, 8), !(eight & 0x8080808080808080u))) {
            done += 8;
            continue;
        }
        const int length = utf8_valid_character(text + done, bytes - done);
        if (!length)
            break;
        done += (size_t)length;
    }
    return done;
}

// The code point of a well-formed character.
static inline uint32_t utf8_decode(const char *text, int length)
{
    const uint8_t *t = (const uint8_t *)text;
    if (length == 1)
        return t[0];
    uint32_t point = t[0] & (0xffu >> (length + 1));
    for (int i = 1; i < length; i++)
        point = point << 6 | (t[i] & 0x3f);
    return point;
}

// Writes a code point; returns the length. out has room for 4.
static inline int utf8_encode(uint32_t point, char *out)
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    const int length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (int i = length - 1; i > 0; i--, point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)((0xf00 >> length & 0xff) | point);
    return length;
}

#endif
