// SPDX-License-Identifier: MIT
// A short document: headings, paragraphs, lists and tables, put together once and written as plain text, Markdown or HTML.
//
// Calls never fail; when memory ran out, or a write did, document_write says so at the end.
#ifndef LLMSWEEP_DOCUMENT_H
#define LLMSWEEP_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum document_form { DOCUMENT_TEXT, DOCUMENT_MARKDOWN, DOCUMENT_HTML };

struct document;

struct document *document_new(void); // NULL: out of memory
void document_free(struct document *document);

void document_heading(struct document *document, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));
void document_paragraph(struct document *document, const char *format, ...) __attribute__((format(printf, 2, 3)));
void document_item(struct document *document, const char *format, ...) __attribute__((format(printf, 2, 3))); // of a list

// Starts a table; columns whose bit is set in `numeric` (bit 0: the first) stand right. Rows follow, each with `columns` texts; NULL is
// empty.
void document_table(struct document *document, size_t columns, const char *const *names, unsigned numeric);
void document_row(struct document *document, const char *const *cells);

// Something that only a page can show (a plot), as HTML. Left out of the other forms.
void document_html(struct document *document, const char *html);

// The parts in order; HTML without a page's head and foot. 0, -ENOMEM, -EIO.
int document_write(const struct document *document, enum document_form form, FILE *out);

#endif
