// SPDX-License-Identifier: MIT
// A GGUF file taken apart: its keys and its tensors, all checked to lie inside the file. Knows nothing of models.
#ifndef LLMSWEEP_GGUF_FILE_H
#define LLMSWEEP_GGUF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gguf_value_type {
    GGUF_VALUE_UINT8,
    GGUF_VALUE_INT8,
    GGUF_VALUE_UINT16,
    GGUF_VALUE_INT16,
    GGUF_VALUE_UINT32,
    GGUF_VALUE_INT32,
    GGUF_VALUE_FLOAT32,
    GGUF_VALUE_BOOL,
    GGUF_VALUE_STRING,
    GGUF_VALUE_ARRAY,
    GGUF_VALUE_UINT64,
    GGUF_VALUE_INT64,
    GGUF_VALUE_FLOAT64,
    GGUF_VALUE_TYPES
};

struct gguf_text {
    const char *text; // in the file, not NUL-terminated
    size_t bytes;
};

struct gguf_key {
    struct gguf_text name;
    uint32_t type;         // enum gguf_value_type
    uint32_t element_type; // of an array
    uint64_t count;        // of an array; otherwise 1
    const uint8_t *value;  // first byte of the value, or of the array's first element; unaligned
    size_t bytes;          // of the value, or of all elements
};

struct gguf_tensor {
    struct gguf_text name;
    uint32_t dimensions;
    uint64_t size[4];    // size[0] varies fastest: a matrix (out, in) has size[0] = in; unused ones are 1
    uint32_t type;       // enum tensor_type: only types that we read get this far
    const uint8_t *data; // unaligned
};

struct gguf_file {
    struct gguf_key *keys;       // (key_count) sorted by name; of the first part
    struct gguf_tensor *tensors; // (tensor_count) sorted by name; of all parts
    size_t key_count, tensor_count;
    const uint8_t *map; // of the first part
    size_t bytes;
    struct mapped_file *parts; // (part_count) all of them; mapped_file.h
    int part_count;
};

// A file that is split (NAME-00001-of-0000N.gguf) is opened by its first part. 0, or -errno with one line that names the file, the place
// and the cure.
int gguf_open(struct gguf_file *file, const char *path, char *error, size_t error_size);
void gguf_close(struct gguf_file *file);

// NULL if there is none of that name.
const struct gguf_key *gguf_find_key(const struct gguf_file *file, const char *name);
const struct gguf_tensor *gguf_find_tensor(const struct gguf_file *file, const char *name);

// The value as a number; false if the key holds no (whole) number, or one that does not fit.
bool gguf_integer(const struct gguf_key *key, int64_t *value);
bool gguf_real(const struct gguf_key *key, double *value);
// The string; bytes 0 if the key is NULL or holds none.
struct gguf_text gguf_string(const struct gguf_key *key);
// The next string of a string array: *cursor starts as key->value. For arrays that gguf_open accepted.
struct gguf_text gguf_next_string(const uint8_t **cursor);
bool gguf_text_equals(struct gguf_text text, const char *other);

#endif
