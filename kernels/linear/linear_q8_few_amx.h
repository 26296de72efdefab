// SPDX-License-Identifier: MIT
// 8-bit activations, few tokens, by AMX: a panel's codes are unpacked a few groups before they are multiplied, into lines that stay in
// first-level cache. For the macros see linear_q8_simd.h.
//
// A product takes as many cycles as it has tokens, at most 16 a block; for why a group's product, the store of its sums and their scaling
// are a group apart see tile_q8_amx.h. Codes are unpacked FEW_AHEAD groups before, since tiles wait for lines that are still in the store
// buffer. Up to 8 tokens have two panels at once, which halves the loads of activations from second-level cache.
//
// Every group ends as those with a scale a token and group do (SUM_BIAS): tokens with one scale in all have ones there.
#include "kernels/linear/matrix_tiles.h"

enum { FEW_BLOCK = 16, FEW_SUMS = FEW_BLOCK * PACKED_PANEL_ROWS, FEW_PANELS = 2, FEW_AHEAD = 2, FEW_SLOTS = 4, FEW_GROUP_TILES = 4 };

// One panel being unpacked and multiplied.
struct few_panel {
    struct linear_block block;
    struct source source;
    const uint8_t *soon, *end, *then; // what is fetched into second-level cache next: up to `end`, and on from `then`
    uint8_t *codes;                   // FEW_SLOTS groups
    const uint8_t *scales[2 * FEW_SLOTS]; // of whole tiles, those of as many groups
};

// One or two panels times one block of tokens.
struct few_work {
    struct few_panel panel[FEW_PANELS];
    const int8_t *x;       // (columns / unit, height, unit)
    const int32_t *starts; // (groups, height): what the rows' zeros add to a sum, and its bias; asymmetric: Σx
    const float *x_scales; // (groups, 2, height), see linear_biased(), or one group for all
    size_t x_scales_step;  // floats from a group's to the next one's
    float *totals;         // (panels, height, 16)
    int groups, unit, steps; // steps of `unit` columns a group
};

static const _Alignas(64) int32_t few_bias[PACKED_PANEL_ROWS] = {
#define FOUR SUM_BIAS_BITS, SUM_BIAS_BITS, SUM_BIAS_BITS, SUM_BIAS_BITS
    FOUR, FOUR, FOUR, FOUR
#undef FOUR
};

// A group of `tiles` tiles to its slot; where codes are read in place they are only fetched.
FLATTEN void few_unpack(struct few_panel *panel, int group, int tiles) {
    struct source *source = &panel->source;
    uint8_t *out = panel->codes + TILE_CODES * tiles * (group % FEW_SLOTS);
    if (STORE != STORE_DENSE)
        source_group(source, &panel->block, group);
    if (source->whole) {
        panel->scales[group % (2 * FEW_SLOTS)] = source->scales;
    } else if (!source->scales_among) {
        prefetch(packed_scales(panel->block.weights, &panel->block.panel, group));
    } else if (group % 2 == 0) {
        __builtin_prefetch(panel->soon, 0, 2);
        __builtin_prefetch(source->values + NEAR_AHEAD, 0, 3);
        panel->soon += AMONG_BYTES;
        source->values += AMONG_BYTES;
    }
    for (int tile = 0; tile < tiles; tile++, out += TILE_CODES) {
#pragma GCC unroll 8
        for (int line = 0; line < BITS && STORE == STORE_DENSE; line++) {
            __builtin_prefetch(panel->soon + 64 * line, 0, 2);
            __builtin_prefetch(source->values + 64 * line + NEAR_AHEAD, 0, 3);
        }
        panel->soon += 64 * BITS;
        NEXT_CODES(source, out);
    }
    if (panel->soon >= panel->end) {
        panel->soon = panel->then;
        panel->end = panel->then + (1 << 30);
    }
}

// sums = x · codes of a group, of which one or two steps of x are in tiles 4 and 5. Registers are part of the instruction, so they are named.
#define FEW_PRODUCT(sums, weight_tile, from)                                                                           \
    do {                                                                                                               \
        const uint8_t *const codes = IN_PLACE ? (from)->block.panel.values + (size_t)(TILE_CODES * tiles) * (size_t)group \
                                              : (from)->codes + TILE_CODES * tiles * (group % FEW_SLOTS);              \
        _tile_zero(sums);                                                                                              \
        _tile_loadd(weight_tile, codes, 64);                                                                           \
        _tile_dpbsud(sums, 4, weight_tile);                                                                            \
        if (steps > 1) {                                                                                               \
            _tile_loadd(weight_tile, codes + unit * PACKED_PANEL_ROWS, 64);                                            \
            _tile_dpbsud(sums, 5, weight_tile);                                                                        \
        }                                                                                                              \
    } while (0)

// Group `group`, whose sums are in tiles 0 and 1 or 2 and 3; then the store of the sums before it, and the scaling of those before that.
#define FEW_TURN(odd, sums_0, sums_1, before_0, before_1)                                                              \
    do {                                                                                                               \
        if (group + FEW_AHEAD < groups) {                                                                              \
            few_unpack(&work->panel[0], group + FEW_AHEAD, tiles);                                                     \
            if (panels > 1)                                                                                            \
                few_unpack(&work->panel[1], group + FEW_AHEAD, tiles);                                                 \
        }                                                                                                              \
        if (group < groups) {                                                                                          \
            _tile_loadd(4, x, unit);                                                                                   \
            if (steps > 1)                                                                                             \
                _tile_loadd(5, x + unit * height, unit);                                                               \
            x += unit * height * steps;                                                                                \
            FEW_PRODUCT(sums_0, 6, &work->panel[0]);                                                                   \
            if (panels > 1)                                                                                            \
                FEW_PRODUCT(sums_1, 7, &work->panel[1]);                                                               \
        }                                                                                                              \
        if (group > 0 && group <= groups) {                                                                            \
            _tile_stored(before_0, sums[!odd][0], 64);                                                                 \
            if (panels > 1)                                                                                            \
                _tile_stored(before_1, sums[!odd][1], 64);                                                             \
        }                                                                                                              \
        if (group > 1 && group < groups + 2) {                                                                         \
            few_scale(work, 0, group - 2, height, asymmetric, sums[odd][0], total[0]);                                 \
            if (panels > 1)                                                                                            \
                few_scale(work, 1, group - 2, height, asymmetric, sums[odd][1], total[1]);                             \
        }                                                                                                              \
    } while (0)

// A group's sums to totals.
FLATTEN void few_scale(const struct few_work *work, int panel, int group, const int height, const bool asymmetric, const int32_t *sums,
                       __m512 *total) {
    const struct few_panel *from = &work->panel[panel];
    const struct panel *weights = &from->block.panel;
    const __m512 scale = vfloat_halves(from->source.whole ? from->scales[group % (2 * FEW_SLOTS)] : packed_scales(from->block.weights, weights, group));
    const float *x_scales = work->x_scales + work->x_scales_step * (size_t)group;
    const int32_t *starts = work->starts + height * group;
    const vint zeros = asymmetric ? vint_negated_zeros(weights->zeros + PACKED_PANEL_ROWS * group, BITS) : vint_zero();
#pragma GCC unroll 16
    for (int i = 0; i < height; i++) {
        vint sum = vint_load((const uint8_t *)(sums + PACKED_PANEL_ROWS * i));
        if (asymmetric)
            sum = vint_add(vint_correct(sum, zeros, vint_broadcast(starts + i)), vint_load((const uint8_t *)few_bias));
        else
            sum = vint_add(sum, vint_broadcast(starts + i));
        const __m512 scaled = vfloat_fma(vfloat_of(sum), vfloat_broadcast(x_scales + i), vfloat_broadcast(x_scales + height + i));
        total[i] = vfloat_fma(scaled, scale, total[i]);
    }
}

FLATTEN void few_multiply(struct few_work *work, const int panels, const int height, const bool asymmetric) {
    _Alignas(64) int32_t sums[2][FEW_PANELS][FEW_SUMS];
    __m512 total[FEW_PANELS][FEW_BLOCK];
    const int8_t *x = work->x;
    const int groups = work->groups, steps = work->steps, tiles = work->steps * work->unit / TILE_COLUMNS;
    const long unit = work->unit;
#pragma GCC unroll 2
    for (int p = 0; p < panels; p++) {
#pragma GCC unroll 16
        for (int i = 0; i < height; i++)
            total[p][i] = vfloat_zero();
        for (int group = 0; group < linear_minimum(FEW_AHEAD, groups); group++)
            few_unpack(&work->panel[p], group, tiles);
    }
    // Two groups a turn, since tiles have names.
    for (int group = 0; group < groups + 2; group++) {
        FEW_TURN(0, 0, 1, 2, 3);
        group++;
        FEW_TURN(1, 2, 3, 0, 1);
    }
#pragma GCC unroll 2
    for (int p = 0; p < panels; p++)
#pragma GCC unroll 16
        for (int i = 0; i < height; i++)
            vfloat_store(work->totals + PACKED_PANEL_ROWS * (p * height + i), total[p][i], LANES);
}

// A function each, so that each has the registers for itself.
#define FEW_SHAPES(_) _(4, 1) _(4, 2) _(8, 1) _(8, 2) _(12, 1) _(16, 1)
#define FEW_FUNCTIONS(h, p)                                                                                            \
    static void few_##h##_##p##_0(struct few_work *work) { few_multiply(work, p, h, false); }                          \
    static void few_##h##_##p##_1(struct few_work *work) { few_multiply(work, p, h, true); }
FEW_SHAPES(FEW_FUNCTIONS)

// The call's tokens as the tiles read them: blocks of `height`, of which the last one's last may be none.
struct few_tokens {
    int blocks, height, unit;
    uint8_t *codes; // (panels, FEW_SLOTS, FEW_GROUP_TILES tiles)
    float *totals;  // (panels, height, 16)
    int8_t *x;      // (blocks, columns / unit, height, unit)
    int32_t *starts; // (blocks, groups, height), and
    float *x_scales; // (blocks, groups, 2, height), see few_work
};

static struct few_tokens few_tokens(const struct linear_call *call) {
    const struct packed_matrix *weights = call->weights;
    const int blocks = (call->m + FEW_BLOCK - 1) / FEW_BLOCK, height = ((call->m + blocks - 1) / blocks + 3) / 4 * 4;
    uint8_t *at = (uint8_t *)call->scratch;
    struct few_tokens tokens = {
        .blocks = blocks, .height = height, .unit = weights->tiles_per_group > 1 ? 2 * TILE_COLUMNS : TILE_COLUMNS, .codes = at};
    at += FEW_PANELS * FEW_SLOTS * FEW_GROUP_TILES * TILE_CODES;
    tokens.totals = (float *)(void *)at;
    at += FEW_PANELS * FEW_SUMS * sizeof(float);
    tokens.x = (int8_t *)at;
    at += (size_t)(blocks * height) * (size_t)weights->columns;
    tokens.starts = (int32_t *)(void *)at;
    at += (size_t)(blocks * height * weights->groups) * sizeof(int32_t);
    tokens.x_scales = (float *)(void *)at;
    return tokens;
}

static void few_pack_token(const struct linear_call *call, const struct few_tokens *tokens, int token) {
    const struct packed_matrix *weights = call->weights;
    const int block = token / tokens->height, i = token % tokens->height;
    const size_t unit = (size_t)tokens->unit, step = unit * (size_t)tokens->height, columns = (size_t)weights->columns;
    int8_t *to = tokens->x + (size_t)(block * tokens->height) * columns + unit * (size_t)i;
    const int8_t *from = call->x_codes->codes + (size_t)token * columns;
    for (size_t column = 0; column < columns; column += unit, from += unit, to += step) {
        // Sizes that the compiler knows.
        if (token >= call->m)
            memset(to, 0, unit);
        else if (tokens->unit == TILE_COLUMNS)
            memcpy(to, from, TILE_COLUMNS);
        else
            memcpy(to, from, 2 * TILE_COLUMNS);
    }
    const int32_t *sums = call->x_codes->sums + (size_t)token * (size_t)weights->tiles;
    for (int group = 0; group < weights->groups; group++) {
        int32_t sum = 0;
        for (int tile = 0; token < call->m && tile < weights->tiles_per_group; tile++)
            sum += *sums++;
        tokens->starts[(block * weights->groups + group) * tokens->height + i] =
            weights->format.asymmetric ? sum : SUM_BIAS_BITS - symmetric_zero(BITS) * sum;
    }
}

static void few_pack(const struct linear_call *call, const struct few_tokens *tokens) {
    const int height = tokens->height;
    for (int token = 0; token < tokens->blocks * height; token++)
        few_pack_token(call, tokens, token);
    float *scales = tokens->x_scales;
    for (int i = 0; i < 2 * height && !linear_grouped(call); i++)
        scales[i] = i < height ? 1 : -SUM_BIAS;
    for (int block = 0; block < tokens->blocks && linear_grouped(call); block++)
        for (int group = 0; group < call->weights->groups; group++, scales += 2 * height)
            linear_biased(call, block * height, height, group, scales);
}

static void few_open(const struct linear_call *call, const struct fetch_plan *plan, int panel, int panels, uint8_t *codes, struct few_panel *out) {
    const struct packed_matrix *weights = call->weights;
    *out = (struct few_panel){.block = {.weights = weights, .panel = packed_panel(weights, panel)}, .codes = codes};
    if (STORE != STORE_DENSE)
        out->block.fetch = fetch_panel(plan, panel, panel + panels < linear_panel_end(call) ? panel + panels : -1);
    const bool more = panel + panels < weights->panels;
    out->source = source_open(&out->block);
    out->soon = out->block.panel.values + FAR_AHEAD;
    out->end = weights->data + weights->offsets[panel + 1];
    out->then = more ? packed_panel(weights, panel + panels).values : out->end;
}

static void few_finish(const struct linear_call *call, int first, int tokens, int panel, const float *totals) {
    static const float one = 1; // the groups' scales are in the totals
    float *y = call->y + (size_t)first * call->y_stride + (size_t)panel * PACKED_PANEL_ROWS;
    for (int i = 0; i < tokens; i++, totals += PACKED_PANEL_ROWS) {
        const vfloat scale = vfloat_broadcast(linear_grouped(call) ? &one : call->x_codes->scales + first + i);
        vfloat_store(y + (size_t)i * call->y_stride, vfloat_mul(scale, vfloat_load(totals)), linear_panel_rows(call, panel));
    }
}

// Up to 64 tokens, with groups of up to FEW_GROUP_TILES tiles.
static void few_linear(const struct linear_call *call) {
#define FEW_ENTRY(h, p) [h / 4 - 1][p - 1] = {few_##h##_##p##_0, few_##h##_##p##_1},
    static void (*const functions[FEW_BLOCK / 4][FEW_PANELS][2])(struct few_work *) = {FEW_SHAPES(FEW_ENTRY)};
    const struct packed_matrix *weights = call->weights;
    const struct few_tokens tokens = few_tokens(call);
    const struct fetch_plan plan = fetch_plan(weights, call->m, 1, false);
    few_pack(call, &tokens);
    matrix_tiles_begin(tokens.height, tokens.unit);
    struct few_work work = {.groups = weights->groups,
                            .unit = tokens.unit,
                            .steps = weights->tiles_per_group * TILE_COLUMNS / tokens.unit,
                            .x_scales_step = linear_grouped(call) ? 2 * (size_t)tokens.height : 0,
                            .totals = tokens.totals};
    const int together = tokens.height > 8 ? 1 : FEW_PANELS, end = linear_panel_end(call);
    for (int panel = linear_panel_begin(call), panels; panel < end; panel += panels) {
        panels = linear_minimum(together, end - panel);
        for (int block = 0; block < tokens.blocks; block++) {
            for (int p = 0; p < panels; p++)
                few_open(call, &plan, panel + p, panels, tokens.codes + FEW_SLOTS * FEW_GROUP_TILES * TILE_CODES * p, &work.panel[p]);
            work.x = tokens.x + (size_t)(block * tokens.height) * (size_t)weights->columns;
            work.starts = tokens.starts + block * weights->groups * tokens.height;
            work.x_scales = tokens.x_scales + work.x_scales_step * (size_t)(block * weights->groups);
            functions[tokens.height / 4 - 1][panels - 1][weights->format.asymmetric](&work);
            for (int p = 0; p < panels; p++)
                few_finish(call, block * tokens.height, linear_minimum(tokens.height, call->m - block * tokens.height), panel + p,
                           work.totals + PACKED_PANEL_ROWS * tokens.height * p);
        }
    }
    matrix_tiles_end();
}
