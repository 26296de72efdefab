// SPDX-License-Identifier: MIT
// The body of every vector kernel with floats for activations, which it rounds to bf16 where the call says so. A kernel file defines, before it includes this:
//   NEXT_FLOATS(source, buffer)  the next tile, (32, 16) floats by column and row without the scale: in `buffer` or in place
//   NEXT_CODES(source, buffer)   instead, of quantized weights: the next tile's chunks of unsigned codes
//   READ_COLUMNS(source, w)      where floats need no buffer: the next two columns (2, VECTORS), of the block store of a present chunk
//   IN_PLACE                     1 where NEXT_FLOATS never uses the buffer (f32)
//   WEIGHT_TYPE, BITS, STORE     what it reads
//   MANY_TOKENS                  "kernels/linear/linear_f32_many.h", or linear_f32_block.h for the block store
//
// The sum of a tile starts at zero and is then added to the row's total times the scale: sums round less, results do not
// depend on the number of tokens, and consecutive tiles are independent of each other.
#include "kernels/linear/simd.h"

enum { BLOCKED = STORE == STORE_BLOCK, QUANTIZED = WEIGHT_TYPE == WEIGHT_QUANTIZED };

#ifdef NEXT_CODES
FLATTEN const float *next_floats(struct source *source, float *buffer) {
    _Alignas(64) uint8_t bytes[TILE_CODES];
    const uint8_t *codes = NEXT_CODES(source, bytes);
    codes_to_floats(source, codes, __builtin_popcount(source->present), buffer);
    return buffer;
}
#define NEXT_FLOATS(source, buffer) next_floats(source, buffer)
#endif

#include "kernels/linear/linear_f32_few.h"
#include MANY_TOKENS

static void linear(const struct linear_call *call) {
    if (call->m <= F32_DIRECT)
        few_linear(call);
    else
        many_linear(call);
}

#define LINEAR_F32_KERNEL(symbol, step, bound)                                                                         \
    const struct kernel symbol = {                                                                                     \
        .name = #symbol,                                                                                               \
        .op = OP_LINEAR,                                                                                               \
        .isa = step,                                                                                                   \
        .activation = ACTIVATION_F32,                                                                                  \
        .weight_type = WEIGHT_TYPE,                                                                                    \
        .bits = BITS,                                                                                                  \
        .store = STORE,                                                                                                \
        .layout = bound,                                                                                               \
        .function = (void (*)(void))linear,                                                                            \
    }
