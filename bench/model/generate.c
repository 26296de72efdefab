// SPDX-License-Identifier: MIT
#include "bench/model/generate.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

// SplitMix64 (Steele, Lea and Flood 2014), as a number in 0 … 1.
static double uniform(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

struct candidate {
    float logit;
    int32_t token;
    double weight;
};

static int best_first(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit < y->logit ? 1 : -1;
    return x->token - y->token;
}

int32_t sampling_draw(const struct sampling *sampling, uint64_t *state, const float *logits, int vocab)
{
    struct candidate *candidates = sampling->temperature > 0 ? malloc((size_t)vocab * sizeof(*candidates)) : NULL;
    if (candidates == NULL) { // greedy
        int best = 0;
        for (int i = 1; i < vocab; i++)
            best = logits[i] > logits[best] ? i : best;
        return best;
    }
    for (int i = 0; i < vocab; i++)
        candidates[i] = (struct candidate){ .logit = logits[i], .token = i };
    qsort(candidates, (size_t)vocab, sizeof(*candidates), best_first);
    int count = sampling->top_k > 0 && sampling->top_k < vocab ? sampling->top_k : vocab;
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += candidates[i].weight = exp(((double)candidates[i].logit - (double)candidates[0].logit) / sampling->temperature);
    // top-p: the fewest of the best that together reach p (Holtzman et al. 2020)
    double kept = 0;
    for (int i = 0; i < count; i++) {
        kept += candidates[i].weight;
        if (kept >= sampling->top_p * sum)
            count = i + 1;
    }
    double at = uniform(state) * kept;
    int chosen = 0;
    while (chosen + 1 < count && (at -= candidates[chosen].weight) >= 0)
        chosen++;
    const int32_t token = candidates[chosen].token;
    free(candidates);
    return token;
}

int generate_tokens(struct engine *engine, const int32_t *prompt, int prompt_tokens, int n, const struct sampling *sampling,
                    generate_callback *callback, void *context, char *error, size_t error_size)
{
    const int vocab = engine_vocab(engine);
    uint64_t state = sampling->seed;
    float *logits = NULL;
    if (sampling->temperature > 0 && (logits = malloc((size_t)vocab * sizeof(float))) == NULL) {
        snprintf(error, error_size, "no memory for the logits of a vocabulary of %d", vocab);
        return -ENOMEM;
    }
    int32_t token;
    int status = engine_prefill(engine, prompt, 1, prompt_tokens, &token, logits, error, error_size);
    for (int i = 0; status == 0; i++) {
        if (logits != NULL)
            token = sampling_draw(sampling, &state, logits, vocab);
        if (!callback(context, token) || i + 1 >= n)
            break;
        status = engine_decode(engine, &token, 1, &token, logits, error, error_size);
    }
    free(logits);
    return status;
}
