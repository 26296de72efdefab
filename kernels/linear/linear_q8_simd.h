// SPDX-License-Identifier: MIT
// The body of every vector kernel with 8-bit activations. A kernel file defines, before it includes this:
//   NEXT_CODES(source, buffer)  the next tile's chunks of unsigned codes: in `buffer` or in place
//   IN_PLACE                    1 where NEXT_CODES never uses the buffer (8 bits)
//   BITS, STORE                 what it reads
//   FEWER_TOKENS                with matrix tiles, the kernel that computes fewer tokens than these pay for
//   MANY_TOKENS                 "kernels/linear/linear_q8_many.h", or linear_q8_block.h for the block store
//
// Integer sums are exact, and groups are added up in one order, so results do not depend on the number of tokens.
#include "kernels/linear/simd.h"

enum { BLOCKED = STORE == STORE_BLOCK };

// Up to so many tokens it takes less to unpack dense weights again for each Q8_DIRECT of them than to store them unpacked.
#define Q8_FEW_TOKENS(bits) (STORE == STORE_DENSE && (bits) < 8 ? Q8_DENSE_FEW : Q8_DIRECT)
#if !MATRIX_TILES
#include "kernels/linear/linear_q8_few.h"
#endif
#include MANY_TOKENS

#if MATRIX_TILES
#include "kernels/linear/linear_q8_few_amx.h"

extern const struct kernel FEWER_TOKENS;

// Between these few_linear() is the fastest (measured; 8-bit codes, which need no unpacking, gain the least from it).
static bool few_pays(const struct packed_matrix *weights, int m) {
    const int group = weights->format.group, least = STORE == STORE_DENSE && BITS < 8 && group > 32 ? 4 : 5;
    const int most = STORE != STORE_DENSE ? 32 : BITS < 8 ? 48 : group > 32 ? 32 : 16;
    return group > 0 && m >= least && m <= most;
}

// From so many tokens on many_linear() is faster than the kernel without matrix tiles.
static int many_least(const struct packed_matrix *weights) {
    return STORE == STORE_DENSE && BITS == 8 ? (weights->format.group == 32 ? 64 : 32) : 24;
}

static void linear(const struct linear_call *call) {
    if (few_pays(call->weights, call->m)) {
        few_linear(call);
    } else if (call->m < many_least(call->weights)) {
        ((linear_function *)FEWER_TOKENS.function)(call);
    } else {
        many_linear(call);
        matrix_tiles_end();
    }
}
#else
static void linear(const struct linear_call *call) {
    if (call->m <= Q8_FEW_TOKENS(BITS))
        few_linear(call);
    else
        many_linear(call);
}
#endif

#define LINEAR_Q8_KERNEL(symbol, step, bound)                                                                          \
    const struct kernel symbol = {                                                                                     \
        .name = #symbol,                                                                                               \
        .op = OP_LINEAR,                                                                                               \
        .isa = step,                                                                                                   \
        .activation = ACTIVATION_Q8,                                                                                   \
        .weight_type = WEIGHT_QUANTIZED,                                                                               \
        .bits = BITS,                                                                                                  \
        .store = STORE,                                                                                                \
        .layout = bound,                                                                                               \
        .function = (void (*)(void))linear,                                                                            \
    }
