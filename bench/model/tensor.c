// SPDX-License-Identifier: MIT
#include "bench/model/tensor.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/model/half.h"
#include "bench/model/mapped_file.h"
#include "bench/model/tensor_blocks.h"

static const struct {
    const char *name;
    uint16_t weights, bytes;
    void (*decode)(const uint8_t *block, float *out); // one block
} types[] = {
    [TENSOR_F32] = {"F32", 1, 4, NULL},
    [TENSOR_F16] = {"F16", 1, 2, NULL},
    [TENSOR_BF16] = {"BF16", 1, 2, NULL},
    [TENSOR_Q4_0] = {"Q4_0", 32, 18, block_decode_q4_0},
    [TENSOR_Q4_1] = {"Q4_1", 32, 20, block_decode_q4_1},
    [TENSOR_Q5_0] = {"Q5_0", 32, 22, block_decode_q5_0},
    [TENSOR_Q5_1] = {"Q5_1", 32, 24, block_decode_q5_1},
    [TENSOR_Q8_0] = {"Q8_0", 32, 34, block_decode_q8_0},
    [TENSOR_Q2_K] = {"Q2_K", 256, 84, block_decode_q2_k},
    [TENSOR_Q3_K] = {"Q3_K", 256, 110, block_decode_q3_k},
    [TENSOR_Q4_K] = {"Q4_K", 256, 144, block_decode_q4_k},
    [TENSOR_Q5_K] = {"Q5_K", 256, 176, block_decode_q5_k},
    [TENSOR_Q6_K] = {"Q6_K", 256, 210, block_decode_q6_k},
};
enum { TYPES = sizeof types / sizeof *types, ROWS_AT_ONCE = 16 };

const char *tensor_type_name(uint32_t type)
{
    return type < TYPES ? types[type].name : NULL;
}

const char *tensor_type_names(void)
{
    return "F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K";
}

int tensor_block_weights(uint32_t type)
{
    return type < TYPES ? types[type].weights : 0;
}

size_t tensor_block_bytes(uint32_t type)
{
    return type < TYPES ? types[type].bytes : 0;
}

size_t tensor_row_bytes(const struct tensor *tensor)
{
    return (size_t)tensor->columns / types[tensor->type].weights * types[tensor->type].bytes;
}

// The bits of a half as those of a float 2^112 times smaller, which a multiplication puts right, subnormals too: no branch, so that
// the loop becomes vector code.
static void decode_f16(const uint8_t *from, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, from + 2 * i, sizeof half);
        const uint32_t small = (uint32_t)(half & 0x7fff) << 13;
        float value;
        memcpy(&value, &small, sizeof value);
        value *= 0x1p112f;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        bits |= (uint32_t)(half & 0x8000) << 16 | ((half & 0x7c00) == 0x7c00 ? 0x7f800000u : 0);
        memcpy(&out[i], &bits, sizeof bits);
    }
}

static void decode_bf16(const uint8_t *from, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, from + 2 * i, sizeof bits);
        out[i] = bfloat_to_float(bits);
    }
}

void tensor_decode(uint32_t type, const void *blocks, size_t weights, float *out)
{
    const uint8_t *from = blocks;
    switch (type) {
    case TENSOR_F32: memcpy(out, from, weights * sizeof *out); return;
    case TENSOR_F16: decode_f16(from, weights, out); return;
    case TENSOR_BF16: decode_bf16(from, weights, out); return;
    default:
        for (size_t i = 0; i < weights; i += types[type].weights, from += types[type].bytes)
            types[type].decode(from, out + i);
    }
}

void tensor_read_rows(const struct tensor *tensor, int first, int count, float *out)
{
    const uint8_t *data = tensor->data;
    tensor_decode(tensor->type, data + (size_t)first * tensor_row_bytes(tensor), (size_t)count * (size_t)tensor->columns, out);
}

int tensor_copy_row(const struct tensor *tensor, const struct mapped_file *file, int row, float *out)
{
    uint8_t blocks[8192];
    const size_t block = types[tensor->type].bytes, bytes = tensor_row_bytes(tensor), most = sizeof blocks / block * block;
    const uint8_t *from = (const uint8_t *)tensor->data + (size_t)row * bytes;
    for (size_t done = 0; done < bytes; done += most) {
        const size_t part = bytes - done < most ? bytes - done : most, weights = part / block * types[tensor->type].weights;
        const int rc = mapped_file_copy(file, from + done, part, blocks);
        if (rc)
            return rc;
        tensor_decode(tensor->type, blocks, weights, out);
        out += weights;
    }
    return 0;
}

void tensor_read(const struct tensor *tensor, float *out)
{
#pragma omp parallel for schedule(dynamic, 4) if ((size_t)tensor->rows * (size_t)tensor->columns > 65536)
    for (int first = 0; first < tensor->rows; first += ROWS_AT_ONCE) {
        const int left = tensor->rows - first;
        tensor_read_rows(tensor, first, left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE, out + (size_t)first * (size_t)tensor->columns);
    }
}

// Whole pages only: what lies beside these rows may be in use.
static void advise(const struct tensor *tensor, int first, int count, int advice)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), bytes = tensor_row_bytes(tensor);
    const uintptr_t begin = ((uintptr_t)tensor->data + (uintptr_t)first * bytes + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)tensor->data + (uintptr_t)(first + count) * bytes) / page * page;
    if (tensor->mapped && begin < end)
        madvise((void *)begin, end - begin, advice);
}

void tensor_fetch_rows(const struct tensor *tensor, int first, int count)
{
    advise(tensor, first, count, MADV_POPULATE_READ);
}

void tensor_release_rows(const struct tensor *tensor, int first, int count)
{
    advise(tensor, first, count, MADV_DONTNEED);
}

int tensor_encode(uint32_t type, const float *values, size_t weights, void *blocks)
{
    uint8_t *to = blocks;
    switch (type) {
    case TENSOR_F32: memcpy(to, values, weights * sizeof *values); return 0;
    case TENSOR_F16:
        for (size_t i = 0; i < weights; i++) {
            const uint16_t half = float_to_half(values[i]);
            memcpy(to + 2 * i, &half, sizeof half);
        }
        return 0;
    case TENSOR_Q8_0:
        for (size_t i = 0; i < weights; i += 32, to += 34)
            block_encode_q8_0(values + i, to);
        return 0;
    case TENSOR_Q4_0:
        for (size_t i = 0; i < weights; i += 32, to += 18)
            block_encode_q4_0(values + i, to);
        return 0;
    default: return -ENOTSUP;
    }
}
