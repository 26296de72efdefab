// SPDX-License-Identifier: MIT
#include "harness/progress.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 20 };

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

double progress_eta(double done, double total, double elapsed) {
    if (!(done > 0) || !(total > 0))
        return -1;
    return done >= total ? 0 : elapsed * (total - done) / done;
}

void progress_format(const struct progress *progress, double elapsed, const char *what, char *line, size_t size) {
    double share = progress->total > 0 ? fmin(1, progress->done / progress->total) : 0;
    double left = progress_eta(progress->done, progress->total, elapsed);
    char eta[32] = "", bar[BAR + 1];
    int filled = (int)(share * BAR);
    for (int i = 0; i < BAR; i++)
        bar[i] = i < filled ? '=' : i == filled ? '>' : ' ';
    bar[BAR] = '\0';
    // The first percent says too little about the rest.
    if (left >= 0 && share >= 0.01)
        snprintf(eta, sizeof eta, "%d:%02d left  ", (int)(left / 60), (int)left % 60);
    size_t limit = progress->terminal && progress->width > 0 && (size_t)progress->width < size ? (size_t)progress->width : size;
    snprintf(line, limit, "[%s] %3.0f%%  %zu/%zu cells  %s%s", bar, share * 100, progress->finished, progress->cells, eta, what);
}

static void draw(struct progress *progress, const char *what) {
    char line[512];
    progress->drawn = now();
    progress_format(progress, progress->drawn - progress->started, what, line, sizeof line);
    if (progress->terminal)
        fprintf(progress->out, "\r\033[K%s", line);
    else
        fprintf(progress->out, "%s\n", line);
    fflush(progress->out);
    progress->bar_on_screen = progress->terminal;
}

void progress_begin(struct progress *progress, FILE *out, double total, size_t cells) {
    struct winsize window;
    *progress = (struct progress){.out = out, .total = total, .cells = cells, .started = now(), .interval = 10};
    progress->terminal = out && isatty(fileno(out));
    progress->width = progress->terminal && !ioctl(fileno(out), TIOCGWINSZ, &window) ? window.ws_col : 100;
    if (progress->terminal)
        progress->interval = 0.1;
    progress->drawn = -1e9;
}

void progress_step(struct progress *progress, double done, size_t finished, const char *what) {
    progress->done = done;
    progress->finished = finished;
    if (progress->out && now() - progress->drawn >= progress->interval)
        draw(progress, what);
}

void progress_stage(struct progress *progress, const char *what) {
    if (progress->out && progress->terminal && now() - progress->drawn >= progress->interval)
        draw(progress, what);
}

void progress_note(struct progress *progress, const char *format, ...) {
    va_list arguments;
    if (!progress->out)
        return;
    if (progress->bar_on_screen)
        fputs("\r\033[K", progress->out);
    progress->bar_on_screen = false;
    va_start(arguments, format);
    vfprintf(progress->out, format, arguments);
    va_end(arguments);
    fputc('\n', progress->out);
    fflush(progress->out);
}

void progress_end(struct progress *progress) {
    if (progress->out && progress->bar_on_screen)
        fputs("\r\033[K", progress->out), fflush(progress->out);
    progress->bar_on_screen = false;
}
