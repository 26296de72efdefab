// SPDX-License-Identifier: MIT
// gnuplot: run for every form of a plot, and its SVG made part of a page.
#include "bench/report/plots.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/report/kernel_rows.h"
#include "bench/report/text.h"

extern char **environ;

// ---------------------------------------------------------------------------------------------------------------------
// Inline SVG
// The colours of scripts/plot/style.gp, by the names that the page gives them for light and dark.
static const struct {
    unsigned rgb;
    const char *css;
} colours[] = {
    {0x333333, "currentColor"}, {0x000000, "currentColor"}, {0x555555, "var(--axis)"}, {0xdddddd, "var(--grid)"},
    {0x666666, "var(--soft)"},  {0x0072b2, "var(--c1)"},    {0xd55e00, "var(--c2)"},   {0x009e73, "var(--c3)"},
    {0xcc79a7, "var(--c4)"},    {0xe69f00, "var(--c5)"},    {0x56b4e9, "var(--c6)"},   {0x8c6d31, "var(--c7)"},
    {0x7f7f7f, "var(--c8)"},
};

static bool starts(const char *text, const char *with) {
    return !strncmp(text, with, strlen(with));
}

// "rgb( 0, 114, 178)" at text: its CSS is written, and the length of the text returned; 0 when it is no colour.
static size_t write_colour(FILE *out, const char *text) {
    unsigned r, g, b;
    int length = 0;
    if (!starts(text, "rgb(") || sscanf(text, "rgb(%u,%u,%u)%n", &r, &g, &b, &length) != 3 || !length)
        return 0;
    unsigned rgb = r << 16 | g << 8 | b;
    for (size_t i = 0; i < sizeof colours / sizeof *colours; i++)
        if (colours[i].rgb == rgb) {
            fputs(colours[i].css, out);
            return (size_t)length;
        }
    fprintf(out, "#%06x", rgb);
    return (size_t)length;
}

// A group that holds nothing: gnuplot writes many. Its length, 0 for any other text.
static size_t empty_group(const char *text) {
    if (!starts(text, "<g fill=\"none\" color="))
        return 0;
    const char *end = strchr(text, '>');
    if (!end)
        return 0;
    end++;
    end += strspn(end, " \t\n");
    return starts(end, "</g>") ? (size_t)(end - text) + 4 : 0;
}

// The white disc of no size that gnuplot draws under every error bar.
static size_t disc(const char *text) {
    static const char head[] = "<use xlink:href='#gpPt6' transform='";
    const char *end = starts(text, head) ? strchr(text, '>') : NULL;
    return end && end - text > 16 && starts(end - 15, " color='white'/>") ? (size_t)(end - text) + 1 : 0;
}

// The group around a point that belongs to a cell, up to its title: gnuplot's script calls are replaced by a link with a title.
static size_t write_point(FILE *out, const struct report_run *run, const char *text) {
    static const char head[] = "<g onmousemove=\"gnuplot_svg.showHypertext(evt,'cell";
    if (!starts(text, head))
        return 0;
    char *after;
    size_t row = strtoul(text + sizeof head - 1, &after, 10);
    const char *title = strstr(after, "</title>"), *end = title ? strstr(title, "</g>") : NULL;
    if (!end || row >= run->cell_count)
        return 0;
    char figures[1024], anchor[96];
    report_cell_figures(run, &run->cells[row], figures, sizeof figures);
    report_cell_anchor(&run->cells[row], anchor, sizeof anchor);
    fprintf(out, "<a href=\"#%s\"><title>", anchor);
    html_text(out, figures);
    fputs("</title>", out);
    return (size_t)(title - text) + strlen("</title>");
}

// The same around a point that belongs to a kernel, which has no row in the page to go to.
static size_t write_kernel_point(FILE *out, const struct kernel_row *rows, size_t count, const char *text) {
    static const char head[] = "<g onmousemove=\"gnuplot_svg.showHypertext(evt,'kernel";
    if (!starts(text, head))
        return 0;
    const size_t row = strtoul(text + sizeof head - 1, NULL, 10);
    const char *title = strstr(text, "</title>"), *end = title ? strstr(title, "</g>") : NULL;
    size_t i = 0;
    while (i < count && rows[i].row != row)
        i++;
    if (!end || i == count)
        return 0;
    char figures[512];
    kernel_row_figures(&rows[i], figures, sizeof figures);
    fputs("<a><title>", out);
    html_text(out, figures);
    fputs("</title>", out);
    return (size_t)(title - text) + strlen("</title>");
}

char *report_svg_inline(const struct report_run *run, const char *svg, const char *prefix, const char *title) {
    char *result = NULL;
    size_t size;
    double width = 560, height = 400;
    const char *box = strstr(svg, "viewBox=\""), *at = strstr(svg, "<g id=\"gnuplot_canvas\">");
    FILE *out = at && box ? open_memstream(&result, &size) : NULL;
    if (!out)
        return NULL;
    sscanf(box, "viewBox=\"0 0 %lf %lf", &width, &height);
    fprintf(out, "<div class=\"plot\"><svg viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"", width, height);
    html_text(out, title);
    fputs("\">\n", out);
    size_t kernel_count;
    struct kernel_row *kernels = kernel_rows(run, &kernel_count);
    bool point = false; // inside a link that ends where the point's group ends
    while (*at) {
        size_t skip = empty_group(at);
        if (!skip)
            skip = disc(at);
        if (!skip && ((skip = write_point(out, run, at)) || (skip = write_kernel_point(out, kernels, kernel_count, at))))
            point = true;
        if (!skip && starts(at, "<filter")) // text boxes, which no plot uses
            skip = (size_t)(strstr(at, "</filter>") ? strstr(at, "</filter>") + 9 - at : 0);
        if (!skip && starts(at, "<title>gnuplot_plot"))
            skip = (size_t)(strstr(at, "</title>") ? strstr(at, "</title>") + 8 - at : 0);
        if (!skip)
            skip = write_colour(out, at);
        if (!skip && point && starts(at, "</g>")) {
            fputs("</a>", out);
            point = false;
            skip = 4;
        }
        if (!skip && (starts(at, "\"black\"") || starts(at, "'black'"))) {
            fputs("\"currentColor\"", out);
            skip = 7;
        }
        if (!skip && starts(at, "xlink:href='#")) {
            fprintf(out, "href='#%s-", prefix);
            skip = strlen("xlink:href='#");
        }
        if (!skip && (starts(at, " id='") || starts(at, " id=\""))) {
            fprintf(out, " id=%c%s-", at[4], prefix);
            skip = 5;
        }
        if (!skip && *at == '\n') {
            skip = strspn(at, "\n\t ");
            fputc('\n', out);
        }
        if (!skip)
            fputc(*at, out), skip = 1;
        at += skip;
    }
    fputs("</div>", out);
    free(kernels);
    return fclose(out) ? (free(result), NULL) : result;
}

// ---------------------------------------------------------------------------------------------------------------------
// Running gnuplot
static int run_gnuplot(const char *directory, const char *assignments, const char *script, char *error, size_t error_size) {
    char log_name[] = "/tmp/llmsweep-gnuplot-XXXXXX";
    int log = mkstemp(log_name);
    if (log < 0) {
        snprintf(error, error_size, "/tmp: %s", strerror(errno));
        return -EIO;
    }
    unlink(log_name);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, log, 1);
    posix_spawn_file_actions_adddup2(&actions, log, 2);
    posix_spawn_file_actions_addchdir_np(&actions, directory);
    char *arguments[] = {"gnuplot", "-d", "-e", (char *)assignments, (char *)script, NULL};
    pid_t child;
    int result = posix_spawnp(&child, "gnuplot", &actions, NULL, arguments, environ), status = 0;
    posix_spawn_file_actions_destroy(&actions);
    if (result == ENOENT)
        snprintf(error, error_size, "gnuplot is not installed (Debian: apt-get install gnuplot-nox)");
    else if (result)
        snprintf(error, error_size, "gnuplot: %s", strerror(result));
    else {
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        if (!WIFEXITED(status) || WEXITSTATUS(status)) {
            char said[512] = "";
            ssize_t length = pread(log, said, sizeof said - 1, 0);
            said[length > 0 ? length : 0] = '\0';
            for (char *c = said; *c; c++)
                if (iscntrl((unsigned char)*c))
                    *c = ' ';
            snprintf(error, error_size, "gnuplot failed on %s: %.200s", script, said);
            result = EIO;
        }
    }
    close(log);
    return -result;
}

static char *read_file(const char *path) {
    char *text = NULL;
    long size;
    FILE *file = fopen(path, "rb");
    if (file && !fseek(file, 0, SEEK_END) && (size = ftell(file)) >= 0 && !fseek(file, 0, SEEK_SET) &&
        (text = calloc(1, (size_t)size + 1)) && fread(text, 1, (size_t)size, file) != (size_t)size) {
        free(text);
        text = NULL;
    }
    if (file)
        fclose(file);
    return text;
}

int report_plot_draw(const struct report_run *run, const char *directory, struct report_plot *plot, char *error,
                     size_t error_size) {
    static const char *const forms[] = {"png", "pdf", "svg"};
    char assignments[640], script[64], path[4096];
    snprintf(script, sizeof script, "data/%s.gp", plot->script);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        snprintf(assignments, sizeof assignments, "data = 'data/%s.csv'; out = '%s.%s'; %s", plot->name, plot->name, forms[i],
                 plot->variables);
        int result = run_gnuplot(directory, assignments, script, error, error_size);
        if (result)
            return result;
    }
    snprintf(path, sizeof path, "%s/%s.svg", directory, plot->name);
    char *svg = read_file(path);
    plot->svg = svg ? report_svg_inline(run, svg, plot->name, plot->title) : NULL;
    free(svg);
    if (!plot->svg) {
        snprintf(error, error_size, "%s: cannot be read back", path);
        return -EIO;
    }
    return 0;
}
