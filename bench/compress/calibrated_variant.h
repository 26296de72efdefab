// SPDX-License-Identifier: MIT
// Variants of any recipe: those that need calibration text get it here, once for all layouts and ranks.
#ifndef LLMSWEEP_CALIBRATED_VARIANT_H
#define LLMSWEEP_CALIBRATED_VARIANT_H

#include <stddef.h>

#include "bench/model/team.h"
#include "bench/model/variant.h"
#include "harness/comm.h"

// Where calibration text comes from. It is never the text that quality is measured on.
struct calibration_source {
    const char *text; // a file; NULL: what lies behind the scored tokens of scored_text, if that is enough; else WordNet's glosses, without
                      // those that quality is measured on
    size_t tokens;    // 0: CALIBRATION_TOKENS
    const char *scored_text; // the file that quality is measured on; NULL: held-out glosses
    size_t scored_tokens;    // of it, from its start; 0: all
};
enum { CALIBRATION_TOKENS = 8192, CALIBRATION_WINDOW = 512 };

// The tokens of a source: *tokens is malloc'ed, the caller frees it. 0 or -errno with one line in error.
int calibration_read(const struct calibration_source *source, const struct model *model, int32_t **tokens, size_t *count, char *error,
                     size_t error_size);

// variant_create, or where the recipe is calibrated: rank 0 takes what an earlier call left in calibrated_folder(), or calibrates with as
// many threads as the layout has (bound by `bind`, which may be NULL) and leaves it there; then every rank reads that. Collective over
// group. Errors as variant_create and calibrate.
int variant_obtain(struct variant **variant, const struct model *model, const struct variant_recipe *recipe, const struct layout *layout,
                   const struct calibration_source *source, struct comm_group *group, team_bind_function *bind, void *bind_context,
                   char *error, size_t error_size);

#endif
