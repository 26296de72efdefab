// SPDX-License-Identifier: MIT
// llmsweep peers: OpenBLAS and oneDNN beside our own dense kernels.
#include "bench/commands/peers_command.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "bench/workloads/peers.h"
#include "kernels/linear/linear_op.h"

static const struct {
    const char *word;
    enum activation activation;
} formats[] = {{"f32", ACTIVATION_F32}, {"bf16", ACTIVATION_F32}, {"bf16", ACTIVATION_BF16}, {"q8c", ACTIVATION_Q8}};
static const char *const problems[] = {"2048x5632 m1", "2048x5632 m32", "2048x5632 m512", "4096x4096 m512"};
#define COUNT(list) ((int)(sizeof(list) / sizeof(*(list))))

struct contest {
    const struct kernel *kernel[PROVIDER_COUNT]; // NULL where a provider has none
    struct kernel_bench *bench[PROVIDER_COUNT];
    double ns[PROVIDER_COUNT][PEER_PAIRS_LIMIT];
};

static int complain(const char *error) {
    fprintf(stderr, "llmsweep: peers: %s\n", error);
    return 3;
}

// Every provider once a turn, in an order that turns around, so that none always follows the same other.
static int take_turns(struct contest *contest, int pairs, char *error, size_t error_size) {
    for (int pair = 0; pair < pairs; pair++)
        for (int i = 0; i < PROVIDER_COUNT; i++) {
            const int provider = pair % 2 ? PROVIDER_COUNT - 1 - i : i;
            if (contest->bench[provider] == NULL)
                continue;
            const int status = kernel_bench_visit(contest->bench[provider], &contest->ns[provider][pair], error, error_size);
            if (status != 0)
                return status;
        }
    return 0;
}

static int report(const struct peers_request *request, const struct contest *contest, const char *shape, int threads) {
    struct kernel_bench_result own, other;
    if (kernel_bench_result(contest->bench[PROVIDER_OWN], &own) != 0)
        return -EINVAL;
    for (int provider = PROVIDER_OWN + 1; provider < PROVIDER_COUNT; provider++) {
        double ratios[PEER_PAIRS_LIMIT];
        struct stats_interval ratio;
        if (contest->bench[provider] == NULL)
            continue;
        for (int i = 0; i < request->pairs; i++)
            ratios[i] = contest->ns[provider][i] / contest->ns[PROVIDER_OWN][i];
        if (kernel_bench_result(contest->bench[provider], &other) != 0 ||
            stats_median_ci(ratios, (size_t)request->pairs, 0.95, &ratio) != 0)
            return -EINVAL;
        if (request->json == NULL)
            printf("%-22s %-4s %2d  %-26s %-9s %9.1f %9.1f %7.2f [%.2f, %.2f] %7.0f%% %6.0f%%\n", shape, own.cold ? "cold" : "hot", threads,
                   contest->kernel[PROVIDER_OWN]->name, provider_name((enum provider)provider), own.gops, other.gops, ratio.estimate,
                   ratio.lo, ratio.hi, 100 * own.roof_fraction, 100 * other.roof_fraction);
        else if (json_array_append_new(
                     request->json,
                     json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:i, s:f, s:f}", "kind", "kernel", "shape", shape,
                               "cache", own.cold ? "cold" : "hot", "threads", threads, "ours", contest->kernel[PROVIDER_OWN]->name,
                               "theirs", provider_name((enum provider)provider), "ours_gops", own.gops, "theirs_gops", other.gops, "ratio",
                               ratio.estimate, "ratio_lo", ratio.lo, "ratio_hi", ratio.hi, "pairs", request->pairs, "ours_roof_fraction",
                               own.roof_fraction, "theirs_roof_fraction", other.roof_fraction)) != 0)
            return -ENOMEM;
        fflush(stdout);
    }
    return 0;
}

static int compete(const struct peers_request *request, struct kernel_bencher *bencher, const char *word,
                   enum activation activation, const char *shape, int threads, char *error, size_t error_size) {
    struct contest contest = {0};
    struct weight_format format;
    int status = weight_format_parse(word, &format, error, error_size);
    for (int provider = 0; provider < PROVIDER_COUNT && status == 0; provider++) {
        size_t comparisons;
        contest.kernel[provider] = kernel_linear(&format, activation, (enum provider)provider, NULL, 0);
        if (contest.kernel[provider] == NULL)
            continue;
        // What is wrong is not timed. Once for every first matrix is enough, but cheap beside the timing.
        status = linear_check_kernel(contest.kernel[provider], 20, &comparisons, error, error_size);
        if (status == 0)
            status = kernel_bench_open(&contest.bench[provider], bencher, contest.kernel[provider], shape, error, error_size);
    }
    if (status == 0)
        status = take_turns(&contest, request->pairs, error, error_size);
    if (status == 0) {
        snprintf(error, error_size, "%s: no usable figures", shape);
        status = report(request, &contest, shape, threads);
    }
    for (int provider = 0; provider < PROVIDER_COUNT; provider++)
        kernel_bench_close(contest.bench[provider]);
    return status;
}

int peers_libraries(const struct peers_request *request, struct kernel_bench_options options) {
    char error[512] = "";
    options.visits = request->pairs;
    options.sampler.max_time = 0.03 * request->pairs;
    options.all_visits = true;
    if (request->json == NULL)
        printf("%-22s %-4s %2s  %-26s %-9s %9s %9s %7s %-13s %7s %6s\n", "kernels", "", "t", "ours", "theirs", "GOP/s", "GOP/s", "ratio",
               " 95%", "of roof", "theirs");
    for (int t = 0; t < request->thread_count; t++) {
        struct kernel_bencher *bencher;
        options.threads = request->threads[t];
        if (kernel_bencher_open(&bencher, &options, error, sizeof(error)) != 0)
            return complain(error);
        int status = 0;
        for (int f = 0; f < COUNT(formats); f++)
            for (int i = 0; i < COUNT(problems) && status == 0; i++) {
                char shape[64];
                snprintf(shape, sizeof(shape), "%s %s", formats[f].word, problems[i]);
                status = compete(request, bencher, formats[f].word, formats[f].activation, shape, options.threads, error, sizeof(error));
            }
        kernel_bencher_close(bencher);
        if (status != 0)
            return complain(error);
    }
    return 0;
}
