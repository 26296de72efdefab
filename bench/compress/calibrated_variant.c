// SPDX-License-Identifier: MIT
#include "bench/compress/calibrated_variant.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/corpus.h"
#include "bench/model/tokenizer.h"

enum { PATH_SIZE = 4096, BYTES_A_TOKEN = 8 }; // more than any text takes

static int no_memory(char *error, size_t error_size) {
    snprintf(error, error_size, "out of memory for calibration text");
    return -ENOMEM;
}

// Glosses of the training split in an order that mixes their kinds: enough of them for `wanted` tokens.
static int pick_glosses(const struct corpus *all, size_t wanted, struct corpus *picked) {
    size_t count = 0, bytes = 0;
    picked->documents = malloc(all->count * sizeof *picked->documents);
    if (!picked->documents)
        return -ENOMEM;
    for (size_t i = 0; i < all->count; i++)
        if (!all->documents[i].heldout)
            picked->documents[count++] = all->documents[i];
    uint64_t random = 1;
    for (picked->count = 0; picked->count < count && bytes < wanted * BYTES_A_TOKEN; picked->count++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const size_t other = picked->count + (size_t)(random >> 33) % (count - picked->count);
        const struct document document = picked->documents[other];
        picked->documents[other] = picked->documents[picked->count];
        picked->documents[picked->count] = document;
        bytes += document.bytes;
    }
    return 0;
}

static int read_glosses(const struct model *model, size_t wanted, int32_t **tokens, size_t *count, char *error, size_t error_size) {
    struct corpus all = {0}, picked = {0};
    int status = corpus_load_glosses(&all, NULL, error, error_size);
    if (status)
        return status;
    status = pick_glosses(&all, wanted, &picked);
    if (!status)
        status = corpus_encode(&picked, model->tokenizer, false, NULL, tokens, count);
    free(picked.documents);
    corpus_free(&all);
    return status ? no_memory(error, error_size) : 0;
}

// Moves the tokens from `first` on to the front.
static void drop_front(int32_t *tokens, size_t *count, size_t first) {
    *count -= first;
    memmove(tokens, tokens + first, *count * sizeof *tokens);
}

int calibration_read(const struct calibration_source *source, const struct model *model, int32_t **tokens, size_t *count, char *error,
                     size_t error_size) {
    const size_t wanted = source->tokens ? source->tokens : CALIBRATION_TOKENS;
    const bool same = source->text && source->scored_text && !strcmp(source->text, source->scored_text);
    const char *file = source->text ? source->text : source->scored_text;
    uint64_t hash;
    *tokens = NULL;
    *count = 0;
    if (!model->tokenizer) {
        snprintf(error, error_size, "%s has no tokenizer, so there is no text to calibrate it with", model->config.name);
        return -EINVAL;
    }
    if (file) {
        int status = corpus_heldout(model, file, SIZE_MAX, tokens, count, &hash, error, error_size);
        if (status)
            return status;
        if (!source->text || same) {
            const bool enough = source->scored_tokens && *count >= source->scored_tokens + wanted;
            if (enough)
                drop_front(*tokens, count, source->scored_tokens);
            else {
                free(*tokens);
                *tokens = NULL;
                if (same) {
                    snprintf(error, error_size, "%s is the text that quality is measured on, and has no %zu tokens behind that", file, wanted);
                    return -EINVAL;
                }
            }
        }
    }
    if (!*tokens) {
        int status = read_glosses(model, wanted, tokens, count, error, error_size);
        if (status)
            return status;
    }
    *count = *count < wanted ? *count : wanted;
    return 0;
}

static int find_or_make(struct calibrated **calibrated, const char *folder, const struct model *model, const struct variant_recipe *recipe,
                        const struct calibration *with, char *error, size_t error_size) {
    int status = calibrated_find(calibrated, folder, model, recipe, with, error, error_size);
    if (status != -ENOENT)
        return status;
    status = calibrate(calibrated, model, recipe, with, error, error_size);
    if (status)
        return status;
    status = calibrated_keep(*calibrated, folder, with, error, error_size);
    if (status) {
        calibrated_free(*calibrated);
        *calibrated = NULL;
    }
    return status;
}

int variant_obtain(struct variant **variant, const struct model *model, const struct variant_recipe *recipe, const struct layout *layout,
                   const struct calibration_source *source, struct comm_group *group, team_bind_function *bind, void *bind_context,
                   char *error, size_t error_size) {
    const int rank = comm_rank(group);
    if (!recipe_is_calibrated(recipe))
        return variant_create(variant, model, recipe, layout, rank, error, error_size);
    *variant = NULL;
    char folder[PATH_SIZE];
    calibrated_folder(folder, sizeof folder);
    int32_t *tokens;
    struct calibration with = {.window = model->config.context < CALIBRATION_WINDOW ? model->config.context : CALIBRATION_WINDOW,
                               .threads = layout->threads, .bind = bind, .bind_context = bind_context};
    struct calibrated *calibrated = NULL;
    int status = calibration_read(source, model, &tokens, &with.count, error, error_size);
    with.tokens = tokens;
    with.bos = model->tokenizer ? tokenizer_bos(model->tokenizer) : -1;
    if (!status && rank == 0)
        status = find_or_make(&calibrated, folder, model, recipe, &with, error, error_size);
    struct {
        int status;
        char error[256];
    } told = {.status = status};
    snprintf(told.error, sizeof told.error, "%.255s", status ? error : "");
    comm_broadcast_idle(group, &told, sizeof told);
    if (!status && told.status) {
        status = told.status;
        snprintf(error, error_size, "%s", told.error);
    } else if (!status && rank > 0) {
        status = calibrated_find(&calibrated, folder, model, recipe, &with, error, error_size);
        if (status == -ENOENT)
            snprintf(error, error_size, "%s is not the same folder for all ranks; set LLMSWEEP_CACHE to one that is", folder);
    }
    free(tokens);
    return status ? status : variant_create_calibrated(variant, calibrated, layout, rank, error, error_size);
}
