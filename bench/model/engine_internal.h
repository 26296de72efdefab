// SPDX-License-Identifier: MIT
// What the engine's files share. Nothing outside bench/model/engine*.c includes it.
#ifndef LLMSWEEP_ENGINE_INTERNAL_H
#define LLMSWEEP_ENGINE_INTERNAL_H

#include <stdbool.h>

#include "bench/model/engine.h"
#include "bench/model/kv_cache.h"
#include "kernels/activation/activation.h"
#include "kernels/attention/attention.h"
#include "kernels/norm/norm.h"
#include "kernels/rope/rope.h"

// Up to so many rows, every thread norms and quantizes all rows for itself, which costs less than a barrier.
enum { NARROW_ROWS = 4 };

static inline int smaller(int a, int b)
{
    return a < b ? a : b;
}

static inline int larger(int a, int b)
{
    return a > b ? a : b;
}

// Inputs of the linear layers by their width, for their 8-bit codes.
enum input_width { WIDTH_MODEL, WIDTH_HEADS, WIDTH_FFN, INPUT_WIDTHS };

struct thread_space {
    void *scratch;                            // of the linear kernels
    float *normed;                            // (NARROW_ROWS, d_model)
    float *partial;                           // engine_thread_partials()
    struct quantized_rows codes[INPUT_WIDTHS]; // (NARROW_ROWS, width)
};

// Rows that go through the layers together: `length` positions from `begin` on of each of `sequences` sequences.
struct unit {
    int first, sequences; // of this replica
    int begin, length;
    const int *ahead; // NULL, or (sequences of this replica): positions that each sequence is ahead of `begin`
};

// The position of a unit's row.
static inline int unit_position(const struct unit *unit, int row)
{
    return unit->begin + row % unit->length + (unit->ahead != NULL ? unit->ahead[unit->first + row / unit->length] : 0);
}

struct engine {
    const struct variant *variant;
    const struct model_config *config;
    struct engine_options options;
    struct comm_group *group;             // all ranks; the caller's
    struct comm_group *tensor, *pipeline; // this rank's shards of one stage; the stages of its shard
    bool first_stage, last_stage;
    struct team *team;
    struct kv_cache cache;

    const struct kernel *linear_kernel;
    linear_function *linear, *output_linear;
    quantize_rows_function *quantize;
    rmsnorm_function *rmsnorm;
    rope_function *rope;
    swiglu_function *swiglu;
    attention_function *attention, *attention_recent; // of the cache's type, and of the f32 window beside it

    int max_local;                  // sequences of this replica at most
    int max_rows, logit_rows;       // rows of the buffers below
    int vocab_local, vocab_largest; // rows of the output matrix here, and on the rank that has most
    float *cosines, *sines; // (max_context, head_dim/2)
    float *window_cosines, *window_sines; // the same of layers with a sliding window; NULL where no layer has rotations of its own
    float attention_scale;
    float *x, *partial;     // (max_rows, d_model): the residual stream, and what is added to it
    float *normed;          // (max_rows, d_model)
    float *q, *attended;    // (max_rows, heads·head_dim) of this rank
    float *k, *v;           // (max_rows, kv_heads·head_dim)
    float *gate, *up;       // (max_rows, ffn)
    float *logits;          // (logit_rows, vocab_local)
    float *gathered;        // (tensor ranks + 1, logit_rows, vocab_largest) and a row of vocab behind it; made when first needed, for shards only
    struct quantized_rows codes[INPUT_WIDTHS]; // (max_rows, width)
    struct thread_space *spaces;               // (threads)
    uint64_t *best;                            // (threads, logit_rows): each thread's largest logit, see argmax_key
    int *emit;                                 // (max_rows): rows of the unit whose logits are wanted; their count behind
    float *partials; // engine_shared_partials(), of the cache's pieces
    size_t workspace_bytes;

    int batch, position;             // in progress: the longest sequence's length
    int *lengths;                    // (max_local) of each sequence
    struct layout_range sequences;   // of the batch, this replica's
    int32_t *current;                // (max_local) the token that each sequence was given last
    struct unit *decode_units;       // (stages)
};

// One parallel region: units, gone through `steps` times.
struct run {
    struct engine *engine;
    struct unit *units;
    int unit_count, steps;
    const int32_t *tokens;  // (batch, length) in prefill and scoring; NULL in decode: engine->current
    int length;             // of a row of tokens
    const int *lengths;     // (batch), where the sequences are not all `length` long; or NULL
    int32_t *next;          // (steps, batch) or NULL
    float *logits;          // (batch, vocab) of the last step, or NULL
    engine_score_function *score; // or NULL; then every position >= first_scored is handed out
    void *score_context;
    int first_scored;
    bool not_finite;        // a logit was NaN or infinite
};

// The team's function; context is a struct run.
void engine_region(struct team_member *self, void *context);
// Runs it, and lets all stages of the replica know what came out. 0 or -EDOM.
int engine_run(struct run *run, char *error, size_t error_size);
// Cuts positions [from, length) of this replica's sequences, or of those that have them (`lengths` by sequence; `length` the longest),
// into units that fit into the buffers and keep all stages busy. The caller frees.
struct unit *engine_prefill_units(const struct engine *engine, struct layout_range sequences, int from, int length, const int *lengths,
                                  int *count);
// Room for logits of all tensor-parallel ranks, where there are several. -ENOMEM.
int engine_need_gathered(struct engine *engine, char *error, size_t error_size);
// Of one row's key/value heads, before they are rotated: bias and norm of k (and v), and of the query heads that share them. q, k, v: of
// the first of these heads. `layer` counts from this rank's first, here and below.
void engine_finish_heads(const struct engine *engine, int layer, struct layout_range heads, float *q, float *k, float *v);
// Norms rows of engine->partial in place, before they are added to the residual stream.
void engine_norm_partial(const struct engine *engine, const float *weight, struct layout_range rows);
// cap·tanh(logit/cap), where the model has such a cap.
void engine_cap_logits(const struct engine *engine, int rows, struct layout_range columns);
// Attention of a unit's rows, after engine->q, k and v: some key/value heads by one thread alone, or all heads by all threads, which meet
// before it returns.
void engine_attend_heads(struct engine *engine, const struct team_member *self, const struct unit *unit, int layer, struct layout_range heads);
void engine_attend_items(struct engine *engine, struct team_member *self, const struct unit *unit, int layer);
// Floats of room that these need: for each thread, and of all together, once the cache is there.
size_t engine_thread_partials(const struct engine *engine);
size_t engine_shared_partials(const struct engine *engine);
int engine_check_tokens(const struct engine *engine, const int32_t *tokens, size_t count, char *error, size_t error_size);

#endif
