// SPDX-License-Identifier: MIT
#include "harness/records.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/csv.h"

static const char *const status_names[CELL_STATUSES] = {"ok",  "noisy",   "skipped", "unsupported",
                                                        "oom", "timeout", "failed"};

const char *cell_status_name(enum cell_status status) {
    assert((unsigned)status < CELL_STATUSES);
    return status_names[status];
}

int cell_status_parse(const char *word, enum cell_status *status) {
    for (int i = 0; i < CELL_STATUSES; i++)
        if (!strcmp(word, status_names[i])) {
            *status = (enum cell_status)i;
            return 0;
        }
    return -EINVAL;
}

// ---------------------------------------------------------------------------------------------------------------------

static struct record_field *find_field(const struct record *record, const char *name) {
    for (size_t i = 0; i < record->count; i++)
        if (!strcmp(record->fields[i].name, name))
            return &record->fields[i];
    return NULL;
}

static void set_text(struct record *record, const char *name, const char *value) {
    char *copy = strdup(value);
    struct record_field *field = find_field(record, name);
    if (!copy)
        goto fail;
    if (field) {
        free(field->value);
        field->value = copy;
        return;
    }
    if (record->count == record->room) {
        size_t room = record->room ? record->room * 2 : 16;
        struct record_field *grown = realloc(record->fields, room * sizeof *grown);
        if (!grown)
            goto fail;
        record->fields = grown;
        record->room = room;
    }
    char *key = strdup(name);
    if (!key)
        goto fail;
    record->fields[record->count++] = (struct record_field){key, copy};
    return;
fail:
    free(copy);
    record->failed = true;
}

void record_set(struct record *record, const char *name, const char *format, ...) {
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        record->failed = true;
    else
        set_text(record, name, text), free(text);
}

void record_real(struct record *record, const char *name, double value) {
    if (isfinite(value))
        record_set(record, name, "%.9g", value);
    else
        record_unset(record, name);
}

const char *record_get(const struct record *record, const char *name) {
    struct record_field *field = find_field(record, name);
    return field ? field->value : NULL;
}

double record_number(const struct record *record, const char *name) {
    const char *text = record_get(record, name);
    char *end;
    if (!text)
        return NAN;
    double value = strtod(text, &end);
    return end != text && !*end ? value : NAN;
}

void record_unset(struct record *record, const char *name) {
    struct record_field *field = find_field(record, name);
    if (!field)
        return;
    free(field->name);
    free(field->value);
    size_t index = (size_t)(field - record->fields);
    memmove(field, field + 1, (record->count - index - 1) * sizeof *field);
    record->count--;
}

void record_merge(struct record *record, const struct record *from) {
    for (size_t i = 0; i < from->count; i++)
        set_text(record, from->fields[i].name, from->fields[i].value);
    record->failed |= from->failed;
}

void record_free(struct record *record) {
    for (size_t i = 0; i < record->count; i++) {
        free(record->fields[i].name);
        free(record->fields[i].value);
    }
    free(record->fields);
    *record = (struct record){0};
}

json_t *record_json(const struct record *record) {
    json_t *object = json_object();
    for (size_t i = 0; object && i < record->count; i++)
        if (json_object_set_new(object, record->fields[i].name, json_string(record->fields[i].value))) {
            json_decref(object);
            return NULL;
        }
    return record->failed ? (json_decref(object), NULL) : object;
}

void record_from_json(struct record *record, const json_t *object) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) {
        if (json_is_string(value))
            set_text(record, key, json_string_value(value));
        else if (json_is_integer(value))
            record_set(record, key, "%lld", (long long)json_integer_value(value));
        else if (json_is_real(value))
            record_real(record, key, json_real_value(value));
    }
}

// ---------------------------------------------------------------------------------------------------------------------

struct table {
    int descriptor;
    char *path;
    char **columns; // (count); NULL: a file of JSON lines
    size_t count;
};

static int complain(const char *path, const char *doing, int code, char *error, size_t error_size) {
    const char *cure = code == -ENOSPC || code == -EFBIG || code == -EDQUOT ? "; free some space and resume"
                       : code == -EACCES || code == -EROFS || code == -EPERM
                           ? "; choose another folder with -o"
                           : "";
    snprintf(error, error_size, "%s: cannot %s: %s%s", path, doing, strerror(-code), cure);
    return code;
}

// All of it or nothing: what a full disk took of it is cut off again.
static int append_bytes(struct table *table, const char *text, size_t bytes, char *error, size_t error_size) {
    off_t start = lseek(table->descriptor, 0, SEEK_END);
    size_t done = 0;
    while (start >= 0 && done < bytes) {
        ssize_t wrote = write(table->descriptor, text + done, bytes - done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            break;
        done += (size_t)wrote;
    }
    if (start >= 0 && done == bytes)
        return 0;
    int code = errno ? -errno : -EIO;
    if (start >= 0 && ftruncate(table->descriptor, start))
        return complain(table->path, "append, nor cut off a half-written row", code, error, error_size);
    return complain(table->path, "append", code, error, error_size);
}

// The row as one line in a malloc'ed buffer.
static int format_row(const struct table *table, const struct record *record, bool header, FILE *out) {
    for (size_t i = 0; i < table->count; i++) {
        const char *value = header ? table->columns[i] : record_get(record, table->columns[i]);
        if (i)
            fputc(',', out);
        csv_write_field(out, value ? value : "");
    }
    fputc('\n', out);
    return ferror(out) ? -ENOMEM : 0;
}

static int append_rows(struct table *table, const struct record *records, size_t count, bool header, char *error,
                       size_t error_size) {
    char *text = NULL;
    size_t bytes = 0;
    int result = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out)
        return complain(table->path, "append", -ENOMEM, error, error_size);
    for (size_t i = 0; i < count && !result; i++)
        result = format_row(table, header ? NULL : &records[i], header, out);
    if (fclose(out))
        result = -ENOMEM;
    if (result)
        complain(table->path, "append", result, error, error_size);
    else
        result = append_bytes(table, text, bytes, error, error_size);
    free(text);
    return result;
}

// Cuts a torn last line off a CSV file and compares its header.
static int check_csv(struct table *table, bool *torn, char *error, size_t error_size) {
    struct csv_table old;
    int result = csv_table_read(table->path, &old, error, error_size);
    if (result)
        return result;
    bool same = old.columns == table->count;
    for (size_t i = 0; same && i < table->count; i++)
        same = !strcmp(old.header[i], table->columns[i]);
    if (!same) {
        snprintf(error, error_size, "%s:1: these are not the columns that this version writes; start a new run with -o",
                 table->path);
        result = -EINVAL;
    } else if (old.torn && ftruncate(table->descriptor, (off_t)old.whole_bytes))
        result = complain(table->path, "cut off a torn line", -errno, error, error_size);
    *torn = old.torn;
    csv_table_free(&old);
    return result;
}

static int check_lines(struct table *table, size_t size, bool *torn, char *error, size_t error_size) {
    char *text;
    size_t bytes;
    int result = file_read(table->path, size, &text, &bytes, error, error_size);
    if (result)
        return result;
    const char *last = memrchr(text, '\n', bytes);
    size_t whole = last ? (size_t)(last - text) + 1 : 0;
    *torn = whole < bytes;
    free(text);
    if (*torn && ftruncate(table->descriptor, (off_t)whole))
        return complain(table->path, "cut off a torn line", -errno, error, error_size);
    return 0;
}

int table_open(struct table **table, const char *path, const char *const *columns, size_t count, bool *torn, char *error,
               size_t error_size) {
    bool cut = false;
    struct stat status;
    struct table *made = calloc(1, sizeof *made);
    if (!made)
        return complain(path, "open", -ENOMEM, error, error_size);
    int result = -ENOMEM;
    made->descriptor = -1;
    made->path = strdup(path);
    made->columns = columns ? calloc(count + 1, sizeof *made->columns) : NULL;
    if (!made->path || (columns && !made->columns))
        goto memory;
    for (; columns && made->count < count; made->count++)
        if (!(made->columns[made->count] = strdup(columns[made->count])))
            goto memory;
    made->descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (made->descriptor < 0 || fstat(made->descriptor, &status)) {
        result = complain(path, "open", -errno, error, error_size);
        goto fail;
    }
    // A file that holds less than its header, as a full disk leaves it, is begun again.
    char *text = NULL;
    bool has_header = columns && !file_read(path, 1 << 30, &text, &(size_t){0}, error, error_size) && strchr(text, '\n');
    free(text);
    if (!columns)
        result = status.st_size ? check_lines(made, (size_t)status.st_size, &cut, error, error_size) : 0;
    else if (has_header)
        result = check_csv(made, &cut, error, error_size);
    else if (ftruncate(made->descriptor, 0))
        result = complain(path, "begin", -errno, error, error_size);
    else
        result = append_rows(made, NULL, 1, true, error, error_size);
    if (result)
        goto fail;
    if (torn)
        *torn = cut;
    *table = made;
    return 0;
memory:
    complain(path, "open", -ENOMEM, error, error_size);
fail:
    table_close(made);
    return result;
}

int table_append(struct table *table, const struct record *records, size_t count, char *error, size_t error_size) {
    assert(table->columns);
    for (size_t i = 0; i < count; i++)
        if (records[i].failed)
            return complain(table->path, "append", -ENOMEM, error, error_size);
    return append_rows(table, records, count, false, error, error_size);
}

int table_append_json(struct table *table, const json_t *value, char *error, size_t error_size) {
    assert(!table->columns);
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text)
        return complain(table->path, "append", -ENOMEM, error, error_size);
    size_t bytes = strlen(text);
    text[bytes] = '\n'; // in the place of the NUL
    int result = append_bytes(table, text, bytes + 1, error, error_size);
    free(text);
    return result;
}

int table_sync(struct table *table, char *error, size_t error_size) {
    if (fsync(table->descriptor) && errno != EINVAL && errno != EROFS)
        return complain(table->path, "sync", -errno, error, error_size);
    return 0;
}

void table_close(struct table *table) {
    if (!table)
        return;
    if (table->descriptor >= 0)
        close(table->descriptor);
    for (size_t i = 0; i < table->count; i++)
        free(table->columns[i]);
    free(table->columns);
    free(table->path);
    free(table);
}

// ---------------------------------------------------------------------------------------------------------------------

int file_replace(const char *path, const char *text, size_t bytes, char *error, size_t error_size) {
    char *aside = NULL;
    if (asprintf(&aside, "%s.new", path) < 0)
        return complain(path, "write", -ENOMEM, error, error_size);
    int result = 0, descriptor = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor < 0) {
        result = complain(path, "write", -errno, error, error_size);
        goto out;
    }
    struct table whole = {.descriptor = descriptor, .path = (char *)path};
    result = append_bytes(&whole, text, bytes, error, error_size);
    if (!result)
        result = table_sync(&whole, error, error_size);
    if (close(descriptor) && !result)
        result = complain(path, "write", -errno, error, error_size);
    if (!result && rename(aside, path))
        result = complain(path, "put in place", -errno, error, error_size);
    if (result)
        unlink(aside);
out:
    free(aside);
    return result;
}

int file_read(const char *path, size_t limit, char **text, size_t *bytes, char *error, size_t error_size) {
    FILE *file = fopen(path, "rbe");
    struct stat status;
    if (!file || fstat(fileno(file), &status)) {
        int code = errno ? -errno : -EIO;
        if (file)
            fclose(file);
        return complain(path, "read", code, error, error_size);
    }
    int result = 0;
    char *all = NULL;
    size_t size = 0, room = 0;
    if (S_ISDIR(status.st_mode))
        result = complain(path, "read", -EISDIR, error, error_size);
    while (!result && !feof(file)) {
        if (size == room) {
            room = room ? room * 2 : 4096;
            char *grown = realloc(all, room + 1);
            if (!grown) {
                result = complain(path, "read", -ENOMEM, error, error_size);
                break;
            }
            all = grown;
        }
        size += fread(all + size, 1, room - size, file);
        if (ferror(file))
            result = complain(path, "read", errno ? -errno : -EIO, error, error_size);
        else if (size > limit)
            result = complain(path, "read", -EFBIG, error, error_size);
    }
    fclose(file);
    if (result) {
        free(all);
        return result;
    }
    all[size] = '\0';
    *text = all;
    *bytes = size;
    return 0;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

void folder_remove(const char *path) {
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
