// SPDX-License-Identifier: MIT
#include "bench/model/kv_cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LARGEST_WINDOW = 1 << 20 };

int kv_format_parse(const char *word, struct kv_format *format, char *reason, size_t reason_size)
{
    static const char known[] = "f32, bf16, q8, q4; q8w128: the newest 128 positions in f32";
    *format = (struct kv_format){ .type = KV_TYPES };
    for (enum kv_type type = 0; type < KV_TYPES; type++) {
        const char *name = kv_type_name(type);
        const size_t length = strlen(name);
        if (strncmp(word, name, length) == 0 && (word[length] == '\0' || word[length] == 'w')) {
            format->type = type;
            word += length;
            break;
        }
    }
    if (format->type == KV_TYPES) {
        snprintf(reason, reason_size, "unknown KV cache format '%.40s' (known: %s)", word, known);
        return -EINVAL;
    }
    if (*word == '\0')
        return 0;
    char *end;
    const long window = strtol(word + 1, &end, 10);
    if (format->type != KV_Q8 && format->type != KV_Q4) {
        snprintf(reason, reason_size, "a KV cache in %s has no window of newer, finer positions (q8 and q4 have)", kv_type_name(format->type));
        return -EINVAL;
    }
    if (end == word + 1 || *end != '\0' || window < ATTENTION_PANEL || window > LARGEST_WINDOW || window % ATTENTION_PANEL != 0) {
        snprintf(reason, reason_size, "the KV cache's window '%.40s' is not a multiple of %d between %d and %d", word + 1, ATTENTION_PANEL,
                 ATTENTION_PANEL, LARGEST_WINDOW);
        return -EINVAL;
    }
    format->window = (int)window;
    return 0;
}

void kv_format_name(const struct kv_format *format, char *word, size_t size)
{
    if (format->window > 0)
        snprintf(word, size, "%sw%d", kv_type_name(format->type), format->window);
    else
        snprintf(word, size, "%s", kv_type_name(format->type));
}

// ---------------------------------------------------------------------------------------------------------------------

static int panels_of(int positions)
{
    return (positions + ATTENTION_PANEL - 1) / ATTENTION_PANEL;
}

// What a cache of these dimensions is made of, without its memory.
static struct kv_cache describe(const struct kv_format *format, int layers, int sequences, int heads, int head_dim, int positions)
{
    struct kv_cache cache = { .format = *format, .layers = layers, .sequences = sequences, .heads = heads, .head_dim = head_dim,
                              .panels = panels_of(positions) };
    cache.positions = cache.panels * ATTENTION_PANEL;
    cache.panel_bytes = attention_panel_bytes(format->type, head_dim);
    cache.recent_bytes = attention_panel_bytes(KV_F32, head_dim);
    if (format->window > 0) {
        // the last query still has the window and its own panel in the ring
        const int ring = format->window / ATTENTION_PANEL + 1;
        cache.slots = ring < cache.panels ? ring : cache.panels;
        cache.panels -= cache.slots;
    }
    return cache;
}

static size_t head_bytes(const struct kv_cache *cache)
{
    return 2 * ((size_t)cache->panels * cache->panel_bytes + (size_t)cache->slots * cache->recent_bytes);
}

static size_t cache_bytes(const struct kv_cache *cache)
{
    return (size_t)cache->layers * (size_t)cache->sequences * (size_t)cache->heads * head_bytes(cache);
}

size_t kv_cache_size(const struct kv_format *format, int layers, int sequences, int heads, int head_dim, int positions)
{
    const struct kv_cache cache = describe(format, layers, sequences, heads, head_dim, positions);
    return cache_bytes(&cache);
}

double kv_cache_read_bytes(const struct kv_format *format, int heads, int head_dim, double positions)
{
    // half a panel on the average before the window
    const double recent = format->window == 0 ? 0 : positions < format->window + 8.5 ? positions : format->window + 8.5;
    const double stored = (double)attention_panel_bytes(format->type, head_dim), exact = (double)attention_panel_bytes(KV_F32, head_dim);
    return 2.0 * heads * ((positions - recent) * stored + recent * exact) / ATTENTION_PANEL;
}

int kv_cache_create(struct kv_cache *cache, const struct kv_format *format, int layers, int sequences, int heads, int head_dim, int positions)
{
    *cache = describe(format, layers, sequences, heads, head_dim, positions);
    cache->bytes = cache_bytes(cache);
    if (cache->bytes == 0)
        return 0;
    void *memory = mmap(NULL, cache->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        *cache = (struct kv_cache){ 0 };
        return -ENOMEM;
    }
    madvise(memory, cache->bytes, MADV_HUGEPAGE); // a wish; without it the cache works as well
    cache->memory = memory;
    return 0;
}

void kv_cache_free(struct kv_cache *cache)
{
    if (cache->bytes > 0)
        munmap(cache->memory, cache->bytes);
    *cache = (struct kv_cache){ 0 };
}

// ---------------------------------------------------------------------------------------------------------------------

// One head's parts.
struct head {
    uint8_t *keys, *values, *recent_keys, *recent_values;
};

static struct head head_at(const struct kv_cache *cache, int layer, int sequence, int head)
{
    const size_t row = (size_t)layer * (size_t)cache->sequences + (size_t)sequence;
    uint8_t *at = cache->memory + (row * (size_t)cache->heads + (size_t)head) * head_bytes(cache);
    const size_t stored = (size_t)cache->panels * cache->panel_bytes, recent = (size_t)cache->slots * cache->recent_bytes;
    return (struct head){ at, at + stored, at + 2 * stored, at + 2 * stored + recent };
}

// Quantizes a panel of the ring into its own place, which it leaves.
static void settle(const struct kv_cache *cache, const struct head *to, int panel)
{
    const size_t slot = (size_t)(panel % cache->slots) * cache->recent_bytes, place = (size_t)panel * cache->panel_bytes;
    float key[ATTENTION_MAX_HEAD_DIM], value[ATTENTION_MAX_HEAD_DIM];
    for (int i = 0; i < ATTENTION_PANEL; i++) {
        attention_load(KV_F32, cache->head_dim, i, to->recent_keys + slot, to->recent_values + slot, key, value);
        attention_store(cache->format.type, cache->head_dim, i, key, value, to->keys + place, to->values + place);
    }
}

void kv_cache_store(const struct kv_cache *cache, int layer, int sequence, int head, int position, const float *key, const float *value)
{
    const struct head to = head_at(cache, layer, sequence, head);
    const int panel = position / ATTENTION_PANEL, inside = position % ATTENTION_PANEL;
    if (cache->slots == 0) {
        const size_t place = (size_t)panel * cache->panel_bytes;
        attention_store(cache->format.type, cache->head_dim, inside, key, value, to.keys + place, to.values + place);
        return;
    }
    if (inside == 0 && panel >= cache->slots)
        settle(cache, &to, panel - cache->slots);
    const size_t slot = (size_t)(panel % cache->slots) * cache->recent_bytes;
    attention_store(KV_F32, cache->head_dim, inside, key, value, to.recent_keys + slot, to.recent_values + slot);
}

void kv_cache_copy(const struct kv_cache *cache, int from, int to, int positions)
{
    const int used = panels_of(positions), stored = used < cache->panels ? used : cache->panels;
    const size_t bytes = (size_t)stored * cache->panel_bytes, recent = 2 * (size_t)cache->slots * cache->recent_bytes;
    for (int layer = 0; layer < cache->layers; layer++)
        for (int head = 0; head < cache->heads; head++) {
            const struct head source = head_at(cache, layer, from, head), target = head_at(cache, layer, to, head);
            memcpy(target.keys, source.keys, bytes);
            memcpy(target.values, source.values, bytes);
            memcpy(target.recent_keys, source.recent_keys, recent); // keys and values lie together
        }
}

// ---------------------------------------------------------------------------------------------------------------------

// Collects those of a list that were asked for.
struct list {
    int count, skip, room;
    struct kv_piece *pieces;
};

static void add(struct list *list, struct kv_piece piece, int cut)
{
    const int end = piece.end;
    for (int begin = piece.begin; begin < end; begin = piece.end) {
        piece.begin = begin;
        piece.end = cut > 0 && begin + cut < end ? begin + cut : end;
        const int place = list->count++ - list->skip;
        if (place >= 0 && place < list->room)
            list->pieces[place] = piece;
    }
}

int kv_cache_pieces(const struct kv_cache *cache, int layer, int sequence, int head, int position, int rows, int first, int cut, int skip,
                    int room, struct kv_piece *pieces)
{
    const struct head from = head_at(cache, layer, sequence, head);
    const int begin = first / ATTENTION_PANEL * ATTENTION_PANEL, panel = position / ATTENTION_PANEL;
    struct list list = { .skip = skip, .room = room, .pieces = pieces };
    const bool windowed = cache->slots > 0;
    const int settled = windowed ? (panel + 1 - cache->slots) * ATTENTION_PANEL : position + rows; // before what the ring holds
    add(&list, (struct kv_piece){ cache->format.type, from.keys, from.values, begin, settled, position }, cut);
    if (!windowed)
        return list.count;
    // The ring holds the panels panel − slots + 1 … panel. Those in the slots behind the newest are older than those before it. Positions
    // are counted from a panel's place in the ring, so the first that may be seen moves along.
    const int slot = panel % cache->slots, oldest = panel + 1 - cache->slots;
    if (oldest >= 0) { // slot + 1 … slots − 1 hold oldest …
        const int skipped = begin / ATTENTION_PANEL > oldest ? begin / ATTENTION_PANEL - oldest : 0;
        add(&list, (struct kv_piece){ KV_F32, from.recent_keys, from.recent_values, (slot + 1 + skipped) * ATTENTION_PANEL,
                                      cache->slots * ATTENTION_PANEL, cache->slots * ATTENTION_PANEL },
            cut);
    }
    const int newest_begin = panel - slot, skipped = begin / ATTENTION_PANEL > newest_begin ? begin / ATTENTION_PANEL - newest_begin : 0;
    const int inside = position % ATTENTION_PANEL;
    add(&list, (struct kv_piece){ KV_F32, from.recent_keys, from.recent_values, skipped * ATTENTION_PANEL,
                                  slot * ATTENTION_PANEL + inside + rows, slot * ATTENTION_PANEL + inside },
        cut);
    return list.count;
}

int kv_cache_most_pieces(const struct kv_cache *cache, int cut, int limit)
{
    const int stored = cut > 0 ? (cache->panels * ATTENTION_PANEL + cut - 1) / cut : 1;
    const int recent = cut > 0 ? (cache->slots * ATTENTION_PANEL + cut - 1) / cut + 1 : 2;
    return (stored < limit ? stored : limit) + (cache->slots > 0 ? recent : 0);
}
