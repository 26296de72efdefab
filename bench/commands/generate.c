// SPDX-License-Identifier: MIT
// llmsweep generate: continues a text. The text goes to stdout, what it took to stderr.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/commands/commands.h"
#include "bench/commands/model_session.h"
#include "bench/model/generate.h"
#include "bench/model/tokenizer.h"
#include "harness/clock.h"

static const char usage[] =
    "usage: llmsweep generate MODEL -p TEXT [-n TOKENS] [options]\n"
    "  MODEL            a GGUF file, such as bench/models/embedded.gguf\n"
    "  -p TEXT          the beginning\n"
    "  -n TOKENS        how many tokens to add at most (64)\n" SESSION_HELP
    "  --temp T         temperature; 0 = always the likeliest token (0)\n"
    "  --top-k K        draw from the K likeliest tokens; 0 = all (0)\n"
    "  --top-p P        draw from the likeliest tokens that together have this probability (1)\n"
    "  --seed N         of the draws (1)\n";

struct output {
    const struct tokenizer *tokenizer;
    bool print; // on one rank
    int tokens;
    uint64_t start, first, last; // clock: before the prompt, after the first and the last token
};

static bool write_token(void *context, int32_t token)
{
    struct output *output = context;
    output->last = clock_now();
    if (output->tokens++ == 0)
        output->first = output->last;
    if (token == tokenizer_eos(output->tokenizer))
        return false;
    char *text;
    size_t bytes;
    if (output->print && tokenizer_decode(output->tokenizer, &token, 1, &text, &bytes) == 0) {
        fwrite(text, 1, bytes, stdout);
        fflush(stdout);
        free(text);
    }
    return true;
}

// Text to tokens, BOS first where the model has one.
static int encode(const struct tokenizer *tokenizer, const char *text, int32_t **ids, int *count)
{
    int32_t *words;
    size_t word_count;
    const int status = tokenizer_encode(tokenizer, text, strlen(text), &words, &word_count), bos = tokenizer_bos(tokenizer);
    if (status != 0)
        return status;
    *ids = malloc((word_count + 1) * sizeof(**ids));
    if (*ids == NULL) {
        free(words);
        return -ENOMEM;
    }
    *count = 0;
    if (bos >= 0)
        (*ids)[(*count)++] = bos;
    memcpy(*ids + *count, words, word_count * sizeof(**ids));
    *count += (int)word_count;
    free(words);
    return 0;
}

static bool parse_number(const char *word, double low, double high, double *value)
{
    char *end;
    errno = 0;
    *value = strtod(word, &end);
    return end != word && *end == '\0' && errno == 0 && *value >= low && *value <= high;
}

static int run(struct model_session *session, const char *prompt, int n, const struct sampling *sampling)
{
    const char *command = "generate";
    const struct model_config *config = &session->model.config;
    char error[512] = "";
    if (session->model.tokenizer == NULL)
        return session_fail(command, -EINVAL, "this model has no tokenizer; use a GGUF file that holds one");
    int32_t *ids = NULL;
    int count = 0, status = encode(session->model.tokenizer, prompt, &ids, &count);
    if (status != 0)
        return session_fail(command, status, "no memory for the prompt");
    int code = 2;
    if (count == 0)
        code = session_fail(command, -EINVAL, "the prompt is empty and the model has no token to begin with; use -p TEXT");
    else if (count + n > config->context) {
        snprintf(error, sizeof(error), "a prompt of %d tokens and %d more exceed the model's context of %d; use a smaller -n", count, n,
                 config->context);
        code = session_fail(command, -EINVAL, error);
    } else
        code = session_open(session, command, &session->recipe, 1, count + n);
    if (code == 0) {
        struct output output = { .tokenizer = session->model.tokenizer, .print = comm_rank(comm_world()) == 0, .start = clock_now() };
        status = generate_tokens(session->engine, ids, count, n, sampling, write_token, &output, error, sizeof(error));
        const size_t weight_bytes = engine_memory_total(session->engine).weight_bytes;
        if (output.print)
            putchar('\n');
        if (status != 0)
            code = session_fail(command, status, error);
        else if (output.print) {
            const double prefill = clock_seconds(output.start, output.first), decode = clock_seconds(output.first, output.last);
            fprintf(stderr, "prompt: %d tokens, %.1f tokens/s", count, count / prefill);
            if (output.tokens > 1)
                fprintf(stderr, "   generated: %d tokens, %.1f tokens/s", output.tokens, (output.tokens - 1) / decode);
            fprintf(stderr, "   weights: %.2f MB (%s)\n", (double)weight_bytes / 1e6, engine_linear_kernel(session->engine));
        }
    }
    free(ids);
    return code;
}

int command_generate(int argc, char **argv)
{
    static const struct option table[] = { SESSION_OPTIONS,
                                           { "seed", required_argument, NULL, 's' },
                                           { "temp", required_argument, NULL, 't' },
                                           { "top-k", required_argument, NULL, 'k' },
                                           { "top-p", required_argument, NULL, 'q' },
                                           { "help", no_argument, NULL, 'h' },
                                           { 0 } };
    struct session_options options = { 0 };
    struct sampling sampling = { .top_p = 1, .seed = 1 };
    const char *prompt = NULL, *bad = NULL;
    double n = 64, value;
    optind = 1;
    for (int letter; (letter = getopt_long(argc, argv, "p:n:h", table, NULL)) != -1;) {
        if (session_option(&options, letter, optarg))
            continue;
        switch (letter) {
        case 'p': prompt = optarg; break;
        case 'n':
            if (!parse_number(optarg, 1, 1e6, &n))
                bad = "-n wants a count of tokens, 1 or more";
            break;
        case 's':
            if (!parse_number(optarg, 0, 0x1p53, &value))
                bad = "--seed wants a number, 0 or more";
            else
                sampling.seed = (uint64_t)value;
            break;
        case 't':
            if (!parse_number(optarg, 0, 100, &sampling.temperature))
                bad = "--temp wants a number from 0 to 100";
            break;
        case 'k':
            if (!parse_number(optarg, 0, 1e9, &value))
                bad = "--top-k wants a count, 0 for all";
            else
                sampling.top_k = (int)value;
            break;
        case 'q':
            if (!parse_number(optarg, 1e-9, 1, &sampling.top_p))
                bad = "--top-p wants a number above 0, at most 1";
            break;
        case 'h': fputs(usage, stdout); return 0;
        default: fputs(usage, stderr); return 2;
        }
    }
    if (bad == NULL && (optind + 1 != argc || prompt == NULL))
        bad = prompt == NULL ? "-p TEXT is missing" : "names one model";
    if (bad != NULL) {
        fprintf(stderr, "llmsweep: generate: %s\n%s", bad, usage);
        return 2;
    }
    options.model_path = argv[optind];
    struct model_session session;
    int code = session_load(&session, "generate", &options, &argc, &argv);
    if (code != 0)
        return code;
    code = run(&session, prompt, (int)n, &sampling);
    session_close(&session);
    return code;
}
