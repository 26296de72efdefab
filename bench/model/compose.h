// SPDX-License-Identifier: MIT
// Unicode's normal form C (Unicode Standard Annex 15): letters and their marks as one character where there is one, marks in order.
#ifndef LLMSWEEP_COMPOSE_H
#define LLMSWEEP_COMPOSE_H

#include <stddef.h>

// *out is NULL if the text is in that form already; otherwise malloc'ed, for the caller to free, and *out_bytes is its length. Bytes that are
// no UTF-8 stay as they are. 0 or -ENOMEM.
int compose_text(const char *text, size_t bytes, char **out, size_t *out_bytes);

#endif
