// SPDX-License-Identifier: MIT
#include "bench/model/compose.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/compose_table.h"
#include "bench/model/utf8.h"

// Korean syllables: leading consonant, vowel, trailing consonant (Unicode Standard, section 3.12).
enum { SYLLABLES = 0xac00, LEADS = 0x1100, VOWELS = 0x1161, TRAILS = 0x11a7, LEAD_COUNT = 19, VOWEL_COUNT = 21, TRAIL_COUNT = 28 };
enum { SYLLABLE_COUNT = LEAD_COUNT * VOWEL_COUNT * TRAIL_COUNT };
// A byte that is no UTF-8 is carried as a number beyond Unicode.
enum { STRAY = 0x110000 };

static int combining_class(uint32_t point)
{
    size_t low = 0, high = sizeof mark_classes / sizeof *mark_classes;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (mark_classes[middle].to < point)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof mark_classes / sizeof *mark_classes && mark_classes[low].from <= point ? mark_classes[low].combining : 0;
}

static const struct decomposition *find_decomposition(uint32_t point)
{
    size_t low = 0, high = sizeof decompositions / sizeof *decompositions;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (decompositions[middle].whole == point)
            return &decompositions[middle];
        if (decompositions[middle].whole < point)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

// The character that the two make; 0 if none.
static uint32_t join(uint32_t first, uint32_t second)
{
    if (first - LEADS < LEAD_COUNT && second - VOWELS < VOWEL_COUNT)
        return SYLLABLES + ((first - LEADS) * VOWEL_COUNT + second - VOWELS) * TRAIL_COUNT;
    if (first - SYLLABLES < SYLLABLE_COUNT && (first - SYLLABLES) % TRAIL_COUNT == 0 && second > TRAILS && second < TRAILS + TRAIL_COUNT)
        return first + second - TRAILS;
    size_t low = 0, high = sizeof compositions / sizeof *compositions;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const struct decomposition *d = &decompositions[compositions[middle]];
        if (d->first == first && d->second == second)
            return d->whole;
        if (d->first < first || (d->first == first && d->second < second))
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

struct points {
    uint32_t *at;
    size_t count, room;
};

static int append(struct points *points, uint32_t point)
{
    if (points->count == points->room) {
        const size_t room = 2 * points->room + 64;
        uint32_t *grown = realloc(points->at, room * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        points->at = grown;
        points->room = room;
    }
    points->at[points->count++] = point;
    return 0;
}

static int decompose(struct points *points, uint32_t point)
{
    if (point - SYLLABLES < SYLLABLE_COUNT) {
        const uint32_t n = point - SYLLABLES;
        int rc = append(points, LEADS + n / (VOWEL_COUNT * TRAIL_COUNT));
        if (!rc)
            rc = append(points, VOWELS + n / TRAIL_COUNT % VOWEL_COUNT);
        return rc || n % TRAIL_COUNT == 0 ? rc : append(points, TRAILS + n % TRAIL_COUNT);
    }
    const struct decomposition *d = find_decomposition(point);
    if (!d)
        return append(points, point);
    const int rc = decompose(points, d->first); // the table has at most four levels
    return rc || !d->second ? rc : append(points, d->second);
}

// Puts each run of marks in the order of their classes; equal ones keep their order.
static int order_marks(struct points *points)
{
    uint8_t *classes = malloc(points->count + 1);
    if (!classes)
        return -ENOMEM;
    for (size_t i = 0; i < points->count; i++)
        classes[i] = (uint8_t)combining_class(points->at[i]);
    for (size_t start = 0; start < points->count;) {
        size_t end = start;
        while (end < points->count && classes[end])
            end++;
        // by counting, since a hostile text may be one run of millions of marks
        if (end - start > 1) {
            size_t at[257] = {0};
            struct points copy = {.at = malloc((end - start) * sizeof *copy.at)};
            if (!copy.at) {
                free(classes);
                return -ENOMEM;
            }
            memcpy(copy.at, points->at + start, (end - start) * sizeof *copy.at);
            for (size_t i = start; i < end; i++)
                at[classes[i] + 1]++;
            for (int i = 0; i < 256; i++)
                at[i + 1] += at[i];
            for (size_t i = start; i < end; i++)
                points->at[start + at[classes[i]]++] = copy.at[i - start];
            free(copy.at);
        }
        start = end + 1;
    }
    free(classes);
    return 0;
}

// Joins each starter with the marks behind it that are not blocked by one of the same or a higher class.
static void compose(struct points *points)
{
    size_t kept = 0, starter = SIZE_MAX;
    int last = 0;
    for (size_t i = 0; i < points->count; i++) {
        const uint32_t point = points->at[i];
        const int class = combining_class(point);
        const bool near = starter != SIZE_MAX && (kept == starter + 1 || (class > last && last > 0));
        const uint32_t joint = near ? join(points->at[starter], point) : 0;
        if (joint) {
            points->at[starter] = joint;
            continue;
        }
        if (class == 0)
            starter = kept;
        last = class;
        points->at[kept++] = point;
    }
    points->count = kept;
}

int compose_text(const char *text, size_t bytes, char **out, size_t *out_bytes)
{
    *out = NULL;
    bool marks = false;
    for (size_t i = 0; i < bytes && !marks; i++)
        marks = (uint8_t)text[i] >= 0xcc; // what is below U+0300 is in the form
    if (!marks)
        return 0;
    struct points points = {0};
    int rc = 0;
    for (size_t i = 0; i < bytes && !rc;) {
        const int length = utf8_valid_character(text + i, bytes - i);
        rc = length ? decompose(&points, utf8_decode(text + i, length)) : append(&points, STRAY + (uint8_t)text[i]);
        i += length ? (size_t)length : 1;
    }
    if (!rc)
        rc = order_marks(&points);
    if (!rc) {
        compose(&points);
        *out = malloc(4 * points.count + 1);
        rc = *out ? 0 : -ENOMEM;
    }
    size_t length = 0;
    for (size_t i = 0; i < points.count && !rc; i++) {
        if (points.at[i] >= STRAY)
            (*out)[length++] = (char)(points.at[i] - STRAY);
        else
            length += (size_t)utf8_encode(points.at[i], *out + length);
    }
    free(points.at);
    *out_bytes = length;
    return rc;
}
