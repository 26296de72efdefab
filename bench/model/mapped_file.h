// SPDX-License-Identifier: MIT
// A model's file in memory: pages come when they are read, and can be let go again.
#ifndef LLMSWEEP_MAPPED_FILE_H
#define LLMSWEEP_MAPPED_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct mapped_file {
    void *map; // read-only; NULL for an empty file
    size_t bytes;
    int descriptor; // -1 once it is closed; the map stays
};

// Regular files only. 0, -EISDIR, -EINVAL for what is neither file nor folder, or -errno; the file is then as one that was closed.
int mapped_file_open(struct mapped_file *file, const char *path);
void mapped_file_close_descriptor(struct mapped_file *file);
void mapped_file_close(struct mapped_file *file);
// Whether a pointer goes into its bytes.
bool mapped_file_holds(const struct mapped_file *file, const void *data);
// Lets the system take the pages back, which count as this process's memory while they are mapped. What is read again comes in again.
void mapped_file_release(const struct mapped_file *file);
// Copies bytes of it without mapping their pages. 0, or -EIO where the file has become shorter or cannot be read.
int mapped_file_copy(const struct mapped_file *file, const void *data, size_t bytes, void *to);

#endif
