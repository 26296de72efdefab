// SPDX-License-Identifier: MIT
#include "harness/csv.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct parser {
    const char *name, *at, *end;
    char *out; // where the next field's text goes; never ahead of `at`, since unquoting only shortens
    size_t line;
    char *error;
    size_t error_size;
};

static int complain(const struct parser *parser, const char *what) {
    snprintf(parser->error, parser->error_size, "%s:%zu: %s", parser->name, parser->line, what);
    return -EINVAL;
}

enum field_end { FIELD_COMMA, FIELD_LINE, FIELD_TORN, FIELD_BAD };

// Reads one field into parser->out and NUL-terminates it.
static enum field_end read_field(struct parser *parser, char **field) {
    *field = parser->out;
    bool quoted = parser->at < parser->end && *parser->at == '"';
    if (quoted) {
        for (parser->at++;; parser->at++) {
            if (parser->at == parser->end)
                return FIELD_TORN;
            if (*parser->at == '"') {
                if (parser->at + 1 == parser->end)
                    return FIELD_TORN;
                if (parser->at[1] != '"')
                    break;
                parser->at++;
            }
            parser->line += *parser->at == '\n';
            *parser->out++ = *parser->at;
        }
        parser->at++;
    }
    for (; parser->at < parser->end; parser->at++) {
        char c = *parser->at;
        bool carriage_return = c == '\r' && parser->at + 1 < parser->end && parser->at[1] == '\n';
        if (c == ',' || c == '\n' || carriage_return) {
            *parser->out++ = '\0';
            parser->at += carriage_return ? 2 : 1;
            return c == ',' ? FIELD_COMMA : FIELD_LINE;
        }
        if (quoted || c == '"') {
            if (c == '\r' && parser->at + 1 == parser->end)
                return FIELD_TORN;
            return FIELD_BAD;
        }
        *parser->out++ = c;
    }
    return FIELD_TORN;
}

static int append(char ***list, size_t *count, size_t *capacity, char *text) {
    if (*count == *capacity) {
        size_t larger = *capacity ? *capacity * 2 : 256;
        char **grown = realloc(*list, larger * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        *list = grown;
        *capacity = larger;
    }
    (*list)[(*count)++] = text;
    return 0;
}

// The table's storage holds a copy of the text with room for one more byte; the fields are unquoted in place.
static int parse_storage(struct csv_table *table, struct parser *parser) {
    const char *begin = parser->at;
    char **fields = NULL;
    size_t count = 0, capacity = 0;
    int result = 0;
    while (parser->at < parser->end) {
        size_t row_start = count, row_line = parser->line;
        enum field_end how;
        do {
            char *field;
            how = read_field(parser, &field);
            if (how == FIELD_BAD)
                result = complain(parser, "a quote in the middle of a field; fields with quotes are quoted whole");
            else
                result = append(&fields, &count, &capacity, field);
            if (result)
                goto out;
        } while (how == FIELD_COMMA);
        if (how == FIELD_TORN) {
            table->torn = true;
            count = row_start;
            break;
        }
        size_t width = count - row_start;
        if (!table->columns)
            table->columns = width;
        if (width != table->columns) {
            char what[96];
            snprintf(what, sizeof what, "%zu fields where the header has %zu", width, table->columns);
            parser->line = row_line;
            result = complain(parser, what);
            goto out;
        }
        parser->line++;
        table->whole_bytes = (size_t)(parser->at - begin);
    }
    if (!table->columns) {
        parser->line = 1;
        result = complain(parser, "no header line");
        goto out;
    }
    table->header = fields;
    table->fields = fields + table->columns;
    table->rows = count / table->columns - 1;
    for (size_t i = 0; i < table->columns; i++)
        for (size_t j = 0; j < i; j++)
            if (!strcmp(fields[i], fields[j])) {
                char what[96];
                snprintf(what, sizeof what, "two columns are named '%.40s'", fields[i]);
                parser->line = 1;
                result = complain(parser, what);
                goto out;
            }
    return 0;
out:
    free(fields);
    table->header = NULL;
    return result;
}

static int parse_owned(char *text, size_t bytes, const char *name, struct csv_table *table, char *error,
                       size_t error_size) {
    *table = (struct csv_table){.storage = text};
    struct parser parser = {
        .name = name, .at = text, .end = text + bytes, .out = text, .line = 1, .error = error, .error_size = error_size};
    int result = 0;
    const char *nul = memchr(text, '\0', bytes);
    if (nul) {
        for (const char *c = text; c < nul; c++)
            parser.line += *c == '\n';
        result = complain(&parser, "a NUL byte; this is not a CSV file");
    } else {
        result = parse_storage(table, &parser);
        if (result == -ENOMEM)
            snprintf(error, error_size, "%s: not enough memory", name);
    }
    if (result)
        csv_table_free(table);
    return result;
}

int csv_table_parse(const char *text, size_t bytes, const char *name, struct csv_table *table, char *error, size_t error_size) {
    *table = (struct csv_table){0};
    char *copy = malloc(bytes + 1);
    if (!copy) {
        snprintf(error, error_size, "%s: not enough memory", name);
        return -ENOMEM;
    }
    memcpy(copy, text, bytes);
    return parse_owned(copy, bytes, name, table, error, error_size);
}

int csv_table_read(const char *path, struct csv_table *table, char *error, size_t error_size) {
    *table = (struct csv_table){0};
    char *text = NULL;
    size_t bytes = 0, capacity = 0;
    int result = 0;
    FILE *file = fopen(path, "rb");
    if (!file) {
        result = -errno;
        snprintf(error, error_size, "%s: %s", path, strerror(-result));
        return result;
    }
    do {
        if (bytes == capacity) {
            capacity = capacity ? capacity * 2 : 65536;
            char *grown = realloc(text, capacity + 1);
            if (!grown) {
                result = -ENOMEM;
                break;
            }
            text = grown;
        }
        bytes += fread(text + bytes, 1, capacity - bytes, file);
    } while (!feof(file) && !ferror(file));
    if (!result && ferror(file))
        result = errno ? -errno : -EIO;
    fclose(file);
    if (result) {
        snprintf(error, error_size, "%s: %s", path, strerror(-result));
        free(text);
        return result;
    }
    return parse_owned(text, bytes, path, table, error, error_size);
}

void csv_table_free(struct csv_table *table) {
    free(table->header);
    free(table->storage);
    *table = (struct csv_table){0};
}

int csv_table_column(const struct csv_table *table, const char *name) {
    for (size_t i = 0; i < table->columns; i++)
        if (!strcmp(table->header[i], name))
            return (int)i;
    return -1;
}

const char *csv_table_field(const struct csv_table *table, size_t row, int column) {
    return column < 0 ? "" : table->fields[row * table->columns + (size_t)column];
}

double csv_table_number(const struct csv_table *table, size_t row, int column) {
    const char *text = csv_table_field(table, row, column);
    char *end;
    double value = strtod(text, &end);
    return *text && !*end && isfinite(value) ? value : NAN;
}

void csv_write_field(FILE *file, const char *text) {
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, file);
        return;
    }
    fputc('"', file);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', file);
        fputc(*text, file);
    }
    fputc('"', file);
}
