// SPDX-License-Identifier: MIT
// The keys and values of every position that was computed, for one rank's layers and key/value heads.
//
// Keys lie in panels of 16 positions, (position/16, head_dim, 16), so that the attention kernels' lanes are positions and scores need no
// horizontal sums; values lie (position, head_dim). Both are contiguous for one (layer, sequence, head).
#ifndef LLMSWEEP_KV_CACHE_H
#define LLMSWEEP_KV_CACHE_H

#include <stddef.h>

struct kv_cache {
    int layers, sequences, heads, head_dim;
    int positions; // capacity, a multiple of 16
    float *keys, *values;
    size_t bytes; // of both
};

// -ENOMEM. The memory is not touched, so the thread that writes a head first places it.
int kv_cache_create(struct kv_cache *cache, int layers, int sequences, int heads, int head_dim, int positions);
void kv_cache_free(struct kv_cache *cache);
size_t kv_cache_size(int layers, int sequences, int heads, int head_dim, int positions);
float *kv_cache_keys(const struct kv_cache *cache, int layer, int sequence, int head);
float *kv_cache_values(const struct kv_cache *cache, int layer, int sequence, int head);
// Writes one position's key and value, head_dim each, of one head.
void kv_cache_store(const struct kv_cache *cache, int layer, int sequence, int head, int position, const float *key, const float *value);

#endif
