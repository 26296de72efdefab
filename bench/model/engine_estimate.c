// SPDX-License-Identifier: MIT
// What a cell will need, from its description alone.
#include <math.h>
#include <stddef.h>

#include "bench/model/engine.h"
#include "bench/model/kv_cache.h"

// Bytes of a packed (rows, columns) matrix, as kernels/pack lays them out, without the padding of its sections.
static double matrix_bytes(const struct weight_format *format, double rows, double columns, double present)
{
    const double padded = (double)(((long)rows + PACKED_PANEL_ROWS - 1) / PACKED_PANEL_ROWS * PACKED_PANEL_ROWS);
    double bits = format->bits;
    switch (weight_store(format)) {
    case STORE_DENSE:
        break;
    case STORE_BYTEMASK: // a byte is there if one of its codes is
        bits = bits * (1 - pow(1 - present, 8 / bits)) + bits / 8;
        break;
    case STORE_BITMASK:
    case STORE_N_OF_M:
        bits = present * bits + 1;
        // 8/bits fields share the bytes of a tile of 512, as many as the longest takes: what that exceeds the mean by, of normal counts
        if (format->type == WEIGHT_QUANTIZED && format->bits < 8 && format->store == STORE_BITMASK)
            bits += (format->bits == 4 ? 0.56 : 1.03) * sqrt(512 * format->bits / 8.0 * present * (1 - present)) * 8 / 512;
        break;
    case STORE_BLOCK:
        bits = present * bits + 1.0 / 64;
        break;
    }
    if (format->type == WEIGHT_QUANTIZED) {
        const double group = format->group > 0 ? format->group : columns;
        bits += (format->bits == 16 ? 32 : 16) / group + (format->asymmetric ? 8 / group : 0);
    }
    return padded * columns * bits / 8;
}

// The fraction of weights that a pruned matrix keeps.
static double present_fraction(const struct variant_recipe *recipe)
{
    return recipe->method == PRUNE_NONE ? 1 : 1 - recipe->ratio;
}

void engine_estimate(const struct model_config *config, const struct variant_recipe *recipe, const struct kv_format *kv,
                     const struct layout *layout, int batch, int prompt, int generated, struct engine_estimate *estimate)
{
    const double present = present_fraction(recipe);
    double block_weights = 0, block_bytes = 0;
    for (enum layer_matrix which = 0; which < LAYER_MATRICES; which++) {
        int out, in;
        model_matrix_shape(config, which, &out, &in);
        block_weights += (double)out * in;
        block_bytes += matrix_bytes(&recipe->format, out, in, present);
    }
    block_weights *= config->layers;
    block_bytes *= config->layers;
    struct weight_format dense = recipe->format;
    dense.store = STORE_DENSE;
    const double d_model = config->d_model, output_weights = (double)config->vocab * d_model;
    const double replica_bytes = block_bytes + matrix_bytes(&dense, config->vocab, d_model, 1);
    const int context = prompt + generated;
    const double layer_cache = (double)kv_cache_size(kv, 1, 1, config->kv_heads, config->head_dim, context);

    *estimate = (struct engine_estimate){ 0 };
    estimate->weight_bytes = replica_bytes * layout->data;
    estimate->kv_bytes = layer_cache * config->layers * batch;

    // residual stream, queries, hidden rows and logits of a chunk, and the kernels' scratch of each thread
    const double local = (double)batch / layout->data, rows = local > 256 ? local : 256;
    const double heads_width = (double)config->heads * config->head_dim / layout->tensor, ffn = (double)config->ffn / layout->tensor;
    const double rank_rows = rows * (3 * d_model + 4 * heads_width + 2 * ffn) + local * config->vocab / layout->tensor;
    const double widest = ffn > d_model ? ffn : d_model;
    const double workspace = 4 * rank_rows + layout->threads * (double)linear_scratch_bytes((int)ffn, (int)widest, (int)rows);
    // while a matrix is packed: its f32 weights twice (as read, and pruned), 16-bit codes, masks
    const double largest = 12.0 * d_model * config->ffn;
    estimate->peak_bytes = estimate->weight_bytes + estimate->kv_bytes + layout_ranks(layout) * (workspace + largest);

    // a multiply and an add for each weight that is computed with, and for each position in scores and in weighted values
    const double position = prompt + generated / 2.0;
    const double attention = 4.0 * config->layers * config->heads * config->head_dim;
    // bitmask stores are expanded and computed with in full; blocks that are absent are skipped
    const double computed = recipe->format.store == STORE_BLOCK ? present : 1;
    estimate->flops_per_token = 2 * (block_weights * computed + output_weights) + attention * position;
    estimate->prefill_flops =
        batch * (prompt * (2 * block_weights * computed + attention * (prompt + 1) / 2.0) + 2 * output_weights);
    estimate->bytes_per_token = replica_bytes / local + config->layers * kv_cache_read_bytes(kv, config->kv_heads, config->head_dim, position) +
                                4 * d_model;
}
