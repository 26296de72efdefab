// SPDX-License-Identifier: MIT
// ggml's block formats, one block each: `block` as it lies in a file, `out` (32) or, for the K formats, (256) weights.
#ifndef LLMSWEEP_TENSOR_BLOCKS_H
#define LLMSWEEP_TENSOR_BLOCKS_H

#include <stdint.h>

void block_decode_q4_0(const uint8_t *block, float *out);
void block_decode_q4_1(const uint8_t *block, float *out);
void block_decode_q5_0(const uint8_t *block, float *out);
void block_decode_q5_1(const uint8_t *block, float *out);
void block_decode_q8_0(const uint8_t *block, float *out);
void block_decode_q2_k(const uint8_t *block, float *out);
void block_decode_q3_k(const uint8_t *block, float *out);
void block_decode_q4_k(const uint8_t *block, float *out);
void block_decode_q5_k(const uint8_t *block, float *out);
void block_decode_q6_k(const uint8_t *block, float *out);

void block_encode_q8_0(const float *values, uint8_t *block);
void block_encode_q4_0(const float *values, uint8_t *block);

#endif
