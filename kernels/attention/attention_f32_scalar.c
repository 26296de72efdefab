// SPDX-License-Identifier: MIT
#include "kernels/attention/attention.h"

#include <assert.h>
#include <math.h>

#include "kernels/kernel.h"

// One query over the positions 0 … last: two passes over the keys keep it plain, the running maximum keeps it in one buffer.
static void attend(const struct attention_call *call, const float *q, float *out, int last)
{
    const int size = call->head_dim;
    float largest = -INFINITY;
    double sum = 0, weighted[ATTENTION_MAX_HEAD_DIM] = { 0 };
    for (int position = 0; position <= last; position++) {
        const float *key = call->keys + (size_t)(position / ATTENTION_PANEL) * (size_t)size * ATTENTION_PANEL + position % ATTENTION_PANEL;
        const float *value = call->values + (size_t)position * (size_t)size;
        double dot = 0;
        for (int d = 0; d < size; d++)
            dot += (double)q[d] * (double)key[(size_t)d * ATTENTION_PANEL];
        const float score = (float)dot * call->scale;
        if (score > largest) {
            const double shrink = exp((double)(largest - score));
            sum *= shrink;
            for (int d = 0; d < size; d++)
                weighted[d] *= shrink;
            largest = score;
        }
        const double weight = exp((double)(score - largest));
        sum += weight;
        for (int d = 0; d < size; d++)
            weighted[d] += weight * (double)value[d];
    }
    for (int d = 0; d < size; d++)
        out[d] = (float)(weighted[d] / sum);
}

static void attention(const struct attention_call *call)
{
    assert(call->head_dim % 16 == 0 && call->head_dim <= ATTENTION_MAX_HEAD_DIM);
    for (int row = 0; row < call->rows; row++)
        for (int head = 0; head < call->q_heads; head++) {
            const size_t offset = (size_t)head * (size_t)call->head_dim;
            attend(call, call->q + (size_t)row * call->q_stride + offset, call->out + (size_t)row * call->out_stride + offset,
                   call->first_position + row);
        }
}

const struct kernel attention_f32_scalar = {
    .name = "attention_f32_scalar",
    .op = OP_ATTENTION,
    .isa = ISA_SCALAR,
    .layout = "one query at a time over f32 keys and values, in double",
    .function = (void (*)(void))attention,
};
