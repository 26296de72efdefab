// SPDX-License-Identifier: MIT
// A weight tensor where it lies: f32 in memory, or as a model file holds it, read row by row as f32 when it is wanted.
//
// The block formats are those of ggml (https://github.com/ggml-org/ggml): 32 or 256 weights share scales, codes have 2 to 8 bits.
#ifndef LLMSWEEP_TENSOR_H
#define LLMSWEEP_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tensor_type { // ggml's numbers
    TENSOR_F32 = 0,
    TENSOR_F16 = 1,
    TENSOR_Q4_0 = 2,
    TENSOR_Q4_1 = 3,
    TENSOR_Q5_0 = 6,
    TENSOR_Q5_1 = 7,
    TENSOR_Q8_0 = 8,
    TENSOR_Q2_K = 10,
    TENSOR_Q3_K = 11,
    TENSOR_Q4_K = 12,
    TENSOR_Q5_K = 13,
    TENSOR_Q6_K = 14,
    TENSOR_BF16 = 30
};

struct mapped_file; // mapped_file.h

struct tensor {
    const void *data; // (rows, columns), row-major; any alignment. Not owned
    uint32_t type;    // enum tensor_type
    int rows, columns; // columns is a multiple of the type's block
    bool mapped;       // data lies in a mapped file
};

// "F32", "Q4_K", …; NULL for a type that is not read.
const char *tensor_type_name(uint32_t type);
// The names of all types that are read, for messages: "F32 F16 …".
const char *tensor_type_names(void);
// Weights in a block and the bytes that a block takes; both 0 for a type that is not read.
int tensor_block_weights(uint32_t type);
size_t tensor_block_bytes(uint32_t type);
size_t tensor_row_bytes(const struct tensor *tensor);

// Rows [first, first + count) as f32, (count, columns). Single-threaded: rows can be shared out between threads.
void tensor_read_rows(const struct tensor *tensor, int first, int count, float *out);
// One row, copied out of the file that the tensor lies in instead of from its pages. 0 or -EIO.
int tensor_copy_row(const struct tensor *tensor, const struct mapped_file *file, int row, float *out);
// All of it, by all threads of OpenMP.
void tensor_read(const struct tensor *tensor, float *out);
// Brings these rows' file pages in with one call instead of one fault after the other. Does nothing for a tensor that is in memory.
void tensor_fetch_rows(const struct tensor *tensor, int first, int count);
// Lets the system take back the memory of these rows' file pages, which is counted as this process's while they are mapped. The
// rows can be read again, more slowly. Does nothing for a tensor that is in memory.
void tensor_release_rows(const struct tensor *tensor, int first, int count);

// Blocks of `weights` weights to f32 and back; weights is a multiple of the block.
void tensor_decode(uint32_t type, const void *blocks, size_t weights, float *out);
// Types F32, F16, Q8_0, Q4_0 only: as ggml's reference rounds them, but for values that are codes −7 … 7 of one scale and stay so in Q4_0.
// -ENOTSUP for others.
int tensor_encode(uint32_t type, const float *values, size_t weights, void *blocks);

#endif
