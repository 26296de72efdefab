// SPDX-License-Identifier: MIT
// ggml's block formats, against blocks that were decoded by the Python package gguf (tests/data/tensor_blocks.txt: name, block, weights'
// bits, all drawn at random), and by themselves.
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench/model/half.h"
#include "bench/model/mapped_file.h"
#include "bench/model/tensor.h"

static int read_hex(FILE *file, uint8_t *out, size_t most)
{
    size_t count = 0;
    unsigned byte;
    while (count < most && fscanf(file, "%2x", &byte) == 1)
        out[count++] = (uint8_t)byte;
    return (int)count;
}

static uint32_t find_type(const char *name)
{
    for (uint32_t type = 0; type < 64; type++) {
        const char *known = tensor_type_name(type);
        if (known && !strcmp(known, name))
            return type;
    }
    fail_msg("no type %s", name);
    return 0;
}

static void blocks_decode_to_the_bit(void **state)
{
    (void)state;
    FILE *file = fopen("tests/data/tensor_blocks.txt", "r");
    assert_non_null(file);
    char name[16];
    uint8_t block[256], bits[1024];
    float decoded[256];
    int seen = 0;
    while (fscanf(file, "%15s", name) == 1) {
        const uint32_t type = find_type(name);
        const size_t weights = (size_t)tensor_block_weights(type);
        assert_int_equal(read_hex(file, block, tensor_block_bytes(type)), tensor_block_bytes(type));
        assert_int_equal(read_hex(file, bits, 4 * weights), 4 * weights);
        tensor_decode(type, block, weights, decoded);
        for (size_t i = 0; i < weights; i++) {
            uint32_t want, got;
            memcpy(&want, bits + 4 * i, sizeof want);
            memcpy(&got, &decoded[i], sizeof got);
            if (want != got)
                fail_msg("%s: weight %zu is %08x, not %08x", name, i, got, want);
        }
        seen++;
    }
    fclose(file);
    assert_int_equal(seen, 20); // two blocks of each of the ten types
}

static void every_half_is_widened(void **state)
{
    (void)state;
    uint16_t halves[1 << 16];
    static float got[1 << 16];
    for (int i = 0; i < 1 << 16; i++)
        halves[i] = (uint16_t)i;
    tensor_decode(TENSOR_F16, halves, 1 << 16, got);
    for (int i = 0; i < 1 << 16; i++) {
        const float want = half_to_float(halves[i]);
        assert_true(isnan(want) ? isnan(got[i]) : !memcmp(&want, &got[i], sizeof want));
    }
}

static void values_on_the_grid_survive_encoding(void **state)
{
    (void)state;
    float values[64], back[64];
    uint8_t blocks[2 * 34];
    for (int i = 0; i < 64; i++)
        values[i] = (float)((i * 5) % 15 - 7) * half_to_float(0x2345);
    assert_int_equal(tensor_encode(TENSOR_Q4_0, values, 64, blocks), 0);
    tensor_decode(TENSOR_Q4_0, blocks, 64, back);
    assert_memory_equal(values, back, sizeof values);
    for (int i = 0; i < 64; i++)
        values[i] = (float)(i * 4 - 127) * half_to_float(0x1234);
    values[63] = 127 * half_to_float(0x1234); // each block has its largest code
    assert_int_equal(tensor_encode(TENSOR_Q8_0, values, 64, blocks), 0);
    tensor_decode(TENSOR_Q8_0, blocks, 64, back);
    for (int i = 0; i < 64; i++)
        assert_true(fabsf(back[i] - values[i]) <= 1e-6f * fabsf(values[0]));
    for (int i = 0; i < 64; i++)
        values[i] = sinf((float)i);
    assert_int_equal(tensor_encode(TENSOR_Q4_0, values, 64, blocks), 0);
    tensor_decode(TENSOR_Q4_0, blocks, 64, back);
    for (int i = 0; i < 64; i++)
        assert_true(fabsf(back[i] - values[i]) <= 0.13f); // a step is 1/8 of the largest
    assert_int_equal(tensor_encode(TENSOR_Q4_K, values, 64, blocks), -ENOTSUP);
}

// A row larger than what is copied at once; a file that someone cut off is said to be so.
static void rows_are_copied_as_they_are_read(void **state)
{
    (void)state;
    enum { ROWS = 3, COLUMNS = 8192 + 256 };
    static const uint32_t kinds[] = { TENSOR_F32, TENSOR_F16, TENSOR_Q8_0, TENSOR_Q4_0 };
    static float values[ROWS * COLUMNS], row[COLUMNS], expected[COLUMNS];
    static uint8_t blocks[7 + sizeof(values)];
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
        values[i] = sinf((float)i);
    for (size_t kind = 0; kind < sizeof(kinds) / sizeof(*kinds); kind++) {
        char path[] = "/tmp/llmsweep-XXXXXX";
        const int fd = mkstemp(path);
        assert_true(fd >= 0);
        assert_int_equal(tensor_encode(kinds[kind], values, ROWS * COLUMNS, blocks + 7), 0);
        struct tensor tensor = { NULL, kinds[kind], ROWS, COLUMNS, true };
        const size_t bytes = 7 + ROWS * tensor_row_bytes(&tensor);
        assert_int_equal(write(fd, blocks, bytes), (ssize_t)bytes);
        struct mapped_file file;
        assert_int_equal(mapped_file_open(&file, path), 0);
        assert_int_equal(file.bytes, bytes);
        tensor.data = (const char *)file.map + 7;
        assert_true(mapped_file_holds(&file, tensor.data) && !mapped_file_holds(&file, (const char *)file.map + bytes));
        for (int i = 0; i < ROWS; i++) {
            assert_int_equal(tensor_copy_row(&tensor, &file, i, row), 0);
            tensor_read_rows(&tensor, i, 1, expected);
            assert_memory_equal(row, expected, sizeof(row));
        }
        assert_int_equal(ftruncate(fd, (off_t)bytes - 1), 0);
        assert_int_equal(tensor_copy_row(&tensor, &file, ROWS - 1, row), -EIO);
        assert_int_equal(tensor_copy_row(&tensor, &file, 0, row), 0);
        mapped_file_close(&file);
        assert_int_equal(mapped_file_open(&file, "/tmp"), -EISDIR);
        assert_int_equal(mapped_file_open(&file, "/dev/null"), -EINVAL);
        close(fd);
        unlink(path);
        assert_int_equal(mapped_file_open(&file, path), -ENOENT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_decode_to_the_bit),
        cmocka_unit_test(every_half_is_widened),
        cmocka_unit_test(values_on_the_grid_survive_encoding),
        cmocka_unit_test(rows_are_copied_as_they_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
