// SPDX-License-Identifier: MIT
#include "bench/model/gguf_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/mapped_file.h"
#include "bench/model/tensor.h"

// More of these than any published file has; fewer than would take long to sort.
enum { MOST_KEYS = 1 << 16, MOST_TENSORS = 1 << 16, LONGEST_NAME = 256, MOST_DIMENSIONS = 4, MOST_PARTS = 1000 };

// Where the parser is. Every read checks what is left first; the first failure is written to error and sticks.
struct cursor {
    const uint8_t *at, *end, *start;
    const char *path;
    char *error;
    size_t error_size;
    bool failed;
};

static bool fail(struct cursor *c, const char *what)
{
    if (!c->failed)
        snprintf(c->error, c->error_size, "%s: byte %zu: %s: not a sound GGUF file (download or convert it again)",
                 c->path, (size_t)(c->at - c->start), what);
    c->failed = true;
    return false;
}

static bool skip(struct cursor *c, uint64_t bytes, const char *what)
{
    if (c->failed || bytes > (uint64_t)(c->end - c->at))
        return fail(c, what);
    c->at += bytes;
    return true;
}

static uint64_t read_number(struct cursor *c, int bytes, const char *what)
{
    uint64_t value = 0;
    const uint8_t *from = c->at;
    if (!skip(c, (uint64_t)bytes, what))
        return 0;
    for (int i = bytes; i-- > 0;)
        value = value << 8 | from[i];
    return value;
}

static struct gguf_text read_text(struct cursor *c, uint64_t longest, const char *what)
{
    const uint64_t bytes = read_number(c, 8, what);
    if (!c->failed && bytes > longest)
        fail(c, what);
    const char *text = (const char *)c->at;
    return skip(c, bytes, what) ? (struct gguf_text){text, (size_t)bytes} : (struct gguf_text){"", 0};
}

static int scalar_bytes(uint32_t type)
{
    static const uint8_t bytes[GGUF_VALUE_TYPES] = {
        [GGUF_VALUE_UINT8] = 1,  [GGUF_VALUE_INT8] = 1,  [GGUF_VALUE_UINT16] = 2,  [GGUF_VALUE_INT16] = 2,
        [GGUF_VALUE_UINT32] = 4, [GGUF_VALUE_INT32] = 4, [GGUF_VALUE_FLOAT32] = 4, [GGUF_VALUE_BOOL] = 1,
        [GGUF_VALUE_UINT64] = 8, [GGUF_VALUE_INT64] = 8, [GGUF_VALUE_FLOAT64] = 8};
    return type < GGUF_VALUE_TYPES ? bytes[type] : 0;
}

static void skip_values(struct cursor *c, uint32_t type, uint64_t count)
{
    if (type == GGUF_VALUE_STRING) {
        if (count > (uint64_t)(c->end - c->at) / 8)
            fail(c, "an array is longer than the file");
        for (uint64_t i = 0; i < count && !c->failed; i++)
            read_text(c, UINT64_MAX, "a string is longer than the file");
    } else if (!scalar_bytes(type)) {
        fail(c, type == GGUF_VALUE_ARRAY ? "an array of arrays" : "an unknown value type");
    } else if (count > (uint64_t)(c->end - c->at) / (uint64_t)scalar_bytes(type)) {
        fail(c, "a value is longer than the file");
    } else {
        skip(c, count * (uint64_t)scalar_bytes(type), "a value is longer than the file");
    }
}

static void read_key(struct cursor *c, struct gguf_key *key)
{
    key->name = read_text(c, LONGEST_NAME, "a key's name is cut off or absurdly long");
    key->type = key->element_type = (uint32_t)read_number(c, 4, "a key is cut off");
    key->count = 1;
    if (key->type == GGUF_VALUE_ARRAY) {
        key->element_type = (uint32_t)read_number(c, 4, "an array is cut off");
        key->count = read_number(c, 8, "an array is cut off");
    }
    key->value = c->at;
    skip_values(c, key->element_type, key->count);
    key->bytes = (size_t)(c->at - key->value);
}

// What files hold that we do not read, so that a message can say what it is.
static const char *foreign_type(uint32_t type)
{
    static const char *const names[] = {[4] = "Q4_2",     [5] = "Q4_3",     [9] = "Q8_1",    [15] = "Q8_K",   [16] = "IQ2_XXS",
                                        [17] = "IQ2_XS",  [18] = "IQ3_XXS", [19] = "IQ1_S",  [20] = "IQ4_NL", [21] = "IQ3_S",
                                        [22] = "IQ2_S",   [23] = "IQ4_XS",  [24] = "I8",     [25] = "I16",    [26] = "I32",
                                        [27] = "I64",     [28] = "F64",     [29] = "IQ1_M",  [34] = "TQ1_0",  [35] = "TQ2_0",
                                        [39] = "MXFP4"};
    return type < sizeof names / sizeof *names && names[type] ? names[type] : "unknown";
}

// Reads a tensor's description; its data pointer is set later, when it is known where the data starts.
static void read_tensor(struct cursor *c, struct gguf_tensor *tensor, uint64_t *offset)
{
    tensor->name = read_text(c, LONGEST_NAME, "a tensor's name is cut off or absurdly long");
    tensor->dimensions = (uint32_t)read_number(c, 4, "a tensor is cut off");
    if (!c->failed && (tensor->dimensions < 1 || tensor->dimensions > MOST_DIMENSIONS))
        fail(c, "a tensor does not have 1 to 4 dimensions");
    for (uint32_t i = 0; i < MOST_DIMENSIONS; i++)
        tensor->size[i] = i < tensor->dimensions && !c->failed ? read_number(c, 8, "a tensor is cut off") : 1;
    tensor->type = (uint32_t)read_number(c, 4, "a tensor is cut off");
    *offset = read_number(c, 8, "a tensor is cut off");
    if (!c->failed && !tensor_block_weights(tensor->type)) {
        c->failed = true;
        snprintf(c->error, c->error_size, "%s: tensor '%.*s' has type %u (%s), which is not read (known: %s; convert it)", c->path,
                 (int)tensor->name.bytes, tensor->name.text, tensor->type, foreign_type(tensor->type), tensor_type_names());
    }
}

static void place_tensor(struct cursor *c, struct gguf_tensor *tensor, uint64_t offset, uint64_t alignment)
{
    const uint64_t weights = (uint64_t)tensor_block_weights(tensor->type);
    uint64_t bytes = tensor_block_bytes(tensor->type);
    if (tensor->size[0] % weights) {
        fail(c, "a tensor's rows are no whole number of its type's blocks");
        return;
    }
    for (uint32_t i = 0; i < MOST_DIMENSIONS; i++) {
        if (tensor->size[i] < 1 || tensor->size[i] > INT32_MAX ||
            __builtin_mul_overflow(bytes, i == 0 ? tensor->size[0] / weights : tensor->size[i], &bytes)) {
            fail(c, "a tensor has absurd dimensions");
            return;
        }
    }
    const uint64_t room = (uint64_t)(c->end - c->at);
    if (offset % alignment)
        fail(c, "a tensor is not aligned");
    else if (offset > room || bytes > room - offset)
        fail(c, "a tensor ends beyond the file's end (is the file truncated?)");
    else
        tensor->data = c->at + offset;
}

static int compare_texts(struct gguf_text a, struct gguf_text b)
{
    const int order = memcmp(a.text, b.text, a.bytes < b.bytes ? a.bytes : b.bytes);
    return order ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static int compare_keys(const void *a, const void *b)
{
    return compare_texts(((const struct gguf_key *)a)->name, ((const struct gguf_key *)b)->name);
}

static int compare_tensors(const void *a, const void *b)
{
    return compare_texts(((const struct gguf_tensor *)a)->name, ((const struct gguf_tensor *)b)->name);
}

static void sort_keys(struct cursor *c, struct gguf_file *file)
{
    qsort(file->keys, file->key_count, sizeof *file->keys, compare_keys);
    for (size_t i = 1; i < file->key_count; i++) {
        if (!compare_keys(&file->keys[i - 1], &file->keys[i]))
            fail(c, "two keys have the same name");
    }
}

static int read_alignment(struct cursor *c, const struct gguf_file *file, uint64_t *alignment)
{
    *alignment = 32;
    for (size_t i = 0; i < file->key_count; i++) {
        int64_t value;
        if (!gguf_text_equals(file->keys[i].name, "general.alignment"))
            continue;
        if (!gguf_integer(&file->keys[i], &value) || value < 1 || value > 1 << 20 || value & (value - 1))
            return fail(c, "general.alignment is no power of two");
        *alignment = (uint64_t)value;
    }
    return true;
}

static int parse(struct gguf_file *file, struct cursor *c)
{
    if (file->bytes < 24 || memcmp(c->start, "GGUF", 4)) {
        snprintf(c->error, c->error_size,
                 "%s: not a GGUF file (does not begin with 'GGUF'; give a .gguf model or a shape .ini)", c->path);
        return -EINVAL;
    }
    c->at += 4;
    const uint64_t version = read_number(c, 4, "cut off"), tensors = read_number(c, 8, "cut off"),
                   keys = read_number(c, 8, "cut off");
    if (version < 2 || version > 3) {
        snprintf(c->error, c->error_size, "%s: GGUF version %llu is not read (known: 2 3, little-endian)", c->path,
                 (unsigned long long)version);
        return -EINVAL;
    }
    if (keys > MOST_KEYS || tensors > MOST_TENSORS) {
        fail(c, "an absurd number of keys or tensors");
        return -EINVAL;
    }
    uint64_t *offsets = calloc(tensors + 1, sizeof *offsets), alignment;
    file->keys = calloc(keys + 1, sizeof *file->keys);
    file->tensors = calloc(tensors + 1, sizeof *file->tensors);
    if (!offsets || !file->keys || !file->tensors) {
        free(offsets);
        snprintf(c->error, c->error_size, "%s: no memory for its list of tensors", c->path);
        return -ENOMEM;
    }
    for (; file->key_count < keys && !c->failed; file->key_count++)
        read_key(c, &file->keys[file->key_count]);
    for (; file->tensor_count < tensors && !c->failed; file->tensor_count++)
        read_tensor(c, &file->tensors[file->tensor_count], &offsets[file->tensor_count]);
    if (!c->failed && read_alignment(c, file, &alignment)) {
        const uint64_t position = (uint64_t)(c->at - c->start);
        skip(c, (alignment - position % alignment) % alignment, "no tensor data (is the file truncated?)");
        for (size_t i = 0; i < file->tensor_count && !c->failed; i++)
            place_tensor(c, &file->tensors[i], offsets[i], alignment);
    }
    free(offsets);
    if (!c->failed)
        sort_keys(c, file);
    return c->failed ? -EINVAL : 0;
}

// One part, its tensors unsorted.
static int open_part(struct gguf_file *file, const char *path, char *error, size_t error_size)
{
    memset(file, 0, sizeof *file);
    int rc = (file->parts = calloc(1, sizeof *file->parts)) ? mapped_file_open(&file->parts[0], path) : -ENOMEM;
    if (!rc) {
        file->map = file->parts[0].map;
        file->bytes = file->parts[0].bytes;
        file->part_count = 1;
    } else {
        snprintf(error, error_size, "%s: the model cannot be read: %s", path, strerror(-rc));
        gguf_close(file);
        return rc;
    }
    const uint8_t *start = file->map ? file->map : (const uint8_t *)""; // an empty file has no map
    struct cursor cursor = {.at = start,
                            .start = start,
                            .end = start + file->bytes,
                            .path = path,
                            .error = error,
                            .error_size = error_size};
    rc = parse(file, &cursor);
    if (rc)
        gguf_close(file);
    return rc;
}

// Takes over what a further part holds.
static int append_part(struct gguf_file *file, struct gguf_file *part)
{
    struct mapped_file *parts = realloc(file->parts, ((size_t)file->part_count + 1) * sizeof *parts);
    if (parts)
        file->parts = parts;
    struct gguf_tensor *tensors = realloc(file->tensors, (file->tensor_count + part->tensor_count + 1) * sizeof *tensors);
    if (tensors)
        file->tensors = tensors;
    if (!parts || !tensors)
        return -ENOMEM;
    memcpy(tensors + file->tensor_count, part->tensors, part->tensor_count * sizeof *tensors);
    file->tensor_count += part->tensor_count;
    parts[file->part_count++] = part->parts[0];
    part->part_count = 0;
    return 0;
}

// Opens the parts behind the first, NAME-0000I-of-0000N.gguf, and checks that each says of itself that it is the one.
static int open_parts(struct gguf_file *file, const char *path, int64_t count, char *error, size_t error_size)
{
    static const char pattern[] = "-00001-of-00000.gguf";
    const size_t length = strlen(path), tail = sizeof pattern - 1;
    char expected[sizeof pattern + 16], name[4096];
    snprintf(expected, sizeof expected, "-00001-of-%05d.gguf", (int)count);
    if (length < tail || length >= sizeof name || strcmp(path + length - tail, expected)) {
        snprintf(error, error_size, "%s: is part of a file that is split in %d: give the first part, whose name ends in %s", path, (int)count,
                 expected);
        return -EINVAL;
    }
    for (int i = 1; i < (int)count; i++) {
        struct gguf_file part;
        snprintf(name, sizeof name, "%.*s-%05d-of-%05d.gguf", (int)(length - tail), path, i + 1, (int)count);
        int rc = open_part(&part, name, error, error_size);
        if (rc)
            return rc;
        int64_t number = -1, of = -1;
        gguf_integer(gguf_find_key(&part, "split.no"), &number);
        gguf_integer(gguf_find_key(&part, "split.count"), &of);
        if (number != i || of != count) {
            snprintf(error, error_size, "%s: says that it is part %lld of %lld, not %d of %d (download it again)", name, (long long)number + 1,
                     (long long)of, i + 1, (int)count);
            rc = -EINVAL;
        } else if ((rc = append_part(file, &part)) != 0) {
            snprintf(error, error_size, "%s: no memory for its list of tensors", name);
        }
        gguf_close(&part);
        if (rc)
            return rc;
    }
    return 0;
}

static int sort_tensors(struct gguf_file *file, const char *path, char *error, size_t error_size)
{
    qsort(file->tensors, file->tensor_count, sizeof *file->tensors, compare_tensors);
    for (size_t i = 1; i < file->tensor_count; i++) {
        if (!compare_tensors(&file->tensors[i - 1], &file->tensors[i])) {
            const struct gguf_text name = file->tensors[i].name;
            snprintf(error, error_size, "%s: two tensors have the same name '%.*s': not a sound GGUF file (download or convert it again)", path,
                     (int)name.bytes, name.text);
            return -EINVAL;
        }
    }
    return 0;
}

int gguf_open(struct gguf_file *file, const char *path, char *error, size_t error_size)
{
    int rc = open_part(file, path, error, error_size);
    if (rc)
        return rc;
    const struct gguf_key *split = gguf_find_key(file, "split.count");
    int64_t count = 1;
    if (split && (!gguf_integer(split, &count) || count < 0 || count > MOST_PARTS)) {
        snprintf(error, error_size, "%s: split.count is no number from 0 to %d", path, MOST_PARTS);
        rc = -EINVAL;
    }
    if (!rc && count > 1)
        rc = open_parts(file, path, count, error, error_size);
    if (!rc)
        rc = sort_tensors(file, path, error, error_size);
    if (rc)
        gguf_close(file);
    return rc;
}

void gguf_close(struct gguf_file *file)
{
    free(file->keys);
    free(file->tensors);
    for (int i = 0; i < file->part_count; i++)
        mapped_file_close(&file->parts[i]);
    free(file->parts);
    memset(file, 0, sizeof *file);
}

const struct gguf_key *gguf_find_key(const struct gguf_file *file, const char *name)
{
    const struct gguf_key wanted = {.name = {name, strlen(name)}};
    return bsearch(&wanted, file->keys, file->key_count, sizeof wanted, compare_keys);
}

const struct gguf_tensor *gguf_find_tensor(const struct gguf_file *file, const char *name)
{
    const struct gguf_tensor wanted = {.name = {name, strlen(name)}};
    return bsearch(&wanted, file->tensors, file->tensor_count, sizeof wanted, compare_tensors);
}

bool gguf_integer(const struct gguf_key *key, int64_t *value)
{
    uint64_t bits = 0;
    if (!key)
        return false;
    const int bytes = scalar_bytes(key->type);
    memcpy(&bits, key->value, (size_t)bytes); // little-endian, as x86 and every GGUF file in use are
    const int unused = 64 - 8 * bytes;
    switch (key->type) {
    case GGUF_VALUE_UINT8:
    case GGUF_VALUE_UINT16:
    case GGUF_VALUE_UINT32:
    case GGUF_VALUE_UINT64:
    case GGUF_VALUE_BOOL:
        *value = (int64_t)bits;
        return bits <= INT64_MAX;
    case GGUF_VALUE_INT8:
    case GGUF_VALUE_INT16:
    case GGUF_VALUE_INT32:
    case GGUF_VALUE_INT64:
        *value = (int64_t)(bits << unused) >> unused;
        return true;
    default:
        return false;
    }
}

bool gguf_real(const struct gguf_key *key, double *value)
{
    float single;
    if (key && key->type == GGUF_VALUE_FLOAT64) {
        memcpy(value, key->value, sizeof *value);
        return true;
    }
    if (!key || key->type != GGUF_VALUE_FLOAT32)
        return false;
    memcpy(&single, key->value, sizeof single);
    *value = (double)single;
    return true;
}

struct gguf_text gguf_next_string(const uint8_t **cursor)
{
    uint64_t bytes;
    memcpy(&bytes, *cursor, sizeof bytes);
    const struct gguf_text text = {(const char *)*cursor + sizeof bytes, (size_t)bytes};
    *cursor += sizeof bytes + bytes;
    return text;
}

struct gguf_text gguf_string(const struct gguf_key *key)
{
    if (!key || key->type != GGUF_VALUE_STRING)
        return (struct gguf_text){"", 0};
    const uint8_t *cursor = key->value;
    return gguf_next_string(&cursor);
}

bool gguf_text_equals(struct gguf_text text, const char *other)
{
    return text.bytes == strlen(other) && !memcmp(text.text, other, text.bytes);
}
