// SPDX-License-Identifier: MIT
// The files of a run: rows that are appended whole and synced, and what is left of them after an interruption.
// results/README.md is the dictionary of the columns; the workload has them as a table (workload.h).
#ifndef LLMSWEEP_RECORDS_H
#define LLMSWEEP_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RECORDS_SCHEMA = 1 }; // counts added columns

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

// ---------------------------------------------------------------------------------------------------------------------
// A CSV file that is open for appending.
struct csv_file;

// Opens or creates it. A new file gets the header. An existing one must have this header, or one that lacks only columns at the end
// (-EINVAL); a torn last line is cut off (*torn says so, may be NULL). -errno with a line that names file and cure.
int csv_open(struct csv_file **file, const char *path, const char *const *columns, size_t count, bool *torn, char *error,
             size_t error_size);
// Appends rows as one write: all of them or, when the disk is full, none (the file is cut back to where it was). Columns that a
// record lacks are empty fields; fields without a column are ignored.
int csv_append(struct csv_file *file, const struct record *records, size_t count, char *error, size_t error_size);
int csv_sync(struct csv_file *file, char *error, size_t error_size);
void csv_close(struct csv_file *file);

// Reads every whole row. row() gets the record, which it may not keep; returning non-zero stops. 0, -errno, or what row() returned.
int csv_read(const char *path, int (*row)(void *context, const struct record *record), void *context, char *error,
             size_t error_size);

// ---------------------------------------------------------------------------------------------------------------------
// Writes a whole file beside itself, syncs it and renames it into place. -errno with a line.
int file_replace(const char *path, const char *text, size_t bytes, char *error, size_t error_size);
// Reads a whole file; *text is NUL-terminated and malloc'ed. -EFBIG above limit.
int file_read(const char *path, size_t limit, char **text, size_t *bytes, char *error, size_t error_size);

#endif
