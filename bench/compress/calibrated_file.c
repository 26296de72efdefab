// SPDX-License-Identifier: MIT
// A calibrated model's file: one line that names what it is of, then for each layer its vectors and for each matrix flags, mask bits,
// weights that remain, and codes with scales and zero points. Numbers as this machine holds them: the file is a cache, never sent away.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/compress/calibrate_internal.h"
#include "bench/compress/quantize.h"

enum { VERSION = 1 }; // of the methods and of the file: what another version made is not found
enum { HAS_MASK = 1, HAS_WEIGHTS = 2, HAS_CODES = 4 };
enum { NAME_SIZE = 400, PATH_SIZE = 4096 };
static const char SUFFIX[] = ".calibrated";

static uint64_t hash(uint64_t start, const void *bytes, size_t count) {
    for (size_t i = 0; i < count; i++)
        start = (start ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3;
    return start;
}

// Everything that the result depends on.
static void describe(const struct model *model, const struct variant_recipe *recipe, const struct calibration *with, char *name) {
    char prune[64], format[64];
    recipe_prune_name(recipe, prune, sizeof prune);
    recipe_format_name(recipe, format, sizeof format);
    snprintf(name, NAME_SIZE, "llmsweep calibrated %d, model %016" PRIx64 ", prune %s, format %s, text %016" PRIx64 ", %zu tokens, windows %d, bos %d\n",
             VERSION, model->weights_hash, prune, format, hash(0xcbf29ce484222325, with->tokens, with->count * sizeof *with->tokens),
             with->count, with->window, with->bos);
}

static void path_of(const char *folder, const char *name, char *path) {
    snprintf(path, PATH_SIZE, "%s/%016" PRIx64 "%s", folder, hash(0xcbf29ce484222325, name, strlen(name)), SUFFIX);
}

void calibrated_folder(char *folder, size_t size) {
    const char *own = getenv("LLMSWEEP_CACHE"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (own && *own)
        snprintf(folder, size, "%s/calibrated", own);
    else if (cache && *cache)
        snprintf(folder, size, "%s/llmsweep/calibrated", cache);
    else
        snprintf(folder, size, "%s/.cache/llmsweep/calibrated", home && *home ? home : "/tmp");
}

static int make_folder(const char *folder) {
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s", folder);
    for (char *slash = path + 1; *slash; slash++)
        if (*slash == '/') {
            *slash = '\0';
            if (mkdir(path, 0777) && errno != EEXIST)
                return -errno;
            *slash = '/';
        }
    return mkdir(path, 0777) && errno != EEXIST ? -errno : 0;
}

// ---------------------------------------------------------------------------------------------------------------------
// One matrix. Reading and writing are the same walk: `move` is fread or fwrite.

struct stream {
    FILE *file;
    bool writing, failed;
};

static void move(struct stream *stream, void *bytes, size_t count) {
    if (stream->failed || !count)
        return;
    const size_t moved = stream->writing ? fwrite(bytes, 1, count, stream->file) : fread(bytes, 1, count, stream->file);
    stream->failed = moved != count;
}

// An array that reading allocates; NULL when that fails.
static void *array(struct stream *stream, void *present, size_t bytes) {
    void *memory = stream->writing ? present : malloc(bytes + 1);
    stream->failed = stream->failed || !memory;
    return memory;
}

static void move_mask(struct stream *stream, struct compressed_matrix *matrix, size_t count) {
    uint8_t *bits = calloc(count / 8 + 1, 1);
    matrix->mask = array(stream, matrix->mask, count);
    if (!bits || stream->failed) {
        stream->failed = true;
        free(bits);
        return;
    }
    for (size_t i = 0; stream->writing && i < count; i++)
        bits[i / 8] |= (uint8_t)((matrix->mask[i] != 0) << i % 8);
    move(stream, bits, count / 8 + 1);
    for (size_t i = 0; !stream->writing && i < count; i++)
        matrix->mask[i] = bits[i / 8] >> i % 8 & 1;
    free(bits);
}

// Only those that remain, row by row.
static void move_weights(struct stream *stream, struct compressed_matrix *matrix, int rows, int columns) {
    float *row = malloc((size_t)columns * sizeof *row);
    matrix->weights = array(stream, matrix->weights, (size_t)rows * (size_t)columns * sizeof(float));
    stream->failed = stream->failed || !row;
    for (int r = 0; r < rows && !stream->failed; r++) {
        float *weights = matrix->weights + (size_t)r * (size_t)columns;
        const uint8_t *mask = matrix->mask ? matrix->mask + (size_t)r * (size_t)columns : NULL;
        size_t kept = 0, next = 0;
        for (int c = 0; c < columns; c++)
            if (!mask || mask[c])
                row[kept++] = weights[c];
        move(stream, row, kept * sizeof *row);
        for (int c = 0; c < columns && !stream->writing; c++)
            weights[c] = !mask || mask[c] ? row[next++] : 0;
    }
    free(row);
}

// Codes have 8 bits here at most; symmetric ones are moved to 0 … 255.
static void move_codes(struct stream *stream, struct quantized_matrix *codes, const struct weight_format *format, int rows, int columns) {
    const size_t count = (size_t)rows * (size_t)columns;
    const size_t entries = (size_t)rows * (size_t)(format->group ? columns / format->group : 1);
    const int offset = format->asymmetric ? 0 : 128;
    uint8_t *row = malloc((size_t)columns);
    codes->rows = rows;
    codes->columns = columns;
    codes->bits = format->bits;
    codes->group = format->group;
    codes->codes = array(stream, codes->codes, count * sizeof *codes->codes);
    codes->scales = array(stream, codes->scales, entries * sizeof *codes->scales);
    if (format->asymmetric)
        codes->zero_points = array(stream, codes->zero_points, entries);
    stream->failed = stream->failed || !row;
    for (int r = 0; r < rows && !stream->failed; r++) {
        int16_t *from = codes->codes + (size_t)r * (size_t)columns;
        for (int c = 0; c < columns && stream->writing; c++)
            row[c] = (uint8_t)(from[c] + offset);
        move(stream, row, (size_t)columns);
        for (int c = 0; c < columns && !stream->writing; c++)
            from[c] = (int16_t)(row[c] - offset);
    }
    move(stream, codes->scales, entries * sizeof *codes->scales);
    if (format->asymmetric)
        move(stream, codes->zero_points, entries);
    free(row);
}

static void move_all(struct stream *stream, struct calibrated *calibrated) {
    const struct model_config *config = &calibrated->model.config;
    const size_t vectors = calibrated_vectors(config);
    for (int layer = 0; layer < config->layers && !stream->failed; layer++) {
        move(stream, calibrated->vectors + (size_t)layer * vectors, vectors * sizeof(float));
        for (enum layer_matrix which = 0; which < LAYER_MATRICES && !stream->failed; which++) {
            struct compressed_matrix *matrix = &calibrated->matrix[layer][which];
            int rows, columns;
            model_matrix_shape(config, which, &rows, &columns);
            uint8_t flags = (uint8_t)((matrix->mask ? HAS_MASK : 0) | (matrix->weights ? HAS_WEIGHTS : 0) |
                                      (matrix->codes.codes ? HAS_CODES : 0));
            move(stream, &flags, 1);
            if (flags & HAS_MASK)
                move_mask(stream, matrix, (size_t)rows * (size_t)columns);
            if (flags & HAS_WEIGHTS)
                move_weights(stream, matrix, rows, columns);
            if (flags & HAS_CODES)
                move_codes(stream, &matrix->codes, &calibrated->recipe.format, rows, columns);
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------

int calibrated_find(struct calibrated **calibrated, const char *folder, const struct model *model,
                    const struct variant_recipe *recipe, const struct calibration *with, char *error, size_t error_size) {
    char name[NAME_SIZE], found[NAME_SIZE], path[PATH_SIZE];
    *calibrated = NULL;
    describe(model, recipe, with, name);
    path_of(folder, name, path);
    struct stream stream = {.file = fopen(path, "rb")};
    if (!stream.file)
        return -ENOENT;
    struct calibrated *made = NULL;
    int status = calibrated_create(&made, model, recipe);
    if (status)
        snprintf(error, error_size, "%s: out of memory", path);
    else {
        if (!fgets(found, sizeof found, stream.file) || strcmp(found, name) != 0)
            stream.failed = true;
        move_all(&stream, made);
        if (stream.failed || fgetc(stream.file) != EOF) {
            snprintf(error, error_size, "%s is damaged; delete it", path);
            status = -EINVAL;
        }
    }
    fclose(stream.file);
    if (status)
        calibrated_free(made);
    else {
        utimensat(AT_FDCWD, path, NULL, 0); // used now; where that cannot be said, it only looks older
        *calibrated = made;
    }
    return status;
}

static bool has_suffix(const char *name) {
    const size_t length = strlen(name), end = strlen(SUFFIX);
    return length > end && !strcmp(name + length - end, SUFFIX);
}

// Deletes the file that was not used for the longest time; false when all of them take no more than they may.
static bool delete_oldest(const char *folder) {
    DIR *files = opendir(folder);
    char path[PATH_SIZE], oldest[PATH_SIZE] = "";
    struct stat about;
    struct timespec age = {0};
    uint64_t bytes = 0;
    if (!files)
        return false;
    for (struct dirent *entry; (entry = readdir(files));) {
        if (!has_suffix(entry->d_name) || snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) >= PATH_SIZE || stat(path, &about))
            continue;
        bytes += (uint64_t)about.st_size;
        const bool older = about.st_mtim.tv_sec < age.tv_sec || (about.st_mtim.tv_sec == age.tv_sec && about.st_mtim.tv_nsec < age.tv_nsec);
        if (!*oldest || older) {
            snprintf(oldest, sizeof oldest, "%s", path);
            age = about.st_mtim;
        }
    }
    closedir(files);
    return bytes > CALIBRATED_KEPT && !unlink(oldest);
}

int calibrated_keep(const struct calibrated *calibrated, const char *folder, const struct calibration *with, char *error,
                    size_t error_size) {
    char name[NAME_SIZE], path[PATH_SIZE], part[PATH_SIZE + 32];
    describe(&calibrated->model, &calibrated->recipe, with, name);
    path_of(folder, name, path);
    snprintf(part, sizeof part, "%s.part%ld", path, (long)getpid());
    int status = make_folder(folder);
    struct stream stream = {.writing = true, .file = status ? NULL : fopen(part, "wb")};
    if (!stream.file) {
        status = status ? status : -errno;
        snprintf(error, error_size, "%s: %s; set LLMSWEEP_CACHE to a folder that can be written", folder,
                 strerror(-status));
        return status;
    }
    move(&stream, name, strlen(name));
    move_all(&stream, (struct calibrated *)calibrated);
    if (fclose(stream.file) || stream.failed || rename(part, path)) {
        status = errno ? -errno : -EIO;
        snprintf(error, error_size, "%s: %s; set LLMSWEEP_CACHE to a folder with more room", part, strerror(-status));
        unlink(part);
        return status;
    }
    while (delete_oldest(folder))
        ;
    return 0;
}
