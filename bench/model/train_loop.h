// SPDX-License-Identifier: MIT
// Training a model from a spec: text, vocabulary, schedule, held-out evaluation, checkpoints.
#ifndef LLMSWEEP_TRAIN_LOOP_H
#define LLMSWEEP_TRAIN_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/model/model.h"

// What a train spec says (bench/specs/train.ini explains each key where it is set).
struct train_spec {
    struct model_config model;
    char text[1024];       // a text file, or empty for WordNet's glosses
    char wordnet[1024];    // WordNet's folder, or empty for the default
    char output[1024];     // the model, a GGUF file
    char curve[1024];      // the curve, a CSV file
    char checkpoint[1024]; // where an interrupted training goes on
    char format[8];        // "f16" or "f32"
    int sequences, length; // of one step's batch
    double epochs;
    double learning_rate, final_learning_rate; // peak, and at the end
    double beta1, beta2, epsilon, weight_decay, clip, dropout;
    int warmup;           // steps
    int evaluate_every;   // steps between held-out evaluations (and checkpoints)
    int evaluate_windows; // windows of length tokens that those evaluations use
    uint64_t seed;
};

// Fills *spec with the defaults and what the file says. 0, or -errno with one line naming file, line and cure.
int train_spec_read(struct train_spec *spec, const char *path, char *error, size_t error_size);
// A spec's complaint about itself, such as a batch of 0; what is the file's name.
int train_spec_check(const struct train_spec *spec, const char *what, char *error, size_t error_size);

// The learning rate of a step (0 is the first): linear warm-up, then a cosine from the peak to the final rate.
double train_learning_rate(const struct train_spec *spec, long step, long steps);

struct train_report {
    long step, steps;
    double loss, learning_rate, gradient_norm; // of the step, or averaged since the last report
    double heldout_perplexity;                 // NaN unless this report follows an evaluation
    double best_perplexity;                    // NaN before the first evaluation
    double tokens_per_second, seconds_left;
};

// Trains. With resume it goes on from spec->checkpoint, which must fit the spec. Calls report (may be NULL) about every
// ten seconds and after each evaluation; a nonzero answer stops the training after a checkpoint (-EINTR).
// At the end the best weights by held-out loss are written to spec->output and the checkpoint is removed.
int train_run(const struct train_spec *spec, bool resume,
              int (*report)(void *context, const struct train_report *report), void *context, char *error,
              size_t error_size);

#endif
