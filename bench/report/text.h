// SPDX-License-Identifier: MIT
// How a report writes numbers and text.
#ifndef LLMSWEEP_REPORT_TEXT_H
#define LLMSWEEP_REPORT_TEXT_H

#include <stddef.h>
#include <stdio.h>

// Writes text so that it is nothing but text inside an HTML element or a quoted attribute; control characters become U+FFFD.
void html_text(FILE *html, const char *text);
// Letters, digits and a few signs, all else '_': safe as an element's id, as a file name and inside gnuplot's strings.
void plain_text(const char *text, char *plain, size_t size);

// Three significant digits, thousands set apart by a thin space: "0.0123", "4.56", "12 300". "–" for NAN.
// These return `text`.
char *number_text(double value, char *text, size_t size);
char *bytes_text(double bytes, char *text, size_t size); // "12.3 MB", powers of ten
// "+1.23%" for a ratio of 1.0123; "×4.56" from ×2 on.
char *change_text(double ratio, char *text, size_t size);

#endif
