// SPDX-License-Identifier: MIT
// One forward and one backward pass over a batch of whole sequences, in f32, keeping what the gradient needs.
// Products go through BLAS; rows and heads are spread over OpenMP's threads. The result does not depend on their number
// except in the last bits of sums.
#ifndef LLMSWEEP_TRAIN_PASS_H
#define LLMSWEEP_TRAIN_PASS_H

#include <stdint.h>

struct model;
struct model_config;
struct train_pass;

// Room for batches of sequences × length tokens of a model with these dimensions. 0, -EINVAL or -ENOMEM.
int train_pass_create(struct train_pass **pass, const struct model_config *config, int sequences, int length);
void train_pass_free(struct train_pass *pass);

// ids is (sequences, length). Returns the logits (sequences·length, vocab), which the pass owns and the next forward
// replaces. dropout (0 to under 1) silences that part of what attention and feed-forward add to the residual stream;
// which part follows from dropout_seed alone.
float *train_forward(struct train_pass *pass, const struct model *model, const int32_t *ids, float dropout,
                     uint32_t dropout_seed);

// Mean cross-entropy in nats of the last forward's logits against targets (sequences, length).
double train_loss(const struct train_pass *pass, const int32_t *targets);
// The same, and turns the logits into the loss's gradient with respect to them, which train_backward starts from.
double train_loss_gradient(struct train_pass *pass, const int32_t *targets);

// Adds the gradient of every weight to *gradient (a model of the same dimensions; zero its storage for a fresh
// gradient), starting from the gradient that the caller left in place of the logits. Call it once after a forward with
// the same ids.
void train_backward(struct train_pass *pass, const struct model *model, const int32_t *ids, struct model *gradient);

#endif
