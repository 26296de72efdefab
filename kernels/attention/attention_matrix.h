// SPDX-License-Identifier: MIT
// The body of the AMX kernels of attention; CACHE_BITS says whose. Queries and weights are rounded to bf16, and so are codes times their
// scales; scores, weights and all sums are f32.
#ifndef LLMSWEEP_ATTENTION_MATRIX_H
#define LLMSWEEP_ATTENTION_MATRIX_H

#include "kernels/attention/attention_matrix_panels.h"
#include "kernels/linear/matrix_tiles.h"
#include "kernels/vector_avx512.h"
#include "kernels/vector_exp.h"

enum {
    UNIT_LINES = 2 * TILE_LINES,
    ODD = UNIT_LINES * LANES,           // floats from scores of even positions to those of odd ones
    LINES_AT_ONCE = 2,
    UNIT_SCORES = UNIT_LINES * PATCH,
    MOST_LINES = 1024,                  // of a pass over the cache
    MOST_NUMBERS = 1024 * 128,          // of its lines' head dimensions
};

// A line's weights may exceed what its base makes of the largest score so far by this before the base is raised.
#define TOO_LARGE 0x1p20f

// A unit's lines whose scores of a patch become weights, some at a time, while tiles multiply.
struct stream {
    const float *scores; // (even and odd positions, UNIT_LINES, 16)
    uint8_t *weights;    // (UNIT_LINES, 32 positions)
    float *sums;         // (UNIT_LINES, 16)
    int at;              // line
};

// UNIT_LINES lines on their way through a block.
struct unit {
    int first;        // line
    int patches;      // of the block that any line of it sees
    float *scores;    // (3, even and odd positions, UNIT_LINES, 16): of a patch and the next by turns, and of what interrupts
    float *sums;      // (UNIT_LINES, 16): what the block adds
    uint8_t *weights; // (PATCHES, UNIT_LINES, 32 positions)
};

// The positions that a line sees: [first, end).
struct sight {
    int first, end;
};

struct pass {
    const struct attention_call *call;
    int first, lines, padded; // padded: whole units
    int steps, tiles;         // of 32 head dimensions, of 16
    uint8_t *queries;  // (tiles of lines, steps, 16, 32)
    float *out;        // (units, tiles of dimensions, UNIT_LINES, 16), of those that have
    bool *begun;       // (units): something there
    float *minus_base; // (lines, 16): a line's 16 are the same
    float *sums;       // (lines, 16)
    struct sight *sight; // (lines); those behind the last see nothing
    bool *fresh;       // (lines): has no base yet
    int fresh_lines;
    uint8_t *keys, *values;
    int begin;         // of the block
};

// A line's 16 floats of the first tile of head dimensions; those of the next lie 2·TILE_FLOATS further.
ALWAYS float *line_out(const struct pass *pass, int line)
{
    return pass->out + (size_t)(line / UNIT_LINES * pass->tiles) * (2 * TILE_FLOATS) + line % UNIT_LINES * LANES;
}

// Between what tiles write and vectors read, and the other way round.
ALWAYS void fence(void)
{
    __asm__ volatile("" : : : "memory");
}

// 2^x, to 1e-4. −∞ gives 0.
ALWAYS __m512 weight_of(__m512 x)
{
    const __m512 r = _mm512_reduce_ps(x, 9); // x − ⌊x⌋
    __m512 p = _mm512_set1_ps(0.0780245226f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.226067155f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.695833541f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.99992522f));
    return _mm512_scalef_ps(p, x);
}

ALWAYS void advance(struct stream *stream, int end)
{
    fence();
    for (; stream->at < end && stream->at < UNIT_LINES; stream->at += LINES_AT_ONCE) {
#pragma GCC unroll 8
        for (int i = 0; i < LINES_AT_ONCE; i++) {
            const float *scores = stream->scores + i * LANES;
            const __m512 even = weight_of(_mm512_load_ps(scores)), odd = weight_of(_mm512_load_ps(scores + ODD));
            float *sum = stream->sums + i * LANES;
            _mm512_store_si512(stream->weights + i * 64, round_pair(even, odd));
            _mm512_store_ps(sum, _mm512_add_ps(_mm512_load_ps(sum), _mm512_add_ps(even, odd)));
        }
        stream->scores += LINES_AT_ONCE * LANES;
        stream->sums += LINES_AT_ONCE * LANES;
        stream->weights += LINES_AT_ONCE * 64;
    }
    fence();
}

static struct stream stream_of(const struct unit *unit, int patch)
{
    return (struct stream){ unit->scores + patch % 2 * UNIT_SCORES, unit->weights + patch * (2 * TILE_BYTES), unit->sums, 0 };
}

static struct stream nothing(void)
{
    return (struct stream){ .at = UNIT_LINES };
}

ALWAYS void zero_sums(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

// scores = queries·keys − base of a patch, while `stream` goes on.
ALWAYS void score(const struct pass *pass, const struct unit *unit, int patch, struct stream *stream, bool based, float *scores)
{
    const uint8_t *left = pass->queries + (size_t)(unit->first / TILE_LINES * pass->steps) * TILE_BYTES;
    const uint8_t *right = left + (size_t)pass->steps * TILE_BYTES;
    const uint8_t *keys = pass->keys + (size_t)(patch * pass->steps) * (2 * TILE_BYTES);
    const float *base = pass->minus_base + unit->first * LANES;
    const int each = (UNIT_LINES + pass->steps - 1) / pass->steps; // lines a step
    int end = 0;
    fence();
    if (based) {
        _tile_loadd(0, base, 64);
        _tile_loadd(1, base, 64);
        _tile_loadd(2, base + TILE_FLOATS, 64);
        _tile_loadd(3, base + TILE_FLOATS, 64);
    } else {
        zero_sums();
    }
    // vectors after each product: in larger portions, they and loads of tiles hardly run beside each other
    for (int step = 0; step < pass->steps; step++, end += each) {
        _tile_loadd(4, left, 64);
        _tile_stream_loadd(6, keys, 64);
        _tile_dpbf16ps(0, 4, 6);
        advance(stream, end + each / 4);
        _tile_stream_loadd(7, keys + TILE_BYTES, 64);
        _tile_dpbf16ps(1, 4, 7);
        advance(stream, end + each / 2);
        _tile_loadd(5, right, 64);
        _tile_dpbf16ps(2, 5, 6);
        advance(stream, end + each * 3 / 4);
        _tile_dpbf16ps(3, 5, 7);
        advance(stream, end + each);
        left += TILE_BYTES;
        right += TILE_BYTES;
        keys += 2 * TILE_BYTES;
    }
    _tile_stored(0, scores, 64);
    _tile_stored(1, scores + ODD, 64);
    _tile_stored(2, scores + TILE_FLOATS, 64);
    _tile_stored(3, scores + ODD + TILE_FLOATS, 64);
    fence();
}

// out += weights·values of two tiles of head dimensions, or the last one alone.
static void add_values(const struct pass *pass, const struct unit *unit, int tile)
{
    const int beside = tile + 1 < pass->tiles ? 1 : 0;
    float *out = pass->out + (size_t)(unit->first / TILE_LINES * pass->tiles + 2 * tile) * TILE_FLOATS;
    float *more_out = out + beside * 2 * TILE_FLOATS;
    const uint8_t *weights = unit->weights;
    const uint8_t *values = pass->values + (size_t)tile * (PATCHES * TILE_BYTES), *more = values + (size_t)beside * (PATCHES * TILE_BYTES);
    fence();
    if (pass->begun[unit->first / UNIT_LINES]) {
        _tile_stream_loadd(0, out, 64);
        _tile_stream_loadd(1, more_out, 64);
        _tile_stream_loadd(2, out + TILE_FLOATS, 64);
        _tile_stream_loadd(3, more_out + TILE_FLOATS, 64);
    } else {
        zero_sums();
    }
    for (int patch = 0; patch < unit->patches; patch++) {
        _tile_loadd(4, weights, 64);
        _tile_stream_loadd(6, values, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_stream_loadd(7, more, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, weights + TILE_BYTES, 64);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        weights += 2 * TILE_BYTES;
        values += TILE_BYTES;
        more += TILE_BYTES;
    }
    // a tile alone was computed twice, to the same sums
    _tile_stored(0, out, 64);
    _tile_stored(1, more_out, 64);
    _tile_stored(2, out + TILE_FLOATS, 64);
    _tile_stored(3, more_out + TILE_FLOATS, 64);
    fence();
}

// Which lanes of the even (parity 0) or odd positions of a patch that begins at `begin` are in [first, end).
ALWAYS __mmask16 visible_lanes(int begin, int first, int end, int parity)
{
    const int from = (first - begin + 1 - parity) / 2, to = (end - begin + 1 - parity) / 2;
    return (__mmask16)(_bzhi_u32(0xffff, first <= begin ? 0 : from < LANES ? (unsigned)from : LANES) ^
                       _bzhi_u32(0xffff, end <= begin ? 0 : to < LANES ? (unsigned)to : LANES));
}

// cap·tanh(score/cap) in units of log₂ e, less the base: tanh x = 1 − 2/(1 + e^2x).
ALWAYS __m512 capped(__m512 score, float cap, __m512 minus_base)
{
    const __m512 one = _mm512_set1_ps(1), power = vec_exp(_mm512_mul_ps(score, _mm512_set1_ps(2 / cap)));
    const __m512 tanh = _mm512_sub_ps(one, _mm512_div_ps(_mm512_set1_ps(2), _mm512_add_ps(one, power)));
    return _mm512_fmadd_ps(tanh, _mm512_set1_ps(cap * 1.44269504f), minus_base);
}

// Caps the scores of a patch, where the model does, and makes −∞ of those that a line does not see.
static void finish_scores(const struct pass *pass, const struct unit *unit, int patch, bool based, float *scores)
{
    const int begin = pass->begin + patch * PATCH;
    const struct sight *sight = pass->sight + unit->first;
    if (pass->call->cap <= 0 && unit->first + UNIT_LINES <= pass->lines && sight[0].end >= begin + PATCH &&
        sight[UNIT_LINES - 1].first <= begin)
        return;
    for (int line = 0; line < UNIT_LINES; line++) {
        const __m512 minus_base = based ? _mm512_load_ps(pass->minus_base + (unit->first + line) * LANES) : _mm512_setzero_ps();
        for (int parity = 0; parity < 2; parity++) {
            float *at = scores + parity * ODD + line * LANES;
            __m512 x = _mm512_load_ps(at);
            if (pass->call->cap > 0)
                x = capped(x, pass->call->cap, minus_base);
            const __mmask16 visible = visible_lanes(begin, sight[line].first, sight[line].end, parity);
            _mm512_store_ps(at, _mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), visible, x));
        }
    }
}

static float *scores_aside(const struct unit *unit)
{
    return unit->scores + 2 * UNIT_SCORES;
}

// The largest score of some lines in a patch, by which their bases rise, and what they gathered shrinks.
static void raise_bases(struct pass *pass, const struct unit *unit, int patch, uint32_t which)
{
    struct stream none = nothing();
    float *scores = scores_aside(unit);
    score(pass, unit, patch, &none, false, scores);
    finish_scores(pass, unit, patch, false, scores);
    for (int i = 0; i < UNIT_LINES; i++, scores += LANES) {
        const int line = unit->first + i;
        if (!(which >> i & 1))
            continue;
        const float most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_load_ps(scores), _mm512_load_ps(scores + ODD)));
        float *minus_base = pass->minus_base + line * LANES, *sums = pass->sums + line * LANES;
        const float before = -*minus_base;
        if (!pass->fresh[line] && !(most > before))
            continue;
        if (!pass->fresh[line]) {
            const __m512 shrink = _mm512_set1_ps(exp2f(before - most));
            float *out = line_out(pass, line);
            for (int tile = 0; tile < pass->tiles && pass->begun[line / UNIT_LINES]; tile++, out += 2 * TILE_FLOATS)
                _mm512_store_ps(out, _mm512_mul_ps(_mm512_load_ps(out), shrink));
            _mm512_store_ps(sums, _mm512_mul_ps(_mm512_load_ps(sums), shrink));
        }
        pass->fresh_lines -= pass->fresh[line];
        pass->fresh[line] = false;
        _mm512_store_ps(minus_base, _mm512_set1_ps(-most));
    }
}

// Gives lines that see something for the first time the largest score of the first patch in which they do.
static void first_bases(struct pass *pass, const struct unit *unit)
{
    for (int patch = 0; patch < unit->patches && pass->fresh_lines > 0; patch++) {
        const int begin = pass->begin + patch * PATCH;
        uint32_t which = 0;
        for (int i = 0; i < UNIT_LINES; i++) {
            const struct sight *sight = &pass->sight[unit->first + i];
            if (pass->fresh[unit->first + i] && sight->end > begin && sight->first < begin + PATCH)
                which |= 1u << i;
        }
        if (which != 0)
            raise_bases(pass, unit, patch, which);
    }
}

// Keys are multiplied while the scores of the patch before become weights.
static void weigh(const struct pass *pass, const struct unit *unit)
{
    struct stream stream = nothing();
    memset(unit->sums, 0, UNIT_LINES * LANES * sizeof(float));
    for (int patch = 0; patch < unit->patches; patch++) {
        float *scores = unit->scores + patch % 2 * UNIT_SCORES;
        score(pass, unit, patch, &stream, pass->call->cap <= 0, scores);
        finish_scores(pass, unit, patch, true, scores);
        stream = stream_of(unit, patch);
    }
    advance(&stream, UNIT_LINES);
}

// Adds a block's sums of weights. Where these are too large, bases were too small, and the weights are computed again.
static void settle(struct pass *pass, const struct unit *unit)
{
    uint32_t which = 0;
    for (int line = 0; line < UNIT_LINES; line++)
        if (_mm512_cmp_ps_mask(_mm512_load_ps(unit->sums + line * LANES), _mm512_set1_ps(TOO_LARGE), _CMP_NLE_UQ) != 0)
            which |= 1u << line;
    for (int patch = 0; patch < unit->patches && which != 0; patch++)
        raise_bases(pass, unit, patch, which);
    if (which != 0)
        weigh(pass, unit);
    float *all = pass->sums + unit->first * LANES;
    for (int i = 0; i < UNIT_LINES * LANES; i += LANES)
        _mm512_store_ps(all + i, _mm512_add_ps(_mm512_load_ps(all + i), _mm512_load_ps(unit->sums + i)));
}

static void attend_block(struct pass *pass, struct unit *unit, int positions)
{
    make_panels(pass->call, pass->begin, positions, pass->keys, pass->values);
    for (int first = 0; first < pass->padded; first += UNIT_LINES) {
        const int last = first + UNIT_LINES < pass->lines ? first + UNIT_LINES - 1 : pass->lines - 1;
        const int to_end = pass->sight[last].end - pass->begin, seen = to_end < positions ? to_end : positions;
        if (seen <= 0)
            continue;
        unit->first = first;
        unit->patches = (seen + PATCH - 1) / PATCH;
        first_bases(pass, unit);
        weigh(pass, unit);
        settle(pass, unit);
        for (int tile = 0; tile < pass->tiles; tile += 2)
            add_values(pass, unit, tile);
        pass->begun[first / UNIT_LINES] = true;
    }
}

static void write_lines(const struct pass *pass)
{
    const struct attention_call *call = pass->call;
    const int head_dim = call->head_dim;
    for (int line = 0; line < pass->lines; line++) {
        const int row = (pass->first + line) / call->q_heads, head = (pass->first + line) % call->q_heads;
        const float *from = line_out(pass, line);
        const float sum = _mm512_reduce_add_ps(_mm512_load_ps(pass->sums + line * LANES));
        const __m512 factor = _mm512_set1_ps(call->partial != NULL ? 1.0f : 1.0f / sum);
        float *to = call->partial != NULL ? call->partial + (size_t)(pass->first + line) * attention_partial_floats(head_dim)
                                          : call->out + (size_t)row * call->out_stride + (size_t)(head * head_dim);
        const __mmask16 begun = pass->begun[line / UNIT_LINES] ? 0xffff : 0;
        for (int tile = 0; tile < pass->tiles; tile++)
            _mm512_storeu_ps(to + tile * LANES, _mm512_maskz_mul_ps(begun, _mm512_load_ps(from + tile * (2 * TILE_FLOATS)), factor));
        if (call->partial != NULL) {
            to[head_dim] = pass->fresh[line] ? -INFINITY : -pass->minus_base[line * LANES];
            to[head_dim + 1] = sum;
        }
    }
}

// Some lines over the cache. All of a pass's memory lies here; what is used of it stays in second-level cache.
static void attend_lines(const struct attention_call *call, int from, int count)
{
    struct {
        _Alignas(64) uint8_t queries[(MOST_NUMBERS + MOST_LINES * LANES) * 2];
        float out[MOST_NUMBERS], minus_base[MOST_LINES * LANES], sums[MOST_LINES * LANES];
        uint8_t keys[BLOCK * ATTENTION_MAX_HEAD_DIM * 2], values[BLOCK * ATTENTION_MAX_HEAD_DIM * 2];
        uint8_t weights[UNIT_LINES * BLOCK * 2];
        float unit_sums[UNIT_LINES * LANES], scores[3 * UNIT_SCORES];
        struct sight sight[MOST_LINES];
        bool fresh[MOST_LINES], begun[MOST_LINES / UNIT_LINES];
    } space;
    struct pass pass = { .call = call, .first = from, .lines = count, .padded = (count + UNIT_LINES - 1) / UNIT_LINES * UNIT_LINES,
                         .steps = attention_steps(call->head_dim), .tiles = call->head_dim / LANES, .queries = space.queries,
                         .out = space.out, .begun = space.begun, .minus_base = space.minus_base, .sums = space.sums, .sight = space.sight,
                         .fresh = space.fresh, .fresh_lines = count, .keys = space.keys, .values = space.values };
    struct unit unit = { .scores = space.scores, .sums = space.unit_sums, .weights = space.weights };
    memset(pass.begun, 0, MOST_LINES / UNIT_LINES * sizeof(bool));
    memset(pass.minus_base, 0, (size_t)(pass.padded * LANES) * sizeof(float));
    memset(pass.sums, 0, (size_t)(pass.padded * LANES) * sizeof(float));
    for (int line = 0; line < pass.padded; line++) {
        const int row = (from + line) / call->q_heads, head = (from + line) % call->q_heads;
        uint8_t *to = pass.queries + (size_t)(line / TILE_LINES * pass.steps) * TILE_BYTES + line % TILE_LINES * 64;
        const int seen = call->first_position + row + 1;
        pass.sight[line] = (struct sight){ call->window > 0 && seen > call->window ? seen - call->window : 0,
                                           line >= count ? 0 : seen < call->end ? seen : call->end };
        pass.fresh[line] = line < count;
        if (line < count)
            pack_query(call->q + (size_t)row * call->q_stride + (size_t)(head * call->head_dim), call->head_dim,
                       call->scale * (call->cap > 0 ? 1.0f : 1.44269504f), to);
        else
            for (int step = 0; step < pass.steps; step++)
                memset(to + step * TILE_BYTES, 0, 64);
    }
    const int first = pass.sight[0].first, end = pass.sight[count - 1].end;
    // blocks lie the same way whichever lines look at them
    const int hidden = first > call->begin ? (first - call->begin) / BLOCK * BLOCK : 0;
    matrix_tiles_begin(TILE_LINES, 64);
    for (pass.begin = call->begin + hidden; pass.begin < end; pass.begin += BLOCK)
        attend_block(&pass, &unit, end - pass.begin < BLOCK ? end - pass.begin : BLOCK);
    matrix_tiles_end();
    write_lines(&pass);
}

// Rows of a prompt by tiles, all others, which are few, by a vector kernel. How many rows are computed together does not decide it, so that a
// prompt's results do not depend on how it is cut.
ALWAYS void attention_by_tiles(const struct attention_call *call, const struct kernel *others)
{
    assert(call->head_dim % LANES == 0 && call->head_dim <= ATTENTION_MAX_HEAD_DIM && call->begin % ATTENTION_PANEL == 0);
    const int total = call->rows * call->q_heads, fit = MOST_NUMBERS / call->head_dim / UNIT_LINES * UNIT_LINES;
    const int most = fit < MOST_LINES ? fit : MOST_LINES, passes = (total + most - 1) / most;
    const int each = ((total + passes - 1) / passes + UNIT_LINES - 1) / UNIT_LINES * UNIT_LINES;
    if (!call->prefill) {
        ((attention_function *)others->function)(call);
        return;
    }
    for (int first = 0; first < total; first += each)
        attend_lines(call, first, total - first < each ? total - first : each);
}

#endif
