// SPDX-License-Identifier: MIT
// Inference over a variant: prefill, decode and scoring, on any layout.
//
// All calls are collective: every rank of the engine's group makes the same calls with the same arguments, from its main thread.
// `tokens` and `next` cover the whole batch on every rank; a rank reads and writes only the sequences of its own replica
// (engine_sequences), so that replicas never wait for each other; engine_collect joins them. Generated tokens are greedy (the largest
// logit, the lowest token where two are equal) and the same in every layout.
//
// Communication of a phase: take comm_traffic() before and after; its share is Δseconds over the phase's own seconds.
#ifndef LLMSWEEP_ENGINE_H
#define LLMSWEEP_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/model/kv_cache.h"
#include "bench/model/team.h"
#include "bench/model/variant.h"
#include "harness/comm.h"
#include "kernels/kernel.h"

struct engine;

struct engine_options {
    enum provider provider;      // of the linear layers
    enum activation activation;
    struct kv_format kv;         // how the cache is stored; all zero: f32
    int max_batch;               // sequences of all replicas together; a multiple of layout.data
    int max_context;             // positions a sequence may reach: prompt + generated
    int max_rows;                // tokens computed at a time in prefill; 0 = 256
    team_bind_function *bind;    // places this rank's threads; NULL = unbound
    void *bind_context;
};

// Builds the team, the kernels' picks and all buffers for this rank. The group has exactly layout_ranks members and this process's rank
// in it is the one that the variant was cut for. -EINVAL, -ENOTSUP (no kernel of that provider for this format), -ENOMEM; one line in error.
// The variant must outlive the engine. An error on one rank only must end the job: the others would wait for it.
int engine_open(struct engine **engine, const struct variant *variant, struct comm_group *group, const struct engine_options *options,
                char *error, size_t error_size);
void engine_close(struct engine *engine);

// Starts `batch` sequences of `prompt` tokens each, (batch, prompt), at position 0; what was in the cache is forgotten.
// next (batch): the greedy token after each prompt. logits: NULL, or (batch, vocab) of each prompt's last position.
// -EINVAL (too long, a token outside the vocabulary, a batch that replicas cannot share), -EDOM when a logit is NaN or infinite.
int engine_prefill(struct engine *engine, const int32_t *tokens, int batch, int prompt, int32_t *next, float *logits,
                   char *error, size_t error_size);
// The same for prompts of different lengths: (batch, stride) tokens, of sequence i the first lengths[i] (NULL: all `stride`). The first
// `shared` tokens, which are the same in all, go through the model once for each replica and are copied in the cache; 0 if there are none. Each
// sequence then decodes on from its own length, with the same tokens as alone. -EINVAL also where a prompt does not reach beyond what is shared.
int engine_prefill_lengths(struct engine *engine, const int32_t *tokens, int batch, int stride, const int *lengths, int shared,
                           int32_t *next, float *logits, char *error, size_t error_size);
// Appends one token to each sequence and gives the next, `steps` times over, feeding its own choice back: (batch) tokens in,
// next (steps, batch) out; the tokens of one call may be the last row of the call before. One call is one parallel region. logits as
// above, of the last step. With several pipeline stages a longer call overlaps the stages across steps.
int engine_decode(struct engine *engine, const int32_t *tokens, int steps, int32_t *next, float *logits, char *error, size_t error_size);
// The number of positions in the cache (of the longest sequence), the batch in progress, and the sequences of it that are this rank's replica's.
int engine_position(const struct engine *engine);
struct layout_range engine_sequences(const struct engine *engine);
// Makes rows × batch tokens complete on every rank: replicas exchange theirs. Outside timed phases.
void engine_collect(struct engine *engine, int32_t *tokens, int rows);

// Runs whole texts (batch, length) from position 0 and hands out the logits of every position >= first. The callback runs on exactly one rank
// for each sequence, in that rank's main thread, positions of a sequence in rising order.
typedef void engine_score_function(void *context, int sequence, int position, const float *logits /* (vocab) */);
int engine_score(struct engine *engine, const int32_t *tokens, int batch, int length, int first, engine_score_function *callback,
                 void *context, char *error, size_t error_size);

// Teacher-forced check that what was timed is what the model says: prompt and generated tokens, (batch, prompt) and (generated, batch) as
// engine_prefill_lengths took (lengths: (batch) or NULL) and it and engine_decode gave them, go through one prefill, each sequence whole;
// each generated token must be (nearly) the largest logit at its position. gap receives (maximum − the token's logit) in units of the position's
// logit standard deviation, the worst and the mean over all tokens, on every rank; engine_gap_explained() says whether the rounding that prefill
// and decode do in other orders explains it.
struct engine_gap {
    double worst, mean;
};
int engine_verify_tokens(struct engine *engine, const int32_t *prompts, int batch, int prompt, const int *lengths,
                         const int32_t *generated, int steps, struct engine_gap *gap, char *error, size_t error_size);
bool engine_gap_explained(const struct engine *engine, const struct engine_gap *gap);
// FNV-1a of the tokens, (count), in order.
uint64_t engine_hash_tokens(const int32_t *tokens, size_t count);

struct engine_memory {
    size_t weight_bytes, kv_bytes, workspace_bytes;
};
// This rank's, and summed over all ranks (collective).
struct engine_memory engine_memory(const struct engine *engine);
struct engine_memory engine_memory_total(struct engine *engine);
// The fraction of the block matrices' weights that pruning left out, over all ranks, and the stored bits a weight, everything counted
// (collective). The first is the same in every layout.
double engine_sparsity(struct engine *engine);
double engine_bits_per_weight(struct engine *engine);
struct comm_group *engine_group(const struct engine *engine);
int engine_vocab(const struct engine *engine);
int engine_max_batch(const struct engine *engine);
int engine_replicas(const struct engine *engine);
// The name of the linear kernel in use, for the records.
const char *engine_linear_kernel(const struct engine *engine);

// What a cell will need, without building anything: for plans. Whole job, all ranks.
struct engine_estimate {
    double weight_bytes;           // packed matrices of all ranks (replicas counted each)
    double kv_bytes;               // at prompt + generated positions
    double peak_bytes;             // weights, cache, workspace; without what a model that is not in a file keeps in f32
    double flops_per_token;        // decode, one sequence, at half of the generated length
    double prefill_flops;          // a whole batch
    double bytes_per_token;        // decode: (weights of one replica ÷ its sequences) + the cache that one sequence reads; embeddings too
};
void engine_estimate(const struct model_config *config, const struct variant_recipe *recipe, const struct kv_format *kv,
                     const struct layout *layout, int batch, int prompt, int generated, struct engine_estimate *estimate);

#endif
