// SPDX-License-Identifier: MIT
// What `generate` and `eval` share: options that name a model, what is done to it and how it is laid out.
#ifndef LLMSWEEP_MODEL_SESSION_H
#define LLMSWEEP_MODEL_SESSION_H

#include <getopt.h>
#include <stdbool.h>

#include "bench/compress/calibrated_variant.h"
#include "bench/model/engine.h"

struct session_options {
    const char *model_path, *prune, *prune_scope, *format, *layout, *activation, *provider, *kv, *calibration_text;
};

struct model_session {
    struct model model;
    struct layout layout;
    struct variant_recipe recipe;
    enum activation activation;
    enum provider provider;
    struct kv_format kv;
    struct calibration_source calibration;
    struct variant *variant;
    struct engine *engine;
};

// Rows of a getopt_long table, and their letters; session_option takes what getopt_long returned and says whether it was one of them.
#define SESSION_OPTIONS                                                                                                                  \
    { "format", required_argument, NULL, 'F' }, { "prune", required_argument, NULL, 'P' },                                                 \
        { "prune-scope", required_argument, NULL, 'S' }, { "layout", required_argument, NULL, 'L' }, { "act", required_argument, NULL, 'A' }, \
        { "provider", required_argument, NULL, 'V' }, { "kv", required_argument, NULL, 'Q' },                                              \
    {                                                                                                                                      \
        "calibration-text", required_argument, NULL, 'C'                                                                                   \
    }
#define SESSION_HELP                                                                               \
    "  --format W       weight format: f32 bf16 q8g32 q4g64 q4c … (f32); gptq:q4g128, awq:q4g128a, hqq:q4g64a\n" \
    "  --prune W        none, 50%, 2:4, b16x4:50% … (none); wanda:50%, sparsegpt:2:4, gradient:50%\n" \
    "  --prune-scope W  tensor or global (tensor)\n"                                                 \
    "  --layout W       t2, tp2, pp2.t2 … (t1); ranks are started by mpirun -n RANKS llmsweep …\n" \
    "  --act W          activations: f32, q8, q8g (a scale for each group of the weights), or bf16 with bf16 weights (f32)\n"   \
    "  --provider W     own, openblas or onednn (own)\n"                                             \
    "  --kv W           the KV cache: f32, bf16, q8, q4, q8w128 … (f32)\n"                          \
    "  --calibration-text F  what gptq, awq, wanda, sparsegpt and gradient read (glosses that are not scored)\n"
bool session_option(struct session_options *options, int letter, const char *value);

// Starts MPI where several ranks were launched and loads the model. On failure prints one line ("llmsweep: command: …", on one rank) and
// returns the exit code; 0 otherwise.
int session_load(struct model_session *session, const char *command, const struct session_options *options, int *argc, char ***argv);
// Builds the variant of the recipe (session->recipe) and an engine for it, in place of one that is open.
int session_open(struct model_session *session, const char *command, const struct variant_recipe *recipe, int batch, int max_context);
void session_close(struct model_session *session);
// Prints one line and returns the exit code that fits the status: 2 for what the user can cure, 3 for the rest.
int session_fail(const char *command, int status, const char *error);

#endif
