// SPDX-License-Identifier: MIT
// Any bytes as a folder of the hub: config.json up to a NUL byte, model.safetensors behind it.
// sources: bench/model/gguf_[cfnr]*.c bench/model/safetensors_*.c bench/model/tokenizer*.c bench/model/splitter*.c bench/model/tensor*.c bench/model/compose.c bench/model/config.c bench/model/model.c bench/model/mapped_file.c bench/model/random.c bench/model/shape.c
#include <stdint.h>
#include <string.h>

#include "bench/model/safetensors.h"
#include "tests/fuzz/fuzz_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[600] = "";
    struct model model;
    const uint8_t *end = memchr(data, 0, size);
    const size_t config = end != NULL ? (size_t)(end - data) : size;
    fuzz_file("config.json", data, config);
    const char *path = fuzz_file("model.safetensors", data + config + (end != NULL), size - config - (end != NULL));
    fuzz_check_model(safetensors_open_model(&model, path, error, sizeof error), &model, error);
    return 0;
}
