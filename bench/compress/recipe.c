// SPDX-License-Identifier: MIT
#include "bench/compress/recipe.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char KNOWN[] = "none, 50%, global:50%, 2:4, 4:8, b16x4:50%, b16x4max:50%, global:b16x4:50%, t0.02, "
                            "wanda:50%, sparsegpt:2:4, gradient:50%";
static const char *const criterion_names[PRUNE_CRITERIA] = {[CRITERION_MAGNITUDE] = "",
                                                            [CRITERION_WANDA] = "wanda",
                                                            [CRITERION_SPARSEGPT] = "sparsegpt",
                                                            [CRITERION_GRADIENT] = "gradient"};
// With the store that the name alone stands for: the method's own defaults.
static const struct {
    const char *name, *format;
} quantizers[QUANTIZERS] = {[QUANTIZER_NEAREST] = {"", ""},
                            [QUANTIZER_GPTQ] = {"gptq", "q4g128"},
                            [QUANTIZER_AWQ] = {"awq", "q4g128a"},
                            [QUANTIZER_HQQ] = {"hqq", "q4g64a"}};
enum { LARGEST_M = 32, LARGEST_BLOCK_SIDE = 1024 };

// A number that takes the whole of text, and nothing that strtod accepts beside decimals (inf, nan, hexadecimal).
static bool parse_number(const char *text, double *number) {
    if (!*text || text[strspn(text, "0123456789.eE+-")])
        return false;
    char *end;
    *number = strtod(text, &end);
    return !*end && isfinite(*number);
}

static int unknown(const char *word, char *reason, size_t reason_size) {
    snprintf(reason, reason_size, "unknown pruning '%s' (known: %s)", word, KNOWN);
    return -EINVAL;
}

// "50%" or "0.5".
static int parse_ratio(const char *text, const char *word, double *ratio, char *reason, size_t reason_size) {
    char digits[32];
    size_t length = strlen(text);
    bool percent = length > 0 && text[length - 1] == '%';
    if (percent)
        length--;
    if (length >= sizeof digits)
        return unknown(word, reason, reason_size);
    memcpy(digits, text, length);
    digits[length] = 0;
    double number;
    if (!parse_number(digits, &number))
        return unknown(word, reason, reason_size);
    *ratio = percent ? number / 100 : number;
    if (*ratio >= 0 && *ratio <= 1)
        return 0;
    if (!percent && number > 1 && number <= 100)
        snprintf(reason, reason_size, "pruning '%s': did you mean %g%%? (a ratio is 0..1 or 0%%..100%%)", word, number);
    else
        snprintf(reason, reason_size, "pruning '%s': the ratio is outside 0%%..100%%", word);
    return -EINVAL;
}

// "b16x4:50%", "b16x4max:50%".
static int parse_block(const char *text, const char *word, struct variant_recipe *recipe, char *reason,
                       size_t reason_size) {
    int rows, columns, length = 0;
    if (sscanf(text, "b%4dx%4d%n", &rows, &columns, &length) != 2 || !length)
        return unknown(word, reason, reason_size);
    const char *rest = text + length;
    bool maximum = strncmp(rest, "max", 3) == 0;
    if (maximum)
        rest += 3;
    if (*rest != ':')
        return unknown(word, reason, reason_size);
    if (rows < 1 || columns < 1 || rows > LARGEST_BLOCK_SIDE || columns > LARGEST_BLOCK_SIDE) {
        snprintf(reason, reason_size, "pruning '%s': a block has 1..%d rows and columns", word, LARGEST_BLOCK_SIDE);
        return -EINVAL;
    }
    recipe->method = PRUNE_BLOCK;
    recipe->block_rows = rows;
    recipe->block_columns = columns;
    recipe->pooling = maximum ? POOL_MAXIMUM : POOL_AVERAGE;
    return parse_ratio(rest + 1, word, &recipe->ratio, reason, reason_size);
}

static int parse_n_of_m(const char *word, int n, int m, struct variant_recipe *recipe, char *reason,
                        size_t reason_size) {
    if (n < 1 || n >= m || m > LARGEST_M) {
        snprintf(reason, reason_size, "pruning '%s': n:m drops n of each m weights, 1 <= n < m <= %d (2:4, 4:8)", word,
                 LARGEST_M);
        return -EINVAL;
    }
    recipe->method = PRUNE_N_OF_M;
    recipe->n = n;
    recipe->m = m;
    recipe->ratio = (double)n / m;
    return 0;
}

static int parse_method(const char *text, const char *word, struct variant_recipe *recipe, char *reason,
                        size_t reason_size) {
    int n, m, length = 0;
    if (strcmp(text, "none") == 0)
        return 0;
    if (sscanf(text, "%4d:%4d%n", &n, &m, &length) == 2 && length && !text[length])
        return parse_n_of_m(word, n, m, recipe, reason, reason_size);
    if (text[0] == 'b')
        return parse_block(text, word, recipe, reason, reason_size);
    if (text[0] == 't') {
        if (!parse_number(text + 1, &recipe->threshold) || recipe->threshold < 0)
            return unknown(word, reason, reason_size);
        recipe->method = PRUNE_THRESHOLD;
        return 0;
    }
    recipe->method = PRUNE_MAGNITUDE;
    return parse_ratio(text, word, &recipe->ratio, reason, reason_size);
}

static bool has_scope(enum prune_method method) {
    return method == PRUNE_MAGNITUDE || method == PRUNE_BLOCK;
}

// What stands behind "name:" or, where that is all there is, an empty text; NULL where the word begins otherwise.
static const char *behind_name(const char *word, const char *name) {
    size_t length = strlen(name);
    if (!length || strncmp(word, name, length) != 0 || (word[length] != ':' && word[length]))
        return NULL;
    return word[length] ? word + length + 1 : word + length;
}

int recipe_parse_prune(const char *word, struct variant_recipe *recipe, char *reason, size_t reason_size) {
    struct variant_recipe parsed = {.method = PRUNE_NONE, .format = recipe->format, .quantizer = recipe->quantizer};
    const struct variant_recipe none = parsed;
    bool global = strncmp(word, "global:", 7) == 0;
    const char *rest = global ? word + 7 : word;
    for (int i = 0; i < PRUNE_CRITERIA; i++)
        if (behind_name(rest, criterion_names[i])) {
            parsed.criterion = (enum prune_criterion)i;
            rest = behind_name(rest, criterion_names[i]);
            break;
        }
    int error = parse_method(rest, word, &parsed, reason, reason_size);
    if (error)
        return error;
    if (parsed.criterion && (global || (parsed.method != PRUNE_MAGNITUDE && parsed.method != PRUNE_N_OF_M))) {
        snprintf(reason, reason_size, "pruning '%s': %s takes a ratio or n:m, each matrix by itself (%s:50%%, %s:2:4)",
                 word, criterion_names[parsed.criterion], criterion_names[parsed.criterion],
                 criterion_names[parsed.criterion]);
        return -EINVAL;
    }
    if (global && !has_scope(parsed.method)) {
        snprintf(reason, reason_size, "pruning '%s': only a ratio or a block ratio can be global (global:50%%)", word);
        return -EINVAL;
    }
    if (has_scope(parsed.method) && parsed.ratio == 0)
        parsed = none;
    else if (global)
        parsed.scope = SCOPE_GLOBAL;
    *recipe = parsed;
    return 0;
}

int recipe_parse_scope(const char *word, struct variant_recipe *recipe, char *reason, size_t reason_size) {
    if (strcmp(word, "tensor") != 0 && strcmp(word, "global") != 0) {
        snprintf(reason, reason_size, "unknown prune_scope '%s' (known: tensor, global)", word);
        return -EINVAL;
    }
    if (has_scope(recipe->method) && !recipe->criterion)
        recipe->scope = word[0] == 'g' ? SCOPE_GLOBAL : SCOPE_TENSOR;
    return 0;
}

void recipe_prune_name(const struct variant_recipe *recipe, char *word, size_t size) {
    const char *scope = recipe->scope == SCOPE_GLOBAL ? "global:" : "";
    const char *criterion = criterion_names[recipe->criterion], *colon = *criterion ? ":" : "";
    switch (recipe->method) {
    case PRUNE_NONE:
    case PRUNE_METHODS:
        snprintf(word, size, "none");
        break;
    case PRUNE_MAGNITUDE:
        snprintf(word, size, "%s%s%s%.10g%%", scope, criterion, colon, recipe->ratio * 100);
        break;
    case PRUNE_THRESHOLD:
        snprintf(word, size, "t%.9g", recipe->threshold);
        break;
    case PRUNE_N_OF_M:
        snprintf(word, size, "%s%s%d:%d", criterion, colon, recipe->n, recipe->m);
        break;
    case PRUNE_BLOCK:
        snprintf(word, size, "%sb%dx%d%s:%.10g%%", scope, recipe->block_rows, recipe->block_columns,
                 recipe->pooling == POOL_MAXIMUM ? "max" : "", recipe->ratio * 100);
        break;
    }
}

int recipe_parse_format(const char *word, struct variant_recipe *recipe, char *reason, size_t reason_size) {
    enum quantizer quantizer = QUANTIZER_NEAREST;
    const char *store = word;
    for (int i = 0; i < QUANTIZERS; i++)
        if (behind_name(word, quantizers[i].name)) {
            quantizer = (enum quantizer)i;
            store = behind_name(word, quantizers[i].name);
            if (!*store)
                store = quantizers[i].format;
            break;
        }
    struct weight_format format;
    int error = weight_format_parse(store, &format, reason, reason_size);
    if (error)
        return error;
    if (quantizer && (format.type != WEIGHT_QUANTIZED || format.bits > 8 || format.per_tensor)) {
        snprintf(reason, reason_size, "format '%s': %s makes codes of 2 to 8 bits in groups or rows (%s:%s)", word,
                 quantizers[quantizer].name, quantizers[quantizer].name, quantizers[quantizer].format);
        return -EINVAL;
    }
    recipe->format = format;
    recipe->quantizer = quantizer;
    return 0;
}

void recipe_format_name(const struct variant_recipe *recipe, char *word, size_t size) {
    char store[48];
    weight_format_name(&recipe->format, store, sizeof store);
    snprintf(word, size, "%s%s%s", quantizers[recipe->quantizer].name, recipe->quantizer ? ":" : "", store);
}

static const char *prune_method_name(const struct variant_recipe *recipe) {
    bool global = recipe->scope == SCOPE_GLOBAL;
    if (recipe->criterion)
        return criterion_names[recipe->criterion];
    switch (recipe->method) {
    case PRUNE_MAGNITUDE:
        return global ? "magnitude_global" : "magnitude";
    case PRUNE_THRESHOLD:
        return "threshold";
    case PRUNE_N_OF_M:
        return "n:m";
    case PRUNE_BLOCK:
        return global ? "block_global" : "block";
    case PRUNE_NONE:
    case PRUNE_METHODS:
        break;
    }
    return "none";
}

void recipe_method_name(const struct variant_recipe *recipe, char *word, size_t size) {
    const char *quantizer = quantizers[recipe->quantizer].name;
    if (!*quantizer)
        snprintf(word, size, "%s", prune_method_name(recipe));
    else if (recipe->method == PRUNE_NONE)
        snprintf(word, size, "%s", quantizer);
    else
        snprintf(word, size, "%s+%s", prune_method_name(recipe), quantizer);
}

bool recipe_is_calibrated(const struct variant_recipe *recipe) {
    return recipe->criterion != CRITERION_MAGNITUDE || recipe->quantizer == QUANTIZER_GPTQ ||
           recipe->quantizer == QUANTIZER_AWQ;
}

// The store that leaves out what this recipe prunes.
static void choose_store(struct variant_recipe *recipe) {
    struct weight_format *format = &recipe->format;
    bool storable_m = recipe->m == 4 || recipe->m == 8 || recipe->m == 16;
    if (recipe->method == PRUNE_N_OF_M && storable_m) {
        format->store = STORE_N_OF_M;
        format->n = recipe->n;
        format->m = recipe->m;
    } else if (recipe->method == PRUNE_BLOCK && recipe->block_rows == 16 && recipe->block_columns == 4) {
        format->store = STORE_BLOCK;
        format->block_rows = 16;
        format->block_columns = 4;
        format->sparsity = recipe->ratio;
    } else {
        format->store = STORE_BITMASK;
        format->sparsity = recipe->ratio;
    }
}

// The pruning that fills the store which the format names.
static int choose_method(struct variant_recipe *recipe, char *reason, size_t reason_size) {
    const struct weight_format *format = &recipe->format;
    char word[48];
    if (format->store == STORE_N_OF_M)
        return parse_n_of_m("n:m", format->n, format->m, recipe, reason, reason_size);
    if (format->store == STORE_BLOCK && !(format->sparsity > 0)) {
        weight_format_name(format, word, sizeof word);
        snprintf(reason, reason_size, "format '%s' names no ratio: prune with b%dx%d:50%%", word, format->block_rows,
                 format->block_columns);
        return -EINVAL;
    }
    recipe->method = format->store == STORE_BLOCK ? PRUNE_BLOCK : PRUNE_MAGNITUDE;
    recipe->ratio = format->sparsity;
    recipe->block_rows = format->block_rows;
    recipe->block_columns = format->block_columns;
    return 0;
}

static bool store_fits(const struct variant_recipe *recipe) {
    const struct weight_format *format = &recipe->format;
    switch (format->store) {
    case STORE_BYTEMASK: // of no format's word
    case STORE_DENSE:
        return true;
    case STORE_BITMASK:
        return recipe->method == PRUNE_THRESHOLD || fabs(format->sparsity - recipe->ratio) < 1e-9;
    case STORE_N_OF_M:
        return recipe->method == PRUNE_N_OF_M && recipe->n == format->n && recipe->m == format->m;
    case STORE_BLOCK:
        return recipe->method == PRUNE_BLOCK && recipe->block_rows == format->block_rows &&
               recipe->block_columns == format->block_columns;
    }
    return false;
}

int recipe_complete(struct variant_recipe *recipe, char *reason, size_t reason_size) {
    if (recipe->scope == SCOPE_GLOBAL && recipe_is_calibrated(recipe)) {
        snprintf(reason, reason_size, "calibration goes layer by layer and cannot prune with one threshold for all of them: "
                                      "leave 'global' away");
        return -EINVAL;
    }
    if (recipe->format.store == STORE_DENSE) {
        if (recipe->method != PRUNE_NONE)
            choose_store(recipe);
        return 0;
    }
    if (recipe->method == PRUNE_NONE)
        return choose_method(recipe, reason, reason_size);
    if (!store_fits(recipe)) {
        char prune[48], format[48];
        recipe_prune_name(recipe, prune, sizeof prune);
        weight_format_name(&recipe->format, format, sizeof format);
        snprintf(reason, reason_size,
                 "pruning '%s' does not fit the store that format '%s' names: leave the store away", prune, format);
        return -EINVAL;
    }
    return 0;
}

int recipe_parse(const char *prune, const char *scope, const char *format, struct variant_recipe *recipe, char *reason,
                 size_t reason_size) {
    struct variant_recipe parsed = {.method = PRUNE_NONE};
    int error = recipe_parse_format(format, &parsed, reason, reason_size);
    if (!error)
        error = recipe_parse_prune(prune, &parsed, reason, reason_size);
    if (!error && scope)
        error = recipe_parse_scope(scope, &parsed, reason, reason_size);
    if (!error)
        error = recipe_complete(&parsed, reason, reason_size);
    if (!error)
        *recipe = parsed;
    return error;
}
