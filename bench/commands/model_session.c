// SPDX-License-Identifier: MIT
#include "bench/commands/model_session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bench/compress/calibrated_variant.h"

bool session_option(struct session_options *options, int letter, const char *value)
{
    switch (letter) {
    case 'F': options->format = value; return true;
    case 'P': options->prune = value; return true;
    case 'S': options->prune_scope = value; return true;
    case 'L': options->layout = value; return true;
    case 'A': options->activation = value; return true;
    case 'V': options->provider = value; return true;
    case 'Q': options->kv = value; return true;
    case 'C': options->calibration_text = value; return true;
    default: return false;
    }
}

int session_fail(const char *command, int status, const char *error)
{
    const int code = status == -ENOMEM || status == -EIO || status == -EAGAIN ? 3 : 2;
    fprintf(stderr, "llmsweep: %s: %s\n", command, error);
    if (comm_size(comm_world()) > 1)
        comm_abort(code); // the other ranks may wait for this one
    return code;
}

static int parse_words(struct model_session *session, const struct session_options *options, char *error, size_t error_size)
{
    int status = layout_parse(options->layout != NULL ? options->layout : "t1", &session->layout, error, error_size);
    if (status == 0)
        status = recipe_parse(options->prune != NULL ? options->prune : "none", options->prune_scope,
                              options->format != NULL ? options->format : "f32", &session->recipe, error, error_size);
    if (status == 0 && options->kv != NULL)
        status = kv_format_parse(options->kv, &session->kv, error, error_size);
    if (status == 0 && options->activation != NULL && activation_parse(options->activation, &session->activation) != 0) {
        snprintf(error, error_size, "unknown activation '%s' (known: " ACTIVATION_WORDS ")", options->activation);
        status = -EINVAL;
    }
    if (status == 0 && options->provider != NULL && provider_parse(options->provider, &session->provider) != 0) {
        snprintf(error, error_size, "unknown provider '%s' (known: own, openblas, onednn)", options->provider);
        status = -EINVAL;
    }
    return status;
}

int session_load(struct model_session *session, const char *command, const struct session_options *options, int *argc, char ***argv)
{
    *session = (struct model_session){ .calibration.text = options->calibration_text };
    char error[512] = "";
    int status = comm_start(argc, argv, error, sizeof(error));
    if (status == 0)
        status = parse_words(session, options, error, sizeof(error));
    const int ranks = layout_ranks(&session->layout), started = comm_size(comm_world());
    if (status == 0 && ranks != started) {
        snprintf(error, sizeof(error), "layout %s needs %d ranks and %d runs; start it as: mpirun -n %d llmsweep %s …",
                 options->layout != NULL ? options->layout : "t1", ranks, started, ranks, command);
        status = -EINVAL;
    }
    // a shape has neither text nor quality, and loading a large one would fill gigabytes with random numbers first
    const size_t length = strlen(options->model_path);
    if (status == 0 && length > 4 && strcmp(options->model_path + length - 4, ".ini") == 0) {
        snprintf(error, sizeof(error), "%s gives dimensions only, without weights or tokenizer; %s needs a GGUF file", options->model_path, command);
        status = -EINVAL;
    }
    if (status == 0)
        status = model_open(&session->model, options->model_path, error, sizeof(error));
    if (status == 0)
        return 0;
    // every rank found the same: one of them says so
    if (comm_rank(comm_world()) == 0)
        fprintf(stderr, "llmsweep: %s: %s\n", command, error);
    comm_stop();
    return status == -ENOMEM || status == -EIO ? 3 : 2;
}

int session_open(struct model_session *session, const char *command, const struct variant_recipe *recipe, int batch, int max_context)
{
    char error[512] = "";
    engine_close(session->engine);
    variant_free(session->variant);
    session->engine = NULL;
    session->variant = NULL;
    const struct engine_options options = { .provider = session->provider, .activation = session->activation, .kv = session->kv, .max_batch = batch,
                                            .max_context = max_context };
    int status = layout_check(&session->layout, &session->model.config, &recipe->format, batch, error, sizeof(error));
    if (status == 0)
        status = variant_obtain(&session->variant, &session->model, recipe, &session->layout, &session->calibration, comm_world(), NULL, NULL,
                                error, sizeof(error));
    if (status == 0)
        status = engine_open(&session->engine, session->variant, comm_world(), &options, error, sizeof(error));
    return status == 0 ? 0 : session_fail(command, status, error);
}

void session_close(struct model_session *session)
{
    engine_close(session->engine);
    variant_free(session->variant);
    model_free(&session->model);
    comm_stop();
}
