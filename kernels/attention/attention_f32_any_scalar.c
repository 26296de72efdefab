// SPDX-License-Identifier: MIT
#include "kernels/attention/attention.h"

#include <assert.h>
#include <math.h>

// One query line at a time, one position at a time.
static void attend(const struct attention_call *call, const float *q, int first, int last, float *out, float *largest_out, float *sum_out)
{
    const size_t panel = attention_panel_bytes(call->kv, call->head_dim);
    const float log2_e = 1.44269504f;
    float key[ATTENTION_MAX_HEAD_DIM], value[ATTENTION_MAX_HEAD_DIM], largest = -INFINITY, sum = 0;
    for (int d = 0; d < call->head_dim; d++)
        out[d] = 0;
    for (int position = first; position <= last; position++) {
        const size_t offset = (size_t)(position / ATTENTION_PANEL) * panel;
        attention_load(call->kv, call->head_dim, position % ATTENTION_PANEL, (const char *)call->keys + offset,
                       (const char *)call->values + offset, key, value);
        float score = 0;
        for (int d = 0; d < call->head_dim; d++)
            score += q[d] * key[d];
        score *= call->scale;
        score = (call->cap > 0 ? call->cap * tanhf(score / call->cap) : score) * log2_e;
        float shrink = 1;
        if (score > largest) {
            shrink = exp2f(largest - score); // 0 at first
            largest = score;
        }
        const float weight = exp2f(score - largest);
        sum = sum * shrink + weight;
        for (int d = 0; d < call->head_dim; d++)
            out[d] = out[d] * shrink + weight * value[d];
    }
    *largest_out = largest;
    *sum_out = sum;
}

static void attention(const struct attention_call *call)
{
    assert(call->head_dim % 16 == 0 && call->head_dim <= ATTENTION_MAX_HEAD_DIM && call->begin % ATTENTION_PANEL == 0);
    for (int row = 0; row < call->rows; row++)
        for (int head = 0; head < call->q_heads; head++) {
            const size_t offset = (size_t)head * (size_t)call->head_dim;
            const int seen = call->first_position + row + 1, last = (seen < call->end ? seen : call->end) - 1;
            const int line = row * call->q_heads + head, from = call->window > 0 ? seen - call->window : 0;
            float largest, sum;
            float *out = call->partial != NULL ? call->partial + (size_t)line * attention_partial_floats(call->head_dim)
                                               : call->out + (size_t)row * call->out_stride + offset;
            attend(call, call->q + (size_t)row * call->q_stride + offset, from > call->begin ? from : call->begin, last, out, &largest, &sum);
            if (call->partial != NULL) {
                out[call->head_dim] = largest;
                out[call->head_dim + 1] = sum;
                continue;
            }
            for (int d = 0; d < call->head_dim; d++)
                out[d] /= sum;
        }
}

const struct kernel attention_f32_any_scalar = {
    .name = "attention_f32_any_scalar",
    .op = OP_ATTENTION,
    .isa = ISA_SCALAR,
    .any_kv = true,
    .layout = "one position at a time, read back from any cache",
    .function = (void (*)(void))attention,
};
