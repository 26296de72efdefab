// SPDX-License-Identifier: MIT
// The transformer as every thread of a rank runs it. Between two barriers each thread writes only its own rows or columns of the
// shared buffers; thread 0 alone talks to other ranks.
#include "bench/model/engine_internal.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { TAG_ACTIVATIONS = 1, TAG_TOKENS = 2 };

// What a linear layer reads: floats, or their 8-bit codes.
struct input {
    const float *x;
    size_t stride;
    const struct quantized_rows *codes;
};

static struct layout_range share(const struct team_member *self, int count, int unit)
{
    return layout_split(count, unit, self->threads, self->thread);
}

static int unit_rows(const struct unit *unit)
{
    return unit->sequences * unit->length;
}

static void linear(struct engine *engine, const struct team_member *self, const struct packed_matrix *weights, const struct input *input,
                   int rows, float *y, size_t y_stride, struct layout_range range)
{
    if (range.begin >= range.end)
        return;
    const struct linear_call call = { .weights = weights, .activation = engine->options.activation, .x = input->x, .x_codes = input->codes,
                                      .x_stride = input->stride, .y = y, .y_stride = y_stride, .m = rows, .begin = range.begin,
                                      .end = range.end, .scratch = engine->spaces[self->thread].scratch };
    (weights == engine->variant->output ? engine->output_linear : engine->linear)(&call);
}

// 8-bit codes of rows of x where the kernels want them. Narrow inputs are quantized by each thread for itself.
static struct input quantized(struct engine *engine, struct team_member *self, const float *x, size_t stride, int rows, enum input_width width,
                              bool own)
{
    struct input input = { .x = x, .stride = stride };
    if (!activation_quantized(engine->options.activation))
        return input;
    struct quantized_rows *codes = own ? &engine->spaces[self->thread].codes[width] : &engine->codes[width];
    const struct layout_range range = own ? (struct layout_range){ 0, rows } : share(self, rows, 1);
    engine->quantize(&(struct quantize_rows_call){ .x = x, .x_stride = stride, .out = codes, .begin = range.begin, .end = range.end });
    if (!own)
        team_barrier(self);
    input.codes = codes;
    return input;
}

// RMSNorm of the residual stream, and its codes.
static struct input normed(struct engine *engine, struct team_member *self, const float *weight, int rows)
{
    const size_t width = (size_t)engine->config->d_model;
    const bool own = rows <= NARROW_ROWS;
    float *y = own ? engine->spaces[self->thread].normed : engine->normed;
    const struct layout_range range = own ? (struct layout_range){ 0, rows } : share(self, rows, 1);
    const struct rmsnorm_call call = { .x = engine->x + (size_t)range.begin * width, .weight = weight, .y = y + (size_t)range.begin * width,
                                       .x_stride = width, .y_stride = width, .rows = range.end - range.begin,
                                       .columns = engine->config->d_model, .epsilon = engine->config->norm_eps };
    engine->rmsnorm(&call);
    if (!own && !activation_quantized(engine->options.activation)) // codes are made by the thread that normed the row
        team_barrier(self);
    return quantized(engine, self, y, width, rows, WIDTH_MODEL, own);
}

// Adds up the shards' parts of a row-split layer and adds them, normed where there is a norm, to the residual stream.
static void add_partial(struct engine *engine, struct team_member *self, int rows, struct layout_range columns, const float *post_norm)
{
    const size_t width = (size_t)engine->config->d_model;
    if (comm_size(engine->tensor) > 1) {
        team_barrier(self);
        if (self->thread == 0)
            comm_all_reduce_sum(engine->tensor, engine->partial, (size_t)rows * width);
        team_barrier(self);
    }
    if (post_norm != NULL) {
        team_barrier(self);
        engine_norm_partial(engine, post_norm, share(self, rows, 1));
        team_barrier(self);
    }
    for (int row = 0; row < rows; row++) {
        float *x = engine->x + (size_t)row * width;
        const float *partial = engine->partial + (size_t)row * width;
        for (int column = columns.begin; column < columns.end; column++)
            x[column] += partial[column];
    }
    team_barrier(self);
}

// Queries, keys and values of the threads' own heads, where heads can be shared out evenly: no barrier until all of it is done.
static void attention_by_heads(struct engine *engine, struct team_member *self, const struct unit *unit, int layer, const struct input *input)
{
    const struct variant *variant = engine->variant;
    const int rows = unit_rows(unit), size = engine->config->head_dim, group = variant->heads / variant->kv_heads;
    const struct layout_range heads = share(self, variant->kv_heads, 1);
    const struct layout_range kv = { heads.begin * size, heads.end * size }, q = { kv.begin * group, kv.end * group };
    const size_t q_width = (size_t)variant->heads * (size_t)size, kv_width = (size_t)variant->kv_heads * (size_t)size;
    linear(engine, self, variant->matrix[layer][LAYER_Q], input, rows, engine->q, q_width, q);
    linear(engine, self, variant->matrix[layer][LAYER_K], input, rows, engine->k, kv_width, kv);
    linear(engine, self, variant->matrix[layer][LAYER_V], input, rows, engine->v, kv_width, kv);
    engine_attend_heads(engine, self, unit, layer, heads);
    team_barrier(self);
}

// The same where they cannot.
static void attention_by_items(struct engine *engine, struct team_member *self, const struct unit *unit, int layer, const struct input *input)
{
    const struct variant *variant = engine->variant;
    const int rows = unit_rows(unit), size = engine->config->head_dim;
    const int q_width = variant->heads * size, kv_width = variant->kv_heads * size;
    linear(engine, self, variant->matrix[layer][LAYER_Q], input, rows, engine->q, (size_t)q_width, share(self, q_width, PACKED_PANEL_ROWS));
    linear(engine, self, variant->matrix[layer][LAYER_K], input, rows, engine->k, (size_t)kv_width, share(self, kv_width, PACKED_PANEL_ROWS));
    linear(engine, self, variant->matrix[layer][LAYER_V], input, rows, engine->v, (size_t)kv_width, share(self, kv_width, PACKED_PANEL_ROWS));
    team_barrier(self);
    engine_attend_items(engine, self, unit, layer);
}

static void layer_forward(struct engine *engine, struct team_member *self, const struct unit *unit, int layer)
{
    const struct variant *variant = engine->variant;
    const struct layer_weights *weights = &variant->model->layers[variant->layers.begin + layer];
    const int rows = unit_rows(unit), d_model = engine->config->d_model, ffn = variant->ffn;
    const int heads_width = variant->heads * engine->config->head_dim;
    const bool own = rows <= NARROW_ROWS;
    const struct layout_range columns = share(self, d_model, PACKED_PANEL_ROWS);

    struct input input = normed(engine, self, weights->attention_norm, rows);
    if (variant->kv_heads % self->threads == 0)
        attention_by_heads(engine, self, unit, layer, &input);
    else
        attention_by_items(engine, self, unit, layer, &input);
    input = quantized(engine, self, engine->attended, (size_t)heads_width, rows, WIDTH_HEADS, own);
    linear(engine, self, variant->matrix[layer][LAYER_O], &input, rows, engine->partial, (size_t)d_model, columns);
    add_partial(engine, self, rows, columns, weights->post_attention_norm);

    input = normed(engine, self, weights->ffn_norm, rows);
    const struct layout_range hidden = share(self, ffn, PACKED_PANEL_ROWS);
    linear(engine, self, variant->matrix[layer][LAYER_GATE], &input, rows, engine->gate, (size_t)ffn, hidden);
    linear(engine, self, variant->matrix[layer][LAYER_UP], &input, rows, engine->up, (size_t)ffn, hidden);
    engine->swiglu(&(struct swiglu_call){ .gate = engine->gate + hidden.begin, .up = engine->up + hidden.begin,
                                          .y = engine->gate + hidden.begin, .stride = (size_t)ffn, .rows = rows,
                                          .columns = hidden.end - hidden.begin, .gelu = engine->config->gate == GATE_GELU });
    team_barrier(self);
    input = quantized(engine, self, engine->gate, (size_t)ffn, rows, WIDTH_FFN, own);
    linear(engine, self, variant->matrix[layer][LAYER_DOWN], &input, rows, engine->partial, (size_t)d_model, columns);
    add_partial(engine, self, rows, columns, weights->post_ffn_norm);
}

// A logit and its token as one integer that grows with the logit and, between equals, falls with the token. UINT64_MAX says that
// a logit was not finite, and survives every maximum.
static uint64_t argmax_key(float logit, int token)
{
    uint32_t bits;
    memcpy(&bits, &logit, sizeof(bits));
    bits ^= bits >> 31 ? UINT32_MAX : UINT32_C(0x80000000);
    return (uint64_t)bits << 32 | (UINT32_MAX - (uint32_t)token);
}

static int argmax_token(uint64_t key)
{
    return (int)(UINT32_MAX - (uint32_t)key);
}

// The largest of up to `count` logits. Adds to *zeros a number that stays 0 only if all are finite.
static float block_maximum(const float *logits, int count, float *zeros)
{
    enum { LANES = 16 };
    float largest[LANES], zero[LANES] = { 0 };
    int i = 0;
    for (int lane = 0; lane < LANES; lane++)
        largest[lane] = -FLT_MAX;
    for (; i + LANES <= count; i += LANES)
        for (int lane = 0; lane < LANES; lane++) {
            const float x = logits[i + lane];
            largest[lane] = x > largest[lane] ? x : largest[lane];
            zero[lane] += x * 0; // NaN where x is not finite
        }
    for (; i < count; i++) {
        largest[0] = logits[i] > largest[0] ? logits[i] : largest[0];
        zero[0] += logits[i] * 0;
    }
    for (int lane = 0; lane < LANES; lane++) {
        largest[0] = largest[lane] > largest[0] ? largest[lane] : largest[0];
        *zeros += zero[lane];
    }
    return largest[0];
}

static uint64_t largest_logit(const float *logits, struct layout_range range, int first_token)
{
    enum { BLOCK = 1024 };
    float largest = -FLT_MAX, zeros = 0;
    int from = range.begin;
    for (int begin = range.begin; begin < range.end; begin += BLOCK) {
        const float here = block_maximum(logits + begin, range.end - begin < BLOCK ? range.end - begin : BLOCK, &zeros);
        if (here > largest) {
            largest = here;
            from = begin;
        }
    }
    if (!(zeros == 0))
        return UINT64_MAX;
    for (int i = from; i < range.end; i++)
        if (logits[i] == largest)
            return argmax_key(logits[i], first_token + i);
    return 0; // an empty range
}

// Brings the shards of `count` rows of logits together; nothing where one rank has them whole.
static void gather_logits(struct engine *engine, int count)
{
    if (comm_size(engine->tensor) == 1)
        return;
    const size_t padded = (size_t)engine->vocab_largest;
    float *mine = engine->gathered + (size_t)comm_size(engine->tensor) * (size_t)engine->logit_rows * padded;
    for (int row = 0; row < count; row++)
        memcpy(mine + (size_t)row * padded, engine->logits + (size_t)row * (size_t)engine->vocab_local,
               (size_t)engine->vocab_local * sizeof(float));
    comm_all_gather(engine->tensor, mine, engine->gathered, (size_t)count * padded * sizeof(float));
}

// Row i of `count`, the vocabulary in its order, until the next call.
static const float *gathered_row(const struct engine *engine, int row, int count)
{
    if (comm_size(engine->tensor) == 1)
        return engine->logits + (size_t)row * (size_t)engine->vocab_local;
    float *logits = engine->gathered + (size_t)(comm_size(engine->tensor) + 1) * (size_t)engine->logit_rows * (size_t)engine->vocab_largest;
    for (int rank = 0; rank < comm_size(engine->tensor); rank++) {
        const struct layout_range part = layout_vocabulary(&engine->variant->layout, engine->config, rank);
        const float *from = engine->gathered + ((size_t)rank * (size_t)count + (size_t)row) * (size_t)engine->vocab_largest;
        memcpy(logits + part.begin, from, (size_t)(part.end - part.begin) * sizeof(float));
    }
    return logits;
}

// What thread 0 does with the logits of rows emit[0 … count): their tokens, and the logits to those who asked.
static void hand_out(struct run *run, const struct unit *unit, int step, const int *emit, int count)
{
    struct engine *engine = run->engine;
    const int threads = team_threads(engine->team);
    uint64_t *best = engine->best;
    for (int thread = 1; thread < threads; thread++)
        for (int i = 0; i < count; i++) {
            const uint64_t key = engine->best[(size_t)thread * (size_t)engine->logit_rows + (size_t)i];
            best[i] = key > best[i] ? key : best[i];
        }
    comm_all_reduce_max_u64(engine->tensor, best, (size_t)count);
    for (int i = 0; i < count; i++)
        run->not_finite |= best[i] == UINT64_MAX;
    const bool want_logits = run->score != NULL || (run->logits != NULL && step == run->steps - 1);
    if (want_logits)
        gather_logits(engine, count);
    for (int i = 0; i < count; i++) {
        const int sequence = unit->first + emit[i] / unit->length, position = unit_position(unit, emit[i]);
        const int global = engine->sequences.begin + sequence;
        if (run->score == NULL && best[i] != UINT64_MAX)
            engine->current[sequence] = argmax_token(best[i]);
        if (run->logits != NULL && want_logits)
            memcpy(run->logits + (size_t)global * (size_t)engine->config->vocab, gathered_row(engine, i, count),
                   (size_t)engine->config->vocab * sizeof(float));
        if (run->score != NULL && comm_rank(engine->tensor) == 0 && !run->not_finite)
            run->score(run->score_context, global, position, gathered_row(engine, i, count));
        if (run->next != NULL)
            run->next[(size_t)step * (size_t)engine->batch + (size_t)global] = engine->current[sequence];
    }
}

// The rows of a unit whose logits are wanted.
static int choose_rows(const struct run *run, const struct unit *unit, int *emit)
{
    int count = 0;
    for (int row = 0; row < unit_rows(unit); row++) {
        const int position = unit_position(unit, row), sequence = run->engine->sequences.begin + unit->first + row / unit->length;
        const int length = run->lengths != NULL ? run->lengths[sequence] : run->length;
        const bool wanted = run->score != NULL ? position >= run->first_scored : run->tokens == NULL || position == length - 1;
        if (wanted)
            emit[count++] = row;
    }
    return count;
}

static void output_forward(struct run *run, struct team_member *self, const struct unit *unit, int step)
{
    struct engine *engine = run->engine;
    const struct model *model = engine->variant->model;
    const size_t width = (size_t)engine->config->d_model;
    if (self->thread == 0)
        engine->emit[engine->max_rows] = choose_rows(run, unit, engine->emit);
    team_barrier(self);
    const int total = engine->emit[engine->max_rows];
    for (int first = 0; first < total; first += engine->logit_rows) {
        const int *emit = engine->emit + first;
        const int count = total - first < engine->logit_rows ? total - first : engine->logit_rows;
        const bool own = count <= NARROW_ROWS;
        float *y = own ? engine->spaces[self->thread].normed : engine->normed;
        const struct layout_range rows = own ? (struct layout_range){ 0, count } : share(self, count, 1);
        for (int i = rows.begin; i < rows.end; i++)
            engine->rmsnorm(&(struct rmsnorm_call){ .x = engine->x + (size_t)emit[i] * width, .weight = model->final_norm,
                                                    .y = y + (size_t)i * width, .x_stride = width, .y_stride = width, .rows = 1,
                                                    .columns = (int)width, .epsilon = engine->config->norm_eps });
        if (!own && !activation_quantized(engine->options.activation))
            team_barrier(self);
        const struct input input = quantized(engine, self, y, width, count, WIDTH_MODEL, own);
        const struct layout_range columns = share(self, engine->vocab_local, PACKED_PANEL_ROWS);
        linear(engine, self, engine->variant->output, &input, count, engine->logits, (size_t)engine->vocab_local, columns);
        engine_cap_logits(engine, count, columns);
        for (int i = 0; i < count; i++)
            engine->best[(size_t)self->thread * (size_t)engine->logit_rows + (size_t)i] =
                largest_logit(engine->logits + (size_t)i * (size_t)engine->vocab_local, columns, engine->variant->vocabulary.begin);
        team_barrier(self);
        if (self->thread == 0)
            hand_out(run, unit, step, emit, count);
        team_barrier(self);
    }
}

static void embed(struct run *run, const struct team_member *self, const struct unit *unit)
{
    struct engine *engine = run->engine;
    const size_t width = (size_t)engine->config->d_model;
    const struct layout_range rows = share(self, unit_rows(unit), 1);
    const float scale = engine->config->embedding_scale;
    for (int row = rows.begin; row < rows.end; row++) {
        const int sequence = unit->first + row / unit->length, position = unit_position(unit, row);
        const int32_t token = run->tokens == NULL ? engine->current[sequence]
                                                  : run->tokens[(size_t)(engine->sequences.begin + sequence) * (size_t)run->length +
                                                                (size_t)position];
        float *x = engine->x + (size_t)row * width;
        model_read_embedding(engine->variant->model, token, x);
        for (size_t i = 0; scale > 0 && i < width; i++)
            x[i] *= scale;
    }
}

static void unit_forward(struct run *run, struct team_member *self, const struct unit *unit, int step)
{
    struct engine *engine = run->engine;
    const size_t bytes = (size_t)unit_rows(unit) * (size_t)engine->config->d_model * sizeof(float);
    const int stage = comm_rank(engine->pipeline), stages = comm_size(engine->pipeline);
    if (engine->first_stage) {
        if (stages > 1 && step > 0) { // the last stage chose the tokens of the step before
            if (self->thread == 0)
                comm_receive(engine->pipeline, engine->current + unit->first, (size_t)unit->sequences * sizeof(int32_t), stages - 1, TAG_TOKENS);
            team_barrier(self);
        }
        embed(run, self, unit);
    } else if (self->thread == 0)
        comm_receive(engine->pipeline, engine->x, bytes, stage - 1, TAG_ACTIVATIONS);
    team_barrier(self);
    for (int layer = 0; layer < engine->variant->layers.end - engine->variant->layers.begin; layer++)
        layer_forward(engine, self, unit, layer);
    if (engine->last_stage)
        output_forward(run, self, unit, step);
    if (self->thread == 0) {
        if (!engine->last_stage)
            comm_send(engine->pipeline, engine->x, bytes, stage + 1, TAG_ACTIVATIONS);
        else if (stages > 1 && step + 1 < run->steps)
            comm_send(engine->pipeline, engine->current + unit->first, (size_t)unit->sequences * sizeof(int32_t), 0, TAG_TOKENS);
    }
    team_barrier(self);
}

void engine_region(struct team_member *self, void *context)
{
    struct run *run = context;
    for (int step = 0; step < run->steps; step++)
        for (int i = 0; i < run->unit_count; i++) {
            struct unit unit = run->units[i];
            unit.begin += step;
            unit_forward(run, self, &unit, step);
        }
}
