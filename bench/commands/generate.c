// SPDX-License-Identifier: MIT
// llmsweep generate: continues a text. The text goes to stdout, what it took to stderr.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/commands/commands.h"
#include "bench/commands/model_session.h"
#include "bench/model/chat.h"
#include "bench/model/generate.h"
#include "bench/model/tokenizer.h"
#include "harness/clock.h"

static const char usage[] =
    "usage: llmsweep generate MODEL -p TEXT [-n TOKENS] [options]\n"
    "  MODEL            a GGUF file, such as bench/models/embedded.gguf\n"
    "  -p TEXT          the beginning\n"
    "  -n TOKENS        how many tokens to add at most (64); fewer where the model ends its text\n"
    "  --chat           -p is what a user says: the model's own chat template goes around it\n"
    "  --system TEXT    with --chat: what the model is told about its part\n" SESSION_HELP
    "  --threads N      the same as --layout tN\n"
    "  --temperature T  0 = always the likeliest token (0); also --temp\n"
    "  --top-k K        draw from the K likeliest tokens; 0 = all (0)\n"
    "  --top-p P        draw from the likeliest tokens that together have this probability (1)\n"
    "  --seed N         of the draws (1)\n";

// Beyond the letters that session_option may take.
enum { OPTION_CHAT = 256, OPTION_SYSTEM, OPTION_THREADS, OPTION_SEED, OPTION_TEMPERATURE, OPTION_TOP_K, OPTION_TOP_P };

struct request {
    const char *prompt, *system;
    bool chat;
    int n;
    struct sampling sampling;
};

struct output {
    const struct tokenizer *tokenizer;
    struct text_stream stream;
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
    if (tokenizer_ends(output->tokenizer, token))
        return false;
    size_t bytes;
    const char *text = tokenizer_piece(output->tokenizer, token, &bytes);
    if (output->print)
        text_stream_write(&output->stream, text, bytes);
    return true;
}

// The prompt as the model wants it: BOS before it, or the chat template around it. 0 or -errno with one line.
static int encode(const struct tokenizer *tokenizer, const struct request *request, int32_t **ids, size_t *count, char *error, size_t error_size)
{
    char *text = NULL;
    const char *prompt = request->prompt;
    bool begins = false;
    if (request->chat) {
        const char *template = tokenizer_chat_template(tokenizer), *style = NULL;
        if (template == NULL) {
            snprintf(error, error_size, "the model's file has no chat template; leave --chat out");
            return -EINVAL;
        }
        prompt = text = chat_prompt(template, request->system, request->prompt, &style, &begins);
        if (text == NULL && style == NULL) {
            snprintf(error, error_size, "the model's chat template is none that is recognised (known: %s); leave --chat out", chat_styles());
            return -EINVAL;
        }
        if (text == NULL) {
            snprintf(error, error_size, "no memory for the prompt");
            return -ENOMEM;
        }
    }
    const unsigned special = request->chat ? TOKENIZER_SPECIAL : 0;
    int status = tokenizer_encode_text(tokenizer, prompt, strlen(prompt), special, ids, count);
    free(text);
    const int bos = begins ? tokenizer_bos_id(tokenizer) : tokenizer_bos(tokenizer);
    if (status == 0 && bos >= 0) {
        int32_t *grown = realloc(*ids, (*count + 1) * sizeof(*grown));
        if (grown == NULL) {
            free(*ids);
            status = -ENOMEM;
        } else {
            memmove(grown + 1, grown, (*count)++ * sizeof(*grown));
            grown[0] = bos;
            *ids = grown;
        }
    }
    if (status != 0)
        snprintf(error, error_size, status == -ENOMEM ? "no memory for the prompt" : "the prompt is too long");
    return status;
}

static bool parse_number(const char *word, double low, double high, double *value)
{
    char *end;
    errno = 0;
    *value = strtod(word, &end);
    return end != word && *end == '\0' && errno == 0 && *value >= low && *value <= high;
}

static int run(struct model_session *session, const struct request *request)
{
    const char *command = "generate";
    const struct model_config *config = &session->model.config;
    char error[512] = "";
    if (session->model.tokenizer == NULL)
        return session_fail(command, -EINVAL, "this model has no tokenizer; use a GGUF file that holds one");
    int32_t *ids = NULL;
    size_t encoded = 0;
    int status = encode(session->model.tokenizer, request, &ids, &encoded, error, sizeof(error));
    if (status != 0)
        return session_fail(command, status, error);
    const int n = request->n, count = encoded < INT32_MAX / 2 ? (int)encoded : INT32_MAX / 2;
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
        struct output output = { .tokenizer = session->model.tokenizer, .stream = { .file = stdout }, .print = comm_rank(comm_world()) == 0,
                                 .start = clock_now() };
        status = generate_tokens(session->engine, ids, count, n, &request->sampling, write_token, &output, error, sizeof(error));
        const size_t weight_bytes = engine_memory_total(session->engine).weight_bytes;
        if (output.print) {
            text_stream_end(&output.stream);
            putchar('\n');
        }
        if (status == 0 && output.print && (fflush(stdout) != 0 || ferror(stdout)))
            status = -EIO, snprintf(error, sizeof(error), "stdout cannot be written to: %s", strerror(errno));
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
                                           { "seed", required_argument, NULL, OPTION_SEED },
                                           { "temperature", required_argument, NULL, OPTION_TEMPERATURE },
                                           { "temp", required_argument, NULL, OPTION_TEMPERATURE },
                                           { "chat", no_argument, NULL, OPTION_CHAT },
                                           { "system", required_argument, NULL, OPTION_SYSTEM },
                                           { "threads", required_argument, NULL, OPTION_THREADS },
                                           { "top-k", required_argument, NULL, OPTION_TOP_K },
                                           { "top-p", required_argument, NULL, OPTION_TOP_P },
                                           { "help", no_argument, NULL, 'h' },
                                           { 0 } };
    struct session_options options = { 0 };
    struct request request = { .n = 64, .sampling = { .top_p = 1, .seed = 1 } };
    const char *bad = NULL;
    char threads[16];
    double value;
    optind = 1;
    for (int letter; (letter = getopt_long(argc, argv, "p:n:h", table, NULL)) != -1;) {
        if (session_option(&options, letter, optarg))
            continue;
        switch (letter) {
        case 'p': request.prompt = optarg; break;
        case OPTION_CHAT: request.chat = true; break;
        case OPTION_SYSTEM: request.system = optarg; break;
        case 'n':
            if (!parse_number(optarg, 1, 1e6, &value))
                bad = "-n wants a count of tokens, 1 or more";
            else
                request.n = (int)value;
            break;
        case OPTION_THREADS:
            if (!parse_number(optarg, 1, 1e5, &value))
                bad = "--threads wants a number, 1 or more";
            else {
                snprintf(threads, sizeof(threads), "t%d", (int)value);
                options.layout = threads;
            }
            break;
        case OPTION_SEED:
            if (!parse_number(optarg, 0, 0x1p53, &value))
                bad = "--seed wants a number, 0 or more";
            else
                request.sampling.seed = (uint64_t)value;
            break;
        case OPTION_TEMPERATURE:
            if (!parse_number(optarg, 0, 100, &request.sampling.temperature))
                bad = "--temperature wants a number from 0 to 100";
            break;
        case OPTION_TOP_K:
            if (!parse_number(optarg, 0, 1e9, &value))
                bad = "--top-k wants a count, 0 for all";
            else
                request.sampling.top_k = (int)value;
            break;
        case OPTION_TOP_P:
            if (!parse_number(optarg, 1e-9, 1, &request.sampling.top_p))
                bad = "--top-p wants a number above 0, at most 1";
            break;
        case 'h': fputs(usage, stdout); return 0;
        default: fputs(usage, stderr); return 2;
        }
    }
    if (bad == NULL && (optind + 1 != argc || request.prompt == NULL))
        bad = request.prompt == NULL ? "-p TEXT is missing" : "names one model";
    if (bad == NULL && request.system != NULL && !request.chat)
        bad = "--system goes with --chat";
    if (bad != NULL) {
        fprintf(stderr, "llmsweep: generate: %s\n%s", bad, usage);
        return 2;
    }
    options.model_path = argv[optind];
    struct model_session session;
    int code = session_load(&session, "generate", &options, &argc, &argv);
    if (code != 0)
        return code;
    code = run(&session, &request);
    session_close(&session);
    return code;
}
