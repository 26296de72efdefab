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
// Fewer tokens than these are faster without (measured: at 16 both are alike with groups of 128; codes of 8 bits, which the other
// kernels need not unpack, are alike at 32).
enum { MATRIX_TOKENS = BITS < 8 ? 24 : 32 };
extern const struct kernel FEWER_TOKENS;

static void linear(const struct linear_call *call) {
    if (call->m < MATRIX_TOKENS) {
        ((linear_function *)FEWER_TOKENS.function)(call);
        return;
    }
    many_linear(call);
    matrix_tiles_end();
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
