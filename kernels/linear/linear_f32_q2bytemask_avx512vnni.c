// SPDX-License-Identifier: MIT
#include "kernels/linear/simd_avx512.h"

#define WEIGHT_TYPE WEIGHT_QUANTIZED
#define BITS        2
#define STORE       STORE_BYTEMASK
#define IN_PLACE    0
static inline __attribute__((always_inline)) const float *next_floats(struct source *source, float *buffer) {
    _Alignas(64) uint8_t bytes[TILE_CODES];
    const uint8_t *codes = next_bytemask(source, BITS, bytes);
    codes_to_floats(source, codes, __builtin_popcount(source->present), buffer);
    return buffer;
}
#define NEXT_FLOATS(source, buffer) next_floats(source, buffer)
#define MANY_TOKENS                 "kernels/linear/linear_f32_many.h"
#include "kernels/linear/linear_f32_simd.h"

LINEAR_F32_KERNEL(linear_f32_q2bytemask_avx512vnni, ISA_AVX512VNNI,
                  "q2: a mask for each 64 bytes of dense ones, then those with something in them; bound by widening codes to f32");
