// SPDX-License-Identifier: MIT
// The descriptor of attention.
#include "kernels/attention/attention.h"
#include "kernels/op.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

// A cache of one head, with the numbers that it holds.
struct cache {
    enum kv_type kv;
    int positions, head_dim;
    uint8_t *keys, *values; // whole panels; what was not written is all ones: NaNs, and scales that are NaNs
    float *key_rows, *value_rows; // (positions, head_dim), read back
};

static void cache_free(struct cache *cache)
{
    free(cache->keys), free(cache->values), free(cache->key_rows), free(cache->value_rows);
}

static size_t cache_bytes(enum kv_type kv, int head_dim, int positions)
{
    return ((size_t)positions + ATTENTION_PANEL - 1) / ATTENTION_PANEL * attention_panel_bytes(kv, head_dim);
}

static void *allocate(size_t bytes)
{
    return aligned_alloc(64, (bytes + 127) / 64 * 64);
}

static int cache_create(struct cache *cache, enum kv_type kv, int positions, int head_dim, uint64_t *state)
{
    const size_t bytes = cache_bytes(kv, head_dim, positions), panel = attention_panel_bytes(kv, head_dim);
    const size_t numbers = (size_t)positions * (size_t)head_dim;
    *cache = (struct cache){ .kv = kv, .positions = positions, .head_dim = head_dim, .keys = allocate(bytes), .values = allocate(bytes),
                             .key_rows = allocate(numbers * sizeof(float)), .value_rows = allocate(numbers * sizeof(float)) };
    if (cache->keys == NULL || cache->values == NULL || cache->key_rows == NULL || cache->value_rows == NULL) {
        cache_free(cache);
        return -ENOMEM;
    }
    memset(cache->keys, 0xff, bytes);
    memset(cache->values, 0xff, bytes);
    for (int p = 0; p < positions; p++) {
        float *key = cache->key_rows + (size_t)p * (size_t)head_dim, *value = cache->value_rows + (size_t)p * (size_t)head_dim;
        const double size = 1.5 + op_uniform(state); // so that scales differ
        for (int d = 0; d < head_dim; d++)
            key[d] = (float)(op_uniform(state) * size), value[d] = (float)(op_uniform(state) * size);
        uint8_t *key_panel = cache->keys + (size_t)(p / ATTENTION_PANEL) * panel;
        uint8_t *value_panel = cache->values + (size_t)(p / ATTENTION_PANEL) * panel;
        attention_store(kv, head_dim, p % ATTENTION_PANEL, key, value, key_panel, value_panel);
        attention_load(kv, head_dim, p % ATTENTION_PANEL, key_panel, value_panel, key, value);
    }
    return 0;
}

// By how much kernels that round queries and weights to bf16, and so `numbers` of keys and values, may differ: six standard deviations, in
// first order, of which one rounding's is at most 2⁻⁸/√3 of the number. Of dimension d of the values:
// - Scores err by δᵢ, of variance scores[i], and the result by Σ wᵢ·(vᵢ − result)·δᵢ, at most the product of both roots of Σ wᵢ·(…)²
//   (Cauchy–Schwarz). A cap only lessens it.
// - Weights err by themselves, and so may values: Σ wᵢ·εᵢ·vᵢ.
// - Exponentials are good to 1e-4, above and below the fraction.
static double rounding_tolerance(const struct cache *cache, int first, int visible, const double *weight, const double *score_variance, int d,
                                 double result, bool numbers)
{
    double scores = 0, spread = 0, squares = 0, size = 0;
    for (int p = first; p < visible; p++) {
        const double value = (double)cache->value_rows[(size_t)p * (size_t)cache->head_dim + (size_t)d];
        scores += weight[p] * score_variance[p];
        spread += weight[p] * (value - result) * (value - result);
        squares += weight[p] * weight[p] * value * value;
        size += weight[p] * fabs(value);
    }
    const double rounding = 0x1p-8 / sqrt(3);
    return 6 * rounding * ((numbers ? sqrt(2) : 1) * (sqrt(scores * spread) + sqrt(squares))) + 2e-4 * size;
}

// One query line over the first `visible` positions, or the last of them. scores has room for twice as many; tolerance: how far a kernel may
// end from it.
static void reference(const struct cache *cache, const struct attention_call *call, bool rounded, double queries_up_to, const float *q,
                      int visible, double *score, double *want, double *tolerance)
{
    const int head_dim = cache->head_dim, first = call->window > 0 && visible > call->window ? visible - call->window : 0;
    const bool codes = cache->kv == KV_Q8 || cache->kv == KV_Q4;
    const double scale = (double)call->scale, cap = (double)call->cap;
    double largest = -INFINITY, sum = 0, score_error = 0, value_size = 0, *variance = score + visible;
    for (int p = first; p < visible; p++) {
        const float *key = cache->key_rows + (size_t)p * (size_t)head_dim;
        double squares = 0;
        score[p] = variance[p] = 0;
        for (int begin = 0; begin < head_dim; begin += ATTENTION_GROUP) {
            double query_size = 0, keys = 0;
            for (int d = begin; d < head_dim && d < begin + ATTENTION_GROUP; d++) {
                const double product = (double)q[d] * (double)key[d] * scale;
                score[p] += product;
                variance[p] += product * product;
                query_size = fmax(query_size, fabs((double)q[d]));
                keys += (double)key[d] * (double)key[d];
            }
            squares += keys * query_size * query_size;
        }
        score_error = fmax(score_error, sqrt(squares) * scale / 32767);
        score[p] = cap > 0 ? cap * tanh(score[p] / cap) : score[p];
        largest = fmax(largest, score[p]);
    }
    for (int p = first; p < visible; p++)
        sum += score[p] = exp(score[p] - largest);
    for (int p = first; p < visible; p++)
        score[p] /= sum;
    for (int d = 0; d < head_dim; d++) {
        want[d] = 0;
        for (int p = first; p < visible; p++) {
            const double value = (double)cache->value_rows[(size_t)p * (size_t)head_dim + (size_t)d];
            want[d] += score[p] * value;
            value_size = fmax(value_size, fabs(value));
        }
    }
    for (int d = 0; d < head_dim; d++) {
        // With queries up to 4 scores reach ±60, and their rounding in f32 (4e-6) enters the weights of values up to 2.5.
        tolerance[d] = 4e-5 * queries_up_to / 4;
        // Queries and weights as 16-bit integers: six standard deviations (of a step, 1/√12) of what their rounding adds up to.
        if (rounded)
            tolerance[d] += rounding_tolerance(cache, first, visible, score, variance, d, want[d], codes);
        else if (codes)
            tolerance[d] += 6 / sqrt(12) * value_size * (2 * score_error + sqrt(visible) / sum / 32767);
    }
}

struct shape {
    int rows, q_heads, head_dim, first_position, window;
    float cap, query_size;
};

// The whole in one call, or in `pieces` that are joined.
static void run_kernel(const struct kernel *kernel, struct attention_call *call, int pieces, float *partial)
{
    if (pieces == 1) {
        ((attention_function *)kernel->function)(call);
        return;
    }
    const size_t each = attention_partial_floats(call->head_dim);
    const int lines = call->rows * call->q_heads, end = call->end, panels = (end + ATTENTION_PANEL - 1) / ATTENTION_PANEL;
    for (int piece = 0; piece < pieces; piece++) {
        call->begin = op_part(panels, piece, pieces) * ATTENTION_PANEL;
        call->end = piece + 1 < pieces ? op_part(panels, piece + 1, pieces) * ATTENTION_PANEL : end;
        call->partial = partial + (size_t)piece * (size_t)lines * each;
        ((attention_function *)kernel->function)(call);
    }
    for (int line = 0; line < lines; line++)
        attention_combine(partial + (size_t)line * each, pieces, (size_t)lines * each, call->head_dim,
                          call->out + (size_t)(line / call->q_heads) * call->out_stride + (size_t)(line % call->q_heads * call->head_dim));
}

static int check_shape(const struct kernel *kernel, enum kv_type kv, const struct shape *shape, int pieces, uint64_t *state, char *message,
                       size_t message_size)
{
    const int lines = shape->rows * shape->q_heads, width = shape->q_heads * shape->head_dim, positions = shape->first_position + shape->rows;
    const size_t stride = (size_t)width + 3, count = (size_t)shape->rows * stride;
    const size_t partial_floats = (size_t)pieces * (size_t)lines * attention_partial_floats(shape->head_dim);
    struct cache cache;
    if (cache_create(&cache, kv, positions, shape->head_dim, state) != 0)
        return -ENOMEM;
    float *q = op_input(count, (double)shape->query_size, state), *out = op_output(count), *partial = op_output(partial_floats);
    double *score = malloc(2 * (size_t)positions * sizeof(double)), want[ATTENTION_MAX_HEAD_DIM], tolerance[ATTENTION_MAX_HEAD_DIM];
    int status = q != NULL && out != NULL && partial != NULL && score != NULL ? 0 : -ENOMEM;
    struct attention_call call = { .kv = kv, .q = q, .q_stride = stride, .keys = cache.keys, .values = cache.values, .end = positions,
                                   .out = out, .out_stride = stride, .rows = shape->rows, .q_heads = shape->q_heads,
                                   .head_dim = shape->head_dim, .first_position = shape->first_position,
                                   .scale = 1 / sqrtf((float)shape->head_dim), .window = shape->window, .cap = shape->cap,
                                   .prefill = true };
    if (status == 0)
        run_kernel(kernel, &call, pieces, partial);
    for (int line = 0; line < lines && status == 0; line++) {
        const size_t at = (size_t)(line / shape->q_heads) * stride + (size_t)(line % shape->q_heads * shape->head_dim);
        reference(&cache, &call, kernel->activation == ACTIVATION_BF16, (double)shape->query_size, q + at,
                  shape->first_position + line / shape->q_heads + 1, score, want, tolerance);
        for (int d = 0; d < shape->head_dim && status == 0; d++)
            status = op_compare("out", at + (size_t)d, (double)out[at + (size_t)d], want[d], tolerance[d], message, message_size);
    }
    bool intact = status != 0 || (op_canaries(out, count) && op_canaries(partial, partial_floats));
    for (size_t i = 0; i < count && status == 0; i++)
        intact &= i % stride < (size_t)width || op_is_canary(out[i]);
    if (!intact) {
        snprintf(message, message_size, "writes outside of its output");
        status = -EIO;
    }
    op_release(q), op_release(out), op_release(partial);
    free(score);
    cache_free(&cache);
    return status;
}

static int check(const struct kernel *kernel, uint64_t seed, size_t *comparisons, char *message, size_t message_size)
{
    // around panels of 16, tiles of 64 (matrix tiles: 32), blocks of 256 (512); lines around tiles of 4, 6 and 32, passes of 96 and 1024
    // (512 of 256 dimensions); dimensions around groups of 64 and steps of 32
    enum { SMALL = 4 * 4 * 5 * 12 };
    static const int rows[] = { 1, 2, 5, 17 }, heads[] = { 1, 2, 3, 7 }, dims[] = { 16, 48, 64, 80, 128 };
    static const int firsts[] = { 0, 1, 14, 15, 16, 47, 63, 64, 127, 254, 255, 256 };
    // the last: scores of which later ones are so much larger that sums overflow if they go by earlier ones, in pieces and whole
    static const struct shape large[] = { { 70, 1, 64, 0, 0, 0, 4 }, { 49, 1, 64, 90, 0, 20, 4 }, { 1, 4, ATTENTION_MAX_HEAD_DIM, 700, 0, 0, 4 },
                                          { 3, 8, 192, 300, 64, 0, 4 }, { 1, 9, 64, 1500, 1000, 50, 4 }, { 33, 4, 128, 130, 17, 0, 4 },
                                          { 150, 2, 64, 0, 1, 5, 4 }, { 60, 3, 80, 100, 128, 0, 4 }, { 31, 1, 96, 481, 0, 0, 4 },
                                          { 33, 1, 80, 479, 0, 0, 4 }, { 16, 2, 112, 497, 0, 0, 4 }, { 40, 3, 32, 1000, 600, 30, 4 },
                                          { 260, 4, 16, 0, 0, 0, 4 }, { 130, 4, ATTENTION_MAX_HEAD_DIM, 0, 0, 0, 4 },
                                          { 40, 2, 64, 1100, 0, 0, 80 }, { 20, 2, 48, 1900, 0, 0, 80 } };
    uint64_t state = seed;
    *comparisons = 0;
    if (kernel->isa > isa_detect())
        return -EINVAL;
    for (enum kv_type kv = 0; kv < KV_TYPES; kv++) {
        if (!kernel->any_kv && kernel->kv != kv)
            continue;
        for (int i = 0; i < SMALL + (int)(sizeof(large) / sizeof(large[0])); i++) {
            const struct shape small = { rows[i % 4], heads[i / 4 % 4], dims[i / 16 % 5], firsts[i / 80 % 12], 0, 0, 4 };
            const struct shape *shape = i < SMALL ? &small : &large[i - SMALL];
            char difference[200] = "no memory";
            const int pieces = shape->window > 0 ? 1 : i % 3 + 1, status = check_shape(kernel, kv, shape, pieces, &state, difference, sizeof(difference));
            if (status != 0) {
                snprintf(message, message_size, "%s: %s cache, rows %d q_heads %d head_dim %d first_position %d in %d pieces, seed %llu: %s",
                         kernel->name, kv_type_name(kv), shape->rows, shape->q_heads, shape->head_dim, shape->first_position, pieces,
                         (unsigned long long)seed, difference);
                return status;
            }
            ++*comparisons;
        }
    }
    return 0;
}

// ---------------------------------------------------------------------------------------------------------------------
// Query heads, key/value heads, head dimension; the last m of n positions ask.

static const char *const shapes[] = { "q32 kv8 d128 m1 n4096", "q32 kv8 d128 m1 n16384", "q9 kv3 d64 m1 n2048", "q9 kv3 d64 m1 n16384",
                                      "q4 kv1 d128 m512 n8192", "q3 kv1 d64 m512 n8192", "q3 kv1 d64 m512 n512", NULL };

enum { HUGE_PAGE = 2 << 20, ROWS = 256 }; // rows of an item of prefill

struct op_problem {
    attention_function *function;
    enum kv_type kv;
    int group, kv_heads, head_dim, rows, positions, piece, pieces; // piece: positions of a piece of decode
    size_t head_bytes;
    float *q, *out, *partial; // (rows, q heads, d); (kv heads, pieces, group, d + 2)
    uint8_t *cache; // (copies, kv heads, keys and values, panels)
};

static void release(struct op_problem *problem)
{
    if (problem == NULL)
        return;
    op_release(problem->q), op_release(problem->out), op_release(problem->partial);
    free(problem->cache);
    free(problem);
}

static int fill_cache(struct op_problem *problem, int copies, uint64_t *state)
{
    struct cache head;
    const size_t each = problem->head_bytes;
    // one head drawn, all others its copies: their contents do not change the time
    const int status = cache_create(&head, problem->kv, problem->positions, problem->head_dim, state);
    if (status != 0)
        return status;
    for (size_t i = 0; i < (size_t)copies * (size_t)problem->kv_heads; i++) {
        memcpy(problem->cache + 2 * i * each, head.keys, each);
        memcpy(problem->cache + (2 * i + 1) * each, head.values, each);
    }
    cache_free(&head);
    return 0;
}

static int setup(const struct kernel *kernel, const char *shape, int copies, uint64_t seed, struct op_problem **problem, char *error,
                 size_t error_size)
{
    int heads, kv_heads, head_dim, rows, positions, end = 0;
    *problem = NULL;
    if (sscanf(shape, "q%d kv%d d%d m%d n%d%n", &heads, &kv_heads, &head_dim, &rows, &positions, &end) != 5 || shape[end] != '\0' ||
        heads < 1 || kv_heads < 1 || heads % kv_heads != 0 || head_dim % 16 != 0 || head_dim < 16 ||
        head_dim > ATTENTION_MAX_HEAD_DIM || rows < 1 || positions < rows) {
        snprintf(error, error_size, "attention: '%s' is not a shape such as '%s'", shape, shapes[0]);
        return -EINVAL;
    }
    struct op_problem *made = calloc(1, sizeof(*made));
    int status = made != NULL ? 0 : -ENOMEM;
    if (status == 0) {
        *made = (struct op_problem){ .function = (attention_function *)kernel->function, .kv = kernel->kv, .group = heads / kv_heads,
                                     .kv_heads = kv_heads, .head_dim = head_dim, .rows = rows, .positions = positions,
                                     .piece = attention_piece(positions) };
        made->pieces = (positions + made->piece - 1) / made->piece;
        made->head_bytes = cache_bytes(made->kv, head_dim, positions);
        const size_t width = (size_t)heads * (size_t)head_dim;
        made->q = op_input((size_t)rows * width, 2, &seed);
        made->out = op_output((size_t)rows * width);
        made->partial = op_output((size_t)heads * (size_t)made->pieces * attention_partial_floats(head_dim));
        const size_t bytes = ((size_t)copies * (size_t)kv_heads * 2 * made->head_bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
        made->cache = aligned_alloc(HUGE_PAGE, bytes);
        if (made->cache != NULL)
            madvise(made->cache, bytes, MADV_HUGEPAGE); // as the engine's cache
        if (made->q == NULL || made->out == NULL || made->partial == NULL || made->cache == NULL)
            status = -ENOMEM;
    }
    if (status == 0)
        status = fill_cache(made, copies, &seed);
    if (status != 0) {
        release(made);
        snprintf(error, error_size, "attention: no memory for %d copies of '%s'", copies, shape);
        return status;
    }
    *problem = made;
    return 0;
}

// Decode: pieces of the cache, then their joining. Prefill: blocks of rows, later ones, which see more, first.
static void run(struct op_problem *problem, int copy, int phase, int part, int parts)
{
    const bool split = problem->rows == 1;
    const size_t width = (size_t)(problem->group * problem->kv_heads) * (size_t)problem->head_dim;
    const size_t each = attention_partial_floats(problem->head_dim), head_floats = (size_t)problem->group * (size_t)problem->head_dim;
    const int blocks = split ? problem->pieces : (problem->rows + ROWS - 1) / ROWS;
    if (phase == 1 && split) {
        for (int line = op_part(problem->group * problem->kv_heads, part, parts);
             line < op_part(problem->group * problem->kv_heads, part + 1, parts); line++)
            attention_combine(problem->partial + ((size_t)(line / problem->group * problem->pieces * problem->group) +
                                                  (size_t)(line % problem->group)) * each,
                              problem->pieces, (size_t)problem->group * each, problem->head_dim,
                              problem->out + (size_t)line * (size_t)problem->head_dim);
    }
    if (phase == 1)
        return;
    const int items = blocks * problem->kv_heads;
    const int begin = split ? op_part(items, part, parts) : part, end = split ? op_part(items, part + 1, parts) : items;
    for (int item = begin; item < end; item += split ? 1 : parts) {
        const int head = split ? item / blocks : item % problem->kv_heads;
        const int block = split ? item % blocks : blocks - 1 - item / problem->kv_heads;
        const uint8_t *keys = problem->cache +
                              2 * ((size_t)copy * (size_t)problem->kv_heads + (size_t)head) * problem->head_bytes;
        const int row = split ? 0 : block * ROWS, left = problem->rows - row;
        const int piece_end = (block + 1) * problem->piece, next = item + 1;
        const size_t panel = attention_panel_bytes(problem->kv, problem->head_dim);
        const uint8_t *soon = problem->cache + 2 * ((size_t)copy * (size_t)problem->kv_heads + (size_t)(next / blocks)) * problem->head_bytes +
                              (size_t)(next % blocks * problem->piece / ATTENTION_PANEL) * panel;
        problem->function(&(struct attention_call){
            .kv = problem->kv, .q = problem->q + (size_t)row * width + (size_t)head * head_floats, .q_stride = width, .keys = keys,
            .values = keys + problem->head_bytes, .begin = split ? block * problem->piece : 0,
            .end = split && piece_end < problem->positions ? piece_end : problem->positions,
            .out = problem->out + (size_t)row * width + (size_t)head * head_floats, .out_stride = width,
            .rows = split ? 1 : left < ROWS ? left : ROWS, .q_heads = problem->group, .head_dim = problem->head_dim,
            .first_position = problem->positions - problem->rows + row, .scale = 1 / sqrtf((float)problem->head_dim),
            .prefill = !split, .soon_keys = split && next < end ? soon : NULL,
            .soon_values = split && next < end ? soon + problem->head_bytes : NULL,
            .partial = split ? problem->partial + (size_t)item * (size_t)problem->group * each : NULL });
    }
}

// Positions that all rows together see.
static double seen(const struct op_problem *problem)
{
    return problem->rows * (problem->positions - (problem->rows - 1) / 2.0);
}

// A product and its sum for each number of the keys and of the values.
static double operations(const struct op_problem *problem)
{
    return 4.0 * problem->group * problem->kv_heads * problem->head_dim * seen(problem);
}

static double bytes(const struct op_problem *problem)
{
    const double vectors = 2.0 * problem->rows * problem->group * problem->kv_heads * problem->head_dim * (double)sizeof(float);
    return 2.0 * problem->kv_heads * (double)problem->head_bytes + vectors;
}

static enum op_arithmetic arithmetic(const struct kernel *kernel)
{
    return kernel->activation == ACTIVATION_BF16                  ? ARITHMETIC_BF16
           : kernel->kv == KV_Q8 || kernel->kv == KV_Q4 ? ARITHMETIC_INT16
                                                       : ARITHMETIC_F32;
}

const struct op_descriptor attention_op = {
    .op = OP_ATTENTION,
    .name = "attention",
    .check = check,
    .shapes = shapes,
    .setup = setup,
    .free = release,
    .phases = 2,
    .run = run,
    .operations = operations,
    .bytes = bytes,
    .arithmetic = arithmetic,
};
