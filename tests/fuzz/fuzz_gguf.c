// SPDX-License-Identifier: MIT
// Any bytes as a GGUF model: opened or refused with one line, never a crash and never more memory than the file explains.
// sources: bench/model/gguf_[cfnr]*.c bench/model/safetensors_*.c bench/model/tokenizer*.c bench/model/splitter*.c bench/model/tensor*.c bench/model/compose.c bench/model/config.c bench/model/model.c bench/model/mapped_file.c bench/model/random.c bench/model/shape.c
#include <stdint.h>

#include "bench/model/gguf.h"
#include "tests/fuzz/fuzz_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[600] = "";
    struct model model;
    const char *path = fuzz_file("model.gguf", data, size);
    fuzz_check_model(gguf_open_model(&model, path, error, sizeof error), &model, error);
    return 0;
}
