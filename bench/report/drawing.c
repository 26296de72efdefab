// SPDX-License-Identifier: MIT
#include "bench/report/drawing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/report/assets.h"
#include "harness/records.h"

static int write_scripts(const struct drawing *drawing, char *error, size_t error_size) {
    char path[300], wanted[80];
    snprintf(wanted, sizeof wanted, "%s.gp", drawing->script);
    for (const struct report_asset *script = report_scripts; script->name; script++) {
        if (strcmp(script->name, "style.gp") && strcmp(script->name, wanted))
            continue;
        snprintf(path, sizeof path, "%s/data/%s", drawing->folder, script->name);
        FILE *file = fopen(path, "w");
        size_t bytes = (size_t)(script->end - script->begin);
        bool written = file && fwrite(script->begin, 1, bytes, file) == bytes;
        if ((file && fclose(file)) || !written) {
            snprintf(error, error_size, "%s: %s", path, strerror(errno));
            return -EIO;
        }
    }
    return 0;
}

int drawing_begin(struct drawing *drawing, const char *script, const char *name, char *error, size_t error_size) {
    char path[300];
    *drawing = (struct drawing){.folder = "/tmp/llmsweep-plot-XXXXXX", .script = script};
    snprintf(drawing->name, sizeof drawing->name, "%s", name);
    if (!mkdtemp(drawing->folder)) {
        snprintf(error, error_size, "/tmp: %s", strerror(errno));
        *drawing->folder = '\0';
        return -EIO;
    }
    snprintf(path, sizeof path, "%s/data", drawing->folder);
    int result = mkdir(path, 0700) ? -errno : write_scripts(drawing, error, error_size);
    if (result)
        return result;
    snprintf(path, sizeof path, "%s/data/%s.csv", drawing->folder, drawing->name);
    drawing->data = fopen(path, "w");
    if (!drawing->data)
        snprintf(error, error_size, "%s: %s", path, strerror(errno));
    return drawing->data ? 0 : -EIO;
}

int drawing_end(struct drawing *drawing, const struct report_run *run, const char *title, const char *variables, int failed, char **svg, char *error, size_t error_size) {
    static const struct report_run no_cells = {.directory = ""};
    struct report_plot plot = {.script = drawing->script, .title = title};
    int result = failed;
    *svg = NULL;
    if (drawing->data && fclose(drawing->data) && !result) {
        snprintf(error, error_size, "%s: %s", drawing->folder, strerror(errno));
        result = -EIO;
    }
    snprintf(plot.name, sizeof plot.name, "%s", drawing->name);
    snprintf(plot.variables, sizeof plot.variables, "%s", variables);
    if (!result)
        result = report_plot_draw(run ? run : &no_cells, drawing->folder, &plot, error, error_size);
    if (!result) {
        *svg = plot.svg;
        plot.svg = NULL;
    }
    report_plot_free(&plot);
    if (*drawing->folder)
        folder_remove(drawing->folder);
    return result;
}
