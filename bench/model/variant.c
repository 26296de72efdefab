// SPDX-License-Identifier: MIT
#include "bench/model/variant.h"

#include <errno.h>
#include <omp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compress/prune.h"
#include "bench/compress/quantize.h"
#include "kernels/pack/pack_rows.h"

enum { PARALLEL_BYTES = 1 << 17 }; // below, threads cost more than they save

// A whole matrix and the part of it that this rank holds.
struct cut {
    struct tensor tensor;
    const float *weights; // (rows, columns), between read_cut and release_cut
    float *read;          // owns them where the model has the tensor in a file
    int rows, columns;
    struct layout_range row, column;
    const char *name;
    int layer; // −1: the output matrix
    const struct compressed_matrix *ready; // what calibration made of it, or NULL
};

struct build {
    struct variant *variant;
    float threshold; // of all block matrices together, SCOPE_GLOBAL
    int status; // the first failure's
    char *error;
    size_t error_size;
};

static struct layout_range whole(int count)
{
    return (struct layout_range){ 0, count };
}

static int length(struct layout_range range)
{
    return range.end - range.begin;
}

static bool keeps_all(const struct cut *cut)
{
    return length(cut->row) == cut->rows && length(cut->column) == cut->columns;
}

static struct cut layer_cut(const struct variant *variant, int layer, enum layer_matrix which)
{
    const struct model_config *config = &variant->model->config;
    struct cut cut = { .tensor = model_matrix(variant->model, layer, which), .name = model_matrix_name(which), .layer = layer };
    model_matrix_shape(config, which, &cut.rows, &cut.columns);
    if (variant->calibrated != NULL) {
        cut.ready = &variant->calibrated->matrix[layer][which];
        cut.weights = cut.ready->weights != NULL ? cut.ready->weights : cut.weights;
    }
    cut.row = whole(cut.rows);
    cut.column = whole(cut.columns);
    const bool by_input = which == LAYER_O || which == LAYER_DOWN;
    *(by_input ? &cut.column : &cut.row) = layout_split(by_input ? cut.columns : cut.rows, 1, variant->layout.tensor, variant->place.tensor);
    return cut;
}

static int fail(struct build *build, const struct cut *cut, int status, const char *what)
{
    if (cut->layer < 0)
        snprintf(build->error, build->error_size, "cannot store %s: %s", cut->name, what);
    else
        snprintf(build->error, build->error_size, "cannot store %s of layer %d: %s", cut->name, cut->layer, what);
    return build->status = status;
}

static const float *in_memory(const struct tensor *tensor)
{
    return tensor->type == TENSOR_F32 && !tensor->mapped ? tensor->data : NULL;
}

static int read_cut(struct build *build, struct cut *cut)
{
    if (cut->weights == NULL) // not from calibration
        cut->weights = in_memory(&cut->tensor);
    if (cut->weights != NULL)
        return 0;
    cut->weights = cut->read = malloc((size_t)cut->rows * (size_t)cut->columns * sizeof(float));
    if (cut->read == NULL)
        return fail(build, cut, -ENOMEM, "no memory");
    tensor_read(&cut->tensor, cut->read);
    tensor_release_rows(&cut->tensor, 0, cut->rows);
    return 0;
}

static void release_cut(struct cut *cut)
{
    free(cut->read);
    cut->read = NULL;
    cut->weights = NULL;
}

// Copies the part of a (rows, columns) array that a cut keeps; `item` bytes an element.
static void *copy_cut(const void *from, size_t item, int columns, struct layout_range row, struct layout_range column)
{
    const size_t width = (size_t)length(column) * item;
    char *part = malloc((size_t)length(row) * width + 1);
    if (part != NULL)
#pragma omp parallel for schedule(static) if ((size_t)length(row) * width > PARALLEL_BYTES)
        for (int i = row.begin; i < row.end; i++)
            memcpy(part + (size_t)(i - row.begin) * width, (const char *)from + ((size_t)i * (size_t)columns + (size_t)column.begin) * item,
                   width);
    return part;
}

// The cut of quantized codes with their scales; groups are never cut through (layout_check).
static int cut_quantized(const struct quantized_matrix *whole_matrix, const struct cut *cut, struct quantized_matrix *part)
{
    const int group = whole_matrix->group > 0 ? whole_matrix->group : whole_matrix->columns;
    const int groups = whole_matrix->columns / group;
    const struct layout_range in_groups = { cut->column.begin / group, (cut->column.end + group - 1) / group };
    *part = *whole_matrix;
    part->rows = length(cut->row);
    part->columns = length(cut->column);
    part->codes = copy_cut(whole_matrix->codes, sizeof(*part->codes), whole_matrix->columns, cut->row, cut->column);
    part->scales = copy_cut(whole_matrix->scales, sizeof(*part->scales), groups, cut->row, in_groups);
    if (whole_matrix->zero_points != NULL)
        part->zero_points = copy_cut(whole_matrix->zero_points, 1, groups, cut->row, in_groups);
    const bool missing = part->codes == NULL || part->scales == NULL || (whole_matrix->zero_points != NULL && part->zero_points == NULL);
    return missing ? -ENOMEM : 0;
}

// The output matrix is rounded to nearest by whatever quantizer: the others leave it alone.
static int quantize(const struct build *build, const struct cut *cut, const struct weight_format *format, const float *weights,
                    const uint8_t *mask, struct quantized_matrix *codes, char *why, size_t why_size)
{
    const int group = format->per_tensor ? QUANTIZE_TENSOR : format->group;
    if (cut->layer >= 0 && build->variant->recipe.quantizer == QUANTIZER_HQQ)
        return quantize_half_quadratic(weights, mask, cut->rows, cut->columns, format->bits, group, format->asymmetric, codes, why, why_size);
    return quantize_matrix(weights, cut->rows, cut->columns, format->bits, group, format->asymmetric, codes, why, why_size);
}

static int pack_quantized(struct build *build, const struct cut *cut, const struct weight_format *format, const float *weights,
                          const uint8_t *mask, const uint8_t *mask_part, struct packed_matrix **packed)
{
    struct quantized_matrix codes = { 0 }, part = { 0 };
    char why[160] = "no memory";
    const bool ready = cut->ready != NULL && cut->ready->codes.codes != NULL;
    int status = ready ? 0 : quantize(build, cut, format, weights, mask, &codes, why, sizeof(why));
    const struct quantized_matrix *all = ready ? &cut->ready->codes : &codes, *kept = keeps_all(cut) ? all : &part;
    if (status == 0 && kept == &part)
        status = cut_quantized(all, cut, &part);
    if (status == 0)
        status = packed_create(format, kept->rows, kept->columns, NULL, kept, mask_part, packed);
    if (status == -EINVAL && strcmp(why, "no memory") == 0)
        packed_check_shape(format, length(cut->row), length(cut->column), why, sizeof(why));
    if (codes.codes != NULL)
        quantized_matrix_free(&codes);
    free(part.codes);
    free(part.scales);
    free(part.zero_points);
    return status == 0 ? 0 : fail(build, cut, status, why);
}

static int pack_floats(struct build *build, const struct cut *cut, const struct weight_format *format, const float *weights,
                       const uint8_t *mask_part, struct packed_matrix **packed)
{
    char why[160] = "no memory";
    // rows that are kept whole lie behind one another already
    const bool contiguous = length(cut->column) == cut->columns;
    float *copy = contiguous ? NULL : copy_cut(weights, sizeof(float), cut->columns, cut->row, cut->column);
    const float *part = contiguous ? weights + (size_t)cut->row.begin * (size_t)cut->columns : copy;
    int status = part == NULL ? -ENOMEM : packed_create(format, length(cut->row), length(cut->column), part, NULL, mask_part, packed);
    if (status == -EINVAL)
        packed_check_shape(format, length(cut->row), length(cut->column), why, sizeof(why));
    free(copy);
    return status == 0 ? 0 : fail(build, cut, status, why);
}

// Packs the cut of a matrix under a mask of the whole of it (NULL: nothing is pruned) and counts what was pruned in the cut.
static int pack_cut(struct build *build, const struct cut *cut, const struct weight_format *format, const uint8_t *mask,
                    struct packed_matrix **packed, size_t *pruned)
{
    const size_t count = (size_t)cut->rows * (size_t)cut->columns, part_count = (size_t)length(cut->row) * (size_t)length(cut->column);
    const float *from = cut->weights;
    float *copy = NULL;
    uint8_t *mask_part = NULL;
    int status = 0;
    *pruned = 0;
    if (mask != NULL) {
        mask_part = copy_cut(mask, 1, cut->columns, cut->row, cut->column);
        if (cut->read == NULL)
            copy = malloc(count * sizeof(float));
        if (mask_part == NULL || (cut->read == NULL && copy == NULL)) {
            status = fail(build, cut, -ENOMEM, "no memory");
            goto out;
        }
        if (copy != NULL)
            prune_copy(copy, cut->weights, mask, count);
        else // what was read for this cut is nobody else's
            prune_apply(cut->read, mask, count);
        from = copy != NULL ? copy : cut->read;
        *pruned = prune_dropped(mask_part, part_count);
    }
    status = format->type == WEIGHT_QUANTIZED ? pack_quantized(build, cut, format, from, mask, mask_part, packed)
                                              : pack_floats(build, cut, format, from, mask_part, packed);
out:
    free(copy);
    free(mask_part);
    return status;
}

// n:m and thresholds are local by nature.
static bool is_global(const struct variant_recipe *recipe)
{
    return (recipe->method == PRUNE_MAGNITUDE || recipe->method == PRUNE_BLOCK) && recipe->scope == SCOPE_GLOBAL;
}

static uint8_t *full_mask(int rows, int columns)
{
    const size_t count = (size_t)rows * (size_t)columns;
    uint8_t *mask = malloc(count);
    if (mask != NULL)
        memset(mask, 1, count);
    return mask;
}

// Whether a matrix can be packed a few rows at a time: no row needs the others, and the model has it in a file.
static bool row_by_row(const struct cut *cut, const struct weight_format *format)
{
    return in_memory(&cut->tensor) == NULL && cut->ready == NULL && format->store == STORE_DENSE && !format->per_tensor &&
           length(cut->column) == cut->columns;
}

// Packs such a matrix: neither its f32 weights nor its codes are ever in memory whole.
static int pack_by_rows(struct build *build, const struct cut *cut, const struct weight_format *format, struct packed_matrix **packed_out)
{
    enum { WEIGHTS = 1 << 18 }; // at a time
    struct packed_matrix *packed = NULL;
    char why[160] = "no memory";
    const int rows = length(cut->row), panels = WEIGHTS / cut->columns / PACKED_PANEL_ROWS;
    const int most = (panels > 0 ? panels : 1) * PACKED_PANEL_ROWS;
    float *weights = malloc((size_t)(most < rows ? most : rows) * (size_t)cut->columns * sizeof(float));
    int status = weights != NULL ? packed_begin(format, rows, cut->columns, &packed) : -ENOMEM;
    if (status == -EINVAL)
        packed_check_shape(format, rows, cut->columns, why, sizeof(why));
    for (int first = 0; first < rows && status == 0; first += most) {
        struct cut part = *cut;
        part.rows = rows - first < most ? rows - first : most;
        part.tensor.data = (const char *)part.tensor.data + (size_t)(cut->row.begin + first) * tensor_row_bytes(&part.tensor);
        part.tensor.rows = part.rows;
        tensor_read(&part.tensor, weights);
        tensor_release_rows(&part.tensor, 0, part.rows);
        struct quantized_matrix codes = { 0 };
        if (format->type == WEIGHT_QUANTIZED)
            status = quantize(build, &part, format, weights, NULL, &codes, why, sizeof(why));
        if (status == 0)
            status = packed_put_rows(packed, first, part.rows, weights, format->type == WEIGHT_QUANTIZED ? &codes : NULL);
        if (codes.codes != NULL)
            quantized_matrix_free(&codes);
    }
    free(weights);
    if (status == 0)
        *packed_out = packed;
    else if (packed != NULL)
        packed_free(packed);
    return status == 0 ? 0 : fail(build, cut, status, why);
}

// The whole matrix in f32, under the mask that its pruning asks for.
static int pack_pruned(struct build *build, struct cut *cut, struct packed_matrix **packed, size_t *pruned)
{
    const struct variant_recipe *recipe = &build->variant->recipe;
    uint8_t *own_mask = NULL;
    int status = read_cut(build, cut);
    if (status != 0)
        return status;
    const uint8_t *mask = cut->ready != NULL ? cut->ready->mask : NULL;
    if (mask == NULL && recipe->method != PRUNE_NONE) {
        char why[160] = "no memory";
        own_mask = full_mask(cut->rows, cut->columns);
        const struct prune_tensor tensor = { cut->weights, cut->rows, cut->columns, own_mask };
        if (own_mask == NULL)
            status = -ENOMEM;
        else
            status = is_global(recipe) ? prune_at(recipe, &tensor, build->threshold, why, sizeof(why))
                                       : prune_tensors(recipe, &tensor, 1, why, sizeof(why));
        if (status != 0)
            fail(build, cut, status, why);
        mask = own_mask;
    }
    if (status == 0)
        status = pack_cut(build, cut, &recipe->format, mask, packed, pruned);
    release_cut(cut);
    free(own_mask);
    return status;
}

static void build_layer_matrix(struct build *build, int layer, enum layer_matrix which)
{
    struct variant *variant = build->variant;
    const struct variant_recipe *recipe = &variant->recipe;
    struct cut cut = layer_cut(variant, layer, which);
    struct packed_matrix **packed = &variant->matrix[layer - variant->layers.begin][which];
    size_t pruned = 0;
    const int status = recipe->method == PRUNE_NONE && row_by_row(&cut, &recipe->format) ? pack_by_rows(build, &cut, &recipe->format, packed)
                                                                                       : pack_pruned(build, &cut, packed, &pruned);
    if (status != 0)
        return;
    variant->weight_bytes += packed_bytes(*packed);
    variant->block_weights += (size_t)length(cut.row) * (size_t)length(cut.column);
    variant->pruned_weights += pruned;
}

static void build_output(struct build *build)
{
    struct variant *variant = build->variant;
    if (variant->place.pipeline != variant->layout.pipeline - 1)
        return;
    const struct model_config *config = &variant->model->config;
    struct cut cut = { .tensor = model_output(variant->model), .rows = config->vocab, .columns = config->d_model,
                             .row = variant->vocabulary, .column = whole(config->d_model), .name = "the output matrix", .layer = -1 };
    struct weight_format format = variant->recipe.format;
    format.store = STORE_DENSE;
    format.n = format.m = format.block_rows = format.block_columns = 0;
    format.sparsity = 0;
    size_t pruned;
    int status;
    if (row_by_row(&cut, &format))
        status = pack_by_rows(build, &cut, &format, &variant->output);
    else
        status = read_cut(build, &cut) != 0 ? build->status : pack_cut(build, &cut, &format, NULL, &variant->output, &pruned);
    release_cut(&cut);
    if (status == 0)
        variant->weight_bytes += packed_bytes(variant->output);
}

// One matrix after the other, each by all threads: every thread writes the panels that it will read.
static int build_all(struct build *build)
{
    struct variant *variant = build->variant;
    build_output(build);
    for (int layer = variant->layers.begin; layer < variant->layers.end; layer++)
        for (int which = 0; which < LAYER_MATRICES && build->status == 0; which++)
            build_layer_matrix(build, layer, (enum layer_matrix)which);
    variant->weights = variant->block_weights + (size_t)length(variant->vocabulary) * (size_t)variant->model->config.d_model;
    return build->status;
}

// The matrix that is being looked at for a threshold over all.
struct look {
    struct build *build;
    struct cut cut;
};

static int look_at(void *context, size_t index, struct prune_tensor *tensor)
{
    struct look *look = context;
    release_cut(&look->cut);
    look->cut = layer_cut(look->build->variant, (int)(index / LAYER_MATRICES), (enum layer_matrix)(index % LAYER_MATRICES));
    const int status = read_cut(look->build, &look->cut);
    *tensor = (struct prune_tensor){ .importance = look->cut.weights, .rows = look->cut.rows, .columns = look->cut.columns };
    return status;
}

// One threshold over all block matrices of the model: every rank finds the same one, whatever part of it it keeps.
static int find_threshold(struct build *build)
{
    const size_t count = (size_t)build->variant->model->config.layers * LAYER_MATRICES;
    struct look look = { .build = build };
    char why[200] = "";
    const int status = prune_find(&build->variant->recipe, count, look_at, &look, &build->threshold, why, sizeof(why));
    release_cut(&look.cut);
    if (status != 0 && *why)
        snprintf(build->error, build->error_size, "cannot prune the model: %s", why);
    return status;
}

static int create(struct variant **variant_out, const struct model *model, struct calibrated *calibrated, const struct variant_recipe *recipe,
                  const struct layout *layout, int rank, char *error, size_t error_size)
{
    *variant_out = NULL;
    const struct model_config *config = &model->config;
    struct build build = { .error = error, .error_size = error_size };
    struct variant *variant = calloc(1, sizeof(*variant));
    if (variant == NULL) {
        snprintf(error, error_size, "no memory for a variant of the model");
        calibrated_free(calibrated);
        return -ENOMEM;
    }
    build.variant = variant;
    variant->calibrated = calibrated;
    omp_set_num_threads(layout->threads);
    variant->model = model;
    variant->recipe = *recipe;
    variant->layout = *layout;
    variant->place = layout_place(layout, rank);
    variant->layers = layout_stage_layers(layout, config, variant->place.pipeline);
    if (variant->place.pipeline == layout->pipeline - 1)
        variant->vocabulary = layout_vocabulary(layout, config, variant->place.tensor);
    variant->heads = config->heads / layout->tensor;
    variant->kv_heads = config->kv_heads / layout->tensor;
    variant->ffn = config->ffn / layout->tensor;
    variant->matrix = calloc((size_t)length(variant->layers), sizeof(*variant->matrix));
    if (variant->matrix == NULL) {
        snprintf(error, error_size, "no memory for a variant of the model");
        build.status = -ENOMEM;
    } else if (is_global(recipe))
        build.status = find_threshold(&build);
    if (build.status == 0)
        build.status = build_all(&build);
    if (build.status != 0) {
        variant_free(variant);
        return build.status;
    }
    if (calibrated != NULL)
        calibrated_drop_matrices(calibrated);
    *variant_out = variant;
    return 0;
}

int variant_create(struct variant **variant_out, const struct model *model, const struct variant_recipe *recipe, const struct layout *layout,
                   int rank, char *error, size_t error_size)
{
    *variant_out = NULL;
    if (recipe_is_calibrated(recipe)) {
        char method[32];
        recipe_method_name(recipe, method, sizeof(method));
        snprintf(error, error_size, "%s needs calibration text", method);
        return -EINVAL;
    }
    return create(variant_out, model, NULL, recipe, layout, rank, error, error_size);
}

int variant_create_calibrated(struct variant **variant_out, struct calibrated *calibrated, const struct layout *layout, int rank, char *error,
                              size_t error_size)
{
    return create(variant_out, &calibrated->model, calibrated, &calibrated->recipe, layout, rank, error, error_size);
}

void variant_free(struct variant *variant)
{
    if (variant == NULL)
        return;
    for (int layer = 0; variant->matrix != NULL && layer < length(variant->layers); layer++)
        for (int which = 0; which < LAYER_MATRICES; which++)
            if (variant->matrix[layer][which] != NULL)
                packed_free(variant->matrix[layer][which]);
    if (variant->output != NULL)
        packed_free(variant->output);
    calibrated_free(variant->calibrated);
    free(variant->matrix);
    free(variant);
}
