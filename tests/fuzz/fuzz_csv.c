// SPDX-License-Identifier: MIT
// CSV tables: refused with one line, or a table whose every field can be read.
// sources: harness/csv.c
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "harness/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csv_table table;
    char error[512] = "";
    if (csv_table_parse((const char *)data, size, "fuzz", &table, error, sizeof error)) {
        if (!*error || table.rows || table.fields)
            abort();
        return 0;
    }
    size_t sum = 0;
    for (size_t column = 0; column < table.columns; column++) {
        if (csv_table_column(&table, table.header[column]) != (int)column)
            abort();
        for (size_t row = 0; row < table.rows; row++) {
            sum += strlen(csv_table_field(&table, row, (int)column));
            sum += csv_table_number(&table, row, (int)column) > 0;
        }
    }
    if (table.whole_bytes > size || (!table.torn && table.whole_bytes != size) || sum > 2 * size + table.columns * table.rows)
        abort();
    // what is whole reads the same again
    struct csv_table again;
    if (csv_table_parse((const char *)data, table.whole_bytes, "fuzz", &again, error, sizeof error) || again.rows != table.rows || again.torn)
        abort();
    csv_table_free(&again);
    csv_table_free(&table);
    return 0;
}
