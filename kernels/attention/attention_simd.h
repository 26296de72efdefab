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

ALWAYS void attend_tile(int lines, const struct attention_call *call, const struct queries *queries, int first, struct line *line, int begin,
                        int positions)
{
    const size_t panel = attention_panel_bytes(call->kv, call->head_dim), offset = (size_t)(begin / ATTENTION_PANEL) * panel;
    float scores[TILE][BLOCK], shrink[TILE];
    struct weights weights;
    const uint8_t *keys = (const uint8_t *)call->keys + offset, *values = (const uint8_t *)call->values + offset;
    for (int at = 0; at < positions; at += SPAN)
        score_span(lines, call->head_dim, queries, first, keys, panel, at, positions, values, scores);
    for (int i = 0; i < lines && call->cap > 0; i++)
        cap_scores(call->cap, positions, scores[i]);
    for (int i = 0; i < lines; i++)
        shrink[i] = weigh(&line[i], line[i].first - begin, line[i].last + 1 - begin, positions, scores[i]);
    const bool last = begin + BLOCK >= call->end;
    const uint8_t *next = !last ? keys + (size_t)(BLOCK / ATTENTION_PANEL) * panel : call->soon != NULL ? call->soon : keys;
    prepare_weights(lines, call->head_dim, values, panel, positions, scores, &weights);
    int column = 0;
    for (; column + SPAN <= call->head_dim; column += SPAN)
        add_values(lines, COLUMNS, call->head_dim, values, panel, positions, column, next, scores, &weights, shrink, line);
    for (; column < call->head_dim; column += VEC)
        add_values(lines, 1, call->head_dim, values, panel, positions, column, next, scores, &weights, shrink, line);
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
    const int tiles = (count + TILE - 1) / TILE;
    const int hidden = line[0].first > call->begin ? (line[0].first - call->begin) / ATTENTION_PANEL * ATTENTION_PANEL : 0;
    for (int begin = call->begin + hidden; begin <= line[count - 1].last; begin += BLOCK)
        for (int tile = 0; tile < tiles; tile++) {
            const int from = count * tile / tiles, lines = count * (tile + 1) / tiles - from;
            // lines are in rising order of what they see: nothing that none of the tile sees is computed
            const int seen = line[from + lines - 1].last + 1 - begin, positions = seen < BLOCK ? seen : BLOCK;
            if (positions <= 0)
                continue;
            switch (lines) { // a constant count of lines keeps the accumulators in registers
            case 1: attend_tile(1, call, &queries, from, line + from, begin, positions); break;
            case 2: attend_tile(2, call, &queries, from, line + from, begin, positions); break;
            case 3: attend_tile(3, call, &queries, from, line + from, begin, positions); break;
#if ATTENTION_TILE > 4
            case 4: attend_tile(4, call, &queries, from, line + from, begin, positions); break;
            case 5: attend_tile(5, call, &queries, from, line + from, begin, positions); break;
#endif
            default: attend_tile(TILE, call, &queries, from, line + from, begin, positions); break;
            }
        }
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
