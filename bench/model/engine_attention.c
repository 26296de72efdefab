// SPDX-License-Identifier: MIT
// From queries, keys and values to what attention says, through the cache. A thread either owns heads and needs nobody for them, or takes
// items, where heads cannot be shared out evenly; in decode an item is a piece of a sequence's cache, so that one long sequence with
// few heads keeps all threads busy. The length of pieces depends on the position alone, so that results do not depend on layout and batch.
#include "bench/model/engine_internal.h"

enum { LEAST_ROWS = 32, WHOLE_PIECES = 3 };

static int group_of(const struct engine *engine)
{
    return engine->variant->heads / engine->variant->kv_heads;
}

// Floats of the partial results of one row's query heads that share a key/value head.
static size_t partial_floats(const struct engine *engine)
{
    return (size_t)group_of(engine) * attention_partial_floats(engine->config->head_dim);
}

size_t engine_thread_partials(const struct engine *engine)
{
    return WHOLE_PIECES * ATTENTION_PANEL * partial_floats(engine);
}

// The most pieces of one row's key/value head in decode, whatever its position.
static int most_pieces(const struct engine *engine)
{
    return kv_cache_most_pieces(&engine->cache, ATTENTION_LEAST_PIECE, ATTENTION_MOST_PIECES);
}

size_t engine_shared_partials(const struct engine *engine)
{
    return (size_t)engine->max_local * (size_t)engine->variant->kv_heads * (size_t)most_pieces(engine) * partial_floats(engine);
}

// Bias, norm and rotation of one key/value head of one row and of the query heads that share it; then it is in the cache.
static void store_row(struct engine *engine, const struct unit *unit, int layer, int row, int head)
{
    const size_t size = (size_t)engine->config->head_dim, group = (size_t)group_of(engine), first = (size_t)head * size;
    const int position = unit_position(unit, row);
    const bool windowed = engine->window_cosines != NULL && model_layer_windowed(engine->config, engine->variant->layers.begin + layer);
    const size_t angles = (size_t)position * (size / 2);
    float *k = engine->k + (size_t)row * (size_t)engine->variant->kv_heads * size + first;
    float *v = engine->v + (size_t)row * (size_t)engine->variant->kv_heads * size + first;
    float *q = engine->q + (size_t)row * (size_t)engine->variant->heads * size + first * group;
    engine_finish_heads(engine, layer, (struct layout_range){ head, head + 1 }, q, k, v);
    struct rope_call call = { .x = k, .cosines = (windowed ? engine->window_cosines : engine->cosines) + angles,
                              .sines = (windowed ? engine->window_sines : engine->sines) + angles, .heads = 1,
                              .head_dim = engine->config->head_dim, .interleaved = engine->config->rope_style == ROPE_INTERLEAVED };
    engine->rope(&call);
    call.x = q;
    call.heads = (int)group;
    engine->rope(&call);
    kv_cache_store(&engine->cache, layer, unit->first + row / unit->length, head, position, k, v);
}

// A call for `rows` rows from `row` on, all of one sequence, over one key/value head; the caller adds a piece of the cache.
static struct attention_call call_for(const struct engine *engine, const struct unit *unit, int layer, int row, int rows, int head)
{
    const int size = engine->config->head_dim;
    const size_t width = (size_t)engine->variant->heads * (size_t)size;
    const size_t offset = (size_t)row * width + (size_t)(head * group_of(engine)) * (size_t)size;
    const bool windowed = model_layer_windowed(engine->config, engine->variant->layers.begin + layer);
    return (struct attention_call){ .q = engine->q + offset, .q_stride = width, .out = engine->attended + offset, .out_stride = width,
                                    .rows = rows, .q_heads = group_of(engine), .head_dim = size, .scale = engine->attention_scale,
                                    .window = windowed ? engine->config->window : 0, .cap = engine->config->attention_cap,
                                    .prefill = unit->ahead == NULL };
}

static void attend_piece(const struct engine *engine, struct attention_call call, const struct kv_piece *piece, float *partial)
{
    call.kv = piece->kv;
    call.keys = piece->keys;
    call.values = piece->values;
    call.begin = piece->begin;
    call.end = piece->end;
    call.first_position = piece->first_position;
    call.partial = partial;
    (piece->kv == engine->cache.format.type ? engine->attention : engine->attention_recent)(&call);
}

static int first_seen(const struct attention_call *call, int position)
{
    return call->window > 0 && position >= call->window ? position - call->window + 1 : 0;
}

// Some rows of one sequence, over one key/value head, and the parts of the cache that they look at.
struct look {
    struct attention_call call;
    int count;
    struct kv_piece pieces[WHOLE_PIECES];
};

static void look_up(const struct engine *engine, const struct unit *unit, int layer, int row, int rows, int head, struct look *look)
{
    const int position = unit_position(unit, row);
    look->call = call_for(engine, unit, layer, row, rows, head);
    look->count = kv_cache_pieces(&engine->cache, layer, unit->first + row / unit->length, head, position, rows,
                                  first_seen(&look->call, position), 0, 0, WHOLE_PIECES, look->pieces);
}

// `next`: what this thread goes over next.
static void announce(struct attention_call *call, const struct kv_piece *next, int head_dim)
{
    const size_t first = (size_t)(next->begin / ATTENTION_PANEL) * attention_panel_bytes(next->kv, head_dim);
    call->soon_keys = (const uint8_t *)next->keys + first;
    call->soon_values = (const uint8_t *)next->values + first;
}

// `next`: what this thread looks at next, if it is in the cache already, or NULL.
static void attend(struct engine *engine, const struct team_member *self, const struct look *look, const struct look *next)
{
    const int size = engine->config->head_dim, count = look->count, lines = look->call.rows * look->call.q_heads;
    const size_t each = attention_partial_floats(size), stride = (size_t)lines * each;
    float *partial = engine->spaces[self->thread].partial;
    for (int i = 0; i < count; i++) {
        struct attention_call call = look->call;
        const struct kv_piece *soon = i + 1 < count ? &look->pieces[i + 1] : next != NULL && next->count > 0 ? next->pieces : NULL;
        if (soon != NULL)
            announce(&call, soon, size);
        attend_piece(engine, call, &look->pieces[i], count > 1 ? partial + (size_t)i * stride : NULL);
    }
    for (int line = 0; line < lines && count > 1; line++)
        attention_combine(partial + (size_t)line * each, count, stride, size,
                          look->call.out + (size_t)(line / look->call.q_heads) * look->call.out_stride +
                              (size_t)(line % look->call.q_heads * size));
}

// The end, in rows of a sequence, of the panel that row `begin` is in.
static int panel_end(const struct unit *unit, int sequence, int begin)
{
    const int end = begin + ATTENTION_PANEL - unit_position(unit, sequence * unit->length + begin) % ATTENTION_PANEL;
    return end < unit->length ? end : unit->length;
}

// One key/value head of one sequence, by one thread. A cache with a window forgets how its older positions were, so that a panel's queries are
// answered before the next panel comes.
static void attend_sequence(struct engine *engine, const struct team_member *self, const struct unit *unit, int layer, int sequence, int head)
{
    const bool by_panels = engine->cache.slots > 0;
    for (int begin = 0, end; begin < unit->length; begin = end) {
        struct look look;
        end = by_panels ? panel_end(unit, sequence, begin) : unit->length;
        for (int row = begin; row < end; row++)
            store_row(engine, unit, layer, sequence * unit->length + row, head);
        look_up(engine, unit, layer, sequence * unit->length + begin, end - begin, head, &look);
        attend(engine, self, &look, NULL);
    }
}

// Decode: one row a sequence. While one is attended to, what comes next is fetched.
static void attend_rows(struct engine *engine, const struct team_member *self, const struct unit *unit, int layer, struct layout_range heads)
{
    const int each = heads.end - heads.begin, count = unit->sequences * each;
    struct look looks[2];
    for (int item = 0; item < count; item++) {
        struct look *here = &looks[item % 2], *next = item + 1 < count ? &looks[(item + 1) % 2] : NULL;
        if (item == 0)
            look_up(engine, unit, layer, 0, 1, heads.begin, here);
        if (next != NULL)
            look_up(engine, unit, layer, (item + 1) / each, 1, heads.begin + (item + 1) % each, next);
        store_row(engine, unit, layer, item / each, heads.begin + item % each);
        attend(engine, self, here, next);
    }
}

void engine_attend_heads(struct engine *engine, const struct team_member *self, const struct unit *unit, int layer, struct layout_range heads)
{
    if (unit->length == 1) {
        attend_rows(engine, self, unit, layer, heads);
        return;
    }
    for (int sequence = 0; sequence < unit->sequences; sequence++)
        for (int head = heads.begin; head < heads.end; head++)
            attend_sequence(engine, self, unit, layer, sequence, head);
}

// A piece of one row's key/value head, of `count`; row = sequences: behind the last.
struct place {
    int row, head, which, count;
};

// Pieces of a row's position, `room` of them from `skip` on.
static int decode_pieces(const struct engine *engine, const struct unit *unit, int layer, int row, int head, int skip, int room,
                         struct kv_piece *pieces)
{
    const int position = unit_position(unit, row);
    const struct attention_call call = call_for(engine, unit, layer, row, 1, head);
    return kv_cache_pieces(&engine->cache, layer, unit->first + row, head, position, 1, first_seen(&call, position),
                           attention_piece(position + 1), skip, room, pieces);
}

static void to_row(const struct engine *engine, const struct unit *unit, int layer, int row, struct place *place)
{
    *place = (struct place){ .row = row, .count = row < unit->sequences ? decode_pieces(engine, unit, layer, row, 0, 0, 0, NULL) : 0 };
}

static void to_next(const struct engine *engine, const struct unit *unit, int layer, struct place *place)
{
    if (++place->which < place->count)
        return;
    place->which = 0;
    if (++place->head == engine->variant->kv_heads)
        to_row(engine, unit, layer, place->row + 1, place);
}

// Decode: the pieces of all sequences' and heads' caches, to each thread some that follow each other, then their joining.
static void attend_pieces(struct engine *engine, struct team_member *self, const struct unit *unit, int layer)
{
    const int heads = engine->variant->kv_heads, most = most_pieces(engine), size = engine->config->head_dim;
    const size_t each = attention_partial_floats(size), one = partial_floats(engine);
    struct place place = { 0 };
    struct kv_piece pieces[2];
    int total = 0;
    for (int row = 0; row < unit->sequences; row++)
        total += heads * decode_pieces(engine, unit, layer, row, 0, 0, 0, NULL);
    const int begin = (int)((int64_t)total * self->thread / self->threads), end = (int)((int64_t)total * (self->thread + 1) / self->threads);
    int skip = begin;
    for (to_row(engine, unit, layer, 0, &place); skip >= heads * place.count && place.row < unit->sequences;
         to_row(engine, unit, layer, place.row + 1, &place))
        skip -= heads * place.count;
    if (begin < end) {
        place.head = skip / place.count;
        place.which = skip % place.count;
        decode_pieces(engine, unit, layer, place.row, place.head, place.which, 1, &pieces[begin % 2]);
    }
    for (int item = begin; item < end; item++) {
        const int slot = (place.row * heads + place.head) * most + place.which;
        struct attention_call call = call_for(engine, unit, layer, place.row, 1, place.head);
        to_next(engine, unit, layer, &place);
        if (item + 1 < end) {
            struct kv_piece *next = &pieces[(item + 1) % 2];
            decode_pieces(engine, unit, layer, place.row, place.head, place.which, 1, next);
            announce(&call, next, size);
        }
        attend_piece(engine, call, &pieces[item % 2], engine->partials + (size_t)slot * one);
    }
    team_barrier(self);
    for (int item = self->thread; item < unit->sequences * heads; item += self->threads) {
        const int head = item % heads, row = item / heads;
        const struct attention_call call = call_for(engine, unit, layer, row, 1, head);
        const int count = decode_pieces(engine, unit, layer, row, head, 0, 0, NULL);
        for (int line = 0; line < call.q_heads; line++)
            attention_combine(engine->partials + (size_t)item * (size_t)most * one + (size_t)line * each, count, one, size,
                              call.out + (size_t)(line * size));
    }
}

void engine_attend_items(struct engine *engine, struct team_member *self, const struct unit *unit, int layer)
{
    const int heads = engine->variant->kv_heads;
    if (engine->cache.slots > 0 && unit->length > 1) {
        for (int item = self->thread; item < unit->sequences * heads; item += self->threads)
            attend_sequence(engine, self, unit, layer, item / heads, item % heads);
        team_barrier(self);
        return;
    }
    // whole panels, whose positions may share bytes
    int item = 0;
    for (int sequence = 0; sequence < unit->sequences; sequence++)
        for (int begin = 0, end; begin < unit->length; begin = end) {
            end = panel_end(unit, sequence, begin);
            for (int head = 0; head < heads; head++, item++)
                for (int row = begin; row < end && item % self->threads == self->thread; row++)
                    store_row(engine, unit, layer, sequence * unit->length + row, head);
        }
    team_barrier(self);
    if (unit->ahead != NULL) { // decode
        attend_pieces(engine, self, unit, layer);
        team_barrier(self);
        return;
    }
    // of as many rows as leave each thread two items: what prepares keys and values does so once for all rows of a call
    const int fair = (2 * self->threads + unit->sequences * heads - 1) / (unit->sequences * heads);
    const int rows = ((unit->length + fair - 1) / fair + LEAST_ROWS - 1) / LEAST_ROWS * LEAST_ROWS;
    const int blocks = (unit->length + rows - 1) / rows;
    for (item = self->thread; item < unit->sequences * blocks * heads; item += self->threads) {
        const int head = item % heads, block = item / heads % blocks, sequence = item / heads / blocks;
        const int begin = block * rows, left = unit->length - begin;
        struct look look;
        look_up(engine, unit, layer, sequence * unit->length + begin, left < rows ? left : rows, head, &look);
        attend(engine, self, &look, NULL);
    }
    team_barrier(self);
}
