// SPDX-License-Identifier: MIT
// Findings as text and as HTML, and the one that counts the cells of the whole run.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report/findings.h"
#include "bench/report/plots.h"
#include "bench/report/text.h"

// Reads a mention at text: the cell's row, its label's begin and end. The text behind it, or NULL when there is none.
static const char *read_mention(const char *text, size_t *row, const char **label, const char **label_end) {
    if (*text != *FINDING_CELL)
        return NULL;
    char *at;
    *row = strtoul(text + 1, &at, 10);
    const char *end = strchr(at, *FINDING_END);
    if (*at != *FINDING_LABEL || !end)
        return NULL;
    *label = at + 1;
    *label_end = end;
    return end + 1;
}

void finding_plain(FILE *out, const char *text) {
    if (text[0] == '-' && text[1] == ' ')
        fputs("\n    ", out);
    while (*text) {
        size_t row;
        const char *label, *end, *after = read_mention(text, &row, &label, &end);
        if (after)
            fprintf(out, "%.*s", (int)(end - label), label);
        else
            fputs(*text == '\n' ? "\n    " : (char[]){*text, '\0'}, out);
        text = after ? after : text + 1;
    }
}

void finding_html(FILE *html, const struct report_run *run, const char *text) {
    bool list = false, line_start = true;
    while (*text) {
        if (line_start && text[0] == '-' && text[1] == ' ') {
            fputs(list ? "</li>\n<li>" : "<ul>\n<li>", html);
            list = true;
            text += 2;
        } else if (line_start && list) {
            fputs("</li>\n</ul>", html);
            list = false;
        }
        line_start = *text == '\n';
        size_t row;
        const char *label, *end, *after = read_mention(text, &row, &label, &end);
        if (after && row < run->cell_count) {
            char anchor[96], name[512];
            report_cell_anchor(&run->cells[row], anchor, sizeof anchor);
            snprintf(name, sizeof name, "%.*s", (int)(end - label), label);
            fprintf(html, "<a href=\"#%s\">", anchor);
            html_text(html, name);
            fputs("</a>", html);
        } else {
            char character[2] = {*text, '\0'};
            html_text(html, character);
        }
        text = after ? after : text + 1;
    }
    if (list)
        fputs("</li>\n</ul>", html);
}

int findings_run(const struct report_run *run, struct findings *findings) {
    static const char *const statuses[] = {"ok", "noisy", "skipped", "unsupported", "oom", "timeout", "failed"};
    enum { STATUSES = sizeof statuses / sizeof *statuses };
    size_t counts[STATUSES + 1] = {0};
    *findings = (struct findings){0};
    for (size_t i = 0; i < run->cell_count; i++) {
        size_t s = 0;
        while (s < STATUSES && strcmp(statuses[s], run->cells[i].status))
            s++;
        counts[s]++;
    }
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return -ENOMEM;
    fprintf(out, "%zu cell%s", run->cell_count, run->cell_count == 1 ? "" : "s");
    for (size_t s = 0, said = 0; s <= STATUSES; s++)
        if (counts[s])
            fprintf(out, "%s%zu %s", said++ ? ", " : ": ", counts[s], s < STATUSES ? statuses[s] : "of a status that this version does not know");
    fputs(".", out);
    if (run->torn)
        fputs(" A file ends in a torn row, which was left out: the run was interrupted.", out);
    fclose(out);
    findings->list = malloc(sizeof *findings->list);
    if (!text || !findings->list) {
        free(text);
        return -ENOMEM;
    }
    findings->list[findings->count++] = (struct finding){"Cells", text};
    return 0;
}
