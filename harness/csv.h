// SPDX-License-Identifier: MIT
// Tables in RFC 4180 form: comma, double quotes where needed (doubled inside), one header line; LF or CRLF ends a row.
//
// A writer that is killed leaves a last row without its line end, or inside quotes. The reader leaves such a torn row out and says
// so; the file cut at whole_bytes is valid again and can be appended to.
#ifndef LLMSWEEP_CSV_H
#define LLMSWEEP_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct csv_table {
    size_t columns, rows; // rows without the header
    char **header;        // (columns)
    char **fields;        // (rows, columns), unquoted
    bool torn;            // a last row without its end was left out
    size_t whole_bytes;   // bytes of the file up to the end of the last whole row
    char *storage;        // what header and fields point into
};

// Reads a whole file. 0; -errno of open or read; -ENOMEM; -EINVAL for a file without a whole header line, with a NUL byte, a
// stray quote, two columns of one name, or a row whose number of fields is not the header's. error gets "FILE:LINE: what is wrong".
// The caller frees the table with csv_table_free; it is empty after an error.
int csv_table_read(const char *path, struct csv_table *table, char *error, size_t error_size);
// The same for text in memory; name stands for the file in messages.
int csv_table_parse(const char *text, size_t bytes, const char *name, struct csv_table *table, char *error, size_t error_size);
void csv_table_free(struct csv_table *table);

// The index of a column, -1 when there is none: files of later versions have more columns, of earlier ones fewer.
int csv_table_column(const struct csv_table *table, const char *name);
// The field's text; "" for column -1.
const char *csv_table_field(const struct csv_table *table, size_t row, int column);
// The field as a finite number, NAN when it is empty, absent or anything else.
double csv_table_number(const struct csv_table *table, size_t row, int column);

// Writes one field, quoted when it holds a comma, a quote or a line end.
void csv_write_field(FILE *file, const char *text);

#endif
