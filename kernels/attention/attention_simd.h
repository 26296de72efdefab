// SPDX-License-Identifier: MIT
// The body of the vector kernels of attention. Before it come vector_avx2.h or vector_avx512.h, and attention_float.h or
// attention_integer.h, which include it and say how a cache's numbers are multiplied.
//
// A query line is one head of one row. Up to LINES of them go over the cache together, in blocks of BLOCK positions, so that a block is
// read from memory once and from then on lies in the caches near the core; in a block, TILE lines at a time have their scores, weights and
// sums made, in registers: TILE × COLUMNS accumulators, of positions for the scores, of head dimensions for the sums. Decode, with as
// many lines as heads share the cache, is bound by reading it once; prefill by the multiplications, to which the exponentials (about
// 12 instructions for each 2·head_dim/VEC multiplications) come.
#ifndef LLMSWEEP_ATTENTION_SIMD_H
#define LLMSWEEP_ATTENTION_SIMD_H

// A score that weighs nothing beside any other, and 2^it, unlike that of −∞ − ∞, is a number.
#define HIDDEN -1e30f

// cap·tanh(score/cap), where tanh x = 1 − 2/(1 + e^2x).
ALWAYS void cap_scores(float cap, int positions, float scores[BLOCK])
{
    const vec limit = vec_set(cap * 1.44269504f), inverse = vec_set(2 / (cap * 1.44269504f)), one = vec_set(1);
    for (int j = 0; j < positions; j += VEC) {
        const vec above = vec_add(one, vec_exp(vec_mul(vec_load(scores + j), inverse)));
        vec_store(scores + j, vec_mul(limit, vec_sub(one, vec_div(vec_set(2), above))));
    }
}

// Turns a line's scores of a block, of which it sees the positions hidden … visible − 1, into weights, and returns by what its sums so far shrink.
ALWAYS float weigh(struct line *line, int hidden, int visible, int positions, float scores[BLOCK])
{
    for (int i = 0; i < hidden && i < positions; i++)
        scores[i] = HIDDEN;
    const int parts = (positions + ATTENTION_PANEL - 1) / ATTENTION_PANEL * (ATTENTION_PANEL / VEC);
    vec most = vec_set(-INFINITY);
    for (int j = 0; j < parts; j++)
        most = vec_max(most, vec_load_some(scores + j * VEC, visible - j * VEC, vec_set(-INFINITY)));
    const float before = line->largest, block = vec_largest(most), largest = block > before ? block : before;
    const vec base = vec_set(largest);
    vec sum = vec_zero();
    for (int j = 0; j < parts; j++) {
        const vec weight = vec_keep(vec_exp2(vec_sub(vec_load(scores + j * VEC), base)), visible - j * VEC);
        vec_store(scores + j * VEC, weight);
        sum = vec_add(sum, weight);
    }
    const float shrink = largest == before ? 1.0f : before == -INFINITY ? 0.0f : exp2f(before - largest);
    line->sum = line->sum * shrink + vec_sum(sum);
    line->largest = largest;
    return shrink;
}

// What a thread fetches in decode while it goes over keys and over values.
struct streams {
    struct stream keys, values;
};

// streaming: panel after panel, which is how memory is read fastest; otherwise SPAN positions and BLOCK values at once, which computes faster.
ALWAYS void attend_tile(int lines, bool streaming, const struct attention_call *call, const struct queries *queries, int first, struct line *line,
                        int begin, int positions, const struct streams *streams)
{
    const size_t panel = attention_panel_bytes(call->kv, call->head_dim), offset = (size_t)(begin / ATTENTION_PANEL) * panel;
    float scores[TILE][BLOCK], shrink[TILE];
    struct weights weights;
    struct sums between;
    const uint8_t *keys = (const uint8_t *)call->keys + offset, *values = (const uint8_t *)call->values + offset;
    const int part = streaming ? ATTENTION_PANEL : SPAN;
    for (int at = 0; at < positions; at += part) {
        const size_t here = (size_t)(at / ATTENTION_PANEL) * panel;
        const uint8_t *next = streaming ? panel_ahead(&streams->keys, keys + here) : values + here;
        score_span(lines, part / VEC, call->head_dim, queries, first, keys, panel, at, positions, streaming, next, scores);
        if (streaming) { // what is needed of all values before the first of them
            fetch_scales(next, call->head_dim);
            fetch_scales(values + here, call->head_dim);
        }
    }
    for (int i = 0; i < lines && call->cap > 0; i++)
        cap_scores(call->cap, positions, scores[i]);
    for (int i = 0; i < lines; i++)
        shrink[i] = weigh(&line[i], line[i].first - begin, line[i].last + 1 - begin, positions, scores[i]);
    prepare_weights(lines, call->head_dim, line, begin, values, panel, positions, scores, &weights);
    begin_values(lines, call->head_dim, &weights, shrink, &between, line);
    const bool last = begin + BLOCK >= call->end;
    const uint8_t *next = !last ? keys + (size_t)(BLOCK / ATTENTION_PANEL) * panel : call->soon_keys != NULL ? call->soon_keys : keys;
    for (int at = 0; at < positions; at += streaming ? ATTENTION_PANEL : BLOCK) {
        const int left = positions - at, end = streaming && left > ATTENTION_PANEL ? at + ATTENTION_PANEL : positions;
        const uint8_t *here = values + (size_t)(at / ATTENTION_PANEL) * panel;
        const size_t ahead = streaming ? (uintptr_t)panel_ahead(&streams->values, here) - (uintptr_t)here : 0;
        int column = 0;
        for (; column + SPAN <= call->head_dim; column += SPAN)
            add_values(lines, COLUMNS, call->head_dim, values, panel, at, end, column, streaming, ahead, next, scores, &weights, &between, line);
        for (; column < call->head_dim; column += VEC)
            add_values(lines, 1, call->head_dim, values, panel, at, end, column, streaming, ahead, next, scores, &weights, &between, line);
    }
    end_values(lines, call->head_dim, &weights, shrink, &between, line);
}

ALWAYS void attend_blocks(const struct attention_call *call, bool streaming, const struct queries *queries, struct line *line, int count, int first)
{
    struct streams streams = { .keys = { .distance = 0 } };
    if (streaming) {
        const size_t panel = attention_panel_bytes(call->kv, call->head_dim), offset = (size_t)(first / ATTENTION_PANEL) * panel;
        const size_t bytes = (size_t)((line[0].last + ATTENTION_PANEL) / ATTENTION_PANEL) * panel - offset;
        streams.keys = stream_of((const uint8_t *)call->keys + offset, bytes, panel, call->soon_keys);
        streams.values = stream_of((const uint8_t *)call->values + offset, bytes, panel, call->soon_values);
    }
    const int tiles = (count + TILE - 1) / TILE;
    for (int begin = first; begin <= line[count - 1].last; begin += BLOCK)
        for (int tile = 0; tile < tiles; tile++) {
            const int from = count * tile / tiles, lines = count * (tile + 1) / tiles - from;
            // lines are in rising order of what they see: nothing that none of the tile sees is computed
            const int seen = line[from + lines - 1].last + 1 - begin, positions = seen < BLOCK ? seen : BLOCK;
            if (positions <= 0)
                continue;
            struct line *here = line + from;
            switch (lines) { // a constant count of lines keeps the accumulators in registers
            case 1: attend_tile(1, streaming, call, queries, from, here, begin, positions, &streams); break;
            case 2: attend_tile(2, streaming, call, queries, from, here, begin, positions, &streams); break;
            case 3: attend_tile(3, streaming, call, queries, from, here, begin, positions, &streams); break;
#if ATTENTION_TILE > 4
            case 4: attend_tile(4, streaming, call, queries, from, here, begin, positions, &streams); break;
            case 5: attend_tile(5, streaming, call, queries, from, here, begin, positions, &streams); break;
#endif
            default: attend_tile(TILE, streaming, call, queries, from, here, begin, positions, &streams); break;
            }
        }
}

static void attend_lines(const struct attention_call *call, int first, int count)
{
    struct line line[LINES];
    struct queries queries;
    const int head_dim = call->head_dim;
    for (int i = 0; i < count; i++) {
        const int row = (first + i) / call->q_heads, head = (first + i) % call->q_heads;
        const int seen = call->first_position + row + 1;
        const size_t in_row = (size_t)head * (size_t)head_dim;
        line[i] = (struct line){ .out = call->partial != NULL
                                            ? call->partial + (size_t)(first + i) * attention_partial_floats(head_dim)
                                            : call->out + (size_t)row * call->out_stride + in_row,
                                 .first = call->window > 0 ? seen - call->window : 0,
                                 .last = (seen < call->end ? seen : call->end) - 1,
                                 .largest = -INFINITY };
        prepare_query(call->q + (size_t)row * call->q_stride + in_row, head_dim, call->scale * 1.44269504f, &queries, i);
        for (int d = 0; d < head_dim; d += VEC)
            vec_store(line[i].out + d, vec_zero());
    }
    // blocks of a prompt lie the same way whichever lines look at them
    const int unit = call->prefill ? BLOCK : ATTENTION_PANEL;
    const int hidden = line[0].first > call->begin ? (line[0].first - call->begin) / unit * unit : 0;
    if (call->rows == 1 && count <= STREAM_LINES)
        attend_blocks(call, true, &queries, line, count, call->begin + hidden);
    else
        attend_blocks(call, false, &queries, line, count, call->begin + hidden);
    for (int i = 0; i < count; i++) {
        if (call->partial != NULL) {
            line[i].out[head_dim] = line[i].largest;
            line[i].out[head_dim + 1] = line[i].sum;
            continue;
        }
        const vec factor = vec_set(1.0f / line[i].sum);
        for (int d = 0; d < head_dim; d += VEC)
            vec_store(line[i].out + d, vec_mul(vec_load(line[i].out + d), factor));
    }
}

static void attention(const struct attention_call *call)
{
    assert(call->head_dim % 16 == 0 && call->head_dim <= ATTENTION_MAX_HEAD_DIM && call->begin % ATTENTION_PANEL == 0);
    const int total = call->rows * call->q_heads;
    for (int first = 0; first < total; first += LINES)
        attend_lines(call, first, total - first < LINES ? total - first : LINES);
}

#endif
