// SPDX-License-Identifier: MIT
// A folder that stands for / in tests: small files of /proc and /sys with what the test wants to be found there.
#ifndef LLMSWEEP_FAKE_TREE_H
#define LLMSWEEP_FAKE_TREE_H

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ftw.h>

static char fake_root[64];

static inline const char *fake_tree_open(void) {
    snprintf(fake_root, sizeof fake_root, "/tmp/llmsweep-tree-XXXXXX");
    assert_non_null(mkdtemp(fake_root));
    return fake_root;
}

// Writes the file, making the folders above it.
static inline void fake_tree_file(const char *path, const char *text) {
    char full[PATH_MAX];
    snprintf(full, sizeof full, "%s%s", fake_root, path);
    for (char *slash = full + strlen(fake_root) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        mkdir(full, 0777);
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static inline int fake_tree_remove_one(const char *path, const struct stat *info, int type, struct FTW *place) {
    (void)info, (void)type, (void)place;
    return remove(path);
}

static inline void fake_tree_close(void) {
    nftw(fake_root, fake_tree_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
