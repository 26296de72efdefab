// SPDX-License-Identifier: MIT
// 8-bit activations, few tokens: the codes of a panel are unpacked in registers and used at once, for up to Q8_DIRECT
// tokens, so that each packed byte is read once and nothing else moves. Bound by reading weights where those are in memory; in cache by
// the vector ports: a dot a token and chunk, and what unpacking takes. For the macros see linear_q8_simd.h.

// Whether chunks are multiplied as they lie in their bytes, every other one 2^chunk_shift() times too large; its sums are then by themselves
// until a group ends. Not for one token of 3 or 5 bits, which took 7 and 12% longer.
#define FEW_IN_PLACE(width) (HAS_FIELDS_IN_PLACE && BITS < 8 && STORE != STORE_BLOCK && ((width) > 1 || BITS % 2 == 0))
#define FEW_SHIFT(width)    (FEW_IN_PLACE(width) ? chunk_shift(BITS, 1) : 0)

// Independent sums of a token: where chunks have to be put together first, two keep up with that.
#define FEW_PARTS_WANTED(width) (STORE == STORE_BITMASK && DOT_PARTS(width) > 2 ? 2 : DOT_PARTS(width))
#define FEW_PARTS(width)        (FEW_SHIFT(width) > 0 && FEW_PARTS_WANTED(width) < 2 ? 2 : FEW_PARTS_WANTED(width))

// Whether a dot product reads the token's four activations itself: an instruction less. Not where there is little else to wait for:
// one token of dense 2-bit codes took 4% longer.
#define FEW_FROM_MEMORY(width) (STORE != STORE_DENSE || (width) > 1)

// For linear_fetch_distance(): AVX2 computes a token of 4 bits half as fast.
enum { FEW_QUICK = LANES == 16 };

// The token's codes, which the weights of a panel drive out of first-level cache before the next one needs them, are brought back ahead of their use.
enum { X_AHEAD = 128 };
#define FEW_FETCHES_X(width) (STORE == STORE_DENSE && (width) == 1)

// What integer sums start at, since codes are stored unsigned: −zero·Σx of the group. `starts` holds Σx, or the product
// where all rows have the same zero code (and then what linear_biased() wants).
static inline __attribute__((always_inline)) void few_start(int width, bool asymmetric, bool grouped,
                                                            const struct linear_block *block, int group,
                                                            vint sums[][VECTORS][DOT_PARTS_LIMIT]) {
    static const int32_t bias = SUM_BIAS_BITS;
    const vint from = grouped ? vint_broadcast(&bias) : vint_zero();
    const int32_t *starts = block->sums + (size_t)group * (size_t)width;
#pragma GCC unroll 8
    for (int i = 0; i < width; i++) {
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) {
            sums[i][v][0] = vint_broadcast(starts + i);
            for (int part = 1; part < FEW_PARTS(width); part++)
                sums[i][v][part] = vint_zero();
        }
    }
    if (!asymmetric)
        return;
    // Σx of up to 8 tiles fits in 16 bits, for which a multiplication is cheaper.
    const bool narrow = block->weights->tiles_per_group <= 8;
    const uint8_t *zeros = block->panel.zeros + group * PACKED_PANEL_ROWS;
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; v++) {
        const vint negated = vint_negated_zeros(zeros + LANES * v, BITS);
#pragma GCC unroll 8
        for (int i = 0; i < width; i++)
            sums[i][v][0] =
                narrow ? vint_correct(from, negated, sums[i][v][0]) : vint_add(from, vint_mul(negated, sums[i][v][0]));
    }
}

// A token's sum of a group.
static inline __attribute__((always_inline)) vint few_sum(int width, const vint parts[DOT_PARTS_LIMIT]) {
    vint sums[2] = {parts[0], vint_zero()};
    for (int part = 1; part < FEW_PARTS(width); part++)
        sums[part % 2] = part == 1 ? parts[1] : vint_add(sums[part % 2], parts[part]);
    if (FEW_SHIFT(width) > 0)
        sums[1] = vint_words_down(sums[1], FEW_SHIFT(width)); // exactly
    return FEW_PARTS(width) > 1 ? vint_add(sums[0], sums[1]) : sums[0];
}

// The next tile times `width` tokens.
static inline __attribute__((always_inline)) void few_tile(int width, struct source *source, const struct absent *absent,
                                                           const int32_t *x,
                                                           vint sums[][VECTORS][DOT_PARTS_LIMIT]) {
    struct tile tile = {0};
    tile_open(source, STORE, BITS, absent, &tile);
    if (FEW_FETCHES_X(width))
        __builtin_prefetch((const uint8_t *)x + X_AHEAD, 0, 3);
#pragma GCC unroll 8
    for (int chunk = 0; chunk < TILE_CHUNKS; chunk++) {
        vint codes[VECTORS];
        tile_chunk(&tile, STORE, BITS, chunk, FEW_IN_PLACE(width), absent, codes);
#pragma GCC unroll 8
        for (int i = 0; i < width; i++) {
            const int32_t *token = x + chunk * width + i;
            const int part = chunk % FEW_PARTS(width);
#pragma GCC unroll 2
            for (int v = 0; v < VECTORS; v++)
                sums[i][v][part] = FEW_FROM_MEMORY(width) ? vint_dot_at(sums[i][v][part], codes[v], token, BITS)
                                                          : vint_dot(sums[i][v][part], codes[v], vint_broadcast(token), BITS);
        }
    }
    tile_close(source, STORE, BITS, &tile);
}

// Whether there is code to read two panels by turns, which memory brings up to a tenth faster: hardware prefetches two streams at once.
// With more tokens dots take longer than reading.
#define FEW_PAIRED(width)                                                                                              \
    ((width) <= (STORE == STORE_DENSE && BITS > 2 ? Q8_PAIRED : Q8_PAIRED / 2) &&                                      \
     (STORE == STORE_DENSE || STORE == STORE_BYTEMASK || (STORE == STORE_BITMASK && (BITS == 8 || BITS == 4))))

// Whether that pays: not for what is near, which takes 5 to 20% longer so, nor where putting the codes of a chunk in their places takes
// longer than reading its bytes, nor for one group in all, since turns are groups.
enum { FEW_PAIRED_BYTES = 2 << 20, FEW_PAIRED_CHUNK = 24, FEW_PAIRED_TILES = 8 };
static inline bool few_pairing_pays(const struct packed_matrix *weights, int tokens) {
    const size_t chunks = (size_t)weights->panels * (size_t)weights->tiles * TILE_CHUNKS;
    return weights->bytes >= FEW_PAIRED_BYTES && weights->tiles_per_group <= FEW_PAIRED_TILES &&
           (STORE == STORE_DENSE || weights->bytes >= FEW_PAIRED_CHUNK * chunks) && linear_fetch_distance(weights, tokens, 2, FEW_QUICK).turns;
}

// Of groups of so many tiles, all three constants.
#define FEW_AMONG(tiles) scales_among_values(STORE, BITS, tiles)
#define FEW_WHOLE(tiles) tiles_whole(STORE, BITS, tiles)

// A panel on its way through `width` tokens, which have a scale a group (`grouped`) or one in all. All but the block and the group are
// constants, and so is `tiles`, of a group, where it is 1: without that loop, whose beginning and end cost a group of one tile 20
// instructions, registers last.
struct few_way {
    struct source source;
    const uint8_t *scales;
    vfloat total[Q8_DIRECT][VECTORS];
};

FLATTEN void few_begin(int width, int tiles, const struct linear_block *block, struct few_way *way, struct absent *absent) {
    way->source = source_open(block);
    way->source.whole = FEW_WHOLE(tiles); // which it is: known to the compiler
    way->scales = block->panel.scales;
#pragma GCC unroll 8
    for (int i = 0; i < width; i++) {
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++)
            way->total[i][v] = vfloat_zero();
    }
    if (STORE != STORE_DENSE)
        way->source.zeros = source_zeros(block, 0);
    absent_begin(&way->source, STORE, BITS, absent);
}

// The next group times the tokens' codes at `x`.
FLATTEN void few_group(int width, bool asymmetric, bool grouped, int tiles, const struct linear_block *block, int group, const int32_t *x,
                       struct few_way *way, struct absent *absent) {
    vint sums[Q8_DIRECT][VECTORS][DOT_PARTS_LIMIT];
    if (STORE != STORE_DENSE && asymmetric && group > 0) {
        way->source.zeros = source_zeros(block, group);
        absent_begin(&way->source, STORE, BITS, absent);
    }
    few_start(width, asymmetric, grouped, block, group, sums);
    if (FEW_AMONG(tiles)) {
        way->source.values += (~group & 1) * AMONG_BYTES;
        fetch_scales(&way->source);
    }
    if (FEW_WHOLE(tiles)) {
        way->scales = way->source.values;
        way->source.values += TILE_SCALE_BYTES;
        if (LANES < 16)
            __asm__("" : "+m"(way->scales)); // what else gave up its register took an eighth longer
    }
    for (int t = 0; t < tiles; t++, x += TILE_CHUNKS * width)
        few_tile(width, &way->source, absent, x, sums);
    if (FEW_AMONG(tiles)) // no register for them while the tile is read
        way->scales = way->source.values - AMONG_BYTES - CHUNK_CODES * BITS - group % 2 * (CHUNK_CODES * BITS - AMONG_BYTES / 2);
    else if (!FEW_WHOLE(tiles) && (STORE != STORE_DENSE || way->source.fetch.sections != 0))
        prefetch_section(&way->source, way->scales);
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; v++) {
        const vfloat scale = vfloat_halves(way->scales + sizeof(uint16_t) * LANES * v);
#pragma GCC unroll 8
        for (int i = 0; i < width; i++) {
            const vint sum = few_sum(width, sums[i][v]);
            const float *x_scale = block->scales + 2 * group * width + i;
            const vfloat value = grouped ? vfloat_fma(vfloat_of(sum), vfloat_broadcast(x_scale), vfloat_broadcast(x_scale + width))
                                         : vint_float(sum);
            way->total[i][v] = vfloat_fma(value, scale, way->total[i][v]);
        }
    }
    if (!FEW_AMONG(tiles) && !FEW_WHOLE(tiles))
        way->scales += sizeof(uint16_t) * PACKED_PANEL_ROWS;
}

FLATTEN void few_end(int width, bool grouped, const struct linear_block *block, const struct few_way *way) {
#pragma GCC unroll 8
    for (int i = 0; i < width; i++) {
        if (i >= block->tokens)
            break;
        static const float one = 1;
        const vfloat scale = vfloat_broadcast(grouped ? &one : block->scales + i);
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; v++) {
            if (block->rows > LANES * v)
                vfloat_store(block->y + (size_t)i * block->y_stride + LANES * v, vfloat_mul(scale, way->total[i][v]),
                             block->rows - LANES * v);
        }
    }
}

// One panel, or two by turns, a block each.
FLATTEN void few_groups(int width, int panels, bool asymmetric, bool grouped, int tiles, const struct linear_block *blocks) {
    const int32_t *x = (const int32_t *)blocks->x;
    const int groups = blocks->weights->groups;
    struct few_way way, other;
    struct absent absent, other_absent; // by themselves, so that they stay in registers
    few_begin(width, tiles, &blocks[0], &way, &absent);
    if (panels > 1)
        few_begin(width, tiles, &blocks[1], &other, &other_absent);
    for (int group = 0; group < groups; group++, x += tiles * TILE_CHUNKS * width) {
        few_group(width, asymmetric, grouped, tiles, &blocks[0], group, x, &way, &absent);
        if (panels > 1)
            few_group(width, asymmetric, grouped, tiles, &blocks[1], group, x, &other, &other_absent);
    }
    few_end(width, grouped, &blocks[0], &way);
    if (panels > 1)
        few_end(width, grouped, &blocks[1], &other);
}

FLATTEN void few_panels(int width, int panels, bool grouped, const struct linear_block *blocks) {
    const bool asymmetric = blocks->panel.zeros != NULL;
    const int tiles = blocks->weights->tiles_per_group;
    if (tiles == 1 && asymmetric)
        few_groups(width, panels, true, grouped, 1, blocks);
    else if (tiles == 1)
        few_groups(width, panels, false, grouped, 1, blocks);
    else if (asymmetric)
        few_groups(width, panels, true, grouped, tiles, blocks);
    else
        few_groups(width, panels, false, grouped, tiles, blocks);
}

// Panel `panel` for the tokens from `first` on; panel `next` is read after it, or none: −1.
static inline void few_place(const struct linear_call *call, const struct fetch_plan *plan, int panel, int next, int first,
                             struct linear_block *block) {
    block->panel = packed_panel(call->weights, panel);
    block->fetch = fetch_panel(plan, panel, next);
    block->rows = linear_panel_rows(call, panel);
    block->y = call->y + (size_t)first * call->y_stride + (size_t)panel * PACKED_PANEL_ROWS;
}

// Panels begin … end − 1 for the tokens from `first` on.
FLATTEN void few_run(int width, const struct linear_call *call, const struct fetch_plan *plan, struct linear_block *block, int first, int begin,
                     int end) {
    const int last = linear_panel_end(call);
    const bool grouped = linear_grouped(call);
    for (int panel = begin; panel < end; panel++) {
        few_place(call, plan, panel, panel + 1 < last ? panel + 1 : -1, first, block);
        if (grouped)
            few_panels(width, 1, true, block);
        else
            few_panels(width, 1, false, block);
    }
}

// An even number of panels, two by turns, for all tokens.
FLATTEN void few_run_paired(int width, const struct linear_call *call, const struct fetch_plan *plan, struct linear_block pair[2], int begin,
                            int end) {
    for (int panel = begin; panel < end; panel += 2) {
        for (int p = 0; p < 2; p++)
            few_place(call, plan, panel + p, panel + p + 2 < end ? panel + p + 2 : -1, 0, &pair[p]);
        if (linear_grouped(call))
            few_panels(width, 2, true, pair);
        else
            few_panels(width, 2, false, pair);
    }
}

// A function for each width, so that each has the registers for itself.
#define FEW_FUNCTIONS(w)                                                                                               \
    static __attribute__((noinline)) void few_##w(const struct linear_call *call, const struct fetch_plan *plan,       \
                                                  struct linear_block *block, int first, int begin, int end) {         \
        few_run(w, call, plan, block, first, begin, end);                                                              \
    }                                                                                                                  \
    static __attribute__((noinline)) void few_paired_##w(const struct linear_call *call, const struct fetch_plan *plan, \
                                                         struct linear_block pair[2], int begin, int end) {            \
        if (FEW_PAIRED(w))                                                                                             \
            few_run_paired(w, call, plan, pair, begin, end);                                                           \
    }
Q8_FEW_WIDTHS(FEW_FUNCTIONS)

// The least compiled width that holds the tokens.
static int few_width(int tokens) {
#define FEW_WIDTH_AT_LEAST(w)                                                                                          \
    if (tokens <= w)                                                                                                   \
        return w;
    Q8_FEW_WIDTHS(FEW_WIDTH_AT_LEAST)
    return Q8_DIRECT;
}

enum { FEW_PARTS = (Q8_FEW_TOKENS(BITS) + Q8_DIRECT - 1) / Q8_DIRECT };

// (groups, width): what few_start() reads, of the tokens from `first` on.
static void few_prepare_starts(const struct linear_call *call, int first, int width, int32_t *starts) {
    const struct packed_matrix *weights = call->weights;
    const int32_t factor = weights->format.asymmetric ? 1 : Q8_CENTRE(BITS) - symmetric_zero(BITS);
    const int32_t bias = linear_grouped(call) && !weights->format.asymmetric ? SUM_BIAS_BITS : 0;
    for (int i = 0; i < width; i++) {
        const int32_t *sums = call->x_codes->sums + (size_t)(first + i) * (size_t)weights->tiles;
        for (int group = 0; group < weights->groups; group++) {
            int32_t sum = 0;
            for (int t = 0; first + i < call->m && t < weights->tiles_per_group; t++)
                sum += *sums++;
            starts[group * width + i] = factor * sum + bias;
        }
    }
}

// Cuts the call's tokens into blocks of at most Q8_DIRECT, and lays them out.
static int few_prepare(const struct linear_call *call, struct linear_block blocks[FEW_PARTS]) {
    const struct linear_scratch scratch = linear_scratch(call);
    const int words = call->weights->tiles * TILE_CHUNKS;
    float *x = scratch.x;
    int32_t *starts = scratch.sums;
    float *scales = scratch.scales;
    int count = 0;
    for (int first = 0; first < call->m; first += Q8_DIRECT) {
        const int tokens = linear_minimum(Q8_DIRECT, call->m - first), width = few_width(tokens);
        const int8_t *codes = call->x_codes->codes + (size_t)first * (size_t)call->x_codes->columns;
        blocks[count++] = (struct linear_block){.weights = call->weights,
                                                .width = width,
                                                .x = width > 1 ? (const void *)x : codes,
                                                .sums = starts,
                                                .scales = linear_grouped(call) ? scales : call->x_codes->scales + first,
                                                .y_stride = call->y_stride,
                                                .tokens = tokens};
        if (width > 1)
            interleave(x, codes, (size_t)words, tokens, width, words);
        few_prepare_starts(call, first, width, starts);
        for (int group = 0; group < call->weights->groups && linear_grouped(call); group++)
            linear_biased(call, first, width, group, scales + 2 * group * width);
        x += (size_t)width * (size_t)words;
        starts += width * call->weights->groups;
        scales += 2 * width * call->weights->groups;
    }
    return count;
}

// At most Q8_FEW_TOKENS tokens. A panel's weights come from memory for the first block and from a cache for the others.
static void few_linear(const struct linear_call *call) {
    struct linear_block blocks[FEW_PARTS];
    const int count = few_prepare(call, blocks), end = linear_panel_end(call);
    const bool paired = FEW_PAIRED(blocks->width) && few_pairing_pays(call->weights, call->m);
    const struct fetch_plan plan = fetch_plan(call->weights, call->m, paired ? 2 : 1, FEW_QUICK);
    int panel = linear_panel_begin(call);
    if (paired) {
        struct linear_block pair[2] = {blocks[0], blocks[0]};
        const int pairs_end = end - (end - panel) % 2;
#define FEW_PAIRED_CASE(w)                                                                                             \
    case w:                                                                                                            \
        few_paired_##w(call, &plan, pair, panel, pairs_end);                                                           \
        break;
        switch (pair->width) { Q8_FEW_WIDTHS(FEW_PAIRED_CASE) }
        panel = pairs_end;
    }
    // Panel by panel where there are several blocks.
    for (int to; panel < end; panel = to) {
        to = count > 1 ? panel + 1 : end;
        for (int i = 0; i < count; i++) {
#define FEW_CASE(w)                                                                                                    \
    case w:                                                                                                            \
        few_##w(call, &plan, &blocks[i], i * Q8_DIRECT, panel, to);                                                    \
        break;
            switch (blocks[i].width) { Q8_FEW_WIDTHS(FEW_CASE) }
        }
    }
}
