// SPDX-License-Identifier: MIT
#include "bench/model/safetensors_file.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/mapped_file.h"
#include "bench/model/tensor.h"

// More than any published model has; a header is a few hundred bytes a tensor.
enum { MOST_BYTES_OF_JSON = 16 << 20, MOST_TENSORS = 1 << 16, MOST_FILES = 1000, LONGEST_NAME = 256 };

#define REFUSE(...) (snprintf(error, error_size, __VA_ARGS__), -EINVAL)

static int map_file(struct mapped_file *file, const char *path, char *error, size_t error_size)
{
    const int rc = mapped_file_open(file, path);
    if (rc)
        snprintf(error, error_size, "%s: cannot be read: %s", path, strerror(-rc));
    return rc;
}

static int parse_json(json_t **json, const void *text, size_t bytes, const char *path, char *error, size_t error_size)
{
    json_error_t where;
    *json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &where);
    if (!*json)
        return REFUSE("%s: line %d: %.120s: not sound JSON (download it again)", path, where.line, where.text);
    if (!json_is_object(*json)) {
        json_decref(*json);
        return REFUSE("%s: its JSON is no object (download it again)", path);
    }
    return 0;
}

int safetensors_read_json(json_t **json, const char *path, char *error, size_t error_size)
{
    struct mapped_file file;
    int rc = map_file(&file, path, error, error_size);
    if (rc)
        return rc;
    rc = file.bytes <= MOST_BYTES_OF_JSON ? parse_json(json, file.map ? file.map : "", file.bytes, path, error, error_size)
                                          : REFUSE("%s: has %zu bytes, which is absurd for it", path, file.bytes);
    mapped_file_close(&file);
    return rc;
}

static uint32_t type_number(const char *name)
{
    return !strcmp(name, "F32") ? TENSOR_F32 : !strcmp(name, "F16") ? TENSOR_F16 : !strcmp(name, "BF16") ? TENSOR_BF16 : UINT32_MAX;
}

// One entry of the header; data and room: what lies behind the header. The strings are the JSON's until the name is copied.
static int read_tensor(struct safetensors_tensor *tensor, const char *name, json_t *entry, const uint8_t *data, uint64_t room, const char *path,
                       char *error, size_t error_size)
{
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    json_t *shape = json_object_get(entry, "shape"), *offsets = json_object_get(entry, "data_offsets");
    if (!type || !json_is_array(shape) || json_array_size(shape) > 4 || json_array_size(offsets) != 2)
        return REFUSE("%s: tensor '%.100s' lacks its dtype, shape or data_offsets (download it again)", path, name);
    snprintf(tensor->type_name, sizeof tensor->type_name, "%s", type);
    tensor->type = type_number(type);
    tensor->dimensions = (int)json_array_size(shape);
    uint64_t elements = 1;
    for (int i = 0; i < 4; i++) {
        tensor->size[i] = i < tensor->dimensions ? json_integer_value(json_array_get(shape, (size_t)i)) : 1;
        if (tensor->size[i] < 0 || tensor->size[i] > INT32_MAX || __builtin_mul_overflow(elements, (uint64_t)tensor->size[i], &elements))
            return REFUSE("%s: tensor '%.100s' has absurd dimensions", path, name);
    }
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    const int64_t begin = json_integer_value(first), end = json_integer_value(last);
    if (!json_is_integer(first) || !json_is_integer(last) || begin < 0 || end < begin || (uint64_t)end > room)
        return REFUSE("%s: tensor '%.100s' ends beyond the file's end (is the file truncated?)", path, name);
    if (tensor->type != UINT32_MAX && (elements > UINT64_MAX / 4 || (uint64_t)(end - begin) != elements * tensor_block_bytes(tensor->type)))
        return REFUSE("%s: tensor '%.100s' has %lld bytes, which do not fit its shape", path, name, (long long)(end - begin));
    tensor->data = data + begin;
    tensor->name = strdup(name);
    if (!tensor->name)
        snprintf(error, error_size, "%s: no memory for its list of tensors", path);
    return tensor->name ? 0 : -ENOMEM;
}

static int read_header(struct safetensors_files *files, const struct mapped_file *file, const char *path, char *error, size_t error_size)
{
    const uint8_t *bytes = file->map;
    uint64_t length = 0;
    for (int i = 8; file->bytes >= 8 && i-- > 0;)
        length = length << 8 | bytes[i];
    if (file->bytes < 10 || length > file->bytes - 8 || length > MOST_BYTES_OF_JSON)
        return REFUSE("%s: not a safetensors file, or cut off: its header would have %llu bytes", path, (unsigned long long)length);
    json_t *header;
    int rc = parse_json(&header, bytes + 8, (size_t)length, path, error, error_size);
    if (rc)
        return rc;
    const size_t entries = json_object_size(header);
    struct safetensors_tensor *grown = entries + files->count <= MOST_TENSORS
                                           ? realloc(files->tensors, (files->count + entries + 1) * sizeof *grown)
                                           : NULL;
    if (grown) {
        files->tensors = grown;
    } else {
        rc = -ENOMEM;
        snprintf(error, error_size, "%s: %zu tensors are absurd", path, entries + files->count);
    }
    const char *name;
    json_t *entry;
    json_object_foreach (header, name, entry) {
        if (rc || !strcmp(name, "__metadata__"))
            continue;
        struct safetensors_tensor *tensor = &files->tensors[files->count];
        memset(tensor, 0, sizeof *tensor);
        if (strlen(name) > LONGEST_NAME)
            rc = REFUSE("%s: a tensor's name has %zu characters", path, strlen(name));
        else
            rc = read_tensor(tensor, name, entry, bytes + 8 + length, file->bytes - 8 - length, path, error, error_size);
        files->count += !rc;
    }
    json_decref(header);
    return rc;
}

static int add_file(struct safetensors_files *files, const char *path, char *error, size_t error_size)
{
    struct mapped_file *grown = realloc(files->files, ((size_t)files->file_count + 1) * sizeof *grown);
    if (!grown) {
        snprintf(error, error_size, "%s: no memory", path);
        return -ENOMEM;
    }
    files->files = grown;
    const int rc = map_file(&grown[files->file_count], path, error, error_size);
    if (rc)
        return rc;
    return read_header(files, &grown[files->file_count++], path, error, error_size);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// The files that an index names, each once, in the order of their names.
static int add_listed(struct safetensors_files *files, const char *path, char *error, size_t error_size)
{
    json_t *index;
    int rc = safetensors_read_json(&index, path, error, error_size);
    if (rc)
        return rc;
    json_t *map = json_object_get(index, "weight_map"), *value;
    const char *tensor, **names = calloc(json_object_size(map) + 1, sizeof *names);
    size_t count = 0;
    if (!names || !json_object_size(map))
        rc = REFUSE("%s: lacks its weight_map (download it again)", path);
    json_object_foreach (map, tensor, value) {
        const char *name = json_string_value(value);
        if (!rc && (!name || !*name || *name == '.' || strchr(name, '/') || strlen(name) > LONGEST_NAME))
            rc = REFUSE("%s: tensor '%.100s' is not said to lie in a file of this folder", path, tensor);
        if (!rc)
            names[count++] = name;
    }
    if (names)
        qsort(names, count, sizeof *names, compare_names);
    const char *slash = strrchr(path, '/');
    for (size_t i = 0; i < count && !rc; i++) {
        char full[4096];
        if (i && !strcmp(names[i], names[i - 1]))
            continue;
        snprintf(full, sizeof full, "%.*s%s", slash ? (int)(slash - path) + 1 : 0, path, names[i]);
        rc = files->file_count < MOST_FILES ? add_file(files, full, error, error_size) : REFUSE("%s: more than %d files", path, MOST_FILES);
    }
    free(names);
    json_decref(index);
    return rc;
}

static int compare_tensors(const void *a, const void *b)
{
    return strcmp(((const struct safetensors_tensor *)a)->name, ((const struct safetensors_tensor *)b)->name);
}

int safetensors_open(struct safetensors_files *files, const char *path, char *error, size_t error_size)
{
    static const char index[] = ".index.json";
    const size_t length = strlen(path);
    memset(files, 0, sizeof *files);
    const bool listed = length >= sizeof index && !strcmp(path + length - (sizeof index - 1), index);
    int rc = listed ? add_listed(files, path, error, error_size) : add_file(files, path, error, error_size);
    if (!rc) {
        qsort(files->tensors, files->count, sizeof *files->tensors, compare_tensors);
        for (size_t i = 1; i < files->count && !rc; i++) {
            if (!compare_tensors(&files->tensors[i - 1], &files->tensors[i]))
                rc = REFUSE("%s: two tensors have the same name '%.100s' (download it again)", path, files->tensors[i].name);
        }
    }
    if (rc)
        safetensors_close(files);
    return rc;
}

void safetensors_close(struct safetensors_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->tensors[i].name);
    free(files->tensors);
    for (int i = 0; i < files->file_count; i++)
        mapped_file_close(&files->files[i]);
    free(files->files);
    memset(files, 0, sizeof *files);
}

const struct safetensors_tensor *safetensors_find(const struct safetensors_files *files, const char *name)
{
    const struct safetensors_tensor wanted = {.name = (char *)name};
    return files->count ? bsearch(&wanted, files->tensors, files->count, sizeof wanted, compare_tensors) : NULL;
}
