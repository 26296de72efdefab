// SPDX-License-Identifier: MIT
#include "bench/compress/recipe.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char KNOWN[] = "none, 50%, global:50%, 2:4, 4:8, b16x4:50%, b16x4max:50%, global:b16x4:50%, t0.02";
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

int recipe_parse_prune(const char *word, struct variant_recipe *recipe, char *reason, size_t reason_size) {
    struct variant_recipe parsed = {.method = PRUNE_NONE, .scope = SCOPE_TENSOR, .format = recipe->format};
    bool global = strncmp(word, "global:", 7) == 0;
    int error = parse_method(global ? word + 7 : word, word, &parsed, reason, reason_size);
    if (error)
        return error;
    if (global && !has_scope(parsed.method)) {
        snprintf(reason, reason_size, "pruning '%s': only a ratio or a block ratio can be global (global:50%%)", word);
        return -EINVAL;
    }
    if (has_scope(parsed.method) && parsed.ratio == 0)
        parsed = (struct variant_recipe){.format = recipe->format};
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
    if (has_scope(recipe->method))
        recipe->scope = word[0] == 'g' ? SCOPE_GLOBAL : SCOPE_TENSOR;
    return 0;
}

void recipe_prune_name(const struct variant_recipe *recipe, char *word, size_t size) {
    const char *scope = recipe->scope == SCOPE_GLOBAL ? "global:" : "";
    switch (recipe->method) {
    case PRUNE_NONE:
    case PRUNE_METHODS:
        snprintf(word, size, "none");
        break;
    case PRUNE_MAGNITUDE:
        snprintf(word, size, "%s%.10g%%", scope, recipe->ratio * 100);
        break;
    case PRUNE_THRESHOLD:
        snprintf(word, size, "t%.9g", recipe->threshold);
        break;
    case PRUNE_N_OF_M:
        snprintf(word, size, "%d:%d", recipe->n, recipe->m);
        break;
    case PRUNE_BLOCK:
        snprintf(word, size, "%sb%dx%d%s:%.10g%%", scope, recipe->block_rows, recipe->block_columns,
                 recipe->pooling == POOL_MAXIMUM ? "max" : "", recipe->ratio * 100);
        break;
    }
}

const char *recipe_method_name(const struct variant_recipe *recipe) {
    bool global = recipe->scope == SCOPE_GLOBAL;
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
    int error = weight_format_parse(format, &parsed.format, reason, reason_size);
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
