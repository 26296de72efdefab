// SPDX-License-Identifier: MIT
// The engine side by side with another program's, llama-bench (llama.cpp and its relatives): one shape-only model, in the engine in our
// format and in files in theirs, timed in turns.
#ifndef LLMSWEEP_WORKLOADS_PEERS_H
#define LLMSWEEP_WORKLOADS_PEERS_H

#include <stddef.h>

#include "harness/stats.h"
#include "kernels/kernel.h"

struct model_config;

enum { PEER_PAIRS_LIMIT = 100 };

struct peer {
    const char *bench;    // llama-bench, an absolute path
    const char *quantize; // llama-quantize of the same build
};

struct peers_options {
    int prompt, gen; // tokens of a prefill; tokens of a decode, from an empty cache
    int pairs;       // 6 for an interval of 95%
    int limit;       // seconds that one run of the peer may take
    // Of our weights of 8 bits and fewer that have groups. ACTIVATION_Q8G is what llama.cpp does, with groups of 32; with one scale a row
    // instead of a group it is ACTIVATION_Q8.
    enum activation activation;
};

// A model in memory and, once for each of the peer's types that was asked for, on disk.
struct peers;
// Fills a model of these dimensions from a seed and writes it, as F16, into a new folder under $TMPDIR. -EINVAL, -ENOMEM, -EIO; one line in error.
int peers_open(struct peers **peers, const struct model_config *config, const struct peers_options *options, char *error, size_t error_size);
// Removes the folder.
void peers_close(struct peers *peers);

enum peer_phase { PEER_PREFILL, PEER_DECODE, PEER_PHASES };

struct peer_result {
    char build[48]; // the peer's commit and number
    struct {
        struct stats_interval ours, theirs, ratio; // tokens/s; ours over theirs, pair by pair
        double bytes, operations;                  // of a token of ours, counted
        double bandwidth, peak;                    // bytes/s of a working set of the weights' size, operations/s of what activations are multiplied in: 8 bits, bf16 (by tiles) or f32; between the pairs
        double roof_fraction;                      // of ours
    } phase[PEER_PHASES];
    size_t pairs;
};

// Times the model in our format against the peer's type ("q8g32", "Q8_0"), in turns. -ENOTSUP where the peer's quantizer does not know the
// type, -ETIME, -EIO when the peer fails or prints no JSON that can be read; one line in error.
int peers_compare(struct peers *peers, const struct peer *peer, const char *format, const char *type, int threads, struct peer_result *result,
                  char *error, size_t error_size);

#endif
