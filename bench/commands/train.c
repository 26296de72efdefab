// SPDX-License-Identifier: MIT
// llmsweep train SPEC [--text FILE] [-o FILE] [--resume]
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/commands/commands.h"
#include "bench/model/train_loop.h"

static volatile sig_atomic_t stop_asked;

static void ask_to_stop(int signal_number)
{
    (void)signal_number;
    stop_asked = 1;
}

// One line that is rewritten on a terminal until the next evaluation; plain lines elsewhere.
static int show(void *context, const struct train_report *r)
{
    const int terminal = *(const int *)context;
    char heldout[64] = "";
    if (isfinite(r->best_perplexity))
        snprintf(heldout, sizeof heldout, "  held-out ppl %.3f (best)", r->best_perplexity);
    if (isfinite(r->heldout_perplexity))
        snprintf(heldout, sizeof heldout, "  held-out ppl %.3f (best %.3f)", r->heldout_perplexity, r->best_perplexity);
    const long left = lround(r->seconds_left);
    fprintf(stderr, "%sstep %ld/%ld  loss %.4f%s  lr %.2e  |g| %.2f  %.0f tokens/s  ETA %ld:%02ld%s",
            terminal ? "\r\033[K" : "", r->step, r->steps, r->loss, heldout, r->learning_rate, r->gradient_norm,
            r->tokens_per_second, left / 60, left % 60, terminal && !isfinite(r->heldout_perplexity) ? "" : "\n");
    return stop_asked;
}

static int usage(const char *complaint, const char *word)
{
    fprintf(stderr, "llmsweep: train: %s%s\nusage: llmsweep train SPEC [--text FILE] [-o FILE] [--resume]\n", complaint,
            word);
    return 2;
}

// Copies an option's value into a spec's field; -1 if it does not fit.
static int set_path(char *field, size_t room, const char *value)
{
    return snprintf(field, room, "%s", value) < (int)room ? 0 : -1;
}

int command_train(int argc, char **argv)
{
    const char *spec_path = NULL, *text = NULL, *output = NULL;
    bool resume = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--resume"))
            resume = true;
        else if (!strcmp(argv[i], "--text") && i + 1 < argc)
            text = argv[++i];
        else if (!strcmp(argv[i], "-o") && i + 1 < argc)
            output = argv[++i];
        else if (argv[i][0] == '-')
            return usage("unknown option, or one without its value: ", argv[i]);
        else if (spec_path)
            return usage("one spec at a time, not also ", argv[i]);
        else
            spec_path = argv[i];
    }
    if (!spec_path)
        return usage("which spec?", "");
    char error[1024];
    static struct train_spec spec;
    int rc = train_spec_read(&spec, spec_path, error, sizeof error);
    if (!rc && ((text && set_path(spec.text, sizeof spec.text, text)) ||
                (output && set_path(spec.output, sizeof spec.output, output))))
        return usage("a path is too long", "");
    if (!rc) {
        int terminal = isatty(STDERR_FILENO);
        struct sigaction action = {.sa_handler = ask_to_stop, .sa_flags = SA_RESTART}, old;
        sigaction(SIGINT, &action, &old);
        rc = train_run(&spec, resume, show, &terminal, error, sizeof error);
        sigaction(SIGINT, &old, NULL);
    }
    if (rc) {
        fprintf(stderr, "llmsweep: %s\n", error);
        return rc == -EINVAL || rc == -ENOENT || rc == -EACCES || rc == -EISDIR ? 2 : 3;
    }
    printf("%s\n", spec.output);
    return 0;
}
