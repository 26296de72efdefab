// SPDX-License-Identifier: MIT
#include "bench/model/train_checkpoint.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// File: the magic, the fixed fields in native byte order, then the four arrays.
struct header {
    char magic[8];
    uint64_t spec_hash, parameters;
    int64_t step, best_step;
    double best_loss;
};

static const char magic[8] = {'L', 'S', 'W', 'C', 'K', 'P', 'T', '1'};

int train_checkpoint_write(const struct train_checkpoint *c, const char *path, char *error, size_t error_size)
{
    struct header header = {.spec_hash = c->spec_hash,
                            .parameters = c->parameters,
                            .step = c->step,
                            .best_step = c->best_step,
                            .best_loss = c->best_loss};
    memcpy(header.magic, magic, sizeof magic);
    const float *const arrays[] = {c->weights, c->first_moment, c->second_moment, c->best_weights};
    char aside[4096];
    snprintf(aside, sizeof aside, "%s.new", path);
    errno = 0;
    FILE *file = fopen(aside, "wb");
    bool ok = file && fwrite(&header, sizeof header, 1, file) == 1;
    for (int i = 0; i < 4 && ok; i++)
        ok = fwrite(arrays[i], sizeof(float), c->parameters, file) == c->parameters;
    ok = ok && !fflush(file) && !fsync(fileno(file));
    if (file)
        ok = !fclose(file) && ok;
    if (ok && !rename(aside, path))
        return 0;
    const int rc = errno ? -errno : -EIO;
    unlink(aside);
    snprintf(error, error_size, "%s: the checkpoint cannot be written: %s", path, strerror(-rc));
    return rc;
}

int train_checkpoint_read(struct train_checkpoint *c, const char *path, char *error, size_t error_size)
{
    float *const arrays[] = {c->weights, c->first_moment, c->second_moment, c->best_weights};
    struct header header;
    FILE *file = fopen(path, "rb");
    if (!file) {
        const int rc = -errno;
        snprintf(error, error_size, "%s: no checkpoint to resume from: %s (start without --resume)", path,
                 strerror(-rc));
        return rc;
    }
    int rc = -EINVAL;
    if (fread(&header, sizeof header, 1, file) != 1 || memcmp(header.magic, magic, sizeof magic)) {
        snprintf(error, error_size, "%s: not a training checkpoint (start without --resume)", path);
    } else if (header.spec_hash != c->spec_hash || header.parameters != c->parameters) {
        snprintf(error, error_size, "%s: belongs to another spec, text or model (start without --resume)", path);
    } else {
        rc = 0;
        for (int i = 0; i < 4 && !rc; i++)
            rc = fread(arrays[i], sizeof(float), c->parameters, file) == c->parameters ? 0 : -EINVAL;
        if (rc)
            snprintf(error, error_size, "%s: truncated (start without --resume)", path);
        c->step = header.step;
        c->best_step = header.best_step;
        c->best_loss = header.best_loss;
    }
    fclose(file);
    return rc;
}
