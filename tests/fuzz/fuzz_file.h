// SPDX-License-Identifier: MIT
// A fuzzer's bytes as a file, for readers that want a path: in memory where there is /dev/shm, in a folder of this process's own. And what
// is asked of a model that such a reader gave or refused.
#ifndef LLMSWEEP_FUZZ_FILE_H
#define LLMSWEEP_FUZZ_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/model/model.h"

static char fuzz_folder[64], fuzz_names[8][96];

static inline void fuzz_clean_up(void)
{
    for (size_t i = 0; i < sizeof fuzz_names / sizeof *fuzz_names; i++) {
        if (*fuzz_names[i] != '\0')
            unlink(fuzz_names[i]);
    }
    rmdir(fuzz_folder);
}

// Writes them under that name, over what was there, and returns the path, which stays the same for a name.
static inline const char *fuzz_file(const char *name, const uint8_t *data, size_t size)
{
    if (*fuzz_folder == '\0') {
        snprintf(fuzz_folder, sizeof fuzz_folder, "%s/llmsweep-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        if (mkdtemp(fuzz_folder) == NULL)
            abort();
        atexit(fuzz_clean_up);
    }
    char path[96];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder, name);
    size_t slot = 0;
    while (*fuzz_names[slot] != '\0' && strcmp(fuzz_names[slot], path) != 0)
        slot++;
    strcpy(fuzz_names[slot], path);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0)
        abort();
    return fuzz_names[slot];
}

// Refused with one line, or a model whose weights can all be read; frees it.
static inline void fuzz_check_model(int status, struct model *model, const char *error)
{
    if (status == 0) {
        if (model->parameter_count < 1 << 20 && model_widen(model) != 0)
            abort();
        model_free(model);
    } else if (*error == '\0' || strchr(error, '\n') != NULL) {
        abort();
    }
}

#endif
