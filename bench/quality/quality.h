// SPDX-License-Identifier: MIT
// What compression costs: perplexity, and how far the predictions move away from the unpruned f32 model on the same tokens.
//
// Convention of llama.cpp's perplexity tool: the text is cut into windows of 512 tokens, the first token of each replaced by BOS; the second half of
// each window is scored: 255 predictions, each from 257 tokens of context or more. Everything runs through the packed kernels of an engine.
// Standard errors treat scored tokens as independent; paired figures (Δ, KLD, agreement) are differences on the same token.
// KLD = mean over positions of KL(baseline ‖ variant), Kullback & Leibler 1951, in nats. Flips: the share of positions where the
// two models' greedy tokens differ in being right (Dutta et al. 2024, "Accuracy is Not All You Need").
#ifndef LLMSWEEP_QUALITY_H
#define LLMSWEEP_QUALITY_H

#include <stddef.h>
#include <stdint.h>

#include "bench/model/engine.h"

struct quality_settings {
    int window;     // QUALITY_WINDOW
    int max_tokens; // of the text that are used, 0 = all; rounded down to whole windows
    int batch;      // windows at a time; a multiple of the replicas; 0 = the engine's max_batch
};

enum { QUALITY_WINDOW = 512 };
// Positions of a window: QUALITY_WINDOW, or the model's context where that is less.
int quality_window(const struct model_config *config);
// How many of them an engine of that layout should hold at a time (its max_batch): one for each stage of each replica. A window is more rows
// than go through the layers at once, so more of them would only need room for more caches.
int quality_windows_at_once(const struct layout *layout);

struct quality_result {
    int tokens; // scored
    double ppl, ppl_se;
    // against the baseline; NaN when there was none (the baseline itself)
    double dlnppl, dlnppl_se; // mean of ln p₀ − ln p on the true tokens: ln(ppl/ppl₀)
    double kld, kld_se;       // mean
    double kld_median, kld_median_se, kld_p99, kld_p99_se, kld_max; // a quantile's error: half of what its ranks ± one s.e. enclose
    double top1, top1_se;     // the share of positions with the same greedy token
    double flips, flips_se;
};

// The baseline's log-probabilities, 16 bits each: linear between each position's largest and smallest, so a step is below 5e-4 nats over a range of 30
// and its effect on KLD below 1e-7. 2 bytes × vocab × scored tokens (64 MB for 8k tokens of a 4096-token vocabulary), held by the ranks that score.
struct quality_baseline;

// Scores the text (tokens) through the engine, whose max_context is at least the window. baseline_out: NULL, or receives what a later call compares
// with. baseline: NULL, or from an earlier call over the same tokens, settings and number of replicas. Collective; every rank gets the same result.
// -EINVAL (less than one window of text, a baseline of another text), -EDOM when a logit is NaN or infinite: never a number then.
int quality_measure(struct engine *engine, const int32_t *tokens, size_t count, int bos, const struct quality_settings *settings,
                    const struct quality_baseline *baseline, struct quality_baseline **baseline_out, struct quality_result *result,
                    char *error, size_t error_size);
void quality_baseline_free(struct quality_baseline *baseline);
size_t quality_baseline_bytes(const struct quality_baseline *baseline);
// The perplexity side of the baseline itself.
const struct quality_result *quality_baseline_result(const struct quality_baseline *baseline);

// The statistics alone, over per-token figures of the scored positions (count): what quality_measure ends with.
struct quality_tokens {
    size_t count;
    const float *loss;          // −ln p of the true token
    const float *baseline_loss; // NULL without a baseline, and then the rest too
    const float *kld;
    const float *same_top;     // 1 where both models have the same greedy token
    const float *flipped;      // 1 where exactly one of them is right
};
void quality_statistics(const struct quality_tokens *tokens, struct quality_result *result);

#endif
