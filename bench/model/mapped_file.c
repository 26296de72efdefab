// SPDX-License-Identifier: MIT
#include "bench/model/mapped_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int mapped_file_open(struct mapped_file *file, const char *path)
{
    struct stat status;
    *file = (struct mapped_file){.descriptor = open(path, O_RDONLY | O_CLOEXEC)};
    int rc = file->descriptor < 0 || fstat(file->descriptor, &status) ? -errno : 0;
    if (!rc && !S_ISREG(status.st_mode))
        rc = S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
    if (!rc && status.st_size > 0) {
        void *map = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file->descriptor, 0);
        rc = map == MAP_FAILED ? -errno : 0;
        if (!rc)
            file->map = map, file->bytes = (size_t)status.st_size;
    }
    if (rc)
        mapped_file_close(file);
    return rc;
}

void mapped_file_close_descriptor(struct mapped_file *file)
{
    if (file->descriptor >= 0)
        close(file->descriptor);
    file->descriptor = -1;
}

void mapped_file_close(struct mapped_file *file)
{
    mapped_file_close_descriptor(file);
    if (file->map)
        munmap(file->map, file->bytes);
    file->map = NULL;
    file->bytes = 0;
}

bool mapped_file_holds(const struct mapped_file *file, const void *data)
{
    return (uintptr_t)data - (uintptr_t)file->map < file->bytes;
}

void mapped_file_release(const struct mapped_file *file)
{
    if (file->map)
        madvise(file->map, file->bytes, MADV_DONTNEED);
}

int mapped_file_copy(const struct mapped_file *file, const void *data, size_t bytes, void *to)
{
    const off_t offset = (const char *)data - (const char *)file->map;
    return pread(file->descriptor, to, bytes, offset) == (ssize_t)bytes ? 0 : -EIO;
}
