// SPDX-License-Identifier: MIT
// Parallel layouts: how one model and one batch are divided between ranks and threads.
//
// The word `dpA.tpB.ppC.tD` means A·B·C ranks of D threads: A replicas that each take a part of the batch, each replica cut into C
// pipeline stages of whole layers, each stage's matrices cut into B tensor-parallel shards. Parts that are 1 are left out: t2, dp2, tp2.t4.
// Rank numbers go tensor first: rank = (data·C + pipeline)·B + tensor, so that the ranks that talk most sit next to each other.
#ifndef LLMSWEEP_LAYOUT_H
#define LLMSWEEP_LAYOUT_H

#include <stddef.h>

#include "bench/model/model.h"
#include "kernels/kernel.h"

struct layout {
    int data, tensor, pipeline, threads; // A, B, C, D; each >= 1
};

// Where one rank stands.
struct layout_place {
    int data, pipeline, tensor;
};

// A half-open range [begin, end).
struct layout_range {
    int begin, end;
};

// Parses a layout word; the parts may stand in any order, each at most once; "1" and "t1" are one rank of one thread. -EINVAL and one
// line (the word, what is wrong, what is known) in reason.
int layout_parse(const char *word, struct layout *layout, char *reason, size_t reason_size);
// Writes the canonical word: dp, tp, pp, t in this order, ones left out; "t1" when all are one.
void layout_name(const struct layout *layout, char *word, size_t size);
int layout_ranks(const struct layout *layout);
struct layout_place layout_place(const struct layout *layout, int rank);

// Whether the model, stored in this format, and the batch can be divided so. 0, or -EINVAL with one line in reason such as "batch 1
// cannot be split over 2 replicas", "6 heads cannot be split over 4 tensor-parallel ranks". Does not look at the machine.
int layout_check(const struct layout *layout, const struct model_config *config, const struct weight_format *format, int batch,
                 char *reason, size_t reason_size);

// The layers of a pipeline stage; the first stages take one more where they do not divide.
struct layout_range layout_stage_layers(const struct layout *layout, const struct model_config *config, int pipeline);
// The sequences of a replica.
struct layout_range layout_replica_batch(const struct layout *layout, int batch, int data);
// The rows of the output matrix (the vocabulary) that a tensor-parallel rank holds: whole panels of PACKED_PANEL_ROWS.
struct layout_range layout_vocabulary(const struct layout *layout, const struct model_config *config, int tensor);
// The part [begin, end) of `panels·unit` items for one of `parts`, in multiples of unit; the last unit may be cut short by count.
struct layout_range layout_split(int count, int unit, int parts, int part);

#endif
