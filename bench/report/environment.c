// SPDX-License-Identifier: MIT
// Where and with what the run was made: run.json in tables, the topology as text.
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report/page.h"
#include "bench/report/text.h"
#include "harness/topology.h"

enum { LIST_MOST = 12 }; // longer lists are left to run.json

static void write_value(FILE *html, const json_t *value) {
    if (json_is_string(value) && strchr(json_string_value(value), '\n')) {
        fputs("<pre>", html);
        html_text(html, json_string_value(value));
        fputs("</pre>", html);
    } else if (json_is_string(value)) {
        html_text(html, json_string_value(value));
    } else if (json_is_null(value)) {
        fputs("<span class=\"soft\">not told</span>", html);
    } else {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
        html_text(html, text ? text : "");
        free(text);
    }
}

// One line for every leaf, named by its path: "machine.host".
static void write_rows(FILE *html, const char *path, const json_t *value, int depth) {
    const char *key;
    json_t *member;
    size_t index;
    char name[256];
    if (json_is_object(value) && depth < 6 && json_object_size(value)) {
        json_object_foreach((json_t *)value, key, member) {
            snprintf(name, sizeof name, "%s%s%s", path, *path ? "." : "", key);
            write_rows(html, name, member, depth + 1);
        }
    } else if (json_is_array(value) && depth < 6 && json_is_object(json_array_get(value, 0)) && json_array_size(value) <= LIST_MOST) {
        json_array_foreach(value, index, member) {
            snprintf(name, sizeof name, "%s[%zu]", path, index);
            write_rows(html, name, member, depth + 1);
        }
    } else {
        fputs("<tr><th scope=\"row\">", html);
        html_text(html, path);
        fputs("</th><td class=\"why\">", html);
        if (json_is_array(value) && json_array_size(value) > LIST_MOST)
            fprintf(html, "%zu entries, see run.json", json_array_size(value));
        else
            write_value(html, value);
        fputs("</td></tr>\n", html);
    }
}

static void write_json(FILE *html, const struct report_run *run) {
    const char *key;
    json_t *value;
    if (!json_is_object(run->json)) {
        fputs("<p>There is no readable run.json beside the cells", html);
        if (*run->json_note) {
            fputs(": ", html);
            html_text(html, run->json_note);
        }
        fputs(".</p>\n", html);
        return;
    }
    fputs("<details open><summary>The run</summary><table class=\"plain facts\">\n", html);
    json_object_foreach(run->json, key, value) {
        if (!json_is_object(value) && !json_is_array(value))
            write_rows(html, key, value, 0);
    }
    fputs("</table></details>\n", html);
    json_object_foreach(run->json, key, value) {
        if (!json_is_object(value) && !json_is_array(value))
            continue;
        bool open = !strcmp(key, "machine") || !strcmp(key, "program") || !strcmp(key, "libraries");
        fprintf(html, "<details%s><summary>", open ? " open" : "");
        html_text(html, key);
        fputs("</summary><table class=\"plain facts\">\n", html);
        write_rows(html, "", value, 0);
        fputs("</table></details>\n", html);
    }
}

void report_environment_write(FILE *html, const struct report_run *run) {
    char path[4096], error[512] = "";
    struct topology *topology = NULL;
    write_json(html, run);
    snprintf(path, sizeof path, "%s/topology.xml", run->directory);
    int result = topology_load(&(struct topology_source){.xml = path}, &topology, error, sizeof error);
    fputs("<details open><summary>topology</summary>", html);
    char *text = result ? NULL : topology_text(topology);
    if (text) {
        fputs("<div class=\"scroll\"><pre>", html);
        html_text(html, text);
        fputs("</pre></div>", html);
    } else {
        fputs("<p>The machine's topology is not known: ", html);
        html_text(html, *error ? error : "not enough memory");
        fputs(".</p>", html);
    }
    fputs("</details>\n", html);
    free(text);
    topology_free(topology);
}
