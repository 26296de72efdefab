// SPDX-License-Identifier: MIT
// The keys and values of every position that was computed, for one rank's layers and key/value heads, stored in the bits that the
// kernels compute from (kernels/attention/attention.h has the panels).
//
// A quantized cache may keep its newest positions as f32, in a ring beside it: of a query at position p, the positions below
// 16·⌊p/16⌋ − window are read as codes, the others, window + 1 to window + 16 of them, as f32 (Liu et al. 2024, KIVI, residual length).
// A panel of 16 positions is quantized when the ring needs its place.
#ifndef LLMSWEEP_KV_CACHE_H
#define LLMSWEEP_KV_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/attention/attention.h"

struct kv_format {
    enum kv_type type;
    int window; // newest positions that stay f32: 0, or a multiple of 16 where the type is quantized
};
// f32, bf16, q8, q4, q8w128, q4w64. -EINVAL with a reason.
int kv_format_parse(const char *word, struct kv_format *format, char *reason, size_t reason_size);
void kv_format_name(const struct kv_format *format, char *word, size_t size);

struct kv_cache {
    struct kv_format format;
    int layers, sequences, heads, head_dim;
    int positions; // capacity, a multiple of 16
    size_t panel_bytes, recent_bytes; // of a panel of keys or values: of the type, and of f32
    int panels, slots;                // stored as the type; in the ring, 0 without a window
    uint8_t *memory;                  // (layers, sequences, heads): panels of keys, of values, ring of keys, of values
    size_t bytes;
};

// -ENOMEM. The memory is not touched, so the thread that writes a head first places it.
int kv_cache_create(struct kv_cache *cache, const struct kv_format *format, int layers, int sequences, int heads, int head_dim, int positions);
void kv_cache_free(struct kv_cache *cache);
size_t kv_cache_size(const struct kv_format *format, int layers, int sequences, int heads, int head_dim, int positions);
// What a query reads of one layer's heads of one sequence when it sees `positions`: of part of a panel, its part.
double kv_cache_read_bytes(const struct kv_format *format, int heads, int head_dim, double positions);

// Writes one position's key and value, head_dim each, of one head. With a window, positions of a (layer, sequence, head) come in rising
// order, and queries of one panel are answered before the next panel's first position is written.
void kv_cache_store(const struct kv_cache *cache, int layer, int sequence, int head, int position, const float *key, const float *value);
// Makes the first `positions` positions of a sequence the same as another's. With a window, exactly so many must have been written.
void kv_cache_copy(const struct kv_cache *cache, int from, int to, int positions);

// A part of what a query looks at: an attention_call's kv, keys, values, begin, end and first_position.
struct kv_piece {
    enum kv_type kv;
    const void *keys, *values;
    int begin, end, first_position;
};
// The pieces that rows at position … position + rows − 1 look at, of which none sees what lies before `first`: in pieces of at most `cut`
// positions (a multiple of 16; 0: as few as can be). With a window, all rows lie in one panel. Returns their count; writes those from
// `skip` on, at most `room`.
int kv_cache_pieces(const struct kv_cache *cache, int layer, int sequence, int head, int position, int rows, int first, int cut, int skip,
                    int room, struct kv_piece *pieces);
// The most that there can be for any position, where `cut` is at least this and cuts what is stored into at most `limit`.
int kv_cache_most_pieces(const struct kv_cache *cache, int cut, int limit);

#endif
