// SPDX-License-Identifier: MIT
// Weight formats as words.
#include "kernels/kernel.h"
#include "kernels/pack/packed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int known_bits[] = {16, 8, 6, 5, 4, 3, 2};
static const int known_groups[] = {32, 64, 128, 0};
enum { BITS_COUNT = 7, GROUPS_COUNT = 4 };

static int edit_distance(const char *a, const char *b) {
    int row[64];
    const int length = (int)strnlen(b, 62);
    for (int j = 0; j <= length; j++)
        row[j] = j;
    for (int i = 1; *a != '\0'; a++, i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= length; j++) {
            const int substituted = diagonal + (*a != b[j - 1]);
            diagonal = row[j];
            const int shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = substituted < shorter ? substituted : shorter;
        }
    }
    return row[length];
}

static void consider(const char *word, const char *candidate, char *nearest, size_t size, int *distance) {
    const int d = edit_distance(word, candidate);
    if (d < *distance) {
        *distance = d;
        snprintf(nearest, size, "%s", candidate);
    }
}

// The known word nearest to the part of `word` before the plus.
static void nearest_base(const char *word, char *nearest, size_t size) {
    char base[64], candidate[64];
    snprintf(base, sizeof(base), "%.*s", (int)strcspn(word, "+"), word);
    int distance = 1000;
    consider(base, "f32", nearest, size, &distance);
    consider(base, "bf16", nearest, size, &distance);
    for (int b = 0; b < BITS_COUNT; b++) {
        for (int g = 0; g < GROUPS_COUNT; g++) {
            for (int asymmetric = 0; asymmetric <= (known_bits[b] < 16); asymmetric++) {
                const struct weight_format format = {.type = WEIGHT_QUANTIZED,
                                                     .bits = known_bits[b],
                                                     .group = known_groups[g],
                                                     .asymmetric = asymmetric};
                weight_format_name(&format, candidate, sizeof(candidate));
                consider(base, candidate, nearest, size, &distance);
            }
        }
    }
}

static int unknown_base(const char *word, char *reason, size_t reason_size) {
    char nearest[64] = "";
    nearest_base(word, nearest, sizeof(nearest));
    snprintf(reason, reason_size,
             "unknown format '%s' (known: f32 bf16, q16 q8 q6 q5 q4 q3 q2 each with g32 g64 g128, c or t, and a for "
             "asymmetric "
             "below 16 bits; did you mean '%s'?)",
             word, nearest);
    return -EINVAL;
}

static bool contains(const int *values, int count, int value) {
    for (int i = 0; i < count; i++) {
        if (values[i] == value)
            return true;
    }
    return false;
}

// A decimal number without sign or leading blanks.
static bool read_number(const char **at, int *number) {
    if (**at < '0' || **at > '9')
        return false;
    char *end;
    const long value = strtol(*at, &end, 10);
    if (value > 100000)
        return false;
    *number = (int)value;
    *at = end;
    return true;
}

static bool parse_base(const char **at, struct weight_format *format) {
    if (strncmp(*at, "f32", 3) == 0) {
        *format = (struct weight_format){.type = WEIGHT_F32, .bits = 32};
        *at += 3;
        return true;
    }
    if (strncmp(*at, "bf16", 4) == 0) {
        *format = (struct weight_format){.type = WEIGHT_BF16, .bits = 16};
        *at += 4;
        return true;
    }
    if (*(*at)++ != 'q')
        return false;
    *format = (struct weight_format){.type = WEIGHT_QUANTIZED};
    if (!read_number(at, &format->bits) || !contains(known_bits, BITS_COUNT, format->bits))
        return false;
    if (**at == 'g') {
        (*at)++;
        if (!read_number(at, &format->group) || format->group == 0 ||
            !contains(known_groups, GROUPS_COUNT, format->group))
            return false;
    } else if (**at == 't') {
        (*at)++;
        format->per_tensor = true;
    } else if (*(*at)++ != 'c') {
        return false;
    }
    if (**at == 'a') {
        (*at)++;
        format->asymmetric = true;
        return format->bits < 16; // zero points are bytes
    }
    return true;
}

static bool parse_store(const char *at, struct weight_format *format) {
    if (*at == 's') {
        char *end;
        at++;
        if (*at < '0' || *at > '9')
            return false;
        format->sparsity = strtod(at, &end) / 100;
        format->store = STORE_BITMASK;
        return *end == '\0' && format->sparsity >= 0 && format->sparsity <= 1;
    }
    if (*at == 'b') {
        at++;
        format->store = STORE_BLOCK;
        return read_number(&at, &format->block_rows) && *at++ == 'x' && read_number(&at, &format->block_columns) &&
               *at == '\0' && format->block_rows == PACKED_PANEL_ROWS && format->block_columns == CHUNK_COLUMNS;
    }
    format->store = STORE_N_OF_M;
    return read_number(&at, &format->n) && *at++ == ':' && read_number(&at, &format->m) && *at == '\0' &&
           (format->m == 4 || format->m == 8 || format->m == 16) && format->n > 0 && format->n < format->m;
}

// A mask of bytes takes 8/bits times fewer masks, for each of which a kernel spends 3 to 4 cycles, but keeps what is absent beside something
// present. Bits a weight, s absent: 4 bits 1/2 + 4·(1 − s²) instead of 1 + 4·(1 − s), an eighth more at 75% and fewer from 86% on; 2 bits
// 1/4 + 2·(1 − s⁴) instead of 1 + 2·(1 − s), never more than an eighth above that, and fewer below 40 and above 82%.
static double bytemask_from(int bits) { return bits == 4 ? 0.7 : 0; }

enum sparse_store weight_store(const struct weight_format *format) {
    if (format->store != STORE_BITMASK && format->store != STORE_N_OF_M)
        return format->store;
    const double absent = format->store == STORE_N_OF_M ? (double)format->n / format->m : format->sparsity;
    const bool fields = format->type == WEIGHT_QUANTIZED && (format->bits == 4 || format->bits == 2);
    return fields && absent >= bytemask_from(format->bits) ? STORE_BYTEMASK : STORE_BITMASK;
}

int weight_format_parse(const char *word, struct weight_format *format, char *reason, size_t reason_size) {
    const char *at = word;
    if (!parse_base(&at, format) || (*at != '\0' && *at != '+'))
        return unknown_base(word, reason, reason_size);
    if (*at == '+' && !parse_store(at + 1, format)) {
        snprintf(reason, reason_size,
                 "unknown store '%s' in format '%s' (known: +s0 to +s100 (bitmask, percent absent), +2:4 and +4:8 (n "
                 "of each m "
                 "along the input absent, m 4, 8 or 16), +b16x4 (blocks))",
                 at, word);
        return -EINVAL;
    }
    return 0;
}

void weight_format_name(const struct weight_format *format, char *word, size_t size) {
    char base[16], group[16];
    snprintf(group, sizeof(group), "%s", format->per_tensor ? "t" : "c");
    if (format->group > 0)
        snprintf(group, sizeof(group), "g%d", format->group);
    if (format->type == WEIGHT_QUANTIZED)
        snprintf(base, sizeof(base), "q%d%.8s%s", format->bits, group, format->asymmetric ? "a" : "");
    else
        snprintf(base, sizeof(base), "%s", format->type == WEIGHT_F32 ? "f32" : "bf16");
    switch (format->store) {
    case STORE_BYTEMASK: // of no word
    case STORE_DENSE:
        snprintf(word, size, "%s", base);
        break;
    case STORE_BITMASK:
        snprintf(word, size, "%s+s%.6g", base, format->sparsity * 100);
        break;
    case STORE_N_OF_M:
        snprintf(word, size, "%s+%d:%d", base, format->n, format->m);
        break;
    case STORE_BLOCK:
        snprintf(word, size, "%s+b%dx%d", base, format->block_rows, format->block_columns);
        break;
    }
}

int packed_check_shape(const struct weight_format *format, int rows, int columns, char *reason, size_t reason_size) {
    char word[64];
    weight_format_name(format, word, sizeof(word));
    const int unit = format->group > TILE_COLUMNS ? format->group : TILE_COLUMNS;
    if (rows < 1 || columns < 1)
        snprintf(reason, reason_size,
                 "%s: a matrix of %d rows and %d columns cannot be stored (both must be 1 or more)", word, rows,
                 columns);
    else if (columns % unit != 0)
        snprintf(reason, reason_size, "%s: %d columns are not a multiple of %d%s", word, columns, unit,
                 unit == format->group ? ", the group" : "");
    else if (format->type == WEIGHT_QUANTIZED && format->group == 0 && columns > 65536)
        snprintf(reason, reason_size,
                 "%s: %d columns are more than the 65536 that one scale a row can cover (use g128)", word, columns);
    else if (format->type == WEIGHT_QUANTIZED && format->store != STORE_DENSE && format->bits == 16)
        snprintf(reason, reason_size, "%s: sparse stores hold f32, bf16 and codes of up to 8 bits", word);
    else if (format->type == WEIGHT_QUANTIZED && format->store == STORE_BLOCK && format->bits != 8 && format->bits != 4 && format->bits != 2)
        snprintf(reason, reason_size, "%s: the block store holds f32, bf16 and 8, 4 or 2-bit codes", word);
    else
        return 0;
    return -EINVAL;
}
