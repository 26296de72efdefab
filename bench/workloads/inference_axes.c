// SPDX-License-Identifier: MIT
// The axes of the inference workload: which words each takes, and what a cell's words mean together.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/workloads/inference.h"
#include "harness/spec.h"

static int check_integer(const char *what, const char *word, long low, long high, char *value, size_t size, char *reason,
                         size_t reason_size) {
    char *end;
    long number = strtol(word, &end, 10);
    if (*end || end == word || number < low || number > high) {
        snprintf(reason, reason_size, "%s = '%.40s' is not a whole number within %ld and %ld", what, word, low, high);
        return -EINVAL;
    }
    snprintf(value, size, "%ld", number);
    return 0;
}

static int check_choice(const char *what, const char *word, const char *const *known, size_t count, char *value, size_t size,
                        char *reason, size_t reason_size) {
    for (size_t i = 0; i < count; i++)
        if (!strcmp(word, known[i])) {
            snprintf(value, size, "%s", word);
            return 0;
        }
    word_unknown(what, word, known, count, reason, reason_size);
    return -EINVAL;
}
#define CHOICE(what, ...)                                                                                                       \
    static const char *const known[] = {__VA_ARGS__};                                                                           \
    return check_choice(what, word, known, sizeof known / sizeof *known, value, size, reason, reason_size)

static int canonical_model(const char *word, char *value, size_t size, char *reason, size_t reason_size) {
    if (strlen(word) >= size) {
        snprintf(reason, reason_size, "model: the path is longer than %zu characters", size - 1);
        return -EINVAL;
    }
    strcpy(value, word);
    return 0;
}
static int canonical_prune(const char *word, char *value, size_t size, char *reason, size_t reason_size) {
    struct variant_recipe recipe = {0};
    int result = recipe_parse_prune(word, &recipe, reason, reason_size);
    if (!result)
        recipe_prune_name(&recipe, value, size);
    return result;
}
static int canonical_format(const char *word, char *value, size_t size, char *reason, size_t reason_size) {
    struct variant_recipe recipe = {0};
    int result = recipe_parse_format(word, &recipe, reason, reason_size);
    if (!result)
        recipe_format_name(&recipe, value, size);
    return result;
}
static int canonical_act(const char *word, char *value, size_t size, char *reason, size_t reason_size) {
    CHOICE("activations", "auto", "f32", "bf16", "q8", "q8g");
}
static int canonical_kv(const char *word, char *value, size_t size, char *reason, size_t reason_size) {
    struct kv_format format;
    int result = kv_format_parse(word, &format, reason, reason_size);
    if (!result)
        kv_format_name(&format, value, size);
    return result;
}
static int canonical_batch(const char *word, char *value, size_t size, char *reason, size_t reason_size) {
    return check_integer("batch", word, 1, 65536, value, size, reason, reason_size);
}
// "128", or "32|128": sequences of different lengths in one batch.
static int canonical_prompt(const char *word, char *value, size_t size, char *reason, size_t reason_size) {
    char part[32], first[32] = "";
    size_t at = 0;
    bool mixed = false;
    for (int i = 0; ; i++) {
        size_t length = strcspn(word, "|");
        snprintf(part, sizeof part, "%.*s", (int)(length < sizeof part ? length : sizeof part), word);
        char number[32];
        if (check_integer("prompt", part, 1, 1 << 20, number, sizeof number, reason, reason_size))
            return -EINVAL;
        if (i == PROMPT_LENGTHS) {
            snprintf(reason, reason_size, "prompt: more than %d lengths in one batch", PROMPT_LENGTHS);
            return -EINVAL;
        }
        if (i == 0)
            snprintf(first, sizeof first, "%s", number);
        mixed |= strcmp(first, number) != 0;
        at += (size_t)snprintf(value + at, at < size ? size - at : 0, "%s%s", i ? "|" : "", number);
        if (!word[length])
            break;
        word += length + 1;
    }
    if (!mixed)
        snprintf(value, size, "%s", first);
    return 0;
}
static int canonical_prefix(const char *word, char *value, size_t size, char *reason, size_t reason_size) {
    return check_integer("prefix", word, 0, 1 << 20, value, size, reason, reason_size);
}
static int canonical_gen(const char *word, char *value, size_t size, char *reason, size_t reason_size) {
    // The prefill gives the first token: two are the fewest that have a time between them.
    return check_integer("gen", word, 2, 1 << 20, value, size, reason, reason_size);
}
static int canonical_layout(const char *word, char *value, size_t size, char *reason, size_t reason_size) {
    struct layout layout;
    int result = layout_parse(word, &layout, reason, reason_size);
    if (!result)
        layout_name(&layout, value, size);
    return result;
}
static int canonical_provider(const char *word, char *value, size_t size, char *reason, size_t reason_size) {
    CHOICE("provider", "own", "openblas", "onednn");
}
static int canonical_isa(const char *word, char *value, size_t size, char *reason, size_t reason_size) {
    CHOICE("instruction set", "auto", "scalar", "avx2", "avx512", "avx512vnni", "avx512bf16", "amx");
}
static int canonical_device(const char *word, char *value, size_t size, char *reason, size_t reason_size) {
    CHOICE("device", "cpu");
}

const struct axis inference_axes[INFERENCE_AXES] = {
    [AXIS_MODEL] = {"model", "bench/models/embedded.gguf", "a .gguf file, or a shape from bench/models/shapes/", true, canonical_model},
    [AXIS_PRUNE] = {"prune", "none", "none, 50% (by magnitude), global:50%, 2:4, 4:8, b16x4:50%; wanda:50%, sparsegpt:2:4, gradient:50%", false, canonical_prune},
    [AXIS_FORMAT] = {"format", "f32", "f32 bf16 q16 q8g32 q6g32 q5g32 q4g32 q3g32 q2g32 q4c; a behind it: asymmetric; gptq:q4g128, awq:q4g128a, hqq:q4g64a", false,
                     canonical_format},
    [AXIS_ACT] = {"act", "auto", "activations: f32, bf16 (rounded; where there is AMX, weights of many tokens too), q8 (a scale a token), q8g (a scale for each group of the weights), or auto: for weights of 8 bits and fewer q8g, where they have groups, and q8", false, canonical_act},
    [AXIS_KV] = {"kv", "f32", "the KV cache: f32, bf16, q8, q4; q8w128: the newest 128 tokens in f32", false, canonical_kv},
    [AXIS_BATCH] = {"batch", "1", "sequences in flight over the whole layout", false, canonical_batch},
    [AXIS_PROMPT] = {"prompt", "128", "tokens before the first generated one; 32|128: a batch of both lengths, in turn", false, canonical_prompt},
    [AXIS_PREFIX] = {"prefix", "0", "tokens at their head that all prompts share: computed once, then copied", false, canonical_prefix},
    [AXIS_GEN] = {"gen", "32", "tokens generated for each sequence", false, canonical_gen},
    [AXIS_LAYOUT] = {"layout", "t1", "t2 (threads), dp2 (replicas), tp2 (shards), pp2 (stages), dp2.tp2.t4", false, canonical_layout},
    [AXIS_PROVIDER] = {"provider", "own", "who computes dense f32 and bf16", false, canonical_provider},
    [AXIS_ISA] = {"isa", "auto", "the highest instruction set to use", false, canonical_isa},
    [AXIS_DEVICE] = {"device", "cpu", "what computes", false, canonical_device},
};

static void read_lengths(const char *word, struct inference_cell *read) {
    for (const char *at = word; at && read->length_count < PROMPT_LENGTHS; at = strchr(at, '|'), at = at ? at + 1 : NULL) {
        int length = atoi(at);
        read->lengths[read->length_count++] = length;
        read->prompt = length > read->prompt ? length : read->prompt;
        read->prompt_mean += length;
    }
    read->prompt_mean /= read->length_count;
}

int inference_cell_read(const struct cell *cell, struct inference_cell *read, char *reason, size_t reason_size) {
    *read = (struct inference_cell){.model = cell->value[AXIS_MODEL],
                                    .batch = atoi(cell->value[AXIS_BATCH]),
                                    .prefix = atoi(cell->value[AXIS_PREFIX]),
                                    .gen = atoi(cell->value[AXIS_GEN])};
    read_lengths(cell->value[AXIS_PROMPT], read);
    int result = recipe_parse(cell->value[AXIS_PRUNE], NULL, cell->value[AXIS_FORMAT], &read->recipe, reason, reason_size);
    if (!result)
        result = layout_parse(cell->value[AXIS_LAYOUT], &read->layout, reason, reason_size);
    if (!result)
        result = activation_parse(cell->value[AXIS_ACT], &read->activation);
    if (!result)
        result = kv_format_parse(cell->value[AXIS_KV], &read->kv, reason, reason_size);
    if (!result)
        result = provider_parse(cell->value[AXIS_PROVIDER], &read->provider);
    if (!strcmp(cell->value[AXIS_ISA], "auto"))
        read->isa = isa_current();
    else if (!result)
        result = isa_parse(cell->value[AXIS_ISA], &read->isa);
    return result;
}

void inference_settle(struct cell *cell) {
    struct variant_recipe recipe = {0};
    char reason[256];
    if (!strcmp(cell->value[AXIS_ACT], "auto") && !recipe_parse_format(cell->value[AXIS_FORMAT], &recipe, reason, sizeof reason))
        cell->value[AXIS_ACT] = activation_name(activation_automatic(&recipe.format));
}
