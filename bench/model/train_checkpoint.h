// SPDX-License-Identifier: MIT
// A training's whole state in one file: written aside, synced and renamed, so that it is there whole or not at all.
#ifndef LLMSWEEP_TRAIN_CHECKPOINT_H
#define LLMSWEEP_TRAIN_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

struct train_checkpoint {
    uint64_t spec_hash; // of everything that the training's course depends on
    uint64_t parameters;
    int64_t step;      // steps done
    int64_t best_step; // -1 before the first evaluation
    double best_loss;
    // Four arrays of parameters floats, owned by the caller.
    float *weights, *first_moment, *second_moment, *best_weights;
};

// 0 or -errno with one line that names the file and the cure.
int train_checkpoint_write(const struct train_checkpoint *checkpoint, const char *path, char *error, size_t error_size);
// spec_hash and parameters are set by the caller and must match the file's; the rest is read.
int train_checkpoint_read(struct train_checkpoint *checkpoint, const char *path, char *error, size_t error_size);

#endif
