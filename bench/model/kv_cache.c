// SPDX-License-Identifier: MIT
#include "bench/model/kv_cache.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/attention/attention.h"

static size_t head_floats(const struct kv_cache *cache)
{
    return (size_t)cache->positions * (size_t)cache->head_dim;
}

static size_t at(const struct kv_cache *cache, int layer, int sequence, int head)
{
    const size_t row = (size_t)layer * (size_t)cache->sequences + (size_t)sequence;
    return (row * (size_t)cache->heads + (size_t)head) * head_floats(cache);
}

size_t kv_cache_size(int layers, int sequences, int heads, int head_dim, int positions)
{
    const size_t rounded = ((size_t)positions + ATTENTION_PANEL - 1) / ATTENTION_PANEL * ATTENTION_PANEL;
    return 2 * sizeof(float) * (size_t)layers * (size_t)sequences * (size_t)heads * (size_t)head_dim * rounded;
}

int kv_cache_create(struct kv_cache *cache, int layers, int sequences, int heads, int head_dim, int positions)
{
    *cache = (struct kv_cache){ .layers = layers, .sequences = sequences, .heads = heads, .head_dim = head_dim };
    cache->positions = (positions + ATTENTION_PANEL - 1) / ATTENTION_PANEL * ATTENTION_PANEL;
    cache->bytes = kv_cache_size(layers, sequences, heads, head_dim, positions);
    if (cache->bytes == 0)
        return 0;
    void *memory = mmap(NULL, cache->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        *cache = (struct kv_cache){ 0 };
        return -ENOMEM;
    }
    madvise(memory, cache->bytes, MADV_HUGEPAGE); // a wish; without it the cache works as well
    cache->keys = memory;
    cache->values = cache->keys + cache->bytes / sizeof(float) / 2;
    return 0;
}

void kv_cache_free(struct kv_cache *cache)
{
    if (cache->bytes > 0)
        munmap(cache->keys, cache->bytes);
    *cache = (struct kv_cache){ 0 };
}

float *kv_cache_keys(const struct kv_cache *cache, int layer, int sequence, int head)
{
    return cache->keys + at(cache, layer, sequence, head);
}

float *kv_cache_values(const struct kv_cache *cache, int layer, int sequence, int head)
{
    return cache->values + at(cache, layer, sequence, head);
}

void kv_cache_store(const struct kv_cache *cache, int layer, int sequence, int head, int position, const float *key, const float *value)
{
    const size_t size = (size_t)cache->head_dim;
    float *panel = kv_cache_keys(cache, layer, sequence, head) + (size_t)(position / ATTENTION_PANEL) * size * ATTENTION_PANEL;
    for (size_t d = 0; d < size; d++)
        panel[d * ATTENTION_PANEL + (size_t)(position % ATTENTION_PANEL)] = key[d];
    memcpy(kv_cache_values(cache, layer, sequence, head) + (size_t)position * size, value, size * sizeof(float));
}
