// SPDX-License-Identifier: MIT
#include "bench/compare/document.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report/text.h"

enum part_kind { PART_HEADING, PART_PARAGRAPH, PART_ITEM, PART_TABLE, PART_ROW, PART_HTML };

struct part {
    enum part_kind kind;
    int level;          // of a heading
    size_t columns;     // of a table and its rows
    unsigned numeric;   // of a table
    char **texts;       // (columns), or one
    size_t text_count;
};

struct document {
    struct part *parts;
    size_t count, room;
    size_t columns; // of the table that rows are added to
    bool failed;
};

struct document *document_new(void) {
    return calloc(1, sizeof(struct document));
}

void document_free(struct document *document) {
    if (!document)
        return;
    for (size_t i = 0; i < document->count; i++) {
        for (size_t t = 0; t < document->parts[i].text_count; t++)
            free(document->parts[i].texts[t]);
        free(document->parts[i].texts);
    }
    free(document->parts);
    free(document);
}

// A part with room for `texts` texts; NULL when there is no memory.
static struct part *add_part(struct document *document, enum part_kind kind, size_t texts) {
    if (document->count == document->room) {
        size_t room = document->room ? document->room * 2 : 64;
        struct part *parts = realloc(document->parts, room * sizeof *parts);
        if (!parts) {
            document->failed = true;
            return NULL;
        }
        document->parts = parts;
        document->room = room;
    }
    char **list = calloc(texts + 1, sizeof *list);
    if (!list) {
        document->failed = true;
        return NULL;
    }
    struct part *part = &document->parts[document->count++];
    *part = (struct part){.kind = kind, .texts = list, .text_count = texts, .columns = texts};
    return part;
}

static void add_text(struct document *document, enum part_kind kind, int level, const char *format, va_list arguments) {
    struct part *part = add_part(document, kind, 1);
    if (!part)
        return;
    part->level = level;
    if (vasprintf(&part->texts[0], format, arguments) < 0) {
        part->texts[0] = NULL;
        document->failed = true;
    }
}

void document_heading(struct document *document, int level, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    add_text(document, PART_HEADING, level, format, arguments);
    va_end(arguments);
}

void document_paragraph(struct document *document, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    add_text(document, PART_PARAGRAPH, 0, format, arguments);
    va_end(arguments);
}

void document_item(struct document *document, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    add_text(document, PART_ITEM, 0, format, arguments);
    va_end(arguments);
}

static void add_texts(struct document *document, struct part *part, const char *const *texts) {
    for (size_t i = 0; part && i < part->text_count; i++)
        if (!(part->texts[i] = strdup(texts[i] ? texts[i] : "")))
            document->failed = true;
}

void document_table(struct document *document, size_t columns, const char *const *names, unsigned numeric) {
    struct part *part = add_part(document, PART_TABLE, columns);
    add_texts(document, part, names);
    if (part)
        part->numeric = numeric;
    document->columns = columns;
}

void document_row(struct document *document, const char *const *cells) {
    add_texts(document, add_part(document, PART_ROW, document->columns), cells);
}

void document_html(struct document *document, const char *html) {
    add_texts(document, add_part(document, PART_HTML, 1), &html);
}

// ---------------------------------------------------------------------------------------------------------------------
// Text

// Characters, not bytes, so that columns of a table stand under each other.
static int width_of(const char *text) {
    int width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void write_padded(FILE *out, const char *text, int width, bool right, bool last) {
    int padding = width - width_of(text);
    fprintf(out, "%*s%s%*s", right ? padding : 0, "", text, right || last ? 0 : padding, "");
}

static size_t rows_of(const struct document *document, size_t table) {
    size_t rows = 0;
    while (table + 1 + rows < document->count && document->parts[table + 1 + rows].kind == PART_ROW)
        rows++;
    return rows;
}

static void write_text_table(const struct document *document, size_t table, FILE *out) {
    const struct part *head = &document->parts[table];
    size_t rows = rows_of(document, table);
    int *widths = calloc(head->columns + 1, sizeof *widths);
    for (size_t r = 0; widths && r <= rows; r++)
        for (size_t c = 0; c < head->columns; c++) {
            int width = width_of(head[r].texts[c]);
            widths[c] = width > widths[c] ? width : widths[c];
        }
    for (size_t r = 0; widths && r <= rows; r++) {
        fputs("  ", out);
        for (size_t c = 0; c < head->columns; c++) {
            write_padded(out, head[r].texts[c], widths[c], head->numeric >> c & 1, c + 1 == head->columns);
            fputs(c + 1 == head->columns ? "\n" : "  ", out);
        }
    }
    fputc('\n', out);
    free(widths);
}

static void write_text(const struct document *document, FILE *out) {
    for (size_t i = 0; i < document->count; i++) {
        const struct part *part = &document->parts[i];
        bool more_items = i + 1 < document->count && document->parts[i + 1].kind == PART_ITEM;
        switch (part->kind) {
        case PART_HEADING:
            fprintf(out, "%s\n", part->texts[0]);
            for (int n = width_of(part->texts[0]); n > 0; n--)
                fputc(part->level == 1 ? '=' : '-', out);
            fputs("\n", out);
            break;
        case PART_PARAGRAPH:
            fprintf(out, "%s\n%s", part->texts[0], more_items ? "" : "\n");
            break;
        case PART_ITEM:
            fprintf(out, "  - %s\n%s", part->texts[0], more_items ? "" : "\n");
            break;
        case PART_TABLE:
            write_text_table(document, i, out);
            break;
        case PART_ROW:
        case PART_HTML:
            break;
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Markdown

// A cell's text cannot end its cell, and nothing in it is taken for a mark or a tag.
static void write_marked(FILE *out, const char *text) {
    for (; *text; text++) {
        if (strchr("|*_`<>\\#[]", *text))
            fputc('\\', out);
        fputc(*text == '\n' ? ' ' : *text, out);
    }
}

static void write_markdown(const struct document *document, FILE *out) {
    for (size_t i = 0; i < document->count; i++) {
        const struct part *part = &document->parts[i];
        bool more = i + 1 < document->count;
        switch (part->kind) {
        case PART_HEADING:
            fprintf(out, "%.*s ", part->level, "######");
            write_marked(out, part->texts[0]);
            fputs("\n\n", out);
            break;
        case PART_PARAGRAPH:
            write_marked(out, part->texts[0]);
            fputs("\n\n", out);
            break;
        case PART_ITEM:
            fputs("- ", out);
            write_marked(out, part->texts[0]);
            fputs(more && document->parts[i + 1].kind == PART_ITEM ? "\n" : "\n\n", out);
            break;
        case PART_TABLE:
        case PART_ROW:
            fputs("|", out);
            for (size_t c = 0; c < part->columns; c++) {
                fputc(' ', out);
                write_marked(out, part->texts[c]);
                fputs(" |", out);
            }
            fputc('\n', out);
            if (part->kind == PART_TABLE) {
                fputs("|", out);
                for (size_t c = 0; c < part->columns; c++)
                    fputs(part->numeric >> c & 1 ? "---:|" : "---|", out);
                fputc('\n', out);
            }
            if (!more || document->parts[i + 1].kind != PART_ROW)
                fputc('\n', out);
            break;
        case PART_HTML:
            break;
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// HTML

static void write_element(FILE *out, const char *begin, const char *text, const char *end) {
    fputs(begin, out);
    html_text(out, text);
    fputs(end, out);
}

static void write_html_table(const struct document *document, size_t table, FILE *out) {
    const struct part *head = &document->parts[table];
    fputs("<div class=\"scroll\" tabindex=\"0\"><table class=\"plain\">\n<thead><tr>", out);
    for (size_t c = 0; c < head->columns; c++)
        write_element(out, "<th scope=\"col\">", head->texts[c], "</th>");
    fputs("</tr></thead>\n<tbody>\n", out);
    for (size_t r = 1; r <= rows_of(document, table); r++) {
        fputs("<tr>", out);
        for (size_t c = 0; c < head->columns; c++)
            write_element(out, head->numeric >> c & 1 ? "<td class=\"n\">" : "<td>", head[r].texts[c], "</td>");
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
}

static void write_html(const struct document *document, FILE *out) {
    for (size_t i = 0; i < document->count; i++) {
        const struct part *part = &document->parts[i];
        char begin[8], end[8];
        switch (part->kind) {
        case PART_HEADING:
            snprintf(begin, sizeof begin, "<h%d>", part->level);
            snprintf(end, sizeof end, "</h%d>\n", part->level);
            write_element(out, begin, part->texts[0], end);
            break;
        case PART_PARAGRAPH:
            write_element(out, "<p>", part->texts[0], "</p>\n");
            break;
        case PART_ITEM:
            if (i == 0 || document->parts[i - 1].kind != PART_ITEM)
                fputs("<ul>\n", out);
            write_element(out, "<li>", part->texts[0], "</li>\n");
            if (i + 1 == document->count || document->parts[i + 1].kind != PART_ITEM)
                fputs("</ul>\n", out);
            break;
        case PART_TABLE:
            write_html_table(document, i, out);
            break;
        case PART_ROW:
            break;
        case PART_HTML:
            fputs(part->texts[0], out);
            break;
        }
    }
}

int document_write(const struct document *document, enum document_form form, FILE *out) {
    if (document->failed)
        return -ENOMEM;
    if (form == DOCUMENT_TEXT)
        write_text(document, out);
    else if (form == DOCUMENT_MARKDOWN)
        write_markdown(document, out);
    else
        write_html(document, out);
    return ferror(out) ? -EIO : 0;
}
