// SPDX-License-Identifier: MIT
// The files of a run: rows that are appended whole and synced, and what is left of them after an interruption.
// results/README.md is the dictionary of the columns; the workload has them as a table (workload.h).
#ifndef LLMSWEEP_RECORDS_H
#define LLMSWEEP_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t; // jansson's json_t

enum { RECORDS_SCHEMA = 4 }; // counts added columns

enum cell_status { CELL_OK, CELL_NOISY, CELL_SKIPPED, CELL_UNSUPPORTED, CELL_OOM, CELL_TIMEOUT, CELL_FAILED, CELL_STATUSES };
const char *cell_status_name(enum cell_status status);
int cell_status_parse(const char *word, enum cell_status *status); // -EINVAL

// ---------------------------------------------------------------------------------------------------------------------
// A set of named values, in the order in which they were first set. Absent = never set.
struct record {
    struct record_field {
        char *name, *value;
    } *fields;
    size_t count, room;
    bool failed; // out of memory: some field is missing
};
void record_set(struct record *record, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
// With nine significant digits; a value that is not finite is absent.
void record_real(struct record *record, const char *name, double value);
const char *record_get(const struct record *record, const char *name); // NULL: absent
double record_number(const struct record *record, const char *name);   // NaN: absent or no number
void record_unset(struct record *record, const char *name);
void record_merge(struct record *record, const struct record *from); // from's values win
void record_free(struct record *record);
// As a JSON object of strings, and back (numbers and strings; others are ignored). NULL when out of memory.
struct json_t *record_json(const struct record *record);
void record_from_json(struct record *record, const struct json_t *object);

// ---------------------------------------------------------------------------------------------------------------------
// A CSV file (harness/csv.h) that is open for appending.
struct table;

// Opens or creates it. A new file gets the header. An existing one must have this header (-EINVAL); a torn last line is cut off
// (*torn says so, may be NULL). -errno with a line that names file and cure.
int table_open(struct table **table, const char *path, const char *const *columns, size_t count, bool *torn, char *error,
               size_t error_size);
// Appends rows as one write: all of them or, when the disk is full, none (the file is cut back to where it was). Columns that a
// record lacks are empty fields; fields without a column are ignored.
int table_append(struct table *table, const struct record *records, size_t count, char *error, size_t error_size);
int table_sync(struct table *table, char *error, size_t error_size);
void table_close(struct table *table);

// A file of JSON values, one a line, appended likewise; columns is NULL in table_open. On opening, a torn last line is cut off.
int table_append_json(struct table *table, const struct json_t *value, char *error, size_t error_size);

// ---------------------------------------------------------------------------------------------------------------------
// Writes a whole file beside itself, syncs it and renames it into place. -errno with a line.
int file_replace(const char *path, const char *text, size_t bytes, char *error, size_t error_size);
// Removes a folder with all that is in it; links are not followed. Stops at the first thing that cannot be removed.
void folder_remove(const char *path);
// Reads a whole file; *text is NUL-terminated and malloc'ed. -EFBIG above limit.
int file_read(const char *path, size_t limit, char **text, size_t *bytes, char *error, size_t error_size);

#endif
