// SPDX-License-Identifier: MIT
// The transformer written out plainly, one position after the other, accumulating in double: what the fast paths are
// compared with. Slow; for tests.
#ifndef LLMSWEEP_REFERENCE_H
#define LLMSWEEP_REFERENCE_H

#include <stdint.h>

struct model;

// Of a loaded model, not an opened one. logits is (count, vocab): row t scores the token that follows ids[0…t]. 0, -ENOMEM, or -EINVAL for an id outside of
// the vocabulary or a count above the context length.
int model_reference_logits(const struct model *model, const int32_t *ids, int count, float *logits);

#endif
