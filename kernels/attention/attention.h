// SPDX-License-Identifier: MIT
// Causal attention of some query rows of one sequence over one key/value head's cache (OP_ATTENTION), with the grouped query heads that
// share it (Ainslie et al. 2023, GQA) and the softmax computed online over blocks of positions (Milakov & Gimelshein 2018; Dao et al.
// 2022, FlashAttention). A cache may be gone through in pieces, by several threads, and joined afterwards (Dao et al. 2023, Flash-Decoding).
//
// A cache lies in panels of 16 positions, keys and values apart. With d the head dimension, and numbers in brackets from the slowest to
// the fastest index:
//     f32   keys [d][16]             values [16][d]
//     bf16  keys [d/2][16][2]        values [8][d][2]      pairs of dimensions, of positions, beside each other, as products of pairs want
//     q8    as bf16 in signed bytes; behind them the scales [⌈d/64⌉][16] in f16: x ≈ scale·code, codes −127 … 127
//     q4    keys [d/4][16][2]        values [4][d][2]      a byte's low nibble holds the first pair's, the high one the second pair's code;
//           behind them the scales as in q8: x ≈ scale·(nibble − 8)
// Groups of 64 along the head dimension share a scale; the last group may be shorter.
#ifndef LLMSWEEP_ATTENTION_H
#define LLMSWEEP_ATTENTION_H

#include <stddef.h>

#include "kernels/kernel.h"

enum {
    ATTENTION_PANEL = 16, // positions
    ATTENTION_GROUP = 64, // head dimensions that share a scale
    ATTENTION_MAX_HEAD_DIM = 256,
    ATTENTION_LEAST_PIECE = 256, ATTENTION_MOST_PIECES = 8, // see attention_piece
};

// Positions of a piece where decode over so many is cut into pieces that threads share: longer ones for a longer cache, as writing and reading partial
// results of 256 positions is a twelfth of reading a q8 cache. It depends on nothing else, and so does the rounding.
static inline int attention_piece(int positions)
{
    const int least = (positions + ATTENTION_MOST_PIECES - 1) / ATTENTION_MOST_PIECES;
    return (least + ATTENTION_LEAST_PIECE - 1) / ATTENTION_LEAST_PIECE * ATTENTION_LEAST_PIECE;
}

// Bytes of a panel of keys; a panel of values has as many. head_dim is a multiple of 16.
size_t attention_panel_bytes(enum kv_type type, int head_dim);
// Writes one position, 0 … 15, of a panel: key and value, head_dim each. What is not finite stays so: where the group's scale would
// overflow or a number is a NaN, the group reads back as NaN or infinite.
void attention_store(enum kv_type type, int head_dim, int position, const float *key, const float *value, void *key_panel,
                     void *value_panel);
// Reads one position back.
void attention_load(enum kv_type type, int head_dim, int position, const void *key_panel, const void *value_panel, float *key,
                    float *value);

struct attention_call {
    enum kv_type kv;     // of the cache
    const float *q;      // rows × q_heads × head_dim: row i, head h at q + i·q_stride + h·head_dim, already rotated
    size_t q_stride;
    const void *keys;    // panels, of position 0 on; unwritten positions of the last panel may hold anything
    const void *values;
    int begin, end;      // positions to look at: [begin, end), begin a multiple of ATTENTION_PANEL
    float *out;          // as q
    size_t out_stride;
    int rows, q_heads, head_dim; // head_dim is a multiple of 16, at most ATTENTION_MAX_HEAD_DIM
    int first_position;  // row i sees the positions 0 .. first_position + i
    int window;          // and of these only the last `window` (Beltagy et al. 2020); 0: all
    float scale;         // 1/√head_dim
    // Rows of a prompt, of which a kernel may round queries and weights to bf16 (to matrix tiles), however few they are. Others are as good as
    // the cache.
    bool prefill;
    float cap;           // a score x becomes cap·tanh(x/cap) (Gemma 2); 0: stays
    // The keys and values that this thread goes over next, whose beginnings are fetched meanwhile; NULL: they are not known.
    const void *soon_keys, *soon_values;
    // NULL: `out` is the result. Otherwise what the positions looked at add to it goes here, to be joined by attention_combine, and `out`
    // is not used: attention_partial_floats(head_dim) a line, lines in the order (row, head).
    float *partial;
};
typedef void attention_function(const struct attention_call *call);

// The weighted sum of the values, the largest score (in units of log₂ e) and the sum of the weights: head_dim + 2 floats.
static inline size_t attention_partial_floats(int head_dim)
{
    return (size_t)head_dim + 2;
}
// Joins `parts` partial results of one line, `stride` floats apart, into out (head_dim). The order of the parts decides the rounding, not
// who computed them.
void attention_combine(const float *partial, int parts, size_t stride, int head_dim, float *out);

#endif
