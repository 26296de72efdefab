// SPDX-License-Identifier: MIT
#include "bench/model/generate.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/model/utf8.h"

// SplitMix64 (Steele, Lea and Flood 2014), as a number in 0 … 1.
static double uniform(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

// Whether a comes out of the heap before b.
static bool likelier(const struct sampling_candidate *a, const struct sampling_candidate *b)
{
    return a->weight != b->weight ? a->weight > b->weight : a->token < b->token;
}

static void sift_down(struct sampling_candidate *heap, int count, int i)
{
    const struct sampling_candidate moved = heap[i];
    for (int child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && likelier(&heap[child + 1], &heap[child]))
            child++;
        if (!likelier(&heap[child], &moved))
            break;
        heap[i] = heap[child];
    }
    heap[i] = moved;
}

int32_t sampling_draw(const struct sampling *sampling, uint64_t *state, const float *logits, int vocab, struct sampling_candidate *scratch)
{
    int best = 0;
    for (int i = 1; i < vocab; i++)
        best = logits[i] > logits[best] ? i : best;
    if (!(sampling->temperature > 0))
        return best;
    double sum = 0;
    for (int i = 0; i < vocab; i++) {
        scratch[i] = (struct sampling_candidate){ .weight = exp(((double)logits[i] - (double)logits[best]) / sampling->temperature), .token = i };
        sum += scratch[i].weight;
    }
    // the likeliest go to the array's end, one after the other, until there are enough
    const int most = sampling->top_k > 0 && sampling->top_k < vocab ? sampling->top_k : vocab;
    const double reach = sampling->top_p * sum;
    int count = vocab;
    double kept = sum;
    if (most < vocab || sampling->top_p < 1) {
        for (int i = vocab / 2; i-- > 0;)
            sift_down(scratch, vocab, i);
        for (count = 0, kept = 0; count < most && (most < vocab || kept < reach); count++) {
            const struct sampling_candidate top = scratch[0];
            const int left = vocab - 1 - count;
            scratch[0] = scratch[left];
            sift_down(scratch, left, 0);
            scratch[left] = top;
            kept += top.weight;
        }
        if (most < vocab && sampling->top_p < 1) { // top-p is of what top-k left
            const double limit = sampling->top_p * kept;
            for (count = 0, kept = 0; kept < limit; count++)
                kept += scratch[vocab - 1 - count].weight;
        }
    }
    double at = uniform(state) * kept;
    const struct sampling_candidate *chosen = &scratch[vocab - 1];
    for (int i = 1; i < count && (at -= chosen->weight) >= 0; i++)
        chosen--;
    return chosen->token;
}

int generate_tokens(struct engine *engine, const int32_t *prompt, int prompt_tokens, int n, const struct sampling *sampling,
                    generate_callback *callback, void *context, char *error, size_t error_size)
{
    const int vocab = engine_vocab(engine);
    uint64_t state = sampling->seed;
    float *logits = NULL;
    struct sampling_candidate *scratch = NULL;
    if (sampling->temperature > 0 && ((logits = malloc((size_t)vocab * sizeof(float))) == NULL ||
                                      (scratch = malloc((size_t)vocab * sizeof(*scratch))) == NULL)) {
        free(logits);
        snprintf(error, error_size, "no memory for the logits of a vocabulary of %d", vocab);
        return -ENOMEM;
    }
    int32_t token;
    int status = engine_prefill(engine, prompt, 1, prompt_tokens, &token, logits, error, error_size);
    for (int i = 0; status == 0; i++) {
        if (logits != NULL)
            token = sampling_draw(sampling, &state, logits, vocab, scratch);
        if (!callback(context, token) || i + 1 >= n)
            break;
        status = engine_decode(engine, &token, 1, &token, logits, error, error_size);
    }
    free(logits);
    free(scratch);
    return status;
}

// Whether the held bytes may become a character with more bytes behind them.
static bool is_beginning(const char *held, size_t count)
{
    static const char more[3] = "\x80\x80\x80", high[3] = "\xbf\xbf\xbf";
    char whole[8];
    for (size_t add = 1; add <= 3 && count + add <= 4; add++) {
        memcpy(whole, held, count);
        memcpy(whole + count, more, add);
        if (utf8_valid_character(whole, count + add) == (int)(count + add))
            return true;
        memcpy(whole + count, high, add);
        if (utf8_valid_character(whole, count + add) == (int)(count + add))
            return true;
    }
    return false;
}

void text_stream_write(struct text_stream *stream, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        stream->held[stream->count++] = text[i];
        while (stream->count > 0) {
            const int length = utf8_valid_character(stream->held, stream->count);
            if (length == 0 && is_beginning(stream->held, stream->count))
                break;
            if (length > 0)
                fwrite(stream->held, 1, (size_t)length, stream->file);
            else
                fputs("\xef\xbf\xbd", stream->file);
            const size_t used = length > 0 ? (size_t)length : 1;
            stream->count -= used;
            memmove(stream->held, stream->held + used, stream->count);
        }
    }
    fflush(stream->file);
}

void text_stream_end(struct text_stream *stream)
{
    if (stream->count > 0)
        fputs("\xef\xbf\xbd", stream->file);
    stream->count = 0;
    fflush(stream->file);
}
