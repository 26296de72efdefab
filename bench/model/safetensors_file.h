// SPDX-License-Identifier: MIT
// Safetensors files taken apart: their tensors, all checked to lie inside their file. Knows nothing of models.
#ifndef LLMSWEEP_SAFETENSORS_FILE_H
#define LLMSWEEP_SAFETENSORS_FILE_H

#include <stddef.h>
#include <stdint.h>

struct json_t;
struct mapped_file; // mapped_file.h

struct safetensors_tensor {
    char *name;
    char type_name[12];  // "F32", "BF16", "I64", …
    uint32_t type;       // enum tensor_type, or UINT32_MAX for one that is not read
    int dimensions;
    int64_t size[4];     // size[0] varies slowest; unused ones are 1
    const uint8_t *data; // unaligned
};

struct safetensors_files {
    struct safetensors_tensor *tensors; // (count) sorted by name
    size_t count;
    struct mapped_file *files; // (file_count)
    int file_count;
};

// Opens the file, or, where path ends in ".index.json", all files that it lists, which lie beside it. 0, or -errno with one line.
int safetensors_open(struct safetensors_files *files, const char *path, char *error, size_t error_size);
void safetensors_close(struct safetensors_files *files);
// NULL if there is none of that name.
const struct safetensors_tensor *safetensors_find(const struct safetensors_files *files, const char *name);
// A JSON file of a bounded size, an object; the caller json_decref()s it. 0, or -errno with one line.
int safetensors_read_json(struct json_t **json, const char *path, char *error, size_t error_size);

#endif
